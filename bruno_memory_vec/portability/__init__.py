"""Reading conversations from files: what ``bruno-memory-vec ingest`` understands.

A file is known by its content: the format "auto" finds one of :mod:`.readers`, which
docs/importing.md lists. It may be a JSON document, JSON lines or a text; packed by gzip; in a
folder or a zip archive, with others; UTF-8 or UTF-16.

Another package adds a format by an entry point of the group ``bruno_memory_vec.readers``. The entry
point's name is that of the format, and its object is a function such as
:func:`bruno_memory_vec.portability.readers.jsonl.turns`, or a
:class:`~bruno_memory_vec.portability.readers.Reader`. It is used only if the format is named, not
by "auto".

Parts of a file may be bad. So a reader yields a :class:`Turn` for each message it can use and a
:class:`BadLine` for each it cannot, and goes on. Nothing is stored here.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TextIO, get_args

from bruno_memory_vec.errors import BackendUnavailable, InvalidInputError
from bruno_memory_vec.plugins import Plugins
from bruno_memory_vec.portability import opening
from bruno_memory_vec.portability.bruno_memory import HEADER, BrunoMemoryFile
from bruno_memory_vec.portability.decoding import Prefixed, read_exactly
from bruno_memory_vec.portability.detect import Lines
from bruno_memory_vec.portability.opening import Opened
from bruno_memory_vec.portability.records import BadLine, Defaults, Turn
from bruno_memory_vec.portability.times import DayOrder, Days
from bruno_memory_vec.rows.checks import identifier

if TYPE_CHECKING:
    from bruno_memory_vec.portability.readers import Reader

__all__ = ["READERS", "BadLine", "DayOrder", "Format", "Reader", "Turn", "formats", "read"]

Format = Literal[
    "auto",
    "chatgpt",
    "claude",
    "claude-memories",
    "claude-projects",
    "open-webui",
    "gemini",
    "ai-studio",
    "claude-code",
    "codex",
    "telegram",
    "discord",
    "slack",
    "langchain",
    "llamaindex",
    "sharegpt",
    "oasst",
    "ultrachat",
    "longmemeval",
    "mem0",
    "openai-items",
    "openai",
    "locomo",
    "jsonl",
    "whatsapp",
    "mbox",
    "markdown",
    "text",
]
Source = str | Path | TextIO | BinaryIO
#: The readers of other packages.
READERS = Plugins("bruno_memory_vec.readers", field="format", what="reader")

#: What is counted as left out where one of several files is of no known format.
UNKNOWN_FILES = "files of no known format"


def read(
    source: Source | Sequence[Source],
    *,
    format: Format | str = "auto",  # noqa: A002 - the word users know; the builtin is not needed here
    conversation_id: str | None = None,
    user_id: str | None = None,
    replace_user: bool = False,
    dates: DayOrder | None = None,
    left_out: Counter[str] | None = None,
    on_disk: bool = True,
) -> Iterator[Turn | BadLine]:
    """Read messages, in the order of the input.

    The input is streamed: of lines one is in memory at a time, of a JSON document that is a
    list one element, such as a chat; a document that is one object is loaded whole. An empty input
    gives nothing and is no error. A message without an id gets one made from its user,
    conversation, position, role and text, so reading the same file again gives the same ids. A
    message without a timestamp gets the time of the one before it in its conversation and a
    microsecond, else the time of reading; :attr:`Turn.timed` is False.

    Args:
        source: a path; a folder or a zip archive, of which every file is read that a reader knows;
            ``"-"`` for standard input; an open stream, which stays open; or a list of these. A text
            stream is taken as it decodes.
        format: the name of a reader (:func:`formats`), or "auto".
        conversation_id: for messages that name no conversation. When the input holds several
            such conversations, each gets ``/1``, ``/2``, ... after it. Without this, chats are
            named after their folder and file.
        user_id: for messages that name no user.
        replace_user: ``user_id`` counts more than users that the data names: what is said by and to
            several people becomes one user's. Without this, data that names another user than
            ``user_id`` is refused.
        dates: what comes first in dates such as 3/4/2024, where no date of the file shows it.
        left_out: counts, while it is read, what is left out on purpose, such as "reasoning".
        on_disk: whether an archive that cannot be read where it is (in another one, or from a
            pipe) may be unpacked into a temporary file without a name; else it is in memory.

    Raises:
        InvalidInputError: the input as a whole cannot be used: unknown format, no such file,
            a broken JSON document, a user that is not ``user_id``, dates of which nothing says what
            comes first, an archive that unpacks to far more than an export has. Raised at the call
            where it can be seen at once, else with the first item; what is broken within a JSON
            document, behind the items before it. Of several files one that cannot be read is a bad
            line, and the others are read.
    """
    known = formats()
    if format not in known:
        raise InvalidInputError(
            "format", f"{format!r} is unknown", fix=f"Use one of: {', '.join(known)}."
        )
    for name, value in (("conversation_id", conversation_id), ("user_id", user_id)):
        if value is not None:
            identifier(name, value)
    if dates is not None and dates not in get_args(DayOrder):
        raise InvalidInputError(
            "dates", f"{dates!r} is unknown", fix=f"Use one of: {', '.join(get_args(DayOrder))}."
        )
    if replace_user and user_id is None:
        raise InvalidInputError(
            "replace_user", "says nothing without user_id", fix="Name the user, too."
        )
    opening.check_source(source)
    counts = Counter() if left_out is None else left_out
    defaults = Defaults(conversation_id, user_id, "chat", "", counts, replace_user)
    return _read(source, format, defaults, dates, on_disk)


def formats() -> list[str]:
    """The formats that :func:`read` knows, those of other packages last."""
    from bruno_memory_vec.portability import readers

    return ["auto", *readers.ALL, *READERS.names()]


def __getattr__(name: str) -> Any:
    # Commands that read no file start without the thirty modules of the readers.
    if name == "Reader":
        from bruno_memory_vec.portability.readers import Reader

        return Reader
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _read(
    source: Source | Sequence[Source],
    chosen: str,
    defaults: Defaults,
    dates: DayOrder | None,
    on_disk: bool,
) -> Iterator[Turn | BadLine]:
    for file in opening.files(source, on_disk=on_disk):
        defaults.source_name, defaults.place, defaults.inner = file.name, file.place, file.inner
        defaults.beside = file.beside
        defaults.days = Days(dates, dates is not None)
        try:
            for item in _read_file(file, chosen, defaults):
                placed = isinstance(item, BadLine) and not item.place
                yield replace(item, place=file.place) if placed else item
        except InvalidInputError as error:
            # One broken file of many; what concerns all of them is told as it is.
            if not file.several or error.field != "source":
                raise
            problem = str(error).removeprefix("source: ").removesuffix(f". {error.fix}")
            yield BadLine(None, "file", problem.removeprefix(f"{file.place} "), file.place)


def _read_file(file: Opened, chosen: str, defaults: Defaults) -> Iterator[Turn | BadLine]:
    from bruno_memory_vec.portability import readers

    name = file.inner.rsplit("/", 1)[-1]
    with file.open() as stream:
        begin = read_exactly(stream, len(HEADER))
        stream = Prefixed(begin, stream)
        if begin == HEADER:
            yield from _of_database(file, stream)
            return
        lines = Lines(stream)
        if not lines.head(1):
            return
        if chosen in readers.ALL:
            reader = readers.ALL[chosen]
            if file.several:
                found = readers.choose(lines, name, file.inner, several=True).reader
                if found is not reader:
                    defaults.left_out[UNKNOWN_FILES] += 1
                    return
            readers.refuse_other(reader, lines, name, file.inner)
            yield from reader.turns(lines, defaults)
        elif chosen != "auto":
            yield from _of_plugin(chosen, lines, defaults)
        else:
            choice = readers.choose(lines, name, file.inner, several=file.several)
            if choice.reader is None and file.several:
                defaults.left_out[UNKNOWN_FILES] += 1
                return
            if choice.reader is None:
                shown = name if file.path is not None and name else "the input"
                raise InvalidInputError(
                    "source",
                    f"{shown} {choice.is_what}",
                    fix="docs/importing.md lists what is read.",
                )
            yield from choice.reader.turns(lines, defaults)


def _of_plugin(name: str, lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    from bruno_memory_vec.portability.readers import Reader

    found = READERS.load(name)
    turns = found.turns if isinstance(found, Reader) else found
    for item in turns(lines, defaults):
        # One that was written before there was `timed` gives the message no time.
        if isinstance(item, Turn) and "timestamp" not in item.message.model_fields_set:
            item = replace(item, timed=False)
        yield item


def _of_database(file: Opened, stream: Prefixed) -> Iterator[Turn | BadLine]:
    """The messages of bruno-memory's SQLite file, which is read from the disk."""
    if file.path is not None and not file.place.endswith(".gz"):
        yield from _placed(file.path, file.place)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bruno-memory.db")
        with path.open("wb") as copy:
            shutil.copyfileobj(stream, copy, 2**20)
        yield from _placed(path, file.place)


def _placed(path: Path, place: str) -> Iterator[Turn | BadLine]:
    try:
        for item in BrunoMemoryFile.open(path).turns():
            yield replace(item, place=place)
    except BackendUnavailable as error:
        raise InvalidInputError(
            "source",
            "the SQLite file is damaged, or is none",
            fix="Check it with bruno-memory itself.",
            cause=error,
        ) from error
