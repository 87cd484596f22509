"""Reading conversations from files: what ``bruno-memory-vec ingest`` understands.

=========  ========================================================================
format     what it is
=========  ========================================================================
jsonl      one message a line; see :mod:`bruno_memory_vec.portability.jsonl`
openai     chats as ``messages`` lists, fine-tuning JSONL, or a ChatGPT export
locomo     the LoCoMo benchmark's ``locomo10.json``
auto       one of these, detected from the first two lines
=========  ========================================================================

Another package adds a format by an entry point of the group ``bruno_memory_vec.readers``. The entry
point's name is that of the format, and its object is a function such as
:func:`bruno_memory_vec.portability.jsonl.turns`. It is used only if the format is named, not by
"auto".

Parts of a file may be bad. So a reader yields a :class:`Turn` for each message it can use and a
:class:`BadLine` for each it cannot, and goes on. Nothing is stored here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Literal, TextIO, get_args

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.plugins import Plugins
from bruno_memory_vec.portability import detect, jsonl, locomo, openai
from bruno_memory_vec.portability.records import BadLine, Defaults, Turn
from bruno_memory_vec.rows.checks import identifier

__all__ = ["READERS", "BadLine", "Format", "Turn", "formats", "read"]

Format = Literal["auto", "jsonl", "openai", "locomo"]
#: The readers of other packages.
READERS = Plugins("bruno_memory_vec.readers", field="format", what="reader")


def read(
    source: str | Path | TextIO | BinaryIO,
    *,
    format: Format | str = "auto",  # noqa: A002 - the word users know; the builtin is not needed here
    conversation_id: str | None = None,
    user_id: str | None = None,
    left_out: Counter[str] | None = None,
) -> Iterator[Turn | BadLine]:
    """Read messages, in the order of the input.

    The input is streamed: of JSONL one line is in memory at a time, of a JSON document that is a
    list one element, such as a chat; a document that is one object is loaded whole. An empty input
    gives nothing and is no error. A message without an id gets one made from its user,
    conversation, position, role and text, so reading the same file again gives the same ids. A
    message without a timestamp gets the time of reading.

    Args:
        source: a path, ``"-"`` for standard input, or an open stream, which stays open. A text
            stream is taken as it decodes.
        format: one of the table above.
        conversation_id: for messages that name no conversation. When the input holds several
            such conversations, each gets ``/1``, ``/2``, ... after it. Without this, chats are
            named after the file.
        user_id: for messages that name no user. Never replaces a user named in the data.
        left_out: counts, while it is read, what is left out on purpose, such as "reasoning".

    Raises:
        InvalidInputError: the input as a whole cannot be used: unknown format, no such file, a
            folder, broken JSON document. Raised at the call where it can be seen at once, else
            with the first item; what is broken within a JSON document, behind the items before it.
    """
    known = formats()
    if format not in known:
        raise InvalidInputError(
            "format", f"{format!r} is unknown", fix=f"Use one of: {', '.join(known)}"
        )
    for name, value in (("conversation_id", conversation_id), ("user_id", user_id)):
        if value is not None:
            identifier(name, value)
    detect.check_source(source)
    counts = Counter() if left_out is None else left_out
    place = str(source) if isinstance(source, (str, Path)) and source != "-" else ""
    defaults = Defaults(conversation_id, user_id, detect.name_of(source), place, counts)
    return _read(source, format, defaults)


def formats() -> list[str]:
    """The formats that :func:`read` knows, those of other packages last."""
    return [*get_args(Format), *READERS.names()]


def _read(
    source: str | Path | TextIO | BinaryIO, chosen: str, defaults: Defaults
) -> Iterator[Turn | BadLine]:
    with detect.open_lines(source) as lines:
        if not lines.head(1):
            return
        kind = detect.detect(lines) if chosen == "auto" else chosen
        if kind == "jsonl":
            yield from jsonl.turns(lines, defaults)
        elif kind == "locomo":
            yield from locomo.turns(lines.stream(), defaults)
        elif kind not in get_args(Format):
            for item in READERS.load(kind)(lines, defaults):
                # One that was written before there was `timed` gives the message no time.
                if isinstance(item, Turn) and "timestamp" not in item.message.model_fields_set:
                    item = replace(item, timed=False)
                yield item
        elif detect.is_line_by_line(lines):
            yield from openai.turns_of_lines(lines, defaults)
        else:
            yield from openai.turns_of_document(lines.stream(), defaults)
