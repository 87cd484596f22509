"""An index behind a log answers as one that has every row, wherever the rows are just now."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bruno_memory_vec.errors import BackendUnavailable, EngineError
from bruno_memory_vec.indexers.lance import memtable
from bruno_memory_vec.indexers.lance.write_ahead_log import WriteAheadLog, read_segment, segments
from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.reference import ReferenceIndex
from bruno_memory_vec.indexers.schema import COLUMNS, row_schema
from bruno_memory_vec.indexers.uses import count_uses
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.testing.rows import START, memory, message, table
from tests.versioned import VersionedReference

DIMENSION = 8
SCHEMA = row_schema(DIMENSION)
ANA, BEN, EVERYONE, ANY = Scope.user("ana"), Scope.user("ben"), Scope.all_users(), RowFilter()
WORDS = "hotel pool boiler dentist falcon garden".split()


def row(seq: int) -> dict[str, Any]:
    """Rows of two users and both kinds, told apart by ``seq``."""
    user = "ben" if seq % 3 == 0 else "ana"
    text = f"{WORDS[seq % len(WORDS)]} {seq}"
    if seq % 4 == 3:
        return memory(seq, text, user_id=user, tags=["red"] * (seq % 2))
    talk = {"conversation_id": f"{user}'s {seq % 2}", "turn": seq // 2}
    return message(seq, text, user_id=user, created_at=START + timedelta(hours=-seq % 5), **talk)


def rows(*seqs: int) -> pa.Table:
    return table([row(seq) for seq in seqs], DIMENSION)


class Inner(VersionedReference):
    """The oracle's engine, whose next append can be made to fail, before or after it is done."""

    def __init__(self) -> None:
        super().__init__(DIMENSION)
        self.fails: list[str] = []
        self.commits: list[int] = []

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        if not all_new:
            await super().upsert(rows, all_new=False)
            return
        when = self.fails.pop(0) if self.fails else ""
        if when == "before":
            raise EngineError("test", "add rows", "as asked", fix="None.")
        await super().upsert(rows, all_new=all_new)
        self.commits.append(rows.num_rows)
        if when == "after":
            raise EngineError("test", "add rows", "as asked, late", fix="None.")


class Pair:
    """A logged index, and the rows it ought to hold in an index of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.inner = folder, Inner()
        self.index = WriteAheadLogIndex(self.inner, folder, SCHEMA)
        self.oracle = ReferenceIndex(DIMENSION)

    async def append(self, *seqs: int) -> None:
        await self.index.upsert(rows(*seqs), all_new=True)
        await self.oracle.upsert(rows(*seqs), all_new=True)

    @property
    def files(self) -> list[str]:
        return [path.name for path in segments(self.folder)]

    async def check(self, index: WriteAheadLogIndex | None = None) -> None:
        """Ask both everything."""
        index, oracle = index or self.index, self.oracle
        for scope in (EVERYONE, ANA, BEN, ANA.within("ana's 0"), Scope.user("cy")):
            for where in (ANY, RowFilter(kinds=("message",)), RowFilter(tags=("red",))):
                await self._check(index, oracle, scope, where)
        assert await index.last_seq() == await oracle.last_seq()
        for since in (-1, 2, 5, 1_000):
            for columns in (["seq", "id"], ["content"]):
                streams = [await _streamed(one.after(since, columns)) for one in (index, oracle)]
                assert streams[0] == streams[1]
            own = [await _streamed(one.after(since, ["id"], ANA)) for one in (index, oracle)]
            assert own[0] == own[1]
        held = await oracle.count(EVERYONE, ANY)
        assert (await index.health())["rows"] == held

    async def _check(
        self, index: WriteAheadLogIndex, oracle: ReferenceIndex, scope: Scope, where: RowFilter
    ) -> None:
        assert await index.count(scope, where) == await oracle.count(scope, where)
        for limit in (1, 3, 100):
            question = HashEmbedder(DIMENSION).embed(["hotel with a pool"])[0]
            found = await index.search(question, scope, where, limit)
            wanted = await oracle.search(question, scope, where, limit)
            assert found.seq.tolist() == wanted.seq.tolist()
            assert found.score.tolist() == pytest.approx(wanted.score.tolist(), abs=1e-6)
            assert found.conversation_id == wanted.conversation_id
            assert found.turn.tolist() == wanted.turn.tolist()
        for order, limit in ((None, None), ("seq", 2), ("created_at", 3), ("turn", None)):
            columns = ("content", "user_id") if order else COLUMNS
            tables = [
                await one.read(scope, where, columns, order_by=order, limit=limit)
                for one in (index, oracle)
            ]
            assert tables[0].column_names == list(columns)
            lists = [part.to_pylist() for part in tables]
            if order is None:
                lists = [sorted(part, key=lambda held: int(held["seq"])) for part in lists]
            assert lists[0] == lists[1]
        places = {"ana's 0": [1, 2, 3, 8], "ben's 1": [1, 4]}
        for columns in (("content",), ("seq", "turn")):
            near = [
                await one.read(scope, where, columns, seqs=[0, 4, 7, 99], turns=places)
                for one in (index, oracle)
            ]
            assert near[0].column_names == list(columns)
            assert _sorted(near[0]) == _sorted(near[1])
            got = [
                await one.read(scope, ANY, columns, seqs=[1, 6, 7, 8, 99])
                for one in (index, oracle)
            ]
            assert _sorted(got[0]) == _sorted(got[1])


def _sorted(found: pa.Table) -> list[tuple[str, ...]]:
    return sorted(tuple(map(str, held.values())) for held in found.to_pylist())


async def _streamed(batches: AsyncIterator[pa.RecordBatch]) -> list[tuple[str, ...]]:
    found = [batch async for batch in batches]
    return _sorted(pa.Table.from_batches(found)) if found else []


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    made = Pair(tmp_path / "log")
    await made.index.replay()
    yield made
    await made.index.close()


async def test_rows_that_are_logged_and_rows_that_are_not(pair: Pair) -> None:
    await pair.check()
    await pair.append(0, 1, 2)
    await pair.check()
    await pair.index.flush()
    assert (pair.inner.commits, pair.files) == ([3], [])
    await pair.check()
    await pair.append(3)
    await pair.append(4, 5, 6)
    assert len(pair.files) == 1
    log = (await pair.index.health())["log"]
    assert (log["rows"], log["segments"], log["problem"]) == (4, 1, None)
    assert log["bytes"] > 4 * DIMENSION * 4
    await pair.check()
    await pair.append(9, 11)
    await pair.check()
    await pair.index.flush()
    await pair.index.flush()
    assert (pair.inner.commits, pair.files) == ([3, 6], [])
    assert (await pair.index.health())["log"]["segments"] == 0


async def test_rows_that_are_in_both(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine has them, and their file is not gone yet."""
    await pair.append(0, 1, 2, 3)
    assert pair.index._memtables is not None
    with monkeypatch.context() as failing:

        def refuse(*_: Any) -> None:
            raise BackendUnavailable("write-ahead log", "let go of rows", "busy", fix="None.")

        failing.setattr(pair.index._memtables._log, "remove", refuse)
        with pytest.raises(BackendUnavailable):
            await pair.index.flush()
    assert await pair.inner.count(EVERYONE, ANY) == 4
    assert len(pair.files) == 1
    assert "busy" in (await pair.index.health())["log"]["problem"]
    await pair.check()
    await pair.append(4, 6, 7, 8)
    await pair.check()
    await pair.index.flush()
    assert (pair.inner.commits, pair.files) == ([4, 4], [])
    assert (await pair.index.health())["log"]["problem"] is None
    await pair.check()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_an_engine_that_fails(pair: Pair, when: str) -> None:
    await pair.append(0, 1)
    pair.inner.fails = [when, when]
    for _ in range(2):
        with pytest.raises(EngineError, match="as asked"):
            await pair.index.flush()
        if when == "after":
            pair.inner.fails = []
            break
        assert "as asked" in (await pair.index.health())["log"]["problem"]
    await pair.check()
    await pair.append(2, 3)
    await pair.check()
    await pair.index.flush()
    # Once each, however the attempts before had ended.
    assert pair.inner.commits == [2, 2]
    assert (await pair.index.health())["log"]["problem"] is None
    await pair.check()


async def test_a_flush_takes_what_was_logged_when_it_began(pair: Pair) -> None:
    """Else it would never end beside somebody who stores all the time."""
    inner, gate = pair.inner.upsert, asyncio.Event()

    async def upsert(given: pa.Table, *, all_new: bool) -> None:
        await inner(given, all_new=all_new)
        await gate.wait()

    pair.inner.upsert = upsert  # type: ignore[method-assign]
    await pair.append(0, 1)
    flushing = asyncio.ensure_future(pair.index.flush())
    while not pair.inner.commits:  # noqa: ASYNC110  # it has no event for it
        await asyncio.sleep(0)
    await pair.append(2, 3)
    gate.set()
    await flushing
    assert pair.inner.commits == [2]
    assert len(pair.files) == 1
    await pair.check()


@pytest.mark.parametrize("call", ["read", "search", "count", "after"])
async def test_rows_that_leave_the_tail_and_go_while_the_engine_is_asked(
    pair: Pair, call: str
) -> None:
    """What the tail held before is not what is there."""
    await pair.append(0, 1, 2)
    begun: list[bool] = []

    async def change() -> None:
        if not begun:
            begun.append(True)
            gone = await pair.index.delete(BEN, ANY)
            assert gone.tolist() == [0]

    inner = getattr(pair.inner, call)

    async def stream(*given: Any) -> AsyncIterator[pa.RecordBatch]:
        await change()
        async for batch in inner(*given):
            yield batch

    async def answer(*given: Any, **named: Any) -> Any:
        await change()
        return await inner(*given, **named)

    setattr(pair.inner, call, stream if call == "after" else answer)
    found: list[int]
    if call == "read":
        found = (await pair.index.read(EVERYONE, ANY, ["seq"])).column("seq").to_pylist()
    elif call == "search":
        question = HashEmbedder(DIMENSION).embed(["hotel"])[0]
        found = (await pair.index.search(question, EVERYONE, ANY, 9)).seq.tolist()
    elif call == "count":
        found = [1, 2][: await pair.index.count(EVERYONE, ANY)]
        assert await pair.index.count(EVERYONE, ANY) == 2
    else:
        batches = [batch async for batch in pair.index.after(-1, ["seq"])]
        found = [seq for batch in batches for seq in batch.column("seq").to_pylist()]
    assert begun
    assert sorted(found) == [1, 2]


async def test_changes_wait_until_the_engine_has_every_row(pair: Pair) -> None:
    await pair.append(0, 1, 2, 3)
    gone = await pair.index.delete(BEN, ANY)
    assert sorted(gone.tolist()) == [0, 3]
    await pair.oracle.delete(BEN, ANY)
    assert pair.files == []
    await pair.check()
    await pair.append(4)
    changed = table([{**row(4), "content": "mended", "seq": 12}], DIMENSION)
    for index in (pair.index, pair.oracle):
        await index.upsert(changed, all_new=False)
    await pair.check()
    assert pair.files == []
    await pair.append(13)
    for one in (pair.index, pair.oracle):
        await count_uses(one, {13: 2, 12: 1}, START)
        await count_uses(one, {}, START)
    await pair.check()
    # One change that fails leaves the rows logged, and is not made.
    await pair.append(14)
    pair.inner.fails = ["before"]
    with pytest.raises(EngineError):
        await pair.index.delete(EVERYONE, ANY)
    await pair.check()


@pytest.mark.parametrize(
    ("seqs", "why"),
    [
        ([20, 19], "not in their order"),
        ([5, 21], "not behind all others"),
        ([20, 20], "one twice"),
        ([8], "as old as the newest"),
    ],
)
async def test_what_a_replay_would_not_find_is_not_logged(
    pair: Pair, seqs: Sequence[int], why: str
) -> None:
    await pair.append(7, 8)
    fresh = [{**row(seq), "id": f"{place:036}"} for place, seq in enumerate(seqs)]
    await pair.index.upsert(table(fresh, DIMENSION), all_new=True)
    assert pair.inner.commits == [2, len(seqs)], why
    assert pair.files == []


@pytest.mark.parametrize("bound", ["LOGGED_ROWS", "LOGGED_BYTES"])
async def test_many_rows_go_to_the_engine_at_once(
    pair: Pair, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.append(0)
    size = rows(1, 2, 4).get_total_buffer_size()
    monkeypatch.setattr(memtable, bound, 3 if bound == "LOGGED_ROWS" else size)
    await pair.append(1, 2, 4)
    assert pair.inner.commits == []
    await pair.append(5, 6, 7, 8)
    # What was logged before is before them.
    assert pair.inner.commits == [4, 4]
    assert pair.files == []
    await pair.append(9)
    assert pair.inner.commits == [4, 4]
    await pair.check()


async def test_a_tail_that_is_half_full_is_flushed_beside_appends(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memtable, "MEMTABLE_ROWS", 8)
    await pair.append(0, 1, 2)
    assert pair.index._memtables is not None
    assert pair.index._memtables._flushing_beside is None
    await pair.append(3)
    flushing = pair.index._memtables._flushing_beside
    assert flushing is not None
    await pair.append(4)
    await flushing
    assert sum(pair.inner.commits) >= 4
    await pair.check()


async def test_a_full_tail_makes_appends_wait(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memtable, "MEMTABLE_ROWS", 6)
    pair.inner.fails = ["before"] * 3
    await pair.append(0, 1, 2, 4)
    assert pair.index._memtables is not None
    assert pair.index._memtables._flushing_beside is not None
    await pair.index._memtables._flushing_beside
    # It has failed out of sight; what waits is told, and stays where it is.
    assert "as asked" in (await pair.index.health())["log"]["problem"]
    await pair.append(5, 6)
    with pytest.raises(EngineError, match="as asked"):
        await pair.index.upsert(rows(7), all_new=True)
    await pair.check()
    pair.inner.fails = []
    await pair.append(7)
    assert pair.inner.commits == [4, 2]
    await pair.check()


async def test_a_tail_of_few_and_long_rows_is_full_too(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.inner.fails = ["before"] * 9
    await pair.append(0)
    size = (await pair.index.health())["log"]["bytes"]
    monkeypatch.setattr(memtable, "MEMTABLE_BYTES", 4 * size)
    await pair.append(1)
    assert pair.index._memtables is not None
    assert pair.index._memtables._flushing_beside is not None, "half of it"
    await pair.index._memtables._flushing_beside
    await pair.append(2)
    # What comes is reckoned by its buffers, which are less than its record.
    large = table([{**row(4), "content": "x" * size}], DIMENSION)
    with pytest.raises(EngineError, match="as asked"):
        await pair.index.upsert(large, all_new=True)
    await pair.check()
    pair.inner.fails = []
    await pair.index.upsert(large, all_new=True)
    assert sum(pair.inner.commits) == 3


async def test_closing_brings_what_is_logged(tmp_path: Path) -> None:
    pair = Pair(tmp_path / "log")
    await pair.index.replay()
    await pair.append(0, 1)
    kept: list[pa.Table] = []
    inner = pair.inner.upsert

    async def upsert(given: pa.Table, *, all_new: bool) -> None:
        kept.append(given)
        await inner(given, all_new=all_new)

    pair.inner.upsert = upsert  # type: ignore[method-assign]
    await pair.index.close()
    assert [one.num_rows for one in kept] == [2]
    assert pair.files == []
    # The engine is closed, too; this one forgets its rows.
    assert await pair.inner.count(EVERYONE, ANY) == 0


@pytest.mark.parametrize("tables", [1, 3, 90])
async def test_a_tail_of_many_records(
    pair: Pair, tables: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many are joined in a thread, while others come."""
    monkeypatch.setattr(memtable, "_JOINED_ON_THE_LOOP", 4)
    for seq in range(tables):
        await pair.append(seq)
        if seq % 20 == 0:
            await pair.index.count(ANA, ANY)
    counting = asyncio.ensure_future(pair.index.count(EVERYONE, ANY))
    await asyncio.sleep(0)
    await pair.append(200)
    assert await counting in (tables, tables + 1)
    await pair.check()


# Another process


@pytest.fixture
async def reader(pair: Pair) -> WriteAheadLogIndex:
    """A reader of the same engine and the same log. It closes nothing: both are the writer's."""
    return WriteAheadLogIndex(pair.inner, pair.folder, SCHEMA, read_only=True)


async def test_a_reader_sees_every_record(pair: Pair, reader: WriteAheadLogIndex) -> None:
    await pair.check(reader)
    versions = [await reader.version()]
    for seqs in ((0, 1), (2,), (3, 4)):
        await pair.append(*seqs)
        await pair.check(reader)
        versions.append(await reader.version())
    await pair.index.flush()
    await pair.check(reader)
    versions.append(await reader.version())
    await pair.append(6)
    await pair.check(reader)
    versions.append(await reader.version())
    assert versions == sorted(set(versions)), "each change is another version"
    assert await reader.version() == versions[-1]
    log = (await reader.health())["log"]
    assert (log["rows"], log["segments"], log["problem"]) == (1, 1, None)


CHANGES: dict[str, Callable[[WriteAheadLogIndex], Awaitable[object]]] = {
    "append": lambda index: index.upsert(rows(1), all_new=True),
    "replace": lambda index: index.upsert(rows(1), all_new=False),
    "delete": lambda index: index.delete(EVERYONE, ANY),
    "update": lambda index: index.update(rows(1).select(["seq", "turn"])),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
async def test_a_reader_changes_nothing(
    reader: WriteAheadLogIndex, change: Callable[[WriteAheadLogIndex], Awaitable[object]]
) -> None:
    with pytest.raises(EngineError, match="opened to read"):
        await change(reader)


async def test_a_reader_of_a_file_that_is_being_written(
    pair: Pair, reader: WriteAheadLogIndex
) -> None:
    """It sees whole records; the rest of one when that has come; none that was cut back."""
    await pair.append(0, 1)
    (path,) = segments(pair.folder)
    first = path.stat().st_size
    await pair.append(2)
    second = path.stat().st_size
    await pair.append(3)
    whole = path.read_bytes()

    async def seen() -> list[int]:
        found = await reader.read(EVERYONE, ANY, ["seq"], order_by="seq")
        return [int(seq) for seq in found.column("seq").to_pylist()][::-1]

    assert await seen() == [0, 1, 2, 3]
    for size, wanted in (
        (second + 40, [0, 1, 2]),
        (second, [0, 1, 2]),
        (len(whole), [0, 1, 2, 3]),
        (first, [0, 1]),
        (20, []),
        (second, [0, 1, 2]),
        (0, []),
        (len(whole), [0, 1, 2, 3]),
    ):
        path.write_bytes(whole[:size])
        assert await seen() == wanted, size
        assert (await reader.health())["log"]["problem"] is None
    # Damage is told, and what is around it is there.
    bad = bytearray(whole)
    bad[first + 200] ^= 0x55
    path.write_bytes(bad[:first])
    assert await seen() == [0, 1]
    path.write_bytes(bad)
    assert await seen() == [0, 1, 3]
    assert path.name in (await reader.health())["log"]["problem"]
    # It is not read again before it is shorter than it was.
    path.write_bytes(whole[:first])
    assert await seen() == [0, 1]
    path.write_bytes(whole)
    assert await seen() == [0, 1, 2, 3]
    assert (await reader.health())["log"]["problem"] is None


async def test_a_reader_reads_only_what_is_new(
    pair: Pair, reader: WriteAheadLogIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.append(0, 1)
    assert await reader.count(EVERYONE, ANY) == 2
    begun: list[int] = []
    inner = memtable.read_segment

    def read(path: Path, *given: Any) -> Any:
        found = inner(path, *given)
        begun.append(found.begin)
        return found

    monkeypatch.setattr(memtable, "read_segment", read)
    for _ in range(3):
        assert await reader.count(EVERYONE, ANY) == 2
    assert begun == [], "nothing has changed"
    (path,) = segments(pair.folder)
    size = path.stat().st_size
    await pair.append(2)
    assert await reader.count(EVERYONE, ANY) == 3
    assert begun == [size]
    # What follows begins anew only for a file that is new.
    await pair.index.flush()
    await pair.append(3)
    assert await reader.count(EVERYONE, ANY) == 4
    assert begun == [size, 0]


async def test_many_who_look_at_once(pair: Pair, reader: WriteAheadLogIndex) -> None:
    await pair.append(0, 1, 2)
    counts = await asyncio.gather(*(reader.count(EVERYONE, ANY) for _ in range(8)))
    assert set(counts) == {3}


async def test_a_file_that_goes_while_it_is_read(
    pair: Pair, reader: WriteAheadLogIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows are in the engine by then; the reader looks again."""
    await pair.append(0, 1)
    (path,) = segments(pair.folder)
    inner, tries = memtable.read_segment, []

    def read(*given: Any) -> Any:
        tries.append(given)
        if len(tries) == 1:
            path.rename(path.with_suffix(".gone"))
        return inner(*given)

    with monkeypatch.context() as going:
        going.setattr(memtable, "read_segment", read)
        assert await reader.count(EVERYONE, ANY) == 0
    path.with_suffix(".gone").rename(path)
    assert await reader.count(EVERYONE, ANY) == 2


# The files themselves


def logged(folder: Path, *batches: pa.Table) -> Path:
    log = WriteAheadLog(folder, SCHEMA)
    path, _ = log.append(batches[0])
    for batch in batches[1:]:
        log.append(batch)
    log.close()
    return path


def test_all_parts_begin_at_a_multiple_of_eight(tmp_path: Path) -> None:
    """So says the format, which other versions read, too."""
    path = logged(tmp_path, rows(0))
    data, found = path.read_bytes(), read_segment(path)
    assert found.header is not None
    assert data.startswith(b"bmv-log\n")
    assert (found.header.end % 8, len(data) % 8, found.end) == (0, 0, len(data))
    assert data.endswith(b"\xff" * 8)
    assert data[found.header.end :].startswith(found.header.marker)


def test_another_file_under_the_same_name_is_read_from_its_beginning(tmp_path: Path) -> None:
    first = read_segment(logged(tmp_path / "a", rows(0), rows(1)))
    path = logged(tmp_path / "b", rows(4), rows(5), rows(6))
    for begin in (0, first.end):
        found = read_segment(path, first.header, begin)
        assert [one.column("seq").to_pylist() for one in found.rows] == [[4], [5], [6]]
        assert (found.begin, found.damaged, found.torn) == (0, 0, False)
    own = read_segment(path)
    again = read_segment(path, own.header, own.end)
    assert (again.rows, again.begin, again.end) == ((), own.end, own.end)


def test_names_that_are_to_go_are_not_given_again(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path, SCHEMA)
    taken: list[Path] = []
    for _ in range(4):
        log.avoid(list(taken))
        path, _ = log.append(rows(7))
        log.rotate()
        assert path not in taken
        taken.append(path)
    # The order of their names is that of their rows.
    assert segments(tmp_path) == taken
    log.close()


def test_a_file_that_cannot_be_mended(tmp_path: Path) -> None:
    log = WriteAheadLog(tmp_path, SCHEMA)
    found = read_segment(logged(tmp_path, rows(0)))
    found.path.unlink()
    found.path.mkdir()
    with pytest.raises(BackendUnavailable, match="mend"):
        log.mend(found)
