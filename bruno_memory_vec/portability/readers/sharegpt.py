"""Collections of conversations for training: ShareGPT, UltraChat and OpenAssistant (OASST).

ShareGPT: ``{"id": ..., "conversations": [{"from": "human", "value": ...}, ...]}``. UltraChat:
``{"id": ..., "data": ["question", "answer", ...]}``. OASST: a message a line with
``message_tree_id`` and ``parent_id``, or a tree a line (``prompt`` with ``replies``); the best
reply at each step makes the conversation, and each other branch is one of its own. Who wrote for
OASST is no user of a memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bruno_core.models.message import MessageRole, MessageType

from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.branches import branches
from bruno_memory_vec.portability.readers.content import called
from bruno_memory_vec.portability.readers.reader import (
    Element,
    Reader,
    list_of,
    objects,
    text_of,
)
from bruno_memory_vec.portability.readers.talk import EMPTY_RESULTS, Talk, role_in, time_in, told
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

DELETED = "deleted messages"


def recognises_sharegpt(head: Head) -> bool:
    """Objects with ``conversations`` (or ``items``) of ``from`` and ``value``."""
    first = next(iter(_said(head.first)), None)
    return isinstance(first, dict) and "from" in first and "value" in first


def sharegpt_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of every conversation."""
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        value, element = found
        talk = _talk(value, element, defaults)
        system = text_of(value.get("system"))
        if system:
            yield talk.say(MessageRole.SYSTEM, system)
        for index, said in enumerate(_said(value)):
            where = element.within(f"conversations[{index}]")
            try:
                if not isinstance(said, dict):
                    got = records.json_type(said)
                    raise BadFieldError("message", f"expected an object, got {got}")
                role = role_in(said.get("from"), "from")
                text = said.get("value")
                if role is MessageRole.TOOL and text in ("", None):
                    talk.leave_out(EMPTY_RESULTS)
                    talk.skip()
                    continue
                action = said.get("from") == "function_call"
                yield talk.say(
                    role,
                    called("a tool", text) if action else text,  # type: ignore[arg-type]
                    time=time_in(said, defaults),
                    kind=MessageType.ACTION if action else MessageType.TEXT,
                    where="value",
                )
            except BadFieldError as error:
                talk.skip()
                yield told(error, element.line, where)


def recognises_ultrachat(head: Head) -> bool:
    """Objects with a list of texts under ``data``."""
    data = head.first.get("data")
    return isinstance(data, list) and len(data) > 1 and all(isinstance(one, str) for one in data)


def ultrachat_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of every conversation: the user and the assistant take turns."""
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        value, element = found
        talk = _talk(value, element, defaults)
        for index, text in enumerate(list_of(value.get("data"))):
            try:
                role = MessageRole.ASSISTANT if index % 2 else MessageRole.USER
                yield talk.say(role, text, where="text")
            except BadFieldError as error:
                talk.skip()
                yield told(error, element.line, element.within(f"data[{index}]"))


def recognises_oasst(head: Head) -> bool:
    """Messages and trees with ``message_tree_id``."""
    return "message_tree_id" in head.first


def oasst_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of every tree. One tree, whose messages follow each other, is in memory."""
    waiting: list[tuple[dict[str, Any], Element]] = []
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        value, element = found
        if isinstance(value.get("prompt"), dict):
            flat = [(message, element) for message in _of_tree(value["prompt"], None)]
            yield from _tree(flat, str(value.get("message_tree_id")), defaults)
            continue
        if waiting and waiting[0][0].get("message_tree_id") != value.get("message_tree_id"):
            yield from _tree(waiting, str(waiting[0][0].get("message_tree_id")), defaults)
            waiting = []
        waiting.append(found)
    if waiting:
        yield from _tree(waiting, str(waiting[0][0].get("message_tree_id")), defaults)


def _of_tree(message: Any, parent: str | None) -> Iterator[dict[str, Any]]:
    pending: list[tuple[Any, str | None]] = [(message, parent)]
    while pending:
        one, up = pending.pop()
        if not isinstance(one, dict):
            continue
        yield {**one, "parent_id": up, "replies": None}
        name = one.get("message_id")
        pending.extend((reply, name) for reply in reversed(list_of(one.get("replies"))))


def _tree(
    rows: list[tuple[dict[str, Any], Element]], tree: str, defaults: Defaults
) -> Iterator[Turn | BadLine]:
    known = {
        str(row["message_id"]): (row, element)
        for row, element in rows
        if row.get("message_id") is not None
    }
    parents = {
        key: str(up) if (up := row.get("parent_id")) is not None and str(up) in known else None
        for key, (row, _) in known.items()
    }
    if not parents:
        yield BadLine(rows[0][1].line, "message_id", "is missing")
        return
    try:
        found = branches(parents, _best(known, parents), "parent_id")
    except BadFieldError as error:
        yield error.at(rows[0][1].line)
        return
    for branch in found:
        name = f"{tree}/branch-{branch.name}" if branch.name else tree
        about = {"branch_of": tree} if branch.name else {}
        talk = Talk(defaults, name, defaults.user(None), None, about)
        for key in branch.nodes:
            row, element = known[key]
            if row.get("deleted") is True:
                talk.leave_out(DELETED)
                continue
            try:
                yield talk.say(
                    role_in(row.get("role")),
                    row.get("text"),  # type: ignore[arg-type]
                    time=time_in(row, defaults, "created_date"),
                    source_id=key,
                    about={"language": row["lang"]} if isinstance(row.get("lang"), str) else {},
                    line=element.line,
                    where="text",
                )
            except BadFieldError as error:
                talk.skip()
                yield told(error, element.line, element.path)


def _best(known: dict[str, tuple[dict[str, Any], Element]], parents: dict[str, str | None]) -> str:
    """The last message of the branch of the best replies: of the lowest rank, else the first."""
    children: dict[str | None, list[str]] = {}
    for key, up in parents.items():
        children.setdefault(up, []).append(key)

    def rank(key: str) -> float:
        value = known[key][0].get("rank")
        return float(value) if isinstance(value, (int, float)) else 1e9

    at: str | None = None
    seen: set[str] = set()
    while children.get(at):
        at = min(children[at], key=rank)
        if at in seen:
            break
        seen.add(at)
    return at if at is not None else next(iter(parents))


def _said(value: dict[str, Any]) -> list[Any]:
    for key in ("conversations", "items", "conversation"):
        if isinstance(value.get(key), list):
            return list(value[key])
    return []


def _talk(value: dict[str, Any], element: Element, defaults: Defaults) -> Talk:
    name = text_of(value.get("id")) or text_of(value.get("conversation_id"))
    if name is None:
        base = defaults.conversation_id or defaults.source_name
        name = base if element.ordinal is None else f"{base}/{element.ordinal}"
    user = defaults.user(text_of(value.get("user_id")))
    return Talk(defaults, name, user, element.line, {})


SHAREGPT = Reader(
    "sharegpt", "ShareGPT's conversations", ("conversations", "id"), recognises_sharegpt,
    sharegpt_turns,
)  # fmt: skip
ULTRACHAT = Reader(
    "ultrachat", "UltraChat's dialogues", ("data", "id"), recognises_ultrachat, ultrachat_turns
)
OASST = Reader(
    "oasst",
    "OpenAssistant's messages",
    ("message_id", "message_tree_id", "parent_id", "text", "role"),
    recognises_oasst,
    oasst_turns,
)
