"""Arguments of the wrong kind, size or value: whatever is raised is an error of ours, at once."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError
from tests.isolation.test_managers_of_a_view import MANAGERS


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


class NoText:
    def __repr__(self) -> str:
        raise RuntimeError("cannot be shown")


ODD: list[Any] = [
    None, True, -1, 0, 1_001, 2**70, 10**5_000, -(10**400), 1.5, float("nan"), float("inf"),
    Decimal("NaN"), Fraction(1, 3), 1j, np.int64(-3), np.float32("nan"), np.array([1, 2]),
    "", " ", "x" * 5_000, "a\0b", "\ud800", "NaN", "\x1b[2J", b"x",
    [], [None], [[]], ["a", None], {}, {"a": 1}, {1: 2}, {"a": nested(3)}, set(), nested(2_000),
    object(), NoText(), int, len, ..., NotImplemented, range(3),
    datetime.min, datetime.max, datetime.max.replace(tzinfo=timezone(-timedelta(hours=12))),
    date(2024, 1, 1), timedelta(1), UUID(int=1), MessageRole.USER,
]  # fmt: skip
#: What stands in for the arguments that are not tried just now.
RIGHT: dict[str, Any] = {
    "query": "zebra",
    "user_id": "ana",
    "conversation_id": "talk",
    "session_id": "talk",
    "message_id": UUID(int=1),
    "memory_id": UUID(int=1),
    "message": Message(role=MessageRole.USER, content="a zebra"),
    "messages": [],
    "entries": [],
}
# Closing ends the test; the others do long work, and have no argument but what they call.
LEFT_OUT = {"close", "shutdown", "maintain", "connect", "initialize", "from_config", "snapshot"}


def methods() -> Iterator[tuple[str, str]]:
    """Each public method with each of its arguments."""
    for name, method in inspect.getmembers(VectorMemory, callable):
        if not name.startswith("_") and name not in LEFT_OUT:
            for argument in list(inspect.signature(method).parameters)[1:]:
                if argument != "progress":
                    yield name, argument


async def raised_by(call: Callable[..., Any], **given: Any) -> BaseException | None:
    """What a call raises that is no error of ours; None where nothing is."""
    try:
        result = call(**given)
        if inspect.isawaitable(result):
            await asyncio.wait_for(result, 60)
    except BrunoError as error:
        return None if len(str(error)) < 10_000 else error
    except BaseException as error:
        return error
    return None


async def test_every_argument_of_every_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some of what is tried is the name of a file or a folder
    pairs = list(methods())
    assert len(pairs) > 50
    foreign = []
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_message(RIGHT["message"], "talk", user_id="ana")
        for name, argument in pairs:
            method = getattr(memory, name)
            needed = {
                other: RIGHT.get(other)
                for other, found in inspect.signature(method).parameters.items()
                if found.default is inspect.Parameter.empty
            }
            for odd in ODD:
                error = await raised_by(method, **{**needed, argument: odd})
                if error is not None:
                    foreign.append(f"{name}({argument}={type(odd).__name__}) raised {error!r}")
        assert not foreign, "\n".join(foreign)
        assert len(await memory.recall("zebra", user_id="ana")) >= 1


@pytest.mark.parametrize("manager", MANAGERS)
async def test_every_argument_of_every_method_of_a_manager(
    manager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    foreign = []
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_message(RIGHT["message"], "talk", user_id="ana")
        managed = getattr(memory, manager)
        for name, method in inspect.getmembers(managed, callable):
            # It is for other managers, and calls what it is given.
            if name.startswith("_") or name == "save_given":
                continue
            arguments = inspect.signature(method).parameters
            needed = {
                other: RIGHT.get(other, "talk")
                for other, found in arguments.items()
                if found.default is inspect.Parameter.empty
            }
            for argument in arguments:
                for odd in ODD:
                    error = await raised_by(method, **{**needed, argument: odd})
                    if error is not None:
                        kind = type(odd).__name__
                        foreign.append(f"{name}({argument}={kind}) raised {error!r}"[:200])
    assert not foreign, "\n".join(foreign)


@pytest.mark.parametrize("setting", inspect.signature(open_memory).parameters)
async def test_every_argument_of_opening(setting: str) -> None:
    for odd in ODD:
        if setting == "settings":
            with pytest.raises(InvalidInputError):
                VectorMemory("memory://", embedder="hash", nonsense=odd)
        else:
            given = {"url": "memory://", "embedder": "hash", setting: odd}
            assert await raised_by(VectorMemory, **given) is None


def test_a_url_is_a_text_or_a_path() -> None:
    odd: list[Any] = [7, True, 1.5, b"x", ["x"], nested(2_000), 10**5_000, NoText()]
    for url in odd:
        with pytest.raises(InvalidInputError, match="url"):
            VectorMemory(url)
