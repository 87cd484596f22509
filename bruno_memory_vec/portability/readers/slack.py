"""Slack's export: a folder or archive with a folder a channel, and in it a file a day.

A channel's conversation is ``slack/CHANNEL``, a thread of replies is part of it. Names are from
``users.json`` beside the channels. Mentions are written with names. What Slack reports by itself
(somebody joined) is left out.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.content import Content, Piece
from bruno_memory_vec.portability.readers.people import People, said
from bruno_memory_vec.portability.readers.reader import (
    Reader,
    list_of,
    object_of,
    objects,
    text_of,
    word_of,
)
from bruno_memory_vec.portability.readers.talk import Talk, time_in, told
from bruno_memory_vec.portability.readers.telegram import SERVICE
from bruno_memory_vec.portability.records import MAX_DEPTH, BadFieldError, BadLine, Defaults, Turn

# Subtypes that are messages of people, and not events.
_SAID = {
    "bot_message",
    "thread_broadcast",
    "file_share",
    "me_message",
    "file_comment",
    "reply_broadcast",
}
_MENTION = re.compile(r"<@([A-Z0-9]{1,40})(?:\|([^>]{0,200}))?>")
# <!here>, <!subteam^S1|@team>, <#C1|general>
_ALL = re.compile(r"<([!#])([A-Za-z0-9_]{1,40})(?:\^[^<>|]{0,300})?(?:\|([^<>]{0,200}))?>")
_MAILTO = re.compile(r"<mailto:([^<>|]{1,300})\|\1>")
_LINK = re.compile(r"<([^<>|]{1,2000})\|([^<>]{0,2000})>")
_PLAIN = re.compile(r"<((?:https?|mailto):[^<>]{0,2000})>")
# Elements of these follow each other within a line.
_IN_A_LINE = {"rich_text_section", "rich_text_quote", "rich_text_preformatted"}
_STAMP = re.compile(r"\d{9,11}\.\d{1,6}")


def recognises(head: Head) -> bool:
    """Messages with the type "message" and a time such as 1700000000.000200."""
    first = head.first
    if first.get("type") != "message" or "role" in first:
        return False
    return isinstance(first.get("ts"), str) and _STAMP.fullmatch(first["ts"]) is not None


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of one file of a channel."""
    names = _names(defaults)
    people = People.among(defaults, [*names, *names.values()])
    parts = [part for part in defaults.inner.split("/") if part]
    folder = parts[-2] if len(parts) > 1 else defaults.source_name.rsplit("/", 1)[0]
    talk = Talk(defaults, f"slack/{folder}", defaults.user(None), None, {"title": f"#{folder}"})
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        message, element = found
        try:
            yield from _message(message, talk, names, people)
        except BadFieldError as error:
            talk.skip()
            yield told(error, element.line, element.path)


def _names(defaults: Defaults) -> dict[str, str]:
    """By the id of a member the name that is shown; empty without ``users.json``."""
    data = defaults.beside("../users.json") or defaults.beside("users.json")
    if data is None:
        return {}
    try:
        members = json.loads(data)
    except (ValueError, RecursionError):
        return {}  # it only adds names; what is broken is told when it is read itself
    found = {}
    for member in list_of(members):
        profile = object_of(object_of(member).get("profile"))
        shown = (
            text_of(profile.get("display_name"))
            or text_of(profile.get("real_name"))
            or text_of(object_of(member).get("real_name"))
            or text_of(object_of(member).get("name"))
        )
        key = text_of(object_of(member).get("id"))
        if key and shown:
            found[key] = shown
    return found


def _message(
    message: dict[str, Any], talk: Talk, names: dict[str, str], people: People
) -> Iterator[Turn]:
    subtype = message.get("subtype")
    if message.get("type") != "message" or (subtype is not None and word_of(subtype) not in _SAID):
        talk.leave_out(SERVICE)
        return
    comment = object_of(message.get("comment"))  # of a file, in older exports
    member = text_of(message.get("user")) or text_of(comment.get("user")) or ""
    profile = object_of(message.get("user_profile"))
    bot = subtype == "bot_message" or bool(message.get("bot_id"))
    speaker = (
        names.get(member)
        or text_of(profile.get("display_name"))
        or text_of(profile.get("real_name"))
        or text_of(message.get("username"))
        or text_of(object_of(message.get("bot_profile")).get("name"))
        or member
        or "somebody"
    )
    content = Content()
    text = message.get("text")
    if isinstance(text, str) and text.strip():
        content.pieces.append(Piece("text", _plain(text, names)))
    # What programs post is in blocks or attachments, often with no other text. Of people these
    # are the same text, and what a link leads to.
    shown = list_of(message.get("attachments")) if bot or not content.pieces else []
    if not content.pieces:
        shown = [*list_of(message.get("blocks")), *shown]
    if shown:
        words = "\n".join(filter(None, (_block(one, names) for one in shown)))
        if words.strip():
            content.pieces.append(Piece("text", words))
    for file in list_of(message.get("files")):
        name = text_of(object_of(file).get("name"))
        mime = str(object_of(file).get("mimetype", ""))
        kind = next((one for one in ("image", "audio", "video") if mime.startswith(one)), "file")
        content.pieces.append(Piece("note", f"[{kind}: {name}]" if name else f"[{kind}]", {}, kind))
    thread = message.get("thread_ts")
    yield from said(
        talk,
        people.role(member, speaker, bot=bot),
        speaker,
        content,
        time=time_in(message, talk.defaults, "ts"),
        source_id=text_of(message.get("client_msg_id")) or text_of(message.get("ts")),
        about={"thread": thread} if isinstance(thread, str) else {},
    )


def _block(block: Any, names: dict[str, str], depth: int = 0) -> str:
    """The text of a block, of an element of one, or of an attachment."""
    if isinstance(block, str):
        return _plain(block, names)
    if not isinstance(block, dict) or depth > MAX_DEPTH:
        return ""
    kind = word_of(block.get("type"))
    if kind == "user":
        member = text_of(block.get("user_id")) or ""
        return f"@{names.get(member, member)}"
    if kind in ("emoji", "channel", "usergroup", "broadcast"):
        named = (block.get(key) for key in ("name", "channel_id", "usergroup_id", "range"))
        word = next(filter(None, map(text_of, named)), "")
        return f":{word}:" if kind == "emoji" else word
    if kind == "link":
        return text_of(block.get("text")) or text_of(block.get("url")) or ""
    joint = "" if kind in _IN_A_LINE else "\n"
    parts: list[str] = []
    for key in ("pretext", "title", "text", "value", "fields", "elements", "blocks"):
        found = block.get(key)
        for one in found if isinstance(found, list) else [found]:
            if word := _block(one, names, depth + 1):
                parts.append(word)
    return joint.join(parts) or _plain(text_of(block.get("fallback")) or "", names)


def _called(match: re.Match[str]) -> str:
    """Everybody, a group, a channel or a day, as it is shown."""
    mark, name, shown = match.groups()
    if mark == "#":
        return f"#{(shown or name).removeprefix('#')}"
    return shown if shown and name in ("subteam", "date") else f"@{name}"


def _plain(text: str, names: dict[str, str]) -> str:
    text = _MENTION.sub(lambda m: f"@{names.get(m[1]) or m[2] or m[1]}", text)
    text = _ALL.sub(_called, text)
    text = _MAILTO.sub(r"\1", text)
    text = _PLAIN.sub(r"\1", _LINK.sub(r"\2 (\1)", text))
    return html.unescape(text)


READER = Reader("slack", "Slack's export", ("type", "user", "text", "ts"), recognises, turns)
