"""Files that are damaged or gone: what is derived is made again, and damaged truth is named."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import NotAStoreError
from bruno_memory_vec.indexers.lance.recovery import ASIDE, Whole, newest_whole, step_back
from bruno_memory_vec.upkeep.check import RESTORE
from tests.durability.support import message, rows_of, sessions_written
from tests.torture.conftest import Torture, counts
from tests.torture.faults import doctor, said, states

Damage = Callable[[Path], None]

WORDS = [f"word{number}x" for number in range(60)]
LATEST = ["said next", "said better"]


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    async def make(folder: Path) -> None:
        async with open_memory(str(folder), embedder="hash") as memory:
            for start in range(0, len(WORDS), 20):
                texts = [f"{word} by the harbour" for word in WORDS[start : start + 20]]
                await memory.store_messages([message(text) for text in texts], "talk")
            for text in ("said before", "said first"):
                await memory.store_message(message(text, id=UUID(int=5)), "talk")
            await memory.create_session("default")
        # Two versions more, neither of which replaces a row: older ones are kept.
        for text in LATEST:
            async with open_memory(str(folder), embedder="hash") as memory:
                await memory.store_message(message(text), "talk")

    folder = tmp_path_factory.mktemp("damage") / "store"
    asyncio.run(make(folder))
    return folder


@pytest.fixture
def store(_made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(_made, tmp_path / "store"))


async def contents(memory: VectorMemory) -> list[str]:
    return sorted(row["content"] for row in await rows_of(memory))


WHOLE = sorted([*(f"{word} by the harbour" for word in WORDS), "said first", *LATEST])


async def check(folder: Path) -> None:
    """All rows are there, and found by their words; writing goes on."""
    async with open_memory(str(folder), embedder="hash") as memory:
        assert await contents(memory) == WHOLE
        for word in WORDS[::20]:
            hits = await memory.recall(word, user_id="default", k=1)
            assert hits[0].content == f"{word} by the harbour"
            assert hits[0].signals["lexical"] > 0
        await memory.store_message(message("and on"), "talk", user_id="default")
        assert (await memory.get_context("default", "talk")).messages[-1].content == "and on"
        assert (await memory.health())["problems"] == {}


def flip(path: Path, draw: random.Random, bytes_: int = 4) -> None:
    data = bytearray(path.read_bytes())
    for place in draw.sample(range(len(data)), min(bytes_, len(data))):
        data[place] ^= draw.randrange(1, 256)
    path.write_bytes(data)


async def ask_doctor(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    # The command has an event loop of its own.
    return await asyncio.to_thread(doctor, folder, *options)


def newest(folder: Path, pattern: str) -> Path:
    paths = list((folder / "rows" / "rows.lance").glob(pattern))
    return max(paths, key=lambda path: path.stat().st_mtime_ns)


# The lexical index


@pytest.mark.parametrize(
    "pattern",
    ["meta.json", ".managed.json", "*.term", "*.idx", "*.pos", "*.fast", "*.store", "*.fieldnorm"],
)
async def test_flipped_bytes_in_the_word_index(store: Path, pattern: str, torture: Torture) -> None:
    """No check sum is read at opening: it answers right, or says which fix makes it."""
    draw = random.Random(pattern)
    told = 0
    tries = torture.choose(2, 40)
    kept = store.parent / "kept"
    shutil.copytree(store / "lexical", kept)
    for _ in range(tries):
        for path in (store / "lexical").glob(pattern):
            flip(path, draw)
        try:
            async with open_memory(str(store), embedder="hash") as memory:
                assert await contents(memory) == WHOLE
                for word in WORDS[::20]:
                    await memory.recall(word, user_id="default", k=3)
        except BrunoError as error:
            assert "tantivy" in str(error)  # noqa: PT017 - or the flip did no harm
            told += 1
        shutil.rmtree(store / "lexical")
        shutil.copytree(kept, store / "lexical")
    shutil.rmtree(store / "lexical")
    await check(store)
    counts(flips=tries, told=told)


async def test_the_word_index_vanishes_under_a_writer(store: Path) -> None:
    """The commit that meets it says so; then the index is made anew under the writer."""
    async with open_memory(str(store), embedder="hash") as memory:
        shutil.rmtree(store / "lexical")
        await memory.store_message(message("stored all the same"), "talk")
        assert len(await memory.recall("same", user_id="default")) > 0
        problems: dict[str, str] = {}
        for _ in range(1_000):
            problems = (await memory.health())["problems"]
            if problems:
                break
            await asyncio.sleep(0.01)
        assert "tantivy" in problems["lexical"]
        for _ in range(400):
            if not (await memory.health())["problems"]:
                break
            await asyncio.sleep(0.05)
        health = await memory.health()
        assert health["problems"] == {}
        assert health["lexical"]["rebuilt"]
        assert len(await contents(memory)) == len(WHOLE) + 1
        best = (await memory.recall("same", user_id="default"))[0]
        assert best.content == "stored all the same"
        assert best.signals["lexical"] > 0
    assert (await ask_doctor(store))[0] == 0


# The sessions


async def test_damaged_sessions(store: Path, torture: Torture) -> None:
    """Told by doctor; opening puts the file aside, and keeps the sessions that can be read."""
    path = store / "sessions.sqlite"
    kept = Path(shutil.copytree(store, store.parent / "kept"))
    whole, size = path.read_bytes(), path.stat().st_size
    draw = random.Random(11)
    damages = [b"", b"no database at all", whole[: size // 2], bytes(size), draw.randbytes(size)]
    for _ in range(torture.choose(4, 100)):
        data = bytearray(whole)
        data[draw.randrange(size)] ^= draw.randrange(1, 256)
        damages.append(bytes(data))
    salvaged = 0
    for data in damages:
        shutil.rmtree(store)
        shutil.copytree(kept, store)
        path.write_bytes(data)
        code, report = await ask_doctor(store)
        assert (code, states(report)["sessions"]) == (4, "problem")
        async with open_memory(str(store), embedder="hash") as memory:
            assert await contents(memory) == WHOLE
            shown = (await memory.get_context("default", "talk")).messages
            assert [one.content for one in shown] == [
                f"{word} by the harbour" for word in WORDS[-17:]
            ] + ["said first", *LATEST]
            health = await memory.health()
            assert "is kept as" in health["sessions"]["rebuilt"][0]
            salvaged += len(await memory.list_sessions("default"))
    assert (await ask_doctor(store, "--repair"))[0] == 0
    await check(store)
    counts(damages=len(damages), with_the_session=salvaged)


@pytest.mark.parametrize("damage", ["cut", "garbled", "deleted", "of another file"])
async def test_a_damaged_write_ahead_log(store: Path, damage: str) -> None:
    """Copied from a running store, as a kill leaves it: the log holds what the file does not."""
    image = store.parent / "image"
    async with open_memory(str(store), embedder="hash") as memory:
        await memory.store_message(message("only in the log"), "talk")
        await sessions_written(memory)
        shutil.copytree(store, image)
    log = image / "sessions.sqlite-wal"
    data = log.read_bytes()
    assert data
    if damage == "deleted":
        log.unlink()
    elif damage == "cut":
        log.write_bytes(data[: len(data) // 2])
    elif damage == "garbled":
        log.write_bytes(random.Random(1).randbytes(len(data)))
    else:
        log.write_bytes(data[:24] + random.Random(2).randbytes(8) + data[32:])
    async with open_memory(str(image), embedder="hash") as memory:
        assert await contents(memory) == sorted([*WHOLE, "only in the log"])
        shown = (await memory.get_context("default", "talk")).messages
        assert shown[-1].content == "only in the log"
        assert (await memory.health())["problems"] == {}
    assert (await ask_doctor(image))[0] == 0


# store.json


@pytest.mark.parametrize("damage", ["", "{", "\0" * 300, "deleted"])
async def test_the_doctor_of_a_store_without_its_manifest(store: Path, damage: str) -> None:
    path = store / "store.json"
    path.unlink()
    if damage != "deleted":
        path.write_text(damage)
    for options in ((), ("--repair",)):
        code, report = await ask_doctor(store, *options)
        assert code == 1
        assert "store.json" in report["error"]["message"]
        assert "Restore it from a snapshot or a backup" in report["error"]["fix"]
    with pytest.raises(NotAStoreError, match=r"store\.json"):
        await open_memory(str(store), embedder="hash")
    # The other way out that the error names.
    async with open_memory(str(store.parent / "other"), embedder="hash"):
        pass
    shutil.copyfile(store.parent / "other" / "store.json", path)
    await check(store)


# The rows, which are the truth


def _empty(pattern: str) -> Damage:
    return lambda folder: newest(folder, pattern).write_bytes(b"")


def _zero(pattern: str) -> Damage:
    def zero(folder: Path) -> None:
        path = newest(folder, pattern)
        path.write_bytes(bytes(path.stat().st_size))

    return zero


def _cut(pattern: str) -> Damage:
    def cut(folder: Path) -> None:
        path = newest(folder, pattern)
        os.truncate(path, path.stat().st_size // 2)

    return cut


MANIFEST, DATA = "_versions/*.manifest", "data/*.lance"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(_empty(MANIFEST), id="manifest empty"),
        pytest.param(_zero(MANIFEST), id="manifest zeros"),
        pytest.param(_cut(MANIFEST), id="manifest cut"),
        pytest.param(lambda folder: newest(folder, DATA).unlink(), id="data deleted"),
        pytest.param(_empty(DATA), id="data empty"),
        pytest.param(_zero(DATA), id="data zeros"),
        pytest.param(_cut(DATA), id="data cut"),
    ],
)
async def test_a_torn_newest_version(store: Path, damage: Damage) -> None:
    """Named by every way in; nothing is changed until the version before is asked for."""
    last = newest(store, DATA)
    damage(store)
    before = {path: path.read_bytes() for path in (store / "rows").rglob("*") if path.is_file()}
    for read_only in (False, True):
        with pytest.raises(BrunoError, match="lancedb") as failed:
            async with open_memory(str(store), embedder="hash", read_only=read_only) as memory:
                await contents(memory)
        assert "doctor" in failed.value.fix
    code, report = await ask_doctor(store)
    assert (code, states(report)["rows"]) == (4, "problem")
    assert f"an older version, with {len(WHOLE) - 1} rows, is whole" in said(report, "rows")
    assert "step back to that version. Run: bruno-memory-vec doctor --repair" in said(
        report, "rows"
    )
    assert before == {path: path.read_bytes() for path in before}
    whole = await newest_whole(store / "rows")
    assert whole is not None

    code, report = await ask_doctor(store, "--repair")
    assert code == 0, report
    stepped = report["repaired"]["stepped_back"]
    assert (stepped["version"], stepped["rows"]) == (whole.version, whole.rows)
    assert stepped["put_aside"] == list(whole.torn)
    assert f"kept in {store / 'rows' / ASIDE / '1'}" in stepped["note"]
    assert "With fsync=True, nothing" in stepped["note"]
    assert report["repaired"]["lexical"] == report["repaired"]["rows"] == len(WHOLE) - 1
    assert len(report["repaired"]["losses"]["lost"]) == 1
    aside = Path(stepped["kept_in"])
    check_kept(aside, whole, before, store / "rows" / "rows.lance")
    # Or it is what was deleted.
    assert (aside / "data" / last.name).exists() == (last in before)
    assert (await ask_doctor(store))[0] == 0

    # The message of the torn version is nowhere shown.
    async with open_memory(str(store), embedder="hash") as memory:
        assert await contents(memory) == [text for text in WHOLE if text != "said better"]
        shown = (await memory.get_context("default", "talk")).messages
        assert "said next" in [message.content for message in shown]
        assert "said better" not in [message.content for message in shown]
        hits = await memory.recall("better", user_id="default", profile="lexical")
        assert not [hit for hit in hits if "better" in hit.content]
        await memory.store_message(message("and on"), "talk", user_id="default")
        assert (await memory.recall("word3x", user_id="default", k=1))[0].content.startswith(
            "word3x"
        )
    again = await newest_whole(store / "rows")
    assert again is not None
    assert again.unreadable == ()


def check_kept(aside: Path, whole: Whole, before: dict[Path, bytes], table: Path) -> None:
    """What the torn versions consisted of was put aside as it was found."""
    manifests = {path.name for path in whole.unreadable}
    assert {path.name for path in aside.glob("*.manifest")} == manifests
    for path in (path for path in aside.rglob("*") if path.is_file()):
        name = Path("_versions") / path.name if path.name in manifests else path.relative_to(aside)
        assert path.read_bytes() == before[table / name]


async def test_stepping_back_twice_keeps_both(store: Path) -> None:
    """LanceDB gives the number of the torn version again."""
    for number in ("1", "2"):
        _empty(MANIFEST)(store)
        whole = await newest_whole(store / "rows")
        assert whole is not None
        assert step_back(store / "rows", whole) == store / "rows" / ASIDE / number
        async with open_memory(str(store), embedder="hash") as memory:
            await memory.store_message(message(f"after {number}"), "talk", user_id="default")
    first, second = (
        {path.name for path in (store / "rows" / ASIDE / number).glob("*.manifest")}
        for number in ("1", "2")
    )
    assert first & second
    async with open_memory(str(store), embedder="hash") as memory:
        assert "after 2" in await contents(memory)


async def test_rows_that_no_version_has_whole(store: Path) -> None:
    for path in (store / "rows" / "rows.lance" / "data").iterdir():
        path.write_bytes(b"")
    whole = await newest_whole(store / "rows")
    # But for the one that the store began with, if it was not erased.
    assert whole is None or whole.rows == 0
    code, report = await ask_doctor(store, "--repair")
    assert code == 4
    assert RESTORE in said(report, "rows")
    assert "is whole" not in said(report, "rows")
    none = f"none of the rows can be read, of {len(WHOLE)} that were acknowledged"
    assert none in said(report, "rows")


async def test_lost_scalar_indexes_are_no_loss(store: Path) -> None:
    shutil.rmtree(store / "rows" / "rows.lance" / "_indices")
    await check(store)
