"""Hits: the result of a recall."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, SupportsIndex, overload

import numpy as np
from bruno_core.models.memory import MemoryEntry
from bruno_core.models.message import Message
from numpy.typing import NDArray

from bruno_memory_vec.indexers.schema import COLUMNS, KEPT, MEMORY, MESSAGE
from bruno_memory_vec.portability.frames import Frames
from bruno_memory_vec.prompts.hidden_characters import one_line as _short
from bruno_memory_vec.rankers import Evidence, Pool, Ranking
from bruno_memory_vec.rankers.pool import NO_ROLE
from bruno_memory_vec.recall.passages.windows import Passage
from bruno_memory_vec.rows.models import MESSAGE_COLUMNS, Row, record, utc
from bruno_memory_vec.rows.weight import HEAVY, in_thread_if, is_heavy

# The columns that a hit of a message needs.
_MESSAGE = (*MESSAGE_COLUMNS, "user_id", "kind", "turn", "seq", *KEPT)
# As many records take half a millisecond.
_MANY = 64
_UNRANKED: Mapping[str, float] = {}


class Signals(dict[str, float]):
    """What each ranker contributed: a read-only dict that can be copied and pickled."""

    def __setitem__(self, name: str, value: float) -> None:
        raise TypeError("the signals of a hit do not change")

    def __delitem__(self, name: str) -> None:
        raise TypeError("the signals of a hit do not change")

    def __reduce__(self) -> tuple[type[Signals], tuple[dict[str, float]]]:
        return Signals, (dict(self),)


class _Record:
    """``Hit.record``: made of the hit's row when it is first asked for, and kept then.

    Most of those who recall read the texts, and making a model takes as long as ranking a row.

    Args:
        slot: where a hit keeps its record, or the row until then.
    """

    def __init__(self, slot: Any) -> None:
        self._slot = slot

    def __get__(self, hit: Hit | None, owner: type[Hit]) -> Any:
        if hit is None:
            return self
        held = self._slot.__get__(hit, owner)
        if type(held) is dict:
            held = record(held)
            self._slot.__set__(hit, held)
        return held

    def __set__(self, hit: Hit, value: Any) -> None:
        # Only a new hit is set: a frozen dataclass refuses every other change.
        self._slot.__set__(hit, value)

    def row(self, hit: Hit) -> Row | None:
        """The row of a hit whose record is not made yet."""
        held = self._slot.__get__(hit, Hit)
        return held if type(held) is dict else None


@dataclass(frozen=True, slots=True, repr=False)
class Hit:
    """One recalled message or memory, and why it was found.

    Attributes:
        id: the message's or memory's id, as text.
        content: its text.
        score: the ranking's score; comparable only within one recall.
        signals: what each ranker contributed; the values add up to ``score``.
        conversation_id: where it was said, None for a memory without a conversation.
        turn: its position there from 0, None for a memory.
        created_at: when, in UTC (timezone-aware).
        record: the ``Message`` or ``MemoryEntry`` as it was stored. It is made when it is first
            asked for, of a copy of the row as it was when it was recalled; at once where its
            metadata is large.
        passage: where in ``content`` the part stands that answers best, of a long text; None of a
            short one, and where the profile does not look into texts.
        repeats: for how many others it stands that said the same, of those that were found; it is
            the newest of them.
        origin: who it comes from, see ``ORIGINS`` in ``indexers.schema``.
        pinned: whether it is pinned.
        archived: whether it is archived.
        user_id: whose row it is: of a recall over several users or spaces, which one's.
    """

    id: str
    content: str
    score: float
    signals: Mapping[str, float]
    conversation_id: str | None
    turn: int | None
    created_at: datetime
    record: Message | MemoryEntry
    passage: Passage | None = None
    repeats: int = 0
    origin: str = "user"
    pinned: bool = False
    archived: bool = False
    user_id: str | None = None

    def __post_init__(self) -> None:
        if type(self.signals) is not Signals:
            object.__setattr__(self, "signals", Signals(self.signals))

    def __hash__(self) -> int:
        return hash((self.id, self.score))

    @property
    def kind(self) -> str:
        """ "message" or "memory"."""
        row = _RECORD.row(self)
        if row is not None:
            return MESSAGE if row["kind"] == MESSAGE else MEMORY
        return "message" if isinstance(self.record, Message) else "memory"

    @property
    def speaker(self) -> str:
        """The role of a message, the type of a memory."""
        row = _RECORD.row(self)
        if row is not None:
            return str(row["role"] if row["kind"] == MESSAGE else row["memory_type"])
        if isinstance(self.record, Message):
            return str(self.record.role.value)
        return str(self.record.memory_type.value)

    @property
    def excerpt(self) -> str:
        """The passage of a long text, with "…" where something is left out; else the whole text."""
        if self.passage is None:
            return self.content
        start, end = self.passage
        before = "… " if self.content[:start].strip() else ""
        after = " …" if self.content[end:].strip() else ""
        return f"{before}{self.content[start:end]}{after}"

    def to_dict(self) -> dict[str, Any]:
        """The hit as JSON-able values; times as ISO 8601."""
        return {
            "id": self.id,
            "kind": self.kind,
            "speaker": self.speaker,
            "content": self.content,
            "passage": None if self.passage is None else self.passage._asdict(),
            "score": self.score,
            "signals": dict(self.signals),
            "conversation_id": self.conversation_id,
            "turn": self.turn,
            "created_at": self.created_at.isoformat(),
            "repeats": self.repeats,
            "origin": self.origin,
            "pinned": self.pinned,
            "archived": self.archived,
            "user_id": self.user_id,
        }

    def __repr__(self) -> str:
        """Short, as messages may be long: what all of it is, :meth:`to_dict` tells."""
        said = _short(self.excerpt)
        return f"Hit({self.kind} {_short(self.id)}, score={self.score:.3f}, content={said!r})"

    def __str__(self) -> str:
        place = "" if self.conversation_id is None else f" {_short(self.conversation_id)}"
        place += "" if self.turn is None else f"#{self.turn}"
        why = "  ".join(
            f"{_short(name)} {value:+.3f}" for name, value in self.signals.items() if _shows(value)
        )
        # Without a signal it was not ranked.
        score = f"{self.score:.3f}  " if self.signals else ""
        lines = [f"{score}{self.created_at:%Y-%m-%d} {self.speaker}{place}", _short(self.excerpt)]
        return "\n       ".join([*lines, why] if why else lines)

    def _repr_html_(self) -> str:
        return Hits([self])._repr_html_()


# In place of the slot that the dataclass has made.
_RECORD = _Record(vars(Hit)["record"])
type.__setattr__(Hit, "record", _RECORD)


class Hits(list[Hit], Frames):
    """Hits, best first: a list that shows itself as a table in a notebook.

    A part of it (``hits[:3]``) has the evidence of the whole recall.

    Args:
        hits: the hits.
        evidence: what says whether they hold an answer; None where nothing was found.
    """

    def __init__(self, hits: Iterable[Hit] = (), evidence: Evidence | None = None) -> None:
        super().__init__(hits)
        #: What :attr:`confidence` is made of.
        self.evidence = evidence

    @property
    def confidence(self) -> float:
        """The probability that an answer is among the first ten hits, 0..1; 0 for none.

        It says nothing of hits that were not ranked (an exact phrase or a timeline without a
        question): ``evidence`` is None, and this is 0.

        :mod:`bruno_memory_vec.rankers.confidence` has the formula. It is that of the recall: of
        hits that ``min_confidence_of_answer`` has kept back, too.
        """
        return 0.0 if self.evidence is None else self.evidence.confidence()

    @overload
    def __getitem__(self, place: SupportsIndex) -> Hit: ...

    @overload
    def __getitem__(self, place: slice) -> Hits: ...

    def __getitem__(self, place: SupportsIndex | slice) -> Hit | Hits:
        found = super().__getitem__(place)
        return Hits(found, self.evidence) if isinstance(found, list) else found

    def __str__(self) -> str:
        lines = [str(hit) for hit in self] or ["no hits"]
        return "\n".join([*lines, *self._doubt()])

    def _doubt(self) -> list[str]:
        return [] if self.evidence is None else [f"confidence {self.confidence:.2f}"]

    def _repr_html_(self) -> str:
        signals = (item for hit in self for item in hit.signals.items())
        names = list(dict.fromkeys(name for name, value in signals if _shows(value)))
        heads = ["score", "when", "who", "where", "text", *names]
        rows = [
            [
                f"{hit.score:.3f}" if hit.signals else "",
                f"{hit.created_at:%Y-%m-%d}",
                hit.speaker,
                f"{_short(hit.conversation_id or '')}{'' if hit.turn is None else f' #{hit.turn}'}",
                _short(hit.excerpt),
                *(f"{hit.signals.get(name, 0.0):+.3f}" for name in names),
            ]
            for hit in self
        ]
        head = "".join(f"<th>{html.escape(_short(name))}</th>" for name in heads)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        below = "".join(f"<p>{line}</p>" for line in self._doubt())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{below}"


def columns_of(pool: Pool, best: NDArray[np.int64]) -> tuple[str, ...]:
    """The columns that hits need: fewer if all of them are messages.

    Args:
        pool: the candidates.
        best: int64 (k,), which of them are shown.
    """
    return _MESSAGE if (pool.role[best] != NO_ROLE).all() else COLUMNS


def make_hits(
    rows: Iterable[Row],
    ranking: Ranking,
    indices: NDArray[np.int64],
    passages: Iterable[Passage | None],
    repeats: Iterable[int],
) -> Hits:
    """The hits of some rows.

    Args:
        rows: k rows with the columns of :func:`columns_of`.
        ranking: the ranking with their scores and signals.
        indices: int64 (k,), the index of each row into the pool.
        passages: the passage of each, None where it has none.
        repeats: for how many others each row stands.
    """
    names = list(ranking.signals)
    scores = ranking.score[indices].tolist()
    if names:
        parts = np.array(list(ranking.signals.values()))[:, indices].T.tolist()
    else:
        parts = [[] for _ in scores]
    return Hits(
        make_hit(row, score, Signals(zip(names, part, strict=True)), passage, others)
        for row, score, part, passage, others in zip(
            rows, scores, parts, passages, repeats, strict=True
        )
    )


def make_hit(
    row: Row,
    score: float = 0.0,
    signals: Mapping[str, float] = _UNRANKED,
    passage: Passage | None = None,
    repeats: int = 0,
) -> Hit:
    """The hit of a row (:func:`columns_of`); without a score it was not ranked.

    The hit keeps the row, which must not be changed. Of large values its record is made now: this
    is in a thread then, and whoever recalled asks for records on the event loop.
    """
    heavy = len(row["metadata"]) + len(row["extra"] or "") >= HEAVY
    return Hit(
        id=row["id"],
        content=row["content"],
        score=score,
        signals=signals,
        conversation_id=row["conversation_id"],
        turn=row["turn"],
        created_at=utc(row["created_at"]),
        record=record(row) if heavy else row,  # see _Record
        passage=passage,
        repeats=repeats,
        origin=row["origin"],
        pinned=row["pinned_at"] is not None,
        archived=row["archived_at"] is not None,
        user_id=row["user_id"],
    )


def may_have(hit: Hit, key: str) -> bool:
    """Whether the metadata of a hit's message may have a key of letters, without making it.

    What says no is right; what says yes may have it elsewhere in its metadata.
    """
    row = _RECORD.row(hit)
    if row is None:
        return isinstance(hit.record, Message) and key in hit.record.metadata
    return key in row["metadata"]


async def records(hits: Iterable[Hit]) -> list[Message | MemoryEntry]:
    """The records of some hits, made in a thread if there are many or large ones."""
    wanted = list(hits)
    rows = [row for hit in wanted if (row := _RECORD.row(hit)) is not None]
    heavy = len(rows) > _MANY or any(is_heavy(*row.values()) for row in rows)
    return await in_thread_if(heavy, lambda: [hit.record for hit in wanted])


def _shows(signal: float) -> bool:
    """Whether a signal is not zero when it is rounded to three decimals, as it is printed."""
    return abs(signal) >= 0.0005
