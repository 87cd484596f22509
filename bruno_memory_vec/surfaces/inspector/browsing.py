"""Pages to browse: users, a user, conversations, one of them, memories, facts, a single row."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message
from starlette.responses import RedirectResponse, Response

from bruno_memory_vec.config import masked
from bruno_memory_vec.errors import NotFoundError
from bruno_memory_vec.knowledge.extraction.fact import Fact
from bruno_memory_vec.rows.checks import shown
from bruno_memory_vec.surfaces.inspector.looking import Look
from bruno_memory_vec.surfaces.inspector.pages import HEADERS, page
from bruno_memory_vec.surfaces.inspector.rows import importance_of, marks_of, row_of, rows_of

if TYPE_CHECKING:
    from bruno_memory_vec import UserSummary
    from bruno_memory_vec.memory import VectorMemory
    from bruno_memory_vec.recall.hits import Hit

_USERS_A_PAGE: Final = 100
_TALKS_A_PAGE: Final = 50
_TURNS_A_PAGE: Final = 60
_ROWS_A_PAGE: Final = 50
_FACTS_A_PAGE: Final = 100
#: The statuses of conversations, as ``memory.conversations.list`` has them.
STATUSES: Final = ("created", "active", "idle", "ended", "archived")
#: Where rows come from, as ``memory.timeline`` has it.
ORIGINS: Final = (
    "user",
    "assistant",
    "system",
    "tool",
    "given",
    "extracted",
    "summary",
    "imported",
)
_TYPES: Final = tuple(one.value for one in MemoryType)
_FACTS_SHOWN: Final = 12
_MOST_SOURCES: Final = 10
# A page of more characters makes a browser slow.
_MOST_CHARACTERS: Final = 500_000
_MOST_BRANCHES: Final = 50


class Users:
    """The users of a store, counted once for all pages of a few seconds: it reads every row."""

    _KEPT_S = 10.0

    def __init__(self) -> None:
        self._found: list[UserSummary] = []
        self._at = float("-inf")
        self._lock = asyncio.Lock()

    async def list(self, memory: VectorMemory) -> list[UserSummary]:
        """Every user, the one with most messages first.

        Args:
            memory: that of a visitor who may see all of them.
        """
        async with self._lock:
            if time.monotonic() - self._at > self._KEPT_S:
                self._found = await memory.list_users()
                self._at = time.monotonic()
            return self._found

    def changed(self) -> None:
        """Count anew when it is asked next."""
        self._at = float("-inf")


async def home(look: Look, users: Users) -> Response:
    """``/``: the user that is looked at, or all users, or what to do where there is nothing."""
    if look.user_id is not None:
        return await _user(look)
    found = await users.list(look.visitor.memory)
    if len(found) == 1:
        return RedirectResponse(look.link("/", user=found[0].user_id), 303, HEADERS)
    return _users(look, found)


async def all_users(look: Look, users: Users) -> Response:
    """``/users``: the users that there are; of a user's token that user and its spaces."""
    if not look.visitor.may_choose:
        return page(look, "users.html", users=None, page_of=None, total=0, find="", then="")
    return _users(look, await users.list(look.visitor.memory))


def _users(look: Look, found: Sequence[UserSummary]) -> Response:
    find = look.word("find").casefold()
    wanted = [one for one in found if find in one.user_id.casefold()]
    first = look.number("from", 0, 0, 10**9)
    shown_here = wanted[first : first + _USERS_A_PAGE]
    return page(
        look,
        "users.html" if found else "empty.html",
        users=shown_here,
        page_of=_span(look, first, len(shown_here), len(wanted), _USERS_A_PAGE),
        total=len(found),
        find=look.word("find"),
        then=look.word("then"),
        url=masked(look.visitor.memory.config.url),
    )


async def _user(look: Look) -> Response:
    memory, user = look.memory, look.user
    counts = await memory.get_statistics(user)
    return page(
        look,
        "user.html",
        user=user,
        counts=counts,
        talks=await memory.conversations.list(user, limit=8),
        pinned=await rows_of(
            memory, user, [one.id for one in (await memory.list_pinned(user))[:20]]
        ),
        # What is saved: `users.profile` would count it anew first, and save that.
        known=await memory.get_user(user),
        facts=(await memory.facts.list(user))[:_FACTS_SHOWN],
        newest=await memory.timeline(user, kinds="memory", limit=8),
        importance_of=importance_of,
    )


async def conversations(look: Look) -> Response:
    """``/conversations``: a user's conversations, or those that answer a question."""
    asked = look.question()
    status = look.choice("status", ("", *STATUSES), "")
    user = look.user
    found, listed = None, None
    if asked:
        found = await look.memory.conversations.search(
            asked, user, limit=20, include_archived=True, status=_status(status)
        )
    else:
        listed = await look.memory.conversations.list(
            user, limit=_TALKS_A_PAGE, after=look.word("after") or None, status=_status(status)
        )
    return page(
        look,
        "conversations.html",
        asked=asked,
        status=status,
        statuses=STATUSES,
        found=found,
        listed=listed,
        user=user,
    )


def _status(status: str) -> Any:
    return status or None


async def conversation(look: Look) -> Response:
    """``/conversation``: its turns as a chat, its branches and its summaries."""
    memory, user, talk = look.memory, look.user, look.word("id")
    info = await memory.conversations.get(talk)
    if info.user_id != user:
        raise NotFoundError(
            f"{shown(user)} has no conversation {shown(talk)}", fix="Look in the conversations."
        )
    newest_first = look.word("order") == "newest"
    turn = look.word("turn")
    if turn:
        first = max(0, look.number("turn", 0, 0, 2**40) - _TURNS_A_PAGE // 2)
        turns = list(
            await memory.read_turns(info.conversation_id, from_turn=first, limit=_TURNS_A_PAGE)
        )
        following = None
    else:
        listed = await memory.conversations.turns(
            info.conversation_id,
            limit=_TURNS_A_PAGE,
            after=look.word("after") or None,
            newest_first=newest_first,
        )
        turns, following = list(listed), listed.next
    marks = await marks_of(memory, user, info.conversation_id, (one.message for one in turns))
    tree = await memory.conversations.branches(info.conversation_id)
    summaries = await memory.timeline(
        user,
        conversation_id=info.conversation_id,
        kinds="memory",
        categories="summary",
        origins="summary",
        limit=20,
    )
    return page(
        look,
        "conversation.html",
        info=info,
        turns=turns,
        marks=marks,
        following=following,
        newest_first=newest_first,
        from_turn=int(turn) if turn else None,
        forks=_forks(tree, info.conversation_id),
        tree=list(_lines(tree))[:_MOST_BRANCHES],
        summaries=[(one, _covered(one)) for one in summaries],
        importance_of=importance_of,
        user=user,
    )


def _covered(hit: Hit) -> dict[str, Any]:
    fields = hit.record.metadata.custom_fields if isinstance(hit.record, MemoryEntry) else {}
    return {name: fields.get(name) for name in ("level", "from_turn", "to_turn")}


def _forks(tree: Any, talk: str) -> dict[int, list[Any]]:
    """The branches that were forked from a conversation, by the turn at which they were."""
    found: dict[int, list[Any]] = {}
    for branch in tree:
        if branch.parent_id == talk and branch.forked_at is not None:
            found.setdefault(branch.forked_at, []).append(branch)
    return found


def _lines(tree: Any) -> Iterator[tuple[int, Any]]:
    """A tree of branches, each with its depth, each before its own branches."""
    waiting = [(0, tree)]
    while waiting:
        depth, branch = waiting.pop()
        yield depth, branch
        waiting += [(depth + 1, below) for below in reversed(branch.branches)]


async def memories(look: Look) -> Response:
    """``/memories``: a user's memories, by kind, tag, category and origin, or by a question."""
    asked, user = look.question(), look.user
    kind = look.choice("type", ("", *_TYPES), "")
    origin = look.choice("origin", ("", *ORIGINS), "")
    filters: dict[str, Any] = {
        "kinds": "memory",
        "memory_types": kind or None,
        "tags": look.word("tag") or None,
        "categories": look.word("category") or None,
        "origins": origin or None,
        "include_archived": look.word("archived") == "1",
        "include_expired": look.word("expired") == "1",
    }
    following = None
    if asked:
        # As of now, so that a look is no use.
        hits: Sequence[Hit] = await look.memory.recall(
            asked, user_id=user, k=_ROWS_A_PAGE, as_of=datetime.now(timezone.utc), **filters
        )
    else:
        listed = await look.memory.timeline(
            user, limit=_ROWS_A_PAGE, after=look.word("after") or None, **filters
        )
        hits, following = listed, listed.next
    return page(
        look,
        "memories.html",
        asked=asked,
        type=kind,
        types=_TYPES,
        origin=origin,
        origins=ORIGINS,
        tag=look.word("tag"),
        category=look.word("category"),
        archived=filters["include_archived"],
        expired=filters["include_expired"],
        hits=hits,
        following=following,
        importance_of=importance_of,
        user=user,
    )


@dataclass(frozen=True, slots=True)
class Told:
    """A fact of a list.

    Attributes:
        fact: the fact.
        before: those that it has superseded, the newest first.
    """

    fact: Fact
    before: tuple[Fact, ...]


async def facts(look: Look) -> Response:
    """``/facts``: what is known of a user, each with its sources and what held before."""
    user, find = look.user, look.word("find").casefold()
    every = await look.memory.facts.history(user)
    by_id = {fact.id: fact for fact in every}
    held = [
        fact
        for fact in reversed(every)
        if find in f"{fact.subject} {fact.attribute} {fact.value}".casefold()
    ]
    current = [fact for fact in held if fact.archived_at is None]
    # One that ended without another in its place is shown by itself.
    ended = [fact for fact in held if fact.archived_at is not None and not fact.superseded_by]
    first = look.number("from", 0, 0, 10**9)
    wanted = [*current, *ended]
    here = wanted[first : first + _FACTS_A_PAGE]
    return page(
        look,
        "facts.html",
        told=[Told(fact, tuple(_before(fact, by_id))) for fact in here],
        page_of=_span(look, first, len(here), len(wanted), _FACTS_A_PAGE),
        find=look.word("find"),
        user=user,
    )


def _before(fact: Fact, by_id: dict[str, Fact]) -> Iterator[Fact]:
    seen = {fact.id}
    at = fact.supersedes
    while at is not None and at in by_id and at not in seen:
        seen.add(at)
        yield by_id[at]
        at = by_id[at].supersedes


async def row(look: Look) -> Response:
    """``/row``: one message or memory, all of it, with where it is from."""
    memory, user = look.memory, look.user
    hit = await row_of(memory, user, look.word("id"))
    record = hit.record
    sources: list[Hit] = []
    if isinstance(record, MemoryEntry):
        related = [str(one) for one in record.metadata.related_memories]
        sources = await rows_of(memory, user, related[:_MOST_SOURCES])
        more = len(related) - len(related[:_MOST_SOURCES])
    else:
        more = 0
    return page(
        look,
        "row.html",
        hit=hit,
        record=record,
        is_message=isinstance(record, Message),
        sources=sources,
        most=_MOST_CHARACTERS,
        more=more,
        importance_of=importance_of,
        fields=_fields(record),
        user=user,
    )


def _fields(record: Message | MemoryEntry) -> list[tuple[str, str]]:
    """What else is stored with a row, as texts."""
    if isinstance(record, Message):
        return [(str(name), str(value)) for name, value in record.metadata.items()]
    meta = record.metadata
    named = [
        ("source", meta.source),
        ("category", meta.category),
        ("tags", ", ".join(meta.tags)),
        ("confidence", f"{meta.confidence:.2f}"),
        ("recalled", f"{meta.access_count:,} times"),
        ("last recalled", f"{record.last_accessed:%Y-%m-%d %H:%M}" if meta.access_count else ""),
        ("expires", "" if record.expires_at is None else f"{record.expires_at:%Y-%m-%d %H:%M}"),
    ]
    custom = [(str(name), str(value)) for name, value in meta.custom_fields.items()]
    return [(name, str(value)) for name, value in [*named, *custom] if value]


@dataclass(frozen=True, slots=True)
class Span:
    """Which part of a list a page shows.

    Attributes:
        first: of the first one, from 1; 0 of none.
        last: of the last one.
        total: how many there are.
        before: the address of the page before; None for none.
        after: of the one behind.
    """

    first: int
    last: int
    total: int
    before: str | None
    after: str | None


def _span(look: Look, first: int, count: int, total: int, step: int) -> Span:
    return Span(
        first + 1 if count else 0,
        first + count,
        total,
        look.again(**{"from": max(0, first - step)}) if first else None,
        look.again(**{"from": first + count}) if first + count < total else None,
    )
