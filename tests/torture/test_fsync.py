"""fsync=True: what was acknowledged is on the disk before, seen in the system calls themselves."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.indexers.lance.recovery import newest_whole, step_back
from bruno_memory_vec.indexers.lance.sync import Sync
from bruno_memory_vec.indexers.schema import LOG
from tests.durability.support import ROOT, message, rows_of
from tests.torture.conftest import Torture, counts
from tests.torture.syscalls import Event, observe, unavailable

CHILD = ROOT / "tests" / "torture" / "child_syncer.py"


@dataclass(frozen=True)
class Seen:
    """A child's life: its system calls, and what it said of each acknowledgement."""

    folder: Path
    events: list[Event]
    works: list[dict[str, Any]]

    def between(self, ack: int) -> list[Event]:
        """The events after the acknowledgement before, and up to this one."""
        places = [place for place, event in enumerate(self.events) if event.kind == "ack"]
        return self.events[places[ack - 2] + 1 if ack > 1 else 0 : places[ack - 1]]

    def place(self, ack: int) -> int:
        """Where among the events an acknowledgement is."""
        return self.events.index(Event("ack", str(ack)))

    def cut(self, image: Path, *, at: int, torn: Sequence[str] = ()) -> int:
        """Make the store as a power cut at this event leaves it; how many files are lost.

        Removals are on the disk at once, everything else only when it was synced. Files
        of ``torn`` that were not synced are there, and empty. What a file of the log has
        grown by since its last sync is lost.
        """
        last = {event.what: place for place, event in enumerate(self.events[:at])}
        gone = {event.what for event in self.events[:at] if event.kind == "remove"}
        rows, kept = self.folder / "durable" / "rows", self.folder / "kept" / "durable"
        (image / "rows").mkdir(parents=True)
        shutil.copyfile(self.folder / "durable" / "store.json", image / "store.json")
        lost = 0
        for copy in (path for path in kept.rglob("*") if path.is_file()):
            name = copy.relative_to(kept)
            path, here = str(rows / name), image / "rows" / name
            if path in gone:
                continue
            here.parent.mkdir(parents=True, exist_ok=True)
            if path in last and last.get(str(rows / name.parent), -1) > last[path]:
                shutil.copyfile(copy, here)
                continue
            lost += 1
            if str(name) in torn:
                here.touch()
        for log in (self.folder / "kept-log" / "durable").iterdir():
            path = str(rows / LOG / log.name)
            lengths = sorted(int(copy.name) for copy in log.iterdir())
            if path in gone:
                continue
            synced = [ack for ack in lengths if self.synced(path, ack, at)]
            if synced and self.synced(str(rows / LOG), lengths[0], at):
                (image / "rows" / LOG).mkdir(exist_ok=True)
                shutil.copyfile(log / str(synced[-1]), image / "rows" / LOG / log.name)
            elif f"{LOG}/{log.name}" in torn:
                (image / "rows" / LOG).mkdir(exist_ok=True)
                (image / "rows" / LOG / log.name).touch()
        return lost

    def synced(self, path: str, ack: int, at: int) -> bool:
        """Whether all that was written to a path before an acknowledgement was synced at ``at``."""
        end = self.place(ack)
        begin = self.place(ack - 1) if ack > 1 else 0
        places = [i for i in range(begin, end) if self.events[i] == Event("sync", path)]
        return bool(places) and places[-1] < at

    def of(self, store: str) -> list[dict[str, Any]]:
        return [work for work in self.works if work["store"] == store]


@pytest.fixture(scope="module", params=[pytest.param("strace", marks=pytest.mark.slow), "shim"])
def seen(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, torture: Torture
) -> Seen:
    reason = unavailable(request.param)
    if request.param == "shim" and unavailable("strace") is None and not torture.long:
        reason = "strace sees the same; both look in the long form"
    if reason is not None:
        pytest.skip(f"{request.param}: {reason}")
    folder = tmp_path_factory.mktemp(request.param)
    log = folder / "log"
    events = observe(request.param, CHILD, folder, log)
    works = [json.loads(line) for line in log.read_text().splitlines() if line[0] == "{"]
    assert [int(event.what) for event in events if event.kind == "ack"] == [
        work["ack"] for work in works
    ]
    return Seen(folder, events, works)


LOGGED = ("store", "bulk", "remember")


# What LanceDB does not need to read a table (indexers/lance/sync.py says why). Without the record
# of their checksums, the indexes are made anew.
def needed(name: str) -> bool:
    return "/_transactions/" not in name and not name.endswith(
        ("latest_version_hint.json", "index-checksums.json")
    )


def test_every_new_file_and_its_name_are_synced_before_the_acknowledgement(seen: Seen) -> None:
    files = folders = records = 0
    rows = seen.folder / "durable" / "rows"
    for work in seen.of("durable"):
        synced = [event.what for event in seen.between(work["ack"]) if event.kind == "sync"]
        made = [str(rows / name) for name in work["made"] if needed(name)]
        if work["work"].startswith(LOGGED):
            logs = [path for path in synced if path.startswith(str(rows / LOG / "0"))]
            # Its record, and before that the file itself where it is new.
            assert len(logs) == 1 + len(made), work
            records += 1
        else:
            writes = work["work"] not in {"session", "count uses"}
            assert bool(made) == writes, work
        for path in made:
            assert path in synced, (work["work"], path)
            assert str(Path(path).parent) in synced[synced.index(path) :], (work["work"], path)
        files += len(made)
        folders += len({Path(path).parent for path in made})
        if work["work"].startswith("store") or work["work"] == "session":
            # Sessions and users have no other truth than this file.
            assert any(path.endswith("/sessions.sqlite-wal") for path in synced), work["work"]
    assert records == 7
    counts(
        works=len(seen.works),
        events=len(seen.events),
        files=files,
        folders=folders,
        records=records,
    )


def test_the_folders_above_are_synced_when_a_store_is_made(seen: Seen) -> None:
    synced = {
        event.what for event in seen.between(seen.of("durable")[0]["ack"]) if event.kind == "sync"
    }
    above = seen.folder / "durable" / "rows" / "rows.lance"
    assert {str(path) for path in (above, *list(above.parents)[:3])} <= synced


def test_without_fsync_no_row_is_synced(seen: Seen) -> None:
    """What the promise costs nobody who did not ask for it; and that the observer can tell."""
    plain = str(seen.folder / "plain" / "rows")
    assert not [
        event for event in seen.events if event.what.startswith(plain) and event.kind == "sync"
    ]


async def test_a_power_cut_after_any_acknowledgement(
    seen: Seen, tmp_path: Path, torture: Torture
) -> None:
    """Only what was synced by then, and whose name was, is there afterwards."""
    works = seen.of("durable")
    chosen = works[1 :: torture.choose(4, 1)]
    lost = 0
    for work in chosen:
        image = tmp_path / f"after-{work['ack']}"
        lost += seen.cut(image, at=seen.place(work["ack"]))
        await check(image, work["holds"])
    assert lost
    counts(power_cuts=len(chosen), files_lost=lost)


async def test_a_power_cut_at_any_moment(seen: Seen, tmp_path: Path, torture: Torture) -> None:
    """What was not synced is torn, the newest version too; the last synced one is whole."""
    draw = random.Random(4)
    torn = 0
    works = seen.of("durable")
    chosen = [
        pair
        for pair in itertools.pairwise(works)
        if any(not name.startswith(LOG) for name in pair[1]["made"])
    ]
    chosen = torture.choose(draw.sample(chosen, 4), chosen * 3)
    for number, (before, during) in enumerate(chosen):
        image = tmp_path / f"cut-{number}"
        moment = draw.randint(seen.place(before["ack"]), seen.place(during["ack"]))
        seen.cut(image, at=moment, torn=during["made"])
        whole = await newest_whole(image / "rows")
        assert whole is not None
        torn += len(whole.unreadable)
        step_back(image / "rows", whole)
        assert await check(image, before["holds"], during["holds"])
    assert torn
    counts(power_cuts=len(chosen), versions_torn=torn)


async def test_a_power_cut_around_the_log(seen: Seen, tmp_path: Path, torture: Torture) -> None:
    """Before and after each sync of it, and where a file of it goes: LanceDB has its rows."""
    rows = str(seen.folder / "durable" / "rows" / LOG)
    cuts, removals = 0, 0
    for before, during in itertools.pairwise(seen.of("durable")):
        begin, end = seen.place(before["ack"]), seen.place(during["ack"])
        for at in range(begin + 1, end):
            event = seen.events[at]
            removed = event.kind == "remove" and event.what.startswith(rows)
            if not removed and not (torture.long and event.what.startswith(rows)):
                continue
            for moment in (at, at + 1):
                image = tmp_path / f"log-{cuts}"
                seen.cut(image, at=moment, torn=during["made"])
                whole = await newest_whole(image / "rows")
                assert whole is not None
                step_back(image / "rows", whole)
                assert await check(image, before["holds"], during["holds"])
                cuts += 1
            removals += removed
    assert removals >= 3
    counts(power_cuts=cuts, removals=removals)


async def check(image: Path, *possible: list[str]) -> bool:
    """Open what a power cut left, and see that it holds one of some contents, and works."""
    async with open_memory(str(image), embedder="hash") as memory:
        held = sorted(row["content"] for row in await rows_of(memory))
        assert held in possible
        await memory.store_message(message("after the power cut"), "talk", user_id="ana")
        hits = await memory.recall("power cut", user_id="ana", k=1)
        assert hits[0].content == "after the power cut"
        if "one 1" in held:
            found = [message.content for message in await memory.retrieve_messages("talk")]
            assert {"one 1", "after the power cut"} <= set(found)
    return True


def test_a_failed_fsync_is_not_forgotten(tmp_path: Path) -> None:
    """The system may drop what it could not write, and say of the next fsync that all is well."""
    table = tmp_path / "rows.lance"
    (table / "data").mkdir(parents=True)
    (table / "data" / "one.lance").write_bytes(b"one")
    sync = Sync(table)
    sync.commit()
    # What cannot be synced: fsync refuses devices.
    (table / "data" / "two.lance").symlink_to("/dev/null")
    with pytest.raises(BackendUnavailable, match="open it again") as failed:
        sync.commit()
    assert isinstance(failed.value.__cause__, OSError)
    (table / "data" / "two.lance").unlink()
    for call in (sync.check, sync.commit):
        with pytest.raises(BackendUnavailable, match="make rows durable"):
            call()
    Sync(table).commit()
