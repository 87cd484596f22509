"""The files of the log: what is read of them when they were cut, damaged or not to be written."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bruno_memory_vec.errors import BackendUnavailable, EngineError
from bruno_memory_vec.indexers.lance.write_ahead_log import WriteAheadLog, read_segment, segments
from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import row_schema
from bruno_memory_vec.testing.rows import message, table
from tests.versioned import VersionedReference

DIMENSION = 8
SCHEMA = row_schema(DIMENSION)
EVERYTHING = (Scope.all_users(), RowFilter())


def rows(*seqs: int, **columns: Any) -> pa.Table:
    made = [message(seq, f"number {seq}", **columns) for seq in seqs]
    return table(made, DIMENSION)


def logged(folder: Path, *batches: pa.Table, fsync: bool = False) -> list[int]:
    """Log batches, and end as a killed process does; where each of them ends in the file."""
    log, ends = WriteAheadLog(folder, SCHEMA, fsync=fsync), []
    for batch in batches:
        path, _ = log.append(batch)
        ends.append(path.stat().st_size)
    log.close()
    return ends


def kill(index: WriteAheadLogIndex) -> None:
    """Let go of its file and do no more, as its process's end would."""
    assert index._memtables is not None
    index._memtables._log.rotate()


async def held(folder: Path) -> tuple[list[int], str | None, list[str]]:
    """What a store holds that opens a log: ``seq``, the problem, and the log's files afterwards."""
    index = WriteAheadLogIndex(VersionedReference(DIMENSION), folder, SCHEMA)
    await index.replay()
    found = await index.read(*EVERYTHING, ["seq"], order_by="seq")
    problem = (await index.health())["log"]["problem"]
    names = sorted(os.listdir(folder))
    return found.column("seq").to_pylist()[::-1], problem, names


async def test_what_was_logged_comes_back_as_it_was(tmp_path: Path) -> None:
    first = rows(3, 4, tags=["a", "b"], category=None)
    logged(tmp_path / "log", first, rows(7))
    (path,) = segments(tmp_path / "log")
    found = read_segment(path)
    assert pa.concat_tables(found.rows).equals(pa.concat_tables([first, rows(7)]))
    assert (found.damaged, found.torn) == (0, False)
    assert await held(tmp_path / "log") == ([3, 4, 7], None, [])


@pytest.mark.parametrize("part", range(4))
async def test_a_last_record_that_was_cut_short_at_any_byte(tmp_path: Path, part: int) -> None:
    """As a kill leaves it: the rows before are there, and nothing is wrong."""
    ends = logged(tmp_path / "made", rows(1, 2), rows(3), rows(4))
    (made,) = segments(tmp_path / "made")
    whole = made.read_bytes()
    assert len(whole) == ends[-1]
    folder = tmp_path / "log"
    folder.mkdir()
    # Every byte of the last record, and some of the header's and of the first one's.
    cuts = [*range(0, ends[1], 211), *range(ends[1], ends[2])][part::4]
    for cut in cuts:
        (folder / made.name).write_bytes(whole[:cut])
        kept = [1, 2] * (cut >= ends[0]) + [3] * (cut >= ends[1])
        assert await held(folder) == (kept, None, []), cut
    assert len(cuts) > 500


async def test_an_end_that_a_power_cut_left_blank(tmp_path: Path) -> None:
    ends = logged(tmp_path / "log", rows(1), rows(2))
    (path,) = segments(tmp_path / "log")
    whole = path.read_bytes()
    for kept in (ends[0], ends[0] + 100, ends[0] + 700):
        path.write_bytes(whole[:kept] + bytes(ends[1] - kept))
        assert await held(tmp_path / "log") == ([1], None, []), kept


async def test_a_record_that_is_damaged_is_told_and_kept(tmp_path: Path) -> None:
    """The rows around it are there. Its bytes stay, and so does the problem, until they go."""
    ends = logged(tmp_path / "made", rows(1), rows(2), rows(3))
    (made,) = segments(tmp_path / "made")
    whole = made.read_bytes()
    for at in [*range(ends[0], ends[0] + 24), *range(ends[0] + 24, ends[1], 97)]:
        folder = tmp_path / f"log-{at}"
        folder.mkdir()
        bad = bytearray(whole)
        bad[at] ^= 0x55
        (folder / made.name).write_bytes(bad)
        found, problem, names = await held(folder)
        if 20 <= at - ends[0] < 24:  # the record's padding, which says nothing
            assert (found, problem, names) == ([1, 2, 3], None, [])
            continue
        assert found == [1, 3], at
        assert problem is not None
        assert made.name in problem
        assert names == [f"{made.name}.damaged"]
        assert (folder / names[0]).read_bytes() == bad
        # Another opening: nothing to replay, and still told.
        assert (await held(folder))[1] == problem
        (folder / names[0]).unlink()
        assert (await held(folder))[1] is None


@pytest.mark.parametrize("where", ["header", "last record", "older segment"])
async def test_damage_that_no_kill_explains(tmp_path: Path, where: str) -> None:
    folder = tmp_path / "log"
    ends = logged(folder, rows(1), rows(2))
    logged(folder, rows(5))
    first, _ = segments(folder)
    if where == "older segment":
        # Cut short as by a kill, and yet another process has written behind it.
        first.write_bytes(first.read_bytes()[: ends[0] + 50])
        kept = [1, 5]
    else:
        bad = bytearray(first.read_bytes())
        bad[100 if where == "header" else ends[1] - 300] ^= 1
        first.write_bytes(bad)
        kept = [5] if where == "header" else [1, 5]
    found, problem, names = await held(folder)
    assert found == kept
    assert problem is not None
    assert names == [f"{first.name}.damaged"]


@pytest.mark.parametrize("where", ["header", "last record"])
async def test_rows_that_end_with_zeros_are_no_blank_file(tmp_path: Path, where: str) -> None:
    """The vector of a text without a known word is zeros, and stands last in a row."""
    schema = row_schema(256)
    wordless = table([message(1, "xyzzy")], 256)
    zeros = pa.FixedSizeListArray.from_arrays(pa.array([0.0] * 256, pa.float32()), 256)
    place = wordless.schema.get_field_index("vector")
    wordless = wordless.set_column(place, schema.field("vector"), zeros)
    log = WriteAheadLog(tmp_path, schema)
    path, _ = log.append(wordless)
    log.close()
    bad = bytearray(path.read_bytes())
    bad[100 if where == "header" else len(bad) - 1500] ^= 1
    path.write_bytes(bad)
    found = read_segment(path)
    assert (found.rows, found.torn) == ((), False)
    assert found.damaged


async def test_rows_that_the_engine_has_are_not_brought_again(tmp_path: Path) -> None:
    logged(tmp_path, rows(1), rows(2, 3), rows(4))
    inner = VersionedReference(DIMENSION)
    await inner.upsert(rows(1, 2), all_new=True)
    index = WriteAheadLogIndex(inner, tmp_path, SCHEMA)
    await index.replay()
    assert await inner.count(*EVERYTHING) == 4
    assert await inner.version() == 2
    assert segments(tmp_path) == []


async def test_a_log_of_another_store_is_refused(tmp_path: Path) -> None:
    logged(tmp_path, rows(1))
    index = WriteAheadLogIndex(VersionedReference(16), tmp_path, row_schema(16))
    with pytest.raises(EngineError, match="another shape"):
        await index.replay()
    assert len(segments(tmp_path)) == 1


@contextmanager
def quota(size: int) -> Iterator[None]:
    """No file may grow beyond this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_write_that_fails_is_cut_back(tmp_path: Path) -> None:
    index = WriteAheadLogIndex(VersionedReference(DIMENSION), tmp_path / "log", SCHEMA)
    await index.upsert(rows(1), all_new=True)
    (path,) = segments(tmp_path / "log")
    size = path.stat().st_size
    for more in (0, 1, 100, 1500):
        with quota(size + more), pytest.raises(BackendUnavailable, match="free space") as failed:
            await index.upsert(rows(2), all_new=True)
        assert str(path.parent) in str(failed.value)
        assert path.stat().st_size == size
        assert await index.count(*EVERYTHING) == 1
    await index.upsert(rows(3), all_new=True)
    kill(index)
    assert (await held(tmp_path / "log"))[:2] == ([1, 3], None)


async def test_a_file_that_cannot_be_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = WriteAheadLogIndex(VersionedReference(DIMENSION), tmp_path / "log", SCHEMA)
    for size in (0, 10, 500):
        with quota(size), pytest.raises(BackendUnavailable, match="free space"):
            await index.upsert(rows(1), all_new=True)
        assert segments(tmp_path / "log") == []
    # A disk that is full, as the system says it.
    real = os.open
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *given: real("/dev/full", os.O_WRONLY))
        with pytest.raises(BackendUnavailable, match=r"No space left.*free space"):
            await index.upsert(rows(2), all_new=True)
    await index.upsert(rows(3), all_new=True)
    kill(index)
    assert (await held(tmp_path / "log"))[:2] == ([3], None)


async def test_a_failed_sync_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "log").mkdir()
    index = WriteAheadLogIndex(VersionedReference(DIMENSION), tmp_path / "log", SCHEMA, fsync=True)
    await index.upsert(rows(1), all_new=True)
    await index.flush()
    # What cannot be synced: the system refuses devices.
    real = os.open
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda *given: real("/dev/null", os.O_WRONLY))
        with pytest.raises(BackendUnavailable):
            await index.upsert(rows(2), all_new=True)
    with pytest.raises(BackendUnavailable, match="open it again"):
        await index.upsert(rows(3), all_new=True)
    assert await index.count(*EVERYTHING) == 1
    kill(index)


async def test_closing_leaves_no_file_without_a_row(tmp_path: Path) -> None:
    index = WriteAheadLogIndex(VersionedReference(DIMENSION), tmp_path / "log", SCHEMA)
    with quota(6000), pytest.raises(BackendUnavailable):
        await index.upsert(rows(1, metadata="x" * 10_000), all_new=True)
    assert len(segments(tmp_path / "log")) == 1
    await index.close()
    await index.close()
    assert segments(tmp_path / "log") == []


async def test_the_end_of_a_failed_write_that_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of rows is refused with an error of ours, and the next one goes through."""
    index = WriteAheadLogIndex(VersionedReference(DIMENSION), tmp_path / "log", SCHEMA)
    await index.replay()
    await index.upsert(rows(1, 2), all_new=True)
    with monkeypatch.context() as failing:

        def refuse(*_: Any) -> None:
            raise OSError(5, "Input/output error")

        assert index._memtables is not None
        failing.setattr(index._memtables._log, "_cut_back", refuse)
        with pytest.raises(BackendUnavailable, match="write-ahead log failed to end a file"):
            await index.delete(*EVERYTHING)
    assert (await index.delete(*EVERYTHING)).tolist() == [1, 2]
    await index.close()
    assert segments(tmp_path / "log") == []


async def test_no_file_bears_the_name_of_one_that_is_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killed process began a file without a row, and it cannot be removed just now."""
    folder = tmp_path / "log"
    made = tmp_path / "made"
    logged(made, rows(1))
    (begun,) = segments(made)
    folder.mkdir()
    (folder / begun.name).write_bytes(begun.read_bytes()[:-50])
    index = WriteAheadLogIndex(VersionedReference(DIMENSION), folder, SCHEMA)
    assert index._memtables is not None
    with monkeypatch.context() as failing:

        def refuse(*_: Any) -> None:
            raise BackendUnavailable("write-ahead log", "let go of rows", "busy", fix="")

        failing.setattr(index._memtables._log, "remove", refuse)
        await index.replay()
    # The row was never acknowledged, so its number is given again.
    await index.upsert(rows(1), all_new=True)
    await index._memtables._flush_immutable()
    kill(index)
    assert (await held(folder))[0] == [1]


def test_a_call_that_an_event_loop_left_behind(tmp_path: Path) -> None:
    """It ends before the next loop's, and what comes then is where it should be."""
    log = WriteAheadLog(tmp_path, SCHEMA, fsync=True)
    log.append(rows(1))
    sync, slow, syncing = log._sync, threading.Event(), threading.Event()

    def wait(handle: int) -> None:
        if not syncing.is_set():
            syncing.set()
            slow.wait(120)
        sync(handle)

    log._sync = wait  # type: ignore[method-assign]
    left = threading.Thread(target=log.append, args=(rows(2),))
    left.start()
    assert syncing.wait(120)
    threading.Timer(0.2, slow.set).start()
    log.append(rows(3))
    left.join()
    log._cut = True
    log.append(rows(4))
    log.close()
    (path,) = segments(tmp_path)
    found = read_segment(path)
    assert [table.column("seq").to_pylist() for table in found.rows] == [[1], [2], [3], [4]]
    assert (found.damaged, found.torn) == (0, False)


@pytest.mark.parametrize("keeps", [0, 1, 2])
async def test_a_file_that_someone_cuts_while_it_is_written(tmp_path: Path, keeps: int) -> None:
    """What is logged afterwards is there after a kill: it does not stand behind a gap."""
    log, ends = WriteAheadLog(tmp_path, SCHEMA), [0]
    for seq in (1, 2):
        path, _ = log.append(rows(seq))
        ends.append(path.stat().st_size)
    os.truncate(path, ends[keeps])
    for seq in (3, 4):
        log.append(rows(seq))
    log.close()
    found, _, _ = await held(tmp_path)
    assert found == [*range(1, keeps + 1), 3, 4]
