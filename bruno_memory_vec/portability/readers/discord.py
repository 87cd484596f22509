"""Discord: channels as DiscordChatExporter writes them, and the package of one's own data.

A channel's conversation is ``discord/CHANNEL``. Messages of bots are the assistant's. The package
(``messages/c123/messages.json``, in older ones ``messages.csv``) has only what its owner wrote, who
is the user. It begins with the newest message, and is read in the order of the times.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import PurePosixPath
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

# DiscordChatExporter writes the number of a kind that it has no name for.
_SAID = {"Default", "Reply", "ThreadStarterMessage", "ChatInputCommand", "ContextMenuCommand"} | {
    "0", "19", "20", "21", "23",
}  # fmt: skip


def recognises(head: Head) -> bool:
    """A channel with messages, or a list of one's own."""
    if head.shape == "text":
        return _is_table(head.text)
    first = head.first
    if isinstance(first.get("channel"), dict) and isinstance(first.get("messages"), list):
        return "guild" in first or "exportedAt" in first
    return head.shape == "list" and {"ID", "Timestamp", "Contents"} <= set(first)


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of a channel."""
    first = b"" if lines.is_streaming else lines.head(1)[0].data
    if _is_table(first.decode("utf-8", "replace")):
        yield from _package(_rows(lines), defaults)
        return
    if lines.stream().is_list():
        yield from _package(_objects(lines), defaults)
        return
    value = whole_object(lines, "a channel of Discord")
    channel, guild = object_of(value.get("channel")), object_of(value.get("guild"))
    messages = _oldest_first(list_of(value.get("messages")))
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


def _oldest_first(messages: list[Any]) -> list[Any]:
    """The messages in the order of their times: the exporter can write the newest first."""
    shown = [word_of(object_of(message).get("timestamp")) for message in messages]
    turned = len(shown) > 1 and all(one >= other for one, other in pairwise(shown))
    return messages[::-1] if turned and shown[0] > shown[-1] else messages


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


_COLUMNS = ("ID", "Timestamp", "Contents", "Attachments")
# A message of one's own, its line, and where it is, for reports.
_Own = tuple[dict[str, Any], int | None, str]


def _is_table(text: str) -> bool:
    """Whether a text begins as the older package's messages.csv."""
    first = text.lstrip("\ufeff\r\n ").split("\n", 1)[0]
    names = [name.strip().strip('"') for name in first.split(",")]
    return set(_COLUMNS[:3]) <= set(names)


def _rows(lines: Lines) -> Iterator[_Own | BadLine]:
    """The messages of a table."""
    # Texts of several lines stand within quotes.
    reader = csv.reader((f"{text}\n" for _, text in lines.texts()), strict=True)
    names: list[str] = []
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # Where a quote is wrong nothing says where the next message begins.
            yield BadLine(reader.line_num, "line", f"the table is broken: {error}")
            return
        if not names:
            names = [name.strip().removeprefix("\ufeff") for name in row]
        elif len(row) != len(names):
            if row:
                problem = f"expected {len(names)} columns, got {len(row)}"
                yield BadLine(reader.line_num, "line", problem)
        else:
            yield dict(zip(names, row, strict=True)), reader.line_num, ""


def _objects(lines: Lines) -> Iterator[_Own | BadLine]:
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
        else:
            yield found[0], found[1].line, found[1].path


def _package(messages: Iterator[_Own | BadLine], defaults: Defaults) -> Iterator[Turn | BadLine]:
    """What one has written in a channel. All of it is in memory, as it begins with the newest."""
    data = defaults.beside("channel.json")
    channel = _json_object(data)
    parts = [part for part in defaults.inner.split("/") if part]
    folder = parts[-2] if len(parts) > 1 else defaults.source_name.rpartition("/")[0]
    number = text_of(channel.get("id")) or folder or defaults.source_name
    title = text_of(channel.get("name"))
    if title is None:
        title = text_of(_json_object(defaults.beside("../index.json")).get(number))
    guild = text_of(object_of(channel.get("guild")).get("name"))
    about = {"title": " / ".join(filter(None, [guild, title]))} if title else {}
    talk = Talk(defaults, f"discord/{number}", defaults.user(None), None, about)
    found: list[tuple[datetime | None, _Own]] = []
    for one in messages:
        if isinstance(one, BadLine):
            yield one
            continue
        try:
            found.append((time_in(one[0], defaults, "Timestamp"), one))
        except BadFieldError as error:
            yield told(error, one[1], one[2])
    if all(time is not None for time, _ in found):
        found.sort(key=lambda one: (str(one[0]), _number(one[1][0])))
    for time, (message, line, path) in found:
        try:
            text = message.get("Contents")
            pieces = [Piece("text", text)] if isinstance(text, str) and text.strip() else []
            for address in word_of(message.get("Attachments")).split():
                called = PurePosixPath(address.partition("?")[0]).name
                pieces.append(Piece("note", f"[file: {called}]", {}, "file"))
            yield from talk.say_content(
                MessageRole.USER,
                Content(pieces),
                time=time,
                source_id=text_of(message.get("ID")),
                line=line,
            )
        except BadFieldError as error:
            talk.skip()
            yield told(error, line, path)


def _number(message: dict[str, Any]) -> int:
    """The number of a message; they grow with time."""
    text = text_of(message.get("ID")) or ""
    return int(text) if text.isdecimal() and len(text) < 30 else 0


def _json_object(data: bytes | None) -> dict[str, Any]:
    """What a file beside says; it only adds to what is read, so a broken one says nothing."""
    try:
        return object_of(json.loads(data)) if data else {}
    except (ValueError, RecursionError):
        return {}


READER = Reader(
    "discord",
    "a channel of Discord",
    ("guild", "channel", "messages", "ID", "Timestamp", "Contents"),
    recognises,
    turns,
)
