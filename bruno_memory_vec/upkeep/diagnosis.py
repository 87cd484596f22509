"""Checks of a store, one for each part, so that a broken part does not hide the others."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.config import MemoryConfig, one_config
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.embedders.run import embed_texts, fingerprint_of
from bruno_memory_vec.errors import BackendUnavailable as Unreachable
from bruno_memory_vec.errors import EngineError, MissingDependencyError, StoreError, problem_and_fix
from bruno_memory_vec.indexers.checked import unchecked
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import ChecksIndexes
from bruno_memory_vec.indexers.schema import LOG, row_schema
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.sessions.damage import problem_of
from bruno_memory_vec.sessions.protocol import Acknowledged, SessionStore
from bruno_memory_vec.store import manifest, unfinished
from bruno_memory_vec.store.deployment import analyser_for
from bruno_memory_vec.store.fallback import AWAY
from bruno_memory_vec.store.keys.keyring import Keyring
from bruno_memory_vec.store.keys.opening import keys_of
from bruno_memory_vec.store.local import in_the_clear, sessions_to_read
from bruno_memory_vec.store.lock import is_held_here, is_locked
from bruno_memory_vec.store.manifest import Manifest, folder_of, pinned
from bruno_memory_vec.store.moves import begun, left_over
from bruno_memory_vec.store.record import (
    LOSSES,
    NEW_LEDGER,
    PERHAPS_LOST,
    background_problems,
    footprint,
    last_maintenance,
    losses,
    readable_size,
)
from bruno_memory_vec.upkeep.check import NOTE, OK, PROBLEM, RESTORE, Check, guarded
from bruno_memory_vec.upkeep.doubled import doubled
from bruno_memory_vec.upkeep.losses import damage_problem, ledger_problems, some, survey
from bruno_memory_vec.upkeep.maintenance import MANY_FILES, MANY_VERSIONS
from bruno_memory_vec.upkeep.open_diagnosis import diagnose_open
from bruno_memory_vec.upkeep.ownership import SeenOwners
from bruno_memory_vec.wording import acknowledged, as_stored, counted
from bruno_memory_vec.writing.reconcile import as_found

_LITTLE_SPACE = 100 * 2**20
# How often the lexical index is checked: a running writer commits it a little after its rows.
_LOOKS = 10
_BETWEEN_LOOKS = 0.2


async def diagnose_store(
    url: str | None = None, *, config: MemoryConfig | None = None, **settings: Any
) -> list[Check]:
    """Check a store, changing nothing. It may run beside a process that writes.

    Args:
        url: the store's folder, or its URL. Default: ``BRUNO_MEMORY_URL``, else
            ``./bruno-memory``.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings. Of
            several ``urls`` the first one that can be reached is checked.
        settings: any other field of it; ``embedder`` if the store does not have the default one.

    Returns:
        One check for each part; of a folder: folder, lock, embedder, rows, indexes, owners (of
        conversations), lexical (the lexical index), sessions and disk, and checks of moves and
        upkeep; of another store as of
        :func:`bruno_memory_vec.upkeep.open_diagnosis.diagnose_open`. It is sound if none is a
        "problem".

    Raises:
        NotAStoreError: there is no store.
        InvalidInputError: a setting is not usable.
    """
    named = {} if url is None else {"url": str(url)}
    config = pinned(one_config(config, {**named, **settings}))
    if not config.urls:
        return await _diagnose(config)
    # As they are tried when a memory is opened.
    passed: list[Check] = []
    for one in config.urls:
        try:
            checks = await _diagnose(config.model_copy(update={"url": one, "urls": ()}))
        except AWAY as error:
            why = masked(problem_and_fix(error)[0])
            passed.append(Check("urls", NOTE, f"{masked(one)} is away: {why}"))
            continue
        return [*passed, Check("urls", OK, f"{masked(one)} is used"), *checks]
    return [*passed, Check("urls", PROBLEM, "none of them can be reached")]


async def _diagnose(config: MemoryConfig) -> list[Check]:
    folder = folder_of(config.url)
    if folder is None:
        return await diagnose_open(config)
    found = await asyncio.to_thread(manifest.read, folder)
    if found is None:
        raise manifest.no_store(folder)
    keys = await asyncio.to_thread(keys_of, folder, config, encrypted=found.encrypted)
    repair = f"Run: bruno-memory-vec doctor --repair --store {shlex.quote(str(folder))}" + (
        "" if config.embedder == "static" else f" --embedder {shlex.quote(config.embedder)}"
    )
    checks = [
        _folder(folder, found),
        _lock(folder),
        await guarded("embedder", lambda: _embedder(config, folder, found)),
    ]
    written: int | None = None
    seen = SeenOwners()
    async with _rows(folder, found, config, keys, repair) as rows:
        if isinstance(rows, Check):
            checks.append(rows)
        else:
            try:
                written = await rows.last_seq()
                health = await rows.health()
                checks.append(Check("rows", OK, f"{counted(health['rows'], 'row')} can be read"))
                if health["log"]["problem"] is not None:
                    checks.append(Check("log", PROBLEM, health["log"]["problem"]))
            except BrunoError as error:
                checks.append(
                    await _damaged_rows(folder, found, config, keys, error, RESTORE, repair)
                )
            else:
                checks.extend(await _whole(folder, found, rows, config, keys, repair))
                checks.append(await guarded("indexes", lambda: _indexes(rows), repair))
                checks.append(await guarded("owners", lambda: _owners(rows, seen), RESTORE))
                if keys is None or found.keyed:
                    checks.append(
                        await guarded(
                            "lexical",
                            lambda: _lexical(folder, found, rows, keys, repair),
                            repair,
                        )
                    )
    checks.append(
        await guarded(
            "sessions", lambda: _sessions(folder, found, config, keys, written, repair, seen)
        )
    )
    if keys is not None:
        checks.append(
            Check(
                "keys",
                OK,
                f"the rows are sealed; {counted(keys.users, 'user has', 'users have')} a key",
            )
        )
    checks.extend(_given_up(folder, keys))
    checks.extend(_moves(folder, found))
    checks.extend(_upkeep(folder, keys))
    checks.append(_space(folder))
    if (copying := unfinished.problem(folder)) is not None:
        checks.append(Check("copying", PROBLEM, *copying))
    return checks


def _folder(folder: Path, found: Manifest) -> Check:
    about = f"{folder} is a store of format {found.schema}, word stems: {found.language or 'none'}"
    if not os.access(folder, os.W_OK):
        return Check("folder", NOTE, f"{about}; it may only be read")
    return Check("folder", OK, about)


def _lock(folder: Path) -> Check:
    try:
        holder = json.loads((folder / manifest.HOLDER).read_text(encoding="utf-8"))
        who = f"process {holder['pid']} on {holder['host']} since {holder['since']}"
    except FileNotFoundError:
        return Check("lock", OK, "nobody writes")
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    # After a kill the holder's name stays, but the lock is free.
    try:
        if is_held_here(folder):
            return Check("lock", NOTE, f"{who}, which is this one, writes")
        if is_locked(folder):
            return Check("lock", NOTE, f"{who} writes; reading goes on beside it")
    except OSError:
        return Check("lock", NOTE, f"{who} may be writing; the lock cannot be tried")
    return Check("lock", OK, f"nobody writes; {who} ended without closing the store")


async def _embedder(config: MemoryConfig, folder: Path, found: Manifest) -> Check:
    embedder = await asyncio.to_thread(resolve_embedder, config.embedder)
    found.check(await fingerprint_of(embedder), folder)
    await embed_texts(embedder, ["Does it load?"], "query")
    return Check("embedder", OK, f"{found.fingerprint} made the vectors, and works")


@asynccontextmanager
async def _rows(
    folder: Path, found: Manifest, config: MemoryConfig, keys: Keyring | None, repair: str
) -> AsyncIterator[Any]:
    from bruno_memory_vec.indexers.checked import CheckedIndex
    from bruno_memory_vec.indexers.lance.index import LanceIndex
    from bruno_memory_vec.indexers.lance.write_ahead_log_index import WriteAheadLogIndex

    path, dimension = folder / found.rows, found.stored_dimension
    try:
        inner = await LanceIndex.open(str(path), dimension, read_only=True)
        logged = WriteAheadLogIndex(inner, path / LOG, row_schema(dimension), read_only=True)
        terms = await asyncio.to_thread(analyser_for, found.language or "none")
        vectors = found.fingerprint.dimension
        rows = CheckedIndex(in_the_clear(logged, keys, vectors, terms, _reading(config)))
    except BrunoError as error:
        # Without sessions, the process was stopped while it made the store, and no row is lost.
        complete = (folder / found.sessions).exists()
        fix = RESTORE if complete else repair
        yield await _damaged_rows(folder, found, config, keys, error, fix, repair)
        return
    try:
        yield rows
    finally:
        await rows.close()


async def _damaged_rows(
    store: Path,
    found: Manifest,
    config: MemoryConfig,
    keys: Keyring | None,
    error: BrunoError,
    fix: str,
    repair: str,
) -> Check:
    """The check of rows that cannot be read; ``fix`` is the advice if none can be."""
    from bruno_memory_vec.indexers.lance.recovery import newest_whole
    from bruno_memory_vec.indexers.lance.salvage import any_readable

    folder, dimension = store / found.rows, found.stored_dimension
    problem, own = problem_and_fix(error)
    if isinstance(error, Unreachable):
        # They cannot be reached, which does not mean that they are damaged.
        if (folder / "rows.lance").exists():
            return Check("rows", PROBLEM, problem, own)
        return Check("rows", PROBLEM, f"{problem}{await _of_all(store, found, config, keys)}", fix)
    try:
        whole = await newest_whole(folder)
    except Unreachable:
        whole = None
    if whole is None or not whole.rows:
        try:
            some_rows = await any_readable(folder, dimension)
        except Unreachable:
            some_rows = False
        part = "a part" if some_rows else "none"
        problem = (
            f"{problem}; {part} of the rows can be read{await _of_all(store, found, config, keys)}"
        )
        if some_rows:
            fix = f"{RESTORE} Or keep that part. {repair}"
    elif whole.unreadable:
        problem = f"{problem}; an older version, with {counted(whole.rows, 'row')}, is whole"
        fix = (
            "Restore a snapshot or a backup that holds more, or step back to that version. "
            f"{repair}"
        )
    return Check("rows", PROBLEM, problem, fix)


async def _of_all(store: Path, found: Manifest, config: MemoryConfig, keys: Keyring | None) -> str:
    """How many rows there should be."""
    for known in await _acknowledged(store, found, config, keys):
        return f", of {len(known.alive):,} that were acknowledged"
    return ""


async def _indexes(rows: Any) -> Check:
    """Every file of the indexes is read; none is given to the engine before it was compared."""
    checks = capability(rows, ChecksIndexes)
    if checks is not None:
        await checks.check_indexes()
    return Check("indexes", OK, "every index of the rows is as it was written")


async def _whole(
    folder: Path,
    found: Manifest,
    rows: Any,
    config: MemoryConfig,
    keys: Keyring | None,
    repair: str,
) -> list[Check]:
    """Reads every row: whether each is as it was stored, and all are there that should be."""
    ledger: list[Acknowledged] = []
    try:
        # Before and after, because another process may be writing.
        ledger.extend(await _acknowledged(folder, found, config, keys))
        seqs, damaged = await survey(unchecked(rows))
        twice = await doubled(rows)
        ledger.extend(await _acknowledged(folder, found, config, keys))
    except BrunoError as error:
        return [await _damaged_rows(folder, found, config, keys, error, RESTORE, repair)]
    problems = damage_problem(damaged)
    if twice:
        problems.append(twice.problem())
    if len(ledger) == 2:
        # A damaged row's seq may be another one's; it says nothing of what is there again.
        sound = np.setdiff1d(seqs, [row.seq for row in damaged if row.seq not in ledger[0].alive])
        problems += ledger_problems(as_found(ledger[0], sound, ledger[1]))
    checks = [Check(one.part, PROBLEM, one.found, f"{RESTORE} Or: {repair}") for one in problems]
    known = "" if not ledger else f", of {acknowledged(len(ledger[-1].alive))}"
    return checks or [Check("ledger", OK, f"{as_stored(len(seqs))}{known}")]


async def _acknowledged(
    folder: Path, found: Manifest, config: MemoryConfig, keys: Keyring | None
) -> list[Acknowledged]:
    """The ledger; nothing where it cannot be read, which the check of the sessions tells."""
    if config.sessions is None and not (folder / found.sessions).exists():
        return []
    try:
        sessions = await _open_sessions(folder, found, config, keys)
        try:
            return [await sessions.ledger.read()]
        finally:
            await sessions.close()
    except (EngineError, StoreError, MissingDependencyError):
        return []


async def _open_sessions(
    folder: Path, found: Manifest, config: MemoryConfig, keys: Keyring | None
) -> SessionStore:
    """The sessions, to be read."""
    from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore

    if config.sessions is not None:
        return await sessions_to_read(config.sessions, folder, config)
    key = None if keys is None else keys.sessions_key
    path = folder / found.sessions
    return await SQLiteSessionStore.open(path, config.max_messages, read_only=True, key=key)


def _reading(config: MemoryConfig) -> MemoryConfig:
    return config.model_copy(update={"read_only": True})


def _given_up(folder: Path, keys: Keyring | None) -> list[Check]:
    """What earlier repairs have given up, and what is not known."""
    checks = []
    for one in losses(folder, keys):
        counts = ((len(one.get(name) or ()), name) for name in ("lost", "removed"))
        about = " and ".join(f"{count:,} {name}" for count, name in counts if count)
        when = one["at"][:16].replace("T", " ")
        if isinstance(one.get(NEW_LEDGER), str):
            told = (
                f"what was acknowledged is known since {when} UTC ({one[NEW_LEDGER]}); rows that "
                "were lost before cannot be named"
            )
            if gone := one.get(PERHAPS_LOST):
                told += (
                    f", but the lexical index had {counted(len(gone), 'row')} that the store has "
                )
                told += f"not: seq {some(gone)}, lost or deleted"
            checks.append(Check("losses", NOTE, told))
        if about:
            told = f"a repair of {when} UTC has given up rows: {about} ({LOSSES} names them)"
            checks.append(Check("losses", NOTE, told))
    return checks


async def _lexical(
    folder: Path, found: Manifest, rows: Any, keys: Keyring | None, repair: str
) -> Check:
    from bruno_memory_vec.indexers.query import RowFilter, Scope
    from bruno_memory_vec.indexers.tantivy.index import TantivyReader
    from bruno_memory_vec.indexers.tantivy.keyed import KeyedTantivyReader
    from bruno_memory_vec.indexers.text.analysis import analyser

    terms = analyser(found.language)
    if found.analysis != terms.name:
        return Check(
            "lexical",
            NOTE,
            f"the lexical index has the terms of {found.analysis or 'an older version'}, and is "
            f"rebuilt with those of {terms.name} when the store is opened to write",
        )

    def opened() -> TantivyReader:
        path = folder / "lexical"
        if keys is not None:
            return KeyedTantivyReader(path, terms, keys)
        return TantivyReader(path, terms)

    index = await asyncio.to_thread(opened)
    try:
        await index.check()
        for _ in range(_LOOKS):
            await index.refresh()
            held = await index.count()
            number = await rows.count(Scope.all_users(), RowFilter())
            if held == number and await index.last_seq() >= await rows.last_seq():
                return Check(
                    "lexical",
                    OK,
                    counted(held, "row is in the lexical index", "rows are in the lexical index"),
                )
            await asyncio.sleep(_BETWEEN_LOOKS)
    finally:
        await index.close()
    return Check(
        "lexical",
        PROBLEM,
        f"the lexical index holds {counted(held, 'row')} of {number:,}, or old ones",
        repair,
    )


async def _owners(rows: Any, seen: SeenOwners) -> Check:
    await seen.take_all(rows)
    for problem in seen.problems():
        return Check("owners", PROBLEM, problem.found, problem.fix)
    return Check("owners", OK, seen.in_order())


async def _sessions(
    folder: Path,
    found: Manifest,
    config: MemoryConfig,
    keys: Keyring | None,
    written: int | None,
    repair: str,
    seen: SeenOwners,
) -> Check:
    path = folder / found.sessions
    key = None if keys is None else keys.sessions_key
    elsewhere = config.sessions is not None
    if not elsewhere and not path.exists():
        return Check("sessions", PROBLEM, f"{path} is missing", repair)
    # Beside a writer the file has no checksum, and may change while it is looked at.
    damaged = None if elsewhere else await asyncio.to_thread(problem_of, path, key)
    if damaged is not None:
        fix = (
            f"It is made anew from the rows, with the sessions and users that can be read. {repair}"
        )
        return Check("sessions", PROBLEM, f"{path} is damaged: {damaged}", fix)
    try:
        sessions = await _open_sessions(folder, found, config, keys)
        try:
            report = await sessions.health()
            followed = await sessions.last_seq()
            # A process that writes may have stored rows that the sessions are about to follow.
            wrong = await seen.compare(sessions) if followed >= seen.up_to else []
        finally:
            await sessions.close()
    except EngineError as error:
        if elsewhere:
            raise  # the error names what is wrong with them
        fix = (
            f"Move {path} away and repair: it is made anew from the rows, "
            f"without sessions and user profiles. {repair}"
        )
        return Check("sessions", PROBLEM, problem_and_fix(error)[0], fix)
    if written is not None and followed < written:
        behind = f"the sessions know of the rows up to {followed}, of {written}"
        return Check("sessions", PROBLEM, behind, repair)
    if wrong:
        return Check("sessions", PROBLEM, wrong[0].found, repair)
    counts = ((report.get(f"{name}s"), name) for name in ("conversation", "session"))
    known = ", ".join(counted(count, name) for count, name in counts if isinstance(count, int))
    return Check("sessions", OK, known or "they answer")


def _moves(folder: Path, found: Manifest) -> list[Check]:
    """Checks of unfinished moves to another embedder and of their leftovers, if any."""
    checks = []
    try:
        move = begun(folder, found)
    except BrunoError as error:
        return [Check("reembed", PROBLEM, *problem_and_fix(error))]
    if move is not None:
        fix = f"Go on: bruno-memory-vec reembed --store {shlex.quote(str(folder))} --embedder NAME"
        about = f"a move to {move.fingerprint} has begun and is not at its end"
        checks.append(Check("reembed", NOTE, about, f"{fix}; the store's own NAME gives it up."))
    for path in left_over(folder, found):
        about = f"{path.name} is left over from a move, with {readable_size(footprint(path).bytes)}"
        checks.append(Check("reembed", NOTE, f"{about}; the next process that writes removes it"))
    return checks


def _upkeep(folder: Path, keys: Keyring | None) -> list[Check]:
    """Checks of the last upkeep, if there was one, and whether another is due."""
    last, failed = last_maintenance(folder, keys), background_problems(folder, keys)
    now = footprint(folder)
    again = f"Run: bruno-memory-vec maintain --store {shlex.quote(str(folder))}"
    about = f"{counted(now.files, 'file')}, {counted(now.versions, 'version')} of the rows"
    wrong = [f"{work} failed in the background: {text}" for work, text in failed.items()]
    advice: list[str] = []
    if last is not None:
        before, after = last["before"], last["after"]
        done = f"last maintained {last['at'][:16].replace('T', ' ')} UTC"
        about = f"{done}: {counted(before['files'], 'file')} became {after['files']:,}; now {about}"
        if last["problems"]:
            named = "; ".join(f"{one['part']}: {one['found']}" for one in last["problems"])
            wrong.insert(0, f"{done} and found {named}")
            advice.extend(dict.fromkeys(one["fix"] for one in last["problems"]))
    if wrong:
        return [Check("upkeep", PROBLEM, "; ".join(wrong), " ".join([*advice, again]))]
    if now.files > MANY_FILES or now.versions > MANY_VERSIONS:
        return [Check("upkeep", NOTE, f"{about}, which are many", again)]
    return [] if last is None else [Check("upkeep", OK, about)]


def _space(folder: Path) -> Check:
    free, used = shutil.disk_usage(folder).free, footprint(folder).bytes
    about = f"{readable_size(free)} free, the store takes {readable_size(used)}"
    if free < _LITTLE_SPACE:
        return Check("disk", PROBLEM, about, "Make room: without it nothing more can be stored.")
    if free < used:
        return Check("disk", NOTE, f"{about}; compaction may need as much again for a while")
    return Check("disk", OK, about)
