# Made from the asynchronous classes by `python scripts/sync_types.py`: change those, and run it.
"""The blocking memory, its managers, and the functions for whole stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal
from uuid import UUID

from bruno_core.events import EventBus
from bruno_core.interfaces.embedding import EmbeddingInterface
from bruno_core.interfaces.llm import LLMInterface
from bruno_core.models.config import MemoryConfig as BrunoMemoryConfig
from bruno_core.models.context import ConversationContext, SessionContext, UserContext
from bruno_core.models.memory import MemoryEntry, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.access import Access, AllUsers, Role
from bruno_memory_vec.acts import Action
from bruno_memory_vec.analytics.costs import Costs
from bruno_memory_vec.analytics.duplicates import Duplicates
from bruno_memory_vec.analytics.growth import Growth
from bruno_memory_vec.analytics.manager import Kind, Section
from bruno_memory_vec.analytics.performance import Performance
from bruno_memory_vec.analytics.periods import Period
from bruno_memory_vec.analytics.report import AnalyticsReport
from bruno_memory_vec.analytics.talks import By, ConversationPatterns
from bruno_memory_vec.analytics.topics import Topics
from bruno_memory_vec.analytics.usage import Usage
from bruno_memory_vec.compression.report import CompressionReport, RestoreReport
from bruno_memory_vec.compression_policy import CompressionPolicy
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.context import BuiltContext, Strategy
from bruno_memory_vec.context.known_line import KnownLine
from bruno_memory_vec.conversations.activity import Status
from bruno_memory_vec.conversations.boundaries import Segment
from bruno_memory_vec.conversations.branches import Branch
from bruno_memory_vec.conversations.groups import Group, Member
from bruno_memory_vec.conversations.listing import (
    ConversationSummary,
    ConversationTurn,
    Page,
    UserSummary,
)
from bruno_memory_vec.conversations.overview import ConversationInfo, FoundConversation
from bruno_memory_vec.conversations.summaries import Summary
from bruno_memory_vec.conversations.timeline import Order
from bruno_memory_vec.conversations.turn_taking import TurnBreak
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.knowledge.extraction.fact import Fact
from bruno_memory_vec.knowledge.extraction.facts import _Facts
from bruno_memory_vec.knowledge.extraction.report import ExtractionReport
from bruno_memory_vec.knowledge.kinds.consolidation import ConsolidationPolicy, ConsolidationReport
from bruno_memory_vec.knowledge.kinds.procedural import Procedure
from bruno_memory_vec.knowledge.kinds.view import Given
from bruno_memory_vec.knowledge.priorities.ranking import PrunePolicy, PruneReport, RowPriority
from bruno_memory_vec.knowledge.priorities.score import PriorityWeights
from bruno_memory_vec.knowledge.users.profile import Part, UserProfile
from bruno_memory_vec.memory import Kind as Kind_, Origin
from bruno_memory_vec.observability.recorder import OperationFigures
from bruno_memory_vec.portability.times import DayOrder
from bruno_memory_vec.portability.writers import ExportFormat
from bruno_memory_vec.privacy.anonymise.anonymiser import Anonymiser
from bruno_memory_vec.privacy.audit.reading import AuditReport
from bruno_memory_vec.privacy.erasure.receipt import ErasureReceipt, Verdict
from bruno_memory_vec.privacy.erasure.remains import RemainsReport
from bruno_memory_vec.prompts.token_bound import GivenCounter
from bruno_memory_vec.rankers import Profile
from bruno_memory_vec.recall.hits import Hit, Hits
from bruno_memory_vec.recall.strategies import RecallStrategy
from bruno_memory_vec.store.trail.entry import AuditEntry
from bruno_memory_vec.sync.background import Stream as Stream
from bruno_memory_vec.upkeep.backup.points import Point
from bruno_memory_vec.upkeep.backup.report import BackupCheck, BackupReport, PruneBackupReport
from bruno_memory_vec.upkeep.backup.sealing import Sealing
from bruno_memory_vec.upkeep.check import Check
from bruno_memory_vec.upkeep.copying.report import CopyReport
from bruno_memory_vec.upkeep.copying.run import Others
from bruno_memory_vec.upkeep.encrypting.report import EncryptionReport
from bruno_memory_vec.upkeep.exporting.report import ExportReport
from bruno_memory_vec.upkeep.exporting.run import ExportKind
from bruno_memory_vec.upkeep.intake.report import IngestReport
from bruno_memory_vec.upkeep.intake.sources import Given as Given_
from bruno_memory_vec.upkeep.maintenance import MaintenanceReport
from bruno_memory_vec.upkeep.migrations.report import MigrationReport
from bruno_memory_vec.upkeep.reembedding.report import ReembedReport
from bruno_memory_vec.upkeep.repair import RepairReport
from bruno_memory_vec.upkeep.retention import RetentionReport
from bruno_memory_vec.upkeep.snapshots import SnapshotReport
from bruno_memory_vec.writing.projections import Progress, Projection

__all__ = [
    "Analytics",
    "ConversationManager",
    "ConversationalMemory",
    "EpisodicMemory",
    "FactManager",
    "Memory",
    "ProceduralMemory",
    "SemanticMemory",
    "Stream",
    "UserManager",
    "backup_store",
    "copy_store",
    "decrypt_store",
    "diagnose_store",
    "encrypt_store",
    "list_backup",
    "migrate",
    "open_memory",
    "prune_backup",
    "reembed",
    "repair_store",
    "restore_backup",
    "rotate_key",
    "snapshot_store",
    "verify_backup",
]

class Analytics:
    """What a memory holds, counted; of a view what its user's rows say. ``memory.analytics``.

    Every method reads rows as a stream and changes nothing. Whose rows are counted is named as for
    ``list_conversations``: a view knows its user, and ``ALL_USERS`` is for the whole memory. Times
    without a time zone are UTC. Results are frozen; each has ``to_dict()``, ``to_pandas()``,
    ``to_polars()``, ``to_arrow()`` and ``plot()``, and prints itself.

    Args:
        handle: the memory, and whose calls these are.
    """

    def conversations(
        self,
        user_id: str | AllUsers | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        zone: Any = "UTC",
        by: By = "role",
    ) -> ConversationPatterns:
        """How conversations go: lengths, hours and weekdays, gaps, who speaks and how fast.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            since: only messages of this time or later.
            until: only messages before this time.
            zone: the time zone of hours and weekdays.
            by: "role" tells speakers apart by their role, "speaker" by the name that stands before
                their texts ("Ana: ..."), where there is one.

        Raises: as :meth:`growth`.
        """

    def costs(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        zone: Any = "UTC",
    ) -> Costs:
        """What the language model and the embedder of this memory cost, by model and day.

        It is what bruno-llm's trackers have counted in this process; nothing of it is stored, and
        nobody counts by user. So it is for the whole memory only.

        Args:
            since: only requests of this time or later.
            until: only requests before this time.
            zone: the time zone of days.

        Raises:
            ForeignUserError: the caller is a view.
            InvalidInputError: an argument is not usable.
        """

    def duplicates(
        self,
        user_id: str | AllUsers | None = None,
        *,
        bound: float = 0.95,
        limit: int = 50,
        since: datetime | None = None,
        until: datetime | None = None,
        kinds: Kind | list[Kind] | tuple[Kind, ...] | None = None,
    ) -> Duplicates:
        """Rows that repeat others, word for word or nearly. Nothing is deleted.

        Rows of two users are never compared. The time grows with the square of a user's rows; how
        it is kept small is told in :mod:`.duplicates`.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's, each by itself. A view knows its user.
            bound: the least cosine of two rows that are alike, 0.5 to 1.
            limit: how many groups are told, 1 to 1000.
            since: only what was said or stored at this time or later.
            until: only what was before this time.
            kinds: "message", "memory" or both.

        Raises: as :meth:`growth`.
        """

    def growth(
        self,
        user_id: str | AllUsers | None = None,
        *,
        by: Period | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        zone: Any = "UTC",
    ) -> Growth:
        """How rows, users, conversations, characters and bytes have grown.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            by: "day", "week", "month" or "year"; None takes the shortest with at most 60 periods.
            since: only what was said or stored at this time or later.
            until: only what was before this time.
            zone: the time zone of days, a name such as "Europe/Berlin" or a ``tzinfo``.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            ForeignUserError: the view is another user's.
            EngineError: an engine failed.
        """

    def performance(self) -> Performance:
        """How often each operation was called since the memory was made, and how long it took.

        It is about all users' calls in this process, so it is for the whole memory only, and there
        is something where the memory was opened with ``metrics``.

        Raises:
            ForeignUserError: the caller is a view.
        """

    def report(
        self,
        user_id: str | AllUsers | None = None,
        *,
        sections: Section | list[Section] | tuple[Section, ...] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        zone: Any = "UTC",
        by: Period | None = None,
        limit: int = 10,
    ) -> AnalyticsReport:
        """Several of these together, with their defaults.

        Without scikit-learn there are no topics, and ``left_out`` says so, unless ``sections``
        names them.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            sections: "growth", "conversations", "topics", "usage" and "duplicates", or some of
                them; None for all.
            since: only what was said or stored at this time or later.
            until: only what was before this time.
            zone: the time zone of days and hours.
            by: how long a period is.
            limit: how many rows or groups a list has.

        Raises: as :meth:`growth`.
        """

    def topics(
        self,
        user_id: str | AllUsers | None = None,
        *,
        k: int | None = None,
        words: int = 10,
        examples: int = 3,
        since: datetime | None = None,
        until: datetime | None = None,
        kinds: Kind | list[Kind] | tuple[Kind, ...] | None = None,
        by: Period | None = None,
        zone: Any = "UTC",
        seed: int = 0,
    ) -> Topics:
        """What is talked about: clusters of the vectors, named by their telling words.

        The same rows with the same seed give the same topics. How they are made is told in
        :mod:`.topics`, :mod:`.clusters` and :mod:`.words`.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            k: how many topics, 1 to 200; None lets the criterion choose.
            words: how many words name a topic, 1 to 50.
            examples: how many rows are shown of each, 0 to 50.
            since: only what was said or stored at this time or later.
            until: only what was before this time.
            kinds: "message", "memory" or both.
            by: how long a period of a trend is; None takes the shortest with at most 60 periods.
            zone: the time zone of days.
            seed: of k-means.

        Raises:
            MissingDependencyError: scikit-learn is not installed.
            as :meth:`growth`.
        """

    def usage(
        self,
        user_id: str | AllUsers | None = None,
        *,
        limit: int = 10,
        stale_days: float = 90,
        since: datetime | None = None,
        until: datetime | None = None,
        kinds: Kind | list[Kind] | tuple[Kind, ...] | None = None,
        now: datetime | None = None,
    ) -> Usage:
        """Which rows are recalled most and least, which never, and which not for long.

        A row counts as recalled each time that a recall gives it out, also into a context.

        Args:
            user_id: whose; ``ALL_USERS`` for everyone's. A view knows its user.
            limit: how many rows each list has, 1 to 1000.
            stale_days: a row is stale that was neither stored nor recalled for so many days.
            since: only what was said or stored at this time or later.
            until: only what was before this time.
            kinds: "message", "memory" or both.
            now: the time that ages refer to (naive is UTC). Default: the present.

        Raises: as :meth:`growth`.
        """

class ConversationManager:
    """The conversations of a memory, or of a view its user's. ``memory.conversations`` is one.

    A conversation is named by its id, or by the id of a session of it. In a view, another user's is
    like one that does not exist. What changes something raises a ``ReadOnlyError`` where the memory
    was opened with ``read_only``. Times are timezone-aware, UTC.

    Args:
        handle: the memory, and whose calls these are.
        people: what is known of users.
    """

    def add_member(self, conversation_id: str, member: str) -> Group:
        """Let somebody into a conversation of several members. They see what was said before.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            NotPermittedError: the caller is a member who did not begin it.
        """

    def archive(self, conversation_id: str, *, memories: bool = False) -> int:
        """Archive a conversation: it is kept, and left out of recalls and of built contexts.

        Its messages and summaries are archived. ``recall(..., include_archived=True)``,
        :meth:`turns`, the memory's ``read_turns`` and, where it is named, ``get_context`` show them
        as before; it is nobody's current one any more. What is stored in it
        later is not archived, and makes the conversation active again; what was there before stays
        archived until :meth:`restore`.

        Args:
            conversation_id: which.
            memories: also its other memories: the facts that were extracted from it, and what was
                given with its id. They say something about the user, so they stay by default.

        Returns:
            How many rows were archived.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """

    def boundaries(
        self,
        conversation_id: str,
        *,
        gap: timedelta | None = ...,
        topic: float | None = 1.5,
        window: int = 8,
    ) -> Sequence[Segment]:
        """The segments of a conversation: a new one begins after a long pause or with a new topic.

        Topics are told apart by the vectors that are stored; nothing is embedded.

        Args:
            conversation_id: which.
            gap: the least pause that is a seam; None for no such seam.
            topic: how many standard deviations above the mean of all places the contrast of a place
                has to be, 0 to 10; less finds more seams. None for no such seam.
            window: how many turns on either side are compared, 1 to 100.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: an argument is not usable.
        """

    def branches(self, conversation_id: str) -> Branch:
        """The tree of branches that a conversation is in, from the first conversation on.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """

    def create(
        self,
        members: Sequence[str],
        *,
        user_id: str | None = None,
        title: str | None = None,
    ) -> Group:
        """Begin a conversation of several members, each of whom may read and write it.

        Its messages are nobody's private rows. Each says in ``metadata["author"]`` who spoke.
        ``recall`` and built contexts of a member have it; ``get_context`` gives it where its id is
        named.

        Args:
            members: the others.
            user_id: who begins it, and may add and remove members and delete it. A view knows its
                user.
            title: of the conversation, 80 characters at most; None for its first words.

        Raises:
            InvalidInputError: an argument is not usable. Nothing was written.
        """

    def current(self, user_id: str | None = None) -> str | None:
        """The conversation that ``get_context`` without an id gives; None where it makes one.

        Raises:
            InvalidInputError: nobody is named.
        """

    def delete(self, conversation_id: str) -> None:
        """Delete a conversation: messages, summaries, title, sessions. Its branches stay.

        A fact that was extracted from its messages goes with them, unless another one says it, too.
        Memories that were given with its id stay: delete them by ``delete_memory``. There is no
        such conversation any more until something is stored under its id, which stays its owner's;
        turns are then counted on from where they were.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """

    def delete_session(self, session_id: str) -> None:
        """Forget a session; its conversation and messages stay.

        Raises:
            NotFoundError: there is no such session for this caller.
        """

    def end(self, conversation_id: str) -> None:
        """End a conversation and its sessions. Its messages stay, and are recalled as before.

        The user's next context without an id is that of a new conversation. Something that is
        stored in it later, or :meth:`resume`, makes it go on.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """

    def fork(
        self,
        conversation_id: str,
        turn: int | None = None,
        *,
        title: str | None = None,
        switch: bool = True,
    ) -> ConversationInfo:
        """Fork a conversation: a branch that has its turns up to one, and goes on by itself.

        The past is stored in the branch with its ids, times and vectors, in one commit: all of it
        or nothing. A recall shows each message once. What is done in one does not change the other.

        Args:
            conversation_id: which.
            turn: the last turn that the branch has, as :meth:`turns` numbers them (what is deleted
                leaves gaps); None for the newest. Where it is a call of tools, the results that
                follow come along.
            title: of the branch; None for its first words.
            switch: the branch becomes the user's current conversation.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: there is no such turn. Nothing was written.
        """

    def from_context(self, context: ConversationContext) -> int:
        """Store a whole context that somebody has made: its messages, its session, its user.

        What the memory put into it is left out; of its user, what was learned is not set, as with
        ``save_user``. Called again with the same context, it stores nothing.
        Of the user, what the context says nothing of stays as it is.

        Returns:
            How many messages were stored, new or changed.

        Raises:
            InvalidInputError: a field cannot be kept. Nothing was written.
            ForeignUserError: the conversation or the session is another user's. Nothing was
                written.
        """

    def get(self, conversation_id: str) -> ConversationInfo:
        """A conversation as a whole.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """

    def groups(self, user_id: str | None = None) -> Sequence[Group]:
        """The conversations of several members that somebody is in.

        Args:
            user_id: who. A view knows its user.

        Raises:
            InvalidInputError: nobody is named.
        """

    def list(
        self,
        user_id: str | None = None,
        *,
        status: Status | Sequence[Status] | None = None,
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[ConversationInfo]:
        """A user's conversations, the one in which something happened last first.

        It reads a few columns of all the user's messages.

        Args:
            user_id: whose. A view knows its user.
            status: only those of one of these; None for all.
            limit: how many at most; None for all.
            after: the ``next`` of the page before.

        Raises:
            InvalidInputError: an argument is not usable, or nobody is named.
        """

    def make_title(
        self,
        conversation_id: str,
        *,
        llm: LLMInterface | None = None,
        replace: bool = False,
        timeout: float = 30.0,
    ) -> str:
        """Let a model make a title of the first turns, and keep it.

        It goes when one of the turns that it was made of is deleted, or stored with another text.

        Args:
            conversation_id: which.
            llm: the model; by default that of the memory.
            replace: also where somebody has given a title. Else that one stays, and is returned.
            timeout: the most seconds to wait.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: there is no model, or nothing was said yet; nobody was asked. Or what
                was said was deleted or changed meanwhile; there is no new title then.
            LLMFailed: the model gave no title. The one before stays.
        """

    def members(self, conversation_id: str) -> Sequence[Member]:
        """Who is and was in a conversation of several members.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: it is one user's.
        """

    def remove_member(self, conversation_id: str, member: str) -> Group:
        """Take somebody out of a conversation of several members, or leave it oneself.

        They may still read the turns until now, and see none that comes.

        Raises:
            NotFoundError: there is no such conversation for this caller, or they are not in it.
            NotPermittedError: the caller is another member who did not begin it.
        """

    def rename(self, conversation_id: str, title: str | None) -> None:
        """Give a conversation a title; with None it is its first words again.

        It stays, whatever messages are deleted, until the conversation is deleted.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: the title is blank or longer than 80 characters.
        """

    def restore(self, conversation_id: str) -> int:
        """Undo :meth:`archive`, and nothing else: what a summary stands for stays archived.

        That comes back by :meth:`VectorMemory.restore <bruno_memory_vec.VectorMemory.restore>`.

        Returns:
            How many rows are not archived any more.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: it is not archived.
        """

    def resume(self, conversation_id: str) -> SessionContext:
        """Go on with a conversation: it becomes the user's current one, in a session of its own.

        The session that is active goes on; where there is none, or it has expired, the next one
        begins.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: it is archived; :meth:`restore` it first.
        """

    def search(
        self,
        query: str,
        user_id: str | None = None,
        *,
        limit: int = 10,
        hits_each: int = 3,
        status: Status | Sequence[Status] | None = None,
        include_archived: bool = False,
    ) -> Sequence[FoundConversation]:
        """The conversations that answer a question best: by what was said, summaries and titles.

        Args:
            query: a question or any text.
            user_id: whose. A view knows its user.
            limit: how many conversations, 1 to 1000.
            hits_each: how many hits of each, 1 to 100.
            status: only those of one of these; None for all.
            include_archived: also those that are archived, and archived turns.

        Raises:
            InvalidInputError: an argument is not usable, or nobody is named.
            EngineError, EmbeddingError: the search failed.
        """

    def session_status(self, session_id: str) -> Status:
        """The status of a session: created (nothing was said since), active, idle, ended, archived.

        Raises:
            NotFoundError: there is no such session for this caller.
        """

    def start(
        self,
        user_id: str | None = None,
        *,
        title: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> SessionContext:
        """Begin a conversation, with a session; it becomes the user's current one.

        Args:
            user_id: whose. A view knows its user.
            title: of the conversation, 80 characters at most; None for its first words.
            metadata: of the session.

        Raises:
            InvalidInputError: an argument is not usable, or nobody is named. Nothing was written.
        """

    def summary(self, conversation_id: str) -> Summary:
        """What a conversation is about: of the summaries that are stored, else of its own turns.

        Nothing is written, and no model is asked.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """

    def switch(self, conversation_id: str) -> None:
        """Make a conversation the user's current one: ``get_context`` without an id gives it.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: it is archived; :meth:`restore` it first.
        """

    def to_context(
        self,
        conversation_id: str,
        *,
        max_messages: int | None = None,
    ) -> ConversationContext:
        """A conversation as bruno-core's context: user, session and last messages, oldest first.

        Unlike ``get_context`` it changes nothing: no session begins, and nothing is recalled.

        Args:
            conversation_id: which.
            max_messages: how many messages at most, 1 to 1000; None for 1000.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """

    def turn_breaks(self, conversation_id: str) -> Sequence[TurnBreak]:
        """Where a conversation is not question, answer, question, answer.

        Two user's turns in a row, an answer without a question, calls of tools without results and
        results without calls.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """

    def turns(
        self,
        conversation_id: str,
        *,
        limit: int | None = 100,
        after: str | None = None,
        newest_first: bool = False,
    ) -> Page[ConversationTurn]:
        """The turns of a conversation, in the order of the calls that stored them, page by page.

        No page ends between a call of tools and its results; it may be longer by them.

        Args:
            conversation_id: which.
            limit: how many at most; None for all.
            after: the ``next`` of the page before.
            newest_first: begin with the newest.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: an argument is not usable.
        """

class ConversationalMemory:
    """What matters for a while: SHORT_TERM memories, which expire.

    :meth:`consolidate` makes lasting ones of those that were used, or are important.
    """

    def add(
        self,
        content: str | MemoryEntry,
        *,
        user_id: str | None = None,
        conversation_id: str | None = None,
        ttl: timedelta | None = None,
        category: str | None = None,
        tags: Sequence[str] = (),
        importance: float = 0.5,
        confidence: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
        origin: Given = "given",
    ) -> MemoryEntry:
        """Store a memory that expires.

        Args:
            content: its text, or a whole entry of the type SHORT_TERM.
            user_id: whose; a view knows its user.
            conversation_id: where it is from.
            ttl: how long it lives. Default: the setting ``short_term_ttl``, else a day. An entry
                with ``expires_at`` has it already.
            category: a name to find it by.
            tags: names to find it by.
            importance: 0..1.
            confidence: 0..1.
            metadata: its ``custom_fields``.
            origin: who it comes from.

        Returns:
            The memory as it is stored.

        Raises:
            InvalidInputError: a value is not usable. Nothing was written.
            ForeignUserError: the view or the conversation is another user's.
            ReadOnlyError, EmbeddingError, EngineError: it was not stored.
        """

    def consolidate(
        self,
        policy: ConsolidationPolicy | None = None,
        *,
        user_id: str | None = None,
        dry_run: bool = False,
    ) -> ConsolidationReport:
        """Make lasting memories of those that a policy chooses.

        A lasting one says the same, and links to the short-term ones that it is from; these are
        archived, expire no more, and say in ``custom_fields["consolidated_into"]`` what they have
        become. A statement that is known already is strengthened. It can be stopped at any moment
        and done again: nothing is lost, nothing doubled.

        Args:
            policy: which; default :class:`ConsolidationPolicy`.
            user_id: whose; a view knows its user.
            dry_run: only say which.

        Raises:
            ReadOnlyError: the store was opened read-only.
            EngineError: it was stopped by a failure; call it again.
        """

    default_type: ClassVar[MemoryType]

    def delete(self, memory_id: str | UUID, *, user_id: str | None = None) -> None:
        """Delete a memory.

        Raises:
            NotFoundError: there is no such memory of this kind for this caller.
        """

    def get(self, memory_id: str | UUID, *, user_id: str | None = None) -> MemoryEntry | None:
        """A memory by its id; None where there is none of this kind for this caller.

        Raises:
            InvalidInputError: the id is no UUID.
        """

    def list(
        self,
        *,
        user_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        include_expired: bool = False,
        include_archived: bool = False,
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[MemoryEntry]:
        """The memories of this kind, the newest first, as ``VectorMemory.list_memories``."""

    name: ClassVar[str]

    origins: ClassVar[tuple[str, ...] | None]

    def recall(
        self,
        query: str,
        *,
        user_id: str | None = None,
        k: int = 10,
        conversation_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        min_importance: float = 0.0,
        min_confidence: float = 0.0,
        include_archived: bool = False,
        now: datetime | None = None,
    ) -> Hits:
        """The memories of this kind that answer ``query`` best, as ``VectorMemory.recall``."""

    types: ClassVar[tuple[MemoryType, ...]]

    def update(
        self,
        memory_id: str | UUID,
        *,
        user_id: str | None = None,
        content: str | None = None,
        category: str | None = None,
        tags: Sequence[str] | None = None,
        importance: float | None = None,
        confidence: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        expires_at: datetime | None = None,
    ) -> MemoryEntry:
        """Change a memory; what is not named stays. Returns it as it is stored now.

        ``metadata`` is joined to its ``custom_fields``; a key with None is taken out. A fact with
        another text is no fact any more, unless ``metadata`` gives its "attribute" and "value":
        ``facts`` and the user's profile know nothing of it, and the memory stays.

        Raises:
            NotFoundError: there is no such memory of this kind for this caller.
            InvalidInputError: a value cannot be kept. Nothing was written.
        """

class EpisodicMemory:
    """Events: EPISODIC memories, each at its time, which is its ``created_at``.

    Summaries of conversations are EPISODIC rows, too, and are no events: they are not shown here.
    """

    def add(
        self,
        event: str | MemoryEntry,
        *,
        at: datetime | None = None,
        ended_at: datetime | None = None,
        participants: Sequence[str] = (),
        place: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        category: str | None = None,
        tags: Sequence[str] = (),
        importance: float = 0.5,
        confidence: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
        origin: Given = "given",
    ) -> MemoryEntry:
        """Store an event.

        Args:
            event: what happened, or a whole entry of the type EPISODIC, whose ``created_at`` is
                its time.
            at: when it happened or begins (naive is UTC); it may be in the future. Default: now.
            ended_at: when it ended.
            participants: the names of those who were there.
            place: where.
            user_id: whose memory it is; a view knows its user.
            conversation_id: where it was told.
            category: a name to find it by.
            tags: names to find it by.
            importance: 0..1.
            confidence: 0..1.
            metadata: further ``custom_fields``.
            origin: who it comes from.

        Returns:
            The memory as it is stored.

        Raises:
            InvalidInputError: a value is not usable, or it ended before it began. Nothing was
                written.
            ForeignUserError: the view or the conversation is another user's.
            ReadOnlyError, EmbeddingError, EngineError: it was not stored.
        """

    def after(
        self,
        event: datetime | str | UUID | MemoryEntry,
        *,
        user_id: str | None = None,
        participants: str | Sequence[str] | None = None,
        place: str | None = None,
        limit: int = 10,
    ) -> Page[MemoryEntry]:
        """The events after a time or an event, the nearest first. As :meth:`around`."""

    def around(
        self,
        at: datetime | str | UUID | MemoryEntry,
        *,
        user_id: str | None = None,
        participants: str | Sequence[str] | None = None,
        place: str | None = None,
        limit: int = 10,
    ) -> Page[MemoryEntry]:
        """The events nearest to a time or to an event, in the order of time; itself among them.

        Args:
            at: a time (naive is UTC), an event, or an event's id.
            user_id: whose; a view knows its user.
            participants: only those at which any of these was present.
            place: only those at this place.
            limit: how many at most.

        Raises:
            NotFoundError: there is no such event for this caller.
            InvalidInputError: an argument is not usable, or nothing says whose.
        """

    def before(
        self,
        event: datetime | str | UUID | MemoryEntry,
        *,
        user_id: str | None = None,
        participants: str | Sequence[str] | None = None,
        place: str | None = None,
        limit: int = 10,
    ) -> Page[MemoryEntry]:
        """The events before a time or an event, the nearest first. As :meth:`around`."""

    def between(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        user_id: str | None = None,
        participants: str | Sequence[str] | None = None,
        place: str | None = None,
        order: Literal["oldest", "newest"] = "oldest",
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[MemoryEntry]:
        """The events that began in a time, in their order.

        Args:
            since: at this time or later (naive is UTC); None for the first ones.
            until: before this time; None for the last ones.
            user_id: whose; a view knows its user.
            participants: only those at which any of these was present.
            place: only those at this place.
            order: "oldest" or "newest" first.
            limit: how many at most; None for all.
            after: the ``next`` of the page before, of a call with the same arguments.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            ForeignUserError: the view is another user's.
        """

    default_type: ClassVar[MemoryType]

    def delete(self, memory_id: str | UUID, *, user_id: str | None = None) -> None:
        """Delete a memory.

        Raises:
            NotFoundError: there is no such memory of this kind for this caller.
        """

    def get(self, memory_id: str | UUID, *, user_id: str | None = None) -> MemoryEntry | None:
        """A memory by its id; None where there is none of this kind for this caller.

        Raises:
            InvalidInputError: the id is no UUID.
        """

    def list(
        self,
        *,
        user_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        include_expired: bool = False,
        include_archived: bool = False,
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[MemoryEntry]:
        """The events, the latest first; see :meth:`between` for a part of them."""

    name: ClassVar[str]

    origins: ClassVar[tuple[str, ...] | None]

    def recall(
        self,
        query: str,
        *,
        user_id: str | None = None,
        k: int = 10,
        conversation_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        min_importance: float = 0.0,
        min_confidence: float = 0.0,
        include_archived: bool = False,
        now: datetime | None = None,
    ) -> Hits:
        """The memories of this kind that answer ``query`` best, as ``VectorMemory.recall``."""

    types: ClassVar[tuple[MemoryType, ...]]

    def update(
        self,
        memory_id: str | UUID,
        *,
        user_id: str | None = None,
        content: str | None = None,
        category: str | None = None,
        tags: Sequence[str] | None = None,
        importance: float | None = None,
        confidence: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        expires_at: datetime | None = None,
    ) -> MemoryEntry:
        """Change a memory; what is not named stays. Returns it as it is stored now.

        ``metadata`` is joined to its ``custom_fields``; a key with None is taken out. A fact with
        another text is no fact any more, unless ``metadata`` gives its "attribute" and "value":
        ``facts`` and the user's profile know nothing of it, and the memory stays.

        Raises:
            NotFoundError: there is no such memory of this kind for this caller.
            InvalidInputError: a value cannot be kept. Nothing was written.
        """

class FactManager:
    """The facts of a memory's users.

    A fact is a memory: recall finds it, ``get_memory`` and ``delete_memory`` know its id. One that
    another one has superseded is archived, and stays in :meth:`history`.

    Args:
        handle: the memory, and whose calls these are.
        background: extraction in the background, whose locks are shared.
        learned: waits until the profiles of users follow what was stored.
    """

    def add(
        self,
        attribute: str,
        value: str,
        *,
        user_id: str | None = None,
        subject: str = "user",
        confidence: float = 1.0,
        sources: Sequence[str | UUID] = (),
        said_at: datetime | None = None,
    ) -> Fact:
        """Add a fact by hand. It strengthens or supersedes others as one that was extracted does.

        Args:
            attribute: such as "home", "likes", "favourite film".
            value: its value.
            user_id: of which user; a view knows its user.
            subject: whom it is about, "user" or a name.
            confidence: 0..1.
            sources: the ids of messages of the user that say it.
            said_at: when it was said (naive is UTC). Default: when its sources were, else now.

        Returns:
            The fact as it is stored; it may be the past of one that was said later, and a name that
            of one that is surer.

        Raises:
            InvalidInputError: an argument is not usable, or a source is no message of the user.
            ForeignUserError: the view is another user's.
            ReadOnlyError, EngineError, EmbeddingError: it was not stored, or not all of what it
                changes. Call it again.
        """

    def extract(
        self,
        conversation_id: str | None = None,
        *,
        user_id: str | None = None,
        since: datetime | None = None,
        method: Literal["patterns", "llm"] | None = None,
        dry_run: bool = False,
    ) -> ExtractionReport:
        """Extract facts from stored turns now, whatever was read before.

        Turns that were read before change nothing: a fact counts each of its turns once.

        Args:
            conversation_id: only from this conversation; its owner is the user. A session's id
                names its conversation.
            user_id: of which user; a view knows its user.
            since: only from turns of this time or later (naive is UTC).
            method: "patterns", or "llm" for the memory's model. Default: as the setting ``extract``
                says; where that is "off", the model if there is one.
            dry_run: say what would change, and store nothing.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose turns.
            ForeignUserError: the conversation, or the view, is another user's.
            ReadOnlyError, EngineError, EmbeddingError: not all was stored. Call it again.
        """

    def history(
        self,
        user_id: str | None = None,
        *,
        attribute: str | None = None,
        subject: str | None = None,
    ) -> _Facts:
        """All facts, also those that hold no more, in the order in which they were said first.

        Raises: as :meth:`list`.
        """

    def list(
        self,
        user_id: str | None = None,
        *,
        attribute: str | None = None,
        subject: str | None = None,
        min_confidence: float = 0.0,
    ) -> _Facts:
        """The facts that hold, the one that was said last first.

        Args:
            user_id: of which user; a view knows its user.
            attribute: only this one.
            subject: only about "user", or a name.
            min_confidence: 0..1, inclusive.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            ForeignUserError: the view is another user's.
        """

    def wait(self) -> None:
        """Read now what waits to be extracted in the background, and return when that is done.

        The profiles of the users have it then. Extraction that has failed is in ``health()``, and
        is tried again later.

        Raises:
            EngineError: a profile could not be taken from the rows, or not be saved.
        """

class ProceduralMemory:
    """How things are done: PROCEDURAL memories, each a task with its steps."""

    def add(
        self,
        task: str | MemoryEntry,
        steps: Sequence[str] = (),
        *,
        user_id: str | None = None,
        conversation_id: str | None = None,
        category: str | None = None,
        tags: Sequence[str] = (),
        importance: float = 0.5,
        confidence: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
        origin: Given = "given",
    ) -> Procedure:
        """Store how a task is done.

        Args:
            task: what it is for ("reset the router"), or a whole entry of the type PROCEDURAL.
            steps: what to do, in this order. An entry has them in its text.
            user_id: whose; a view knows its user.
            conversation_id: where it is from.
            category: a name to find it by.
            tags: names to find it by.
            importance: 0..1.
            confidence: 0..1.
            metadata: further ``custom_fields``.
            origin: who it comes from.

        Raises:
            InvalidInputError: a value is not usable, or a text has no steps. Nothing was written.
            ForeignUserError: the view or the conversation is another user's.
            ReadOnlyError, EmbeddingError, EngineError: it was not stored.
        """

    def change_steps(
        self,
        memory_id: str | UUID,
        steps: Sequence[str],
        *,
        user_id: str | None = None,
    ) -> Procedure:
        """Replace the steps. What has worked is counted anew: it was another procedure.

        Raises:
            NotFoundError: there is no such procedure for this caller.
            InvalidInputError: there are no steps, or one cannot be kept.
        """

    default_type: ClassVar[MemoryType]

    def delete(self, memory_id: str | UUID, *, user_id: str | None = None) -> None:
        """Delete a memory.

        Raises:
            NotFoundError: there is no such memory of this kind for this caller.
        """

    def find(
        self,
        task: str,
        *,
        user_id: str | None = None,
        k: int = 3,
        tags: str | Sequence[str] | None = None,
    ) -> list[Procedure]:
        """The procedures for a task ("how do I reset the router?"), best first.

        Of those that fit, the ones that have worked come before the ones that have not.

        Raises: as :meth:`recall`.
        """

    def get(self, memory_id: str | UUID, *, user_id: str | None = None) -> MemoryEntry | None:
        """A memory by its id; None where there is none of this kind for this caller.

        Raises:
            InvalidInputError: the id is no UUID.
        """

    def list(
        self,
        *,
        user_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        include_expired: bool = False,
        include_archived: bool = False,
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[MemoryEntry]:
        """The memories of this kind, the newest first, as ``VectorMemory.list_memories``."""

    name: ClassVar[str]

    origins: ClassVar[tuple[str, ...] | None]

    def recall(
        self,
        query: str,
        *,
        user_id: str | None = None,
        k: int = 10,
        conversation_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        min_importance: float = 0.0,
        min_confidence: float = 0.0,
        include_archived: bool = False,
        now: datetime | None = None,
    ) -> Hits:
        """The memories of this kind that answer ``query`` best, as ``VectorMemory.recall``."""

    types: ClassVar[tuple[MemoryType, ...]]

    def update(
        self,
        memory_id: str | UUID,
        *,
        user_id: str | None = None,
        content: str | None = None,
        category: str | None = None,
        tags: Sequence[str] | None = None,
        importance: float | None = None,
        confidence: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        expires_at: datetime | None = None,
    ) -> MemoryEntry:
        """Change a memory; what is not named stays. Returns it as it is stored now.

        ``metadata`` is joined to its ``custom_fields``; a key with None is taken out. A fact with
        another text is no fact any more, unless ``metadata`` gives its "attribute" and "value":
        ``facts`` and the user's profile know nothing of it, and the memory stays.

        Raises:
            NotFoundError: there is no such memory of this kind for this caller.
            InvalidInputError: a value cannot be kept. Nothing was written.
        """

    def used(self, memory_id: str | UUID, *, worked: bool, user_id: str | None = None) -> Procedure:
        """Count that a procedure was used, and whether it worked.

        Raises:
            NotFoundError: there is no such procedure for this caller.
        """

class SemanticMemory:
    """Knowledge that lasts: LONG_TERM, SEMANTIC and FACT memories.

    A statement that is added again is not doubled: the stored one becomes more certain and more
    important, and counts in ``custom_fields["times_seen"]`` how often it was said. Statements are
    the same if they differ only in case, spaces, and marks at their ends.
    """

    def add(
        self,
        statement: str | MemoryEntry,
        *,
        user_id: str | None = None,
        memory_type: MemoryType | None = None,
        conversation_id: str | None = None,
        category: str | None = None,
        tags: Sequence[str] = (),
        importance: float = 0.5,
        confidence: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
        origin: Given = "given",
    ) -> MemoryEntry:
        """Store a statement, or strengthen the one that says the same.

        Returns:
            The memory as it is stored now; its id is the older one's where there was one.

        Raises:
            InvalidInputError: a value is not usable. Nothing was written.
            ForeignUserError: the view is another user's.
            ReadOnlyError, EmbeddingError, EngineError: it was not stored.
        """

    default_type: ClassVar[MemoryType]

    def delete(self, memory_id: str | UUID, *, user_id: str | None = None) -> None:
        """Delete a memory.

        Raises:
            NotFoundError: there is no such memory of this kind for this caller.
        """

    def get(self, memory_id: str | UUID, *, user_id: str | None = None) -> MemoryEntry | None:
        """A memory by its id; None where there is none of this kind for this caller.

        Raises:
            InvalidInputError: the id is no UUID.
        """

    def list(
        self,
        *,
        user_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        include_expired: bool = False,
        include_archived: bool = False,
        limit: int | None = 100,
        after: str | None = None,
    ) -> Page[MemoryEntry]:
        """The memories of this kind, the newest first, as ``VectorMemory.list_memories``."""

    def merge(
        self,
        entry: MemoryEntry,
        *,
        origin: Given,
        made_of: int | None = None,
    ) -> tuple[MemoryEntry, bool]:
        """Store an entry, or strengthen the one that says the same.

        An entry whose ``related_memories`` the stored one cites already says nothing new, and
        changes nothing: what was interrupted can be done again.

        Args:
            entry: what is said.
            origin: where it comes from.
            made_of: the ``seq`` of the stored row whose text it is.

        Returns:
            The memory as it is stored, and whether there was one that said the same.

        Raises:
            InvalidInputError: it is no ``MemoryEntry``.
            ForeignUserError: the view is another user's.
            RowsChanged: the row ``made_of`` was changed or deleted. Nothing was written.
        """

    name: ClassVar[str]

    origins: ClassVar[tuple[str, ...] | None]

    def recall(
        self,
        query: str,
        *,
        user_id: str | None = None,
        k: int = 10,
        conversation_id: str | None = None,
        tags: str | Sequence[str] | None = None,
        categories: str | Sequence[str] | None = None,
        metadata: Mapping[str, str | float | bool] | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        min_importance: float = 0.0,
        min_confidence: float = 0.0,
        include_archived: bool = False,
        now: datetime | None = None,
    ) -> Hits:
        """The memories of this kind that answer ``query`` best, as ``VectorMemory.recall``."""

    types: ClassVar[tuple[MemoryType, ...]]

    def update(
        self,
        memory_id: str | UUID,
        *,
        user_id: str | None = None,
        content: str | None = None,
        category: str | None = None,
        tags: Sequence[str] | None = None,
        importance: float | None = None,
        confidence: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        expires_at: datetime | None = None,
    ) -> MemoryEntry:
        """Change a memory; what is not named stays. Returns it as it is stored now.

        ``metadata`` is joined to its ``custom_fields``; a key with None is taken out. A fact with
        another text is no fact any more, unless ``metadata`` gives its "attribute" and "value":
        ``facts`` and the user's profile know nothing of it, and the memory stays.

        Raises:
            NotFoundError: there is no such memory of this kind for this caller.
            InvalidInputError: a value cannot be kept. Nothing was written.
        """

class UserManager:
    """What is known of users: preferences, profile, facts, and how they write.

    It is learned from rows (memories of the categories "preference" and "fact", and the user's own
    messages) and kept up to date in the background; what somebody has set wins over what was
    learned. In a view, ``user_id`` need not be given.

    Args:
        handle: the memory or view.
        learning: keeps what is learned up to date with the rows.
    """

    def context(self, user_id: str | None = None) -> UserContext:
        """What is set and what is learned, as bruno-core's ``UserContext``.

        Raises: as :meth:`profile`.
        """

    def forget(self, user_id: str | None = None) -> None:
        """Forget everything that was learned, and nothing that was set; it may be learned again.

        The memories it is from stay: delete them to have it not learned again.
        """

    def known_lines(self, user_id: str | None = None) -> list[KnownLine]:
        """As :meth:`profile_lines`, each line with the memories and messages that it is from."""

    def profile(self, user_id: str | None = None) -> UserProfile:
        """What is known of a user, each value with where it is from.

        It is brought up to date first where rows have changed since.

        Raises:
            InvalidInputError: nothing says whose.
            ForeignUserError: the view is another user's.
        """

    def profile_lines(self, user_id: str | None = None) -> list[str]:
        """The profile as lines of a prompt: bounded, each stored text quoted, no line without one.

        It reads what is saved, and counts nothing anew.

        Raises: as :meth:`profile`.
        """

    def profile_text(self, user_id: str | None = None, *, budget: int = 200) -> str:
        """The same as one text of at most ``budget`` tokens, with a head; empty without a line.

        Tokens are counted with the setting ``count_tokens``, else at their most.

        Raises: as :meth:`profile`.
        """

    def refresh(self, user_id: str | None = None) -> UserProfile:
        """Take everything that is learned from the rows anew, now.

        Raises:
            ReadOnlyError: the store was opened read-only.
            EngineError: the rows cannot be read, or the result not be saved.
        """

    def remove(
        self,
        key: str,
        *,
        part: Literal["preferences", "profile", "facts"] = "preferences",
        delete_memories: bool = False,
        user_id: str | None = None,
    ) -> bool:
        """Take something out of what is known of a user. It is not learned again.

        Args:
            key: the key of a preference or of a value of the profile, or the id of a fact.
            part: where it is.
            delete_memories: delete the memories that say it as well; else a recall still finds
                them.
            user_id: whose.

        Returns:
            Whether it was there.

        Raises:
            InvalidInputError: an argument is not usable.
            ReadOnlyError: the store was opened read-only.
        """

    def reset(self, key: str, *, part: Part = "preferences", user_id: str | None = None) -> None:
        """Undo what was set or removed under a key: what is learned counts again."""

    def save(self, user: UserContext) -> None:
        """Save a whole ``UserContext``: what is in it is set, what was learned in it is not.

        A learned value that a context showed, and that was taken out of it, is removed.

        Raises:
            InvalidInputError: something in it cannot be kept, or is too large.
            ForeignUserError: the view is another user's.
        """

    def save_given(
        self,
        user_id: str,
        given: Callable[[UserContext], UserContext | None],
        *,
        dry_run: bool = False,
    ) -> None:
        """Save what a function makes of what is saved, as :meth:`save`.

        Args:
            user_id: whose.
            given: makes it; None for no change.
            dry_run: only refuse what cannot be saved.

        Raises: as :meth:`save`.
        """

    def set_name(self, name: str | None, *, user_id: str | None = None) -> None:
        """Set the user's name; with None, the learned one counts again."""

    def set_preference(self, key: str, value: Any, *, user_id: str | None = None) -> None:
        """Set a preference. It wins over what is learned under this key.

        Raises:
            InvalidInputError: the key is no name, or the value cannot be kept.
            ReadOnlyError: the store was opened read-only.
        """

    def set_profile(self, key: str, value: Any, *, user_id: str | None = None) -> None:
        """Set a value of the profile, such as "home" or "timezone". As :meth:`set_preference`.

        A "timezone" has to be the name of one, such as "Europe/Berlin".
        """

class Memory:
    """An assistant's memory for programs without asyncio: every method waits for its answer.

    It has the methods, properties and managers of :class:`~bruno_memory_vec.VectorMemory`, with the
    same parameters. Any thread of the process may call it. It connects at first use;
    :func:`open_memory` connects at once. Close it, or use it as ``with``.

    The arguments are those of :class:`~bruno_memory_vec.VectorMemory`. What they hold that is
    called back (an LLM, an embedder, ``progress``) is called in the background thread, and cannot
    call this memory.

    Raises:
        InvalidInputError: a setting is not usable.
    """

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
    ) -> None: ...

    @classmethod
    def from_config(cls, config: BrunoMemoryConfig) -> Memory:
        """A memory from ``bruno_core.models.config.MemoryConfig``."""

    def close(self) -> None:
        """Write what is pending and release the folder. Closing twice does nothing.

        Calls that other threads have under way end first. Closing a user's view (:meth:`for_user`)
        does nothing: the memory is others', too.
        """

    def shutdown(self) -> None:
        """As :meth:`close`."""

    def __enter__(self) -> Memory: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    @property
    def analytics(self) -> Analytics:
        """What the memory holds, counted: growth, conversations, topics, use, repeats, cost."""

    def apply_retention(
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

    def audit(
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

    def audit_head(self) -> dict[str, dict[str, Any]]:
        """The end of each trail: how many entries it has, and the hash of the last one.

        Keep it where nobody who writes the trail can write, for :meth:`verify_audit`.

        Raises:
            InvalidInputError: there is no trail.
            ForeignUserError: the caller is a view.
        """

    def backup(
        self,
        target: str | Path,
        progress: Progress | None = None,
        *,
        full: bool = False,
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

    def build_context(
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

    def clear_conversation(self, user_id: str, conversation_id: str) -> None:
        """Delete every message of a user's conversation.

        Raises:
            ForeignUserError: the conversation is another user's.
        """

    def clear_history(self, conversation_id: str, keep_system_messages: bool = True) -> None:
        """Delete a conversation's messages; system messages stay unless asked otherwise.

        Where they do not stay, its title and whatever else was noted of it as a whole go, too.
        """

    def compress(
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

    @property
    def config(self) -> MemoryConfig:
        """The settings in force."""

    def connect(self) -> Memory:
        """Open the store now rather than at first use.

        Raises:
            StoreError, EngineError: see :class:`bruno_memory_vec.errors`.
        """

    def conversation_owner(self, conversation_id: str) -> str | None:
        """The owner of a conversation, which it may have before its first message, or None.

        In a view it is None for another user's conversation.
        """

    @property
    def conversational(self) -> ConversationalMemory:
        """SHORT_TERM memories, which expire or become lasting."""

    @property
    def conversations(self) -> ConversationManager:
        """The life of conversations: lists, search, titles, seams, branches, contexts."""

    def copy_to(
        self,
        target: str | Path | Memory,
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

    def create_session(
        self,
        user_id: str,
        metadata: dict[str, Any] | None = None,
    ) -> SessionContext:
        """Begin a session, with a new conversation that becomes the user's current one."""

    def delete_memory(self, memory_id: str) -> None:
        """Delete a memory by its id: in a view only the user's own, otherwise of every user.

        Raises:
            NotFoundError: there is no such memory for this caller.
        """

    def delete_messages(
        self,
        message_ids: str | UUID | Sequence[str | UUID],
        conversation_id: str | None = None,
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

    def end_session(self, session_id: str) -> None:
        """End a session.

        Raises:
            NotFoundError: there is no such session for this caller.
        """

    @property
    def episodic(self) -> EpisodicMemory:
        """EPISODIC memories: events in time."""

    def erasure_receipts(self) -> list[ErasureReceipt]:
        """The receipts of all erasures in this store, the oldest first.

        Raises:
            EngineError: they cannot be read.
        """

    def export(
        self,
        path: str | Path,
        *,
        format: ExportFormat | None = None,
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

    @property
    def facts(self) -> FactManager:
        """Facts and preferences of users: extracted from what they say, or added by hand."""

    def follow(self, conversation_id: str) -> Stream[Message]:
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

    def for_user(
        self,
        user_id: str,
        *,
        role: Role | None = None,
        spaces: Mapping[str, Access] | None = None,
        caller: str | None = None,
        purpose: str | None = None,
    ) -> Memory:
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

    def forget(
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

    def forget_user(self, user_id: str, *, dry_run: bool = False) -> ErasureReceipt:
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

    def get_context(self, user_id: str, session_id: str | None = None) -> ConversationContext:
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

    def get_conversation(self, conversation_id: str) -> ConversationSummary | None:
        """A conversation's owner, title, times and length.

        None if it has no message, and in a view if it is another user's.
        """

    def get_memory(
        self,
        memory_id: str | UUID,
        *,
        user_id: str | None = None,
    ) -> MemoryEntry | None:
        """A memory by its id, None where there is none for this caller.

        If several users have the same id, the row that was stored last is returned. ``user_id``
        selects another one.

        Raises:
            InvalidInputError: the id is no UUID.
        """

    def get_message(
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

    def get_session(self, session_id: str) -> SessionContext | None:
        """A session, None where there is none for this caller."""

    def get_statistics(self, user_id: str) -> dict[str, Any]:
        """How much a user has: total_messages, conversations, memories, and since when.

        A message counts in each conversation that it is in, so in each branch, too.
        """

    def get_user(self, user_id: str) -> UserContext:
        """A user's profile and preferences: what was set, and what was learned where nothing was.

        See :attr:`users`, which says of each value where it is from.
        """

    def health(self) -> dict[str, Any]:
        """The state of each engine; "status" is "ok", or "degraded" with the "problems" named."""

    def import_export(
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

    def ingest(
        self,
        source: Given_ | Sequence[Given_],
        *,
        format: str = "auto",
        user_id: str | None = None,
        conversation_id: str | None = None,
        replace_user: bool = False,
        dates: DayOrder | None = None,
        skip_bad: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
        batch: int = 2000,
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

    def initialize(self) -> None:
        """As :meth:`connect`."""

    def latencies(self) -> dict[str, OperationFigures]:
        """How often each method was called since the memory was made, how long it took (p50, p95,
        p99), and how it ended; by its name, such as "recall" or "conversations.list".

        Raises:
            InvalidInputError: nothing is measured, as the memory was made without ``metrics``.
        """

    def list_conversations(
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

    def list_memories(
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

    def list_pinned(self, user_id: str | None = None) -> list[Message | MemoryEntry]:
        """A user's pinned messages and memories, each once, by the time when said or stored."""

    def list_sessions(
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

    def list_users(self) -> list[UserSummary]:
        """Every user with a message or a memory, the one with most messages first.

        It reads a few columns of every row.

        Raises:
            ForeignUserError: the caller is a view.
        """

    def maintain(self, progress: Progress | None = None) -> MaintenanceReport:
        """Do all upkeep now, and verify the store. Failures are in the report's ``problems``.

        Raises: as :func:`bruno_memory_vec.upkeep.maintenance.maintain_store`.
        """

    def pin(self, ids: str | UUID | Sequence[str | UUID], *, user_id: str | None = None) -> None:
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

    def priorities(
        self,
        user_id: str | AllUsers | None = None,
        *,
        weights: PriorityWeights | None = None,
        kinds: Kind_ | Sequence[Kind_] | None = None,
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

    @property
    def procedural(self) -> ProceduralMemory:
        """PROCEDURAL memories: how things are done, in steps."""

    def prune(
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

    def read_turns(
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

    def recall(
        self,
        query: str,
        *,
        user_id: str | AllUsers | None = None,
        k: int = 10,
        conversation_id: str | None = None,
        kinds: Kind_ | Sequence[Kind_] | None = None,
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

    def reembed(
        self,
        embedder: str | Embedder | EmbeddingInterface,
        progress: Progress | None = None,
    ) -> ReembedReport:
        """Move the store to another embedder; reads and writes go on meanwhile.

        Raises: as :func:`bruno_memory_vec.upkeep.reembedding.reembed_store`.
        """

    def remains(
        self,
        user_id: str,
        texts: Sequence[str] = (),
        *,
        stored: bool = True,
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

    def restore(
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

    def retrieve_context(
        self,
        user_id: str,
        query: str,
        limit: int = 10,
        conversation_id: str | None = None,
    ) -> list[Message]:
        """The messages that answer ``query`` best, oldest first, as for a prompt.

        With a blank ``query`` it is the user's newest messages: the last turns of the conversation
        that is named, else the newest by their time.

        Raises: as :meth:`recall`.
        """

    def retrieve_memories(self, query: MemoryQuery) -> list[MemoryEntry]:
        """The memories that match a query, best first; without a text, the newest first."""

    def retrieve_messages(self, conversation_id: str, limit: int | None = None) -> list[Message]:
        """The newest ``limit`` messages of a conversation (all for None), newest first."""

    def save_user(self, user: UserContext) -> None:
        """Store a user's profile and preferences; every later context has them.

        What was learned, and stands in ``user`` as it was given out, is not taken for set.
        """

    def search_memories(self, user_id: str, query: str, limit: int = 5) -> list[MemoryEntry]:
        """The memories and messages that answer ``query`` best, best first.

        A message is found as an episodic memory: with its id, content, time and conversation, its
        metadata and its role in ``metadata.custom_fields``, and "message" as ``metadata.source``.
        With a blank ``query`` it is the newest of both, newest first. :meth:`retrieve_memories`
        finds memories only.

        Raises: as :meth:`recall`.
        """

    def search_messages(
        self,
        query: str,
        user_id: str | None = None,
        limit: int = 10,
    ) -> list[Message]:
        """The messages that answer ``query`` best, best first; of all users where none is named."""

    @property
    def semantic(self) -> SemanticMemory:
        """LONG_TERM, SEMANTIC and FACT memories, each statement once."""

    def set_importance(
        self,
        ids: str | UUID | Sequence[str | UUID],
        importance: float,
        *,
        user_id: str | None = None,
    ) -> None:
        """Set the importance of messages or memories, 0..1.

        Of a message, ``metadata["importance"]`` becomes it as well. Raises as :meth:`pin`.
        """

    def snapshot(self, folder: str | Path, progress: Progress | None = None) -> SnapshotReport:
        """Make a consistent copy of the store in a new or empty folder, while it stays open.

        Writes wait while its files are linked, which takes some milliseconds, not while they are
        copied and verified. The copy is a store like any other, and shares no file with this one.

        Raises:
            InvalidInputError: the store is not in a folder, or the copy cannot be made in
                ``folder``. Nothing was written.
            StoreError: another process changes the store too fast.
            EngineError: it cannot be read, or the copy not be written.
        """

    def store_memories(
        self,
        entries: Sequence[MemoryEntry],
        *,
        origin: Origin | None = None,
    ) -> None:
        """Store memories as one commit: all or none.

        A ``conversation_id`` that is a session's id names that session's conversation.

        Raises: as :meth:`store_message`.
        """

    def store_memory(self, memory_entry: MemoryEntry, *, origin: Origin | None = None) -> None:
        """Store one memory. Storing the same id again replaces it and embeds it anew.

        ``origin`` says who it comes from; without it, it was "given" by whoever stores it. A memory
        that is stored again keeps the origin that it had.

        Raises: as :meth:`store_message`.
        """

    def store_message(
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

    def store_messages(
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

    def timeline(
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
        kinds: Kind_ | Sequence[Kind_] | None = None,
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

    def unpin(self, ids: str | UUID | Sequence[str | UUID], *, user_id: str | None = None) -> None:
        """Let messages or memories be pinned no more. Raises as :meth:`pin`."""

    @property
    def users(self) -> UserManager:
        """What is known of users: preferences, profile, facts, and how they write."""

    def verify_audit(self, heads: Mapping[str, Mapping[str, Any]] | None = None) -> AuditReport:
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

    def verify_receipt(
        self,
        receipt: ErasureReceipt | Mapping[str, Any] | str | Path,
        user_id: str | None = None,
    ) -> Verdict:
        """Whether a receipt is as this store gave it out.

        Args:
            receipt: the receipt, a dict of it, its JSON, or the path of its file.
            user_id: whose it should be.

        Raises:
            InvalidInputError: it is no receipt.
            EngineError: the signing key cannot be read.
        """

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
) -> Memory:
    """Open a memory, or create it if there is none.

    Use it as ``memory = open_memory("./memory")`` and close it yourself, or as
    ``with open_memory("./memory") as memory``. The arguments are those of
    :class:`~bruno_memory_vec.VectorMemory`.

    Raises:
        InvalidInputError: a setting is not usable.
        StoreError: the folder is no store, is locked, or has another embedder or version.
        EngineError: an engine cannot be opened.
    """

def backup_store(
    url: str | None = None,
    target: str | Path = "",
    *,
    embedder: str | Embedder | None = None,
    config: MemoryConfig | None = None,
    sealing: Sealing | None = None,
    full: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> BackupReport:
    """Add a point to a backup, of a store that is not open here; another process may write it.

    Args:
        url: the store. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        target: the backup, a folder or a file; it is made if there is none.
        embedder: that of the store, for a kind of store that cannot tell it.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        sealing: what every piece passes; None for the keys of an encrypted store, else nothing.
        full: read every row from the store, also those that the point before has; so damaged
            pieces of the backup are made anew.
        progress: called with the progress of long work.
        settings: any other field of the config.

    Raises:
        NotAStoreError: there is no store.
        InvalidInputError: ``target`` is something else, or inside the store.
        StoreLockedError: another backup to it is under way.
        StoreError: the store changes too fast, or the backup has another key.
        EngineError: the store cannot be read, or the backup not be written.
    """

def copy_store(
    source: str | Path,
    target: str | Path,
    *,
    embedder: str | Embedder | EmbeddingInterface | None = None,
    user_id: str | None = None,
    others: Others = "refuse",
    dry_run: bool = False,
    skip_bad: bool = False,
    source_sessions: str | None = None,
    source_key: Any = None,
    progress: Progress | None = None,
    **settings: Any,
) -> CopyReport:
    """Copy a store that is not open here into another one: a folder, or what any URL names.

    Rows are copied with their vectors, turns, times, metadata and uses, in their order; so are
    sessions, profiles, current conversations and owners. Afterwards every row is read from both
    stores and compared by its checksum. A copy that was killed is continued by the same call. The
    source may be written to meanwhile; what its last round has not seen is a problem of the report.

    Args:
        source: the store to copy, opened read-only where its engine can; or
            ``bruno-memory:FILE``, see :func:`~.incoming.import_bruno_memory`.
        target: where to; it is made if there is none.
        embedder: makes the vectors anew, where the target is not to have the source's.
        user_id: copy only this user.
        others: of rows of the target that the source does not have: "refuse" the copy, "keep" or
            "remove" them, and what is noted of conversations that the source does not have. With
            ``user_id`` only that user's count.
        dry_run: say what would be copied; write nothing, and make no store.
        skip_bad: of a bruno-memory file, leave out what cannot be stored.
        source_sessions: where the source keeps its sessions; default: where such a store does.
        source_key: the key of an encrypted source; default: that of the settings, which is the
            target's, too.
        progress: called with the number of rows that are done.
        settings: any other field of :class:`~bruno_memory_vec.MemoryConfig`, for the target.

    Raises:
        NotAStoreError: the source is none.
        FingerprintError: the target's vectors are another embedder's, and ``embedder`` is not it.
        StoreError: the target has other rows, or one of the two is locked.
        ForeignUserError: a conversation is another user's in the target.
        EmbeddingError: the embedder failed. What is copied stays, and the next call goes on.
        EngineError: an engine failed, or a row of the source is damaged.
        InvalidInputError: a setting is not usable, or both are one store.
    """

def decrypt_store(
    url: str | Path | None = None,
    *,
    key: Any = None,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> EncryptionReport:
    """Make a plain store of an encrypted one that nobody has open, in its place.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        key: its key, as of ``open_memory``; or ``key_file`` among the settings.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        progress: called with the number of rows that are done.
        settings: any other field of the config.

    Raises:
        WrongKeyError: the key is another one.
        EncryptionError: it is not encrypted.
        NotAStoreError, StoreLockedError: as of :func:`encrypt_store`.
        StoreError, BackendUnavailable: as of it.
        InvalidInputError, MissingDependencyError: as of it.
    """

def diagnose_store(
    url: str | None = None,
    *,
    config: MemoryConfig | None = None,
    **settings: Any,
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

def encrypt_store(
    url: str | Path | None = None,
    *,
    key: Any = None,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> EncryptionReport:
    """Encrypt a plain store that nobody has open, in its place.

    Nothing is embedded. Deleted files may still be found on the medium, and snapshots and backups
    made before are plain; so the surest way is a store that was encrypted from the beginning.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        key: its key from now on, as of ``open_memory``; or ``key_file`` among the settings.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        progress: called with the number of rows that are done.
        settings: any other field of the config.

    Raises:
        NotAStoreError: there is no store.
        StoreLockedError: another process writes to it.
        EncryptionError: it is encrypted already.
        StoreError: rows of it are damaged, so that not all can be taken over.
        BackendUnavailable: the folder cannot be written, or has too little space.
        InvalidInputError: no key is given, or the store is in no folder.
        MissingDependencyError: a package of the extra "encryption" is not installed.
    """

def list_backup(target: str | Path) -> list[Point]:
    """The points of a backup, the oldest first.

    Raises:
        NotAStoreError: there is no backup.
        EngineError: it cannot be read, or a point is damaged.
    """

def migrate(
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

def prune_backup(
    target: str | Path,
    *,
    keep: int,
    dry_run: bool = False,
    sealing: Sealing | None = None,
    key: Any = None,
    progress: Progress | None = None,
) -> PruneBackupReport:
    """Remove all points but the newest, and everything that only they needed.

    Killed at any moment, it has removed them or not; the points that stay are whole.

    Args:
        target: the backup.
        keep: how many points stay, at least 1.
        dry_run: say which would go; remove nothing.
        sealing: what its pieces passed; None for what the backup says.
        key: the key of the encrypted store that was backed up; None for that of the environment.
        progress: called with the progress of long work.

    Raises:
        InvalidInputError: ``keep`` is not usable.
        NotAStoreError: there is no backup.
        StoreLockedError: a backup to it is under way.
        StoreError: the backup's key is not given.
        WrongKeyError: it is another one.
        EngineError: a piece is damaged, or the place cannot be written.
    """

def reembed(
    url: str | None = None,
    embedder: str | Embedder | EmbeddingInterface = "static",
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> ReembedReport:
    """Move a store that is not open here to another embedder.

    Other processes may read it meanwhile; after the switch, their reads raise an error that asks
    to open it again. The old embedder is not loaded, so it need not be available. To move an open
    memory, use
    :meth:`VectorMemory.reembed <bruno_memory_vec.VectorMemory.reembed>`.

    Args:
        url: the store's folder, or its URL in Qdrant. Default: ``BRUNO_MEMORY_URL``, else
            ``./bruno-memory``.
        embedder: the one to move to; the store's own one abandons a move that has begun.
        progress: called with the number of rows that are done.
        settings: any other field of :class:`~bruno_memory_vec.MemoryConfig`.

    Raises:
        NotAStoreError: there is no store.
        StoreLockedError: another process writes to it.
        EmbeddingError: the embedder failed. Finished commits are kept for the next call.
        BackendUnavailable: the folder cannot be written, or has too little space.
        InvalidInputError: a setting is not usable, or the store is not kept in a folder.
    """

def repair_store(
    url: str | None = None,
    *,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> RepairReport:
    """Repair a store that no process writes to, and verify it.

    It puts versions of the rows aside that a power cut tore, brings the projections up to date by
    opening the store, gives a turn to each message without one and to each conversation the owner
    that its rows have, and does all upkeep. Rows that are lost are given up, damaged ones mended or
    removed; ``losses.jsonl`` in the store keeps a record of that.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        progress: called with the progress of each piece of work.
        settings: any other field of the config; ``embedder`` if the store does not have the default
            one.

    Raises:
        NotAStoreError: there is no store.
        StoreLockedError: another process writes to it.
        StoreError, EngineError: it cannot be repaired. If versions were put aside before that,
            ``error.details["stepped_back"]`` is the :class:`SteppedBack`.
        InvalidInputError: a setting is not usable.
    """

def restore_backup(
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

def rotate_key(
    url: str | Path | None = None,
    *,
    key: Any = None,
    new_key: Any,
    config: MemoryConfig | None = None,
    **settings: Any,
) -> None:
    """Give an encrypted store another master key. It may be open, and stays so; no row is written.

    The old key opens the store no more. It still opens copies of ``keys.json`` made before, such as
    in snapshots. The keys of users stay: for new ones, decrypt the store and encrypt it again.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        key: the one until now, as of ``open_memory``; or ``key_file`` among the settings.
        new_key: the one from now on.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        settings: any other field of the config.

    Raises:
        NotAStoreError: there is no store.
        WrongKeyError: ``key`` is another one.
        EncryptionError: the store is not encrypted, or a key service does not answer.
        BackendUnavailable: the folder cannot be written.
        InvalidInputError: a key is none, or the store is in no folder.
    """

def snapshot_store(
    url: str | None = None,
    folder: str | Path = "",
    *,
    config: MemoryConfig | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> SnapshotReport:
    """Copy a store that is not open here, while another process may write to it.

    Args:
        url: the store's folder. Default: ``BRUNO_MEMORY_URL``, else ``./bruno-memory``.
        folder: where the copy is made: a new or empty folder.
        config: a whole :class:`~bruno_memory_vec.MemoryConfig` in place of single settings.
        progress: called with the progress of long work.
        settings: any other field of the config.

    Raises:
        NotAStoreError: there is no store.
        InvalidInputError: the store is not in a folder, or the copy cannot be made in ``folder``.
        StoreError: the store changes too fast to be copied.
        EngineError: it cannot be read, or the copy not be written.
    """

def verify_backup(
    target: str | Path,
    *,
    sealing: Sealing | None = None,
    key: Any = None,
    progress: Progress | None = None,
) -> BackupCheck:
    """Read everything of a backup, and compare it with its checksums.

    Args:
        target: the backup.
        sealing: what its pieces passed; None for what the backup says.
        key: the key of the encrypted store that was backed up; None for that of the environment.
        progress: called with the progress of long work.

    Raises:
        NotAStoreError: there is no backup.
        BackendUnavailable: the place cannot be read.
        StoreError: the backup's key is not given.
        WrongKeyError: it is another one.
    """
