"""An anonymised copy of a store: every row, session, profile and title, in a new store.

The store is read twice: the first time for the names that are in it, the second time to replace.
The copy is made beside its place and gets its name when it is whole, so a copy that was killed is
no store that somebody might hand on, and the next one begins anew.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.embedders.run import embed_texts
from bruno_memory_vec.errors import InvalidInputError, ReadOnlyError, StoreError
from bruno_memory_vec.indexers.checked import readable, unchecked
from bruno_memory_vec.indexers.checksum import changed
from bruno_memory_vec.indexers.durable import sync_folder
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, row_schema
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.privacy.anonymise.anonymiser import Anonymiser
from bruno_memory_vec.privacy.anonymise.report import AnonymiseReport
from bruno_memory_vec.rows.models import from_table, to_table
from bruno_memory_vec.store.manifest import folder_of, pinned
from bruno_memory_vec.store.store import Store, close_whole, open_store
from bruno_memory_vec.upkeep.copying.comparison import Outline, outline
from bruno_memory_vec.upkeep.copying.moving import ROWS_AT_ONCE
from bruno_memory_vec.upkeep.copying.people import People, begin, people_of
from bruno_memory_vec.upkeep.copying.report import CopyReport
from bruno_memory_vec.upkeep.copying.run import opened_source, reading_of
from bruno_memory_vec.wording import counted, not_as_stored
from bruno_memory_vec.writing.projections import Progress

if TYPE_CHECKING:
    from bruno_core.interfaces.embedding import EmbeddingInterface

#: What the folder of a copy is called until it is whole, behind a dot and its name.
UNFINISHED: Final = "anonymising"


@dataclass(frozen=True, slots=True)
class AnonymisedCopy(CopyReport):
    """What an anonymised copy did. Users have their new ids in it.

    Attributes:
        replaced: what was replaced, in counts.
    """

    replaced: AnonymiseReport = field(default_factory=AnonymiseReport)

    def to_dict(self) -> dict[str, Any]:
        """The fields of the copy, and those of what was replaced under "anonymised"."""
        return {**CopyReport.to_dict(self), "anonymised": self.replaced.to_dict()}

    def __str__(self) -> str:
        """A few lines for people."""
        return f"{CopyReport.__str__(self)}\n{self.replaced}"


async def anonymised_copy_of(
    source: str | Path,
    target: str | Path,
    anonymiser: Anonymiser,
    *,
    embedder: str | Embedder | EmbeddingInterface | None = None,
    user_id: str | None = None,
    source_sessions: str | None = None,
    source_key: Any = None,
    progress: Progress | None = None,
    **settings: Any,
) -> AnonymisedCopy:
    """Copy a store that is not open here into a new one, as :func:`anonymised_copy`.

    Args:
        source: the store to copy, opened read-only where its engine can.
        source_key: the key of an encrypted source; default: that of the settings.
        source_sessions: where it keeps its sessions; default: where such a store does.
        target, anonymiser, embedder, user_id, progress, settings: as there.

    Raises: as there, and NotAStoreError where the source is none.
    """
    reading = pinned(reading_of(source, source_sessions, source_key, settings))
    writing = MemoryConfig.build(**{**settings, "url": str(target)})
    async with opened_source(reading, embedder, writing, progress) as (store, _):
        return await anonymised_copy(
            store,
            target,
            anonymiser,
            embedder=embedder,
            user_id=user_id,
            progress=progress,
            **settings,
        )


async def anonymised_copy(
    source: Store,
    target: str | Path | Store,
    anonymiser: Anonymiser,
    *,
    embedder: str | Embedder | EmbeddingInterface | None = None,
    user_id: str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> AnonymisedCopy:
    """Copy an open store into a new one, with everything anonymised; vectors are made anew.

    Args:
        source: the open store. What is written to it after the first reading is not copied.
        target: a folder or URL without a store in it, or an open store without rows.
        anonymiser: replaces; it is of this copy alone.
        embedder: makes the vectors; default: the setting of the target.
        user_id: copy only this user.
        progress: called with the progress of long work.
        settings: any other field of :class:`~bruno_memory_vec.MemoryConfig`, for the target.

    Raises:
        InvalidInputError: a setting is not usable.
        StoreError: the target has something in it.
        FingerprintError: the target's vectors are another embedder's.
        EmbeddingError, EngineError: the copy failed. A folder that it was to make is not there.
    """
    if isinstance(target, Store):
        if settings or embedder is not None:
            raise InvalidInputError(
                next(iter(settings), "embedder"),
                "the target is open",
                fix="Give it where that is opened.",
            )
        return await _Copy(source, anonymiser, user_id, progress).into(target, target.config.url)
    if not isinstance(target, (str, os.PathLike)):
        raise InvalidInputError(
            "target", f"is a {type(target).__name__}", fix="Give a folder, a URL or an open memory."
        )
    config = pinned(MemoryConfig.build(**{**settings, "url": str(target), "read_only": False}))
    made = await asyncio.to_thread(
        resolve_embedder,
        config.embedder if embedder is None else embedder,
        cache=None,
    )
    folder = folder_of(config.url)
    if folder is None:
        return await _Copy(source, anonymiser, user_id, progress).open(config, made, config.url)
    await asyncio.to_thread(_refuse_used, folder, folder_of(source.config.url))
    beside = folder.with_name(f".{folder.name}.{UNFINISHED}")
    await asyncio.to_thread(shutil.rmtree, beside, True)
    try:
        work = _Copy(source, anonymiser, user_id, progress)
        report = await work.open(config.model_copy(update={"url": str(beside)}), made, str(folder))
        await asyncio.to_thread(_put_in_place, beside, folder)
    finally:
        await asyncio.to_thread(shutil.rmtree, beside, True)
    return report


class _Copy:
    """One call."""

    def __init__(
        self,
        source: Store,
        anonymiser: Anonymiser,
        user_id: str | None,
        progress: Progress | None,
    ) -> None:
        self._source = source
        self._anonymiser = anonymiser
        self._user_id = user_id
        self._scope = Scope.all_users() if user_id is None else Scope.user(user_id)
        self._progress = progress
        self._started = time.perf_counter()

    async def open(self, config: MemoryConfig, embedder: Embedder, named: str) -> AnonymisedCopy:
        """Copy into the store that a config names."""
        store = await open_store(config, embedder, self._progress)
        try:
            return await self.into(store, named)
        finally:
            await close_whole(store)

    async def into(self, target: Store, named: str) -> AnonymisedCopy:
        """Copy into an open store."""
        if target.writer is None:
            raise ReadOnlyError(
                "the target was opened with read_only=True", fix="Open it without, to copy to it."
            )
        if await target.rows.count(EVERYONE, RowFilter()):
            raise StoreError(
                f"{masked(named)} has rows already, and an anonymised copy goes into a new store",
                fix="Name another target.",
            )
        source = self._source
        if source.writer is not None:
            await source.writer.flush_uses()
        rows = await outline(source.rows, self._scope, embedded=True)
        users = list(dict.fromkeys(user for user, _ in rows.users))
        people = await people_of(source.sessions, rows.conversations, users, self._user_id)
        await self._learn(rows, people)
        await begin(
            target,
            [
                (
                    self._anonymiser.conversation_id(talk) or "",
                    self._anonymiser.user_id(owner),
                    next_turn,
                )
                for talk, owner, next_turn in people.conversations
            ],
        )
        copied = await self._move(rows, target)
        await self._carry(people, target)
        sound, damaged = await self._verify(target)
        missing = copied - sound - damaged
        problems = []
        if missing:
            problems.append(f"{counted(missing, 'row is', 'rows are')} missing in the target")
        if damaged:
            problems.append(f"in the target {not_as_stored(damaged)}")
        by_user: dict[str, Counter[str]] = {}
        for (user, kind), number in sorted(rows.users.items()):
            by_user.setdefault(self._anonymiser.user_id(user), Counter())[kind] += number
        return AnonymisedCopy(
            masked(source.config.url),
            masked(named),
            False,
            len(rows),
            {user: dict(kinds) for user, kinds in by_user.items()},
            copied=copied,
            embedded=copied,
            verified=sound,
            conversations=len(people.conversations),
            sessions=len(people.sessions),
            users=people.profiles,
            problems=tuple(problems),
            seconds=time.perf_counter() - self._started,
            replaced=self._anonymiser.report,
        )

    async def _learn(self, rows: Outline, people: People) -> None:
        """Read everything once, for the names in it."""
        sessions = self._source.sessions
        for name in people.users:
            user = await sessions.user(name)
            if user is not None:
                self._anonymiser.learn_user(user)
            for note in await sessions.notes(name):
                self._anonymiser.learn_title(note.title)
        async for table, done in self._pages(rows, "reading names"):
            await asyncio.to_thread(_learn, self._anonymiser, table)
            self._tell("reading names", done, len(rows))

    async def _move(self, rows: Outline, target: Store) -> int:
        assert target.writer is not None
        copied = 0
        async for table, done in self._pages(rows, "copying rows"):
            made = await asyncio.to_thread(_anonymised, self._anonymiser, table)
            texts = [row["content"] for row in made]
            vectors = await embed_texts(
                target.embedder, texts, "document", target.config.embed_timeout
            )
            await target.writer.write_copies(await asyncio.to_thread(_table, made, vectors))
            copied += len(made)
            self._tell("copying rows", done, len(rows))
        return copied

    async def _verify(self, target: Store) -> tuple[int, int]:
        """Read every row again: how many fit their checksums, and how many do not."""
        rows = damaged = 0
        async for batch in unchecked(target.rows).after(-1, LOADED, EVERYONE):
            table = readable(pa.Table.from_batches([batch]))
            damaged += int((await asyncio.to_thread(changed, table)).sum())
            rows += table.num_rows
        return rows - damaged, damaged

    async def _carry(self, people: People, target: Store) -> None:
        """Sessions, profiles, current conversations and notes."""
        mine, theirs, change = self._source.sessions, target.sessions, self._anonymiser
        for session_id in people.sessions:
            session = await mine.session(session_id)
            if session is not None:
                await theirs.save_session(change.session(session))
        for name in people.users:
            user = await mine.user(name)
            if user is not None:
                await theirs.save_user(change.user(user))
            current = change.conversation_id(await mine.current_conversation(name))
            if current is not None:
                await theirs.set_current_conversation(change.user_id(name), current)
            for note in await mine.notes(name):
                await theirs.save_note(change.note(note))
        owners = {talk: owner for talk, owner, _ in people.conversations}
        touched = await mine.touched(list(owners))
        if touched:
            await theirs.touch(
                {
                    change.conversation_id(talk) or "": change.moment(at, owners[talk])
                    for talk, at in touched.items()
                }
            )

    async def _pages(self, rows: Outline, work: str) -> AsyncIterator[tuple[pa.Table, int]]:
        """The rows in their order, some at a time, with how many there were."""
        self._tell(work, 0, len(rows))
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows.seq[start : start + ROWS_AT_ONCE].tolist()
            found = await unchecked(self._source.rows).read(
                EVERYONE, RowFilter(), COLUMNS, seqs=part
            )
            yield found.sort_by("seq"), start + len(part)

    def _tell(self, work: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(work, done, total)


def _learn(anonymiser: Anonymiser, table: pa.Table) -> None:
    for row in from_table(table):
        anonymiser.learn_row(row)


def _anonymised(anonymiser: Anonymiser, table: pa.Table) -> list[dict[str, Any]]:
    return [anonymiser.row(row) for row in from_table(table)]


def _table(rows: Sequence[dict[str, Any]], vectors: NDArray[np.float32]) -> pa.Table:
    return to_table(rows, vectors, row_schema(vectors.shape[1]))


def _refuse_used(folder: Path, source: Path | None) -> None:
    if source is not None and folder.resolve() == source.resolve():
        raise InvalidInputError(
            "target", f"{folder} is the source itself", fix="Name another folder."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(
            f"{folder} is there already, and an anonymised copy goes into a new folder",
            fix="Name a folder that is not there, or an empty one.",
        )


def _put_in_place(beside: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # An empty folder of that name is replaced.
    os.rename(beside, folder)
    sync_folder(folder.parent)
