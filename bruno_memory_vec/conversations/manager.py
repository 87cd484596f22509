"""The manager of conversations: their life, lists, search, turns, seams, branches and contexts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from bruno_core.models.context import ConversationContext, SessionContext, UserContext

from bruno_memory_vec.access import SPACE
from bruno_memory_vec.acts import acts, current_action
from bruno_memory_vec.conversations import boundaries, branches, exchange, overview, searching
from bruno_memory_vec.conversations.activity import (
    STATUSES,
    Status,
    aware,
    end,
    exists,
    is_archived,
    last_stored,
    lies_archived,
    with_activity,
)
from bruno_memory_vec.conversations.boundaries import GAP, TOPIC, WINDOW, Segment
from bruno_memory_vec.conversations.branches import Branch
from bruno_memory_vec.conversations.conversations import Conversations
from bruno_memory_vec.conversations.groups import (
    Group,
    Groups,
    Member,
    is_group,
    joined,
    left,
    new_group,
    new_space,
)
from bruno_memory_vec.conversations.listing import ConversationTurn, Page
from bruno_memory_vec.conversations.overview import ConversationInfo, FoundConversation
from bruno_memory_vec.conversations.summaries import CATEGORY, Summary, summary_of
from bruno_memory_vec.conversations.titles import (
    SHOWN_COLUMNS,
    are_as_shown,
    given_title,
    title_by_model,
    turns_to_show,
)
from bruno_memory_vec.conversations.turn_taking import TurnBreak, page_of_turns, turn_breaks
from bruno_memory_vec.errors import InvalidInputError, NotFoundError, NotPermittedError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE, micros
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.models import Row
from bruno_memory_vec.store.handle import Handle
from bruno_memory_vec.store.store import Store

if TYPE_CHECKING:
    from bruno_core.interfaces.llm import LLMInterface

_LARGEST_LIMIT: Final = 2**31
_LONGEST_WINDOW: Final = 100
_MOST_TOPIC: Final = 10.0
_LONGEST_TIMEOUT: Final = 86_400


class People(Protocol):
    """What the manager needs of ``memory.users``."""

    async def context(self, user_id: str | None = None) -> UserContext:
        """What is set and what is learned."""
        ...

    async def save_given(
        self,
        user_id: str,
        given: Callable[[UserContext], UserContext | None],
        *,
        dry_run: bool = False,
    ) -> None:
        """Save what a function makes of what is saved; what was learned in it is not set."""
        ...


class ConversationManager:
    """The conversations of a memory, or of a view its user's. ``memory.conversations`` is one.

    A conversation is named by its id, or by the id of a session of it. In a view, another user's is
    like one that does not exist. What changes something raises a ``ReadOnlyError`` where the memory
    was opened with ``read_only``. Times are timezone-aware, UTC.

    Args:
        handle: the memory, and whose calls these are.
        people: what is known of users.
    """

    #: As what an observed operation of it is named.
    _part_of_memory: ClassVar = "conversations"

    def __init__(self, handle: Handle, people: People) -> None:
        self._handle = handle
        self._people = people

    # The life of a conversation

    @acts("write")
    async def start(
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
        user = self._user(user_id)
        named = None if title is None else given_title(title)
        await self._handle.writer()
        known = await self._conversations()
        session = await known.create_session(user, metadata)
        if named is not None:
            await known.note_of(user, session.conversation_id, title=named, title_by="given")
        return session

    @acts("write")
    async def resume(self, conversation_id: str) -> SessionContext:
        """Go on with a conversation: it becomes the user's current one, in a session of its own.

        The session that is active goes on; where there is none, or it has expired, the next one
        begins.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: it is archived; :meth:`restore` it first.
        """
        await self._handle.writer()
        talk, owner = await self._known(conversation_id)
        known = await self._conversations()
        store = await self._handle.store()
        await _refuse_archived(store, owner, talk)
        note = await store.sessions.note(owner, talk)
        if note is not None and note.ended_at is not None:
            await known.note_of(owner, talk, ended_at=None)
        session = (await known.context(owner, talk, in_view=True)).session
        self._handle.events.session_resumed(session)
        return session

    @acts("write")
    async def end(self, conversation_id: str) -> None:
        """End a conversation and its sessions. Its messages stay, and are recalled as before.

        The user's next context without an id is that of a new conversation. Something that is
        stored in it later, or :meth:`resume`, makes it go on.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """
        await self._handle.writer()
        talk, owner = await self._known(conversation_id)
        await self._end(talk, owner)

    async def _end(self, talk: str, owner: str, **noted: Any) -> None:
        store, known = await self._handle.store(), await self._conversations()
        now = datetime.now(timezone.utc)
        active = await store.sessions.sessions(owner, active=True, limit=None, after=None)
        theirs = [one for one in active if one.conversation_id == talk]
        for session in await with_activity(store, theirs):
            await end(store, session, now)
            self._handle.events.session_ended(session)
        await known.note_of(owner, talk, ended_at=now, **noted)
        await store.sessions.leave(talk, owner)

    @acts("write")
    async def archive(self, conversation_id: str, *, memories: bool = False) -> int:
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
        memories = checks.flag("memories", memories)
        writer = await self._handle.writer()
        talk, owner = await self._known(conversation_id)
        store = await self._handle.store()
        note = await store.sessions.note(owner, talk)
        # Called again after it was broken off, it goes on with the time that is noted.
        at = None if note is None else note.archived_at
        if at is None:
            now = datetime.now(timezone.utc)
            # Redis keeps whole milliseconds, rounded up: what was just stored is no later message.
            at = max(now, (await store.sessions.touched([talk])).get(talk, now))
        await self._end(talk, owner, archived_at=at)
        stamp = micros(at)

        def change(row: Row) -> dict[str, Any] | None:
            own = row["kind"] == MESSAGE or (row["category"], row["origin"]) == (CATEGORY, CATEGORY)
            return {"archived_at": stamp} if own or memories else None

        where = RowFilter(kinds=(MESSAGE, MEMORY), unarchived_at=datetime.now(timezone.utc))
        return len(await writer.rewrite(Scope.user(owner).within(talk), where, change))

    @acts("write")
    async def restore(self, conversation_id: str) -> int:
        """Undo :meth:`archive`, and nothing else: what a summary stands for stays archived.

        That comes back by :meth:`VectorMemory.restore <bruno_memory_vec.VectorMemory.restore>`.

        Returns:
            How many rows are not archived any more.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: it is not archived.
        """
        writer = await self._handle.writer()
        talk, owner = await self._known(conversation_id)
        store, known = await self._handle.store(), await self._conversations()
        note = await store.sessions.note(owner, talk)
        if note is None or note.archived_at is None:
            raise InvalidInputError(
                "conversation_id",
                "names a conversation that is not archived",
                fix="Restore one that list(status='archived') shows.",
            )
        at, stamp = note.archived_at, micros(note.archived_at)

        def change(row: Row) -> dict[str, Any] | None:
            return {"archived_at": None} if row["archived_at"] == stamp else None

        scope = Scope.user(owner).within(talk)
        restored = await writer.rewrite(scope, RowFilter(archived_since=at), change)
        await known.note_of(owner, talk, archived_at=None)
        return len(restored)

    @acts("delete")
    async def delete(self, conversation_id: str) -> None:
        """Delete a conversation: messages, summaries, title, sessions. Its branches stay.

        A fact that was extracted from its messages goes with them, unless another one says it, too.
        Memories that were given with its id stay: delete them by ``delete_memory``. There is no
        such conversation any more until something is stored under its id, which stays its owner's;
        turns are then counted on from where they were.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """
        writer = await self._handle.writer()
        talk, owner = await self._known(conversation_id)
        store = await self._handle.store()
        scope = Scope.user(owner).within(talk)
        await branches.detach(store, owner, talk)
        await writer.delete(scope, RowFilter(kinds=(MESSAGE,)))
        sessions = await store.sessions.sessions(owner, active=None, limit=None, after=None)
        for session in sessions:
            if session.conversation_id == talk:
                await store.sessions.drop_session(session.session_id)
        await store.sessions.leave(talk, owner)
        await (await self._conversations()).forget(talk)

    @acts("delete")
    async def delete_session(self, session_id: str) -> None:
        """Forget a session; its conversation and messages stay.

        Raises:
            NotFoundError: there is no such session for this caller.
        """
        await self._handle.writer()
        session = await (await self._conversations()).session(
            session_id, self._handle.caller.user_id
        )
        if session is None:
            raise NotFoundError(
                f"there is no session {checks.shown(session_id)}",
                fix="Use the session_id of a session that list_sessions shows.",
            )
        await (await self._handle.store()).sessions.drop_session(session.session_id)

    @acts("read")
    async def session_status(self, session_id: str) -> Status:
        """The status of a session: created (nothing was said since), active, idle, ended, archived.

        Raises:
            NotFoundError: there is no such session for this caller.
        """
        store = await self._handle.store()
        known = await self._conversations()
        session = await known.session(session_id, self._handle.caller.user_id)
        if session is None:
            raise NotFoundError(
                f"there is no session {checks.shown(session_id)}",
                fix="Use the session_id of a session that list_sessions shows.",
            )
        note = await store.sessions.note(session.user_id, session.conversation_id)
        stored = (await last_stored(store, [session.conversation_id])).get(session.conversation_id)
        if is_archived(note, stored):
            return "archived"
        if not session.is_active:
            return "ended"
        return known.lifetimes.status(
            aware(session.last_activity),
            datetime.now(timezone.utc),
            spoken=stored is not None and stored >= aware(session.started_at),
        )

    # Conversations of several members

    @acts("write")
    async def create(
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
        owner, others = self._user(user_id), checks.strings("members", members)
        for one in (owner, *others):
            _person("members", one)
        named = None if title is None else given_title(title)
        await self._handle.writer()
        known, store, space = await self._conversations(), await self._handle.store(), new_space()
        session = await known.create_session(space, None)
        talk = session.conversation_id
        if named is not None:
            await known.note_of(space, talk, title=named, title_by="given")
        return await Groups(store).change(space, lambda _: new_group(talk, space, owner, others))

    @acts("read")
    async def members(self, conversation_id: str) -> Sequence[Member]:
        """Who is and was in a conversation of several members.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: it is one user's.
        """
        return (await self._group(conversation_id)).members

    @acts("read")
    async def groups(self, user_id: str | None = None) -> Sequence[Group]:
        """The conversations of several members that somebody is in.

        Args:
            user_id: who. A view knows its user.

        Raises:
            InvalidInputError: nobody is named.
        """
        found = Groups(await self._handle.store())
        spaces = await found.current(self._user(user_id))
        return [group for space in spaces if (group := await found.of(space)) is not None]

    @acts("write")
    async def add_member(self, conversation_id: str, member: str) -> Group:
        """Let somebody into a conversation of several members. They see what was said before.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            NotPermittedError: the caller is a member who did not begin it.
        """
        _person("member", member)
        await self._handle.writer()
        group = await self._group(conversation_id, owner=True)
        groups = Groups(await self._handle.store())
        return await groups.change(group.space, lambda now: joined(now or group, member))

    @acts("write")
    async def remove_member(self, conversation_id: str, member: str) -> Group:
        """Take somebody out of a conversation of several members, or leave it oneself.

        They may still read the turns until now, and see none that comes.

        Raises:
            NotFoundError: there is no such conversation for this caller, or they are not in it.
            NotPermittedError: the caller is another member who did not begin it.
        """
        checks.identifier("member", member)
        await self._handle.writer()
        own = member == self._handle.caller.me
        group = await self._group(conversation_id, owner=not own)
        known = group.member(member)
        if known is None or not known.is_in:
            raise NotFoundError(
                f"{checks.shown(member)} is not in this conversation",
                fix="Name one of members().",
            )
        store = await self._handle.store()
        talk = await store.sessions.conversation(group.conversation_id)
        turn = 0 if talk is None else talk.next_turn
        return await Groups(store).change(group.space, lambda now: left(now or group, member, turn))

    async def _group(self, key: str, *, owner: bool = False) -> Group:
        _, space = await self._known(key)
        group = await Groups(await self._handle.store()).of(space) if is_group(space) else None
        if group is None:
            raise InvalidInputError(
                "conversation_id",
                "names a conversation of one user, which has no members",
                fix="Begin one of several with create().",
            )
        mine = self._handle.caller.user_id
        member = None if mine is None else group.member(mine)
        if owner and member is not None and not member.owner:
            raise NotPermittedError(
                "only who began a conversation adds and removes others",
                fix="Ask them, or use the whole memory.",
            )
        return group

    # Lists and search

    @acts("read")
    async def get(self, conversation_id: str) -> ConversationInfo:
        """A conversation as a whole.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """
        talk, owner = await self._known(conversation_id)
        return await self._info(talk, owner)

    @acts("read")
    async def list(
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
        user = self._user(user_id)
        statuses = checks.names("status", status, STATUSES)
        most = _page_size(limit)
        found = await overview.all_of(await self._handle.store(), user, Scope.user(user))
        return overview.page_of(found, statuses, most, after)

    @acts("read")
    async def search(
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
        user = self._user(user_id)
        return await searching.search(
            await self._handle.store(),
            user,
            checks.question("query", query),
            self._handle.profile,
            limit=checks.limit("limit", limit),
            hits_each=checks.limit("hits_each", hits_each, largest=100),
            statuses=checks.names("status", status, STATUSES),
            include_archived=checks.flag("include_archived", include_archived),
        )

    @acts("read")
    async def current(self, user_id: str | None = None) -> str | None:
        """The conversation that ``get_context`` without an id gives; None where it makes one.

        Raises:
            InvalidInputError: nobody is named.
        """
        user = self._user(user_id)
        store = await self._handle.store()
        talk = await store.sessions.current_conversation(user)
        if talk is None or not await store.owners.owned(talk, user):
            return None
        return None if await lies_archived(store, user, talk) else talk

    # Title and summary

    @acts("write")
    async def rename(self, conversation_id: str, title: str | None) -> None:
        """Give a conversation a title; with None it is its first words again.

        It stays, whatever messages are deleted, until the conversation is deleted.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: the title is blank or longer than 80 characters.
        """
        named = None if title is None else given_title(title)
        await self._handle.writer()
        talk, owner = await self._known(conversation_id)
        by = None if named is None else "given"
        await (await self._conversations()).note_of(
            owner, talk, title=named, title_by=by, titled_turns=None
        )

    @acts("write")
    async def make_title(
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
        model = self._handle.llm if llm is None else llm
        if model is None:
            raise InvalidInputError(
                "llm", "is missing", fix="Give llm=..., or open the memory with one."
            )
        if (
            isinstance(timeout, bool)
            or not isinstance(timeout, (int, float))
            or not 0 < timeout <= _LONGEST_TIMEOUT
        ):
            raise InvalidInputError(
                "timeout",
                f"is {checks.shown(timeout)}",
                fix=f"Give seconds, above 0 and at most {_LONGEST_TIMEOUT:,}.",
            )
        writer = await self._handle.writer()
        talk, owner = await self._known(conversation_id)
        store, known = await self._handle.store(), await self._conversations()
        note = await store.sessions.note(owner, talk)
        if note is not None and note.title_by == "given" and note.title and not replace:
            return note.title
        shown = turns_to_show(await self.turns(talk, limit=20))
        if not shown:
            raise InvalidInputError(
                "conversation_id", "names a conversation without a message", fix="Say something."
            )
        title = await title_by_model(model, [one.message for one in shown], timeout=timeout)
        # Under the lock, so that no text of a message that is deleted comes back in its title.
        async with writer.exclusive:
            now = await store.rows.read(
                Scope.user(owner).within(talk),
                RowFilter(kinds=(MESSAGE,)),
                SHOWN_COLUMNS,
                turns={talk: [one.turn for one in shown]},
            )
            if not are_as_shown(shown, now):
                raise InvalidInputError(
                    "conversation_id",
                    "names a conversation whose first turns were deleted or changed meanwhile",
                    fix="Call it again, if it has messages.",
                )
            noted = await known.note_of(
                owner,
                talk,
                only_if=lambda one: replace or one.title_by != "given" or not one.title,
                title=title,
                title_by="model",
                titled_turns=shown[-1].turn + 1,
            )
        return noted.title or title

    @acts("read")
    async def summary(self, conversation_id: str) -> Summary:
        """What a conversation is about: of the summaries that are stored, else of its own turns.

        Nothing is written, and no model is asked.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """
        talk, owner = await self._known(conversation_id)
        store = await self._handle.store()
        return await summary_of(store.rows, Scope.user(owner).within(talk))

    # Turns and seams

    @acts("read")
    async def turns(
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
        newest = checks.flag("newest_first", newest_first)
        most = _page_size(limit)
        talk, owner = await self._known(conversation_id)
        store = await self._handle.store()
        return await page_of_turns(
            store.rows,
            Scope.user(owner).within(talk),
            talk,
            limit=most,
            after=after,
            newest_first=newest,
        )

    @acts("read")
    async def turn_breaks(self, conversation_id: str) -> Sequence[TurnBreak]:
        """Where a conversation is not question, answer, question, answer.

        Two user's turns in a row, an answer without a question, calls of tools without results and
        results without calls.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """
        talk, owner = await self._known(conversation_id)
        store = await self._handle.store()
        return await turn_breaks(store.rows, Scope.user(owner).within(talk))

    @acts("read")
    async def boundaries(
        self,
        conversation_id: str,
        *,
        gap: timedelta | None = GAP,
        topic: float | None = TOPIC,
        window: int = WINDOW,
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
        if gap is not None and (not isinstance(gap, timedelta) or gap <= timedelta(0)):
            raise InvalidInputError(
                "gap", f"is {checks.shown(gap)}", fix="Give a timedelta above 0, or None."
            )
        if topic is not None and (
            isinstance(topic, bool)
            or not isinstance(topic, (int, float))
            or not 0 <= topic <= _MOST_TOPIC
        ):
            raise InvalidInputError(
                "topic", f"is {checks.shown(topic)}", fix="Give a number from 0 to 10, or None."
            )
        width = checks.limit("window", window, largest=_LONGEST_WINDOW)
        talk, owner = await self._known(conversation_id)
        store = await self._handle.store()
        scope = Scope.user(owner).within(talk)
        return await boundaries.segments(store.rows, scope, gap, topic, width)

    # Branches

    @acts("write")
    async def fork(
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
        named = None if title is None else given_title(title)
        moves = checks.flag("switch", switch)
        if turn is not None:
            turn = checks.limit("turn", turn, largest=2**62, smallest=0)
        writer = await self._handle.writer()
        talk, owner = await self._known(conversation_id)
        store = await self._handle.store()
        note = await branches.fork(store, writer, owner, talk, turn, named)
        if moves:
            await store.sessions.set_current_conversation(owner, note.conversation_id)
        return await self._info(note.conversation_id, owner)

    @acts("read")
    async def branches(self, conversation_id: str) -> Branch:
        """The tree of branches that a conversation is in, from the first conversation on.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """
        talk, owner = await self._known(conversation_id)
        return await branches.tree(await self._handle.store(), owner, talk)

    @acts("write")
    async def switch(self, conversation_id: str) -> None:
        """Make a conversation the user's current one: ``get_context`` without an id gives it.

        Raises:
            NotFoundError: there is no such conversation for this caller.
            InvalidInputError: it is archived; :meth:`restore` it first.
        """
        await self._handle.writer()
        talk, owner = await self._known(conversation_id)
        store = await self._handle.store()
        await _refuse_archived(store, owner, talk)
        await store.sessions.set_current_conversation(owner, talk)

    # bruno-core's contexts

    @acts("read")
    async def to_context(
        self, conversation_id: str, *, max_messages: int | None = None
    ) -> ConversationContext:
        """A conversation as bruno-core's context: user, session and last messages, oldest first.

        Unlike ``get_context`` it changes nothing: no session begins, and nothing is recalled.

        Args:
            conversation_id: which.
            max_messages: how many messages at most, 1 to 1000; None for 1000.

        Raises:
            NotFoundError: there is no such conversation for this caller.
        """
        if max_messages is not None:
            max_messages = checks.limit("max_messages", max_messages, exchange.MOST_MESSAGES)
        talk, owner = await self._known(conversation_id)
        return await exchange.context_of(
            await self._handle.store(),
            await self._info(talk, owner),
            await self._people.context(owner),
            max_messages,
        )

    @acts("write")
    async def from_context(self, context: ConversationContext) -> int:
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
        if not isinstance(context, ConversationContext):
            raise InvalidInputError(
                "context", "expected a ConversationContext", fix="Make a ConversationContext."
            )
        checks.identifier("context.conversation_id", context.conversation_id)
        user = self._handle.caller.acting_for_named(context.user.user_id)
        await self._handle.throttle.wait(user)
        writer = await self._handle.writer()
        store, known = await self._handle.store(), await self._conversations()
        checks.identifier("context.session.session_id", context.session.session_id)
        session = await exchange.checked_session(store, context.session, user)
        profile = partial(exchange.merged, context.user)
        await self._people.save_given(user, profile, dry_run=True)
        await known.check_session(context.session)
        talk, stored = await exchange.store_messages_of(store, writer, store.owners, context, user)
        given = context.session.model_copy(update={"conversation_id": talk})
        if given != session:
            await store.sessions.save_session(given)
        await self._people.save_given(user, profile)
        return stored

    # Whose

    def _user(self, user_id: str | None) -> str:
        user = self._handle.caller.acting_for(user_id)
        if user is None:
            raise InvalidInputError(
                "user_id",
                "is missing, so that it is not clear whose conversations are meant",
                fix="Give user_id=..., or use for_user().",
            )
        return user

    async def _known(self, key: str) -> tuple[str, str]:
        """A conversation that the caller may see, and its owner."""
        checks.identifier("conversation_id", key)
        talk = await self._handle.find(key)
        owner = await (await self._handle.owners()).owner(talk)
        caller = self._handle.caller
        if owner is None or not (caller.may_see(owner) or await self._may_join(talk, owner)):
            raise _no_conversation(key)
        if not await exists(await self._handle.store(), owner, talk):
            raise _no_conversation(key)
        return talk, owner

    async def _may_join(self, talk: str, owner: str) -> bool:
        """Whether the caller is in the group that a conversation is of."""
        mine = self._handle.caller.user_id
        if mine is None or not is_group(owner):
            return False
        group = await Groups(await self._handle.store()).of(owner)
        member = None if group is None else group.member(mine)
        if member is None or not member.is_in:
            return False
        if current_action() == "delete" and not member.owner:
            raise NotPermittedError(
                "only who began a conversation of several members deletes it",
                fix="Leave it with remove_member().",
            )
        return True

    async def _info(self, talk: str, owner: str) -> ConversationInfo:
        store: Store = await self._handle.store()
        found = await overview.all_of(store, owner, Scope.user(owner).within(talk))
        if not found:
            raise _no_conversation(talk)
        return found[0]

    async def _conversations(self) -> Conversations:
        store = await self._handle.store()
        return Conversations(store, store.owners, self._handle.events)


def _person(field: str, user_id: str) -> None:
    checks.identifier(field, user_id)
    if user_id.startswith(SPACE):
        raise InvalidInputError(
            field, f"names the space {checks.shown(user_id)}, no person", fix="Name users."
        )


def _no_conversation(key: str) -> NotFoundError:
    return NotFoundError(
        f"there is no conversation {checks.shown(key)}",
        fix="Use the id of a conversation that list() shows.",
    )


async def _refuse_archived(store: Store, owner: str, talk: str) -> None:
    if await lies_archived(store, owner, talk):
        raise InvalidInputError(
            "conversation_id", "names a conversation that is archived", fix="Restore it first."
        )


def _page_size(limit: int | None) -> int | None:
    return None if limit is None else checks.limit("limit", limit, largest=_LARGEST_LIMIT)
