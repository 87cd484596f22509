"""Import of a bruno-memory file: what it holds is stored as if it had been stored here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from bruno_core.models.context import SessionContext, UserContext
from bruno_core.models.memory import MemoryEntry

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.errors import InvalidInputError, NotAStoreError, StoreError
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import CHECKSUM, COLUMNS, key_of
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.portability.bruno_memory import BrunoMemoryFile
from bruno_memory_vec.portability.records import BadLine, Turn
from bruno_memory_vec.rows.checks import identifier
from bruno_memory_vec.rows.models import Row, from_table, memory_row, message_row
from bruno_memory_vec.store.deployment import TellsHowMade, deployment_of
from bruno_memory_vec.store.manifest import pinned
from bruno_memory_vec.store.store import Store, close_whole, open_store
from bruno_memory_vec.upkeep.copying.people import Begun, People, refuse_foreign
from bruno_memory_vec.upkeep.copying.report import CopyReport
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.projections import Progress

_ROWS_AT_ONCE = 1_000
_SHOWN_BAD = 20
# What a row gets in its store, or by being used; a copy of it need not have the same.
_OWN = {"seq", "turn", CHECKSUM, "access_count", "last_accessed"}
# It follows from the text, and is stored with fewer digits.
_COMPARED = tuple(name for name in COLUMNS if name not in {*_OWN, "question_share"})

T = TypeVar("T")


@dataclass(slots=True)
class _Content:
    """What was found in a file, and can be stored."""

    bad: list[BadLine] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: int = 0


async def import_bruno_memory(
    path: str | Path,
    target: str | Path,
    *,
    embedder: Any = None,
    user_id: str | None = None,
    unnamed: str | None = None,
    skip_bad: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> CopyReport:
    """Store what a bruno-memory file holds: messages, memories, sessions and profiles.

    Ids, roles, times, metadata, importance, memory types, tags and expiries stay; turns are given
    in the order of the messages' times. What is stored already, as it is in the file, is not stored
    again, so an import that was stopped goes on, and a second one changes nothing. All of the file
    is checked first.

    Args:
        path: the file; another program may have it open.
        target: the store; it is made if there is none.
        embedder: makes the vectors. Default: the setting.
        user_id: import only this user's.
        unnamed: whose a conversation is of which nothing in the file says so. Default: the setting
            ``default_user``.
        skip_bad: store the rest of a file in which something cannot be stored.
        dry_run: say what would be stored; write nothing, and make no store.
        progress: called with the number of rows that are done.
        settings: any other field of :class:`~bruno_memory_vec.MemoryConfig`.

    Raises:
        InvalidInputError: it is no such file, or something in it cannot be stored.
        ForeignUserError: a conversation is another user's in the store. Nothing was stored.
        FingerprintError: the store's vectors are another embedder's.
        BackendUnavailable: the file cannot be read.
        EmbeddingError, EngineError, StoreError: the store cannot be opened or written.
    """
    started = time.perf_counter()
    config = pinned(MemoryConfig.build(**{**settings, "url": str(target), "read_only": dry_run}))
    file = await asyncio.to_thread(BrunoMemoryFile.open, path)
    work = _Import(file, config, user_id, unnamed or config.default_user, progress)
    content = await asyncio.to_thread(work.check)
    if content.bad and not skip_bad:
        raise _refusal(file.path, content.bad)
    chosen = config.embedder if embedder is None else embedder
    made = await asyncio.to_thread(
        resolve_embedder,
        chosen,
        cache=config.embedding_cache,
        cache_bytes=config.embedding_cache_mb * 2**20,
    )
    store: Store | None = None
    try:
        store = await _opened(config, made, progress)
        if store is not None:
            await refuse_foreign(store.sessions, People(_begun(content.owners)))
        report = await work.store(store, content, dry_run=dry_run)
    finally:
        if store is not None:
            await close_whole(store)
    return replace(report, seconds=time.perf_counter() - started)


class _Import:
    """One file on its way into one store."""

    def __init__(
        self,
        file: BrunoMemoryFile,
        config: MemoryConfig,
        user_id: str | None,
        unnamed: str,
        progress: Progress | None,
    ) -> None:
        self._file = file
        self._config = config
        self._user_id = user_id
        self._unnamed = identifier("user", unnamed)
        self._progress = progress
        self._owners: dict[str, str] = {}

    def check(self) -> _Content:
        """Read all of the file, and store nothing. It blocks.

        Raises:
            BackendUnavailable: it cannot be read.
        """
        found = _Content(owners=self._owners)
        for row in self._rows(found.bad):
            kinds = found.counts.setdefault(row["user_id"], {})
            kinds[row["kind"]] = kinds.get(row["kind"], 0) + 1
            found.rows += 1
        for items in (self._file.sessions(), self._file.users()):
            found.bad.extend(one for one in items if isinstance(one, BadLine))
        return found

    async def store(self, store: Store | None, content: _Content, *, dry_run: bool) -> CopyReport:
        """Store what is not stored yet, read it again, and report."""
        report = CopyReport(
            str(self._file.path),
            masked(self._config.url),
            dry_run,
            content.rows,
            {user: content.counts[user] for user in sorted(content.counts)},
            conversations=len(content.owners),
        )
        sessions = await asyncio.to_thread(self._kept, self._file.sessions)
        users = await asyncio.to_thread(self._kept, self._file.users)
        report = replace(report, sessions=len(sessions), users=len(users))
        if store is None:
            return replace(report, copied=content.rows, embedded=content.rows)
        present, absent = await self._pass(store, "storing rows", content.rows, write=not dry_run)
        report = replace(report, present=present, copied=absent, embedded=absent)
        if dry_run:
            return report
        await save_people(store, sessions, users)
        verified, wrong = await self._pass(store, "verifying rows", content.rows, write=False)
        unlike = counted(wrong, "row is", "rows are")
        problems = [f"{unlike} not in the store as in the file"] if wrong else []
        problems += [
            f"left out, because it cannot be stored: {bad.where}: {bad.problem}"
            for bad in content.bad[:_SHOWN_BAD]
        ]
        if len(content.bad) > _SHOWN_BAD:
            problems.append(f"left out: {len(content.bad) - _SHOWN_BAD:,} more")
        return replace(report, verified=verified, problems=tuple(problems))

    async def _pass(self, store: Store, work: str, total: int, *, write: bool) -> tuple[int, int]:
        """Go through the file once: how many rows are stored as they are there, and how many not.

        Args:
            store: the store.
            work: what it is called.
            total: how many rows there are.
            write: store those that are not.
        """
        same = other = 0
        rows = self._rows([])
        while batch := await asyncio.to_thread(_next, rows, _ROWS_AT_ONCE):
            absent = await _absent(store, batch)
            if write and absent:
                assert store.writer is not None
                await store.writer.write(absent)
            same, other = same + len(batch) - len(absent), other + len(absent)
            if self._progress is not None:
                self._progress(work, same + other, total)
        return same, other

    def _rows(self, bad: list[BadLine]) -> Iterator[Row]:
        """A row of each message and memory that can be stored; the others go to ``bad``."""
        ttl, bounds = self._config.short_term_ttl, self._config.bounds
        for item in self._file.turns():
            row = _made(item, bad, lambda turn: self._message(turn))
            if row is not None:
                yield row
        for entry in self._file.memories():
            row = _made(entry, bad, lambda one: memory_row(one, ttl, bounds))
            if row is None or self._user_id not in (None, row["user_id"]):
                continue
            talk = row["conversation_id"]
            if talk is not None and self._owners.setdefault(talk, row["user_id"]) != row["user_id"]:
                problem = f"the conversation {talk!r} is another user's"
                bad.append(BadLine(None, f"memory_entries[{row['id']}].conversation_id", problem))
                continue
            yield row

    def _message(self, turn: Turn) -> Row | None:
        talk = identifier("conversation_id", turn.conversation_id)
        owner = self._owners.get(talk) or turn.user_id
        if owner is None:
            named = turn.message.metadata.get("user_id")
            owner = named if isinstance(named, str) and named.strip() else self._unnamed
        owner = identifier("user_id", owner)
        if self._user_id not in (None, owner):
            return None
        self._owners[talk] = owner
        return message_row(turn.message, owner, talk, self._config.bounds)

    def _kept(self, items: Callable[[], Iterator[T | BadLine]]) -> list[T]:
        kept = (one for one in items() if not isinstance(one, BadLine))
        return [one for one in kept if self._user_id in (None, getattr(one, "user_id", None))]


def _made(
    item: Turn | MemoryEntry | BadLine, bad: list[BadLine], make: Callable[[Any], Row | None]
) -> Row | None:
    if isinstance(item, BadLine):
        bad.append(item)
        return None
    try:
        return make(item)
    except InvalidInputError as error:
        problem = str(error).removeprefix(f"{error.field}: ").removesuffix(f". {error.fix}")
        id_ = item.message.id if isinstance(item, Turn) else item.id
        table = "messages" if isinstance(item, Turn) else "memory_entries"
        bad.append(BadLine(None, f"{table}[{id_}].{error.field.rpartition('.')[2]}", problem))
        return None


def _next(rows: Iterator[Row], count: int) -> list[Row]:
    batch = []
    for row in rows:
        batch.append(row)
        if len(batch) == count:
            break
    return batch


async def _absent(store: Store, rows: Sequence[Row]) -> list[Row]:
    """Those of these rows that are not stored, or otherwise."""
    ids = tuple({row["id"] for row in rows})
    found = await store.rows.read(EVERYONE, RowFilter(ids=ids), COLUMNS)
    stored = await asyncio.to_thread(lambda: {key_of(row): row for row in from_table(found)})

    def same(row: Row) -> bool:
        there = stored.get(key_of(row))
        if there is None:
            return False
        return all(row[name] == there[name] for name in _COMPARED)

    return [row for row in rows if not same(row)]


async def save_people(
    store: Store, sessions: Sequence[SessionContext], users: Sequence[UserContext]
) -> None:
    """Save sessions and profiles that the store does not have.

    Raises:
        StoreError: a session is another user's there.
        EngineError: they cannot be written.
    """
    for session in sessions:
        stored = await store.sessions.session(session.session_id)
        if stored is not None and stored.user_id != session.user_id:
            raise StoreError(
                f"the session {session.session_id!r} is another user's in the store",
                fix="Import into another store.",
            )
        if stored is None:
            await store.sessions.save_session(session)
    for user in users:
        if await store.sessions.user(user.user_id) is None:
            await store.sessions.save_user(user)


async def _opened(
    config: MemoryConfig, embedder: Embedder, progress: Progress | None
) -> Store | None:
    """The store; None for a dry run where there is none, which makes none."""
    deployment = deployment_of(config.url)
    if isinstance(deployment, TellsHowMade):
        there = not config.read_only or await deployment.made(config) is not None
        return await open_store(config, embedder, progress) if there else None
    try:
        return await open_store(config, embedder, progress)
    except NotAStoreError:
        if config.read_only:
            return None
        raise


def _begun(owners: dict[str, str]) -> list[Begun]:
    return [(talk, owner, 0) for talk, owner in owners.items()]


def _refusal(path: Path, bad: Sequence[BadLine]) -> InvalidInputError:
    shown = "; ".join(f"{one.where}: {one.problem}" for one in bad[:_SHOWN_BAD])
    more = f"; and {len(bad) - _SHOWN_BAD:,} more" if len(bad) > _SHOWN_BAD else ""
    return InvalidInputError(
        "source",
        f"{path} has {counted(len(bad), 'entry')} that cannot be stored, so nothing was: "
        f"{shown}{more}",
        fix="Mend them, or import the rest: skip_bad=True, or --skip-bad.",
    )
