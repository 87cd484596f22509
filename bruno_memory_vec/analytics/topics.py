"""Topics: clusters of what was said, named by their telling words.

The rows are read twice, as a stream. First their vectors are added up by stretches
(:mod:`.clusters`), of which at most 50,000 are kept, chosen by a hash of their names; these are
clustered. Then each row takes the topic of its stretch, or of its own vector where its stretch was
not kept; its words are counted for that topic, and its text is forgotten.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from hashlib import blake2b
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.analytics import periods
from bruno_memory_vec.analytics.clusters import CRITERION, Clusters, fit, need_scikit_learn
from bruno_memory_vec.analytics.periods import Ints, Period
from bruno_memory_vec.analytics.reading import Chosen, normalised, numbers, parts, rows_by_seq
from bruno_memory_vec.analytics.reading import vectors as vectors_of
from bruno_memory_vec.analytics.result import (
    NUMBER,
    TEXT,
    TIME,
    WHOLE,
    Result,
    Shown,
    percent,
    short,
)
from bruno_memory_vec.analytics.words import TellingWords, Told, as_written, told_by
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.rows.models import Row, utc
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.upkeep.backup.making import language_of_open
from bruno_memory_vec.wording import counted

Floats = NDArray[np.float32]

#: Turns of a stretch.
STRETCH: Final = 8
#: So many stretches are clustered; of more, these are chosen by a hash.
MOST_STRETCHES: Final = 50_000
#: Of an example's text so many characters are given.
EXCERPT: Final = 300

_PLACED: Final = ("id", "kind", "user_id", "conversation_id", "turn", "words", "vector")
_READ: Final = (*_PLACED, "seq", "content", "created_at")
_TOLD: Final = ("id", "kind", "user_id", "conversation_id", "turn", "created_at", "content")
# A row's weight in its stretch is its number of words, up to so many.
_HEAVIEST: Final = 60
# Rows of a topic whose texts are read again, for examples and to see how its words are written.
_LOOKED_AT: Final = 60
# An example has at least so many words, where the topic has such rows.
_SHORT: Final = 6
_NAMED_BY: Final = 3
_SHOWN_WORDS: Final = 8
_SHOWN_TEXT: Final = 90


@dataclass(frozen=True, slots=True)
class TopicWord:
    """A word that tells a topic from the others.

    Attributes:
        word: as it is mostly written; it is text that was stored.
        weight: how telling it is (:mod:`.words`), comparable within one result.
        rows: how many rows of the topic have it.
    """

    word: str
    weight: float
    rows: int


@dataclass(frozen=True, slots=True)
class TopicExample:
    """A row near the middle of a topic.

    Attributes:
        id: its id, as text.
        kind: "message" or "memory".
        user_id: whose.
        conversation_id: where it was said; None for a memory without one.
        turn: its turn there; None for a memory.
        created_at: when, UTC.
        text: the beginning of its text, 300 characters at most.
        similarity: its cosine to the middle of the topic, among what is clustered.
    """

    id: str
    kind: str
    user_id: str
    conversation_id: str | None
    turn: int | None
    created_at: datetime
    text: str
    similarity: float


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """A topic in one period.

    Attributes:
        start: the period's first day, in the time zone of the result.
        label: its name, such as "2026-03".
        rows: the topic's rows of it.
        share: of all rows of the period, 0..1.
    """

    start: date
    label: str
    rows: int
    share: float


@dataclass(frozen=True, slots=True)
class Topic:
    """What some of the rows are about.

    Attributes:
        number: its place, from 0; the largest topic comes first.
        name: its three most telling words.
        words: its most telling words, best first.
        rows: how many.
        share: of all rows that have a topic, 0..1.
        users: whose rows are in it, how many.
        conversations: in which its rows were said, how many.
        first: the time of its oldest row, UTC.
        last: of its newest.
        trend: by period.
        change: its share of the newer half of the rows, less its share of the older half, -1..1.
        examples: rows near its middle, of different conversations where there are some.
    """

    number: int
    name: str
    words: tuple[TopicWord, ...]
    rows: int
    share: float
    users: int
    conversations: int
    first: datetime
    last: datetime
    trend: tuple[TrendPoint, ...]
    change: float
    examples: tuple[TopicExample, ...]


@dataclass(frozen=True, slots=True)
class Topics(Result):
    """What is talked about. Expired and archived rows are left out.

    Attributes:
        user_id: whose; None for all users.
        topics: the largest first.
        rows: how many have a topic; a message counts in each conversation that it is in.
        without: how many have none, as their vectors are zero: no letter that the embedder knows.
        stretches: how many were clustered.
        criterion: by what k was chosen; "given" where it was.
        silhouettes: by k that was tried, the mean silhouette.
        seed: of k-means.
        by: how long a period of a trend is.
        zone: the time zone of days.
    """

    user_id: str | None
    topics: tuple[Topic, ...]
    rows: int
    without: int
    stretches: int
    criterion: str
    silhouettes: tuple[tuple[int, float], ...]
    seed: int
    by: Period
    zone: str

    columns: ClassVar[Mapping[str, pa.DataType]] = {
        "number": WHOLE,
        "name": TEXT,
        "words": pa.list_(TEXT),
        "rows": WHOLE,
        "share": NUMBER,
        "users": WHOLE,
        "conversations": WHOLE,
        "first": TIME,
        "last": TIME,
        "change": NUMBER,
        "example": TEXT,
    }

    @property
    def k(self) -> int:
        """How many topics there are."""
        return len(self.topics)

    def records(self) -> list[dict[str, Any]]:
        """A row for each topic."""
        return [
            {
                **{name: getattr(topic, name) for name in self.columns if name != "example"},
                "words": [one.word for one in topic.words],
                "example": topic.examples[0].text if topic.examples else None,
            }
            for topic in self.topics
        ]

    def shown(self) -> list[Shown]:
        """Each topic's share, words and an example."""
        rows = []
        for topic in self.topics:
            words = ", ".join(short(one.word) for one in topic.words[:_SHOWN_WORDS])
            change = f"{100 * topic.change:+.0f}" if abs(topic.change) >= 0.005 else ""
            rows.append((percent(topic.share), change, words or "(no words)"))
        notes = []
        if self.without:
            notes.append(f"{counted(self.without, 'row has', 'rows have')} no topic.")
        heads = ("share", "change", "words") if rows else ()
        title = f"Topics: {counted(self.k, 'topic')} of {counted(self.rows, 'row')}"
        tables = [Shown(title, heads, tuple(rows), frozenset((0, 1)), tuple(notes))]
        told = tuple(
            (short(topic.name, 28), short(topic.examples[0].text, _SHOWN_TEXT))
            for topic in self.topics
            if topic.examples
        )
        if told:
            tables.append(Shown("An example of each", (), told))
        return tables

    def _draw(self, axes: Any) -> Any:
        from bruno_memory_vec.analytics.plots import draw_topics

        return draw_topics(self, axes)

    def plot_trend(self, axes: Any = None, *, most: int = 8) -> Any:
        """Draw the rows of the largest topics over time.

        Args:
            axes: of matplotlib, to draw into; None for a new figure's.
            most: how many topics.

        Returns:
            The axes.

        Raises:
            MissingDependencyError: matplotlib is not installed.
        """
        from bruno_memory_vec.analytics.plots import draw_trend

        return draw_trend(self, axes, most)


@dataclass(frozen=True, slots=True)
class TopicRequest:
    """How topics are made.

    Attributes:
        k: how many; None lets the criterion choose.
        words: how many words name one.
        examples: how many rows are shown of one.
        seed: of k-means.
        by: the length of a period; None for one of which there are few.
        zone: of days.
    """

    k: int | None
    words: int
    examples: int
    seed: int
    by: Any
    zone: tzinfo


async def topics(store: Store, scope: Scope, chosen: Chosen, request: TopicRequest) -> Topics:
    """Find the topics of a scope.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
        EngineError: an engine failed.
    """
    need_scikit_learn()
    stretches = Stretches()
    async for rows in parts(store, scope, chosen, _PLACED):
        await asyncio.to_thread(stretches.add, rows)
    names, middle = stretches.middle()
    clusters = await asyncio.to_thread(fit, middle, request.k, request.seed)
    if clusters is None:
        return _none(scope, stretches.rows, request)
    labels, _ = clusters.placed(middle)
    counting = _Counting(
        store, clusters, dict(zip(names.tolist(), labels.tolist(), strict=True)), request.zone
    )
    async for rows in parts(store, scope, chosen, _READ):
        await asyncio.to_thread(counting.add, rows)
    if not counting.rows:  # all were deleted since they were clustered
        return _none(scope, counting.without, request)
    looked_at = counting.looked_at()
    texts = await rows_by_seq(store, scope, [seq for one in looked_at for seq, _ in one], _TOLD)
    found = await asyncio.to_thread(counting.topics, looked_at, texts, request)
    return Topics(
        user_id=scope.user_id,
        topics=tuple(found),
        rows=counting.rows,
        without=counting.without,
        stretches=len(middle),
        criterion=CRITERION if request.k is None else "given",
        silhouettes=clusters.silhouettes,
        seed=request.seed,
        by=counting.period(request.by),
        zone=periods.zone_name(request.zone),
    )


def _none(scope: Scope, without: int, request: TopicRequest) -> Topics:
    by = periods.chosen(request.by, np.empty(0, np.int64))
    criterion = CRITERION if request.k is None else "given"
    zone = periods.zone_name(request.zone)
    return Topics(scope.user_id, (), 0, without, 0, criterion, (), request.seed, by, zone)


def _language(store: Store) -> str | None:
    """The language by which the store makes terms."""
    language = language_of_open(store)
    return None if language == "none" else language


class StretchNames:
    """The stretch of each row as a number: a hash of its conversation and place in it."""

    def __init__(self) -> None:
        self._of: dict[str, int] = {}

    def stretches(self, rows: pa.Table) -> NDArray[np.uint64]:
        """Those of some rows, uint64 (n,)."""
        place = (numbers(rows, "turn") // STRETCH).tolist()
        found = []
        columns = ("user_id", "kind", "conversation_id", "id")
        held = (rows.column(name).to_pylist() for name in columns)
        for user, kind, talk, name, at in zip(*held, place, strict=True):
            if talk is None or at < 0:
                # A memory is a stretch of its own, also where it names a conversation.
                found.append(_hash(f"{user}\0{kind}\0{name}"))
                continue
            known = self._of.get(talk)
            if known is None:
                known = self._of[talk] = _hash(talk)
            found.append((known ^ (at * 0x9E3779B97F4A7C15)) & 0xFFFFFFFFFFFFFFFF)
        return np.array(found, np.uint64)


def _hash(text: str) -> int:
    raw = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big")


class Stretches:
    """The sums of the vectors of stretches."""

    def __init__(self, most: int = MOST_STRETCHES) -> None:
        self._names = StretchNames()
        self._most = most
        self._place: dict[int, int] = {}
        self._sums: list[Floats] = []
        # Of a stretch whose hash is larger nothing is kept.
        self._largest = 0xFFFFFFFFFFFFFFFF
        self.rows = 0

    def add(self, rows: pa.Table) -> None:
        """Add some rows up."""
        self.rows += rows.num_rows
        names = self._names.stretches(rows)
        kept = np.flatnonzero(names <= np.uint64(self._largest))
        heavy = np.clip(numbers(rows, "words"), 1, _HEAVIEST)[kept].astype(np.float32)
        weighed = vectors_of(rows)[kept] * heavy[:, None]
        different, places = np.unique(names[kept], return_inverse=True)
        sums = np.zeros((len(different), weighed.shape[1]), np.float32)
        np.add.at(sums, places, weighed)
        for name, total in zip(different.tolist(), sums, strict=True):
            at = self._place.get(name)
            if at is None:
                self._place[name] = len(self._sums)
                self._sums.append(total.copy())
            else:
                self._sums[at] += total
        while len(self._place) > self._most:
            self._halve()

    def _halve(self) -> None:
        self._largest //= 2
        kept = {name: at for name, at in self._place.items() if name <= self._largest}
        self._sums = [self._sums[at] for at in kept.values()]
        self._place = {name: at for at, name in enumerate(kept)}

    def middle(self) -> tuple[NDArray[np.uint64], Floats]:
        """The names of the stretches, ascending, and the mean direction of each (n, d)."""
        if not self._place:
            return np.empty(0, np.uint64), np.empty((0, 1), np.float32)
        names = np.array(list(self._place), np.uint64)
        order = np.argsort(names)
        sums = np.stack(self._sums)[order]
        return names[order], normalised(sums)


class _Counting:
    """What is counted of each topic, by the number of its cluster."""

    def __init__(
        self, store: Store, clusters: Clusters, label_of: Mapping[int, int], zone: tzinfo
    ) -> None:
        k = len(clusters.centres)
        self._clusters = clusters
        self._label_of = label_of
        self._zone = zone
        self._names = StretchNames()
        self.words = TellingWords(k, _language(store))
        self._days: list[dict[int, int]] = [{} for _ in range(k)]
        self._users: list[set[str]] = [set() for _ in range(k)]
        self._talks: list[set[str]] = [set() for _ in range(k)]
        # Of each topic, rows near its middle: (whether long enough, cosine, -seq).
        self._near: list[list[tuple[bool, float, int]]] = [[] for _ in range(k)]
        self._moments: list[Ints] = []
        self._labels: list[NDArray[np.int16]] = []
        self.rows = 0
        self.without = 0

    def add(self, rows: pa.Table) -> None:
        """Count some rows."""
        own, near = self._clusters.placed(vectors_of(rows))
        names = self._names.stretches(rows).tolist()
        label = np.array(
            [
                self._label_of.get(name, mine)
                for name, mine in zip(names, own.tolist(), strict=True)
            ],
            np.int64,
        )
        self.without += int(np.count_nonzero(label < 0))
        self.rows += int(np.count_nonzero(label >= 0))
        moments = numbers(rows, "created_at")
        self._moments.append(moments[label >= 0])
        self._labels.append(label[label >= 0].astype(np.int16))
        days = periods.days_of(periods.local(moments, self._zone)).tolist()
        columns = zip(
            label.tolist(),
            own.tolist(),
            near.tolist(),
            days,
            numbers(rows, "words").tolist(),
            numbers(rows, "seq").tolist(),
            rows.column("user_id").to_pylist(),
            rows.column("conversation_id").to_pylist(),
            rows.column("content").to_pylist(),
            strict=True,
        )
        for topic, mine, cosine, day, words, seq, user, talk, text in columns:
            if topic < 0:
                continue
            self._days[topic][day] = self._days[topic].get(day, 0) + 1
            self._users[topic].add(user)
            if talk is not None:
                self._talks[topic].add(talk)
            self.words.add(topic, text)
            # A row that by itself would be in another topic is no example of this one.
            place = (words >= _SHORT, cosine if mine == topic else cosine - 2, -seq)
            if len(self._near[topic]) < _LOOKED_AT:
                heapq.heappush(self._near[topic], place)
            elif place > self._near[topic][0]:
                heapq.heapreplace(self._near[topic], place)

    def looked_at(self) -> list[list[tuple[int, float]]]:
        """Of each topic, the ``seq`` of rows near its middle, and their cosines, nearest first."""
        return [
            [(-seq, cosine) for _, cosine, seq in sorted(near, reverse=True)] for near in self._near
        ]

    def period(self, by: Any) -> Period:
        """How long a period is."""
        days = {day for counts in self._days for day in counts}
        return periods.chosen(by, np.array(sorted(days), np.int64))

    def topics(
        self,
        looked_at: list[list[tuple[int, float]]],
        texts: Mapping[int, Row],
        request: TopicRequest,
    ) -> list[Topic]:
        """The topics, the largest first."""
        by = self.period(request.by)
        in_period = [self._by_period(counts, by) for counts in self._days]
        numbered = np.array(sorted({one for counts in in_period for one in counts}), np.int64)
        places = periods.all_between(numbered)
        begins = [(one, periods.begins(one, by)) for one in places]
        whole = {one: sum(counts.get(one, 0) for counts in in_period) for one in places}
        moments = np.concatenate(self._moments)
        labels = np.concatenate(self._labels)
        sizes = np.bincount(labels, minlength=len(self._days))
        change = _change(moments, labels, len(sizes))
        telling = self.words.telling(request.words)
        found: list[Topic] = []
        for topic in np.argsort(-sizes, kind="stable").tolist():
            if not sizes[topic]:
                continue
            near = [(texts[seq], cosine) for seq, cosine in looked_at[topic] if seq in texts]
            written = as_written(
                telling[topic], [row["content"] for row, _ in near], self.words, request.words
            )
            words = tuple(TopicWord(word, weight, rows) for word, weight, rows in written)
            mine = moments[labels == topic]
            found.append(
                Topic(
                    number=len(found),
                    name=", ".join(one.word for one in words[:_NAMED_BY]),
                    words=words,
                    rows=int(sizes[topic]),
                    share=float(sizes[topic] / self.rows),
                    users=len(self._users[topic]),
                    conversations=len(self._talks[topic]),
                    first=utc(int(mine.min())),
                    last=utc(int(mine.max())),
                    trend=tuple(
                        TrendPoint(
                            start,
                            periods.label(start, by),
                            in_period[topic].get(one, 0),
                            in_period[topic].get(one, 0) / whole[one] if whole[one] else 0.0,
                        )
                        for one, start in begins
                    ),
                    change=float(change[topic]),
                    examples=_examples(self._most_telling(near, telling[topic]), request.examples),
                )
            )
        return found

    def _most_telling(
        self, near: list[tuple[Row, float]], telling: Sequence[Told]
    ) -> list[tuple[Row, float]]:
        """Rows near the middle by how much they tell of it: greetings are near every one."""
        told = [
            (told_by(row["content"], telling, self.words) * max(cosine, 0.0), place)
            for place, (row, cosine) in enumerate(near)
        ]
        return [near[place] for _, place in sorted(told, key=lambda one: (-one[0], one[1]))]

    @staticmethod
    def _by_period(counts: Mapping[int, int], by: Period) -> dict[int, int]:
        if not counts:
            return {}
        numbered = periods.of_days(np.array(list(counts), np.int64), by)
        found: dict[int, int] = {}
        for number, count in zip(numbered.tolist(), counts.values(), strict=True):
            found[number] = found.get(number, 0) + count
        return found


def _change(moments: Ints, labels: NDArray[np.int16], k: int) -> NDArray[np.float64]:
    """For each topic, its share of the newer half of the rows less that of the older half."""
    middle = np.median(moments)
    newer = moments > middle
    if not newer.any() or newer.all():
        return np.zeros(k)
    after = np.bincount(labels[newer], minlength=k) / np.count_nonzero(newer)
    before = np.bincount(labels[~newer], minlength=k) / np.count_nonzero(~newer)
    found: NDArray[np.float64] = after - before
    return found


def _examples(near: list[tuple[Row, float]], most: int) -> tuple[TopicExample, ...]:
    """The first rows, one of each conversation before a second one of any."""
    seen: dict[str | None, int] = {}
    ranked = []
    for place, (row, cosine) in enumerate(near):
        talk = row["conversation_id"]
        before = 0 if talk is None else seen.get(talk, 0)
        seen[talk] = before + 1
        ranked.append((before, place, row, cosine))
    return tuple(
        TopicExample(
            id=row["id"],
            kind=row["kind"],
            user_id=row["user_id"],
            conversation_id=row["conversation_id"],
            turn=row["turn"],
            created_at=utc(row["created_at"]),
            text=row["content"][:EXCERPT],
            similarity=cosine if cosine > -1 else cosine + 2,
        )
        for _, _, row, cosine in sorted(ranked, key=lambda one: one[:2])[:most]
    )
