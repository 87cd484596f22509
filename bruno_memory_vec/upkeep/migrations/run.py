"""Bring a store to another format, forward or back.

All rows go through the steps in one pass, into a copy inside the store's folder. The copy is read
again and compared; one of the newest format is opened and verified, too. Then it takes the store's
place in one switch (``store/migrating.py``). So whatever happens, the store has the old format or
the new one.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec._version import __version__
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import BackendUnavailable, InvalidInputError, StoreError
from bruno_memory_vec.indexers.aio import to_its_end
from bruno_memory_vec.indexers.private import make_private_folder, tighten
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions import damage
from bruno_memory_vec.store import manifest, migrating, moves
from bruno_memory_vec.store.deployment import TellsHowMade, analyser_for, deployment_of
from bruno_memory_vec.store.lock import WriterLock
from bruno_memory_vec.store.manifest import of_one
from bruno_memory_vec.store.migrating import STAGING, Unfinished
from bruno_memory_vec.store.record import footprint
from bruno_memory_vec.store.store import open_store
from bruno_memory_vec.upkeep.migrations import sessions, validation
from bruno_memory_vec.upkeep.migrations.formats import (
    CHECKED_FROM,
    FORMATS,
    NEWEST,
    in_format,
)
from bruno_memory_vec.upkeep.migrations.reading import Stored, rows_of, stored_in, write_rows
from bruno_memory_vec.upkeep.migrations.report import MigrationReport
from bruno_memory_vec.upkeep.migrations.steps import steps_between
from bruno_memory_vec.upkeep.migrations.steps.step import Step
from bruno_memory_vec.upkeep.migrations.validation import Digest, Sample
from bruno_memory_vec.upkeep.reembedding.report import Unembedding
from bruno_memory_vec.upkeep.verification import verify
from bruno_memory_vec.wording import counted, not_as_stored
from bruno_memory_vec.writing.projections import Progress

T = TypeVar("T")

_log = get_logger(__name__)

_KEYS = ["user_id", "kind", "id", "seq"]
# A copy may be larger than its store for a while, as its indexes are made anew.
_ROOM = 1.5
_AT_LEAST = 2**24
_NAMED = 5
_TOLERANCE = 1e-3


async def migrate(
    url: str | None = None,
    *,
    to: int | None = None,
    dry_run: bool = False,
    allow_loss: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> MigrationReport:
    """Bring a store that nobody writes to another format.

    What an earlier, interrupted migration has left is ended or taken back first.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        to: the format, as ``store.json`` numbers it. Default: the one that this version reads.
        dry_run: change nothing, and tell what would be done and what a step back would lose.
        allow_loss: go back although something is lost, or migrate although rows are damaged.
        resume: only end or take back what was interrupted.
        progress: called with the progress of long work.

    Raises:
        NotAStoreError: there is no store.
        StoreVersionError: a newer version wrote it.
        StoreLockedError: a process writes to it.
        StoreError: something would be lost, or the copy is not as the store; it is as it was.
        InvalidInputError: the store is not in a folder, or there is no such format.
        BackendUnavailable: there is too little space, or a file cannot be read or written.
        EngineError: the rows or the sessions cannot be read.
    """
    named = {} if url is None else {"url": str(url)}
    config = of_one(MemoryConfig.build(**named), "a migration")
    after = NEWEST if to is None else to
    if isinstance(after, bool) or after not in FORMATS:
        raise InvalidInputError(
            "to",
            f"there is no format {to!r}",
            fix=f"Name one from {min(FORMATS)} to {NEWEST}.",
        )
    folder = manifest.folder_of(config.url)
    if folder is None:
        return await _elsewhere(config, after)
    begun = time.monotonic()
    if dry_run:
        return await _dry(folder, after, begun, progress)
    await asyncio.to_thread(_exists, folder)
    lock = await _in_thread(WriterLock, folder)
    try:
        notes = await _in_thread(_settle_earlier, folder)
        stored = await asyncio.to_thread(stored_in, folder)
        if resume or stored.format == after:
            if not notes and resume:
                notes = ("nothing was interrupted",)
            other = None if resume else await asyncio.to_thread(_other_analysis, stored)
            if other is not None:
                lock.release()
                await _make_words_anew(config, stored, progress)
            report = _unmoved(stored, other)
            return _timed(report, begun, (*notes, *report.notes))
        work = _Migration(stored, after, allow_loss, progress)
        try:
            report = await work.run()
        except BaseException:
            if await asyncio.to_thread(migrating.unfinished, folder) is None:
                await _in_thread(migrating.roll_back, folder)
            raise
    finally:
        lock.release()
    _log.info("store_migrated", folder=str(folder), before=stored.format, after=after)
    return _timed(report, begun, (*notes, *report.notes))


def _timed(report: MigrationReport, begun: float, notes: tuple[str, ...]) -> MigrationReport:
    return replace(report, seconds=time.monotonic() - begun, notes=notes)


async def _in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Run in a thread what changes files, and wait for its end even if the caller is cancelled."""
    return await to_its_end(asyncio.to_thread(work, *arguments))


def _exists(folder: Path) -> None:
    if not (folder / manifest.FILE).is_file():
        raise manifest.no_store(folder)


def _settle_earlier(folder: Path) -> tuple[str, ...]:
    """End or take back what a killed migration has left; says what it did."""
    found = migrating.unfinished(folder)
    if found is not None:
        migrating.finish(folder, found)
        return (f"a migration to format {found.to} that had been interrupted was ended",)
    if migrating.roll_back(folder):
        return ("a migration that had been interrupted was taken back",)
    return ()


def _about(folder: Path) -> tuple[str, ...]:
    if (folder / manifest.NAME).exists():
        return (
            "its sessions are elsewhere, and have a version of their own; they stay as they are",
        )
    return ()


def _unmoved(stored: Stored, other: str | None) -> MigrationReport:
    steps = () if other is None else (other,)
    return MigrationReport(
        str(stored.folder), stored.format, stored.format, steps, notes=_about(stored.folder)
    )


def _other_analysis(stored: Stored) -> str | None:
    """What is to be done about terms that another version of the analysis has made, if any are."""
    if stored.format != NEWEST or stored.encrypted or (stored.folder / manifest.NAME).exists():
        return None
    made, terms = stored.manifest.get("analysis"), analyser_for(_language(stored)).name
    return None if made == terms else f"the lexical index anew, by {terms} in place of {made}"


def _language(stored: Stored) -> str:
    return str(stored.manifest.get("language") or "none")


async def _make_words_anew(config: MemoryConfig, stored: Stored, progress: Progress | None) -> None:
    """Open the store to write, which makes an index of another analysis anew from the rows."""
    made_by = Fingerprint.from_dict(stored.manifest["embedder"])
    own = config.model_copy(update={"read_only": False, "language": None})
    store = await open_store(own, Unembedding(made_by), progress)
    await store.close()


async def _elsewhere(config: MemoryConfig, after: int) -> MigrationReport:
    """A store that is not in a folder: it is of this version's format, or is refused clearly."""
    shown = masked(config.url)
    if after != NEWEST:
        raise InvalidInputError(
            "url",
            f"{shown} is no folder, and only a store in a folder can go to another format",
            fix=f"Copy it into a folder (bruno-memory-vec copy), and migrate that to {after}.",
        )
    deployment = deployment_of(config.url)
    if isinstance(deployment, TellsHowMade) and await deployment.made(config) is None:
        raise StoreError(f"there is no store in {shown}", fix="Name a store.")
    about = f"{shown} is no folder: an engine elsewhere has a version of its own, and is not moved"
    return MigrationReport(shown, NEWEST, NEWEST, notes=(about,))


async def _dry(
    folder: Path, after: int, begun: float, progress: Progress | None
) -> MigrationReport:
    found = await asyncio.to_thread(migrating.unfinished, folder)
    if found is not None:
        raise StoreError(
            f"a migration of {folder} to format {found.to} was interrupted as it ended",
            fix=f"End it with: bruno-memory-vec migrate {shlex.quote(str(folder))} --resume",
        )
    stored = await asyncio.to_thread(stored_in, folder)
    if stored.format == after:
        other = await asyncio.to_thread(_other_analysis, stored)
        return replace(_unmoved(stored, other), dry_run=True)
    work = _Migration(stored, after, allow_loss=True, progress=progress)
    return _timed(await work.look(), begun, work.notes())


class _Migration:
    """One migration of one store, whose lock is held.

    Raises:
        StoreError: the store is encrypted, and the other format cannot be.
    """

    def __init__(
        self, stored: Stored, after: int, allow_loss: bool, progress: Progress | None
    ) -> None:
        if stored.encrypted:
            raise StoreError(
                f"{stored.folder} is encrypted, and no format before {NEWEST} can be",
                fix="Decrypt it first (bruno-memory-vec decrypt), or stay at this format.",
            )
        self._stored = stored
        self._after = after
        self._allow_loss = allow_loss
        self._progress = progress
        self._steps = steps_between(stored.format, after)
        self._back = after < stored.format
        self._staging = stored.folder / STAGING
        self._sessions = stored.folder / sessions.FILE
        self._gone: frozenset[int] = frozenset()
        self._total = 0
        self._losses: Counter[str] = Counter()
        self._damaged: Counter[int] = Counter()
        self._samples: dict[int, Sample] = {}
        self._checked: list[str] = []

    def notes(self) -> tuple[str, ...]:
        """What is to be known beside the figures."""
        notes = list(_about(self._stored.folder))
        if self._damaged:
            notes.append(
                f"{not_as_stored(len(self._damaged))} (seq "
                f"{', '.join(map(str, sorted(self._damaged)[:_NAMED]))}), and go as they are"
            )
        if moves.begun_name(self._stored.folder) is not None:
            notes.append("a re-embedding that had begun is given up")
        if self._after != NEWEST:
            notes.append(
                "the lexical index is left out; the version that reads this format makes it anew"
            )
        return tuple(notes)

    async def look(self) -> MigrationReport:
        """Read the rows once: what is lost, what is damaged, and which rows are asked for."""
        await self._survey()
        return self._report(dry_run=True)

    async def run(self) -> MigrationReport:
        """Migrate it."""
        await _in_thread(self._check_sessions)
        await asyncio.to_thread(self._check_room)
        await self._survey()
        self._refuse_losses()
        await _in_thread(make_private_folder, self._staging)
        digest, asked = await self._copy()
        if self._sessions.exists():
            await _in_thread(
                sessions.convert,
                self._sessions,
                self._staging / sessions.FILE,
                FORMATS[self._after].sessions,
                digest.seqs,
            )
        await self._compare(digest, asked)
        if self._after == NEWEST:
            await self._open_copy(asked)
        await _in_thread(tighten, self._staging)
        await _in_thread(moves.settle, self._staging, set())
        await _in_thread(self._switch)
        return self._report(dry_run=False)

    def _report(self, *, dry_run: bool) -> MigrationReport:
        stored, after = self._stored, self._after
        numbers = range(stored.format + 1, after + 1)
        about = [f"{number}: adds {FORMATS[number].about}" for number in numbers]
        if self._back:
            numbers = range(stored.format, after, -1)
            about = [f"{number - 1}: without {FORMATS[number].about}" for number in numbers]
        return MigrationReport(
            str(stored.folder),
            stored.format,
            after,
            tuple(about),
            self._total - len(self._gone),
            {what: count for what, count in self._losses.items() if count},
            tuple(self._checked),
            self.notes(),
            self._needed() if dry_run else 0,
            dry_run,
        )

    def _needed(self) -> int:
        held = footprint(self._stored.rows).bytes
        if self._sessions.exists():
            held += self._sessions.stat().st_size
        return int(held * _ROOM) + _AT_LEAST

    def _check_room(self) -> None:
        needed, free = self._needed(), shutil.disk_usage(self._stored.folder).free
        if free < needed:
            raise BackendUnavailable(
                "folder",
                "migrate the store",
                f"it takes about {needed / 2**20:,.0f} MiB for a while, and "
                f"{free / 2**20:,.0f} MiB are free",
                fix=f"Make room where {self._stored.folder} is.",
            )

    def _check_sessions(self) -> None:
        problem = damage.problem_of(self._sessions)
        schema = sessions.schema_in(self._sessions) if problem is None else 0
        if problem is None and schema > FORMATS[NEWEST].sessions:
            problem = f"it has the schema {schema}, which this version does not know"
        if problem is not None:
            raise StoreError(
                f"{self._sessions} cannot be migrated: {problem}",
                fix="Open the store once with the version that wrote it, which mends it.",
            )

    async def _survey(self) -> None:
        stored = self._stored
        if self._back:
            self._losses.update(
                await asyncio.to_thread(
                    sessions.losses, self._sessions, FORMATS[self._after].sessions
                )
            )
            keys = [rows.select(_KEYS) async for rows in rows_of(stored)]
            for step in self._steps:
                self._gone |= await asyncio.to_thread(step.left_out, keys)
            self._losses["rows of messages that are in other conversations, too"] = len(self._gone)
        async for rows in rows_of(stored):
            await asyncio.to_thread(self._look_at, rows)
            self._total += rows.num_rows
            self._tell("looking at the rows", self._total, self._total)

    def _look_at(self, rows: pa.Table) -> None:
        if self._stored.format >= CHECKED_FROM:
            self._damaged += validation.damaged(rows, self._stored.format)
        validation.chosen(self._samples, self._staying(rows))
        if self._back:
            self._through_the_steps(self._staying(rows), self._losses)

    def _staying(self, rows: pa.Table) -> pa.Table:
        if not self._gone:
            return rows
        return rows.filter(pc.invert(pc.is_in(rows.column("seq"), pa.array(sorted(self._gone)))))

    def _refuse_losses(self) -> None:
        if self._allow_loss:
            return
        lost = [f"{what} ({count:,})" for what, count in self._losses.items() if count]
        again = "Add --allow-loss (allow_loss=True) to go on all the same"
        if lost:
            raise StoreError(
                f"format {self._after} cannot hold all: {'; '.join(lost)}",
                fix=f"Take a snapshot first. {again}.",
            )
        if self._damaged:
            named = ", ".join(map(str, sorted(self._damaged)[:_NAMED]))
            raise StoreError(
                f"{not_as_stored(len(self._damaged))}: seq {named}",
                fix="Repair the store with the version that wrote it (bruno-memory-vec doctor "
                f"--repair). {again}; the rows go as they are.",
            )

    def _through_the_steps(self, rows: pa.Table, losses: Counter[str] | None = None) -> pa.Table:
        number = self._stored.format
        for step in self._steps:
            if self._back and losses is not None:
                losses.update(step.losses(rows))
            number += -1 if self._back else 1
            made = _done(step, rows, back=self._back)
            validation.check_step(step, rows, made)
            rows = in_format(made, number)
            validation.check_format(rows, number)
        return rows

    async def _copy(self) -> tuple[Digest, list[Sample]]:
        """Write the rows of the other format, and ask the samples of the rows as they were."""
        digest, asked, done = Digest(), [one.again() for one in self._samples.values()], 0

        def made_of(rows: pa.Table) -> pa.Table:
            kept = self._staying(rows)
            validation.ask(asked, kept)
            made = self._through_the_steps(kept)
            digest.take(made, self._after)
            return made

        async def made() -> AsyncIterator[pa.Table]:
            nonlocal done
            async for rows in rows_of(self._stored):
                yield await asyncio.to_thread(made_of, rows)
                done += rows.num_rows
                self._tell("copying the rows", done, self._total)

        target = self._staging / manifest.ROWS
        await write_rows(target, made(), self._after, self._stored.dimension)
        return digest, asked

    async def _compare(self, digest: Digest, asked: list[Sample]) -> None:
        """Read the copy again: the same rows, and the same hits."""
        if digest.rows != self._total - len(self._gone):
            raise _not_alike(
                f"{counted(digest.rows, 'row was', 'rows were')} copied, of {self._total:,}"
            )
        copy = Stored(
            self._staging, {}, self._after, self._staging / manifest.ROWS, self._stored.dimension
        )
        found, again, done = Digest(), [one.again() for one in asked], 0

        def take(rows: pa.Table) -> None:
            found.take(rows, self._after)
            validation.ask(again, rows)

        async for rows in rows_of(copy):
            await asyncio.to_thread(take, rows)
            done += rows.num_rows
            self._tell("reading them again", done, self._total)
        if not digest.same(found):
            raise _not_alike("the copy has other rows than were written")
        for one, other in zip(asked, again, strict=True):
            if not one.same_hits(other):
                raise _not_alike(f"asked for the row {one.seq}, it finds others than the store")
        self._checked.append(f"{counted(found.rows, 'row')}, each by its checksum")
        self._checked.append(f"{counted(len(asked), 'sample recall')}, by vector and by words")

    async def _open_copy(self, asked: list[Sample]) -> None:
        """Open the copy as a store, which makes its indexes, and verify it."""
        await _in_thread(self._write_manifest)
        made_by = Fingerprint.from_dict(self._stored.manifest["embedder"])
        config = MemoryConfig(url=str(self._staging))
        store = await open_store(config, Unembedding(made_by), self._progress)
        try:
            problems = await verify(store, self._progress)
            told = "; ".join(f"{one.part}: {one.found}" for one in problems[:_NAMED])
            if problems and not self._allow_loss:
                raise _not_alike(f"the copy is not sound: {told}")
            for one in asked:
                hits = await store.rows.search(
                    one.vector.astype("float32"), Scope.user(one.user), RowFilter(), 1
                )
                own = -next((score for score, seq in one.nearest if seq == one.seq), 0.0)
                if own > _TOLERANCE and (not len(hits) or hits.score[0] < own - _TOLERANCE):
                    raise _not_alike(f"its index does not find the row {one.seq}")
        finally:
            await store.close()
        self._checked.append("the copy as a store: turns, owners, words, sessions, ledger")

    def _write_manifest(self) -> None:
        text = json.dumps(self._final(manifest.ROWS), indent=2)
        manifest.write_whole(self._staging / manifest.FILE, text)

    def _final(self, rows: str) -> dict[str, Any]:
        """``store.json`` of the new store."""
        said = {**self._stored.manifest, "schema": self._after, "written_by": __version__}
        said["rows"] = rows
        if not FORMATS[self._after].names_rows:
            del said["rows"]
        # What made the terms of an index that is made anew is noted by who makes it.
        said["analysis"] = None
        return said

    def _switch(self) -> None:
        folder, staging = self._stored.folder, self._staging
        self._let_go_of_sessions()
        name = manifest.ROWS
        if FORMATS[self._after].names_rows:
            name = moves.unused_name(folder)
        final = self._final(name)
        if self._after == NEWEST:
            made = manifest.read(staging)
            assert made is not None
            final["analysis"] = made.analysis
        moved = [(f"{STAGING}/{manifest.ROWS}", name)]
        for part in ("lexical", sessions.FILE, f"{sessions.FILE}{damage.CHECKSUM}"):
            at_home = part == "lexical" or self._sessions.exists()
            if at_home and (staging / part).exists():
                moved.append((f"{STAGING}/{part}", part))
        targets = {target for _, target in moved}
        derived = ["lexical", "users", moves.FILE]
        if self._sessions.exists():
            beside = ("-wal", "-shm", damage.CHECKSUM)
            derived += [f"{sessions.FILE}{end}" for end in beside]
        old = [path.name for path in (folder / manifest.ROWS, *folder.glob(f"{manifest.ROWS}-*"))]
        switch = Unfinished(
            final,
            [one for one in derived if one not in targets],
            moved,
            [one for one in old if one != name and manifest.is_name_of_rows(one)],
        )
        migrating.switch(folder, switch)

    def _let_go_of_sessions(self) -> None:
        """Bring the log of the old sessions into their file, so that none of it is left over."""
        if not self._sessions.exists():
            return
        try:
            with closing(sqlite3.connect(self._sessions)) as database:
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StoreError(
                f"{self._sessions} cannot be written: {error}",
                fix="Close what reads it, and migrate again.",
                cause=error,
            ) from error

    def _tell(self, work: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(work, done, total)


def _done(step: Step, rows: pa.Table, *, back: bool) -> pa.Table:
    return step.backward(rows) if back else step.forward(rows)


def _not_alike(what: str) -> StoreError:
    return StoreError(
        f"the migration was given up: {what}",
        fix="The store is as it was. Run: bruno-memory-vec doctor, with the version that wrote it.",
    )


def listing(folder: Path | None) -> list[dict[str, Any]]:
    """The formats that are known, and which one a store has.

    Raises:
        NotAStoreError: there is no store.
        StoreVersionError: a newer version wrote it.
    """
    found = None if folder is None else stored_in(folder).format
    return [
        {
            "format": one.number,
            "about": one.about,
            "sessions": one.sessions,
            "store": one.number == found,
            "read": one.number == NEWEST,
        }
        for one in FORMATS.values()
    ]
