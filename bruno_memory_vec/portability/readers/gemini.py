"""Google's exports: Gemini in Takeout (``MyActivity.json`` or ``.html``) and prompts of AI Studio.

Each entry of Takeout is a prompt with its answer, the newest first. Where it links to its
conversation, that is ``gemini/ID``; most do not, and the prompts of a day are a conversation,
``gemini/2024-05-01``, in the order of their times. Other activities, and those of other products,
are left out. A page has seconds where JSON has milliseconds, so a message is known again by the
second it is of, and both may be read, one after the other. AI Studio keeps a file a chat, without
times in older ones; what the model thought is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from bruno_core.models.message import MessageRole

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers import takeout_page
from bruno_memory_vec.portability.readers.content import Content, Piece, called, shortened
from bruno_memory_vec.portability.readers.markup import plain
from bruno_memory_vec.portability.readers.reader import (
    Reader,
    list_of,
    object_of,
    objects,
    text_of,
    word_of,
)
from bruno_memory_vec.portability.readers.talk import (
    Talk,
    before,
    lenient_time,
    role_in,
    time_in,
    titled,
    told,
)
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

OTHERS = "other activities"
_PRODUCTS = ("gemini", "bard")
# What Google puts before what was typed, in the languages in which it was seen. In others it stays.
_SAID = re.compile(
    r"(?:Prompted(?: with:)?|Asked (?:Gemini|Bard):?|Asked:?|Said|Answered|Branched|"
    r"Added chat from link:|Submitted query|Query submitted|Eingegebener Prompt:|Pokyn|"
    r"Gav instruktionen|送信したメッセージ:|Υποβλήθηκε το ερώτημα)(?:\s+|$)",
    re.IGNORECASE,
)
_DID = re.compile(
    r"(?:Used|Created|Added (?!chat from link)|Gave feedback|Cleared|Viewed|Visited|Opened|"
    r"Selected)\b"
)
# An entry, its time, its line and the path to it.
_Found = tuple[datetime, dict[str, Any], int | None, str]
_CHAT = re.compile(r"https://gemini\.google\.com/(?:u/\d+/)?app/(?:c/)?([0-9A-Za-z_-]{4,80})")


def recognises_takeout(head: Head) -> bool:
    """Activities with a header, a title and a time, or a page of those of Gemini."""
    if head.shape == "text":
        if not takeout_page.is_page(head):
            return False
        shown = takeout_page.products(head)
        return any(name in shown for name in _PRODUCTS)
    first = head.first
    if not {"title", "time"} <= set(first) or "header" not in first:
        return False
    products = " ".join(map(str, [first["header"], *list_of(first.get("products"))])).lower()
    return any(name in products for name in _PRODUCTS) or "safeHtmlItem" in first


def takeout_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the prompts and answers by their times. All of them are in memory."""
    found: list[_Found] = []
    for one in _entries(lines, defaults):
        if isinstance(one, BadLine):
            yield one
        else:
            found.append(one)
    # Equal times stay in the order of the file, which begins with the newest.
    found.reverse()
    found.sort(key=lambda one: one[0])
    seconds: Counter[str] = Counter()
    for time, entry, line, path in found:
        try:
            yield from _activity(entry, time, seconds, defaults)
        except BadFieldError as error:
            yield told(error, line, path)


def _entries(lines: Lines, defaults: Defaults) -> Iterator[_Found | BadLine]:
    """The activities of either form, each with its time and where it is."""
    if not lines.is_streaming and lines.head(1)[0].data.lstrip()[:1] == b"<":
        for card in takeout_page.entries(lines, defaults):
            yield card if isinstance(card, BadLine) else (card[1], card[0], None, "")
        return
    for one in objects(lines):
        if isinstance(one, BadLine):
            yield one
            continue
        entry, element = one
        try:
            time = time_in(entry, defaults, "time")
            if time is None:
                raise BadFieldError("time", "is missing")
            yield time, entry, element.line, element.path
        except BadFieldError as error:
            yield told(error, element.line, element.path)


def _activity(
    entry: dict[str, Any], time: datetime, seconds: Counter[str], defaults: Defaults
) -> Iterator[Turn]:
    products = " ".join(map(str, [entry.get("header"), *list_of(entry.get("products"))])).lower()
    title = entry.get("title")
    known = any(name in products for name in _PRODUCTS)
    details = {
        str(one.get("name")): word_of(one.get("value"))
        for one in map(object_of, list_of(entry.get("details")))
    }
    prompt, answer = details.get("Request", ""), details.get("Response", "")
    if not known or not isinstance(title, str) or (_DID.match(title) and not prompt + answer):
        defaults.left_out[OTHERS] += 1
        return
    if not prompt and not _DID.match(title):
        prompt = _SAID.sub("", title, count=1) if _SAID.match(title) else title
    chat = _CHAT.match(word_of(entry.get("titleUrl")))
    name = f"gemini/{time:%Y-%m-%d}" if chat is None else f"gemini/{chat[1]}"
    talk = Talk(defaults, name, defaults.user(None))
    second = f"{time:%Y%m%dT%H%M%S}"
    seconds[second] += 1
    source_id = f"{second}.{seconds[second]}"
    notes = [text_of(object_of(one).get("name")) for one in list_of(entry.get("subtitles"))]
    shown = [note.strip().removeprefix("-").strip() for note in notes if note]
    about = {"noted": shown} if shown else {}
    if prompt.strip() or shown:
        words = prompt if prompt.strip() else f"[file: {shown[-1]}]"
        yield talk.say(
            MessageRole.USER, words, time=time, source_id=source_id, about=about, where="title"
        )
    answer = answer or "\n".join(
        plain(word_of(object_of(item).get("html"))) for item in list_of(entry.get("safeHtmlItem"))
    )
    if answer.strip():
        after = time + timedelta(microseconds=1) if time.year < 9999 else time
        yield talk.say(
            MessageRole.ASSISTANT,
            answer,
            time=after,
            source_id=f"{source_id}#2",
            where="safeHtmlItem",
        )


def recognises_studio(head: Head) -> bool:
    """One object with a prompt in chunks."""
    return isinstance(head.first.get("chunkedPrompt"), dict)


def studio_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of a chat of AI Studio."""
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        value, element = found
        base = text_of(value.get("id")) or defaults.conversation_id or defaults.source_name
        name = base if element.ordinal is None else f"{base}/{element.ordinal}"
        chunks = list_of(object_of(value.get("chunkedPrompt")).get("chunks"))
        since = lenient_time(value.get("createTime"), defaults) or before(chunks, defaults)
        about = titled(value.get("title"))
        talk = Talk(defaults, name, defaults.user(None), element.line, about, since)
        system = value.get("systemInstruction")
        parts = [system] if isinstance(system, str) else list_of(object_of(system).get("parts"))
        told_before = "\n".join(text for part in parts if (text := _text(part)))
        if not told_before and isinstance(object_of(system).get("text"), str):
            told_before = object_of(system)["text"].strip()
        if told_before:
            yield talk.say(MessageRole.SYSTEM, told_before)
        for index, chunk in enumerate(chunks):
            try:
                if not isinstance(chunk, dict):
                    got = records.json_type(chunk)
                    raise BadFieldError("chunk", f"expected an object, got {got}")
                yield from _chunk(chunk, talk)
            except BadFieldError as error:
                talk.skip()
                path = element.within(f"chunkedPrompt.chunks[{index}]")
                yield told(error, element.line, path)


def _chunk(chunk: dict[str, Any], talk: Talk) -> Iterator[Turn]:
    content = Content()
    if chunk.get("isThought") or chunk.get("thought"):
        content.reasoning = 1
    else:
        code = object_of(chunk.get("executableCode")).get("code")
        if isinstance(code, str) and code.strip():
            content.pieces.append(Piece("call", called("code", code), {"name": "code"}))
        result = object_of(chunk.get("codeExecutionResult")).get("output")
        if isinstance(result, str):
            content.pieces.append(Piece("result", shortened(result), {"name": "code"}))
        text = _text(chunk)
        if text and not content.pieces:
            content.pieces.append(Piece("text", text))
        for key in chunk:
            kind = _media(key)
            if kind:
                content.pieces.append(Piece("note", f"[{kind}]", {}, kind))
    yield from talk.say_content(
        role_in(chunk.get("role")), content, time=time_in(chunk, talk.defaults, "createTime")
    )


def _text(part: Any) -> str:
    text = part if isinstance(part, str) else object_of(part).get("text")
    return text if isinstance(text, str) and text.strip() else ""


def _media(key: str) -> str:
    for name, kind in (("Image", "image"), ("Video", "video"), ("Audio", "audio")):
        if key in (f"drive{name}", f"inline{name}"):
            return kind
    return "file" if key in ("driveDocument", "inlineFile", "inlineData") else ""


TAKEOUT = Reader(
    "gemini",
    "Gemini's activities of Google Takeout",
    ("header", "title", "time", "products", "safeHtmlItem"),
    recognises_takeout,
    takeout_turns,
)
STUDIO = Reader(
    "ai-studio",
    "a chat of Google AI Studio",
    ("chunkedPrompt", "runSettings", "systemInstruction"),
    recognises_studio,
    studio_turns,
)
