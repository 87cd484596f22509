"""What a keyed index saves and costs: ``python -m benchmarks.encryption --keyed``.

Three stores with the same rows, a plain one, an encrypted one, and an encrypted one with a keyed
index. None holds rows in memory, as for users too large for that. They are asked in turns, over
all users and of one user, each time after a write and once more at rest.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.sealed.index import SealedIndex

FORMS = ("plain", "encrypted", "keyed")
_NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
_K = 10


async def figures_of(arguments: argparse.Namespace, sentence: Callable[[], str]) -> dict[str, Any]:
    """Fill the stores, ask them, and give the figures."""
    key = os.urandom(32)
    settings: dict[str, dict[str, Any]] = {
        "plain": {},
        "encrypted": {"key": key},
        "keyed": {"key": key, "keyed_index": True},
    }
    with tempfile.TemporaryDirectory() as above:
        memories: dict[str, VectorMemory] = {}
        figures: dict[str, Any] = {"fill_s": {}, "bytes": {}}
        for form in FORMS:
            random.seed(7)
            memory = await open_memory(
                Path(above) / form,
                embedder=arguments.embedder,
                recall_cache_mb=0,
                user_files=False,
                **settings[form],
            )
            began = time.perf_counter()
            await _fill(memory, arguments, sentence)
            await memory.maintain()
            figures["fill_s"][form] = round(time.perf_counter() - began, 2)
            memories[form] = memory
        for form in FORMS:
            figures["bytes"][form] = _size(Path(above) / form)
        random.seed(11)
        questions = [sentence() for _ in range(arguments.questions)]
        for name, user in (("all_users", ALL_USERS), ("one_user", "user-0")):
            figures[name] = await _asked(memories, questions, user)
        sealed = _sealed(memories["keyed"])
        assert sealed is not None
        figures["recall_at_10_of_vectors"] = await _nearest(sealed)
        for memory in memories.values():
            await memory.close()
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the figures as a table."""
    table = Table("", *FORMS)
    for name, told in figures.items():
        if not isinstance(told, dict):
            table.add_row(name, "", "", str(told))
        elif "plain" in told:
            table.add_row(name, *(f"{told[form]:,}" for form in FORMS))
        else:
            for what, each in told.items():
                table.add_row(f"{name}: {what}", *(f"{each.get(form, '')}" for form in FORMS))
    Console(stderr=True).print(table)


async def _fill(
    memory: VectorMemory, arguments: argparse.Namespace, sentence: Callable[[], str]
) -> None:
    for user in range(arguments.users):
        said = [
            Message(
                id=UUID(int=user * 10**6 + number),
                role=MessageRole.USER if number % 2 else MessageRole.ASSISTANT,
                content=sentence(),
                timestamp=_NOW + timedelta(minutes=number),
            )
            for number in range(arguments.messages)
        ]
        for start in range(0, len(said), 1000):
            await memory.store_messages(
                said[start : start + 1000], f"talk-{user}-{start}", user_id=f"user-{user}"
            )


async def _asked(
    memories: dict[str, VectorMemory], questions: list[str], user: Any
) -> dict[str, dict[str, Any]]:
    took: dict[str, list[float]] = {form: [] for form in FORMS}
    at_rest: dict[str, list[float]] = {form: [] for form in FORMS}
    opened: dict[str, list[int]] = {form: [] for form in FORMS}
    found: dict[str, list[list[str]]] = {form: [] for form in FORMS}
    for at, question in enumerate(questions):
        said = Message(
            id=UUID(int=10**12 + at), role=MessageRole.USER, content="noted", timestamp=_NOW
        )
        for form, memory in memories.items():
            await memory.store_message(said, "notes", user_id="user-1")
            before = _opened(memory)
            hits, seconds = await _timed(
                lambda memory=memory, question=question: memory.recall(
                    question, user_id=user, now=_NOW, k=_K
                )
            )
            took[form].append(seconds * 1000)
            opened[form].append(_opened(memory) - before)
            found[form].append([hit.content for hit in hits])
            _, seconds = await _timed(
                lambda memory=memory, question=question: memory.recall(
                    question, user_id=user, now=_NOW, k=_K
                )
            )
            at_rest[form].append(seconds * 1000)
    same = {
        form: round(
            statistics.mean(
                len(set(one) & set(other)) / max(len(set(other)), 1)
                for one, other in zip(found[form], found["plain"], strict=True)
            ),
            4,
        )
        for form in FORMS
    }
    return {
        "after_a_write_ms": {form: round(statistics.median(took[form]), 2) for form in FORMS},
        "again_ms": {form: round(statistics.median(at_rest[form]), 2) for form in FORMS},
        "rows_opened": {form: int(statistics.median(opened[form])) for form in FORMS},
        "share_of_plain_hits": same,
    }


async def _timed(work: Callable[[], Awaitable[Any]]) -> tuple[Any, float]:
    began = time.perf_counter()
    found = await work()
    return found, time.perf_counter() - began


async def _nearest(sealed: SealedIndex) -> float:
    """recall@10 of the search by codes, against all vectors."""
    table = await sealed.read(EVERYONE, RowFilter(), ["seq", "vector"])
    vectors = np.array(table.column("vector").to_pylist(), np.float32)
    seqs = table.column("seq").to_numpy()
    share = []
    for at in np.random.default_rng(3).integers(0, len(seqs), 50).tolist():
        found = await sealed.search(vectors[at], EVERYONE, RowFilter(), _K)
        score = vectors @ vectors[at]
        near = seqs[score >= np.sort(score)[-_K] - 1e-6]  # of equal ones any
        share.append(float(np.isin(found.seq, near).mean()))
    return round(statistics.mean(share), 4)


def _sealed(memory: VectorMemory) -> SealedIndex | None:
    store = memory._lazy._store
    return None if store is None else capability(store.rows, SealedIndex)


def _opened(memory: VectorMemory) -> int:
    sealed = _sealed(memory)
    return 0 if sealed is None else sealed.opened_rows


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
