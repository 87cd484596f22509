"""Discord: channels as DiscordChatExporter writes them, and the package of one's own data.

A channel's conversation is ``discord/CHANNEL``. Messages of bots are the assistant's. The package
(``messages/c123/messages.json``) has only what its owner wrote, who is the user.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bruno_core.models.message import MessageRole

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.content import Content, Piece
from bruno_memory_vec.portability.readers.people import People, said
from bruno_memory_vec.portability.readers.reader import (
    Reader,
    list_of,
    object_of,
    objects,
    text_of,
    whole_object,
    word_of,
)
from bruno_memory_vec.portability.readers.talk import Talk, time_in, told
from bruno_memory_vec.portability.readers.telegram import SERVICE
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

_SAID = {"Default", "Reply", "ThreadStarterMessage", "ChatInputCommand", "ContextMenuCommand"}


def recognises(head: Head) -> bool:
    """A channel with messages, or a list of one's own."""
    first = head.first
    if isinstance(first.get("channel"), dict) and isinstance(first.get("messages"), list):
        return "guild" in first or "exportedAt" in first
    return head.shape == "list" and {"ID", "Timestamp", "Contents"} <= set(first)


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of a channel."""
    if lines.stream().is_list():
        yield from _package(lines, defaults)
        return
    value = whole_object(lines, "a channel of Discord")
    channel, guild = object_of(value.get("channel")), object_of(value.get("guild"))
    messages = list_of(value.get("messages"))
    names = set()
    for message in messages:
        author = object_of(object_of(message).get("author"))
        names |= {str(author[key]) for key in ("id", "name", "nickname") if author.get(key)}
    people = People.among(defaults, names)
    title = " / ".join(filter(None, [text_of(guild.get("name")), text_of(channel.get("name"))]))
    number = text_of(channel.get("id")) or text_of(channel.get("name")) or defaults.source_name
    about = {"title": title} if title else {}
    talk = Talk(defaults, f"discord/{number}", defaults.user(None), None, about)
    for index, message in enumerate(messages):
        try:
            if not isinstance(message, dict):
                got = records.json_type(message)
                raise BadFieldError("message", f"expected an object, got {got}")
            yield from _message(message, talk, people)
        except BadFieldError as error:
            talk.skip()
            yield told(error, None, f"messages[{index}]")


def _message(message: dict[str, Any], talk: Talk, people: People) -> Iterator[Turn]:
    if word_of(message.get("type", "Default")) not in _SAID:
        talk.leave_out(SERVICE)
        return
    author = object_of(message.get("author"))
    name, shown = text_of(author.get("name")), text_of(author.get("nickname"))
    content = Content()
    text = message.get("content")
    if isinstance(text, str) and text.strip():
        content.pieces.append(Piece("text", text))
    # What a link leads to is shown below the text, too; without a text the embeds are all there is.
    if not content.pieces:
        shown_in = [_embedded(object_of(embed)) for embed in list_of(message.get("embeds"))]
        content.pieces += [Piece("text", words) for words in shown_in if words]
    forwarded = object_of(message.get("forwardedMessage"))
    if (words := text_of(forwarded.get("content"))) is not None:
        content.pieces.append(Piece("text", words))
    files = [*list_of(message.get("attachments")), *list_of(forwarded.get("attachments"))]
    for file in [*files, *list_of(message.get("stickers"))]:
        called = text_of(object_of(file).get("fileName")) or text_of(object_of(file).get("name"))
        content.pieces.append(
            Piece("note", f"[file: {called}]" if called else "[file]", {}, "file")
        )
    about = {}
    replied = text_of(object_of(message.get("reference")).get("messageId"))
    if replied:
        about["reply_to"] = replied
    yield from said(
        talk,
        people.role(author.get("id"), name, shown, bot=bool(author.get("isBot"))),
        shown or name or "somebody",
        content,
        time=time_in(message, talk.defaults, "timestamp"),
        source_id=text_of(message.get("id")),
        about=about,
    )


def _embedded(embed: dict[str, Any]) -> str:
    words = [text_of(embed.get(key)) for key in ("title", "description")]
    for field in list_of(embed.get("fields")):
        pair = [text_of(object_of(field).get(key)) for key in ("name", "value")]
        words.append(": ".join(word for word in pair if word))
    return "\n".join(word for word in words if word)


def _package(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    data = defaults.beside("channel.json")
    try:
        channel = object_of(json.loads(data)) if data else {}
    except (ValueError, RecursionError):
        channel = {}
    parts = [part for part in defaults.inner.split("/") if part]
    folder = parts[-2] if len(parts) > 1 else defaults.source_name
    number = text_of(channel.get("id")) or folder
    title = text_of(channel.get("name"))
    about = {"title": title} if title else {}
    talk = Talk(defaults, f"discord/{number}", defaults.user(None), None, about)
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        message, element = found
        try:
            text = message.get("Contents")
            files = text_of(message.get("Attachments"))
            pieces = [Piece("text", text)] if isinstance(text, str) and text.strip() else []
            if files:
                pieces.append(Piece("note", "[file]", {}, "file"))
            yield from talk.say_content(
                MessageRole.USER,
                Content(pieces),
                time=time_in(message, defaults, "Timestamp"),
                source_id=text_of(message.get("ID")),
            )
        except BadFieldError as error:
            talk.skip()
            yield told(error, element.line, element.path)


READER = Reader(
    "discord",
    "a channel of Discord",
    ("guild", "channel", "messages", "ID", "Timestamp", "Contents"),
    recognises,
    turns,
)
