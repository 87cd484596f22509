"""Full disks, quotas, lost permissions and damaged files: a clear error, and nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.torture.conftest import Torture, counts
from tests.torture.faults import Failed, Hand, SmallDisk, Subject, doctor, said, small_disk, states


@pytest.fixture(scope="module")
def _process() -> Iterator[Hand]:
    made = Hand()
    yield made
    made.kill()


@pytest.fixture
def hand(_process: Hand) -> Iterator[Hand]:
    yield _process
    # What a failed test has left open or forbidden goes with the process.
    orders = {
        "permit": {"may": True},
        "descriptors": {"more": None},
        "limit": {"size": None},
        "close": {},
    }
    clean = [_process.order(what, **how) for what, how in orders.items()]
    if any("error" in answer for answer in clean):
        _process.kill()


@pytest.fixture
def disk(hand: Hand, tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", mebibytes=6) as made:
        yield made
        hand.order("close")


@pytest.fixture
def there(hand: Hand, tmp_path: Path) -> Subject:
    """A store of a few rows, open."""
    made = Subject(hand, tmp_path / "store")
    made.open()
    made.store(5)
    return made


@pytest.fixture
def on_disk(hand: Hand, disk: SmallDisk) -> Subject:
    """The same, on a small disk."""
    made = Subject(hand, disk.folder / "store")
    made.open()
    made.store(5)
    return made


# A full disk


@pytest.mark.slow
def test_a_disk_that_fills_while_it_writes(on_disk: Subject, disk: SmallDisk) -> None:
    there = on_disk
    failed = there.store_until_it_fails(size=20_000)
    assert "free space" in failed.fix
    for _ in range(3):
        with pytest.raises(Failed, match="free space"):
            there.store(size=20_000)
    # What is there can still be read, also by others.
    assert there.do("rows") == sorted(there.acknowledged)
    code, report = doctor(there.folder)
    assert code == 4
    assert states(report)["disk"] == "problem"
    assert "Make room" in said(report, "disk")
    assert states(report)["rows"] == "ok"
    disk.remount("size=64m")
    there.check()
    there.check_anew()
    counts(rows=len(there.acknowledged))


def _reads(there: Subject) -> None:
    """Everything that reads answers, and what was acknowledged is there."""
    for text in {there.acknowledged[0], there.acknowledged[-1]}:
        assert text in there.do("recall", question=text)
    assert there.do("context") == there.acknowledged[-20:]
    assert there.do("begin") == []
    assert sorted(there.do("listed")) == there.do("rows") == sorted(there.acknowledged)
    assert there.do("statistics") == len(there.acknowledged)


def test_reading_goes_on_while_the_disk_is_full(on_disk: Subject, disk: SmallDisk) -> None:
    there = on_disk
    disk.fill(leave=0)
    _reads(there)
    assert set(there.do("health")) >= {"keep what get_context has begun"}
    for _ in range(3):
        with pytest.raises(Failed, match="free space"):
            there.store(size=40_000)
        _reads(there)
    assert any("free space" in problem for problem in there.do("health").values())
    disk.empty()
    there.check()
    there.check_anew()


@pytest.mark.parametrize("leave", [2_000, 6_000, 12_000, 40_000])
def test_what_was_acknowledged_last_is_read_on_a_full_disk(
    on_disk: Subject, disk: SmallDisk, leave: int
) -> None:
    """Also what only the rows took, because there was no room for what is derived from them."""
    there = on_disk
    disk.fill(leave=leave)
    there.store_until_it_fails(size=100)
    _reads(there)
    disk.empty()
    there.check()
    there.check_anew()


@pytest.mark.parametrize("more", [0, 1, 2, 3, 5, 8])
def test_no_more_files_may_be_opened(there: Subject, more: int) -> None:
    there.do("maintain")  # what is imported late is imported now
    there.check()
    for _ in range(3):
        there.do("descriptors", more=more)
        refused = _refusals(there)
        there.do("descriptors", more=None)
        assert all("Too many open files" in one or "os error 24" in one for one in refused), refused
        there.check()
    there.check_anew()


def _refusals(there: Subject) -> list[str]:
    """What is said where something is refused; each of the package's own errors."""
    refused = []
    for what in ("store", "store", "recall", "context", "rows", "maintain"):
        try:
            if what == "store":
                there.store(count=3, size=400)
            else:
                there.do(what, **({"question": "text0"} if what == "recall" else {}))
        except Failed as failed:
            refused.append(failed.text)
    return refused


def test_a_disk_that_is_full_at_maintain(on_disk: Subject, disk: SmallDisk) -> None:
    there = on_disk
    for _ in range(30):
        there.store(size=20_000)
    disk.fill(leave=20_000)
    problems = there.do("maintain")
    assert "free space" in " ".join(problems)
    assert any("free space" in problem for problem in there.do("health").values())
    assert there.do("rows") == sorted(there.acknowledged)
    disk.empty()
    assert there.do("maintain") == []
    assert there.do("health") == {}
    there.check()
    there.check_anew()


@pytest.mark.parametrize("leave", [0, 20_000, 200_000])
def test_a_disk_that_is_full_at_opening(on_disk: Subject, disk: SmallDisk, leave: int) -> None:
    there = on_disk
    there.do("close")
    disk.fill(leave)
    try:
        there.open()
    except Failed as failed:
        assert "free space" in failed.fix  # noqa: PT017 - or there was room enough
    else:
        assert there.do("rows") == sorted(there.acknowledged)
        there.do("close")
    there.open(read_only=True)
    assert there.do("rows") == sorted(there.acknowledged)
    there.do("close")
    _, report = doctor(there.folder)
    assert states(report)["disk"] == "problem"
    disk.empty()
    there.open()
    there.check()
    there.check_anew()


def test_a_full_disk_where_a_store_is_to_be_made(hand: Hand, disk: SmallDisk) -> None:
    disk.fill(leave=8192)
    there = Subject(hand, disk.folder / "store")
    with pytest.raises(Failed, match="free space"):
        there.open()
    disk.empty()
    there.open()
    there.store(3)
    there.check_anew()


# A quota: no file may grow beyond a size


@pytest.mark.parametrize("size", [0, 3000, 30_000])
def test_a_quota_while_it_writes(there: Subject, size: int) -> None:
    there.do("limit", size=size)
    failed = there.store_until_it_fails(size=40_000, most=20)
    assert "free space" in failed.fix
    assert there.do("rows") == sorted(there.acknowledged)
    there.do("limit", size=None)
    there.check()
    there.check_anew()


@pytest.mark.parametrize("size", [0, 20_000])
def test_a_quota_at_maintain(there: Subject, size: int) -> None:
    there.store(200, size=1000)
    there.do("limit", size=size)
    problems = there.do("maintain")
    assert "free space" in " ".join(problems)
    there.do("limit", size=None)
    assert there.do("maintain") == []
    there.check()
    there.check_anew()


@pytest.mark.parametrize("size", [0, 3000])
def test_a_quota_at_opening(there: Subject, size: int) -> None:
    there.do("close")
    there.do("limit", size=size)
    try:
        there.open()
    except Failed as failed:
        assert "free space" in failed.fix  # noqa: PT017 - or there was room enough
    else:
        there.do("close")
    there.do("limit", size=None)
    there.open()
    there.check()
    there.check_anew()


# Permissions


def test_a_file_system_that_is_read_only(on_disk: Subject, disk: SmallDisk) -> None:
    there = on_disk
    there.do("close")
    disk.remount("ro")
    with pytest.raises(Failed, match="read_only=True") as failed:
        there.open()
    assert failed.value.error == "BackendUnavailable"
    there.open(read_only=True)
    assert there.do("rows") == sorted(there.acknowledged)
    assert there.do("recall", question="text3")[0] == there.acknowledged[3]
    there.do("close")
    _, report = doctor(there.folder)
    assert "may only be read" in said(report, "folder")
    assert states(report)["rows"] == "ok"
    disk.remount("rw")
    there.open()
    there.check()
    there.check_anew()


def test_permission_lost_and_found_again(there: Subject, torture: Torture) -> None:
    there.do("maintain")  # what is imported late is imported now
    there.check()
    for _ in range(torture.choose(2, 20)):
        assert there.do("maintain") == []  # nothing of the log is open
        there.do("permit", may=False)
        for _ in range(3):
            with pytest.raises(Failed, match="may be read and written") as failed:
                there.store()
            assert failed.value.error == "BackendUnavailable"
        there.do("permit", may=True)
        there.store()
        there.do("permit", may=False)
        # A file that is open may be written, unless not even its folder may be read any more: what
        # is acknowledged is stored, and stays.
        refused: Failed | None = None
        try:
            there.store()
            assert there.do("maintain")
        except Failed as failure:
            refused = failure
        assert refused is None or refused.error == "BackendUnavailable"
        there.do("permit", may=True)
        there.check()
    there.check_anew()
