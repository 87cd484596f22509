"""OpenAI-style chats and ChatGPT's export."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.message import MessageRole, MessageType

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import BadLine, Turn, read

HELLO = {"role": "user", "content": "hello"}
REPLY = {"role": "assistant", "content": "hi"}
CALL = {"id": "call_1", "function": {"name": "weather", "arguments": '{"city": "Lisbon"}'}}


def items(value: Any, **options: Any) -> list[Turn | BadLine]:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return list(read(io.BytesIO(data), **{"format": "openai", **options}))


def turns(value: Any, **options: Any) -> list[Turn]:
    got = items(value, **options)
    assert [item for item in got if isinstance(item, BadLine)] == []
    return [item for item in got if isinstance(item, Turn)]


def lines(*rows: Any) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


@pytest.mark.parametrize("chosen", ["auto", "openai"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    ("value", "conversations"),
    [
        ({"messages": [HELLO, REPLY]}, ["chat", "chat"]),
        ([HELLO, REPLY], ["chat", "chat"]),
        ([{"messages": [HELLO]}, {"messages": [REPLY]}], ["chat/1", "chat/2"]),
        ([[HELLO], [REPLY]], ["chat/1", "chat/2"]),
        ([{"messages": [HELLO], "id": "a"}, {"messages": [REPLY]}], ["a", "chat/2"]),
    ],
)
def test_shapes(value: Any, conversations: list[str], indent: int | None, chosen: str) -> None:
    got = turns(json.dumps(value, indent=indent).encode(), format=chosen)
    assert [turn.conversation_id for turn in got] == conversations
    assert [turn.message.content for turn in got] == ["hello", "hi"]
    assert [turn.line for turn in got] == [None, None]


@pytest.mark.parametrize("chosen", ["auto", "openai"])
def test_one_chat_a_line(chosen: str) -> None:
    data = lines({"messages": [HELLO, REPLY]}, {"messages": [HELLO]})
    got = turns(data, format=chosen, conversation_id="tuning", user_id="ana")
    assert [(t.conversation_id, t.line) for t in got] == [
        ("tuning/1", 1),
        ("tuning/1", 1),
        ("tuning/2", 2),
    ]
    assert {turn.user_id for turn in got} == {"ana"}
    assert len({turn.message.id for turn in got}) == 3


def test_a_broken_line_does_not_stop_the_others() -> None:
    data = lines({"messages": [HELLO]}, 5, {"messages": [HELLO]}) + b"\n{"
    got = items(data)
    assert [type(item) for item in got] == [Turn, BadLine, Turn, BadLine]
    assert [item.line for item in got] == [1, 2, 3, 4]


def test_a_chat_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "holiday.json"
    path.write_text(json.dumps([HELLO]), encoding="utf-8")
    first, again = list(read(path)), list(read(str(path)))
    assert isinstance(first[0], Turn)
    assert isinstance(again[0], Turn)
    assert first[0].conversation_id == f"{tmp_path.name}/holiday"
    assert first[0].message.id == again[0].message.id


def test_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    content = [{"type": "text", "text": "what is"}, image, {"type": "input_text", "text": "this?"}]
    (turn,) = turns([{"role": "user", "content": content}])
    assert turn.message.content == "what is\nthis?"
    assert turn.message.metadata == {"noted": ["image"]}
    (turn,) = turns([{"role": "user", "content": [image]}])
    assert (turn.message.content, turn.message.message_type) == ("[image]", MessageType.IMAGE)
    (line,) = items([{"role": "user", "content": [{"type": "hologram"}]}])
    assert line == BadLine(None, "[0].content", "holds no text, only hologram")


def test_roles() -> None:
    names = ["system", "developer", "user", "assistant", "tool", "function"]
    got = turns([{"role": name, "content": "x"} for name in names])
    assert [turn.message.role.value for turn in got] == [
        "system", "system", "user", "assistant", "tool", "function",
    ]  # fmt: skip
    assert got[1].message.metadata == {"role": "developer"}


def test_tool_calls_are_told_in_words() -> None:
    chat = [
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": "19 °C", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "19 degrees.", "tool_calls": [CALL]},
        {"role": "assistant", "content": None, "function_call": CALL["function"]},
    ]
    got = [turn.message for turn in turns(chat)]
    called = 'called weather({"city": "Lisbon"})'
    assert [m.content for m in got] == [f"{called}\n{called}", "19 °C", "19 degrees.", called]
    assert [m.message_type for m in got] == [
        MessageType.ACTION, MessageType.TEXT, MessageType.TEXT, MessageType.ACTION,
    ]  # fmt: skip
    assert got[0].metadata == {"tool_calls": [CALL, CALL]}
    assert got[1].metadata == {"tool_call_id": "call_1"}


def test_time_and_id_of_a_message() -> None:
    uuid = "3f2a7a52-33a1-4d0e-8a3e-9d0f6c2b7d11"
    got = turns([{**HELLO, "created_at": 0, "id": uuid}, {**HELLO, "id": "msg_7"}])
    assert got[0].message.timestamp == datetime(1970, 1, 1)
    assert got[0].message.id == UUID(uuid)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ([{"role": "user"}], "[0].content"),
        ([HELLO, {"role": "user", "content": None}], "[1].content"),
        ([HELLO, {"role": "user", "content": 4}], "[1].content"),
        ([HELLO, {"role": "user", "content": "\ud800"}], "[1].content"),
        ([HELLO, {"role": "user", "content": [7]}], "[1].content[0]"),
        ([HELLO, {"role": "user", "content": [{"type": "text"}]}], "[1].content[0].text"),
        ([HELLO, {"role": "poet", "content": "x"}], "[1].role"),
        ([HELLO, {"role": ["user"], "content": "x"}], "[1].role"),
        ([HELLO, 7], "[1].message"),
        ([HELLO, {**REPLY, "conversation_id": [1]}], "[1].conversation_id"),
        ({"messages": [HELLO, {**REPLY, "metadata": 1}]}, "messages[1].metadata"),
        ({"messages": [HELLO, {**REPLY, "timestamp": "x"}]}, "messages[1].timestamp"),
        ({"messages": [HELLO, {"role": "assistant", "tool_calls": [1]}]}, "messages[1].tool_calls"),
        ({"messages": "hello"}, "messages"),
        ({"talk": []}, "messages"),
        ({"messages": [], "id": 5.5}, "id"),
        ([{"messages": [HELLO]}, {"messages": [7]}], "[1].messages[0].message"),
        ([{"messages": [HELLO]}, 7], "[1].messages"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(value: Any, where: str) -> None:
    assert [item.where for item in items(value) if isinstance(item, BadLine)] == [where]


@pytest.mark.parametrize("value", [5, "text", None])
def test_a_document_that_is_no_chat_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInputError, match="is no openai but a text without JSON objects"):
        items(value)


def node(parent: str | None, role: str, *parts: Any, **more: Any) -> dict[str, Any]:
    message = {
        "id": "3f2a7a52-33a1-4d0e-8a3e-9d0f6c2b7d11",
        "author": {"role": role},
        "content": {"content_type": "text", "parts": list(parts)},
        "create_time": 10.0,
        **more,
    }
    return {"parent": parent, "message": message}


def export(**nodes: Any) -> dict[str, Any]:
    return {"title": "Bread", "id": "c-1", "current_node": "d", "mapping": nodes}


@pytest.mark.parametrize("chosen", ["auto", "openai"])
def test_chatgpt_export(chosen: str) -> None:
    hidden = {"metadata": {"is_visually_hidden_from_conversation": True}}
    chat = export(
        root={"parent": None, "message": None},
        a=node("root", "system", ""),
        h=node("a", "system", "secret", **hidden),
        b=node("h", "user", "first wording"),
        c=node("h", "user", "why is it flat?", {"asset_pointer": "x"}),
        d=node("c", "assistant", "too cold", create_time=None, id=None),
    )
    got = turns([chat], format=chosen)
    assert [(turn.conversation_id, turn.message.content) for turn in got] == [
        ("c-1", "why is it flat?"),
        ("c-1", "too cold"),
        ("c-1/branch-3e23e816", "first wording"),
    ]
    assert [turn.message.role for turn in got[:2]] == [MessageRole.USER, MessageRole.ASSISTANT]
    assert got[0].message.timestamp == datetime(1970, 1, 1, 0, 0, 10)
    assert got[0].message.metadata == {"title": "Bread", "noted": ["image"]}
    # Without a time of its own it follows the message before it.
    assert got[1].message.timestamp == datetime(1970, 1, 1, 0, 0, 10, 1)
    assert [turn.timed for turn in got] == [True, False, True]


@pytest.mark.parametrize(
    ("chat", "where"),
    [
        (export(d=node("c", "user", "x")), "current_node"),
        (export(d=node("d", "user", "x")), "current_node"),
        ({**export(d=node("d", "user", "x")), "current_node": None}, "current_node"),
        ({"mapping": 5}, "mapping"),
    ],
)
def test_a_broken_chatgpt_tree_is_one_bad_line(chat: Any, where: str) -> None:
    (line,) = items([chat])
    assert isinstance(line, BadLine)
    assert line.where == f"[0].{where}"
