"""``open_memory`` and ``VectorMemory``.

A method checks its arguments and its caller, and calls one subpackage.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NoReturn
from uuid import UUID

from bruno_core.interfaces.memory import MemoryInterface
from bruno_core.models.config import MemoryConfig as BrunoMemoryConfig
from bruno_core.models.context import ConversationContext, SessionContext, UserContext
from bruno_core.models.memory import MemoryEntry, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.access import ALL_USERS, SPACE, Access, AllUsers, Caller, Role, about_talk
from bruno_memory_vec.acts import Action, acts
from bruno_memory_vec.analytics.manager import Analytics
from bruno_memory_vec.compression.background import BackgroundCompression
from bruno_memory_vec.compression.compressor import CompressionLocks, Compressor
from bruno_memory_vec.compression.report import CompressionReport, RestoreReport
from bruno_memory_vec.compression_policy import CompressionPolicy, policy_of
from bruno_memory_vec.config import MemoryConfig, one_config
from bruno_memory_vec.context import BuiltContext, Strategy
from bruno_memory_vec.context.builder import ContextRequest, build
from bruno_memory_vec.context.strategies import strategy_named
from bruno_memory_vec.conversations import listing, reach
from bruno_memory_vec.conversations import timeline as timelines
from bruno_memory_vec.conversations.context import ContextRecall, to_store
from bruno_memory_vec.conversations.conversations import Conversations
from bruno_memory_vec.conversations.following import Follower
from bruno_memory_vec.conversations.listing import (
    ConversationSummary,
    ConversationTurn,
    Page,
    UserSummary,
)
from bruno_memory_vec.conversations.manager import ConversationManager
from bruno_memory_vec.conversations.overview import with_titles
from bruno_memory_vec.conversations.timeline import Order
from bruno_memory_vec.errors import (
    ForeignUserError,
    InvalidInputError,
    NotFoundError,
    ReadOnlyError,
    StoreError,
)
from bruno_memory_vec.events import Events
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, MEMORY, MESSAGE, ORIGINS, micros
from bruno_memory_vec.knowledge.extraction.background import BackgroundExtraction
from bruno_memory_vec.knowledge.extraction.facts import FactManager
from bruno_memory_vec.knowledge.kinds.conversational import ConversationalMemory
from bruno_memory_vec.knowledge.kinds.episodic import EpisodicMemory
from bruno_memory_vec.knowledge.kinds.procedural import ProceduralMemory
from bruno_memory_vec.knowledge.kinds.semantic import SemanticMemory
from bruno_memory_vec.knowledge.priorities import marks
from bruno_memory_vec.knowledge.priorities.ranking import (
    PrunePolicy,
    PruneReport,
    RowPriority,
    list_priorities,
    prune,
)
from bruno_memory_vec.knowledge.priorities.score import PriorityWeights
from bruno_memory_vec.knowledge.turns import Turns
from bruno_memory_vec.knowledge.users.learning import Learning
from bruno_memory_vec.knowledge.users.manager import UserManager
from bruno_memory_vec.llm import checked_llm
from bruno_memory_vec.observability.recorder import OperationFigures
from bruno_memory_vec.observing import observer_of
from bruno_memory_vec.privacy.audit.reading import (
    AuditFilter,
    AuditReport,
    entries_in,
    heads_in,
    verify_trails,
)
from bruno_memory_vec.privacy.erasure import keeping
from bruno_memory_vec.privacy.erasure.forgetting import Forgets, finish_at_opening
from bruno_memory_vec.privacy.erasure.forgetting import finish as finish_erasures
from bruno_memory_vec.privacy.erasure.forgetting import forget_user as forget_in
from bruno_memory_vec.privacy.erasure.receipt import (
    ErasureReceipt,
    Verdict,
    key_name,
    receipt_of,
)
from bruno_memory_vec.privacy.erasure.receipt import verify as verify_with
from bruno_memory_vec.privacy.erasure.remains import RemainsReport, traces_in, traces_of
from bruno_memory_vec.privacy.erasure.remains import remains as look_for_remains
from bruno_memory_vec.prompts.token_bound import GivenCounter, counter
from bruno_memory_vec.recall import RecallRequest, strategies
from bruno_memory_vec.recall.hits import Hit, Hits, records
from bruno_memory_vec.recall.profiles import load_profile
from bruno_memory_vec.recall.request import row_filter
from bruno_memory_vec.recall.strategies import RecallStrategy
from bruno_memory_vec.retention_policy import retention_of
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.method_names import is_known_elsewhere, no_such_method
from bruno_memory_vec.rows.models import (
    Row,
    episode,
    memory_row,
    message_row,
    read_all,
    read_one,
    rows_of,
    to_memory,
    to_message,
)
from bruno_memory_vec.rows.weight import in_thread_if, is_heavy
from bruno_memory_vec.sessions.owners import Owners, foreign_conversation
from bruno_memory_vec.sessions.protocol import Listens
from bruno_memory_vec.store.handle import Handle
from bruno_memory_vec.store.manifest import pinned
from bruno_memory_vec.store.store import LazyStore
from bruno_memory_vec.store.trail.entry import AUDITED, AuditEntry, Chain
from bruno_memory_vec.store.trail.trail import AuditTrail, chain_of, trail_folder
from bruno_memory_vec.upkeep.backup.making import backup_of
from bruno_memory_vec.upkeep.backup.report import BackupReport
from bruno_memory_vec.upkeep.copying.report import CopyReport
from bruno_memory_vec.upkeep.copying.run import Others, copy_of
from bruno_memory_vec.upkeep.exporting.importing import import_export_into
from bruno_memory_vec.upkeep.exporting.report import ExportReport
from bruno_memory_vec.upkeep.exporting.run import ExportKind, export_of, wanted
from bruno_memory_vec.upkeep.health import health_of
from bruno_memory_vec.upkeep.intake.reading import How
from bruno_memory_vec.upkeep.intake.report import IngestReport
from bruno_memory_vec.upkeep.intake.run import ingest_into
from bruno_memory_vec.upkeep.intake.sources import Given, opened
from bruno_memory_vec.upkeep.maintenance import maintain_store
from bruno_memory_vec.upkeep.reembedding.report import ReembedReport
from bruno_memory_vec.upkeep.reembedding.run import reembed_store
from bruno_memory_vec.upkeep.retention import RetentionReport
from bruno_memory_vec.upkeep.retention import apply_retention as retain
from bruno_memory_vec.upkeep.snapshots import SnapshotReport, snapshot_of
from bruno_memory_vec.writing.projections.events import EventsProjection
from bruno_memory_vec.writing.projections.guarded import checked
from bruno_memory_vec.writing.throttle import Throttle

if TYPE_CHECKING:
    from bruno_core.events import EventBus
    from bruno_core.interfaces.embedding import EmbeddingInterface
    from bruno_core.interfaces.llm import LLMInterface

    from bruno_memory_vec.embedders.protocol import Embedder
    from bruno_memory_vec.portability.times import DayOrder
    from bruno_memory_vec.portability.writers import ExportFormat
    from bruno_memory_vec.privacy.anonymise.anonymiser import Anonymiser
    from bruno_memory_vec.rankers import Profile
    from bruno_memory_vec.upkeep.maintenance import MaintenanceReport
    from bruno_memory_vec.writing.projections import Progress, Projection

__all__ = ["ALL_USERS", "AllUsers", "VectorMemory", "open_memory"]

Kind = Literal["message", "memory"]
Origin = Literal["user", "assistant", "system", "tool", "given", "extracted", "summary", "imported"]

_NOT_SYSTEM: Final = tuple(role.value for role in MessageRole if role is not MessageRole.SYSTEM)


class VectorMemory(MemoryInterface):
    """An assistant's memory, in a folder or on servers, with semantic and lexical search.

    It connects at first use, so it can be passed to ``BaseAssistant`` as it is;
    :func:`bruno_memory_vec.open_memory` connects at once. One object serves any number of tasks
    of one event loop.

    Args:
        url: a folder, ``memory://``, or the URL of a server. Default: ``BRUNO_MEMORY_URL``, else
            that of ``bruno-memory.toml``, else ``./bruno-memory``. ``urls=[...]`` in its place: the
            first one that can be opened.
        embedder: a name, an :class:`~bruno_memory_vec.Embedder`, or a bruno-core
            ``EmbeddingInterface``. Default: "static", whose weights are in the package.
        profile: the recall profile used where a call names none.
        read_only: read beside a process that writes.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        progress: called with the progress of long work while opening.
        projections: further projections of the rows, see ``bruno_memory_vec.writing.projections``.
        llm: a model, for what asks one: extraction, summaries, titles. Recall needs none.
        events: the bus of bruno-core that is told what happens (:mod:`bruno_memory_vec.events`).
        settings: any other field of :class:`~bruno_memory_vec.MemoryConfig`.

    Raises:
        InvalidInputError: a setting is not usable.
    """

    #: An observed operation of it is named by its method alone.
    _part_of_memory: ClassVar = ""

    def __init__(
        self,
        url: str | None = None,
        *,
        embedder: str | Embedder | EmbeddingInterface | None = None,
        profile: str | Profile | None = None,
        read_only: bool | None = None,
        config: MemoryConfig | None = None,
        progress: Progress | None = None,
        projections: Sequence[Projection] = (),
        llm: LLMInterface | None = None,
        events: EventBus | None = None,
        **settings: Any,
    ) -> None:
        config = _settings(url, embedder, profile, read_only, config, settings)
        chosen = config.embedder if embedder is None or isinstance(embedder, str) else embedder
        ranking = config.profile if profile is None or isinstance(profile, str) else profile
        self._caller = Caller()
        self._profile = load_profile(ranking)
        self._events = Events(events, content=config.event_content)
        follow = checked("projections", projections)
        if self._events:
            follow = checked("projections", (*follow, EventsProjection(self._events)))
        self._learning, self._kind_turns = Learning(), Turns()
        self._lazy = LazyStore(config, chosen, progress, follow, (self._learning,))
        self._lazy.trail = AuditTrail(config) if config.audit else None
        self._throttle = Throttle()
        self._llm = checked_llm(llm)
        self._last_handle: Handle | None = None
        self._context_recall = ContextRecall(config, self._profile, self._events)
        self._extraction = BackgroundExtraction(self._lazy, llm)
        self._shared = _Shared()
        self._compression_locks = CompressionLocks()
        self._compressing = BackgroundCompression(
            self._compression_locks, self._profile, self._throttle, llm, self._events
        )
        self._lazy.opened = self._compressing.begin
        self._lazy.observer = observer_of(config)
        self._lazy.health = partial(health_of, about={}, problems={})
        self._lazy.first = finish_at_opening

    @classmethod
    def from_config(cls, config: BrunoMemoryConfig) -> VectorMemory:
        """A memory from ``bruno_core.models.config.MemoryConfig``."""
        return cls(config=MemoryConfig.from_bruno(config))

    @property
    def config(self) -> MemoryConfig:
        """The settings in force."""
        return self._lazy.config

    def for_user(
        self,
        user_id: str,
        *,
        role: Role | None = None,
        spaces: Mapping[str, Access] | None = None,
        caller: str | None = None,
        purpose: str | None = None,
    ) -> VectorMemory:
        """A view of the memory for one user, in which other users' ids do not exist.

        It shares the open store: its end, its :meth:`close` and ``async with`` on it close nothing.
        The whole memory has to be closed.

        Args:
            user_id: whose.
            role: "reader" (reads only), "member" (does everything with its own rows; the default),
                or "admin" (does everything with everybody's, and names whose).
            spaces: shared spaces that it may use, by name, each with "read" or "write". The rows of
                a space are those of the user id ``space:NAME``.
            caller: who calls, such as a service; for the audit trail.
            purpose: what for; for the audit trail.

        Raises:
            InvalidInputError: an argument is not usable.
            ForeignUserError: this is another user's view.
            NotPermittedError: this is a view that may do less.
        """
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        view._caller = self._caller.view(user_id, role, spaces, caller, purpose)
        return view

    def __reduce__(self) -> NoReturn:
        raise StoreError(
            "a memory cannot be copied, nor sent to another process: it has files open",
            fix="Send its url, and open a memory of it there.",
        )

    # Life

    @acts("open")
    async def connect(self) -> VectorMemory:
        """Open the store now rather than at first use.

        Raises:
            StoreError, EngineError: see :class:`bruno_memory_vec.errors`.
        """
        await self._lazy.get()
        self._extraction.opened()
        return self

    @acts("open")
    async def close(self) -> None:
        """Write what is pending and release the folder. Closing twice does nothing.

        Closing a user's view (:meth:`for_user`) does nothing: the memory is others', too.
        """
        if self._caller.is_whole:
            await self._compressing.stop()
            await self._extraction.close()
            await self._lazy.close()

    async def __aenter__(self) -> VectorMemory:
        return await self.connect()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            no_such_method(self, name)

        def __enter__(self) -> NoReturn:
            raise TypeError(_ASYNC_WITH.format("VectorMemory(...)"))

        def __exit__(self, *error: object) -> None:
            """There is one, so that ``with`` asks for the other, which says what to write."""

    @acts("open")
    async def health(self) -> dict[str, Any]:
        """The state of each engine; "status" is "ok", or "degraded" with the "problems" named."""
        about: dict[str, Any] = {
            "profile": self._profile.name,
            "maintenance": self._shared.maintained,
        }
        failed = self._context_recall.problem
        problems = {} if failed is None else {"recall into a context": failed}
        problems.update(self._compressing.problems)
        problems.update(self._extraction.problems)
        if self._extraction.active(self.config):
            about["extraction"] = self._extraction.health(self.config)
        report = await health_of(await self._lazy.get(checked=False), about, problems)
        # The figures count all users' rows, so a view gets only the status.
        return report if self._caller.user_id is None else {"status": report["status"]}

    @acts("administer")
    async def latencies(self) -> dict[str, OperationFigures]:
        """How often each method was called since the memory was made, how long it took (p50, p95,
        p99), and how it ended; by its name, such as "recall" or "conversations.list".

        Raises:
            InvalidInputError: nothing is measured, as the memory was made without ``metrics``.
        """
        self._caller.whole("the figures of all calls")
        observer = self._lazy.observer
        if observer is None or observer.recorder is None:
            raise InvalidInputError(
                "metrics",
                "is off, so nothing was measured",
                fix='Open the memory with metrics="process", or with metrics=True for Prometheus.',
            )
        return observer.recorder.operations()

    @acts("administer")
    async def maintain(self, progress: Progress | None = None) -> MaintenanceReport:
        """Do all upkeep now, and verify the store. Failures are in the report's ``problems``.

        Raises: as :func:`bruno_memory_vec.upkeep.maintenance.maintain_store`.
        """
        self._caller.whole("upkeep")
        store = await self._lazy.get()
        await finish_erasures(store, self._forgetting)
        report = await maintain_store(store, progress, events=self._events)
        self._shared.maintained = report.to_dict()
        return report

    @acts("administer")
    async def reembed(
        self, embedder: str | Embedder | EmbeddingInterface, progress: Progress | None = None
    ) -> ReembedReport:
        """Move the store to another embedder; reads and writes go on meanwhile.

        Raises: as :func:`bruno_memory_vec.upkeep.reembedding.reembed_store`.
        """
        self._caller.whole("the embedder")
        return await reembed_store(await self._lazy.get(), embedder, progress)

    @acts("administer")
    async def snapshot(
        self, folder: str | Path, progress: Progress | None = None
    ) -> SnapshotReport:
        """Make a consistent copy of the store in a new or empty folder, while it stays open.

        Writes wait while its files are linked, which takes some milliseconds, not while they are
        copied and verified. The copy is a store like any other, and shares no file with this one.

        Raises:
            InvalidInputError: the store is not in a folder, or the copy cannot be made in
                ``folder``. Nothing was written.
            StoreError: another process changes the store too fast.
            EngineError: it cannot be read, or the copy not be written.
        """
        self._caller.whole("a snapshot")
        return await snapshot_of(await self._lazy.get(), folder, progress)

    @acts("export")
    async def copy_to(
        self,
        target: str | Path | VectorMemory,
        *,
        embedder: str | Embedder | EmbeddingInterface | None = None,
        user_id: str | None = None,
        others: Others = "refuse",
        dry_run: bool = False,
        anonymise: Anonymiser | bool = False,
        progress: Progress | None = None,
        **settings: Any,
    ) -> CopyReport:
        """Copy everything into another store of any kind, while this one stays open.

        Rows keep their vectors, turns, times, metadata and uses. Called again, it goes on where it
        was killed, and copies what has changed since.

        Args:
            target: a folder, the URL of a store, or an open memory.
            embedder: makes the vectors anew, where the target is not to have this one's.
            user_id: copy only this user; a view copies its own.
            others: of rows of the target that are not here: "refuse" the copy, "keep" or "remove"
                them.
            dry_run: say what would be copied, and write nothing.
            anonymise: replace names, addresses, numbers and dates (docs/anonymise.md), by a random
                secret or as an :class:`Anonymiser` is set; into a new store.
            progress: called with the progress of long work.
            settings: any other field of :class:`~bruno_memory_vec.MemoryConfig`, for the target.

        Raises: as :func:`bruno_memory_vec.upkeep.copying.run.copy_store`.
        """
        if isinstance(target, VectorMemory):
            target._caller.whole("the target of a copy")
        mine = self._caller.user_id
        whose = mine if user_id is None else self._caller.acting_for_named(user_id)
        store = await self._lazy.get()
        into = await target._lazy.get() if isinstance(target, VectorMemory) else target
        if anonymise is not False:
            # Its patterns take half a second to compile.
            from bruno_memory_vec.privacy.anonymise.anonymiser import asked_for
            from bruno_memory_vec.privacy.anonymise.copying import anonymised_copy

            return await anonymised_copy(
                store,
                into,
                asked_for(anonymise, others=others != "refuse", dry_run=dry_run),
                embedder=embedder,
                user_id=whose,
                progress=progress,
                **settings,
            )
        return await copy_of(
            store,
            into,
            embedder=embedder,
            user_id=whose,
            others=others,
            dry_run=dry_run,
            progress=progress,
            **settings,
        )

    # Audit

    @acts("read")
    async def audit(
        self,
        user_id: str | None = None,
        *,
        caller: str | None = None,
        action: Action | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """What the audit trail says, of every process that writes one there, the newest first.

        Args:
            user_id: only what was about this user's rows, or about all users'. A view sees only
                what names its user.
            caller: only of this caller.
            action: only what did this: "read", "write", "delete", "export", "erase",
                "administer", or "trail" for what the trail says of itself.
            since: only from this time on (naive is UTC).
            until: only before this time (naive is UTC).
            limit: how many at most.

        Raises:
            InvalidInputError: an argument is not usable, or there is no trail: see the setting
                ``audit``.
            ForeignUserError: the view is another user's.
            EngineError: the trail cannot be read.
        """
        where = AuditFilter(
            user=self._caller.acting_for(user_id),
            caller=caller,
            action=None if action is None else checks.name("action", action, AUDITED),
            since=None if since is None else checks.moment("since", since),
            until=None if until is None else checks.moment("until", until),
            strict=self._caller.user_id is not None,
        )
        most = checks.limit("limit", limit, largest=1_000_000)
        folder, chain = await self._trails()
        return await asyncio.to_thread(entries_in, folder, where, chain, most)

    @acts("administer")
    async def verify_audit(
        self, heads: Mapping[str, Mapping[str, Any]] | None = None
    ) -> AuditReport:
        """Whether the audit trail is as it was written.

        An entry that was changed, removed, inserted or moved is found, and an end that is cut off.

        Args:
            heads: what :meth:`audit_head` gave out earlier, and was kept elsewhere; who can write
                the trail's files can also write its head.

        Raises:
            InvalidInputError: there is no trail, or a head is not usable.
            ForeignUserError: the caller is a view.
            EngineError: the trail cannot be read.
        """
        self._caller.whole("the audit trail")
        folder, chain = await self._trails()
        return await asyncio.to_thread(verify_trails, folder, chain, heads)

    @acts("administer")
    async def audit_head(self) -> dict[str, dict[str, Any]]:
        """The end of each trail: how many entries it has, and the hash of the last one.

        Keep it where nobody who writes the trail can write, for :meth:`verify_audit`.

        Raises:
            InvalidInputError: there is no trail.
            ForeignUserError: the caller is a view.
        """
        self._caller.whole("the audit trail")
        folder, _ = await self._trails()
        return await asyncio.to_thread(heads_in, folder)

    async def _trails(self) -> tuple[Path, Chain]:
        await self._lazy.get()
        if not self.config.audit:
            raise InvalidInputError(
                "audit",
                "is off, so there is no audit trail",
                fix="Open the memory with audit=True.",
            )
        return trail_folder(self.config), chain_of(self.config)

    @acts("export")
    async def export(
        self,
        path: str | Path,
        *,
        format: ExportFormat | None = None,  # noqa: A002 - the word users know
        user_id: str | None = None,
        conversation_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        kinds: ExportKind | Sequence[ExportKind] | None = None,
        vectors: bool = False,
        overwrite: bool = False,
        anonymise: Anonymiser | bool = False,
        progress: Progress | None = None,
    ) -> ExportReport:
        """Write what the store holds to a file: JSON lines, CSV, Parquet or Markdown.

        JSON lines have everything, exactly: :meth:`import_export` takes them in again. The file is
        written beside its place, for its owner only, and appears whole.

        Args:
            path: a file; or a new folder, for a Markdown file of each conversation.
            format: "jsonl", "csv", "parquet" or "markdown"; None for that of the suffix.
            user_id: whose; None for everybody's. A view exports its own user.
            conversation_id: only this conversation.
            since: only rows created at this time or later (naive is UTC).
            until: only rows created before this time (naive is UTC).
            kinds: of "message", "memory", "session" and "profile"; None for all, of a conversation
                without profiles.
            vectors: also the vectors, in JSON lines and Parquet.
            overwrite: replace a file that is there.
            anonymise: replace names, addresses, numbers and dates (docs/anonymise.md), by a random
                secret or as an :class:`Anonymiser` is set.
            progress: called with the progress of long work.

        Raises:
            InvalidInputError: an argument is not usable, or something is at ``path``.
            ForeignUserError: the view or the conversation is another user's.
            NotFoundError: in a view, its user has no such conversation.
            EngineError: the store cannot be read, or the file not be written.
        """
        user = self._caller.acting_for(user_id)
        if conversation_id is not None:
            owners = await self._owners()
            conversation_id = await owners.find(
                checks.identifier("conversation_id", conversation_id), self._caller.user_id
            )
            if self._caller.user_id is not None and await owners.owner(conversation_id) != user:
                # In a view another user's is as one that there is none of.
                await self.conversations.get(conversation_id)
            if user is not None and not await owners.owned(conversation_id, user):
                raise foreign_conversation(conversation_id, user)
        asked = wanted(user, conversation_id, since, until, kinds, vectors)
        change = None
        if anonymise is not False:
            from bruno_memory_vec.privacy.anonymise.anonymiser import asked_for

            change = asked_for(anonymise)
        report = await export_of(
            await self._lazy.get(),
            path,
            asked,
            format=format,
            overwrite=overwrite,
            replaces=change,
            # Where it lies is no business of a user's.
            named=None if self._caller.user_id is None else "memory",
            progress=progress,
        )
        return report if change is None else replace(report, anonymised=change.report.to_dict())

    @acts("write")
    async def import_export(
        self,
        path: str | Path,
        *,
        user_id: str | None = None,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> CopyReport:
        """Take in again what :meth:`export` wrote as JSON lines: every row as it was.

        Ids, turns, times, metadata, tags, importance, pins and uses stay; sessions, profiles,
        titles and owners come, too. What the store has already is left alone, and what differs
        becomes what the file has. All of the file is checked first; every row is compared
        afterwards.

        Args:
            path: the file, as it is or packed by gzip.
            user_id: take in only this user. A view refuses a file with another user's rows.
            dry_run: say what would be written, and write nothing.
            progress: called with the progress of long work.

        Raises: as :func:`bruno_memory_vec.upkeep.exporting.importing.import_export_into`.
        """
        return await import_export_into(
            self._lazy.get,
            path,
            user_id=self._caller.acting_for(user_id),
            only=self._caller.user_id,
            dry_run=checks.flag("dry_run", dry_run),
            progress=progress,
        )

    @acts("administer")
    async def backup(
        self, target: str | Path, progress: Progress | None = None, *, full: bool = False
    ) -> BackupReport:
        """Add a point in time to a backup, while the store stays open and may be written.

        The first point has everything, each later one what has changed since. The rows are those
        of one moment; writes wait while the last few are read. A killed backup leaves the earlier
        points whole.

        Args:
            target: a folder, or a file whose name ends with ``.backup``; made if there is none.
            progress: called with the progress of long work.
            full: read every row anew, which mends a backup that was damaged.

        Raises: as :func:`bruno_memory_vec.upkeep.backup.making.backup_store`.
        """
        self._caller.whole("a backup")
        return await backup_of(await self._lazy.get(), target, full=full, progress=progress)

    # Writing

    @acts("write")
    async def store_message(
        self,
        message: Message,
        conversation_id: str,
        *,
        user_id: str | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Store one message. Storing the same id again replaces it and keeps its turn.

        Without ``user_id`` it is stored for the user of the context that was handed out for it,
        else for the conversation's owner. If there is none yet, it is stored for
        ``message.metadata["user_id"]``, else for the one user with a session of the conversation,
        else for the default user. Where several users had asked for the conversation before it
        began, the user has to be named.

        ``origin`` says who the message comes from, such as "imported"; without it that is its role.
        A message that is stored again keeps the origin that it had.

        Raises:
            InvalidInputError: a field cannot be kept, or nobody is named and several users may be
                meant. Nothing was written.
            ForeignUserError: the conversation is another user's. Nothing was written.
            ReadOnlyError, EmbeddingError, EngineError: it was not stored.
        """
        await self.store_messages([message], conversation_id, user_id=user_id, origin=origin)

    @acts("write")
    async def store_messages(
        self,
        messages: Sequence[Message],
        conversation_id: str,
        *,
        user_id: str | None = None,
        origin: Origin | None = None,
    ) -> None:
        """Store messages of one conversation in the given order, as one commit: all or none.

        What the memory put into a context itself is left out, so that the messages of a whole
        context can be stored.

        Raises: as :meth:`store_message`.
        """
        self._lazy.enter()
        messages = await to_store(messages)
        checks.identifier("conversation_id", conversation_id)
        source = _origin(origin)
        user = self._caller.acting_for(user_id)
        await self._throttle.wait(user or conversation_id)
        writer = await self._lazy.writer()
        owners, bounds = self._lazy.owners, self.config.bounds
        place = await owners.place(conversation_id)
        space = await reach.spoken(
            self._handle,
            place,
            user,
            messages,
            lambda: self._context_recall.asked_by(place.conversation_id, messages[-1]),
        )
        if space is not None:
            messages, user = space.messages, space.user_id
        rows = await rows_of(
            "messages",
            messages,
            lambda message: message_row(message, "", place.conversation_id, bounds, source),
            bounds,
        )
        if not rows:
            return
        store = self._lazy.open_store
        # Nothing of a member's own rows is put into a context of several.
        handed = (
            self._context_recall.handed_out(place.conversation_id, messages[-1])
            if space is None
            else []
        )
        asked_for_by = {context.user_id for context in handed}
        self._compressing.begin(self._lazy)
        try:
            whose = await owners.whose(conversation_id, place, user, asked_for_by, messages)
            for row in rows:
                row["user_id"] = whose.user_id
            waiting = self._context_recall.waiting(handed, whose.user_id, messages[-1])
            if waiting:
                retriever = store.retriever
                recalling = self._context_recall.fill(
                    retriever, waiting, whose.user_id, messages[-1]
                )
                await asyncio.gather(writer.write(rows, named=whose.named), recalling)
            else:
                await writer.write(rows, named=whose.named)
        except ForeignUserError:
            user = user or next(iter(asked_for_by), None)
            if user is not None:
                await owners.leave(place.conversation_id, user)
            raise
        # The store may have been closed meanwhile; the messages are stored all the same.
        await self._extraction.stored(store, rows)

    @acts("write")
    async def store_memory(
        self, memory_entry: MemoryEntry, *, origin: Origin | None = None
    ) -> None:
        """Store one memory. Storing the same id again replaces it and embeds it anew.

        ``origin`` says who it comes from; without it, it was "given" by whoever stores it. A memory
        that is stored again keeps the origin that it had.

        Raises: as :meth:`store_message`.
        """
        await self.store_memories([memory_entry], origin=origin)

    @acts("write")
    async def store_memories(
        self, entries: Sequence[MemoryEntry], *, origin: Origin | None = None
    ) -> None:
        """Store memories as one commit: all or none.

        A ``conversation_id`` that is a session's id names that session's conversation.

        Raises: as :meth:`store_message`.
        """
        self._lazy.enter()
        await self._throttle.wait(self._caller.user_id or _user_of(entries))
        writer = await self._lazy.writer()
        ttl, bounds = self.config.short_term_ttl, self.config.bounds
        source = _origin(origin) or "given"
        rows = await rows_of(
            "entries",
            await to_store(entries),
            lambda entry: memory_row(entry, ttl, bounds, source),
            bounds,
        )
        for row in rows:
            user, named = self._caller.acting_for_named(row["user_id"]), row["conversation_id"]
            if named is not None:
                place = await self._lazy.owners.place(named)
                await self._lazy.owners.whose(named, place, user)
                row["conversation_id"] = place.conversation_id
        await writer.write(rows)

    @acts("write")
    async def ingest(
        self,
        source: Given | Sequence[Given],
        *,
        format: str = "auto",  # noqa: A002 - the word users know; the builtin is not needed here
        user_id: str | None = None,
        conversation_id: str | None = None,
        replace_user: bool = False,
        dates: DayOrder | None = None,
        skip_bad: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
        batch: int = 2_000,
    ) -> IngestReport:
        """Take in exports of chats: all of them or nothing, and of what is there only the changes.

        Everything is read and checked first. What the store has already is known again, also where
        the export has grown in the middle, has lost messages, or was edited: an edited message is
        replaced under its id, and one that is gone from the export stays. A message without a time
        gets one of its neighbours, else of the file, which it keeps. What :meth:`export` wrote as
        JSON lines comes back as by :meth:`import_export`.

        Args:
            source: a file, a folder or an open stream; or several of them.
            format: as of :func:`bruno_memory_vec.portability.read`, or "bruno-memory".
            user_id: whose messages are that name no user; a view stores its own.
            conversation_id: where messages go that name no conversation.
            replace_user: ``user_id`` counts more than users that the source names.
            dates: what comes first in dates such as 3/4/2024, where the source does not show it.
            skip_bad: store the rest of a source in which something cannot be used.
            dry_run: say what would be stored, and write nothing.
            progress: called with the progress of each step.
            batch: how many messages are stored as one commit.

        Raises:
            InvalidInputError: something cannot be used, or the source names another user than
                ``user_id``, or is changed while it is read.
            ForeignUserError: ``user_id`` is not the user of this view.
            ReadOnlyError, EmbeddingError, EngineError: what was stored before is stored.
        """
        self._lazy.enter()
        user = self._caller.acting_for(user_id)
        if conversation_id is not None:
            checks.identifier("conversation_id", conversation_id)
        view = self._caller.user_id is not None
        dry_run = checks.flag("dry_run", dry_run)
        how = How(format, user, conversation_id, replace_user, dates, view)
        if not dry_run:
            self._compressing.begin(self._lazy)
        with ExitStack() as stack:
            # What can be read only once is kept first, which may take a while.
            plain = self.config.key is None and self.config.key_file is None
            sources = await asyncio.to_thread(stack.enter_context, opened(source, on_disk=plain))
            return await ingest_into(
                self._lazy,
                sources,
                how,
                skip_bad=skip_bad,
                dry_run=dry_run,
                progress=progress,
                stored=self._extraction.stored,
                batch=checks.limit("batch", batch, largest=100_000),
            )

    # Reading

    @acts("read")
    async def recall(
        self,
        query: str,
        *,
        user_id: str | AllUsers | None = None,
        k: int = 10,
        conversation_id: str | None = None,
        kinds: Kind | Sequence[Kind] | None = None,
        roles: MessageRole | str | Sequence[MessageRole | str] | None = None,
        memory_types: MemoryType | str | Sequence[MemoryType | str] | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        as_of: datetime | None = None,
        min_importance: float = 0.0,
        min_confidence: float = 0.0,
        min_similarity: float = 0.0,
        min_confidence_of_answer: float = 0.0,
        include_expired: bool = False,
        include_archived: bool = False,
        origins: Origin | Sequence[Origin] | None = None,
        profile: str | Profile | None = None,
        now: datetime | None = None,
        exact: str | None = None,
        match_case: bool = False,
        strategy: RecallStrategy | None = None,
        spaces: Sequence[str] | None = None,
    ) -> Hits:
        """The ``k`` messages and memories that answer ``query`` best, best first.

        Args:
            query: a question or any text. It is analysed, never parsed. Of a longer text the first
                20,000 characters are read. It may be blank with ``exact`` or a time: then the
                newest come first, unranked, with a score of 0.
            user_id: whose rows; ``ALL_USERS`` for everyone's. A view knows its user.
            k: how many hits, 1 to 1000.
            conversation_id: only this conversation.
            kinds: "message", "memory" or both.
            roles: only messages of these roles.
            memory_types: only memories of these types.
            tags: only memories with any of these tags.
            categories: only memories of these categories.
            metadata: only rows with each of these keys and values (text, number or truth value) in
                a message's ``metadata`` or a memory's ``metadata.custom_fields``. 1 equals 1.0, but
                neither True nor "1".
            since: only rows created at this time or later (naive is UTC).
            until: only rows created before this time (naive is UTC).
            as_of: answer as at this time (naive is UTC): rows created later are not seen, ages,
                expiry and the days that the question names count from it, and what was recalled
                since does not count. What has been deleted since, expired memories that upkeep
                has removed among it, is not there; what was replaced is seen as it is now; and how
                rare a word is, is counted over all rows of today. Instead of ``now``.
            min_importance: 0..1. A message has 0.5, or ``metadata["importance"]``.
            min_confidence: 0..1, the least ``confidence`` of a memory, as it was stored.
            min_similarity: 0..1, the least cosine similarity to the question.
            min_confidence_of_answer: 0..1. Nothing is returned, and nothing counted as recalled,
                where ``Hits.confidence`` is less: where the hits are less likely to hold an answer.
            include_expired: also memories past their ``expires_at``.
            include_archived: also what was archived: messages that a summary stands for, facts that
                newer ones have superseded, conversations that were archived.
            origins: only rows that come from one of these: "user", "assistant", "system", "tool",
                "given", "extracted", "summary", "imported".
            profile: how to rank, instead of the memory's own profile.
            now: the time that recency and expiry refer to (naive is UTC). Default: the present.
                Days, weeks, months and years that the question names are those of its time zone:
                with ``datetime.now(ZoneInfo("Asia/Tokyo"))`` "yesterday" is a day in Tokyo.
            exact: only rows whose text holds this phrase or part of a word, as it stands: no
                character has another meaning. Case, accents and width do not count. Of more than
                10,000 such rows that are not in memory, a query ranks the newest.
            match_case: compare ``exact`` letter for letter.
            strategy: how to find, by name, instead of a profile: "hybrid" (by words and meaning, as
                the memory's profile says), "fulltext" (by words alone), "semantic" (by meaning
                alone), "exact" (the query is the phrase; newest first), "temporal" (only rows of
                the time that the query names). docs/retrieval.md says when to use which.
            spaces: also the rows of these shared spaces, by name, in one ranking with the user's;
                a view has to have been given them. ``Hit.user_id`` says whose each is.

        Raises:
            InvalidInputError: an argument is not usable; the error names it.
            ForeignUserError: the view or the conversation is another user's.
            EngineError, EmbeddingError: the search failed.
        """
        here, then = _asked_at(now, as_of)
        at = here.astimezone(timezone.utc)
        where = row_filter(
            alive_at=None if checks.flag("include_expired", include_expired) else at,
            # What is archived now was not at an earlier `now`, only at an earlier `as_of`.
            unarchived_at=None
            if checks.flag("include_archived", include_archived)
            else at
            if then
            else max(at, datetime.now(timezone.utc)),
            origins=origins,
            kinds=kinds,
            roles=roles,
            memory_types=memory_types,
            tags=tags,
            categories=categories,
            metadata=metadata,
            since=since,
            until=until,
            seen_at=at if then else None,
            min_importance=min_importance,
            min_confidence=min_confidence,
        )
        by = strategies.strategy(strategy, profile)
        holding = strategies.phrase(exact, match_case, query, by)
        blank = holding is not None or by == "temporal"
        asked = "" if by == "exact" else checks.question("query", query, blank=blank)
        if by == "temporal":
            where = strategies.of_named_time(where, asked, here)
        ranked_by = self._profile if profile is None else load_profile(profile)
        if by in strategies.PROFILES:
            ranked_by = load_profile(strategies.PROFILES[by])
        request = RecallRequest(
            query=asked,
            scope=self._caller.with_spaces(
                await reach.search_scope(self._handle, user_id, conversation_id), spaces
            ),
            where=where,
            k=checks.limit("k", k),
            profile=ranked_by,
            now=here,
            then=then,
            min_similarity=checks.unit_interval("min_similarity", min_similarity),
            min_confidence_of_answer=checks.unit_interval(
                "min_confidence_of_answer", min_confidence_of_answer
            ),
            phrase=holding,
        )
        if not asked.strip() and (request.min_similarity or request.min_confidence_of_answer):
            least = "min_similarity" if request.min_similarity else "min_confidence_of_answer"
            raise InvalidInputError(
                "query",
                f"is blank, and {least} needs a question to compare rows with",
                fix=f"Ask a question, or leave {least} out.",
            )
        request = replace(request, scope=await reach.with_groups(self._handle, request.scope))
        store = await self._lazy.get()
        if holding is None and not asked.strip():
            page = timelines.timeline(store.rows, request.scope, where, "newest", limit=request.k)
            return Hits(await page)
        return await store.retriever.recall(request, count_use=not then)

    @acts("read")
    async def build_context(
        self,
        query: str | Message,
        *,
        user_id: str | None = None,
        conversation_id: str | None = None,
        budget: int = 2000,
        strategy: str | Strategy = "hybrid",
        count_tokens: GivenCounter | None = None,
        profile: str | Profile | None = None,
        include_archived: bool = False,
        until: datetime | None = None,
        now: datetime | None = None,
    ) -> BuiltContext:
        """A prompt for a question: what a model should know for it, within a budget of tokens.

        Args:
            query: the user's question; a ``Message`` may be stored already. It is the last message
                of the context, as it is.
            user_id: whose rows; a view knows its user.
            conversation_id: whose system messages, summaries and last turns are shown. Recalled is
                from all conversations of the user. None: no last turns.
            budget: the most tokens of all messages, with four for each message.
            strategy: which parts, by name: "hybrid", "sliding_window", "semantic", "importance", or
                a :class:`~bruno_memory_vec.context.Strategy` of your own.
            count_tokens: counts the tokens of a text: a function, an LLM (``get_token_count``), or
                the path of a ``tokenizer.json``. Default: the memory's setting, else an estimate
                that never counts low.
            profile: how to recall, instead of the memory's own profile.
            include_archived: recall archived messages, too, such as those that a summary stands
                for. Memories that are archived, such as facts that were superseded, stay out.
            until: only of rows created before this time (naive is UTC).
            now: the time that recency and expiry refer to, as of :meth:`recall`. Dates are shown in
                its time zone.

        Returns:
            ``messages`` for an LLM, oldest first; ``text``, the same; ``report``, what went in and
            what did not.

        Raises:
            InvalidInputError: an argument is not usable, there is no such strategy, or the question
                alone has more tokens than the budget.
            ForeignUserError: the view or the conversation is another user's.
            EngineError, EmbeddingError: the recall failed.
        """
        chosen = strategy_named(strategy)
        stored = isinstance(query, Message)
        question = query if isinstance(query, Message) else None
        text = checks.question("query", query if question is None else question.content)
        here, _ = _asked_at(now, None)
        fix = "Give the user_id of one user, or use for_user()."
        if user_id is None and self._caller.user_id is None:
            raise InvalidInputError("user_id", "is missing, and a context is one user's", fix=fix)
        scope = await reach.search_scope(self._handle, user_id, conversation_id)
        if scope.user_id is None:
            raise InvalidInputError("user_id", "is ALL_USERS, not one user", fix=fix)
        # What is answered in a conversation of several, all of them read: nothing private is in it.
        shared = scope.user_id.startswith(SPACE)
        own = await reach.with_groups(self._handle, replace(scope, conversation_id=None))
        request = ContextRequest(
            question=question or Message(role=MessageRole.USER, content=text),
            scope=replace(scope, conversation_id=None) if shared else own,
            conversation_id=scope.conversation_id,
            budget=checks.limit("budget", budget, largest=2**31),
            strategy=chosen,
            count=counter(self.config.count_tokens if count_tokens is None else count_tokens),
            profile=self._profile if profile is None else load_profile(profile),
            now=here,
            until=None if until is None else checks.moment("until", until),
            stored=stored,
            include_archived=checks.flag("include_archived", include_archived),
            about=None if shared else partial(self.users.known_lines, scope.user_id),
        )
        built = await build(await self._lazy.get(), request)
        self._events.context_updated(
            "built",
            scope.user_id,
            scope.conversation_id,
            messages=len(built.messages),
            tokens=built.report.tokens,
            strategy=built.report.strategy,
        )
        return built

    @acts("read")
    async def retrieve_messages(
        self, conversation_id: str, limit: int | None = None
    ) -> list[Message]:
        """The newest ``limit`` messages of a conversation (all for None), newest first."""
        checks.identifier("conversation_id", conversation_id)
        if limit is not None:
            limit = checks.limit("limit", limit, largest=2**31)
        store = await self._lazy.get()
        scope = await reach.scope_in(self._handle, conversation_id)
        where = RowFilter(kinds=(MESSAGE,))
        found = await store.rows.read(scope, where, COLUMNS, order_by="turn", limit=limit)
        return await read_all(found, to_message)

    @acts("read")
    async def follow(self, conversation_id: str) -> AsyncGenerator[Message, None]:
        """The messages that are stored in a conversation from now on, each once, as they come.

        From every process that shares the sessions of this store (in Redis); with sessions in
        SQLite, from this process. In a view, those of its user alone, so that of another user's
        conversation none is shown. It ends when the memory is closed. A message that is stored
        again is not shown again. It may be cancelled at any time::

            async for message in memory.follow("talk"):
                print(message.role, message.content)

        Args:
            conversation_id: where; it need not have begun.

        Raises:
            BackendUnavailable: Redis does not answer at the beginning. Later it is asked again.
            ReadOnlyError: a reader of a folder does not hear of what another process stores.
        """
        checks.identifier("conversation_id", conversation_id)
        store = await self._lazy.get()
        if store.writer is None and not isinstance(store.sessions, Listens):
            raise ReadOnlyError(
                "the memory was opened with read_only=True, and its sessions tell nobody what "
                "another process stores",
                fix="Follow in the process that writes, or share sessions in Redis.",
            )
        scope = await reach.scope_in(self._handle, conversation_id)
        assert scope.conversation_id is not None
        follower = Follower(store, scope, scope.conversation_id)
        async with aclosing(follower.messages()) as messages:
            async for message in messages:
                if not await reach.follows(self._handle, scope):
                    return  # who has left hears no more
                yield message

    @acts("read")
    async def search_messages(
        self, query: str, user_id: str | None = None, limit: int = 10
    ) -> list[Message]:
        """The messages that answer ``query`` best, best first; of all users where none is named."""
        checks.limit("limit", limit)
        whose = ALL_USERS if user_id is None and self._caller.user_id is None else user_id
        hits = await self.recall(query, user_id=whose, k=limit, kinds="message")
        return [found for found in await records(hits) if isinstance(found, Message)]

    @acts("read")
    async def retrieve_memories(self, query: MemoryQuery) -> list[MemoryEntry]:
        """The memories that match a query, best first; without a text, the newest first."""
        if not isinstance(query, MemoryQuery):
            raise InvalidInputError("query", "expected a MemoryQuery", fix="Make a MemoryQuery.")
        filters: dict[str, Any] = {
            "kinds": "memory",
            "memory_types": query.memory_types,
            "tags": query.tags,
            "categories": query.categories,
            "min_importance": query.min_importance,
            "min_confidence": query.min_confidence,
        }
        if query.query_text is not None and query.query_text.strip():
            hits = await self.recall(
                query.query_text,
                user_id=query.user_id,
                k=query.limit,
                include_expired=query.include_expired,
                min_similarity=query.similarity_threshold,
                **filters,
            )
            return [found for found in await records(hits) if isinstance(found, MemoryEntry)]
        scope = Scope.user(self._caller.acting_for_named(query.user_id))
        now = datetime.now(timezone.utc)
        at = None if query.include_expired else now
        found = await (await self._lazy.get()).rows.read(
            scope,
            row_filter(alive_at=at, unarchived_at=now, **filters),
            COLUMNS,
            order_by="created_at",
            limit=query.limit,
        )
        return await read_all(found, to_memory)

    @acts("read")
    async def get_message(
        self,
        message_id: str | UUID,
        *,
        user_id: str | None = None,
        conversation_id: str | None = None,
    ) -> Message | None:
        """A message by its id, None where there is none for this caller.

        If it is in several conversations, or several users have the same id, the row that was
        stored last is returned. ``conversation_id`` and ``user_id`` select another one.

        Raises:
            InvalidInputError: the id is no UUID.
        """
        row = await self._newest(MESSAGE, "message_id", message_id, user_id, conversation_id)
        return await read_one(row, to_message)

    @acts("read")
    async def get_memory(
        self, memory_id: str | UUID, *, user_id: str | None = None
    ) -> MemoryEntry | None:
        """A memory by its id, None where there is none for this caller.

        If several users have the same id, the row that was stored last is returned. ``user_id``
        selects another one.

        Raises:
            InvalidInputError: the id is no UUID.
        """
        row = await self._newest(MEMORY, "memory_id", memory_id, user_id, None)
        return await read_one(row, to_memory)

    async def _newest(
        self, kind: str, field: str, id_: Any, user_id: str | None, conversation_id: str | None
    ) -> Row | None:
        ids = checks.uuids(field, [id_])
        store = await self._lazy.get()
        if conversation_id is not None and user_id is None:
            scope = await reach.scope_in(self._handle, conversation_id)
        else:
            scope = Caller(self._caller.acting_for(user_id)).scope
            if conversation_id is not None:
                checks.identifier("conversation_id", conversation_id)
                scope = scope.within(await self._find(conversation_id))
        return await listing.newest_row(store.rows, scope, RowFilter(kinds=(kind,), ids=ids))

    # Listing

    @acts("administer")
    async def list_users(self) -> list[UserSummary]:
        """Every user with a message or a memory, the one with most messages first.

        It reads a few columns of every row.

        Raises:
            ForeignUserError: the caller is a view.
        """
        self._caller.whole("the list of users")
        return await listing.list_users((await self._lazy.get()).rows)

    @acts("read")
    async def list_conversations(
        self,
        user_id: str | AllUsers | None = None,
        *,
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[ConversationSummary]:
        """A user's conversations, the one with the newest message first.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            limit: how many at most; None for all.
            after: the ``next`` of the page before.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            ForeignUserError: the view is another user's.
        """
        scope = await self._caller.search_scope(self._owners, user_id)
        limit = _page_size(limit)
        store = await self._lazy.get()
        found = await listing.list_conversations(store.rows, scope, limit, after)
        return await with_titles(store, found)

    @acts("read")
    async def get_conversation(self, conversation_id: str) -> ConversationSummary | None:
        """A conversation's owner, title, times and length.

        None if it has no message, and in a view if it is another user's.
        """
        checks.identifier("conversation_id", conversation_id)
        store = await self._lazy.get()
        scope = await reach.scope_in(self._handle, conversation_id)
        found = await listing.list_conversations(store.rows, scope, 1, None)
        return found[0] if found else None

    @acts("read")
    async def conversation_owner(self, conversation_id: str) -> str | None:
        """The owner of a conversation, which it may have before its first message, or None.

        In a view it is None for another user's conversation.
        """
        checks.identifier("conversation_id", conversation_id)
        owner = await (await self._owners()).owner(conversation_id)
        return owner if await reach.sees(self._handle, owner) else None

    @acts("read")
    async def read_turns(
        self,
        conversation_id: str,
        *,
        from_turn: int | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[ConversationTurn]:
        """A conversation's messages with their turns, oldest first.

        Args:
            conversation_id: which.
            from_turn: begin with this turn (0 is the first one), or the next one that exists.
            limit: how many at most; None for all.
            newest_first: newest first, from ``from_turn`` or from the end.

        Raises:
            InvalidInputError: an argument is not usable.
        """
        checks.identifier("conversation_id", conversation_id)
        if from_turn is not None:
            from_turn = checks.limit("from_turn", from_turn, largest=2**62, smallest=0)
        limit, newest_first = _page_size(limit), checks.flag("newest_first", newest_first)
        store = await self._lazy.get()
        scope = await reach.scope_in(self._handle, conversation_id)
        talk = scope.conversation_id or conversation_id
        return await listing.read_turns(
            store.rows, scope, talk, from_turn, limit, newest_first=newest_first
        )

    @acts("read")
    async def list_memories(
        self,
        user_id: str | AllUsers | None = None,
        *,
        memory_types: MemoryType | str | Sequence[MemoryType | str] | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        include_expired: bool = False,
        include_archived: bool = False,
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[MemoryEntry]:
        """A user's memories, the newest first.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            memory_types: only of these types.
            tags: only with any of these tags.
            categories: only of these categories.
            metadata: only with each of these keys and values in ``metadata.custom_fields``;
                compared as in :meth:`recall`.
            include_expired: also those past their ``expires_at``.
            include_archived: also those that were archived, such as facts that were superseded.
            limit: how many at most; None for all.
            after: the ``next`` of the page before.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            ForeignUserError: the view is another user's.
        """
        expired = checks.flag("include_expired", include_expired)
        archived = checks.flag("include_archived", include_archived)
        now = datetime.now(timezone.utc)
        where = row_filter(
            alive_at=None if expired else now,
            unarchived_at=None if archived else now,
            kinds=MEMORY,
            memory_types=memory_types,
            tags=tags,
            categories=categories,
            metadata=metadata,
        )
        scope = await self._caller.search_scope(self._owners, user_id)
        limit = _page_size(limit)
        return await listing.list_memories(
            (await self._lazy.get()).rows, scope, where, limit, after
        )

    @acts("read")
    async def timeline(
        self,
        user_id: str | AllUsers | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        around: datetime | None = None,
        order: Order | None = None,
        limit: int | None = 100,
        after: str | None = None,
        conversation_id: str | None = None,
        kinds: Kind | Sequence[Kind] | None = None,
        roles: MessageRole | str | Sequence[MessageRole | str] | None = None,
        memory_types: MemoryType | str | Sequence[MemoryType | str] | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        include_expired: bool = False,
        include_archived: bool = False,
        origins: Origin | Sequence[Origin] | None = None,
    ) -> Page[Hit]:
        """A user's messages and memories by their time, without a question.

        A message that is in several conversations is there once. Nothing is ranked: each hit has
        a score of 0. Nothing counts as recalled.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            since: only rows created at this time or later (naive is UTC).
            until: only rows created before this time (naive is UTC).
            around: the rows nearest to this time first (naive is UTC), of two as near the newer.
            order: "newest" first (the default) or "oldest" first. Of the rows of one time, by
                conversation and turn.
            limit: how many at most; None for all.
            after: the ``next`` of the page before, of a call with the same arguments.
            conversation_id: only this conversation.
            kinds: "message", "memory" or both.
            roles: only messages of these roles.
            memory_types: only memories of these types.
            tags: only memories with any of these tags.
            categories: only memories of these categories.
            metadata: only rows with each of these keys and values, as in :meth:`recall`.
            include_expired: also memories past their ``expires_at``.
            include_archived: also what was archived.
            origins: only rows that come from one of these, as in :meth:`recall`.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            ForeignUserError: the view or the conversation is another user's.
        """
        now = datetime.now(timezone.utc)
        where = row_filter(
            alive_at=None if checks.flag("include_expired", include_expired) else now,
            unarchived_at=None if checks.flag("include_archived", include_archived) else now,
            origins=origins,
            kinds=kinds,
            roles=roles,
            memory_types=memory_types,
            tags=tags,
            categories=categories,
            metadata=metadata,
            since=since,
            until=until,
        )
        by = timelines.order(order, around)
        near = None if around is None else micros(checks.moment("around", around))
        scope = await reach.search_scope(self._handle, user_id, conversation_id)
        rows = (await self._lazy.get()).rows
        return await timelines.timeline(
            rows, scope, where, by, around=near, limit=_page_size(limit), after=after
        )

    # Priorities

    @acts("write")
    async def pin(
        self, ids: str | UUID | Sequence[str | UUID], *, user_id: str | None = None
    ) -> None:
        """Pin messages or memories: they come first in a built context, and are never pruned.

        Pinned rows take up to half of a context's room before anything is recalled, whatever the
        question, those that were pinned last first; the first one that does not fit is cut, and
        ``report.left_out`` names the others. Not with the strategy "sliding_window".

        Args:
            ids: one id or many; in a view only the user's own.
            user_id: only rows of this user, where several have the same id.

        Raises:
            InvalidInputError: an id is no UUID.
            NotFoundError: an id is no row of the caller's. None was pinned.
        """
        await marks.pin(self._handle, ids, user_id, pinned=True)

    @acts("write")
    async def unpin(
        self, ids: str | UUID | Sequence[str | UUID], *, user_id: str | None = None
    ) -> None:
        """Let messages or memories be pinned no more. Raises as :meth:`pin`."""
        await marks.pin(self._handle, ids, user_id, pinned=False)

    @acts("read")
    async def list_pinned(self, user_id: str | None = None) -> list[Message | MemoryEntry]:
        """A user's pinned messages and memories, each once, by the time when said or stored."""
        return await marks.pinned_rows(self._handle, user_id)

    @acts("write")
    async def set_importance(
        self,
        ids: str | UUID | Sequence[str | UUID],
        importance: float,
        *,
        user_id: str | None = None,
    ) -> None:
        """Set the importance of messages or memories, 0..1.

        Of a message, ``metadata["importance"]`` becomes it as well. Raises as :meth:`pin`.
        """
        await marks.set_importance(self._handle, ids, importance, user_id)

    @acts("delete")
    async def forget(
        self,
        ids: str | UUID | Sequence[str | UUID],
        *,
        user_id: str | None = None,
        archive: bool = False,
    ) -> int:
        """Delete messages or memories by their ids, for good; returns how many.

        With ``archive`` they are kept, and left out of recall and of built contexts, unless
        ``include_archived`` asks for them (a built context for messages only). :meth:`get_context`
        shows the last turns with them. A message that is in several conversations is forgotten in
        all of them. Raises as :meth:`pin`.
        """
        archive = checks.flag("archive", archive)
        return await marks.forget(self._handle, ids, user_id, archive=archive)

    @acts("read")
    async def priorities(
        self,
        user_id: str | AllUsers | None = None,
        *,
        weights: PriorityWeights | None = None,
        kinds: Kind | Sequence[Kind] | None = None,
        limit: int = 100,
        lowest_first: bool = False,
        now: datetime | None = None,
    ) -> list[RowPriority]:
        """A user's messages and memories by their priority, with what each part adds to it.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            weights: how the priority is made, see :class:`~bruno_memory_vec.PriorityWeights`.
            kinds: "message", "memory" or both.
            limit: how many, 1 to 1000.
            lowest_first: those of least priority, which a policy would prune first.
            now: the time that ages refer to (naive is UTC). Default: the present.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            MissingDependencyError: emotion counts, and its lexicon is not installed.
        """
        return await list_priorities(
            self._handle,
            user_id,
            PriorityWeights() if weights is None else weights,
            kinds,
            checks.limit("limit", limit),
            _moment_or_now("now", now),
            lowest_first=checks.flag("lowest_first", lowest_first),
        )

    @acts("delete")
    async def prune(
        self,
        user_id: str | AllUsers | None = None,
        *,
        policy: PrunePolicy | None = None,
        dry_run: bool = True,
        now: datetime | None = None,
    ) -> PruneReport:
        """Archive or delete rows of little priority. By default it only says which.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's, each user by itself. A view knows its
                user.
            policy: which rows, and how, see :class:`~bruno_memory_vec.PrunePolicy`.
            dry_run: only report what would be pruned.
            now: the time that ages refer to (naive is UTC). Default: the present.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            MissingDependencyError: emotion counts, and its lexicon is not installed.
            ReadOnlyError: the memory was opened read-only, and this is no dry run.
        """
        return await prune(
            self._handle,
            user_id,
            PrunePolicy() if policy is None else policy,
            _moment_or_now("now", now),
            dry_run=checks.flag("dry_run", dry_run),
        )

    # Deleting

    @acts("delete")
    async def delete_memory(self, memory_id: str) -> None:
        """Delete a memory by its id: in a view only the user's own, otherwise of every user.

        Raises:
            NotFoundError: there is no such memory for this caller.
        """
        writer = await self._lazy.writer()
        ids: tuple[str, ...] = ()
        with suppress(InvalidInputError):  # what is no UUID matches no memory
            ids = checks.uuids("memory_id", [memory_id])
        where = RowFilter(kinds=(MEMORY,), ids=ids)
        if not ids or not await writer.delete(self._caller.scope, where):
            raise NotFoundError(
                f"there is no memory {checks.shown(memory_id)}",
                fix="Use the id of a stored MemoryEntry.",
            )

    @acts("delete")
    async def clear_history(self, conversation_id: str, keep_system_messages: bool = True) -> None:
        """Delete a conversation's messages; system messages stay unless asked otherwise.

        Where they do not stay, its title and whatever else was noted of it as a whole go, too.
        """
        checks.identifier("conversation_id", conversation_id)
        keep = checks.flag("keep_system_messages", keep_system_messages)
        writer = await self._lazy.writer()
        where = RowFilter(kinds=(MESSAGE,), roles=_NOT_SYSTEM if keep else ())
        scope = await reach.scope_in(self._handle, conversation_id)
        conversation_id = scope.conversation_id or conversation_id
        if await (await self._owners()).owned(conversation_id, scope.user_id):
            await writer.delete(scope, where)
            if not keep:
                await (await self._conversations()).forget(conversation_id)

    @acts("delete")
    async def delete_messages(
        self, message_ids: str | UUID | Sequence[str | UUID], conversation_id: str | None = None
    ) -> int:
        """Delete messages by id: in a view only the user's own, otherwise of every user.

        Args:
            message_ids: one id or many.
            conversation_id: delete only in this conversation; by default in all.

        Returns:
            How many rows were deleted. 0 is no error.

        Raises:
            InvalidInputError: an id is no UUID. Nothing was deleted.
        """
        ids = await in_thread_if(
            is_heavy(message_ids), lambda: checks.uuids("message_ids", message_ids)
        )
        writer = await self._lazy.writer()
        if conversation_id is None:
            scope = self._caller.scope
        else:
            scope = await reach.scope_in(self._handle, conversation_id)
        if not ids:
            return 0
        return await writer.delete(scope, RowFilter(kinds=(MESSAGE,), ids=ids))

    # Compression

    @acts("write")
    async def compress(
        self,
        user_id: str | AllUsers | None = None,
        *,
        conversation_id: str | None = None,
        policy: CompressionPolicy | dict[str, Any] | None = None,
        dry_run: bool = False,
    ) -> CompressionReport:
        """Put summaries in place of older turns; these are archived, and never lost.

        A block of turns gets one summary, which is a memory of the category "summary" with the ids
        of the turns in ``metadata.related_memories``. The turns are archived after it is stored:
        recall and built contexts show the summary then, :meth:`read_turns` and
        ``recall(include_archived=True)`` the turns, too, and :meth:`restore` undoes it.

        Args:
            user_id: whose conversations; ``ALL_USERS`` for everyone's. A view knows its user.
            conversation_id: only this one; its owner need not be named then.
            policy: what is compressed, when, and how much detail stays. By default that of the
                setting ``compression``, else :class:`~bruno_memory_vec.CompressionPolicy`'s own
                defaults.
            dry_run: say what would be compressed, and store nothing.

        Returns:
            What was done; a block that failed is in ``failures``, and its turns are as they were.

        Raises:
            InvalidInputError: the policy is not usable, or nothing says whose. Nothing was written.
            NotFoundError: there is no such conversation for this caller.
            ForeignUserError: the view or the conversation is another user's.
            ReadOnlyError: the memory is read-only; a dry run works all the same.
            EngineError: the rows cannot be read.
        """
        chosen = policy_of(self.config.compression if policy is None else policy)
        return await Compressor(self._handle, self._compression_locks).compress(
            chosen,
            user_id=user_id,
            conversation_id=conversation_id,
            dry_run=checks.flag("dry_run", dry_run),
        )

    @acts("write")
    async def restore(
        self,
        summary_id: str | UUID | None = None,
        *,
        conversation_id: str | None = None,
        user_id: str | None = None,
    ) -> RestoreReport:
        """Undo a compression: the turns are recalled as before, and their summaries are deleted.

        What :meth:`ConversationManager.archive` archived comes back by ``conversations.restore``.

        Args:
            summary_id: what this summary stands for. Of a session's or period's summary, all that
                the summaries stand for that it is made of.
            conversation_id: all of this conversation.
            user_id: alone, all of this user; in a view without anything else, its own.

        Raises:
            InvalidInputError: nothing says what.
            NotFoundError: there is no such summary or conversation for this caller.
            ForeignUserError: the view or the conversation is another user's.
            ReadOnlyError: the memory is read-only.
        """
        return await Compressor(self._handle, self._compression_locks).restore(
            summary_id, conversation_id=conversation_id, user_id=user_id
        )

    # Sessions

    @acts("write")
    async def create_session(
        self, user_id: str, metadata: dict[str, Any] | None = None
    ) -> SessionContext:
        """Begin a session, with a new conversation that becomes the user's current one."""
        user = self._caller.acting_for_named(user_id)
        await self._lazy.writer()
        return await (await self._conversations()).create_session(user, metadata)

    @acts("read")
    async def get_session(self, session_id: str) -> SessionContext | None:
        """A session, None where there is none for this caller."""
        return await (await self._conversations()).session(session_id, self._caller.user_id)

    @acts("read")
    async def list_sessions(
        self,
        user_id: str | AllUsers | None = None,
        *,
        active: bool | None = None,
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[SessionContext]:
        """A user's sessions, the newest first.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            active: only those that have not ended, or with False only those that have.
            limit: how many at most; None for all.
            after: the ``next`` of the page before.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            ForeignUserError: the view is another user's.
        """
        scope = await self._caller.search_scope(self._owners, user_id)
        limit = _page_size(limit)
        if active is not None:
            active = checks.flag("active", active)
        conversations = await self._conversations()
        return await conversations.sessions(scope.user_id, active, limit, after)

    @acts("write")
    async def end_session(self, session_id: str) -> None:
        """End a session.

        Raises:
            NotFoundError: there is no such session for this caller.
        """
        await self._lazy.writer()
        await (await self._conversations()).end_session(session_id, self._caller.user_id)

    @acts("read")
    async def get_context(self, user_id: str, session_id: str | None = None) -> ConversationContext:
        """The user's context, its messages oldest first.

        ``session_id`` is a conversation's id, as in ``BaseAssistant``, or a session's id; an
        unknown one is that of a conversation to begin, which is the user's as soon as something
        of the user's is stored there; until then it is anybody's. Without it, the user's current
        conversation is used; where that is archived as a whole, one that begins here. Its messages
        are the last turns as they were said: archived ones are among them, which
        :meth:`build_context` leaves out. When the user's next message is stored, what is recalled
        for it is put into this context.

        Raises:
            ForeignUserError: the conversation is another user's. In a view it is as one to begin.
        """
        user = self._caller.acting_for_named(user_id)
        if session_id is not None:
            checks.identifier("session_id", session_id)
        in_view = self._caller.user_id is not None
        if session_id is not None:
            shared = await reach.group_context(self._handle, user, session_id)
            if shared is not None:
                self._context_recall.remember(shared)
                return shared
        conversations = await self._conversations()
        context = await conversations.context(
            user, session_id, in_view=in_view, keeps=self._caller.may("write")
        )
        self._learning.seen(context)
        self._context_recall.remember(context)
        self._events.context_updated(
            "given",
            user,
            context.conversation_id,
            session_id=context.session.session_id,
            messages=len(context.messages),
        )
        return context

    @acts("read")
    async def get_user(self, user_id: str) -> UserContext:
        """A user's profile and preferences: what was set, and what was learned where nothing was.

        See :attr:`users`, which says of each value where it is from.
        """
        return await self.users.context(self._caller.acting_for_named(user_id))

    @acts("write")
    async def save_user(self, user: UserContext) -> None:
        """Store a user's profile and preferences; every later context has them.

        What was learned, and stands in ``user`` as it was given out, is not taken for set.
        """
        await self.users.save(user)

    @acts("read")
    async def get_statistics(self, user_id: str) -> dict[str, Any]:
        """How much a user has: total_messages, conversations, memories, and since when.

        A message counts in each conversation that it is in, so in each branch, too.
        """
        user = self._caller.acting_for_named(user_id)
        return await (await self._conversations()).statistics(user)

    # Erasure

    @acts("administer")
    async def apply_retention(
        self,
        policy: Mapping[str, float | None] | float | None = None,
        *,
        dry_run: bool = False,
        now: datetime | None = None,
    ) -> RetentionReport:
        """Delete the rows of all users that are older than a policy lets their kind be.

        Pinned rows are kept; what was made of a deleted row goes with it. :meth:`maintain` does
        the same where the setting ``retention_days`` is there.

        Args:
            policy: days by kind, as of the setting; None for the setting.
            dry_run: say what would be deleted, and delete nothing.
            now: the time that ages count from (naive is UTC). Default: the present.

        Raises:
            InvalidInputError: the policy is not usable, or there is none. Nothing was deleted.
            ReadOnlyError: the memory is read-only, and this is no dry run.
            EngineError: an engine failed.
        """
        self._caller.whole("retention")
        chosen = self.config.retention_days if policy is None else retention_of(policy)
        if chosen is None:
            raise InvalidInputError(
                "policy", "is missing, and there is no retention_days", fix="Give one of the two."
            )
        dry = checks.flag("dry_run", dry_run)
        at = _moment_or_now("now", now)
        return await retain(await self._lazy.get(), chosen, at, dry_run=dry)

    @acts("erase")
    async def forget_user(self, user_id: str, *, dry_run: bool = False) -> ErasureReceipt:
        """Erase everything of a user, in every file of the store, and look for what remains.

        Rows with their vectors and words, summaries and facts, sessions, profile, notes, owned
        conversations, old versions, the write-ahead log, the cache of vectors, and the snapshots
        that were made of the store. What is out of this process's reach is named in the receipt,
        with what to do about it. A killed process leaves a note, and the next opening goes on.

        Args:
            user_id: who; a view forgets its own user only.
            dry_run: say what would be erased, and change nothing.

        Returns:
            The receipt, which names the user by a salted hash only. It is kept in the store, too
            (:meth:`erasure_receipts`).

        Raises:
            InvalidInputError: the id is not usable.
            ForeignUserError: the view is another user's.
            ReadOnlyError: the memory is read-only. Nothing was erased.
            StoreError: a re-embedding is under way. Nothing was erased.
            EngineError: an engine failed. The next call or opening goes on.
        """
        user = self._caller.acting_for_named(user_id)
        dry = checks.flag("dry_run", dry_run)
        store = await self._lazy.get()
        receipt = await forget_in(store, user, dry_run=dry, also=self._forgetting)
        if not dry:
            self._shared.maintained = None  # it may have named the user
        return receipt

    @property
    def _forgetting(self) -> tuple[Forgets, ...]:
        return (self._extraction.forget_user,)

    @acts("read")
    async def remains(
        self, user_id: str, texts: Sequence[str] = (), *, stored: bool = True
    ) -> RemainsReport:
        """Look for what there is of a user, in every engine and every byte of the store's files.

        Args:
            user_id: who.
            texts: what is known of their texts; of each a piece is looked for.
            stored: look for pieces of what is stored of the user now, too.

        Raises:
            InvalidInputError: an argument is not usable.
            ForeignUserError: the view is another user's.
            EngineError: an engine cannot be asked, or a file not be read.
        """
        user = self._caller.acting_for_named(user_id)
        known = checks.questions("texts", texts)
        store = await self._lazy.get()
        traces = await traces_of(store, user, known) if checks.flag("stored", stored) else None
        return await look_for_remains(store, traces or traces_in(user, known))

    @acts("administer")
    async def erasure_receipts(self) -> list[ErasureReceipt]:
        """The receipts of all erasures in this store, the oldest first.

        Raises:
            EngineError: they cannot be read.
        """
        self._caller.whole("the list of erasures")
        return await keeping.receipts(keeping.kept(await self._lazy.get()))

    @acts("administer")
    async def verify_receipt(
        self, receipt: ErasureReceipt | Mapping[str, Any] | str | Path, user_id: str | None = None
    ) -> Verdict:
        """Whether a receipt is as this store gave it out.

        Args:
            receipt: the receipt, a dict of it, its JSON, or the path of its file.
            user_id: whose it should be.

        Raises:
            InvalidInputError: it is no receipt.
            EngineError: the signing key cannot be read.
        """
        given = receipt_of(receipt)
        if user_id is not None:
            user_id = checks.identifier("user_id", user_id)
        known = await keeping.known_keys(keeping.kept(await self._lazy.get()))
        keys = {key_name(key): key for key in known}
        return await asyncio.to_thread(verify_with, given, keys, user_id)

    # What is known of users

    @property
    def facts(self) -> FactManager:
        """Facts and preferences of users: extracted from what they say, or added by hand."""
        return FactManager(self._handle, self._extraction, self._learning.wait)

    # The older guide's names, which MemoryBackendRegistry asks for and ContextManager calls

    @acts("read")
    async def retrieve_context(
        self, user_id: str, query: str, limit: int = 10, conversation_id: str | None = None
    ) -> list[Message]:
        """The messages that answer ``query`` best, oldest first, as for a prompt.

        With a blank ``query`` it is the user's newest messages: the last turns of the conversation
        that is named, else the newest by their time.

        Raises: as :meth:`recall`.
        """
        limit = checks.limit("limit", limit)
        if not checks.question("query", query, blank=True).strip():
            scope = await reach.search_scope(self._handle, user_id, conversation_id)
            return await listing.newest_messages((await self._lazy.get()).rows, scope, limit)
        hits = await self.recall(
            query, user_id=user_id, k=limit, conversation_id=conversation_id, kinds="message"
        )
        ordered = sorted(hits, key=lambda hit: (hit.created_at, hit.turn or 0))
        return [found for found in await records(ordered) if isinstance(found, Message)]

    @acts("read")
    async def search_memories(self, user_id: str, query: str, limit: int = 5) -> list[MemoryEntry]:
        """The memories and messages that answer ``query`` best, best first.

        A message is found as an episodic memory: with its id, content, time and conversation, its
        metadata and its role in ``metadata.custom_fields``, and "message" as ``metadata.source``.
        With a blank ``query`` it is the newest of both, newest first. :meth:`retrieve_memories`
        finds memories only.

        Raises: as :meth:`recall`.
        """
        limit = checks.limit("limit", limit)
        if not checks.question("query", query, blank=True).strip():
            scope = await self._caller.search_scope(self._owners, user_id)
            return await listing.newest_memories((await self._lazy.get()).rows, scope, limit)
        user = self._caller.acting_for_named(user_id)
        hits = await self.recall(query, user_id=user, k=limit)
        return [
            found if isinstance(found, MemoryEntry) else episode(found, user, hit.conversation_id)
            for found, hit in zip(await records(hits), hits, strict=True)
        ]

    @acts("delete")
    async def clear_conversation(self, user_id: str, conversation_id: str) -> None:
        """Delete every message of a user's conversation.

        Raises:
            ForeignUserError: the conversation is another user's.
        """
        await self._caller.search_scope(self._owners, user_id, conversation_id)
        await self.clear_history(conversation_id, keep_system_messages=False)

    @acts("open")
    async def initialize(self) -> None:
        """As :meth:`connect`."""
        await self.connect()

    @acts("open")
    async def shutdown(self) -> None:
        """As :meth:`close`."""
        await self.close()

    # Managers

    @property
    def conversations(self) -> ConversationManager:
        """The life of conversations: lists, search, titles, seams, branches, contexts."""
        return ConversationManager(self._handle, self.users)

    @property
    def users(self) -> UserManager:
        """What is known of users: preferences, profile, facts, and how they write."""
        return UserManager(self._handle, self._learning)

    @property
    def conversational(self) -> ConversationalMemory:
        """SHORT_TERM memories, which expire or become lasting."""
        return ConversationalMemory(self, self._handle, self._kind_turns)

    @property
    def semantic(self) -> SemanticMemory:
        """LONG_TERM, SEMANTIC and FACT memories, each statement once."""
        return SemanticMemory(self, self._handle, self._kind_turns)

    @property
    def episodic(self) -> EpisodicMemory:
        """EPISODIC memories: events in time."""
        return EpisodicMemory(self, self._handle, self._kind_turns)

    @property
    def procedural(self) -> ProceduralMemory:
        """PROCEDURAL memories: how things are done, in steps."""
        return ProceduralMemory(self, self._handle, self._kind_turns)

    @property
    def analytics(self) -> Analytics:
        """What the memory holds, counted: growth, conversations, topics, use, repeats, cost."""
        return Analytics(self._handle)

    # Opened at first use

    @property
    def _handle(self) -> Handle:
        """What the managers work with; a view's has its caller."""
        # Every call asks for it, and a view begins with that of the memory it is made of.
        if self._last_handle is None or self._last_handle.caller is not self._caller:
            self._last_handle = Handle(
                self._lazy, self._caller, self._profile, self._throttle, self._llm, self._events
            )
        return self._last_handle

    async def _owners(self) -> Owners:
        return (await self._lazy.get()).owners

    async def _find(self, conversation_id: str) -> str:
        """A conversation that may be named by the id of a session that the caller may see."""
        found = await (await self._owners()).find(conversation_id, self._caller.user_id)
        return about_talk(found)

    async def _conversations(self) -> Conversations:
        store = await self._lazy.get()
        return Conversations(store, store.owners, self._events)


@dataclass(slots=True)
class _Shared:
    """The state that a memory and its views share."""

    maintained: dict[str, Any] | None = None


def _user_of(entries: Any) -> str:
    """The user of the first entry; empty where that is not known before they are checked."""
    named = getattr(entries[0], "user_id", "") if isinstance(entries, list) and entries else ""
    return named if isinstance(named, str) else ""


def _origin(origin: Any) -> str | None:
    if origin is None:
        return None
    (named,) = checks.names("origin", [origin], ORIGINS)
    return named


def _page_size(limit: int | None) -> int | None:
    return None if limit is None else checks.limit("limit", limit, largest=2**31)


def _settings(
    url: str | None,
    embedder: Any,
    profile: Any,
    read_only: bool | None,
    config: MemoryConfig | None,
    settings: dict[str, Any],
) -> MemoryConfig:
    """Settings from arguments, the environment and a config, as one."""
    given = dict(settings)
    if url is not None:
        if not isinstance(url, (str, os.PathLike)):
            raise InvalidInputError(
                "url", f"expected a text or a path, not {type(url).__name__}", fix="Name a folder."
            )
        given["url"] = str(url)
    if isinstance(embedder, str):
        given["embedder"] = embedder
    if isinstance(profile, str):
        given["profile"] = profile
    if read_only is not None:
        given["read_only"] = read_only
    config = one_config(config, given)
    checks.identifier("default_user", config.default_user)
    return pinned(config)


def _moment_or_now(field: str, value: datetime | None) -> datetime:
    return datetime.now(timezone.utc) if value is None else checks.moment(field, value)


def _asked_at(now: datetime | None, as_of: datetime | None) -> tuple[datetime, bool]:
    """The time that a recall refers to (timezone-aware), and whether it answers as of then."""
    if as_of is None:
        here = datetime.now(timezone.utc) if now is None else checks.local_moment("now", now)
        return here, False
    if now is not None:
        raise InvalidInputError(
            "now", "is given beside as_of, which sets it", fix="Give one of the two."
        )
    return checks.local_moment("as_of", as_of), True


class Opening:
    """A memory about to be opened: ``await`` it, or enter it with ``async with``."""

    def __init__(self, memory: VectorMemory) -> None:
        self._memory = memory

    def __await__(self) -> Generator[Any, None, VectorMemory]:
        return self._memory.connect().__await__()

    async def __aenter__(self) -> VectorMemory:
        return await self._memory.connect()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._memory.close()

    # Type-checkers know that none of these is there.
    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            known = hasattr(VectorMemory, name) or is_known_elsewhere(name)
            if name.startswith("_") or not known:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            raise AttributeError(
                f"the memory is not open yet, so there is no {name}. Write `memory = await "
                "open_memory(...)`, or `async with open_memory(...) as memory:`. "
                f"{_WITHOUT_ASYNCIO}"
            )

        def __enter__(self) -> NoReturn:
            raise TypeError(_ASYNC_WITH.format("open_memory(...)"))

        def __exit__(self, *error: object) -> None:
            """There is one, so that ``with`` asks for the other, which says what to write."""


_WITHOUT_ASYNCIO: Final = "In a program without asyncio, use open_memory of bruno_memory_vec.sync."
_ASYNC_WITH: Final = f"write `async with {{}} as memory:`. {_WITHOUT_ASYNCIO}"


def open_memory(
    url: str | None = None,
    *,
    embedder: str | Embedder | EmbeddingInterface | None = None,
    profile: str | Profile | None = None,
    read_only: bool | None = None,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
    projections: Sequence[Projection] = (),
    llm: LLMInterface | None = None,
    events: EventBus | None = None,
    **settings: Any,
) -> Opening:
    """Open a memory, or create it if there is none.

    Use it as ``memory = await open_memory("./memory")`` and close it yourself, or as
    ``async with open_memory("./memory") as memory``. The arguments are those of
    :class:`~bruno_memory_vec.VectorMemory`.

    Raises:
        InvalidInputError: a setting is not usable.
        StoreError: the folder is no store, is locked, or has another embedder or version.
        EngineError: an engine cannot be opened.
    """
    return Opening(
        VectorMemory(
            url,
            embedder=embedder,
            profile=profile,
            read_only=read_only,
            config=config,
            progress=progress,
            projections=projections,
            llm=llm,
            events=events,
            **settings,
        )
    )
