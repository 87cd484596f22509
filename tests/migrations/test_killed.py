"""A migration that is killed leaves the old store or the new one, and the next one goes on."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bruno_memory_vec import migrate, open_memory
from bruno_memory_vec.errors import StoreError, StoreVersionError
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION
from bruno_memory_vec.store import migrating
from tests.migrations.stores import format_of, rows, sessions, without

Unpack = Callable[[int], Path]
Killed = Callable[[Path, int, int, str], bool]
_CHILD = Path(__file__).with_name("child_killed.py")
_FORWARD, _BACK = (5, SCHEMA_VERSION), (6, 4)

# The changes by which the lock is taken come before.
_LOCKED = 5

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it bears children by fork")


@pytest.fixture(scope="module")
def killed_at() -> Iterator[Killed]:
    """Migrates a store until its nth change; whether that killed it."""
    with subprocess.Popen(
        [sys.executable, str(_CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_CHILD.parents[2],
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def until(folder: Path, to: int, number: int, where: str) -> bool:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(f"{number} {where} {to} {folder}\n")
            child.stdin.flush()
            said = child.stdout.readline().strip()
            assert said in ("killed", "ended 0"), said
            return said == "killed"

        yield until
        child.stdin.close()


def stands(folder: Path, before: int, after: int) -> str:
    """Whether a store is the old one or the new one, or has to be ended first."""
    found = migrating.unfinished(folder)
    if found is not None:
        assert found.to == after
        return "to be ended"
    assert format_of(folder) in (before, after)
    return "old" if format_of(folder) == before else "new"


def check(
    store_of: Unpack, killed_at: Killed, before: int, after: int, number: int, where: str
) -> str:
    """Kill a migration at a change, see what is there, and let the next one go on."""
    folder = store_of(before)
    stood, known = rows(folder), sessions(folder)
    if not killed_at(folder, after, number, where):
        shutil.rmtree(folder)
        return "ended"
    was = stands(folder, before, after)
    if was == "old":
        assert rows(folder) == stood
        assert sessions(folder) == known
    report = asyncio.run(migrate(str(folder), to=after, allow_loss=True))
    assert report.after == after
    shared = [name for name in rows(folder)[0] if name in stood[0] and name != "checksum"]
    assert [{name: row[name] for name in shared} for row in rows(folder)] == [
        {name: row[name] for name in shared} for row in stood
    ]
    assert sessions(folder) == known
    assert not (folder / migrating.STAGING).exists()
    shutil.rmtree(folder)
    return was


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [_FORWARD, _BACK])
def test_killed_before_each_change_of_the_store(
    store_of: Unpack, killed_at: Killed, before: int, after: int
) -> None:
    seen = list[str]()
    while True:
        was = check(store_of, killed_at, before, after, _LOCKED + len(seen), "outside")
        if was == "ended":
            break
        seen.append(was)
    # First the old one, then one that is to be ended, then the new one.
    assert {"old", "to be ended", "new"} == set(seen)
    assert seen == sorted(seen, key=("old", "to be ended", "new").index)


@pytest.mark.parametrize(
    ("before", "after", "number", "where"),
    [
        pytest.param(*_FORWARD, 12, "inside", id="while the copy is opened"),
        pytest.param(*_BACK, 8, "outside", id="before the switch"),
    ],
)
def test_killed_before_the_switch(
    store_of: Unpack, killed_at: Killed, before: int, after: int, number: int, where: str
) -> None:
    assert check(store_of, killed_at, before, after, number, where) == "old"


def half_switched(folder: Path, to: int, killed_at: Killed) -> None:
    """Leave a store whose switch has begun."""
    unpacked = shutil.copytree(folder, folder.with_name("again"))
    number = _LOCKED + 4
    while migrating.unfinished(folder) is None:
        shutil.rmtree(folder)
        shutil.copytree(unpacked, folder)
        assert killed_at(folder, to, number, "outside")
        number += 1


async def opened(folder: Path, *, read_only: bool = False) -> int:
    """Open a store; how many turns a conversation of it has."""
    async with open_memory(str(folder), embedder="hash", read_only=read_only) as memory:
        return len(await memory.retrieve_messages("trip"))


@pytest.mark.slow
def test_a_switch_that_was_killed_is_ended_by_the_next_opening(
    store_of: Unpack, killed_at: Killed
) -> None:
    folder = store_of(5)
    half_switched(folder, SCHEMA_VERSION, killed_at)
    with pytest.raises(StoreVersionError, match=r"migrate .* --resume"):
        asyncio.run(opened(folder, read_only=True))
    with pytest.raises(StoreError, match="--resume"):
        asyncio.run(migrate(str(folder), dry_run=True))
    assert asyncio.run(opened(folder)) == 5
    assert format_of(folder) == SCHEMA_VERSION


@pytest.mark.slow
def test_resume_ends_what_was_begun_and_does_no_more(store_of: Unpack, killed_at: Killed) -> None:
    folder = store_of(6)
    stood = rows(folder)
    half_switched(folder, 4, killed_at)
    report = asyncio.run(migrate(str(folder), resume=True))
    assert any("was ended" in note for note in report.notes)
    assert format_of(folder) == 4
    shared = list(rows(folder)[0])
    others = [name for name in stood[0] if name not in shared]
    assert rows(folder) == without(stood, *others)


def test_what_was_begun_is_taken_back_by_the_next_opening(store_of: Unpack) -> None:
    folder = store_of(6)
    (folder / migrating.STAGING / "rows").mkdir(parents=True)
    report = asyncio.run(migrate(str(folder), resume=True))
    assert any("taken back" in note for note in report.notes)
    assert not (folder / migrating.STAGING).exists()
    (folder / migrating.STAGING / "rows").mkdir(parents=True)
    assert asyncio.run(opened(folder)) == 5
    assert not (folder / migrating.STAGING).exists()


def test_a_step_that_fails_leaves_the_store_as_it_was(
    store_of: Unpack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the step gives a text another word."""
    from bruno_memory_vec.upkeep.migrations.steps import to_6_origins

    right = to_6_origins.forward

    def wrong(found: object) -> object:
        made = right(found)  # type: ignore[arg-type]
        at = made.schema.get_field_index("content")
        texts = [f"{text}!" for text in made.column("content").to_pylist()]
        return made.set_column(at, made.schema.field(at), [texts])

    monkeypatch.setattr(to_6_origins, "forward", wrong)
    folder = store_of(5)
    stood = rows(folder)
    with pytest.raises(StoreError, match="step to_6_origins changed the column 'content'"):
        asyncio.run(migrate(str(folder)))
    assert rows(folder) == stood
    assert format_of(folder) == 5
    assert not (folder / migrating.STAGING).exists()
