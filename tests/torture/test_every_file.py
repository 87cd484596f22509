# ruff: noqa: PT017  # what an error says is looked at wherever there may be one
"""Every file of a store damaged in every way, one at a time: whole again, or the loss is named.

What is derived, and what can be recovered, is as it was after an opening. Where rows or the log are
hit, the store may refuse to open, or lack rows: then doctor says so before a repair, and the
repaired store is sound and works.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import VectorMemory, diagnose_store, open_memory, repair_store
from bruno_memory_vec.upkeep.check import PROBLEM
from tests.durability.support import message, rows_of, sessions_written
from tests.torture.conftest import Torture, counts

USERS, EACH = ("ana", "ben"), 8
WAYS = ("halved", "emptied", "flipped", "deleted")
#: Files whose loss or change takes nothing away, by the beginning of their path.
DERIVED = ("lexical/", "rows/rows.lance/_indices/", "sessions.sqlite", "maintenance.json")
DERIVED += ("writer.", "rows/index-checksums.json", "rows/rows.lance/_transactions/")
DERIVED += ("rows/rows.lance/_versions/latest_version_hint.json",)


def said_by(user: str) -> list[str]:
    return [f"{user} says word{number}x" for number in range(EACH)]


async def make(folder: Path, unflushed: Path) -> None:
    async with open_memory(str(folder), embedder="hash") as memory:
        for user in USERS:
            said = [message(text) for text in said_by(user)]
            await memory.store_messages(said[:-1], f"of-{user}", user_id=user)
            await memory.maintain()
            await memory.store_message(said[-1], f"of-{user}", user_id=user)
        await sessions_written(memory)
        # As a killed process leaves it, with rows in the log only.
        shutil.copytree(folder, unflushed)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("made")
    stores = {"closed": folder / "closed", "killed": folder / "killed"}
    asyncio.run(make(stores["closed"], stores["killed"]))
    return stores


def damage(path: Path, way: str, draw: random.Random) -> bool:
    """Damage a file; whether that changes anything."""
    data = path.read_bytes()
    if way == "deleted":
        path.unlink()
        return True
    if not data:
        return False
    if way == "halved":
        path.write_bytes(data[: len(data) // 2])
    elif way == "emptied":
        path.write_bytes(b"")
    else:
        changed = bytearray(data)
        changed[draw.randrange(len(data))] ^= draw.randrange(1, 256)
        path.write_bytes(bytes(changed))
    return True


async def read_all(memory: VectorMemory) -> None:
    """No user sees another's rows, or a text that nobody has said."""
    for user in USERS:
        known = {*said_by(user), f"{user} goes on"}
        turns = await memory.read_turns(f"of-{user}")
        hits = await memory.recall("word3x", user_id=user, k=20)
        shown = (await memory.get_context(user, f"of-{user}")).messages
        said = [
            *(turn.message.content for turn in turns),
            *(hit.content for hit in hits),
            *(one.content for one in shown),
        ]
        assert set(said) <= known, set(said) - known
        await memory.list_conversations(user)


async def use(folder: Path) -> int:
    """Open, read, store, compact; how many of the rows there were at first."""
    async with open_memory(str(folder), embedder="hash") as memory:
        before = len(await rows_of(memory))
        await read_all(memory)
        for user in USERS:
            await memory.store_message(message(f"{user} goes on"), f"of-{user}", user_id=user)
            hits = await memory.recall("goes on", user_id=user, k=1)
            assert [hit.content for hit in hits] == [f"{user} goes on"]
        await memory.maintain()
        await read_all(memory)
    return before


async def told(folder: Path) -> list[str]:
    checks = await diagnose_store(str(folder), embedder="hash")
    return [f"{one.name}: {one.found}" for one in checks if one.state == PROBLEM]


async def try_one(folder: Path, name: str, way: str) -> str:
    """What became of a damaged store, in a word."""
    derived = name.startswith(DERIVED)
    try:
        problems = await told(folder)
    except BrunoError as error:
        assert not derived, f"{name} {way}: doctor {error}"
        assert getattr(error, "fix", ""), error
        problems = [str(error)]
    try:
        async with open_memory(str(folder), embedder="hash", read_only=True) as reader:
            await read_all(reader)
    except BrunoError as error:
        assert getattr(error, "fix", ""), error
        assert not name.startswith(("lexical/", "rows/rows.lance/_indices/")), f"{way} {error}"
        assert problems, f"{name} {way}: doctor is silent on {error}"
    whole = len(USERS) * EACH
    try:
        before = await use(folder)
    except BrunoError as error:
        assert not derived, f"{name} {way}: {error}"
        assert problems, f"{name} {way}: doctor is silent on {error}"
        before = -1
    if before == whole:
        outcome = "whole"
    else:
        assert not derived, f"{name} {way}: {before} of {whole} rows"
        assert problems, f"{name} {way}: {before} of {whole} rows, and doctor was silent"
        outcome = "refused" if before < 0 else "less, and told"
    try:
        await repair_store(str(folder), embedder="hash")
        left = await told(folder)
    except BrunoError as error:
        assert not derived, f"{name} {way}: {error}"
        assert getattr(error, "fix", ""), error
        return f"{outcome}, needs a backup"
    assert not left or not derived, f"{name} {way}: {left}"
    if not left:
        await use(folder)
        return f"{outcome}, sound after a repair"
    return f"{outcome}, told after a repair"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["closed", "killed"])
async def test_every_file(
    made: dict[str, Path], kind: str, tmp_path: Path, torture: Torture
) -> None:
    """The short form tries a sample, which is the same each time."""
    draw = random.Random(f"every file {kind}")
    names = files_of(made[kind])
    tries = [(name, way) for name in names for way in WAYS]
    if not torture.long:
        tries = draw.sample(tries, 3)
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    for name, way in tries:
        folder = Path(shutil.copytree(made[kind], tmp_path / "store"))
        if damage(folder / name, way, draw):
            try:
                outcomes[await try_one(folder, name, way)] += 1
            except (AssertionError, BrunoError) as error:
                wrong.append(f"{name} {way}: {type(error).__name__} {error}"[:400])
                print("WRONG", wrong[-1], flush=True)
        shutil.rmtree(folder)
    report: dict[str, Any] = {"files": len(names), "tries": len(tries), "wrong": len(wrong)}
    counts(**report, **{what.replace(" ", "_"): times for what, times in outcomes.items()})
    assert not wrong, "\n".join(wrong)


def files_of(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {"writer.lock", ".tantivy-meta.lock"}
    )
