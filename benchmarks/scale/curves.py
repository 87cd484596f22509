"""One store after the other: built or taken from the cache, copied, measured."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.address import Address
from benchmarks.scale import building
from benchmarks.scale.child import run
from benchmarks.scale.data import Embedding, make_corpus
from benchmarks.scale.work import Work

#: Told what is being done, and how far it has come: (what, done, total).
Say = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for all stores of a run.

    Attributes:
        cache: the folder of corpora and stores.
        seed: of the corpora.
        embedder: "static" or "given".
        calls: measured calls of each kind, for those that are fast.
        openings: how often a store is opened; the median counts.
        settle: seconds after which old versions may go, in the endurance run.
        again: build the stores anew, even if they are there.
        address: where the stores are: built there, and measured where they are. None: in folders
            that are kept, of which a copy is measured.
    """

    cache: Path
    seed: int = 7
    embedder: Embedding = "static"
    calls: int = 300
    openings: int = 3
    settle: float = 61.0
    again: bool = False
    address: Address | None = None

    def work(self, rows: int, users: int, store: Address) -> Work:
        """A measurement of one store."""
        return Work(
            rows=rows,
            users=users,
            seed=self.seed,
            embedder=self.embedder,
            corpora=str(self.cache),
            store=store.url,
            sessions=store.sessions,
            calls=self.calls,
            settle=self.settle,
        )


def layouts(rows: Sequence[int], users: Sequence[int]) -> list[tuple[int, int]]:
    """Every size with every number of users that it has room for."""
    return [(n, many) for n in sorted(set(rows)) for many in sorted(set(users)) if many <= n]


def measure(rows: int, users: int, settings: Settings, say: Say) -> dict[str, Any]:
    """Every figure of one store; a kept one stays as it was built."""
    what = f"{rows:,} rows, {users:,} users"
    with _filled(rows, users, settings, what, say) as (store, built):
        work = settings.work(rows, users, store)

        def phase(name: str) -> dict[str, Any]:
            say(f"{what}: {name}", 0, 1)
            return run(name, work, lambda done, total: say(f"{what}: {name}", done, total))

        prepared = phase("prepare")
        opened = [phase("opening") for _ in range(settings.openings)]
        return {
            "rows": rows,
            "users": users,
            "bulk_build": built,
            "prepared": prepared,
            "opening": _medians(opened),
            "reading": phase("reading"),
            "writing": phase("writing"),
        }


def endure(writes: int, users: int, settings: Settings, say: Say) -> dict[str, Any]:
    """A store of ``writes`` single messages, measured before and after compaction."""
    what = f"{writes:,} single writes"
    make_corpus(writes, users, settings.cache, settings.seed, settings.embedder)
    with own_folder(settings.cache) as folder:
        work = settings.work(writes, users, Address().filled(folder))
        return run("endurance", work, lambda done, total: say(what, done, total))


@contextmanager
def _filled(
    rows: int, users: int, settings: Settings, what: str, say: Say
) -> Iterator[tuple[Address, dict[str, Any]]]:
    """A store to be measured, and what building it took."""
    if settings.address is None:
        place, filling = kept_store(rows, users, settings, what, say)
        with copied(building.store_folder(place), settings.cache) as folder:
            yield Address(str(folder)), filling
        return
    make_corpus(rows, users, settings.cache, settings.seed, settings.embedder)
    with own_folder(settings.cache) as folder:
        store = settings.address.filled(folder)
        work = settings.work(rows, users, store)
        yield store, run("build", work, lambda done, total: say(f"{what}: build", done, total))


def kept_store(
    rows: int, users: int, settings: Settings, what: str, say: Say
) -> tuple[Path, dict[str, Any]]:
    """A kept store's place, filled if it is not there yet, and what filling it took."""
    say(f"{what}: corpus", 0, 1)
    corpus = make_corpus(rows, users, settings.cache, settings.seed, settings.embedder)
    place = building.store_place(corpus, settings.cache)
    found = building.kept(place)
    if found is None or settings.again:
        building.forget(place)
        work = settings.work(rows, users, Address(str(building.store_folder(place))))
        found = run("build", work, lambda done, total: say(f"{what}: build", done, total))
        building.keep(place, found)
    return place, found


@contextmanager
def copied(store: Path, cache: Path) -> Iterator[Path]:
    """A copy of a kept store, in a folder of the cache that is removed afterwards."""
    with own_folder(cache) as folder:
        shutil.copytree(store, folder / "store")
        yield folder / "store"


@contextmanager
def own_folder(cache: Path) -> Iterator[Path]:
    """An empty folder in the cache, removed afterwards."""
    # On the disk of the cache, which has room for a store: the system's folder may be in memory.
    with tempfile.TemporaryDirectory(prefix="measured-", dir=cache) as folder:
        yield Path(folder)


def _medians(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}
