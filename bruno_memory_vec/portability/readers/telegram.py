"""Telegram's export (``result.json``, made by Telegram Desktop as JSON): one chat, or all of them.

A chat's conversation is ``telegram/ID``. In a chat with one person, who is not the one the chat is
named after is the user; an export of everything says whose it is. Pictures, voice messages and
files are noted; what Telegram itself reports (somebody joined, a call) is left out. Times are in
UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.content import Content, Piece
from bruno_memory_vec.portability.readers.people import People, said
from bruno_memory_vec.portability.readers.reader import (
    Reader,
    list_of,
    object_of,
    text_of,
    whole_object,
    word_of,
)
from bruno_memory_vec.portability.readers.talk import Talk, time_in, told
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

# Where the chats of an export of everything are.
_CHATS = (("chats", "list"), ("left_chats", "list"))
SERVICE = "events of the messenger"
_MEDIA = {
    "voice_message": "audio",
    "audio_file": "audio",
    "video_message": "video",
    "video_file": "video",
    "animation": "video",
    "sticker": "image",
}


def recognises(head: Head) -> bool:
    """Messages with ``from`` and a date, in a chat or in a list of chats."""
    first = head.first
    if isinstance(object_of(first.get("chats")).get("list"), list):
        return True
    if "personal_information" in first and "contacts" in first:
        return True
    messages = [one for one in list_of(first.get("messages"))[:20] if isinstance(one, dict)]
    known = "name" in first or first.get("type") == "saved_messages"
    return known and any(
        "date" in one and ("from" in one or "actor" in one) and "role" not in one
        for one in messages
    )


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of every chat. One chat is in memory at a time."""
    document = lines.stream()
    if document.is_list() or "messages" in document.outline():
        yield from _chat(whole_object(lines, "Telegram's export"), "", [], defaults)
        return
    known: list[Any] = []
    counts = dict.fromkeys(_CHATS, 0)
    for path, value, is_element in document.parts():
        if path == ("personal_information", "user_id"):
            known = [value, f"user{value}"]
        elif is_element and path in counts:
            yield from _chat(object_of(value), f"{path[0]}.list[{counts[path]}].", known, defaults)
            counts[path] += 1


def _chat(
    chat: dict[str, Any], path: str, known: list[Any], defaults: Defaults
) -> Iterator[Turn | BadLine]:
    name = text_of(chat.get("name"))
    number = text_of(chat.get("id")) or name or "chat"
    messages = list_of(chat.get("messages"))
    speakers = {
        str(one[key])
        for one in messages
        if isinstance(one, dict)
        for key in ("from", "from_id")
        if one.get(key)
    }
    if not known and chat.get("type") == "saved_messages":
        known = list(speakers)
    if not known and chat.get("type") in ("personal_chat", "bot_chat") and name is not None:
        named = [
            (text_of(one.get("from_id")), one.get("from"))
            for one in messages
            if isinstance(one, dict)
        ]
        other = {number for number, speaker in named if speaker == name}
        known = [number for number, _ in named if number is not None and number not in other]
    people = People.among(defaults, speakers, known)
    talk = Talk(
        defaults,
        f"telegram/{number}",
        defaults.user(None),
        None,
        {"title": name} if name else {},
    )
    for index, message in enumerate(messages):
        try:
            if not isinstance(message, dict):
                got = records.json_type(message)
                raise BadFieldError("message", f"expected an object, got {got}")
            yield from _message(message, talk, people)
        except BadFieldError as error:
            talk.skip()
            yield told(error, None, f"{path}messages[{index}]")


def _message(message: dict[str, Any], talk: Talk, people: People) -> Iterator[Turn]:
    if message.get("type", "message") != "message":
        talk.leave_out(SERVICE)
        return
    speaker = text_of(message.get("from")) or "Deleted account"
    content = Content()
    text = _text(message.get("text")) or _text(message.get("text_entities"))
    for words in (text, _poll(message), _place(message), _contact(message)):
        if words.strip():
            content.pieces.append(Piece("text", words))
    kind = _MEDIA.get(str(message.get("media_type")), "")
    if not kind:
        kind = "image" if "photo" in message else "file" if "file" in message else ""
    if kind:
        name = text_of(message.get("file_name"))
        content.pieces.append(Piece("note", f"[{kind}: {name}]" if name else f"[{kind}]", {}, kind))
    key = "date_unixtime" if message.get("date_unixtime") else "date"
    about = {}
    if message.get("forwarded_from"):
        about["forwarded_from"] = str(message["forwarded_from"])
    if message.get("reply_to_message_id") is not None:
        about["reply_to"] = str(message["reply_to_message_id"])
    yield from said(
        talk,
        people.role(message.get("from_id"), message.get("from")),
        speaker,
        content,
        time=time_in(message, talk.defaults, key),
        source_id=text_of(message.get("id")),
        about=about,
    )


def _poll(message: dict[str, Any]) -> str:
    poll = object_of(message.get("poll"))
    answers = [_text(object_of(one).get("text")) for one in list_of(poll.get("answers"))]
    lines = [_text(poll.get("question")), *(f"- {one}" for one in answers if one)]
    return "\n".join(line for line in lines if line)


def _place(message: dict[str, Any]) -> str:
    at = object_of(message.get("location_information"))
    words = [text_of(message.get(key)) for key in ("place_name", "address")]
    if "latitude" in at and "longitude" in at:
        words.append(f"({at['latitude']}, {at['longitude']})")
    return " ".join(word for word in words if word)


def _contact(message: dict[str, Any]) -> str:
    card = object_of(message.get("contact_information"))
    words = [text_of(card.get(key)) for key in ("first_name", "last_name", "phone_number")]
    return " ".join(word for word in words if word)


def _text(value: Any) -> str:
    """Text, an object with one, or a list of both."""
    if isinstance(value, str):
        return value
    parts = []
    for part in [value] if isinstance(value, dict) else list_of(value):
        shown = part if isinstance(part, str) else word_of(object_of(part).get("text"))
        address = word_of(object_of(part).get("href"))
        # A link behind other words would be lost.
        parts.append(f"{shown} ({address})" if address and address != shown else shown)
    return "".join(parts)


READER = Reader(
    "telegram",
    "Telegram's export",
    ("name", "type", "id", "messages", "chats"),
    recognises,
    turns,
)
