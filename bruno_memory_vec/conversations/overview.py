"""Conversations as a whole: their titles, statuses and times, listed, searched, page by page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Final

from bruno_core.models.context import SessionContext

from bruno_memory_vec.conversations import listing
from bruno_memory_vec.conversations.activity import (
    Lifetimes,
    Status,
    aware,
    conversation_status,
    last_stored,
)
from bruno_memory_vec.conversations.listing import ConversationSummary, Newest, Page
from bruno_memory_vec.conversations.titles import LONGEST
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.prompts.hidden_characters import one_line
from bruno_memory_vec.recall.hits import Hit
from bruno_memory_vec.sessions.protocol import ConversationNote
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.wording import counted


@dataclass(frozen=True, slots=True)
class ConversationInfo:
    """A conversation as a whole. Times are timezone-aware, UTC.

    Attributes:
        conversation_id: which.
        user_id: its owner.
        title: given, made by a model, or the first words of what was said first; empty where
            nothing was said.
        title_by: "given", "model" or "words".
        status: "created" (nothing was said), "active", "idle", "ended" or "archived".
        messages: how many.
        first: the time of the oldest message; None without one.
        last: of the newest.
        last_activity: when a message was last stored in it, or a session of it began.
        parent_id: what it was forked from; None for no branch, or where that was deleted.
        forked_at: the last turn that it shares with that; None where ``parent_id`` is.
        ended_at: when it was ended; None where it was not, or goes on again.
        archived_at: when it was archived. Where a message was stored in it since, it is active
            again, and what was there before is archived until it is restored.
    """

    conversation_id: str
    user_id: str
    title: str
    title_by: str
    status: Status
    messages: int
    first: datetime | None
    last: datetime | None
    last_activity: datetime
    parent_id: str | None
    forked_at: int | None
    ended_at: datetime | None
    archived_at: datetime | None

    def __str__(self) -> str:
        number = counted(self.messages, "message")
        line = (
            f"{self.last_activity:%Y-%m-%d}  {self.status}, {number}  "
            f"{one_line(self.title, LONGEST) or 'no title'}  ({one_line(self.conversation_id)}"
        )
        if self.parent_id is None:
            return f"{line})"
        return f"{line}, from turn {self.forked_at} of {one_line(self.parent_id)})"


@dataclass(frozen=True, slots=True)
class FoundConversation:
    """A conversation that answers a question.

    Attributes:
        info: the conversation.
        score: of its best hit, and of its title; comparable within one search.
        title_matches: the share of the question's words that its title has, 0..1.
        hits: its best hits, best first; none where only its title answers.
    """

    info: ConversationInfo
    score: float
    title_matches: float
    hits: tuple[Hit, ...]

    def __str__(self) -> str:
        hits = self.hits[:_SHOWN_HITS]
        said = (f"       {hit.speaker}: {one_line(hit.excerpt)}" for hit in hits)
        return "\n".join([f"{self.score:.3f}  {self.info}", *said])


# Of so many hits the text is printed.
_SHOWN_HITS: Final = 3
#: The score of a title that has every word of the question, against the best hit's.
TITLE_WEIGHT: Final = 0.9


async def all_of(store: Store, user_id: str, scope: Scope) -> list[ConversationInfo]:
    """Every conversation of a user, or the one of a scope, in no particular order.

    Args:
        store: the open store.
        user_id: whose.
        scope: the user's rows, of one conversation or of all.

    Raises:
        EngineError: an engine failed.
    """
    one = scope.conversation_id
    said = {
        each.conversation_id: each
        for each in await listing.list_conversations(store.rows, scope, None, None)
    }
    notes = {each.conversation_id: each for each in await _notes(store, user_id, one)}
    active: dict[str, SessionContext] = {}
    for session in await store.sessions.sessions(user_id, active=True, limit=None, after=None):
        if one in (None, session.conversation_id):
            active.setdefault(session.conversation_id, session)
    names = await _of_theirs(store, user_id, {*said, *notes, *active} if one is None else {one})
    # A branch has its past. One without a row was never finished.
    unfinished = {name for name, note in notes.items() if note.parent_id is not None}
    names = [name for name in names if name in said or name not in unfinished]
    stored = await last_stored(store, [name for name in names if name in said])
    lifetimes, now = Lifetimes.of(store.config), datetime.now(timezone.utc)
    return [
        _info(
            name,
            user_id,
            said.get(name),
            notes.get(name),
            stored.get(name),
            _last_activity(stored.get(name), active.get(name), notes.get(name), now),
            lifetimes,
            now,
        )
        for name in names
    ]


async def _notes(store: Store, user_id: str, one: str | None) -> Iterable[ConversationNote]:
    if one is None:
        return await store.sessions.notes(user_id)
    note = await store.sessions.note(user_id, one)
    return () if note is None else (note,)


async def _of_theirs(store: Store, user_id: str, names: Collection[str]) -> list[str]:
    """Those of the conversations that are the user's. What nobody has begun is nobody's."""
    owners = await store.owners.of(names)
    return [name for name in names if owners.get(name) == user_id]


def _last_activity(
    stored: datetime | None,
    session: SessionContext | None,
    note: ConversationNote | None,
    now: datetime,
) -> datetime:
    known = [] if stored is None else [stored]
    if session is not None:
        known.append(aware(session.started_at))
    elif not known and note is not None:
        known.append(note.created_at)
    return max(known, default=now)


def _info(
    name: str,
    user_id: str,
    said: ConversationSummary | None,
    note: ConversationNote | None,
    stored: datetime | None,
    last_activity: datetime,
    lifetimes: Lifetimes,
    now: datetime,
) -> ConversationInfo:
    status = conversation_status(note, last_activity, lifetimes, now, stored=stored)
    given = None if note is None else note.title
    words = "" if said is None else said.title
    return ConversationInfo(
        conversation_id=name,
        user_id=user_id,
        title=words if given is None else given,
        title_by="words" if note is None or given is None else note.title_by or "given",
        status=status,
        messages=0 if said is None else said.messages,
        first=None if said is None else said.first,
        last=None if said is None else said.last,
        last_activity=last_activity,
        parent_id=None if note is None else note.parent_id,
        forked_at=None if note is None else note.forked_at,
        ended_at=note.ended_at if note is not None and status in ("ended", "archived") else None,
        archived_at=None if note is None else note.archived_at,
    )


async def with_titles(store: Store, found: Page[ConversationSummary]) -> Page[ConversationSummary]:
    """Conversations with the titles that they were given or a model has made.

    Raises:
        EngineError: the session store cannot be read.
    """
    titles: dict[str, str] = {}
    for user_id in dict.fromkeys(one.user_id for one in found):
        for note in await store.sessions.notes(user_id):
            if note.title is not None:
                titles[note.conversation_id] = note.title
    named = (replace(one, title=titles.get(one.conversation_id, one.title)) for one in found)
    return Page(named, found.next)


def page_of(
    found: Iterable[ConversationInfo],
    statuses: Collection[str],
    limit: int | None,
    after: str | None,
) -> Page[ConversationInfo]:
    """Those of some statuses (all for none), the one in which something happened last first.

    Raises:
        InvalidInputError: ``after`` is no page's ``next``.
    """
    order = [
        (Newest(micros(one.last_activity), one.conversation_id), one)
        for one in found
        if not statuses or one.status in statuses
    ]
    chosen, following = listing.page(order, limit, after, 1)
    return Page(chosen, following)


def grouped(
    found: Mapping[str, ConversationInfo],
    hits: Sequence[Hit],
    matches: Mapping[str, float],
    limit: int,
    hits_each: int,
) -> list[FoundConversation]:
    """Conversations by what was found in them and by their titles, best first.

    Args:
        found: the conversations that may be shown.
        hits: of a recall, best first.
        matches: by conversation, the share of the question's words that its title has.
        limit: how many conversations.
        hits_each: how many hits of each.
    """
    theirs: dict[str, list[Hit]] = {}
    for hit in hits:
        if hit.conversation_id is not None and hit.conversation_id in found:
            theirs.setdefault(hit.conversation_id, []).append(hit)
    best = max((hit.score for hit in hits), default=1.0) or 1.0
    scored = []
    for name in {**theirs, **matches}:
        if name not in found:
            continue
        own, match = theirs.get(name, []), matches.get(name, 0.0)
        score = max(own[0].score if own else 0.0, TITLE_WEIGHT * best * match)
        if own and match:
            score += 0.1 * best * match
        if score > 0:
            scored.append(FoundConversation(found[name], score, match, tuple(own[:hits_each])))
    scored.sort(key=lambda one: (-one.score, one.info.conversation_id))
    return scored[:limit]
