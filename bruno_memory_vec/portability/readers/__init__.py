"""The readers of exports, one module a format, each of which knows its format by its content.

A new one is a module with a :class:`~.reader.Reader`, and its place in the list below: the first
that recognises an input reads it, so what is special stands before what is general.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability.detect import Head, Lines, head_of
from bruno_memory_vec.portability.opening import what_it_is
from bruno_memory_vec.portability.readers import (
    chatgpt,
    claude,
    claude_knowledge,
    discord,
    documents,
    frameworks,
    gemini,
    items,
    jsonl,
    locomo,
    mail,
    memories,
    open_webui,
    openai,
    session_logs,
    sharegpt,
    slack,
    takeout_page,
    telegram,
    whatsapp,
)
from bruno_memory_vec.portability.readers.reader import Reader

__all__ = ["ALL", "Choice", "Reader", "choose", "refuse_other"]

#: Those of JSON.
JSON: tuple[Reader, ...] = (
    chatgpt.READER,
    claude.READER,
    claude_knowledge.MEMORIES,
    claude_knowledge.PROJECTS,
    open_webui.READER,
    gemini.TAKEOUT,
    gemini.STUDIO,
    session_logs.CLAUDE_CODE,
    session_logs.CODEX,
    telegram.READER,
    discord.READER,
    slack.READER,
    frameworks.LANGCHAIN,
    frameworks.LLAMAINDEX,
    sharegpt.SHAREGPT,
    sharegpt.OASST,
    sharegpt.ULTRACHAT,
    memories.LONGMEMEVAL,
    memories.MEM0,
    items.READER,
    openai.READER,
    locomo.READER,
    jsonl.READER,
)
#: Those of texts; the first two are known by their first line, before it is read as JSON.
TEXTS: tuple[Reader, ...] = (
    whatsapp.READER,
    mail.READER,
    documents.MARKDOWN,
    documents.TEXT,
)
ALL: dict[str, Reader] = {reader.name: reader for reader in (*JSON, *TEXTS)}

_NO_JSON = (".md", ".markdown", ".mbox")
_TEXT = (".txt", ".text", ".rst", ".org")
#: How JSON of chats begins, which texts do not: "[link](...)" and "{{template}}" are none.
_JSON_BEGIN = re.compile(r"""\s*(?:\{\s*(?:"|$)|\[\s*(?:[\[{"]|$))""")
_MARKUP = ("<!doctype", "<html", "<?xml")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which reader an input is for.

    Attributes:
        reader: None where no reader knows it.
        is_what: what it is then, in words, with the nearest reader.
    """

    reader: Reader | None
    is_what: str = ""


def choose(lines: Lines, name: str, inner: str, *, several: bool = False) -> Choice:
    """The reader of an input that is not empty; nothing of it is consumed.

    Args:
        lines: the input.
        name: of the file, with its suffix; "" of a stream.
        inner: its path within the folder or archive that was given.
        several: it is one of several, of which only those are texts whose names say so.

    Raises:
        InvalidInputError: it begins as a JSON document and is none.
    """
    first = lines.head(1)[0]
    binary = what_it_is(first.data[:512])
    if binary is not None:
        return Choice(None, f"is {binary}")
    suffix = PurePath(name.lower()).suffix
    begin = first.data.lstrip()[:1]
    early = _text_head(lines, name, inner)
    whole = suffix in _NO_JSON or (suffix in _TEXT and _JSON_BEGIN.match(early.text) is None)
    if whole or begin != b"{":
        for reader in TEXTS if whole else TEXTS[:2]:
            if reader.recognises(early):
                return Choice(reader)
    head = head_of(lines, name, inner)
    for far in (False, True):
        if far:
            if head.shape not in ("lines", "text"):
                break
            head = head_of(lines, name, inner, far=True)
        found = next((reader for reader in JSON if reader.recognises(head)), None)
        if found is not None:
            return Choice(found)
    if head.shape == "list" and not lines.stream().ahead(1):
        return Choice(openai.READER)  # an empty list is an export of nothing
    if head.shape == "text":
        return _of_text(head, suffix, several)
    return Choice(None, _unknown(head))


def refuse_other(chosen: Reader, lines: Lines, name: str, inner: str) -> None:
    """Refuse an input of which another reader than the one that was named knows what it is.

    Raises:
        InvalidInputError: naming that reader.
    """
    first = next(iter(lines.head(1)), None)
    if first is None or chosen in TEXTS:
        return
    head = head_of(lines, name, inner)
    if chosen.recognises(head):
        return
    if head.shape in ("lines", "text"):
        # Logs begin with lines that say little.
        head = head_of(lines, name, inner, far=True)
    others = (reader for reader in JSON if reader is not chosen and reader.recognises(head))
    other = next(others, None)
    if head.shape == "text" and other is None:
        if first.too_long:
            return  # what it is cannot be seen
        raise InvalidInputError(
            "format",
            f"the input is no {chosen.name} but a text without JSON objects",
            fix="Let it be told by its content: 'auto'.",
        )
    # The readers of lists of messages take each other's.
    if other is not None and {chosen.name, other.name} != {"openai", "chatgpt"}:
        raise InvalidInputError(
            "format",
            f"the input is no {chosen.name} but {other.title}",
            fix=f"Read it as {other.name!r}, or let it be told by its content: 'auto'.",
        )


def _text_head(lines: Lines, name: str, inner: str) -> Head:
    shown = lines.head(1)[0].data[: 2**16].decode("utf-8", "replace")
    return Head(name.lower(), inner, "text", [], shown)


def _of_text(head: Head, suffix: str, several: bool) -> Choice:
    """A text that is no JSON."""
    begin = head.text.lstrip()[:200].lower()
    if takeout_page.is_page(head):
        return Choice(None, "is a page of Google's activities, and those seen are none of Gemini")
    if begin.startswith(_MARKUP) or suffix in (".html", ".htm", ".xml"):
        return Choice(None, "is a page of HTML or XML; export it as JSON")
    if suffix in (".json", ".jsonl", ".ndjson"):
        return Choice(None, "is no JSON, although its name says so")
    if suffix in (".csv", ".tsv"):
        return Choice(None, "is a table; write it as one JSON object a line (format jsonl)")
    found = next((reader for reader in TEXTS if reader.recognises(head)), None)
    if found is None or (several and found is documents.TEXT and suffix not in _TEXT):
        return Choice(None, "is a text, and no chat that a reader knows")
    return Choice(found)


#: What lies beside the chats of an export, by keys that only this has.
_BESIDE = (
    ({"email", "chatgpt_plus_user"}, "the account of ChatGPT's export"),
    ({"rating", "conversation_id", "message_id"}, "the ratings of ChatGPT's export"),
    ({"is_anonymous", "conversation_id"}, "the list of chats that ChatGPT has shared"),
    ({"full_name", "email_address", "verified_phone_number"}, "the account of Claude.ai's export"),
)


def _unknown(head: Head) -> str:
    """What a JSON input is that no reader knows, in one sentence, with the nearest reader."""
    kind = {"object": "a JSON object", "list": "a JSON list", "lines": "JSON lines"}[head.shape]
    if head.shape == "lines" and len(head.samples) == 1:
        kind = "a JSON object"
    keys = list(head.first)
    if not keys:
        return f"is {kind} without objects, which is no known format"
    for marks, what in _BESIDE:
        if marks <= set(keys):
            return f"is {what}; its chats are in other files: name the whole folder or archive"
    shown = ", ".join(repr(key[:40]) for key in keys[:5]) + (", ..." if len(keys) > 5 else "")
    near = max(JSON, key=lambda reader: len(set(reader.wants) & set(keys)))
    common = set(near.wants) & set(keys)
    if not common:
        return f"is {kind} with the keys {shown}, which is no known format"
    missing = ", ".join(key for key in near.wants if key not in common)
    return (
        f"is {kind} with the keys {shown}, which is no known format; the nearest is {near.name}, "
        f"which has {missing}, too"
    )
