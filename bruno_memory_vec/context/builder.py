"""Builds a context: reads, recalls, and packs what fits, the most needed first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from operator import attrgetter
from typing import TYPE_CHECKING

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.acts import current_watch
from bruno_memory_vec.context.fit import by_fit
from bruno_memory_vec.context.found import Found, of_hit, of_row
from bruno_memory_vec.context.known_line import KnownLine
from bruno_memory_vec.context.packing import Packing
from bruno_memory_vec.context.reading import UsersRows, about, units
from bruno_memory_vec.context.report import BuiltContext, ContextItem, ContextReport, LeftOut
from bruno_memory_vec.context.strategies import Strategy
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.observability.stages import Stages
from bruno_memory_vec.prompts.notes import is_notes
from bruno_memory_vec.prompts.token_bound import Counter
from bruno_memory_vec.recall import RecallRequest
from bruno_memory_vec.recall.hits import Hits
from bruno_memory_vec.recall.profiles import load_profile
from bruno_memory_vec.rows import tagged_json

if TYPE_CHECKING:
    from bruno_memory_vec.rankers import Profile
    from bruno_memory_vec.rows.models import Row
    from bruno_memory_vec.store.store import Store

# How many hits are asked for: as many as fit if their texts have the mean length of the user's,
# some more because the best are not the longest, and a few that are shown already. Each takes some
# microseconds. Of long texts a passage is shown.
_TOKENS_A_WORD, _TOKENS_OF_A_LINE = 1.35, 5
_WORDS_OF_A_PASSAGE = 70
_MORE_HITS, _FEW_HITS, _MOST_HITS = 1.3, 15, 600
# What is known of the user may take so many tokens where its share is less, of a small budget a
# quarter: three or four lines.
_TOKENS_ABOUT = 80
# After so many in a row that did not fit, the others are not tried.
_TRIES = 12
# Of the best hits of so many tokens of the budget each, the turn before is shown, too.
_TOKENS_A_NEIGHBOUR = 700
# Hits below this share of the best score say more about something else than about the question.
_LEAST_SHARE = 0.1
# Of so many hits the whole text is preferred to its passage, where it takes a tenth of the budget.
_WHOLE_OF = 3
_WHOLE_SHARE = 0.1
# A turn takes so many tokens at least, so more turns than that are not read.
_LEAST_TOKENS_A_TURN = 8
_MOST_TURNS = 500
# A call of tools is so many turns away from its last result at most.
_REACH_OF_TOOLS = 4


@dataclass(frozen=True, slots=True)
class ContextRequest:
    """What a context is built for, checked.

    Attributes:
        question: the user's message; one that is not stored yet, or the conversation's newest.
        scope: whose rows.
        conversation_id: whose last turns are shown; None for none.
        budget: the most tokens of all messages.
        strategy: which parts.
        count: counts the tokens of a text.
        profile: how to recall.
        now: the time that ages and expiry refer to (timezone-aware).
        until: only rows created before this time.
        stored: whether the question has an id of its own, which its row may have.
        include_archived: whether archived messages are recalled, too.
        about: reads what is known of the user, as lines such as ``- preference, drink: "tea"`` in
            which what was stored is quoted.
    """

    question: Message
    scope: Scope
    conversation_id: str | None
    budget: int
    strategy: Strategy
    count: Counter
    profile: Profile
    now: datetime
    until: datetime | None = None
    stored: bool = False
    include_archived: bool = False
    about: Callable[[], Awaitable[Sequence[KnownLine]]] | None = None

    def alive(self) -> RowFilter:
        """The rows that may be shown."""
        at = self.now.astimezone(timezone.utc)
        # Rows are archived by the clock, whatever time a question refers to.
        today = max(at, datetime.now(timezone.utc))
        return RowFilter(alive_at=at, unarchived_at=today, until=self.until)

    def recallable(self) -> RowFilter:
        """The rows that the question may recall."""
        where = self.alive()
        return replace(where, unarchived_at=None) if self.include_archived else where


async def build(store: Store, request: ContextRequest) -> BuiltContext:
    """A context for a question, within the request's budget.

    Raises:
        InvalidInputError: the question alone has more tokens than the budget, or the counter of
            tokens failed.
        EngineError, EmbeddingError: the recall failed.
    """
    observer = store.observer
    if observer is None:
        return await _Builder(store, request, None).build()
    stages = Stages()
    built = await _Builder(store, request, stages).build()
    observer.built(current_watch(), stages, built.report.tokens)
    return built


class _Builder:
    def __init__(self, store: Store, request: ContextRequest, stages: Stages | None) -> None:
        self._stages = stages
        self._store, self._request, self._strategy = store, request, request.strategy
        self._alive = request.alive()
        self._confidence: float | None = None

    async def build(self) -> BuiltContext:
        request, strategy = self._request, self._strategy
        rows = await UsersRows.of(
            self._store.rows, request.scope, self._alive, load=strategy.recalled is not None
        )
        systems: list[Found] = []
        turns: list[Found] = []
        if request.conversation_id is not None:
            most = min(request.budget // _LEAST_TOKENS_A_TURN + 1, _MOST_TURNS)
            systems, turns = await rows.turns(request.conversation_id, most)
        self._ended("turns")
        question, turns = _question(request, turns)
        packing = Packing(
            question, request.budget, request.count, request.now.tzinfo or timezone.utc
        )
        whole = packing.room

        def share(part: float) -> int:
            return int(part * whole)

        left = share(strategy.system)
        for found in systems:
            if not is_notes(found.text):
                left -= packing.system(found, left)
        together, alone = units([one for one in turns if not is_notes(one.text)])
        for found in alone:
            packing.leave_out(found, "tool pair incomplete")
        self._recent(packing, together, share(strategy.recent), newest=share(0.5))
        shown = {found.id for found in turns if packing.shows_id(found)}
        known, hits = await asyncio.gather(
            self._about(), self._hits(packing, rows, question, shown)
        )
        self._ended("recall")
        if known:
            self._known(packing, question, known, share(strategy.about), share(0.25))
        if strategy.pinned:
            # Somebody has said that it matters: one that is longer than its share is cut.
            self._some(packing, await rows.pinned(), share(strategy.pinned), cut=True)
        if strategy.summaries and request.conversation_id is not None:
            summaries = await rows.summaries(request.conversation_id)
            oldest = _oldest_turn(packing, turns)
            self._some(packing, _covering(summaries, oldest), share(strategy.summaries))
        recalled: list[Found] = []
        if hits is not None:
            self._confidence = hits.confidence
            recalled = self._near_the_best(packing, hits)
        elif strategy.recalled == "importance":
            recalled = await rows.most_important(self._hits_wanted(packing, rows) + len(turns))
        beside = await rows.at(self._beside(recalled), request.recallable())
        self._ended("reading")
        by_place = {one.place: one for one in beside if one.place is not None}
        self._ranked(packing, recalled, by_place)
        if strategy.more_recent:
            self._recent(packing, together, packing.room)
        for unit in together:
            for found in unit:
                packing.leave_out(found, "budget")
        messages, items, left_out, tokens = packing.built()
        self._ended("packing")
        report = ContextReport(
            strategy.name,
            request.budget,
            tokens,
            tuple(items),
            _not_shown(left_out, items),
            self._confidence,
        )
        return BuiltContext(messages, report)

    def _ended(self, stage: str) -> None:
        if self._stages is not None:
            self._stages.ended(stage)

    @staticmethod
    def _recent(packing: Packing, together: list[list[Found]], most: int, newest: int = 0) -> None:
        """Show the newest turns that fit, without a gap; what is shown is taken off the list."""
        first = True
        while together:
            taken = packing.recent(together[-1], max(most, newest) if first else most)
            if not taken:
                break
            together.pop()
            most -= taken
            first = False

    def _known(
        self, packing: Packing, question: Found, known: Sequence[Found], most: int, quarter: int
    ) -> None:
        """Quote what is known of the user; where not all of it fits, what fits the question."""
        stated = [one for one in known if one.values]
        at_least = max(most, min(_TOKENS_ABOUT, quarter))
        if sum(self._request.count(f"[m1] {one.line}\n") for one in stated) > at_least:
            stated = by_fit(self._store, question.text, stated)
        left = most - self._some(packing, stated, at_least)
        # How the user writes answers no question: of a small budget it would take what answers.
        self._some(packing, (one for one in known if not one.values), min(left, most // 2))

    @staticmethod
    def _some(packing: Packing, found: Iterable[Found], most: int, *, cut: bool = False) -> int:
        """Quote what fits into a share, each once. Returns what it took.

        With ``cut`` the first one that does not fit is cut.
        """
        room = most
        for one in found:
            if packing.shows(one) or packing.says(one):
                packing.leave_out(one, "duplicate")
                continue
            taken = packing.quote(one, most)
            if not taken and cut:
                taken, cut = packing.quote(one, most, cut=True), False
            if not taken:
                packing.leave_out(one, "budget")
            most -= taken
        return room - most

    @staticmethod
    def _hits_wanted(packing: Packing, rows: UsersRows) -> int:
        words = min(rows.mean_words, _WORDS_OF_A_PASSAGE)
        fitting = packing.room / (words * _TOKENS_A_WORD + _TOKENS_OF_A_LINE)
        return min(int(fitting * _MORE_HITS) + _FEW_HITS, _MOST_HITS)

    async def _about(self) -> list[Found]:
        """What is known of the user, where the strategy shows that."""
        if not self._strategy.about or self._request.about is None:
            return []
        return about(await self._request.about())

    async def _hits(
        self,
        packing: Packing,
        rows: UsersRows,
        question: Found,
        shown: set[str | None],
    ) -> Hits | None:
        """What the question recalls, where the strategy shows that."""
        request = self._request
        if self._strategy.recalled != "question":
            return None
        seen = frozenset(one for one in {*shown, question.id} if one is not None)
        profile = request.profile
        if self._strategy.profile is not None:
            profile = load_profile(self._strategy.profile)
        return await self._store.retriever.recall(
            RecallRequest(
                query=question.text,
                scope=request.scope,
                where=request.recallable(),
                k=min(self._hits_wanted(packing, rows) + len(shown) + 1, _MOST_HITS),
                profile=profile,
                now=request.now,
                seen=seen,
            ),
            count_use=False,
        )

    def _near_the_best(self, packing: Packing, hits: Hits) -> list[Found]:
        """The hits that may be quoted, the best first."""
        found: list[Found] = []
        best = max((hit.score for hit in hits), default=0.0)
        for hit in hits:
            one = of_hit(hit)
            # System messages instruct the assistant, and say nothing about the user.
            if one.kind == MESSAGE and one.speaker == MessageRole.SYSTEM.value:
                continue
            if is_notes(one.text):
                continue
            # An archived memory does not hold any more, or was forgotten.
            if hit.archived and one.kind != MESSAGE:
                continue
            if hit.score <= 0 or hit.score < best * _LEAST_SHARE:
                packing.leave_out(one, "below the score")
                continue
            found.append(one)
        return _turns_before_facts(sorted(found, key=attrgetter("worth"), reverse=True))

    def _neighbours(self) -> int:
        return self._request.budget // _TOKENS_A_NEIGHBOUR

    def _beside(self, found: Sequence[Found]) -> dict[str, list[int]]:
        """The turns to be read: before the best hits, and around tools' results."""
        wanted: dict[str, set[int]] = {}
        for number, one in enumerate(found):
            if one.place is None:
                continue
            conversation, turn = one.place
            before = after = 0
            if one.is_result or one.calls:
                before = after = _REACH_OF_TOOLS
            elif number < self._neighbours():
                before = 1
            if before or after:
                around = range(max(turn - before, 0), turn + after + 1)
                wanted.setdefault(conversation, set()).update(around)
        return {conversation: sorted(turns) for conversation, turns in wanted.items()}

    def _ranked(
        self,
        packing: Packing,
        found: Sequence[Found],
        beside: dict[tuple[str, int], Found],
    ) -> None:
        """Quote what fits, the best first, each once."""
        any_quoted, missed = False, 0
        for number, one in enumerate(found):
            if missed >= _TRIES:
                packing.leave_out(one, "budget")
                continue
            if packing.shows(one):
                if not packing.shows_id(one) or one.source != "neighbour":
                    packing.leave_out(one, "duplicate")
                continue
            if packing.says(one):
                packing.leave_out(one, "duplicate")
                continue
            if one.is_result or one.calls:
                any_quoted = self._with_tools(packing, one, beside) or any_quoted
                continue
            taken = 0
            if number < _WHOLE_OF and one.full is not None:
                most = int(_WHOLE_SHARE * self._request.budget)
                taken = packing.quote(one.told_whole(), most)
            taken = taken or packing.quote(one, cut=not any_quoted)
            any_quoted = any_quoted or bool(taken)
            missed = 0 if taken else missed + 1
            if not taken:
                packing.leave_out(one, "budget")
            elif number < self._neighbours() and one.place is not None:
                neighbour = beside.get((one.place[0], one.place[1] - 1))
                if (
                    neighbour is not None
                    and not neighbour.is_result
                    and neighbour.speaker != MessageRole.SYSTEM.value
                    and not packing.shows(neighbour)
                ):
                    packing.quote(neighbour)

    def _with_tools(
        self,
        packing: Packing,
        one: Found,
        beside: dict[tuple[str, int], Found],
    ) -> bool:
        """Quote a call of tools and its results together, or nothing of them."""
        if one.place is None:
            packing.leave_out(one, "tool pair incomplete")
            return False
        conversation, turn = one.place
        around = [
            one if at == turn else found
            for at in range(turn - _REACH_OF_TOOLS, turn + _REACH_OF_TOOLS + 1)
            if (found := beside.get((conversation, at))) is not None
        ]
        whole, _ = units(around)
        unit = next((some for some in whole if any(x.id == one.id for x in some)), None)
        if unit is None or len(unit) == 1:
            packing.leave_out(one, "tool pair incomplete")
            return False
        fresh = [replace(x, source=one.source) for x in unit if not packing.shows_id(x)]
        if not packing.quote_all(fresh):
            packing.leave_out(one, "budget")
            return False
        return True


def _question(request: ContextRequest, turns: list[Found]) -> tuple[Found, list[Found]]:
    """The question, and the turns without it: it may be stored already, as the newest turn."""
    asked = request.question
    newest = turns[-1] if turns else None
    if newest is not None and newest.message is not None and newest.speaker == "user":
        same = newest.id == str(asked.id)
        if same or (not request.stored and newest.text.strip() == asked.content):
            return replace(newest, source="question"), turns[:-1]
    found = Found(
        source="question",
        kind=MESSAGE,
        id=str(asked.id) if request.stored else None,
        text=asked.content,
        speaker=MessageRole.USER.value,
        conversation_id=request.conversation_id,
        message=asked,
    )
    kept = [one for one in turns if not request.stored or one.id != str(asked.id)]
    return found, kept


def _turns_before_facts(found: Sequence[Found]) -> list[Found]:
    """Where a fact and a turn in which it was said are found, the turn in front of the fact."""
    turns = {one.id: one for one in found if one.kind == MESSAGE and one.whole}
    ordered: dict[int, Found] = {}
    for one in found:
        said = next((turns[id_] for id_ in reversed(one.turns) if id_ in turns), None)
        if said is not None:
            ordered.setdefault(id(said), said)
        ordered.setdefault(id(one), one)
    return list(ordered.values())


def _not_shown(left_out: Iterable[LeftOut], items: Iterable[ContextItem]) -> tuple[LeftOut, ...]:
    """What was left out, each once; not what is shown in another part, perhaps cut."""
    shown = {(item.kind, item.id) for item in items if item.id is not None}
    kept = (one for one in left_out if one.reason == "duplicate" or (one.kind, one.id) not in shown)
    return tuple(dict.fromkeys(kept))


def _oldest_turn(packing: Packing, turns: Sequence[Found]) -> int | None:
    """The first turn of the window that is shown; None where none is."""
    shown = [one.turn for one in turns if one.turn is not None and packing.shows_id(one)]
    return min(shown, default=None)


def _covering(rows: Iterable[Row], oldest: int | None) -> list[Found]:
    """Summaries of what is older than the turns that are shown; the widest first, then the newest.

    One of turns that a wider one sums up, too, is left out.
    """
    levels = {"period": 0, "session": 1, "block": 2}
    ranked: list[tuple[int, int, Found, range | None]] = []
    for number, row in enumerate(rows):
        found = of_row(row, "summary")
        custom = _custom_fields(row)
        first, last = custom.get("from_turn"), custom.get("to_turn")
        covered = None
        if isinstance(first, int) and isinstance(last, int):
            covered = range(first, last + 1)
            if oldest is not None and first >= oldest:
                continue
        ranked.append((levels.get(str(custom.get("level")), 2), number, found, covered))
    ranked.sort(key=lambda one: one[:2])
    kept: list[tuple[Found, range | None]] = []
    for _, _, found, covered in ranked:
        inside = covered is not None and any(
            other is not None and other.start <= covered.start and covered.stop <= other.stop
            for _, other in kept
        )
        if not inside:
            kept.append((found, covered))
    return [found for found, _ in kept]


def _custom_fields(row: Row) -> dict[str, object]:
    found = tagged_json.loads(row["metadata"])
    return found if isinstance(found, dict) else {}
