"""Items of OpenAI's Responses API and Agents SDK: messages, calls of functions, their outputs.

Read are a list of items, as an agent's session or ``to_input_list()`` gives it; a response
(``{"object": "response", "output": [...]}``), with its ``input`` where it is there; lists of
either, and JSON lines with one of them a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from bruno_core.models.message import MessageRole

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.content import read_content
from bruno_memory_vec.portability.readers.reader import (
    Element,
    Reader,
    list_of,
    objects,
    text_of,
    word_of,
)
from bruno_memory_vec.portability.readers.talk import (
    Talk,
    lenient_time,
    role_in,
    time_in,
    told,
)
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

TYPES = {
    "message",
    "function_call",
    "function_call_output",
    "reasoning",
    "custom_tool_call",
    "custom_tool_call_output",
    "web_search_call",
    "file_search_call",
    "computer_call",
    "computer_call_output",
    "code_interpreter_call",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_call",
    "mcp_list_tools",
    "mcp_approval_request",
    "item_reference",
}


def recognises(head: Head) -> bool:
    """Items by their type, and responses."""
    first = head.first
    if first.get("object") == "response" and isinstance(first.get("output"), list):
        return True
    return any(
        word_of(sample.get("type")) in TYPES
        and bool({"role", "call_id", "summary"} & set(sample))
        # Slack, Telegram and Discord have messages of the type "message", too.
        and (sample["type"] != "message" or {"role", "content"} <= set(sample))
        for sample in head.objects
    )


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of items and responses."""
    base = defaults.conversation_id or defaults.source_name
    talk = Talk(defaults, base, defaults.user(None))
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        value, element = found
        talk.line = element.line
        if value.get("object") == "response":
            yield from _response(value, element, defaults)
            continue
        try:
            yield from item_turns(value, talk, time_in(value, defaults))
        except BadFieldError as error:
            talk.skip()
            yield told(error, element.line, element.path)


def _response(
    value: dict[str, Any], element: Element, defaults: Defaults
) -> Iterator[Turn | BadLine]:
    conversation = value.get("conversation")
    if isinstance(conversation, dict):
        conversation = conversation.get("id")
    base = text_of(conversation) or defaults.conversation_id or defaults.source_name
    user = defaults.user(text_of(value.get("user")))
    since = lenient_time(value.get("created_at"), defaults)
    talk = Talk(defaults, base, user, element.line, {}, since)
    given = value.get("input")
    before = [{"role": "user", "content": given}] if isinstance(given, str) else list_of(given)
    for where, found in (("input", before), ("output", list_of(value.get("output")))):
        for index, item in enumerate(found):
            try:
                if not isinstance(item, dict):
                    got = records.json_type(item)
                    raise BadFieldError("item", f"expected an object, got {got}")
                yield from item_turns(item, talk, None)
            except BadFieldError as error:
                talk.skip()
                yield told(error, element.line, element.within(f"{where}[{index}]"))


def item_turns(item: dict[str, Any], talk: Talk, time: datetime | None) -> Iterator[Turn]:
    """Yield the turns of one item.

    Raises:
        BadFieldError: it cannot be used.
    """
    kind = item.get("type", "message" if "role" in item else None)
    source_id = text_of(item.get("id"))
    if kind == "message":
        yield from talk.say_content(
            role_in(item.get("role")), item.get("content"), time=time, source_id=source_id
        )
    elif kind == "image_generation_call":
        prompt = text_of(item.get("revised_prompt"))
        shown = {"type": "image", "name": prompt} if prompt else {"type": "image"}
        yield from talk.say_content(MessageRole.ASSISTANT, [shown], time=time, source_id=source_id)
    elif kind in ("mcp_list_tools", "item_reference", "mcp_approval_request", "ghost_snapshot"):
        talk.leave_out("items without words")
    else:
        yield from talk.say_content(
            MessageRole.ASSISTANT,
            read_content([item], "item"),
            time=time,
            source_id=source_id,
        )


READER = Reader(
    "openai-items",
    "items of OpenAI's Responses API or Agents SDK",
    ("type", "role", "content", "call_id", "output"),
    recognises,
    turns,
)
