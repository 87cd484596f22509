"""Patterns of conversations: how long they are, when they are held, who speaks and how fast."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from bruno_core.models.message import MessageRole
from numpy.typing import NDArray

from bruno_memory_vec.analytics import periods
from bruno_memory_vec.analytics.bins import binned
from bruno_memory_vec.analytics.periods import WEEKDAYS, Ints
from bruno_memory_vec.analytics.reading import Chosen, Codes, numbers, parts
from bruno_memory_vec.analytics.result import (
    NUMBER,
    TEXT,
    WHOLE,
    Result,
    Shown,
    bars,
    duration,
    percent,
    short,
)
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.wording import counted

#: By what those who speak are told apart.
By = Literal["role", "speaker"]
BYS: Final = ("role", "speaker")
#: Of more speakers the ones with fewest messages are counted together, under this name.
MOST_SPEAKERS: Final = 20
OTHERS: Final = "others"

_READ: Final = (
    "user_id",
    "conversation_id",
    "turn",
    "seq",
    "role",
    "speaker",
    "words",
    "created_at",
)
_SECOND: Final = 1_000_000
_EDGES: Final = (1, 2, 3, 5, 9, 17, 33, 65, 129)
_LONGEST_NAME: Final = 16


@dataclass(frozen=True, slots=True)
class Distribution:
    """How some numbers are spread.

    Attributes:
        count: how many.
        mean, median, p90, p95, smallest, largest: None where there are none.
    """

    count: int
    mean: float | None = None
    median: float | None = None
    p90: float | None = None
    p95: float | None = None
    smallest: float | None = None
    largest: float | None = None

    @classmethod
    def of(cls, values: NDArray[Any]) -> Distribution:
        """That of values (n,)."""
        if not len(values):
            return cls(0)
        median, p90, p95 = np.percentile(values, (50, 90, 95)).tolist()
        return cls(
            len(values),
            float(values.mean()),
            median,
            p90,
            p95,
            float(values.min()),
            float(values.max()),
        )


@dataclass(frozen=True, slots=True)
class LengthBin:
    """Conversations of so many messages.

    Attributes:
        label: "1", "3-4", "129+".
        smallest: the fewest messages.
        largest: the most; None for no bound.
        conversations: how many there are.
    """

    label: str
    smallest: int
    largest: int | None
    conversations: int


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who speaks: a role, or a name that stands before texts.

    Attributes:
        name: the role, or the name; it is text that was stored.
        messages: how many.
        words: in these.
        message_share: of all messages, 0..1.
        word_share: of all words, 0..1.
        begins: how many conversations.
        begin_share: of all conversations, 0..1.
        run: how many messages in a row, on average.
        answer_seconds: how long after another's message; only where time has passed forwards.
    """

    name: str
    messages: int
    words: int
    message_share: float
    word_share: float
    begins: int
    begin_share: float
    run: float
    answer_seconds: Distribution


@dataclass(frozen=True, slots=True)
class ConversationPatterns(Result):
    """How conversations go. System messages are not counted, but by ``system_messages``.

    Attributes:
        user_id: whose; None for all users.
        zone: the time zone of hours and weekdays.
        by: "role" or "speaker", what tells speakers apart.
        conversations: with a message.
        messages: in these.
        system_messages: left out of everything else.
        lengths: messages in a conversation.
        length_bins: conversations by their number of messages.
        words: words in a message.
        seconds: from the first message of a conversation to its last.
        gap_seconds: between two messages of one conversation that follow each other.
        pause_seconds: from the last message of a user's conversation to the first of the next;
            those that overlap have none.
        hours: messages by the hour of the day, 24 numbers.
        weekdays: messages by the day of the week, from Monday, 7 numbers.
        week: by both, 7 times 24 numbers.
        speakers: the one with most messages first.
    """

    user_id: str | None
    zone: str
    by: By
    conversations: int
    messages: int
    system_messages: int
    lengths: Distribution
    length_bins: tuple[LengthBin, ...]
    words: Distribution
    seconds: Distribution
    gap_seconds: Distribution
    pause_seconds: Distribution
    hours: tuple[int, ...]
    weekdays: tuple[int, ...]
    week: tuple[tuple[int, ...], ...]
    speakers: tuple[Speaker, ...]

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "speaker": TEXT,
        "messages": WHOLE,
        "words": WHOLE,
        "message_share": NUMBER,
        "word_share": NUMBER,
        "begins": WHOLE,
        "begin_share": NUMBER,
        "run": NUMBER,
        "answer_seconds_median": NUMBER,
        "answer_seconds_p90": NUMBER,
    }

    def records(self) -> list[dict[str, Any]]:
        """A row for each speaker."""
        return [
            {
                "speaker": one.name,
                **{name: getattr(one, name) for name in list(self.columns)[1:8]},
                "answer_seconds_median": one.answer_seconds.median,
                "answer_seconds_p90": one.answer_seconds.p90,
            }
            for one in self.speakers
        ]

    def shown(self) -> list[Shown]:
        """Lengths, speakers, hours and weekdays."""
        middle: list[tuple[str, Distribution, Callable[[float | None], str]]] = [
            ("messages in one", self.lengths, _whole),
            ("words in a message", self.words, _whole),
            ("from first to last", self.seconds, duration),
            ("between messages", self.gap_seconds, duration),
            ("to the next one", self.pause_seconds, duration),
        ]
        number = counted(self.conversations, "conversation")
        tables = [
            Shown(
                f"Conversations: {number}, {counted(self.messages, 'message')}",
                ("", "median", "p90"),
                tuple(
                    (name, say(values.median), say(values.p90))
                    for name, values, say in middle
                    if values.count
                ),
                frozenset((1, 2)),
            )
        ]
        if not self.messages:
            return tables
        tables.append(
            Shown(
                "Who speaks",
                ("", "says", "words", "begins", "answers"),
                tuple(
                    (
                        short(one.name, _LONGEST_NAME),
                        percent(one.message_share),
                        percent(one.word_share),
                        percent(one.begin_share),
                        duration(one.answer_seconds.median),
                    )
                    for one in self.speakers
                ),
                frozenset((1, 2, 3, 4)),
            )
        )
        tables.append(
            _drawn(
                "Messages in a conversation",
                [(one.label, one.conversations) for one in self.length_bins if one.conversations],
            )
        )
        tables.append(
            _drawn(
                f"Hours, {self.zone}",
                [(f"{hour:02}", count) for hour, count in enumerate(self.hours) if count],
            )
        )
        tables.append(
            _drawn(f"Weekdays, {self.zone}", list(zip(WEEKDAYS, self.weekdays, strict=True)))
        )
        return tables

    def _draw(self, axes: Any) -> Any:
        from bruno_memory_vec.analytics.plots import draw_week

        return draw_week(self, axes)


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _drawn(title: str, counts: list[tuple[str, int]]) -> Shown:
    drawn = bars([count for _, count in counts], 20)
    rows = tuple(
        (name, f"{count:,}", bar) for (name, count), bar in zip(counts, drawn, strict=True)
    )
    return Shown(title, (), rows, frozenset((1,)))


async def patterns(
    store: Store, scope: Scope, chosen: Chosen, zone: tzinfo, by: By
) -> ConversationPatterns:
    """Read the messages of a scope, some numbers of each, and count.

    About 150 bytes a message are held meanwhile.

    Raises:
        EngineError: an engine failed.
    """
    said = _Said()
    async for rows in parts(store, scope, chosen, _READ):
        await asyncio.to_thread(said.add, rows)
    return await asyncio.to_thread(said.patterns, scope.user_id, zone, by)


class _Said:
    """Numbers of messages."""

    def __init__(self) -> None:
        self._talks, self._users, self._roles, self._speakers = Codes(), Codes(), Codes(), Codes()
        self._held: list[Ints] = []

    def add(self, rows: pa.Table) -> None:
        """Take some messages in."""
        who = self._roles.codes(rows, "role")
        system = self._roles.of.get(MessageRole.SYSTEM.value, -2)
        self._held.append(
            np.stack(
                [
                    self._talks.codes(rows, "conversation_id"),
                    numbers(rows, "turn"),
                    numbers(rows, "seq"),
                    numbers(rows, "created_at"),
                    numbers(rows, "words"),
                    self._users.codes(rows, "user_id"),
                    who,
                    self._speakers.codes(rows, "speaker"),
                    who == system,
                ]
            )
        )

    def patterns(self, user_id: str | None, zone: tzinfo, by: By) -> ConversationPatterns:
        """What they say together."""
        held = self._held
        found = np.concatenate(held, axis=1) if held else np.zeros((9, 0), np.int64)
        said = found[:, found[8] == 0]
        talk, turn, seq, at, words, user, role, named = said[:8]
        order = np.lexsort((seq, turn, talk))
        talk, at, words, user, role, named = (
            one[order] for one in (talk, at, words, user, role, named)
        )
        who, names = _who(role, named, self._roles.names, self._speakers.names, by)
        here = periods.local(at, zone)
        week = np.zeros((7, 24), np.int64)
        np.add.at(week, (periods.weekdays(here), periods.hours(here)), 1)
        opens = np.flatnonzero(np.diff(talk, prepend=-2))
        lengths = np.diff(np.append(opens, len(talk)))
        follows = np.diff(talk, prepend=-2) == 0
        passed = np.diff(at, prepend=0) / _SECOND
        return ConversationPatterns(
            user_id=user_id,
            zone=periods.zone_name(zone),
            by=by,
            conversations=len(opens),
            messages=len(talk),
            system_messages=int(found[8].sum()),
            lengths=Distribution.of(lengths),
            length_bins=tuple(LengthBin(*one) for one in binned(lengths, _EDGES)),
            words=Distribution.of(words),
            seconds=Distribution.of(_lasted(at, opens)),
            gap_seconds=Distribution.of(passed[follows & (passed >= 0)]),
            pause_seconds=Distribution.of(_pauses(at, opens, user)),
            hours=tuple(week.sum(axis=0).tolist()),
            weekdays=tuple(week.sum(axis=1).tolist()),
            week=tuple(tuple(day) for day in week.tolist()),
            speakers=_speakers(who, names, words, passed, follows, opens),
        )


def _who(
    role: Ints, named: Ints, roles: list[str], speakers: list[str], by: By
) -> tuple[Ints, list[str]]:
    """Who speaks each message, as a number, and the names of the numbers."""
    who = role if by == "role" else np.where(named >= 0, len(roles) + named, role)
    names = [*roles, *speakers]
    counts = np.bincount(who, minlength=len(names))
    if np.count_nonzero(counts) <= MOST_SPEAKERS:
        return who, names
    few = np.argsort(-counts, kind="stable")[MOST_SPEAKERS - 1 :]
    return np.where(np.isin(who, few), len(names), who), [*names, OTHERS]


def _lasted(at: Ints, opens: Ints) -> NDArray[np.float64]:
    """Seconds from the first to the last time of each conversation."""
    if not len(opens):
        return np.empty(0)
    found: NDArray[np.float64] = (
        np.maximum.reduceat(at, opens) - np.minimum.reduceat(at, opens)
    ) / _SECOND
    return found


def _pauses(at: Ints, opens: Ints, user: Ints) -> NDArray[np.float64]:
    """Seconds between conversations of one user that follow each other and do not overlap."""
    if not len(opens):
        return np.empty(0)
    first, last = np.minimum.reduceat(at, opens), np.maximum.reduceat(at, opens)
    owner = user[opens]
    order = np.lexsort((first, owner))
    first, last, owner = first[order], last[order], owner[order]
    # Of a user's conversations so far, the latest end.
    found = []
    until, whose = 0, -1
    for begin, end, who in zip(first.tolist(), last.tolist(), owner.tolist(), strict=True):
        if who != whose:
            until, whose = end, who
            continue
        if begin >= until:
            found.append((begin - until) / _SECOND)
        until = max(until, end)
    return np.array(found, np.float64)


def _speakers(
    who: Ints,
    names: list[str],
    words: Ints,
    passed: NDArray[np.float64],
    follows: NDArray[np.bool_],
    opens: Ints,
) -> tuple[Speaker, ...]:
    if not len(who):
        return ()
    size = len(names)
    messages = np.bincount(who, minlength=size)
    spoken = np.bincount(who, words, size)
    begins = np.bincount(who[opens], minlength=size)
    another = np.diff(who, prepend=-2) != 0
    runs = np.bincount(who[another | ~follows], minlength=size)
    answers = follows & another & (passed >= 0)
    all_words = max(float(spoken.sum()), 1.0)
    return tuple(
        Speaker(
            name=names[one],
            messages=int(messages[one]),
            words=int(spoken[one]),
            message_share=float(messages[one] / len(who)),
            word_share=float(spoken[one] / all_words),
            begins=int(begins[one]),
            begin_share=float(begins[one] / len(opens)),
            run=float(messages[one] / runs[one]),
            answer_seconds=Distribution.of(passed[answers & (who == one)]),
        )
        for one in np.argsort(-messages, kind="stable").tolist()
        if messages[one]
    )
