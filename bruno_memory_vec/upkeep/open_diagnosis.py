"""Checks of a store that is in no folder, by opening it: what its server lacks, rows, sessions."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.cache import close_cache
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.embedders.run import embed_texts, fingerprint_of
from bruno_memory_vec.errors import FingerprintError, NotAStoreError, problem_and_fix
from bruno_memory_vec.indexers.checked import unchecked
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.store.deployment import Diagnoses, Made, TellsHowMade, deployment_of
from bruno_memory_vec.store.manifest import IN_MEMORY
from bruno_memory_vec.store.store import Store, open_store
from bruno_memory_vec.upkeep.check import NOTE, OK, PROBLEM, RESTORE, Check, guarded
from bruno_memory_vec.upkeep.doubled import doubled
from bruno_memory_vec.upkeep.health import health_of
from bruno_memory_vec.upkeep.losses import damage_problem, ledger_problems, survey
from bruno_memory_vec.upkeep.ownership import SeenOwners
from bruno_memory_vec.upkeep.reembedding.report import Unembedding
from bruno_memory_vec.wording import acknowledged, as_stored, counted
from bruno_memory_vec.writing.projections import Problem
from bruno_memory_vec.writing.reconcile import as_found


async def diagnose_open(config: MemoryConfig) -> list[Check]:
    """Check the store that ``config.url`` names. It is opened to read, and nothing is changed.

    What a check needs: a deployment that tells how a store was made (``TellsHowMade``), else the
    embedder has to be named. One that tells what its server lacks (``Diagnoses``) has that in the
    checks, too.

    Returns:
        Checks of the store, the embedder, what the deployment tells, rows, ledger (whether all
        acknowledged rows are there, as they were stored), owners, sessions and health.

    Raises:
        NotAStoreError: there is no store.
        StoreError, EngineError: it cannot be reached, or is another version's.
        MissingDependencyError: a package that it needs is not installed.
    """
    deployment = deployment_of(config.url)
    made: Made | None = None
    checks: list[Check] = []
    if isinstance(deployment, TellsHowMade) and config.url != IN_MEMORY:
        made = await deployment.made(config)
        if made is None:
            raise NotAStoreError(
                f"there is no store at {masked(config.url)}",
                fix="Open it once without read_only to make it.",
            )
        checks.append(_store(config, made))
    checks.append(await guarded("embedder", lambda: _embedder(config, made)))
    if isinstance(deployment, Diagnoses):
        try:
            found = await deployment.diagnose(config)
        except BrunoError as error:
            found = [Problem("server", *problem_and_fix(error))]
        checks.extend(Check(one.part, PROBLEM, one.found, one.fix) for one in found)
        if not found:
            checks.append(Check("server", OK, "it has what the store needs"))
    try:
        store = await _opened(config, made)
    except BrunoError as error:
        checks.append(Check("open", PROBLEM, *problem_and_fix(error)))
        return _without_secrets(checks)
    try:
        checks.extend(await _parts(store))
    finally:
        await store.close()
        await close_cache(store.embedder)
    return _without_secrets(checks)


def _without_secrets(checks: list[Check]) -> list[Check]:
    # Errors hide secrets themselves; another package's engine may not.
    return [replace(one, found=masked(one.found), fix=masked(one.fix)) for one in checks]


def _store(config: MemoryConfig, made: Made) -> Check:
    stems = made.language or "not known"
    return Check("store", OK, f"{masked(config.url)} is a store, word stems: {stems}")


async def _embedder(config: MemoryConfig, made: Made | None) -> Check:
    embedder = await asyncio.to_thread(resolve_embedder, config.embedder)
    try:
        fingerprint = await fingerprint_of(embedder)
        if made is not None and fingerprint != made.fingerprint:
            raise FingerprintError(
                f"the vectors were made by {made.fingerprint}, not by {fingerprint}",
                fix="Name the store's own embedder.",
            )
        await embed_texts(embedder, ["Does it load?"], "query")
    finally:
        await close_cache(embedder)
    return Check("embedder", OK, f"{fingerprint} made the vectors, and works")


async def _opened(config: MemoryConfig, made: Made | None) -> Store:
    embedder: Embedder = (
        Unembedding(made.fingerprint)
        if made is not None
        else await asyncio.to_thread(resolve_embedder, config.embedder)
    )
    # What is in memory only has nothing to read.
    read_only = config.url != IN_MEMORY
    return await open_store(config.model_copy(update={"read_only": read_only}), embedder)


async def _parts(store: Store) -> list[Check]:
    rows, sessions = store.rows, store.sessions
    seen = SeenOwners()

    async def readable() -> Check:
        return Check("rows", OK, f"{counted((await rows.health())['rows'], 'row')} can be read")

    async def owners() -> Check:
        await seen.take_all(rows)
        for problem in seen.problems():
            return Check("owners", PROBLEM, problem.found, problem.fix)
        return Check("owners", OK, seen.in_order())

    async def followed() -> Check:
        known = await sessions.health()
        # Other processes may have stored rows that their sessions are about to follow.
        wrong = await seen.compare(sessions) if await sessions.last_seq() >= seen.up_to else []
        if wrong:
            return Check("sessions", PROBLEM, wrong[0].found, wrong[0].fix)
        return Check("sessions", OK, f"they answer: {_counted(known)}")

    async def health() -> Check:
        report = await health_of(store, {"maintenance": None}, {})
        problems = "; ".join(f"{name}: {text}" for name, text in report["problems"].items())
        return Check("health", PROBLEM if problems else OK, problems or "all parts answer")

    checks = [await guarded("rows", readable)]
    checks.extend(await _ledger(store))
    checks.append(await guarded("owners", owners))
    checks.append(await guarded("sessions", followed))
    checks.append(await guarded("health", health))
    return checks


def _counted(known: dict[str, object]) -> str:
    counts = ((known.get(f"{name}s"), name) for name in ("conversation", "session"))
    return ", ".join(counted(count, name) for count, name in counts if isinstance(count, int))


async def _ledger(store: Store) -> list[Check]:
    """Reads every row: whether each is as it was stored, and all are there that should be."""
    ledger = store.sessions.ledger
    try:
        # Before and after, because other processes may be writing.
        before = await ledger.read()
        seqs, damaged = await survey(unchecked(store.rows))
        twice = await doubled(store.rows)
        after = await ledger.read()
    except BrunoError as error:
        return [Check("ledger", PROBLEM, *problem_and_fix(error))]
    problems = damage_problem(damaged)
    if twice:
        problems.append(twice.problem())
    # A damaged row's seq may be another one's; it says nothing of what is there again.
    sound = np.setdiff1d(seqs, [row.seq for row in damaged if row.seq not in before.alive])
    problems += ledger_problems(as_found(before, sound, after))
    if problems:
        return [Check(one.part, PROBLEM, one.found, f"{RESTORE} Or: {one.fix}") for one in problems]
    if not len(after.alive) and len(seqs):
        return [Check("ledger", NOTE, as_stored(len(seqs)))]
    return [
        Check(
            "ledger",
            OK,
            f"{as_stored(len(seqs))}, of {acknowledged(len(after.alive))}",
        )
    ]
