"""The report of ``health()`` for an open store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.embedders.cache import cache_health
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.store import unfinished
from bruno_memory_vec.store.manifest import folder_of
from bruno_memory_vec.store.record import FolderRecord
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.upkeep.losses import ledger_problems, some
from bruno_memory_vec.wording import not_as_stored
from bruno_memory_vec.writing.reconcile import look


async def health_of(
    store: Store, about: Mapping[str, Any], problems: Mapping[str, str]
) -> dict[str, Any]:
    """The state of each engine, the last upkeep, and all problems.

    Args:
        store: an open store.
        about: further entries of the report. If its "maintenance" is None, the record in the
            store's folder is reported.
        problems: problems that the caller knows of.
    """
    if store.writer is not None:
        wrong = dict(store.writer.problems)
    elif isinstance(store.record, FolderRecord):
        wrong = await store.record.background()
    else:
        wrong = {}
    wrong.update(problems)
    report: dict[str, Any] = {
        "status": "ok",
        "url": masked(store.config.url),
        "read_only": store.config.read_only,
        "embedder": str(store.embedder.fingerprint),
        **about,
    }
    if store.chosen is not None:
        report["chosen"] = store.chosen.to_dict()
    if report.get("maintenance") is None and store.record is not None:
        report["maintenance"] = await store.record.last()
    parts: dict[str, Any] = {"rows": store.rows}
    parts.update((projection.name, projection) for projection in store.projections)
    for name, part in parts.items():
        try:
            report[name] = await part.health()
        except BrunoError as error:
            wrong[name] = str(error)
    report.update(store.retriever.health())
    logged = report.get("rows", {}).get("log", {}).get("problem")
    if logged is not None:
        wrong["log"] = logged
    words = report.get("lexical", {}).get("problem")
    if store.writer is None:
        # A reader's lexical index is not mended by what reads it.
        words = words or store.retriever.problem
    if words is not None:
        wrong["lexical"] = words
    unused = report.get("rows", {}).get("index_problem")
    if unused is not None:
        wrong["indexes"] = f"no index of the rows is used: {unused}"
    if damaged := report.get("rows", {}).get("damaged"):
        wrong["damaged"] = (
            f"{not_as_stored(len(damaged))}, and not given out: seq {some(damaged)}. "
            "Run: bruno-memory-vec doctor"
        )
    try:
        ledger = store.sessions.ledger
        known = await (look(store.sessions, store.rows) if store.writer is None else ledger.read())
        for problem in ledger_problems(known):
            wrong[problem.part] = f"{problem.found}. {problem.fix}"
    except BrunoError as error:
        wrong["sessions"] = report.get("sessions", {}).get("problem") or str(error)
    if store.writer is not None:
        report["writer"] = store.writer.health()
    cache = await cache_health(store.embedder)
    if cache is not None:
        report["embedding_cache"] = cache
        if cache["problem"] is not None:
            wrong["embedding_cache"] = cache["problem"]
    folder = folder_of(store.config.url)
    if folder is not None and (copying := await asyncio.to_thread(unfinished.problem, folder)):
        wrong["copying"] = f"{copying[0]}. {copying[1]}"
    report["problems"] = wrong
    report["status"] = "degraded" if wrong else "ok"
    return report
