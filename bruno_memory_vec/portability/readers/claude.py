"""Claude.ai's export: ``conversations.json``, whose chats have ``chat_messages``.

Each message has its text and its content, a list of blocks: text, calls of tools and their results,
thinking, which is left out. What was extracted from attached files stays out, too, and their names
are noted; a long text that was pasted is an attachment without a name, and is read. Other branches,
where ``parent_message_uuid`` shows them, are conversations of their own.
A chat belongs to its account, unless the caller names the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.branches import branches
from bruno_memory_vec.portability.readers.content import Piece, file_notes, read_content
from bruno_memory_vec.portability.readers.reader import (
    Element,
    Reader,
    list_of,
    object_of,
    objects,
    text_of,
)
from bruno_memory_vec.portability.readers.talk import (
    Talk,
    lenient_time,
    role_in,
    time_in,
    titled,
    told,
)
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

EXTRACTED = "texts of attached files"


def recognises(head: Head) -> bool:
    """Chats with ``chat_messages``."""
    return isinstance(head.first.get("chat_messages"), list)


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of every chat. One chat is in memory at a time."""
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
        else:
            yield from _chat(*found, defaults)


def _chat(chat: dict[str, Any], element: Element, defaults: Defaults) -> Iterator[Turn | BadLine]:
    try:
        name = records.needed_name(chat.get("uuid", chat.get("id")), "uuid")
        messages = chat.get("chat_messages")
        if not isinstance(messages, list):
            got = records.json_type(messages)
            raise BadFieldError("chat_messages", f"expected a list of messages, got {got}")
    except BadFieldError as error:
        yield told(error, element.line, element.path)
        return
    account = text_of(object_of(chat.get("account")).get("uuid"))
    user = defaults.user(account, account=True)
    since = lenient_time(chat.get("created_at"), defaults)
    talk = Talk(defaults, name, user, element.line, titled(chat.get("name")), since)
    names = _branches(messages)
    for index, message in enumerate(messages):
        branch = names.get(str(object_of(message).get("uuid")), "")
        talk.conversation = f"{name}/branch-{branch}" if branch else name
        try:
            if not isinstance(message, dict):
                got = records.json_type(message)
                raise BadFieldError("message", f"expected an object, got {got}")
            yield from _message(message, talk, {"branch_of": name} if branch else {})
        except BadFieldError as error:
            talk.skip()
            yield error.at(element.line, element.within(f"chat_messages[{index}]."))


def _branches(messages: list[Any]) -> dict[str, str]:
    """By message the name of its branch; "" of the one that ends in the last message."""
    parents = {
        message["uuid"]: message.get("parent_message_uuid")
        for message in messages
        if isinstance(message, dict) and isinstance(message.get("uuid"), str)
    }
    known = {
        key: up if isinstance(up, str) and up in parents else None for key, up in parents.items()
    }
    # Older exports have no parents, and are a line.
    if not any(known.values()):
        return {}
    try:
        found = branches(known, next(reversed(known)), "parent_message_uuid")
    except BadFieldError:
        return {}
    return {node: branch.name for branch in found for node in branch.nodes}


def _message(message: dict[str, Any], talk: Talk, about: dict[str, Any]) -> Iterator[Turn]:
    role = role_in(message.get("sender"), "sender")
    content = read_content(message.get("content"))
    if not content.pieces and isinstance(message.get("text"), str):
        content.pieces = read_content(message["text"]).pieces
    for file in list_of(message.get("attachments")):
        text = text_of(object_of(file).get("extracted_content"))
        if text is not None and text_of(object_of(file).get("file_name")) is None:
            # What was pasted, and was too long for the site's field, is a file without a name.
            content.pieces.append(Piece("text", text))
        else:
            talk.leave_out(EXTRACTED, int(text is not None))
    names = [
        file["file_name"]
        for key in ("attachments", "files", "files_v2")
        for file in list_of(message.get(key))
        if isinstance(file, dict) and isinstance(file.get("file_name"), str)
    ]
    names = [name for name in dict.fromkeys(names) if name.strip()]
    if names:
        about = {**about, "files": names}
    if not content.pieces and not content.reasoning:
        content.pieces = file_notes(names)
    yield from talk.say_content(
        role,
        content,
        time=time_in(message, talk.defaults),
        source_id=text_of(message.get("uuid")),
        about=about,
    )


READER = Reader(
    "claude", "Claude.ai's export", ("uuid", "name", "chat_messages", "account"), recognises, turns
)
