"""What other memories hold: mem0's exports; and LongMemEval, the benchmark.

mem0: ``{"results": [...]}`` as its ``get_all()`` gives it, ``{"memories": [...]}``, a list of
memories, or one a line. Each is a turn of the kind "memory": a sentence about a user, which nobody
said in a conversation. LongMemEval: each question is a user, and each of its sessions a
conversation.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from bruno_core.models.message import MessageRole

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.reader import (
    Element,
    Reader,
    list_of,
    object_of,
    objects,
    text_of,
)
from bruno_memory_vec.portability.readers.talk import Talk, role_in, time_in, told
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

#: The conversation of a memory that names none.
CONVERSATION = "mem0"


def recognises_mem0(head: Head) -> bool:
    """Objects with a text under ``memory``, alone or in ``results`` or ``memories``."""
    return _is_memory(_first(head.first))


def mem0_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield every memory."""
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        value, element = found
        key = next((one for one in ("results", "memories") if isinstance(value.get(one), list)), "")
        for index, memory in enumerate(value[key] if key else [value]):
            path = element.within(f"{key}[{index}]") if key else element.path
            try:
                yield _memory(memory, element, defaults)
            except BadFieldError as error:
                yield told(error, element.line, path)
        if list_of(value.get("relations")):
            defaults.left_out["relations of a graph"] += len(value["relations"])


def _first(value: dict[str, Any]) -> dict[str, Any]:
    for key in ("results", "memories"):
        if isinstance(value.get(key), list):
            return object_of(next(iter(value[key]), None))
    return value


def _is_memory(value: dict[str, Any]) -> bool:
    return isinstance(value.get("memory"), str) and bool(
        {"hash", "user_id", "agent_id", "run_id", "created_at", "id"} & set(value)
    )


def _memory(memory: Any, element: Element, defaults: Defaults) -> Turn:
    if not isinstance(memory, dict):
        raise BadFieldError("memory", f"expected an object, got {records.json_type(memory)}")
    user = records.check_name(memory.get("user_id"), "user_id")
    run = records.check_name(memory.get("run_id"), "run_id")
    name = run or defaults.conversation_id or CONVERSATION
    about: dict[str, Any] = {}
    if isinstance(memory.get("metadata"), dict) and memory["metadata"]:
        about["mem0"] = memory["metadata"]
    categories = [one for one in list_of(memory.get("categories")) if isinstance(one, str)]
    if categories:
        about["categories"] = categories
    if text_of(memory.get("agent_id")):
        about["agent_id"] = str(memory["agent_id"])
    talk = Talk(defaults, name, defaults.user(user), element.line)
    return talk.say(
        MessageRole.USER,
        memory.get("memory"),  # type: ignore[arg-type]
        time=time_in(memory, defaults),
        source_id=text_of(memory.get("id")),
        about=about,
        holds="memory",
        where="memory",
    )


def recognises_longmemeval(head: Head) -> bool:
    """Questions with their haystack."""
    return isinstance(head.first.get("haystack_sessions"), list)


def longmemeval_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of every session of every question. One question is in memory at a time."""
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        value, element = found
        try:
            question = records.needed_name(value.get("question_id"), "question_id")
        except BadFieldError as error:
            yield told(error, element.line, element.path)
            continue
        user = defaults.user(question)
        ids = list_of(value.get("haystack_session_ids"))
        dates = list_of(value.get("haystack_dates"))
        for number, session in enumerate(list_of(value.get("haystack_sessions"))):
            name = text_of(ids[number]) if number < len(ids) else None
            talk = Talk(defaults, f"{question}/{name or number}", user, element.line)
            path = element.within(f"haystack_sessions[{number}]")
            try:
                date = dates[number] if number < len(dates) else None
                began = records.check_time(date, "haystack_dates", defaults.days)
            except BadFieldError as error:
                yield told(error, element.line, path)
                continue
            for index, turn in enumerate(list_of(session)):
                try:
                    if not isinstance(turn, dict):
                        got = records.json_type(turn)
                        raise BadFieldError("turn", f"expected an object, got {got}")
                    yield from talk.say_content(
                        role_in(turn.get("role")),
                        turn.get("content"),
                        time=None if began is None else began + timedelta(seconds=index),
                    )
                except BadFieldError as error:
                    talk.skip()
                    yield told(error, element.line, f"{path}[{index}]")


MEM0 = Reader(
    "mem0",
    "memories of mem0",
    ("memory", "hash", "user_id", "results"),
    recognises_mem0,
    mem0_turns,
)
LONGMEMEVAL = Reader(
    "longmemeval",
    "LongMemEval's questions",
    ("question_id", "haystack_sessions", "haystack_dates"),
    recognises_longmemeval,
    longmemeval_turns,
)
