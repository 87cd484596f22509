"""The filled store of each system, kept between runs; a copy of it is measured."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.apart import Apart
from benchmarks.peers.base import versions
from benchmarks.scale import building
from benchmarks.scale.curves import Say, Settings, copied, kept_store
from benchmarks.scale.machine import disk
from benchmarks.scale.peers.base import batch_of
from benchmarks.turn.running import Plan
from benchmarks.turn.systems import OURS, kind_of, make

# Seconds that a peer may take to store the corpus: what it holds by then is what it is asked about.
_BUDGET_S = 300.0


@contextmanager
def store_of(
    name: str, plan: Plan, settings: Settings, say: Say
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A copy of a system's filled store, and what filling it took ("rows": how many it holds)."""
    if name == OURS:
        what = f"{plan.rows:,} rows, {plan.users:,} users"
        place, built = kept_store(plan.rows, plan.users, settings, what, say)
        built = {"rows": plan.rows, **built}
    else:
        place, built = _kept_peer(name, plan, settings, say)
    with copied(building.store_folder(place), settings.cache) as folder:
        yield folder, built


def _kept_peer(name: str, plan: Plan, settings: Settings, say: Say) -> tuple[Path, dict[str, Any]]:
    corpus = plan.corpus()
    version = "-".join(versions(*kind_of(name).packages).values())
    place = settings.cache / f"store-{name}-{version}-{corpus.key}"
    built = building.kept(place)
    if built is None or settings.again:
        say(f"{plan.rows:,} rows: filling {name}", 0, 1)
        building.forget(place)
        folder = building.store_folder(place)
        try:
            with Apart(_Filling, name, plan, folder) as filling:
                built = filling.call("fill")
        except BaseException:
            building.forget(place)
            raise
        building.keep(place, built)
    return place, built


class _Filling:
    """Fills a peer's store, in a process of its own."""

    def __init__(self, name: str, plan: Plan, folder: Path) -> None:
        self._corpus, self._folder = plan.corpus(), folder
        self._peer = make(name, self._corpus)

    async def fill(self) -> dict[str, Any]:
        """Every row of the corpus, or as many as there is time for."""
        self._folder.mkdir(parents=True)
        self._peer.load(self._folder)
        await self._peer.open(self._folder)
        size, rows = self._peer.batch_rows, 0
        began = time.perf_counter()
        while rows < self._corpus.rows and time.perf_counter() - began < _BUDGET_S:
            stop = min(rows + size, self._corpus.rows)
            await self._peer.add_bulk(batch_of(self._corpus, rows, stop))
            rows = stop
        seconds = time.perf_counter() - began
        await self._peer.finish()
        finished = time.perf_counter() - began - seconds
        await self._peer.close()
        # What it keeps for itself outside its store is not needed again.
        shutil.rmtree(self._folder / "home", ignore_errors=True)
        return {
            "rows": rows,
            "seconds": round(seconds, 2),
            "finish_s": round(finished, 2),
            **disk(self._folder),
        }
