"""The protocol of a session store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
from bruno_core.models.context import SessionContext, UserContext
from bruno_core.models.message import Message
from numpy.typing import NDArray

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.schema import Key
from bruno_memory_vec.rows.models import Row

if TYPE_CHECKING:
    from bruno_memory_vec.sessions.arrivals import Queue

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class HotTurn:
    """One stored message on its way into the hot context.

    Attributes:
        user_id: whose message it is.
        conversation_id: where it is.
        turn: its position in the conversation.
        row: the message's row (``rows.message_row``).
        again: whether it was stored before, and has replaced that.
    """

    user_id: str
    conversation_id: str
    turn: int
    row: Row
    again: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """The state of a conversation.

    Attributes:
        user_id: its owner.
        next_turn: the turn of the next message.
        stale: 0, or how often it became stale: its hot messages have to be read from the rows.
            -1 while another process writes to it: they have to be, and a refill is not kept.
    """

    user_id: str
    next_turn: int
    stale: int


@dataclass(frozen=True, slots=True)
class ConversationNote:
    """What belongs to a conversation as a whole, and is in none of its rows.

    A conversation needs none: without one it has no title of its own, is no branch, and was
    neither ended nor archived. Times are timezone-aware, UTC.

    Attributes:
        conversation_id: which.
        user_id: its owner.
        created_at: when the note was first made.
        title: given by somebody, or made by a model; None for none.
        title_by: who gave it.
        parent_id: the conversation that it was forked from; None for none.
        forked_at: the last turn that it shares with that one.
        ended_at: when it was ended. It goes on where something is stored in it later.
        archived_at: since when it is archived; the same time is in its rows that were archived
            with it.
        extracted_turns: facts were extracted in the background from the turns below this one;
            None where that has not begun.
        titled_turns: a model made the title of turns below this one; None for a given title, and
            where that is not known.
    """

    conversation_id: str
    user_id: str
    created_at: datetime
    title: str | None = None
    title_by: Literal["given", "model"] | None = None
    parent_id: str | None = None
    forked_at: int | None = None
    ended_at: datetime | None = None
    archived_at: datetime | None = None
    extracted_turns: int | None = None
    titled_turns: int | None = None


@dataclass(frozen=True, slots=True)
class ContextRecord:
    """Everything that ``get_context`` needs, from one read.

    Attributes:
        conversation: None for one that has not begun.
        user: None for one without a profile.
        current: the conversation the user was in last, if any.
        session: the newest active session of the conversation.
        messages: the last turns, oldest first.
        touched: as of :meth:`SessionStore.touched`; None where it is not known.
    """

    conversation: Conversation | None
    user: UserContext | None
    current: str | None
    session: SessionContext | None
    messages: list[Message]
    touched: datetime | None = None


@dataclass(frozen=True, slots=True)
class LostRow:
    """A row that was acknowledged and is gone, and where it was, as far as that is known.

    Attributes:
        seq: its ``seq``.
        conversation_id: of a message that was in the hot context, else None.
        user_id: whose message it was.
        turn: its position in the conversation.
    """

    seq: int
    conversation_id: str | None = None
    user_id: str | None = None
    turn: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Acknowledged:
    """The content of a ledger, as of one moment. Arrays are int64 (n,), ascending.

    Attributes:
        last_seq: the ``seq`` of the last row that was applied, -1 for none. The ledger does not
            know of newer rows.
        alive: the ``seq`` of each row that was acknowledged, and neither deleted nor lost.
        leaving: of these, those that a change was about to remove.
        lost: rows that were acknowledged, not deleted, and are gone.
        given_up: lost rows that a repair has given up.
        returned: rows that were deleted or replaced, and are there again.
    """

    last_seq: int
    alive: NDArray[np.int64]
    leaving: NDArray[np.int64]
    lost: tuple[LostRow, ...]
    given_up: NDArray[np.int64]
    returned: NDArray[np.int64]


class Ledger(Protocol):
    """Which rows were acknowledged and not deleted since, so that a loss of rows shows.

    Rows are added to it, and taken from it, by :meth:`SessionStore.apply` and
    :meth:`SessionStore.restore`, in the same transaction as all else.
    """

    async def count(self) -> int:
        """How many rows are alive."""
        ...

    async def read(self) -> Acknowledged:
        """All of it."""
        ...

    async def leave(self, seqs: Iterable[int]) -> None:
        """Note that a change is about to remove rows; it may be killed before its end."""
        ...

    async def settle(
        self,
        *,
        alive: Iterable[int] = (),
        gone: Iterable[int] = (),
        lost: Iterable[int] = (),
        given_up: Iterable[int] = (),
        returned: Iterable[int] = (),
    ) -> None:
        """Note what was found out about rows. Lost rows leave the hot context.

        Args:
            alive: they are there; nothing else is to be said of them.
            gone: they were deleted or replaced.
            lost: they should be there, and are not.
            given_up: lost rows that are not missed any more.
            returned: they are there, though they had been deleted or replaced.
        """
        ...


class SessionStore(Protocol):
    """Sessions, owners, users, next turns and hot context.

    Each method is one transaction. ``last_seq`` is the last row that the store has applied.
    """

    @property
    def max_messages(self) -> int:
        """How many of a conversation's last turns are kept hot."""
        ...

    async def last_seq(self) -> int:
        """The ``seq`` of the last row that was applied, -1 for none."""
        ...

    def distrust(self) -> None:
        """Let a reader take every hot context for stale from now on."""
        ...

    @property
    def ledger(self) -> Ledger:
        """Which rows were acknowledged."""
        ...

    async def apply(
        self,
        turns: Sequence[HotTurn],
        last_seq: int,
        noted: Mapping[str, str] = NOTHING,
        *,
        added: Iterable[int] = (),
        removed: Iterable[int] = (),
    ) -> None:
        """Apply a commit: owners, next turns and hot messages.

        Args:
            turns: the last messages of each conversation in the commit.
            last_seq: the largest ``seq`` of the commit.
            noted: by conversation, the user of a memory that was stored in it.
            added: the ``seq`` of all its rows, for the ledger.
            removed: the ``seq`` of rows that it has replaced.
        """
        ...

    async def restore(
        self,
        conversations: Sequence[tuple[str, str, int]],
        last_seq: int,
        *,
        added: Iterable[int] = (),
    ) -> None:
        """Apply rows that were missed, given as (conversation, owner, next turn).

        The hot messages of these conversations become stale. A known owner does not change.
        ``added`` is the ``seq`` of each of the rows, for the ledger.
        """
        ...

    async def conversation(self, conversation_id: str) -> Conversation | None:
        """The state of a conversation, None for one that has not begun."""
        ...

    async def owners(self, conversations: Collection[str]) -> dict[str, str]:
        """The owner of each of these conversations that has begun."""
        ...

    async def give(self, conversations: Sequence[tuple[str, str, int]]) -> None:
        """As :meth:`restore`, but a known owner does change: a repair has found it in the rows."""
        ...

    async def askers(self, conversation_id: str) -> list[str]:
        """The users with a session of this conversation: two at most, in order of their names.

        Those do not count who asked for it when it was another user's already.
        """
        ...

    async def context(self, user_id: str, conversation_id: str, limit: int) -> ContextRecord:
        """Read a conversation's context, with its last ``limit`` turns."""
        ...

    async def mark_stale(self, conversation_id: str) -> None:
        """Mark the hot messages of a conversation as outdated."""
        ...

    async def refill(
        self, conversation_id: str, turns: Sequence[HotTurn], seen: Conversation
    ) -> None:
        """Replace the hot messages by ``turns``, which were read from the rows after ``seen``.

        It does nothing if the conversation has become stale again since.
        """
        ...

    async def current_conversation(self, user_id: str) -> str | None:
        """The conversation of the user's last turn."""
        ...

    async def set_current_conversation(self, user_id: str, conversation_id: str) -> None:
        """Set the user's current conversation."""
        ...

    async def leave(self, conversation_id: str, user_id: str) -> None:
        """Let the user have no current conversation, if it is this one."""
        ...

    async def save_session(self, session: SessionContext) -> None:
        """Insert or replace a session. It does not begin its conversation."""
        ...

    async def begin_session(self, session: SessionContext) -> None:
        """Insert a session with a conversation of its own, whose id nobody else can know.

        The conversation is the session's user's from now on, and the user's current one.
        """
        ...

    async def session(self, session_id: str) -> SessionContext | None:
        """A session by its id."""
        ...

    async def sessions(
        self, user_id: str | None, *, active: bool | None, limit: int | None, after: str | None
    ) -> list[SessionContext]:
        """Sessions of a user (None: of everybody), the one that was created last first.

        Args:
            user_id: whose.
            active: only those that have not ended, or only those that have; None for both.
            limit: how many at most.
            after: only those that were created before the session of this id.
        """
        ...

    async def drop_session(self, session_id: str) -> None:
        """Forget a session. It does nothing where there is none."""
        ...

    async def touched(self, conversations: Collection[str]) -> dict[str, datetime]:
        """When a message was last stored in each of these conversations, by this clock, UTC.

        A message that is stored again does not count. Those of which it is not known are left out:
        the conversations of an older version's file, and what was made anew from the rows. It may
        be later, where the store counts as well that a context was asked for.
        """
        ...

    async def touch(self, times: Mapping[str, datetime]) -> None:
        """Set what :meth:`touched` tells, as a copy of a store does.

        It does nothing for a conversation that has not begun.
        """
        ...

    async def note(self, user_id: str, conversation_id: str) -> ConversationNote | None:
        """What is kept of a user's conversation as a whole, None for nothing."""
        ...

    async def notes(self, user_id: str) -> list[ConversationNote]:
        """All notes of a user, in no particular order."""
        ...

    async def save_note(self, note: ConversationNote) -> None:
        """Insert or replace a note. It does not begin its conversation."""
        ...

    async def drop_note(self, user_id: str, conversation_id: str) -> None:
        """Forget a note. It does nothing where there is none."""
        ...

    async def save_user(self, user: UserContext) -> None:
        """Insert or replace a user's profile and preferences."""
        ...

    async def user(self, user_id: str) -> UserContext | None:
        """A user's profile and preferences."""
        ...

    async def has_replaced(self) -> bool:
        """Whether a file may hold a profile, note or session that was replaced or dropped since
        :meth:`erase`."""
        ...

    async def erase(self, *, deleted: bool) -> None:
        """Let no file hold a profile or note that was replaced or dropped, nor a stale hot message.

        Args:
            deleted: messages were deleted or replaced: nothing of them, either.
        """
        ...

    async def health(self) -> dict[str, Any]:
        """Figures about the store; raises an ``EngineError`` where it does not work."""
        ...

    async def close(self) -> None:
        """Close the store. Closing twice does nothing."""
        ...


@runtime_checkable
class Enumerates(Protocol):
    """A ``SessionStore`` that tells whom and what it keeps something of.

    A copy of a store asks it, for what has neither a row nor a session.
    """

    def users(self) -> AsyncIterator[str]:
        """The id of each user with a profile or a current conversation, in no particular order."""
        ...

    def conversations(self) -> AsyncIterator[tuple[str, str, int]]:
        """Each conversation that has begun: its id, owner and next turn, in no particular order."""
        ...


@runtime_checkable
class ForgetsUsers(Protocol):
    """A ``SessionStore`` that can forget all it keeps of a user, and tell what it still keeps."""

    async def forget_user(
        self, user_id: str, conversations: Collection[str], heirs: Mapping[str, str]
    ) -> dict[str, int]:
        """Forget a user: profile, sessions, notes, hot messages and conversations.

        The caller has deleted the user's rows, and lets no other change of the rows begin.

        Args:
            user_id: who.
            conversations: those in which the user had rows; those that the user owns, which the
                store knows itself, need not be among them.
            heirs: for conversations of the user's in which another user has rows, who that is;
                such a conversation goes on as theirs.

        Returns:
            How much was forgotten, by "profiles", "sessions", "notes", "hot_messages",
            "conversations" and "marks" (of lost rows).
        """
        ...

    async def kept_of(self, user_id: str) -> dict[str, int]:
        """How much is kept of a user, by the same names; empty for nothing."""
        ...


@runtime_checkable
class KeepsTexts(Protocol):
    """A ``SessionStore`` on a server, which keeps small texts of the store itself by their names.

    A store in a folder has files for that.
    """

    async def kept_text(self, name: str) -> str | None:
        """The text of a name; None for none."""
        ...

    async def keep_text(self, name: str, text: str | None) -> None:
        """Keep a text under a name in place of the last one; None removes it."""
        ...


@dataclass(frozen=True, slots=True)
class Named:
    """What an id names: a conversation, a session of one, or nothing yet.

    Attributes:
        conversation: the conversation of this id; None for one that has not begun.
        session: of the session of this id, its conversation and its user; None for none.
        askers: as of :meth:`SessionStore.askers`, of the conversation of this id.
    """

    conversation: Conversation | None = None
    session: tuple[str, str] | None = None
    askers: tuple[str, ...] = ()


@runtime_checkable
class FindsNames(Protocol):
    """A ``SessionStore`` that tells in one read what many ids name."""

    async def named(self, ids: Collection[str]) -> dict[str, Named]:
        """What each of these ids names; those that name nothing are left out."""
        ...


@runtime_checkable
class KnowsNames(Protocol):
    """A ``SessionStore`` that may know without a read that an id names nothing yet.

    Only in the process that writes alone: what names something there, it has stored or read itself.
    """

    async def learn_names(self) -> None:
        """Read the ids of all conversations and sessions; until then, any may name something.

        Raises:
            EngineError: they cannot be read.
        """
        ...

    def name_nothing(self, ids: Collection[str]) -> bool:
        """Whether none of these names a conversation, a session, or a session's conversation.

        True is certain.
        """
        ...


@runtime_checkable
class WritesBehind(Protocol):
    """A ``SessionStore`` that may write what :meth:`SessionStore.apply` is told a moment later.

    Only commits that add rows wait, and only in the process that writes alone: what it is asked, it
    answers as if they were written. What only the session store knows is written at once, after
    them. Nothing is lost: what a kill leaves unwritten is in the rows, past ``last_seq``.

    Attributes:
        writes_behind: whether they may wait. Whoever sets it calls :meth:`write_waiting` soon after
            each commit, and at once where :attr:`many_wait`.
        fell_behind: called where what waits could not be written, so that the rows are to be
            followed before the next write. Meanwhile nothing more waits.
    """

    writes_behind: bool
    fell_behind: Callable[[EngineError], None]

    @property
    def waits(self) -> bool:
        """Whether something waits to be written."""
        ...

    @property
    def many_wait(self) -> bool:
        """Whether so much waits that it should be written now."""
        ...

    async def write_waiting(self) -> None:
        """Write what waits.

        Raises:
            EngineError: it could not be written, and goes on waiting.
        """
        ...


@runtime_checkable
class ChangesUsers(Protocol):
    """A ``SessionStore`` that several processes write, and that loses none of their changes."""

    async def change_user(
        self, user_id: str, change: Callable[[UserContext | None], UserContext | None]
    ) -> UserContext | None:
        """Change a user's profile as it is saved, whoever else changes it at the same time.

        Args:
            user_id: whose.
            change: makes the new one of what is saved (None for nothing), or None to leave it. It
                may be called several times.

        Returns:
            The profile as it is saved now.
        """
        ...


@runtime_checkable
class Listens(Protocol):
    """A ``SessionStore`` that tells what any process stores, as it comes."""

    def listen(self, conversation_id: str) -> AbstractAsyncContextManager[Queue]:
        """Within it, the messages that are stored in a conversation from now on.

        Raises:
            EngineError: nobody can tell.
        """
        ...


@dataclass(frozen=True, slots=True)
class UnderWay:
    """A change of the rows that a process has noted and not ended. Ranges have both their ends.

    Attributes:
        token: the change.
        process: who makes it.
        conversations: those that it touches.
        users: whose rows.
        seqs: the numbers of the rows that it adds, first and last; (0, -1) for none.
        removed: ranges of the ``seq`` of rows that it removes.
    """

    token: str
    process: str
    conversations: tuple[str, ...]
    users: tuple[str, ...]
    seqs: tuple[int, int]
    removed: tuple[tuple[int, int], ...]


@runtime_checkable
class SharesChanges(Protocol):
    """A ``SessionStore`` that several processes write.

    Each notes in it what it is about to change, so that the others can mend what a process leaves
    that ends in between. What the store has lost, it finds in the rows.
    """

    @property
    def mend_every(self) -> float:
        """Seconds between two looks for changes that were broken off."""
        ...

    @property
    def doubtful(self) -> bool:
        """Whether the ledger may be older than the rows.

        Then a row that it misses may have been deleted.
        """
        ...

    def rebuild_from(self, rows: RowIndex) -> None:
        """The rows in which to find what is not known here."""
        ...

    async def begin(
        self, conversations: Collection[str], users: Collection[str], removed: Iterable[int]
    ) -> None:
        """Note what the change under way of this process touches, before it is made.

        Args:
            conversations: those that gain or lose messages.
            users: whose rows.
            removed: the ``seq`` of rows that are to be removed.
        """
        ...

    async def end(self) -> None:
        """The change under way of this process was applied."""
        ...

    async def stored_twice(self, stored: Mapping[Key, int], replaced: Collection[int]) -> list[int]:
        """The rows that did not prevail where two processes have just stored the same key.

        Neither of them may have seen the other's row before it stored its own. Call it when a
        change was applied: whoever comes second is told.

        Args:
            stored: the ``seq`` of each key that was stored.
            replaced: the ``seq`` of rows that were known to be replaced.
        """
        ...

    async def under_way(self) -> list[UnderWay]:
        """All changes that are noted."""
        ...

    async def broken_off(self) -> list[UnderWay]:
        """Those that their process will not end, or this one not know the end of.

        The change under way of this process, if there is one, is among them from now on.
        """
        ...

    async def mend(
        self, change: UnderWay, found: Mapping[str, tuple[str, int]], *, added: Collection[int]
    ) -> None:
        """End a change by what the rows have of it.

        Args:
            change: one that was broken off.
            found: owner and next turn of each of its conversations in which it has stored rows.
                The others are nobody's again, where only this change had claimed them.
            added: the ``seq`` of its rows that are there.
        """
        ...

    async def made_whole(self) -> None:
        """Every row was applied, and the ledger compared with the rows."""
        ...
