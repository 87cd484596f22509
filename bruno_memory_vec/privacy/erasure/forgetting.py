"""Forgetting a user, from the first note to the receipt.

The order is what makes it safe to be killed at any moment: a note says who is to be forgotten; the
rows go, and with them, under the same lock, all that the sessions have; then the files are written
anew; then the copies that the library has made; then a look for what remains; then the receipt is
kept, and last the note goes. What a killed process leaves, the next opening or the next call does
again from the beginning, which changes nothing that is done already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from bruno_core.models.context import UserContext
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec._version import __version__
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.conversations.groups import Groups
from bruno_memory_vec.embedders.cache import CachedEmbedder, is_url
from bruno_memory_vec.embedders.vector_file import VectorFile
from bruno_memory_vec.embedders.vector_redis import VectorRedis
from bruno_memory_vec.errors import ReadOnlyError, StoreError, problem_and_fix
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import Erases, TellsWhatStays
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.privacy.erasure import keeping
from bruno_memory_vec.privacy.erasure.keeping import Kept, UnderWay, kept
from bruno_memory_vec.privacy.erasure.receipt import (
    ErasureReceipt,
    NotErased,
    hash_of,
    hashed,
    new_salt,
    signed,
)
from bruno_memory_vec.privacy.erasure.records import sweep, withhold
from bruno_memory_vec.privacy.erasure.remains import RemainsReport, Traces, remains, traces_of
from bruno_memory_vec.privacy.erasure.spaces import leave_spaces, said_in_spaces
from bruno_memory_vec.recall import Retriever
from bruno_memory_vec.rows.summaries import SUMMARY
from bruno_memory_vec.sessions.protocol import ForgetsUsers, SessionStore
from bruno_memory_vec.store import copies, manifest
from bruno_memory_vec.store.copies import KnownCopy
from bruno_memory_vec.store.keys.master import master_of
from bruno_memory_vec.store.manifest import folder_of, unwritable
from bruno_memory_vec.store.store import Store, close_whole, open_store
from bruno_memory_vec.upkeep.backup.forgetting import forget_in_backup
from bruno_memory_vec.upkeep.leftovers import erase_leftovers
from bruno_memory_vec.upkeep.reembedding.report import Unembedding
from bruno_memory_vec.writing.dependants.facts import FACTS
from bruno_memory_vec.writing.erasure import ForgettingProjection

_log = get_logger(__name__)

#: Something of the memory itself that keeps what it knows of users, and is to forget one.
Forgets = Callable[[str], Awaitable[None]]

#: The name of the work, in ``health()``, where an erasure that was broken off cannot be ended.
WORK: Final = "forget a user"

_COUNTED = ("kind", "origin", "category", "archived_at", "pinned_at", "conversation_id")
#: What was done, in the order in which it is done.
_STEPS: Final = (
    "names in the records of upkeep",
    "rows with their vectors, words, summaries, facts and files in users/",
    "sessions, profile, notes, hot messages, owned conversations, turns in spaces and groups",
    "the user's key, with which everything of theirs was sealed",
    "the cache of vectors",
    "old versions, write-ahead log, index files, free pages, files that were set aside",
)
# Of a user who goes on writing, the rows that come after these are a new beginning.
_PASSES: Final = 3
_KEY, _CACHE = _STEPS[3:5]


_IN_TRAIL: Final = NotErased(
    "the audit trail",
    "it has the user's id, as it says who did what with whose rows, and an entry that was taken "
    "out would break its chain; it has no content",
    "Delete it when it need not be kept any longer; audit_ids='hashed' names nobody from now on.",
)


async def forget_user(
    store: Store, user_id: str, *, dry_run: bool, also: Sequence[Forgets] = ()
) -> ErasureReceipt:
    """Forget a user in an open store.

    Args:
        store: the open store.
        user_id: who.
        dry_run: say what would be erased, and change nothing.
        also: parts of the memory that are to forget the user, too.

    Returns:
        The receipt; it is kept in the store as well.

    Raises:
        ReadOnlyError: the store was opened read-only. Nothing was erased.
        StoreError: a re-embedding is under way. Nothing was erased.
        EngineError: an engine failed. What is left is erased by the next call or opening.
    """
    if dry_run:
        return await _dry_run(store, user_id)
    check_it_may(store)
    async with store.forgetting:
        where = kept(store)
        await _finish(store, where, also)
        begun = datetime.now(timezone.utc)
        counts, conversations = await _counts(store, user_id)
        erasure = UnderWay(str(uuid4()), user_id, begun.isoformat(), counts)
        traces = await traces_of(store, user_id)
        await keeping.note(where, erasure)
        return await _run(store, where, erasure, traces, conversations, also)


def check_it_may(store: Store) -> None:
    """Refuse an erasure that cannot be whole, before anything is erased.

    Raises:
        ReadOnlyError: the store was opened read-only.
        StoreError: a re-embedding is under way.
    """
    if store.writer is None:
        raise ReadOnlyError(
            "the memory was opened with read_only=True", fix="Open it without, to forget a user."
        )
    if store.stop_move is not None:
        raise StoreError(
            "a re-embedding is under way, and its copy holds rows, too",
            fix="Wait until it has ended, and forget the user then.",
        )


async def finish(store: Store, also: Sequence[Forgets] = ()) -> list[ErasureReceipt]:
    """End the erasures that were broken off. Returns their receipts.

    Raises:
        EngineError: one cannot be ended now.
    """
    if store.writer is None or store.stop_move is not None:
        return []
    async with store.forgetting:
        return await _finish(store, kept(store), also)


async def finish_at_opening(store: Store, also: Sequence[Forgets] = ()) -> None:
    """As :func:`finish`; a failure is in ``health()``, and the opening goes on."""
    if store.writer is None:
        return
    with store.writer.tolerating(WORK):
        await finish(store, also)


async def _finish(store: Store, where: Kept, also: Sequence[Forgets]) -> list[ErasureReceipt]:
    done = []
    for erasure in await keeping.under_way(where):
        again = replace(erasure, resumed=erasure.resumed + 1)
        _log.warning("erasure_resumed", **keeping.plain(again))
        await keeping.note(where, again)
        _, conversations = await _counts(store, again.user_id)
        traces = await traces_of(store, again.user_id)
        done.append(await _run(store, where, again, traces, conversations, also))
    return done


async def _run(
    store: Store,
    where: Kept,
    erasure: UnderWay,
    traces: Traces,
    conversations: Collection[str],
    also: Sequence[Forgets],
) -> ErasureReceipt:
    done = await _erase(store, traces, conversations, also)
    await _in_copies(store, traces, done)
    found = await remains(store, traces)
    if found.in_trail:
        done.not_erased.append(_IN_TRAIL)
    salt = new_salt()
    receipt = ErasureReceipt(
        id=erasure.id,
        user_hash=hash_of(erasure.user_id, salt),
        salt=salt,
        begun_at=datetime.fromisoformat(erasure.begun_at),
        finished_at=datetime.now(timezone.utc),
        dry_run=False,
        resumed=erasure.resumed,
        counts={**erasure.counts, **done.counts},
        erased=tuple(done.erased),
        not_erased=tuple(done.not_erased),
        check=found.to_dict(),
        version=__version__,
    )
    receipt = signed(receipt, await keeping.signing_key(where))
    await keeping.keep_receipt(where, receipt)
    await keeping.ended(where, erasure)
    if isinstance(where, keeping.OnServer):
        # The note had the user's id.
        await store.sessions.erase(deleted=False)
    _log.info("user_forgotten", ok=receipt.ok, **keeping.plain(erasure))
    return receipt


async def _dry_run(store: Store, user_id: str) -> ErasureReceipt:
    now, salt = datetime.now(timezone.utc), new_salt()
    counts, _ = await _counts(store, user_id)
    not_erased = [*_what_stays(store)]
    for copy in await _known(store):
        if copy.kind in ("snapshot", "backup"):
            there = await asyncio.to_thread(Path(copy.place).exists)
            name = f"{copy.kind}s"
            counts[name] = counts.get(name, 0) + there
        else:
            not_erased.append(_left_in(copy))
    return hashed(
        ErasureReceipt(
            id=str(uuid4()),
            user_hash=hash_of(user_id, salt),
            salt=salt,
            begun_at=now,
            finished_at=now,
            dry_run=True,
            resumed=0,
            counts=counts,
            erased=(),
            not_erased=tuple(not_erased),
            check={},
            version=__version__,
        )
    )


async def _counts(store: Store, user_id: str) -> tuple[dict[str, int], set[str]]:
    """How much there is of a user, and in which conversations."""
    rows = await store.rows.read(Scope.user(user_id), RowFilter(), _COUNTED)
    kinds = rows.column("kind")
    summaries = pc.equal(rows.column("origin"), SUMMARY)
    facts = pc.and_(
        pc.is_in(rows.column("origin"), pa.array(FACTS.origins, pa.string())),
        pc.is_in(rows.column("category"), pa.array(FACTS.categories, pa.string())),
    )
    counts = {
        "messages": _many(pc.equal(kinds, MESSAGE)),
        "memories": _many(pc.equal(kinds, MEMORY)),
        "summaries": _many(summaries),
        "facts": _many(facts),
        "archived": rows.num_rows - rows.column("archived_at").null_count,
        "pinned": rows.num_rows - rows.column("pinned_at").null_count,
    }
    sessions = store.sessions
    if isinstance(sessions, ForgetsUsers):
        counts |= await sessions.kept_of(user_id)
    else:
        found = await sessions.sessions(user_id, active=None, limit=None, after=None)
        counts |= {"sessions": len(found), "notes": len(await sessions.notes(user_id))}
    said = await said_in_spaces(store.rows, user_id, ())
    if said.num_rows:
        counts["messages_in_spaces"] = said.num_rows
    groups = await Groups(store).current(user_id)
    if groups:
        counts["groups"] = len(groups)
    conversations = set(rows.column("conversation_id").to_pylist()) - {None}
    return counts, conversations


def _many(mask: Any) -> int:
    return int(pc.sum(mask).as_py() or 0)


@dataclass(slots=True)
class _Done:
    """What was erased so far."""

    erased: list[str] = field(default_factory=list)
    not_erased: list[NotErased] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)


async def _erase(
    store: Store, traces: Traces, conversations: Collection[str], also: Iterable[Forgets]
) -> _Done:
    """Erase everything of a user in one store, so that no file of it has anything."""
    writer, user_id, done = store.writer, traces.user_id, _Done()
    assert writer is not None
    withheld = await withhold(store, user_id, conversations)
    if withheld:
        done.counts["record_entries"] = withheld
    done.erased.append(_STEPS[0])
    heirs = await _heirs(store, user_id, conversations)

    async def sessions(talks: Collection[str]) -> bool:
        whole = await _forget_in_sessions(store.sessions, user_id, talks, heirs)
        store.owners.forget(user_id, {*talks, *conversations})
        return whole

    forgetting: list[Forgets] = [*also]
    for projection in store.projections:
        if isinstance(projection, ForgettingProjection):
            forgetting.append(projection.forget_user)
    whole = True
    for _ in range(_PASSES):
        await _let_end(forgetting, user_id)
        await leave_spaces(store, user_id)
        _, whole = await writer.forget_user(user_id, sessions)
        # What was learned of the user meanwhile may have been saved after all was gone.
        await _let_end(forgetting, user_id)
        if not await _is_left(store, user_id):
            break
    done.erased += _STEPS[1:3]
    if not whole:
        done.not_erased.append(
            NotErased(
                "owners of conversations, in the session store",
                "it cannot forget a user (ForgetsUsers)",
                "Remove there what names the user.",
            )
        )
    keys = keeping.keys_in(store)
    if keys is not None and await asyncio.to_thread(keys.destroy, user_id):
        done.erased.append(_KEY)
    # Passages of texts that were looked into are in the retriever's memory.
    timeout = store.config.embed_timeout
    store.retriever = Retriever(store.rows, store.lexical, store.embedder, writer, timeout)
    if await _clear_cache(store, done):
        done.erased.append(_CACHE)
    await writer.settle()
    left = await erase_leftovers(store, keep_set_aside=False)
    folder = folder_of(store.config.url)
    if folder is not None:
        try:
            await asyncio.to_thread(sweep, folder)
        except OSError as error:
            raise unwritable(folder, error) from error
    if left.removed:
        done.counts["set_aside_files"] = len(left.removed)
    if left.kept is not None:
        done.not_erased.append(
            NotErased("files that were set aside", left.kept, "Run maintain() when it has ended.")
        )
    await writer.erase()
    done.erased.append(_STEPS[-1])
    done.not_erased += _what_stays(store)
    return done


async def _let_end(forgetting: Iterable[Forgets], user_id: str) -> None:
    for forgets in forgetting:
        await forgets(user_id)


async def _is_left(store: Store, user_id: str) -> bool:
    if await store.rows.count(Scope.user(user_id), RowFilter()):
        return True
    sessions = store.sessions
    if isinstance(sessions, ForgetsUsers) and await sessions.kept_of(user_id):
        return True
    return bool((await said_in_spaces(store.rows, user_id, ())).num_rows)


async def _heirs(store: Store, user_id: str, conversations: Collection[str]) -> dict[str, str]:
    """Conversations in which others have rows, too, and who of them wrote there first."""
    heirs: dict[str, tuple[int, str]] = {}
    if not conversations:
        return {}
    columns = ("seq", "user_id", "conversation_id")
    async for batch in store.rows.after(-1, columns, EVERYONE):
        others = batch.filter(pc.not_equal(batch.column("user_id"), user_id))
        for seq, other, talk in zip(
            *(others.column(name).to_pylist() for name in columns), strict=True
        ):
            if talk in conversations and seq < heirs.get(talk, (2**63, ""))[0]:
                heirs[talk] = (seq, other)
    return {talk: other for talk, (_, other) in heirs.items()}


async def _forget_in_sessions(
    sessions: SessionStore, user_id: str, talks: Collection[str], heirs: Mapping[str, str]
) -> bool:
    """Returns whether all of it is forgotten."""
    if isinstance(sessions, ForgetsUsers):
        await sessions.forget_user(user_id, talks, heirs)
        return True
    for session in await sessions.sessions(user_id, active=None, limit=None, after=None):
        await sessions.drop_session(session.session_id)
    for one in await sessions.notes(user_id):
        await sessions.drop_note(user_id, one.conversation_id)
    if await sessions.user(user_id) is not None:
        await sessions.save_user(UserContext(user_id=user_id))
    for talk in talks:
        await sessions.mark_stale(talk)
        await sessions.leave(talk, user_id)
    return False


async def _clear_cache(store: Store, done: _Done) -> bool:
    """Clear the cache of vectors: its keys are hashes, and nobody can tell which are the user's.

    That costs time at the next embedding, and nothing else: the rows have their own vectors.
    """
    place = store.config.embedding_cache
    if isinstance(store.embedder, CachedEmbedder):
        health = await asyncio.to_thread(store.embedder.health)
        count, problem = health["vectors"], health["problem"]
        await asyncio.to_thread(store.embedder.clear)
        problem = (await asyncio.to_thread(store.embedder.health))["problem"] or problem
    elif place is None or (not is_url(place) and not await asyncio.to_thread(_is_there, place)):
        return False
    else:
        file = VectorRedis(str(place)) if is_url(place) else VectorFile(_path(place), 2**40)
        try:
            count = (await asyncio.to_thread(file.health))["vectors"]
            await asyncio.to_thread(file.clear)
            problem = (await asyncio.to_thread(file.health))["problem"]
        finally:
            await asyncio.to_thread(file.close)
    if count:
        done.counts["cached_vectors"] = count
    if problem is not None:
        done.not_erased.append(
            NotErased("the cache of vectors", str(problem), "Delete its folder or its keys.")
        )
        return False
    if place is not None and is_url(place):
        done.not_erased.append(
            NotErased(
                "the files of the Redis that caches vectors",
                "a dump or an append-only file holds what was there until the next one",
                "Run BGSAVE or BGREWRITEAOF there.",
            )
        )
    return True


def _path(place: str | Path) -> Path:
    return Path(place).expanduser()


def _is_there(place: str | Path) -> bool:
    return _path(place).is_dir()


def _what_stays(store: Store) -> list[NotErased]:
    """What the engines of a store cannot erase."""
    found = []
    tells = capability(store.rows, TellsWhatStays)
    if tells is not None:
        found += [NotErased(*one) for one in tells.what_stays()]
    elif capability(store.rows, Erases) is None:
        found.append(
            NotErased(
                f"the files of {store.rows.name}",
                "this engine does not say whether a deleted row stays in them",
                "See in its own documentation how it is purged.",
            )
        )
    sessions = store.sessions
    if isinstance(sessions, TellsWhatStays):
        found += [NotErased(*one) for one in sessions.what_stays()]
    return found


# Copies


async def _known(store: Store) -> list[KnownCopy]:
    folder = folder_of(store.config.url)
    return [] if folder is None else await asyncio.to_thread(copies.known_copies, folder)


async def _in_copies(store: Store, traces: Traces, done: _Done) -> None:
    """Erase the user in the snapshots that are known, and name what is to be pruned."""
    gone = []
    for copy in await _known(store):
        if copy.kind not in ("snapshot", "backup"):
            done.not_erased.append(_left_in(copy))
        elif not await asyncio.to_thread(Path(copy.place).exists):
            gone.append(copy.place)
        elif copy.kind == "backup":
            await _in_backup(store, copy, traces.user_id, done)
        else:
            await _in_snapshot(store, copy, traces, done)
    folder = folder_of(store.config.url)
    if gone and folder is not None:
        await asyncio.to_thread(copies.forget_copies, folder, gone)


async def _in_snapshot(store: Store, copy: KnownCopy, traces: Traces, done: _Done) -> None:
    what = f"the snapshot in {copy.place}"
    try:
        found = await asyncio.to_thread(manifest.read, Path(copy.place))
        if found is None:
            raise StoreError("it is no store any more", fix="Delete it, or what was put there.")
        own = {"url", "urls", "sessions", "embedder", "read_only", "language", "embedding_cache"}
        own.add("keyed_index")  # it stays as it was made
        # The call is in the store's own audit trail, and the snapshot gets none.
        own |= {name for name in MemoryConfig.model_fields if name.startswith("audit")}
        # One that was made before the store was encrypted has no key.
        own |= set() if found.encrypted else {"key_file"}
        settings = store.config.model_dump(exclude=own)
        key = store.config.key if found.encrypted else None
        config = MemoryConfig(**settings, url=copy.place, key=key, audit=False)
        other = await open_store(config, Unembedding(found.fingerprint))
        try:
            _, conversations = await _counts(other, traces.user_id)
            inside = await _erase(other, traces, conversations, ())
            report = await remains(other, traces)
        finally:
            await close_whole(other)
    except BrunoError as error:
        problem, fix = problem_and_fix(error)
        done.not_erased.append(
            NotErased(what, problem, f"{fix} Or delete it, if it is not needed.".strip())
        )
        return
    done.counts["snapshots"] = done.counts.get("snapshots", 0) + 1
    done.erased.append(what)
    done.not_erased += [replace(one, what=f"{what}: {one.what}") for one in inside.not_erased]
    done.not_erased += [_found_in(what, report)] if not report.ok else []


async def _in_backup(store: Store, copy: KnownCopy, user_id: str, done: _Done) -> None:
    what = f"the backup in {copy.place}"
    try:
        key = await asyncio.to_thread(master_of, store.config)
        await forget_in_backup(copy.place, user_id, key)
    except BrunoError as error:
        problem, fix = problem_and_fix(error)
        done.not_erased.append(
            NotErased(what, problem, f"{fix} Or prune it, so that no point has it.".strip())
        )
        return
    done.counts["backups"] = done.counts.get("backups", 0) + 1
    done.erased.append(what)


def _found_in(what: str, report: RemainsReport) -> NotErased:
    where = ", ".join(sorted({one.where for one in report.found}))
    return NotErased(what, f"something of the user was found there: {where}", "Delete it.")


def _left_in(copy: KnownCopy) -> NotErased:
    return NotErased(
        f"the copy in {masked(copy.place)}, made {copy.at[:10]}",
        "it is another store or a file",
        "Forget the user there, too, or delete it.",
    )
