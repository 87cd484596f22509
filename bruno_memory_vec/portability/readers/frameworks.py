"""What frameworks keep: LangChain's dumped messages and LlamaIndex's stores.

LangChain: ``messages_to_dict`` (``{"type": "human", "data": {...}}``), ``dumpd``
(``{"lc": 1, "id": [..., "HumanMessage"], "kwargs": {...}}``) and ``model_dump``; a list of them,
one a line, or under ``messages``. LlamaIndex: a chat store (``{"store": {"KEY": [...]}}``), of
which each key is a conversation, a memory that holds one, and a document store (``docstore/data``),
whose nodes are documents.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bruno_core.models.message import MessageRole, MessageType

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.content import called, read_content
from bruno_memory_vec.portability.readers.openai import CONVERSATION_KEYS, USER_KEYS, name_in
from bruno_memory_vec.portability.readers.reader import (
    Reader,
    list_of,
    object_of,
    objects,
    text_of,
    whole_object,
    word_of,
)
from bruno_memory_vec.portability.readers.talk import (
    EMPTY_RESULTS,
    Talk,
    lenient_time,
    role_in,
    time_in,
    told,
)
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

_LANGCHAIN_TYPES = {
    "human": MessageRole.USER,
    "HumanMessageChunk": MessageRole.USER,
    "ai": MessageRole.ASSISTANT,
    "AIMessageChunk": MessageRole.ASSISTANT,
    "system": MessageRole.SYSTEM,
    "tool": MessageRole.TOOL,
    "function": MessageRole.FUNCTION,
}


def recognises_langchain(head: Head) -> bool:
    """Messages of LangChain, alone, in a list or under ``messages``."""
    first = head.first
    if _langchain(first) is not None:
        return True
    inner = next(iter(list_of(first.get("messages"))), None)
    return isinstance(inner, dict) and _langchain(inner) is not None


def langchain_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of messages, or of objects with messages."""
    base = defaults.conversation_id or defaults.source_name
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        value, element = found
        many = isinstance(value.get("messages"), list)
        messages = list_of(value.get("messages")) if many else [value]
        name = base if element.ordinal is None or not many else f"{base}/{element.ordinal}"
        for index, message in enumerate(messages):
            where = element.within(f"messages[{index}]") if many else element.path
            talk = Talk(defaults, name, None, element.line)
            try:
                talk.conversation = name_in(value, CONVERSATION_KEYS) or name
                talk.user = defaults.user(name_in(value, USER_KEYS))
                if not isinstance(message, dict):
                    got = records.json_type(message)
                    raise BadFieldError("message", f"expected an object, got {got}")
                yield from _langchain_message(message, talk)
            except BadFieldError as error:
                talk.skip()
                yield told(error, element.line, where)


def _langchain(value: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The type and the fields of a message of LangChain; None for anything else."""
    if isinstance(value.get("data"), dict) and value.get("type") in (*_LANGCHAIN_TYPES, "chat"):
        return str(value["type"]), value["data"]
    names, fields = value.get("id"), value.get("kwargs")
    if "lc" in value and isinstance(names, list) and isinstance(fields, dict):
        name = str(names[-1]) if names else ""
        kind = name.removesuffix("Chunk").removesuffix("Message").lower()
        return (kind, fields) if kind in (*_LANGCHAIN_TYPES, "chat") else None
    kind = word_of(value.get("type"))
    if kind in _LANGCHAIN_TYPES and {"additional_kwargs", "response_metadata"} & set(value):
        return kind, value
    return None


def _langchain_message(message: dict[str, Any], talk: Talk) -> Iterator[Turn]:
    found = _langchain(message)
    if found is None:
        raise BadFieldError("type", "is none of LangChain's messages")
    kind, fields = found
    role = role_in(fields.get("role")) if kind == "chat" else _LANGCHAIN_TYPES[kind]
    extra = object_of(fields.get("additional_kwargs"))
    time = time_in(fields, talk.defaults) or time_in(extra, talk.defaults)
    content = read_content(fields.get("content"))
    about: dict[str, Any] = {}
    for key in ("name", "tool_call_id"):
        if isinstance(fields.get(key), str):
            about[key] = fields[key]
    calls = [one for one in list_of(fields.get("tool_calls")) if isinstance(one, dict)]
    if not calls:
        calls = [one for one in list_of(extra.get("tool_calls")) if isinstance(one, dict)]
    source_id = text_of(fields.get("id"))
    if calls and not any(piece.kind == "call" for piece in content.pieces):
        words = [_called(call) for call in calls]
        about["tool_calls"] = calls
        if not content.text:
            yield talk.say(
                role, "\n".join(words), time=time, source_id=source_id, about=about,
                kind=MessageType.ACTION,
            )  # fmt: skip
            return
    if role in (MessageRole.TOOL, MessageRole.FUNCTION):
        text = content.text
        if not text:
            talk.leave_out(EMPTY_RESULTS)
            return
        yield talk.say(role, text, time=time, source_id=source_id, about=about)
        return
    yield from talk.say_content(role, content, time=time, source_id=source_id, about=about)


def _called(call: dict[str, Any]) -> str:
    function = object_of(call.get("function")) or call
    arguments = function.get("args", function.get("arguments"))
    return called(str(function.get("name", "a tool")), arguments)


def recognises_llamaindex(head: Head) -> bool:
    """Chat stores, memories that hold one, and document stores."""
    first = head.first
    return (
        _chat_store(first) is not None
        or isinstance(first.get("docstore/data"), dict)
        or (isinstance(first.get("store"), dict) and "chat_store_key" in first)
    )


def llamaindex_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the messages of every key of a chat store, or the nodes of a document store."""
    value = whole_object(lines, "a store of LlamaIndex")
    if isinstance(value.get("docstore/data"), dict):
        yield from _nodes(value["docstore/data"], defaults)
        return
    for key, messages in (_chat_store(value) or {}).items():
        name = records.check_name(key, "key") or defaults.source_name
        talk = Talk(defaults, name, defaults.user(None))
        for index, message in enumerate(list_of(messages)):
            try:
                if not isinstance(message, dict):
                    got = records.json_type(message)
                    raise BadFieldError("message", f"expected an object, got {got}")
                yield from _llama_message(message, talk)
            except BadFieldError as error:
                talk.skip()
                yield error.at(None, f"store.{key}[{index}].")


def _chat_store(value: dict[str, Any]) -> dict[str, Any] | None:
    holder = value.get("chat_store", value)
    store = holder.get("store") if isinstance(holder, dict) else None
    if not isinstance(store, dict):
        return None
    if object_of(holder).get("class_name") == "SimpleChatStore":
        return store
    first = next((one for one in store.values() if isinstance(one, list) and one), None)
    return store if first is not None and "role" in object_of(first[0]) else None


def _llama_message(message: dict[str, Any], talk: Talk) -> Iterator[Turn]:
    role = role_in(message.get("role"))
    extra = object_of(message.get("additional_kwargs"))
    content = read_content(message.get("blocks", message.get("content")))
    about: dict[str, Any] = {}
    if isinstance(extra.get("tool_call_id"), str):
        about["tool_call_id"] = extra["tool_call_id"]
    calls = [one for one in list_of(extra.get("tool_calls")) if isinstance(one, dict)]
    time = time_in(extra, talk.defaults) or time_in(message, talk.defaults)
    if calls and not content.pieces:
        words = "\n".join(_called(call) for call in calls)
        about["tool_calls"] = calls
        yield talk.say(role, words, time=time, about=about, kind=MessageType.ACTION)
        return
    if role in (MessageRole.TOOL, MessageRole.FUNCTION):
        if not content.text:
            talk.leave_out(EMPTY_RESULTS)
            return
        yield talk.say(role, content.text, time=time, about=about)
        return
    yield from talk.say_content(role, content, time=time, about=about)


def _nodes(nodes: dict[str, Any], defaults: Defaults) -> Iterator[Turn | BadLine]:
    base = defaults.conversation_id or defaults.source_name
    for key, node in nodes.items():
        data = object_of(object_of(node).get("__data__", node))
        about = object_of(data.get("metadata"))
        text = data.get("text") or object_of(data.get("text_resource")).get("text")
        source = object_of(object_of(data.get("relationships")).get("1")).get("node_id")
        name = text_of(about.get("file_name")) or text_of(source) or base
        talk = Talk(defaults, name, defaults.user(None))
        try:
            if not isinstance(text, str) or not text.strip():
                defaults.left_out["nodes without text"] += 1
                continue
            yield talk.say(
                MessageRole.USER,
                text,
                time=lenient_time(about.get("creation_date"), defaults),
                source_id=key,
                about={"node": about} if about else {},
                holds="document",
                where="text",
            )
        except BadFieldError as error:
            talk.skip()
            yield error.at(None, f"docstore/data.{key}.")


LANGCHAIN = Reader(
    "langchain",
    "messages of LangChain",
    ("type", "data", "lc", "kwargs"),
    recognises_langchain,
    langchain_turns,
)
LLAMAINDEX = Reader(
    "llamaindex",
    "a store of LlamaIndex",
    ("store", "chat_store", "class_name"),
    recognises_llamaindex,
    llamaindex_turns,
)
