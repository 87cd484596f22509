"""Every public method declares what it does, and no role does what it is not granted."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.access import GRANTS, Role
from bruno_memory_vec.acts import declared
from bruno_memory_vec.errors import NotPermittedError

#: Properties that give a manager, whose methods are public, too.
MANAGERS = [
    name
    for name, made in vars(VectorMemory).items()
    if isinstance(made, property) and not name.startswith("_") and name != "config"
]
#: They do nothing with rows: they make a memory, or a view of one, or say how it is set.
PLAIN = {"from_config", "for_user"}
BOAT = Message(role=MessageRole.USER, content="a boat")
NOTE = MemoryEntry(content="a boat", memory_type=MemoryType.FACT, user_id="ana")
#: An argument by its name, good enough for a call to get to where it is permitted or refused.
GIVEN: dict[str, Any] = {
    "user": UserContext(user_id="ana"),
    "query": "the harbour",
    "message": BOAT,
    "messages": [BOAT],
    "memory_entry": NOTE,
    "entries": [NOTE],
    "importance": 0.5,
    "given": lambda saved: None,
    "limit": 3,
    "steps": ["one"],
    "part": "preferences",
}


def methods() -> Iterator[tuple[str, str, Any]]:
    """The public methods of the memory and of its managers."""
    memory = VectorMemory("memory://", embedder="hash")
    for where in ("", *MANAGERS):
        kind = type(getattr(memory, where)) if where else VectorMemory
        for name, method in inspect.getmembers(kind, callable):
            if name.startswith("_") or name in PLAIN or inspect.isclass(method):
                continue
            yield where, name, method


def test_every_public_method_declares_its_action() -> None:
    silent = [f"{where}.{name}" for where, name, one in methods() if declared(one) is None]
    assert not silent, f"put @acts(...) on these, see access.py: {', '.join(silent)}"


@pytest.mark.parametrize("role", ["reader", "member", "admin"])
async def test_no_role_does_what_it_is_not_granted(role: Role) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        view = memory.for_user("ana", role=role)
        for where, name, method in methods():
            action = declared(method)
            assert action is not None
            if action in GRANTS[role]:
                view._caller.permit(action, name)
                continue
            with pytest.raises(NotPermittedError) as refused:
                await _called(getattr(view, where) if where else view, name)
            assert role in str(refused.value) or "all users" in str(refused.value)
        assert not await memory.list_users()


async def _called(owner: Any, name: str) -> None:
    method = getattr(owner, name)
    wanted = inspect.signature(method).parameters.values()
    given = [
        GIVEN.get(one.name, "ana")
        for one in wanted
        if one.default is inspect.Parameter.empty
        and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    result = method(*given)
    if inspect.isasyncgen(result):
        await result.__anext__()
    else:
        await result
