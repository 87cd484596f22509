"""Notes and texts as documents: Markdown by its headings, plain text by its paragraphs.

Each part is a turn of the kind "document", and the file a conversation. A part has at most so many
characters as an embedder reads of it; a longer one is cut between paragraphs. Markdown's front
matter gives title, time and tags; a note named 2025-10-03.md is of that day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import PurePath
from typing import Any

from bruno_core.models.message import MessageRole

from bruno_memory_vec.portability import times
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.reader import Reader
from bruno_memory_vec.portability.readers.talk import Talk, lenient_time
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Kind, Turn

#: Characters of a part, some 400 tokens.
LONGEST = 1_500

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"\s*(```|~~~)")
_PAIR = re.compile(r"([A-Za-z_][\w -]*):\s*(.*)")
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)")
_MARKDOWN = re.compile(r"(?m)^(?:#{1,6} \S|\s*[-*] \S|```|> |\|.*\|$|---$)")


def recognises_markdown(head: Head) -> bool:
    """By the name, else by two marks of Markdown, one of which is a heading."""
    if PurePath(head.name).suffix in (".md", ".markdown"):
        return True
    if PurePath(head.name).suffix:
        return False
    return (
        len(_MARKDOWN.findall(head.text)) > 1
        and re.search(r"(?m)^#{1,6} \S", head.text) is not None
    )


def markdown_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the parts of a note, each below its headings."""
    texts = list(lines.texts())
    matter, texts = _front_matter(texts)
    title = str(matter.get("title") or PurePath(defaults.source_name).name)
    time = lenient_time(_unquoted(times.first_of(matter), matter), defaults) or _named_day(defaults)
    about: dict[str, Any] = {"title": title}
    if matter.get("tags"):
        about["tags"] = matter["tags"]
    yield from markdown_parts(_talk(defaults, about, time), texts, time)


def markdown_parts(
    talk: Talk,
    texts: Iterable[tuple[int, str]],
    time: datetime | None,
    holds: Kind = "document",
) -> Iterator[Turn | BadLine]:
    """Yield the parts of a text in Markdown, each below its headings.

    Args:
        talk: its conversation.
        texts: its lines, each with its number.
        time: of all its parts.
        holds: what each part is.
    """
    path: list[tuple[int, str]] = []
    waiting: list[tuple[int, str]] = []
    fenced = False
    for number, text in texts:
        if _FENCE.match(text):
            fenced = not fenced
        heading = None if fenced else _HEADING.match(text)
        if heading is None:
            waiting.append((number, text))
            continue
        yield from _parts(talk, waiting, path, time, holds)
        waiting = []
        level = len(heading[1])
        path = [*(one for one in path if one[0] < level), (level, heading[2])]
    yield from _parts(talk, waiting, path, time, holds)


def recognises_text(head: Head) -> bool:
    """Any other text, by its name or without one."""
    return PurePath(head.name).suffix in ("", ".txt", ".text", ".log", ".rst", ".org")


def text_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the paragraphs of a text, several short ones together."""
    talk = _talk(defaults, {"title": PurePath(defaults.source_name).name}, _named_day(defaults))
    yield from _parts(talk, lines.texts(), [], _named_day(defaults))


def _talk(defaults: Defaults, about: dict[str, Any], time: datetime | None) -> Talk:
    name = defaults.conversation_id or defaults.source_name
    return Talk(defaults, name, defaults.user(None), None, about, time)


def _parts(
    talk: Talk,
    lines: Iterable[tuple[int, str]],
    path: list[tuple[int, str]],
    time: datetime | None,
    holds: Kind = "document",
) -> Iterator[Turn | BadLine]:
    headings = [name for _, name in path]
    for number, text in _chunks(lines):
        about: dict[str, Any] = {"heading": " > ".join(headings)} if headings else {}
        words = f"{headings[-1]}\n\n{text}" if headings else text
        try:
            yield talk.say(
                MessageRole.USER, words, time=time, about=about, line=number, holds=holds
            )
        except BadFieldError as error:
            talk.skip()
            yield error.at(number)


def _chunks(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Paragraphs, several together as long as they are short; a long one is cut at its lines."""
    held: list[str] = []
    began, size, blank = 0, 0, False
    for number, text in lines:
        if not text.strip():
            blank = bool(held)
            continue
        for piece in _cut(text):
            full = size + len(piece) > LONGEST
            if held and full and (blank or size > LONGEST // 2):
                yield began, "\n".join(held).strip()
                held, size, blank = [], 0, False
            if not held:
                began = number
            if blank:
                held.append("")
            held.append(piece)
            size += len(piece) + 1
            blank = False
    if held:
        yield began, "\n".join(held).strip()


def _cut(line: str) -> Iterator[str]:
    """A line, in pieces where it is too long: a paragraph may be one line."""
    begin = 0
    while len(line) - begin > LONGEST:
        last = begin + LONGEST
        end = line.rfind(". ", begin + LONGEST // 2, last) + 1 or line.rfind(" ", begin + 1, last)
        end = end if end > begin else last
        yield line[begin:end].strip()
        begin = end
    if line[begin:].strip():
        yield line[begin:].rstrip() if not begin else line[begin:].strip()


def _front_matter(
    texts: list[tuple[int, str]],
) -> tuple[dict[str, Any], list[tuple[int, str]]]:
    """The pairs between the first two lines of ---, and the rest; only plain values are read."""
    begin = next((at for at, (_, text) in enumerate(texts) if text.strip()), None)
    if begin is None or texts[begin][1].strip() != "---":
        return {}, texts
    found: dict[str, Any] = {}
    key = ""
    for at in range(begin + 1, len(texts)):
        text = texts[at][1]
        if text.strip() in ("---", "..."):
            return found, texts[at + 1 :]
        item = text.strip()
        if item.startswith("- ") and key:
            listed = found[key] if isinstance(found[key], list) else []
            found[key] = [*listed, item[2:].strip(" \"'")]
            continue
        match = _PAIR.fullmatch(item)
        if match is not None:
            key, value = match[1].lower(), match[2].strip()
            if value.startswith("[") and value.endswith("]"):
                found[key] = [one.strip(" \"'") for one in value[1:-1].split(",") if one.strip()]
            else:
                found[key] = value.strip("\"'")
    # Without an end it is a line between parts.
    return {}, texts


def _unquoted(key: str | None, matter: dict[str, Any]) -> Any:
    return None if key is None else matter[key]


def _named_day(defaults: Defaults) -> datetime | None:
    match = _DAY.match(PurePath(defaults.source_name).name)
    return None if match is None else lenient_time(match[1], defaults)


MARKDOWN = Reader("markdown", "a note in Markdown", (), recognises_markdown, markdown_turns)
TEXT = Reader("text", "a text", (), recognises_text, text_turns)
