"""A point of a backup, copied into a store of any kind."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.store.deployment import Made
from bruno_memory_vec.store.manifest import pinned
from bruno_memory_vec.upkeep.backup.keys import opening
from bruno_memory_vec.upkeep.backup.places import repository
from bruno_memory_vec.upkeep.backup.points import read_points
from bruno_memory_vec.upkeep.backup.sealing import Sealing
from bruno_memory_vec.upkeep.backup.source import source_of
from bruno_memory_vec.upkeep.copying.report import CopyReport
from bruno_memory_vec.upkeep.copying.run import Others, copy_from
from bruno_memory_vec.writing.projections import Progress

if TYPE_CHECKING:
    from bruno_core.interfaces.embedding import EmbeddingInterface

    from bruno_memory_vec.embedders.protocol import Embedder


async def restore_backup(
    source: str | Path,
    to: str | Path,
    *,
    at: datetime | int | None = None,
    embedder: str | Embedder | EmbeddingInterface | None = None,
    user_id: str | None = None,
    others: Others = "refuse",
    dry_run: bool = False,
    sealing: Sealing | None = None,
    source_key: Any = None,
    progress: Progress | None = None,
    **settings: Any,
) -> CopyReport:
    """Make a store of any kind what it was at a point: rows, sessions, profiles, owners, notes.

    Afterwards every row is read from both and compared by its checksum. A restore that was killed
    is continued by the same call.

    Args:
        source: the backup.
        to: the store, a folder or any URL; it is made if there is none, and is not open here.
        at: a time: the newest point that is not later (naive is UTC). Or a point's number. None:
            the newest one.
        embedder: makes the vectors anew, where the store is not to have those of the backup.
        user_id: restore only this user.
        others: of rows of the store that the point does not have: "refuse" the restore, "keep" or
            "remove" them. With ``user_id`` only that user's count.
        dry_run: say what would be restored; write nothing, and make no store.
        sealing: what the pieces of the backup passed; None for what the backup says.
        source_key: the key of the encrypted store that was backed up; None for ``key`` of the
            settings, or that of the environment.
        progress: called with the progress of long work.
        settings: any other field of :class:`~bruno_memory_vec.MemoryConfig`, for the store.

    Raises:
        NotAStoreError: there is no backup.
        NotFoundError: it has no such point.
        FingerprintError: the store's vectors are another embedder's, and ``embedder`` is not it.
        StoreError: the store has other rows, or is locked; or the backup's key is not given.
        WrongKeyError: the key is another one.
        ForeignUserError: a conversation is another user's in the store.
        EngineError: a piece of the point is missing or damaged, or an engine failed.
        InvalidInputError: an argument is not usable.
    """
    writing = pinned(MemoryConfig.build(**{**settings, "url": str(to), "read_only": dry_run}))
    async with repository("source", source) as place:
        point = read_points(place).at(at)
        if sealing is None:
            given = settings.get("key") if source_key is None else source_key
            sealing = await asyncio.to_thread(opening, place, point, given)
        async with source_of(place, sealing, point) as held:
            report = await copy_from(
                held,
                writing,
                Made(point.fingerprint, point.language),
                embedder=embedder,
                user_id=user_id,
                others=others,
                dry_run=dry_run,
                progress=progress,
            )
            named = f"{place.path}, point {point.number} of {point.at.isoformat()}"
            return replace(report, source=named)
