"""Open WebUI's export of chats: a list of ``{"id", "user_id", "title", "chat": {"history": ...}}``.

The history is a tree; the branch that is shown is the conversation, others are their own. Reasoning
that stands in the text (``<details type="reasoning">``) is left out. A chat belongs to its account,
unless the caller names the user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.branches import branches
from bruno_memory_vec.portability.readers.content import Content, Piece, read_content
from bruno_memory_vec.portability.readers.markup import without
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

_DETAILS = re.compile(r"<details\b[^>]{0,200}\btype=[\"']reasoning[\"'][^>]{0,200}>")
_THINK = re.compile(r"<think>")


def recognises(head: Head) -> bool:
    """Objects whose ``chat`` has a history or messages."""
    chat = object_of(head.first.get("chat"))
    return "history" in chat or ("messages" in chat and "models" in chat)


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of every chat. One chat is in memory at a time."""
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
        else:
            yield from _chat(*found, defaults)


def _chat(value: dict[str, Any], element: Element, defaults: Defaults) -> Iterator[Turn | BadLine]:
    chat = object_of(value.get("chat"))
    try:
        name = records.check_name(value.get("id") or chat.get("id") or None, "id")
        history = object_of(chat.get("history"))
        messages = object_of(history.get("messages"))
        if not messages:
            listed = [one for one in list_of(chat.get("messages")) if isinstance(one, dict)]
            messages = {str(one.get("id") or place): one for place, one in enumerate(listed)}
            parents = dict(zip(messages, [None, *messages], strict=False))
            current = next(reversed(messages), None)
        else:
            parents = {
                key: up if isinstance(up := object_of(one).get("parentId"), str) else None
                for key, one in messages.items()
            }
            current = history.get("currentId")
            if not isinstance(current, str) or current not in messages:
                current = next(reversed(messages))
        found = branches(parents, current, "chat.history.currentId") if messages else []
    except BadFieldError as error:
        yield told(error, element.line, element.path)
        return
    if name is None:
        base = defaults.conversation_id or defaults.source_name
        name = base if element.ordinal is None else f"{base}/{element.ordinal}"
    user = defaults.user(text_of(value.get("user_id")), account=True)
    about = titled(value.get("title") or chat.get("title"))
    since = lenient_time(value.get("created_at") or chat.get("timestamp"), defaults)
    for branch in found:
        talk = Talk(defaults, name, user, element.line, about, since)
        if branch.name:
            talk.conversation = f"{name}/branch-{branch.name}"
            talk.about = {**about, "branch_of": name}
        for key in branch.nodes:
            try:
                yield from _message(object_of(messages[key]), key, talk)
            except BadFieldError as error:
                talk.skip()
                path = element.within(f"chat.history.messages.{key}")
                yield told(error, element.line, path)


def _message(message: dict[str, Any], key: str, talk: Talk) -> Iterator[Turn]:
    role = role_in(message.get("role"))
    content: Content = read_content(message.get("content"))
    for piece in content.pieces:
        for begins, ends in ((_DETAILS, "</details>"), (_THINK, "</think>")):
            piece.text, count = without(piece.text, begins, ends)
            content.reasoning += count
    content.pieces = [piece for piece in content.pieces if piece.text.strip()]
    for file in list_of(message.get("files")):
        kind = "image" if object_of(file).get("type") == "image" else "file"
        name = text_of(object_of(file).get("name"))
        content.pieces.append(Piece("note", f"[{kind}: {name}]" if name else f"[{kind}]", {}, kind))
    model = text_of(message.get("model"))
    yield from talk.say_content(
        role,
        content,
        time=time_in(message, talk.defaults, "timestamp"),
        source_id=key,
        about={"model": model} if model else {},
    )


READER = Reader(
    "open-webui", "Open WebUI's export", ("chat", "user_id", "title", "meta"), recognises, turns
)
