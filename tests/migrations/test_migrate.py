"""Every format to every other and back: the rows are equal, but for what a format cannot hold."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

import pytest

from bruno_memory_vec import migrate, open_memory
from bruno_memory_vec.errors import (
    BackendUnavailable,
    InvalidInputError,
    NotAStoreError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION
from tests.migrations.stores import (
    FORMATS,
    OF_FORMAT_6,
    files,
    format_of,
    rows,
    sessions,
    without,
)

Unpack = Callable[[int], Path]
EARLIER = FORMATS[:-1]
# Each step alone, and each format to the present one and back, are in every run of the suite.
PAIRS = [
    pair
    if SCHEMA_VERSION in pair or abs(pair[0] - pair[1]) == 1
    else pytest.param(*pair, marks=pytest.mark.slow)
    for pair in permutations(FORMATS, 2)
]


def go(folder: Path, to: int, **settings: bool) -> None:
    """Migrate a store."""
    report = asyncio.run(migrate(str(folder), to=to, **settings))
    assert report.after == to == format_of(folder)


@pytest.mark.parametrize("number", EARLIER)
async def test_an_earlier_store_is_used_as_any_other(store_of: Unpack, number: int) -> None:
    folder = store_of(number)
    before = await asyncio.to_thread(rows, folder)
    report = await migrate(str(folder))
    assert (report.before, report.after, report.rows) == (number, SCHEMA_VERSION, 12)
    assert len(report.steps) == SCHEMA_VERSION - number
    assert not report.losses
    after = await asyncio.to_thread(rows, folder)
    shared = [name for name in before[0] if name != "checksum"]
    assert [{name: row[name] for name in shared} for row in after] == without(before, "checksum")
    async with open_memory(str(folder), embedder="hash") as memory:
        hits = await memory.recall("Where does my sister Ruth live?", user_id="ana", k=3)
        assert "Lisbon" in hits[0].content
        turns = await memory.retrieve_messages("trip")
        assert turns[0].content == "And a window seat on the way back."
        assert (await memory.get_user("ana")).preferences == {"tea": "green"}
        context = await memory.get_context("ana", None)
        assert context.user.preferences == {"tea": "green"}
        assert (await memory.health())["status"] == "ok"
        assert (await memory.maintain()).ok


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_there_and_back(store_of: Unpack, before: int, after: int) -> None:
    folder = store_of(before)
    stood, known = rows(folder), sessions(folder)
    go(folder, after, allow_loss=True)
    there = rows(folder)
    shared = [name for name in stood[0] if name in there[0] and name != "checksum"]
    assert [{name: row[name] for name in shared} for row in there] == [
        {name: row[name] for name in shared} for row in stood
    ]
    assert sessions(folder) == known
    go(folder, before, allow_loss=True)
    # A format that has no origins, pins and archiving loses them, and so another checksum is right.
    lost = (*OF_FORMAT_6, "checksum") if before == SCHEMA_VERSION else ()
    assert without(rows(folder), *lost) == without(stood, *lost)
    assert sessions(folder) == known


def test_what_a_step_back_loses_is_said_and_refused(store_of: Unpack) -> None:
    folder = store_of(6)
    before = files(folder)
    told = asyncio.run(migrate(str(folder), to=4, dry_run=True))
    assert told.dry_run
    assert not told.changed
    assert told.losses == {
        "rows that are pinned, and will not be": 1,
        "rows that are archived, and will be recalled again": 2,
        "conversations' notes (titles, summaries, tags)": 3,
    }
    with pytest.raises(StoreError, match=r"format 4 cannot hold all: .*pinned.*allow-loss"):
        asyncio.run(migrate(str(folder), to=4))
    assert files(folder) == before


def test_a_message_in_two_conversations_is_one_row_of_format_2(tmp_path: Path) -> None:
    from bruno_core.models import Message, MessageRole

    folder = tmp_path / "memory"

    async def make() -> None:
        async with open_memory(str(folder), embedder="hash") as memory:
            said = Message(role=MessageRole.USER, content="Be brief.")
            for talk in ("one", "two"):
                await memory.store_message(said, talk, user_id="ana")

    asyncio.run(make())
    with pytest.raises(
        StoreError, match=r"rows of messages that are in other conversations, too \(1\)"
    ):
        go(folder, 2)
    go(folder, 2, allow_loss=True)
    assert [row["conversation_id"] for row in rows(folder)] == ["two"]


def test_nothing_is_changed_by_a_dry_run(store_of: Unpack) -> None:
    folder = store_of(3)
    before = files(folder)
    report = asyncio.run(migrate(str(folder), dry_run=True))
    assert (report.before, report.after, report.rows) == (3, SCHEMA_VERSION, 12)
    assert report.bytes > 0
    assert files(folder) == before


def test_a_store_of_this_format_stays_as_it_is(store_of: Unpack) -> None:
    folder = store_of(6)
    before = files(folder)
    report = asyncio.run(migrate(str(folder)))
    assert not report.changed
    assert not report.steps
    assert files(folder) == before


@pytest.mark.skipif(os.name != "posix", reason="rights are other ones there")
@pytest.mark.parametrize("to", [5, 6])
def test_what_is_made_is_for_the_owner_only(store_of: Unpack, to: int) -> None:
    folder = store_of(4)
    go(folder, to)
    made = [path for path in folder.rglob("*") if path.name not in ("store.json", "writer.lock")]
    assert made
    assert not [path for path in made if path.stat().st_mode & 0o077]


def test_words_of_another_analysis_are_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "memory"
    asyncio.run(_open(folder))
    path = folder / "store.json"
    now = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**now, "analysis": "unicode-1/english"}), encoding="utf-8")
    would = asyncio.run(migrate(str(folder), dry_run=True))
    assert would.steps == (
        f"the lexical index anew, by {now['analysis']} in place of unicode-1/english",
    )
    assert asyncio.run(migrate(str(folder))).steps == would.steps
    assert json.loads(path.read_text(encoding="utf-8"))["analysis"] == now["analysis"]
    assert not asyncio.run(migrate(str(folder))).steps


def test_opening_names_the_command(store_of: Unpack) -> None:
    folder = store_of(4)
    with pytest.raises(StoreVersionError, match=f"bruno-memory-vec migrate {folder}"):
        asyncio.run(_open(folder))


async def _open(folder: Path) -> None:
    async with open_memory(str(folder), embedder="hash"):
        pass


def test_a_newer_format_says_which_version_it_needs(store_of: Unpack) -> None:
    folder = store_of(6)
    path = folder / "store.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, "schema": 9, "written_by": "3.1.4"}), encoding="utf-8")
    for work in (_open(folder), migrate(str(folder))):
        with pytest.raises(StoreVersionError, match=r"needs version 3\.1\.4 or newer"):
            asyncio.run(work)


def test_a_store_that_is_written_is_not_migrated(store_of: Unpack) -> None:
    folder = store_of(6)

    async def beside() -> None:
        async with open_memory(str(folder), embedder="hash"):
            await migrate(str(folder), to=5, allow_loss=True)

    with pytest.raises(StoreLockedError):
        asyncio.run(beside())


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_too_little_space_is_told_before_anything_is_written(
    store_of: Unpack, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = store_of(5)
    before = files(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: _Usage(10**9, 10**9 - 10**6, 10**6))
    with pytest.raises(BackendUnavailable, match="1 MiB are free"):
        go(folder, SCHEMA_VERSION)
    assert files(folder) == before


def test_rows_that_are_damaged_are_not_made_whole_in_silence(store_of: Unpack) -> None:
    """The log has no checksum of its own that a hand could not set; so a row is changed in it."""
    import lancedb

    folder = store_of(5)
    table = lancedb.connect(str(folder / "rows")).open_table("rows")
    table.update(where="seq = 0", values={"content": "Ruth lives in Porto."})
    with pytest.raises(StoreError, match="1 row is not as it was stored: seq 0"):
        go(folder, SCHEMA_VERSION)
    report = asyncio.run(migrate(str(folder), allow_loss=True))
    assert any("not as it was stored" in note for note in report.notes)
    assert rows(folder)[0]["content"] == "Ruth lives in Porto."


def test_an_encrypted_store_is_not_brought_back(tmp_path: Path) -> None:
    folder = tmp_path / "memory"

    async def make() -> None:
        async with open_memory(str(folder), embedder="hash", key=b"k" * 32):
            pass

    asyncio.run(make())
    before = files(folder)
    assert not asyncio.run(migrate(str(folder))).changed
    with pytest.raises(StoreError, match="encrypted, and no format before 6"):
        go(folder, 5)
    assert files(folder) == before


def test_sessions_elsewhere_stay_as_they_are(store_of: Unpack) -> None:
    folder = store_of(5)
    for path in folder.glob("sessions.sqlite*"):
        path.unlink()
    (folder / "sessions.name").write_text("abc\n", encoding="utf-8")
    report = asyncio.run(migrate(str(folder)))
    assert any("sessions are elsewhere" in note for note in report.notes)
    assert (folder / "sessions.name").read_text(encoding="utf-8") == "abc\n"
    assert not (folder / "sessions.sqlite").exists()
    assert len(rows(folder)) == 12


async def test_rows_in_qdrant_have_a_version_of_their_own(tmp_path: Path) -> None:
    url = f"qdrant+local:{tmp_path / 'points'}?collection=talks"
    async with open_memory(url, embedder="hash"):
        pass
    report = await migrate(url)
    assert not report.changed
    assert "version of its own" in str(report)
    with pytest.raises(InvalidInputError, match="only a store in a folder"):
        await migrate(url, to=5)


@pytest.mark.parametrize("to", [0, 7, True])
def test_a_format_that_there_is_not(store_of: Unpack, to: int) -> None:
    with pytest.raises(InvalidInputError, match="Name one from 1 to 6"):
        asyncio.run(migrate(str(store_of(6)), to=to))


def test_what_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError):
        asyncio.run(migrate(str(tmp_path)))
    assert not list(tmp_path.iterdir())
