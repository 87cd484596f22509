"""Chats as lists of ``messages`` with roles: OpenAI's and Anthropic's APIs, and what copies them.

Read are ``{"messages": [...]}``, a bare list of messages, a list of either, and JSON lines with one
of them a line.

- A chat's id is its ``conversation_id``, ``session_id``, ``thread_id``, ``chat_id``, ``prompt_id``
  or ``id``, else the caller's, else the file's name; when the input may hold several chats, one
  without an id of its own gets ``/n`` after it, its place in the input from 1. Its user is its
  ``user_id``, else the caller's. A message that names its own user or conversation goes there.
- Content is text or a list of parts (:mod:`.content`).
- A developer's message becomes a system message with ``metadata["role"] = "developer"``.
- An assistant turn that only calls tools becomes an ACTION message with the text
  ``called name(arguments)`` a line, so that the tool's answer after it makes sense. Calls are also
  in ``metadata["tool_calls"]``. ``name`` and ``tool_call_id`` go to the metadata. An empty result
  of a tool is left out.
- A message's time is under any of the names in :data:`bruno_memory_vec.portability.times.KEYS`.
  Other keys are left out: the format is not ours and grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from bruno_core.models.message import MessageRole, MessageType

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines, is_line_by_line
from bruno_memory_vec.portability.readers import chatgpt
from bruno_memory_vec.portability.readers.content import Content, called, read_content
from bruno_memory_vec.portability.readers.reader import Element, Reader, elements
from bruno_memory_vec.portability.readers.talk import (
    EMPTY,
    EMPTY_RESULTS,
    Talk,
    before,
    lenient_time,
    role_in,
    time_in,
    titled,
    told,
)
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

CONVERSATION_KEYS = ("conversation_id", "session_id", "thread_id", "chat_id")
USER_KEYS = ("user_id", "userId")
_OWN_NAMES = (*CONVERSATION_KEYS, "prompt_id", "id")
_TOOL_ROLES = (MessageRole.TOOL, MessageRole.FUNCTION)


def recognises(head: Head) -> bool:
    """Objects with ``messages``, lists of messages with a ``role``, and lists of either."""
    sample = head.samples[0] if head.samples else None
    if isinstance(sample, list):
        sample = sample[0] if sample else None
        return isinstance(sample, dict) and "role" in sample
    if "messages" in head.first or _contents(head.first) is not None:
        return True
    # One message a line is the library's own format.
    return head.shape == "list" and "role" in head.first


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of every chat. Of a list, one chat is in memory at a time.

    Raises:
        InvalidInputError: the document is broken, or neither a chat nor a list.
    """
    if not is_line_by_line(lines):
        document = lines.stream()
        if document.is_list():
            first = document.first_container()
            # Told from a list of chats by its first object.
            whole = {"messages", "mapping", "contents"}
            if isinstance(first, dict) and not whole & set(first):
                yield from message_turns(document.items(), Chat(defaults), None, "")
                return
        elif not isinstance(document.value(), dict):
            raise InvalidInputError(
                "source",
                f"expected chats, found {records.json_type(document.value())}",
                fix="Give a list of messages, or an object with messages.",
            )
    for element in elements(lines):
        if isinstance(element, BadLine):
            yield element
        else:
            yield from _chat(element, defaults)


class Chat:
    """Where the messages of a chat go: to its own conversation, or to those that they name.

    Args:
        defaults: of the reading.
        conversation: the chat's id; None where it has none.
        user: whom it names.
        ordinal: its place among the chats of the input.
        about: for the metadata of each message.
    """

    def __init__(
        self,
        defaults: Defaults,
        conversation: str | None = None,
        user: str | None = None,
        ordinal: int | None = None,
        about: dict[str, Any] | None = None,
        since: datetime | None = None,
    ) -> None:
        self._defaults = defaults
        self._user = user
        self._about = about or {}
        self._since = since
        if conversation is None:
            conversation = defaults.conversation_id or defaults.source_name
            if ordinal is not None:
                conversation = f"{conversation}/{ordinal}"
        self._conversation = conversation

    def talk(self, message: dict[str, Any], line: int | None) -> Talk:
        """The conversation of a message.

        Raises:
            BadFieldError: what it names is no name.
        """
        conversation = name_in(message, CONVERSATION_KEYS) or self._conversation
        user = name_in(message, USER_KEYS) or self._user
        return Talk(
            self._defaults,
            conversation,
            self._defaults.user(user),
            line,
            self._about,
            self._since if conversation == self._conversation else None,
            strict=True,
        )


def message_turns(
    messages: Iterable[Any], chat: Chat, line: int | None, path: str
) -> Iterator[Turn | BadLine]:
    """Yield the turns of the messages of a chat."""
    for index, message in enumerate(messages):
        talk: Talk | None = None
        try:
            if not isinstance(message, dict):
                got = records.json_type(message)
                raise BadFieldError("message", f"expected an object, got {got}")
            talk = chat.talk(message, line)
            yield from _turns(message, talk)
        except BadFieldError as error:
            (talk or chat.talk({}, line)).skip()
            yield error.at(line, f"{path}[{index}].")


def name_in(row: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    """The first of these keys that names something.

    Raises:
        BadFieldError: it is no name.
    """
    for key in keys:
        if row.get(key) is not None:
            return records.check_name(row[key], key)
    return None


def _chat(element: Element, defaults: Defaults) -> Iterator[Turn | BadLine]:
    value = element.value
    if isinstance(value, dict) and "mapping" in value:
        yield from chatgpt.chat_turns(value, element, defaults)
        return
    try:
        if isinstance(value, list):
            yield from message_turns(
                value,
                Chat(defaults, ordinal=element.ordinal, since=before(value, defaults)),
                element.line,
                element.path,
            )
            return
        if not isinstance(value, dict):
            got = records.json_type(value)
            raise BadFieldError("messages", f"expected an object with messages, got {got}")
        messages = _contents(value)
        if "messages" in value:
            messages = value["messages"]
        elif messages is None:
            raise BadFieldError("messages", "is missing")
        if not isinstance(messages, list):
            got = records.json_type(messages)
            raise BadFieldError("messages", f"expected a list of messages, got {got}")
        chat = Chat(
            defaults,
            name_in(value, _OWN_NAMES),
            name_in(value, USER_KEYS),
            element.ordinal,
            titled(value.get("title")),
            lenient_time(value.get("created_at", value.get("create_time")), defaults)
            or before(messages, defaults),
        )
    except BadFieldError as error:
        yield told(error, element.line, element.path)
        return
    if value.get("system"):
        messages = [{"role": "system", "content": value["system"]}, *messages]
    yield from message_turns(messages, chat, element.line, element.within("messages"))


def _contents(value: dict[str, Any]) -> list[Any] | None:
    """The messages of a request to Gemini's API."""
    found = value.get("contents")
    if isinstance(found, list) and found and isinstance(found[0], dict) and "parts" in found[0]:
        return found
    return None


def _turns(message: dict[str, Any], talk: Talk) -> Iterator[Turn]:
    role = role_in(message.get("role"))
    about = dict(records.check_metadata(message.get("metadata")))
    if message["role"] == "developer":
        about["role"] = "developer"
    for key in ("name", "tool_call_id"):
        if message.get(key) is not None:
            about[key] = records.check_text(message[key], key)
    # Gemini's API and Vercel's have `parts`.
    content = read_content(message.get("content") or message.get("parts") or _instead(message))
    calls = _calls(message)
    time = time_in(message, talk.defaults)
    source_id = message["id"] if isinstance(message.get("id"), (str, int)) else None
    named = str(source_id) if source_id is not None else None
    if calls:
        about.update(records.check_metadata({"tool_calls": calls}, "tool_calls"))
        described = [_described(call) for call in calls]
        if not content.text:
            talk.leave_out("reasoning", content.reasoning)
            yield talk.say(
                role,
                "\n".join(described),
                time=time,
                source_id=named,
                about=about,
                kind=MessageType.ACTION,
            )
            return
    if not content.pieces and not content.reasoning:
        _nothing(message, role, content, talk)
        return
    if role in _TOOL_ROLES and content.text:
        text = "\n".join(piece.text for piece in content.pieces)
        yield talk.say(role, text, time=time, source_id=named, about=about)
        return
    yield from talk.say_content(role, content, time=time, source_id=named, about=about)


def _instead(message: dict[str, Any]) -> str | None:
    """What an assistant says that has no content: why it refuses, or the words of a sound."""
    audio = message.get("audio")
    said = message.get("refusal") or (audio.get("transcript") if isinstance(audio, dict) else None)
    return said if isinstance(said, str) else None


def _nothing(message: dict[str, Any], role: MessageRole, content: Content, talk: Talk) -> None:
    """A message without a word: of a tool or an assistant it says nothing, else it is bad."""
    if content.others:
        shown = ", ".join(sorted(set(content.others)))
        raise BadFieldError("content", f"holds no text, only {shown}")
    value = message.get("content")
    silent = "content" in message and value in ("", [], None)
    if role in _TOOL_ROLES or (role is not MessageRole.USER and silent):
        talk.leave_out(EMPTY_RESULTS if role in _TOOL_ROLES else EMPTY)
        talk.skip()
        return
    if "content" not in message:
        raise BadFieldError("content", "is missing")
    raise BadFieldError("content", "expected text, got nothing")


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
    if not isinstance(function, dict):
        function = call if isinstance(call, dict) else {}
    if not isinstance(function.get("name"), str):
        raise BadFieldError("tool_calls", "expected objects with function.name")
    return called(function["name"], function.get("arguments", function.get("args")))


READER = Reader(
    "openai",
    "chats with messages and roles, as of OpenAI's and Anthropic's APIs",
    ("messages", "role", "content"),
    recognises,
    turns,
)
