"""Opening a store in a new process: time to the first answer, and memory."""

from __future__ import annotations

import importlib
import time
from typing import Any

from benchmarks.scale.data import QUESTIONS
from benchmarks.scale.machine import peak_mib, resident_mib
from benchmarks.scale.work import Tell, Work
from bruno_memory_vec import ALL_USERS
from bruno_memory_vec.embedders import embed_texts

# What opening and a first recall import, and what a process would import anyway.
_IMPORTED = (
    "lancedb",
    "lancedb.index",
    "lancedb.query",
    "tantivy",
    "pyarrow.compute",
    "aiosqlite",
    "bruno_memory_vec.store.local",
    "bruno_memory_vec.indexers.lance.index",
    "bruno_memory_vec.indexers.tantivy.index",
    "bruno_memory_vec.sessions.sqlite",
    "bruno_memory_vec.upkeep.verification",
)
_OVER_ALL = 20


async def opening(work: Work, tell: Tell) -> dict[str, Any]:
    """Open the store, ask once; then a hundred recalls of many users, and some over all users.

    Imports and the embedder's weights are loaded before. The system's page cache is as the
    processes before have left it.
    """
    for name in _IMPORTED:
        importlib.import_module(name)
    work.address.load()
    corpus = work.corpus()
    asked = corpus.questions
    embedder = work.make_embedder()
    await embed_texts(embedder, [asked[0].text], "query")
    loaded = resident_mib()
    started = time.perf_counter()
    memory = await work.address.open(embedder=embedder)
    opened = time.perf_counter()
    await memory.recall(asked[0].text, user_id=corpus.asked_user)
    answered = time.perf_counter()
    at_open = resident_mib()
    # The second half is about rows of any user.
    for question in asked[QUESTIONS // 2 :]:
        await memory.recall(question.text, user_id=question.user)
    after = resident_mib()
    for question in asked[:_OVER_ALL]:
        await memory.recall(question.text, user_id=ALL_USERS)
    after_all = resident_mib()
    figures = {
        "open_ms": round((opened - started) * 1000, 1),
        "first_recall_ms": round((answered - opened) * 1000, 1),
        "open_and_first_recall_ms": round((answered - started) * 1000, 1),
        "resident_before_mib": loaded,
        "resident_open_mib": at_open,
        "resident_mib": after,
        "resident_after_all_users_mib": after_all,
        "peak_mib": peak_mib(),
        **work.disk(),
    }
    await memory.close()
    return figures
