"""Chats as the OpenAI API and its fine-tuning files write them, and ChatGPT's export.

Read are ``{"messages": [...]}``, a bare list of messages, a list of either, and JSONL with one of
them a line. An object with a ``mapping`` is a ChatGPT conversation (:mod:`.chatgpt`).

- A chat's id is its ``conversation_id`` or ``id``, else the caller's, else the file's name; when
  the input may hold several chats, one without an id of its own gets ``/n`` after it, its place
  in the input from 1. Its user is its ``user_id``, else the caller's.
- Content is text or a list of parts. Text parts are joined with line breaks; the types of the
  others are kept in ``metadata["parts_left_out"]``.
- A developer's message becomes a system message with ``metadata["role"] = "developer"``.
- An assistant turn that only calls tools becomes an ACTION message with the text
  ``called name(arguments)`` a line, so that the tool's answer after it makes sense. Calls are also
  in ``metadata["tool_calls"]``. ``name`` and ``tool_call_id`` go to the metadata.
- ``timestamp``, ``created_at`` or ``create_time`` of a message is its time. Other keys are left
  out: the format is not ours and grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bruno_core.models.message import MessageRole, MessageType

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import chatgpt, records
from bruno_memory_vec.portability.detect import Lines
from bruno_memory_vec.portability.json_stream import JsonStream
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

_ROLES = {role.value: role for role in MessageRole} | {"developer": MessageRole.SYSTEM}
_TEXT_PARTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_TIMES = ("timestamp", "created_at", "create_time")


def turns_of_lines(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of a file with one chat a line."""
    for ordinal, line in enumerate(lines, start=1):
        if line.too_long:
            yield BadLine(line.number, "line", line.too_long)
            continue
        try:
            chat = records.parse_json(line.data)
        except BadFieldError as error:
            yield error.at(line.number)
            continue
        yield from _chat(chat, defaults, ordinal, line.number, "")


def turns_of_document(document: JsonStream, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of a JSON document. Of a list, one chat is in memory at a time.

    Raises:
        InvalidInputError: the document is broken, or neither a chat nor a list.
    """
    if document.is_list():
        first = document.first_container()
        # Told from a list of chats by its first object.
        if isinstance(first, dict) and "messages" not in first and "mapping" not in first:
            yield from _turns(document.items(), defaults, None, None, None, None, "")
            return
        for ordinal, chat in enumerate(document.items(), start=1):
            yield from _chat(chat, defaults, ordinal, None, f"[{ordinal - 1}]")
        return
    value = document.value()
    if not isinstance(value, dict):
        raise InvalidInputError(
            "source",
            f"expected chats, found {records.json_type(value)}",
            fix="Give a list of messages, or an object with messages",
        )
    yield from _chat(value, defaults, None, None, "")


def _chat(
    chat: Any, defaults: Defaults, ordinal: int | None, line: int | None, path: str
) -> Iterator[Turn | BadLine]:
    own = chat if isinstance(chat, dict) else {}
    try:
        conversation = _own_name(own, ("conversation_id", "id"))
        user = _own_name(own, ("user_id",))
        messages, path = _messages(chat, path)
    except BadFieldError as error:
        yield error.at(line, f"{path}." if path.endswith("]") else "")
        return
    yield from _turns(messages, defaults, conversation, user, ordinal, line, path)


def _turns(
    messages: Iterable[Any],
    defaults: Defaults,
    conversation: str | None,
    user: str | None,
    ordinal: int | None,
    line: int | None,
    path: str,
) -> Iterator[Turn | BadLine]:
    user = user or defaults.user_id
    if conversation is None:
        conversation = defaults.conversation_id or defaults.source_name
        if ordinal is not None:
            conversation = f"{conversation}/{ordinal}"
    for position, message in enumerate(messages):
        try:
            yield _turn(message, defaults, conversation, user, position, line)
        except BadFieldError as error:
            yield error.at(line, f"{path}[{position}].")


def _messages(chat: Any, path: str) -> tuple[list[Any], str]:
    """Return a chat's messages and the path to them, for reports."""
    if isinstance(chat, list):
        return chat, path
    if not isinstance(chat, dict):
        got = records.json_type(chat)
        raise BadFieldError("messages", f"expected an object with messages, got {got}")
    key = "mapping" if "mapping" in chat else "messages"
    if key not in chat:
        raise BadFieldError("messages", "is missing")
    found = chatgpt.messages(chat) if key == "mapping" else chat[key]
    if not isinstance(found, list):
        raise BadFieldError(key, f"expected a list of messages, got {records.json_type(found)}")
    return found, f"{path}.{key}".lstrip(".")


def _turn(
    message: Any,
    defaults: Defaults,
    conversation: str,
    user: str | None,
    position: int,
    line: int | None,
) -> Turn:
    if not isinstance(message, dict):
        got = records.json_type(message)
        raise BadFieldError("message", f"expected an object, got {got}")
    if "conversation_id" in message:
        # These are rows of our JSONL format in a list. Read as one chat, their conversations would
        # be merged.
        problem = "is the chat's, not a message's; put one message a line and read it as jsonl"
        raise BadFieldError("conversation_id", problem)
    role = message.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        got = ascii(role[:40]) if isinstance(role, str) else records.json_type(role)
        raise BadFieldError("role", f"expected one of {', '.join(_ROLES)}; got {got}")
    metadata = records.check_metadata(message.get("metadata"))
    if role == "developer":
        metadata = {**metadata, "role": role}
    for key in ("name", "tool_call_id"):
        if message.get(key) is not None:
            metadata = {**metadata, key: records.check_text(message[key], key)}
    text, left_out = _text(message.get("content"))
    if left_out:
        metadata = {**metadata, "parts_left_out": left_out}
    kind = MessageType.TEXT
    calls = _calls(message)
    if calls:
        metadata = {**metadata, **records.check_metadata({"tool_calls": calls}, "tool_calls")}
        if not text:
            text, kind = "\n".join(_described(call) for call in calls), MessageType.ACTION
    if not text:
        raise BadFieldError("content", _why_empty(message, left_out))
    time_key = next((key for key in _TIMES if message.get(key) is not None), _TIMES[0])
    return records.make_turn(
        defaults,
        conversation_id=conversation,
        user_id=user,
        position=position,
        role=_ROLES[role],
        content=records.check_text(text, "content"),
        timestamp=records.check_time(message.get(time_key), time_key),
        line=line,
        metadata=metadata,
        message_id=_uuid_or_none(message.get("id")),
        source_id=message["id"] if isinstance(message.get("id"), str) else None,
        message_type=kind,
    )


def _text(content: Any) -> tuple[str, list[str]]:
    """Return the text of a content, and the types of the parts that are no text."""
    if content is None:
        return "", []
    if isinstance(content, str):
        return content, []
    if not isinstance(content, list):
        got = records.json_type(content)
        raise BadFieldError("content", f"expected text or a list of parts, got {got}")
    texts: list[str] = []
    left_out: list[str] = []
    for index, part in enumerate(content):
        where = f"content[{index}]"
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, dict):
            raise BadFieldError(where, f"expected an object, got {records.json_type(part)}")
        kind = records.check_text(part.get("type"), f"{where}.type")
        if kind not in _TEXT_PARTS:
            left_out.append(kind)
            continue
        text = part.get(_TEXT_PARTS[kind])
        if not isinstance(text, str):
            raise BadFieldError(f"{where}.text", f"expected text, got {records.json_type(text)}")
        texts.append(text)
    return "\n".join(text for text in texts if text.strip()), left_out


def _calls(message: dict[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    if calls is None and message.get("function_call") is not None:
        calls = [{"function": message["function_call"]}]
    if calls is None:
        return []
    if not isinstance(calls, list):
        raise BadFieldError("tool_calls", f"expected a list, got {records.json_type(calls)}")
    return calls


def _described(call: Any) -> str:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadFieldError("tool_calls", "expected objects with function.name")
    arguments = function.get("arguments")
    return f"called {function['name']}({arguments if isinstance(arguments, str) else ''})"


def _why_empty(message: dict[str, Any], left_out: list[str]) -> str:
    if left_out:
        return f"holds no text, only {', '.join(sorted(set(left_out)))}"
    if "content" not in message:
        return "is missing"
    return "expected text, got nothing"


def _own_name(chat: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    for key in keys:
        if chat.get(key) is not None:
            return records.check_text(chat[key], key)
    return None


def _uuid_or_none(value: Any) -> Any:
    # API ids ("msg_abc") are not UUIDs; only ChatGPT's export has some.
    try:
        return records.check_uuid(value, "id")
    except BadFieldError:
        return None
