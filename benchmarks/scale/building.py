"""Stores, made once and kept: filled through the public API, with the time and memory it took."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

from benchmarks.scale.data import Corpus
from benchmarks.scale.machine import peak_mib, resident_mib
from benchmarks.scale.work import Tell, Work, store_rows
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION

_STORE, _BUILT = "store", "built.json"


def store_place(corpus: Corpus, cache: Path) -> Path:
    """The folder of a corpus' store and of what is known about its making."""
    return cache / f"store-{corpus.key}-format{SCHEMA_VERSION}"


def kept(place: Path) -> dict[str, Any] | None:
    """What making the store took; None where there is none, or it was never finished."""
    try:
        found: dict[str, Any] = json.loads((place / _BUILT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def store_folder(place: Path) -> Path:
    """The store in its place."""
    return place / _STORE


def forget(place: Path) -> None:
    """Remove a store, or what is left of one."""
    shutil.rmtree(place, ignore_errors=True)


def keep(place: Path, built: dict[str, Any]) -> None:
    """Say that the store is whole, and what making it took."""
    (place / _BUILT).write_text(json.dumps(built, indent=2) + "\n", encoding="utf-8")


async def build(work: Work, tell: Tell) -> dict[str, Any]:
    """Fill an empty store with its corpus, and compact it."""
    corpus = work.corpus()
    memory = await work.open_empty(corpus)
    before = resident_mib()
    seconds = await store_rows(memory, corpus, corpus.rows, tell)
    started = time.perf_counter()
    await memory.maintain()
    compacting = time.perf_counter() - started
    after = resident_mib()
    await memory.close()
    return {
        "messages_per_s": round(corpus.rows / seconds),
        "seconds": round(seconds, 2),
        "maintain_s": round(compacting, 2),
        "resident_before_mib": before,
        "resident_after_mib": after,
        "peak_mib": peak_mib(),
        **work.disk(),
    }


async def prepare(work: Work, tell: Tell) -> dict[str, Any]:
    """Bring a store that was kept to what this version makes of one, before it is measured."""
    memory = await work.open()
    started = time.perf_counter()
    await memory.maintain()
    seconds = time.perf_counter() - started
    await memory.close()
    return {"maintain_s": round(seconds, 2), **work.disk()}
