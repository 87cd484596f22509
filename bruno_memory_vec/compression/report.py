"""What a compression and a restoration did."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from bruno_memory_vec.compression.evidence import Evidence
from bruno_memory_vec.rows.summaries import Level
from bruno_memory_vec.wording import counted

#: How a summary was made.
How = Literal["llm", "extractive"]

_LEVELS: dict[Level, str] = {"block": "block", "session": "conversation", "period": "period"}


@dataclass(frozen=True, slots=True)
class SummaryMade:
    """One summary that was stored, or, of a dry run, one that would be.

    Attributes:
        id: its id, a memory's; of a dry run, not the one that it will have.
        level: "block", "session" or "period".
        conversation_id: where; None for a period.
        from_turn: the first turn that it covers; None for a period.
        to_turn: the last one.
        sources: how many turns, or summaries, it is made of.
        tokens_before: of its sources.
        tokens_after: of the summary; in a dry run, the most that it may have.
        method: "llm" or "extractive"; None in a dry run.
        why: why it is not the model's where one was asked; None where it is, or none was asked.
    """

    id: str
    level: Level
    conversation_id: str | None
    from_turn: int | None
    to_turn: int | None
    sources: int
    tokens_before: int
    tokens_after: int
    method: How | None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class CompressionFailure:
    """Something that was not compressed. Nothing of it is lost, and the next run tries it again.

    Attributes:
        conversation_id: where; None for a period.
        what: which turns, or which summary.
        problem: why.
    """

    conversation_id: str | None
    what: str
    problem: str


@dataclass(frozen=True, slots=True)
class Share:
    """How much of something is still there: ``kept`` of ``total``."""

    kept: int = 0
    total: int = 0

    @property
    def share(self) -> float:
        """0..1; 1 where there was none."""
        return self.kept / self.total if self.total else 1.0

    def __add__(self, other: Share) -> Share:
        return Share(self.kept + other.kept, self.total + other.total)


@dataclass(frozen=True, slots=True)
class KeptEvidence:
    """How much of the evidence of the turns stands in the summaries of their blocks.

    Attributes:
        names: different names in a block, by their form (capitals).
        numbers: different numbers in digits.
        dates: different dates, months and weekdays.
        terms: different terms that at most two rows of the user have.
    """

    names: Share = field(default_factory=Share)
    numbers: Share = field(default_factory=Share)
    dates: Share = field(default_factory=Share)
    terms: Share = field(default_factory=Share)

    def __add__(self, other: KeptEvidence) -> KeptEvidence:
        return KeptEvidence(
            self.names + other.names,
            self.numbers + other.numbers,
            self.dates + other.dates,
            self.terms + other.terms,
        )

    @classmethod
    def of(
        cls,
        source: Evidence,
        summary: Evidence,
        source_terms: frozenset[str],
        summary_terms: frozenset[str],
    ) -> KeptEvidence:
        """What a summary has kept of its source."""
        both = source.within(summary)
        return cls(
            Share(len(both.names), len(source.names)),
            Share(len(both.numbers), len(source.numbers)),
            Share(len(both.dates), len(source.dates)),
            Share(len(source_terms & summary_terms), len(source_terms)),
        )

    def to_dict(self) -> dict[str, float]:
        """The shares, 0..1."""
        return {
            name: round(getattr(self, name).share, 4)
            for name in ("names", "numbers", "dates", "terms")
        }


@dataclass(frozen=True, slots=True)
class CompressionReport:
    """What a compression did.

    Attributes:
        turns: how many turns were archived; in a dry run, would be.
        conversations: in how many conversations.
        summaries: those that were stored.
        tokens_before: of the turns that were archived.
        tokens_after: of the summaries of blocks that stand for them.
        failures: what was not compressed, and why.
        too_short: how many turns stay, because nothing of them can be told in fewer tokens.
        kept: how much of the turns' evidence is in the summaries of their blocks.
        cost: what the model's cost tracker counted; None without one.
        seconds: how long it took.
        dry_run: whether nothing was stored.
    """

    turns: int = 0
    conversations: int = 0
    summaries: tuple[SummaryMade, ...] = ()
    tokens_before: int = 0
    tokens_after: int = 0
    failures: tuple[CompressionFailure, ...] = ()
    too_short: int = 0
    kept: KeptEvidence = field(default_factory=KeptEvidence)
    cost: float | None = None
    seconds: float = 0.0
    dry_run: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    @property
    def blocks(self) -> int:
        """How many blocks of turns got a summary."""
        return sum(one.level == "block" for one in self.summaries)

    @property
    def ratio(self) -> float:
        """``tokens_after`` to ``tokens_before``; 1 where nothing was compressed."""
        return self.tokens_after / self.tokens_before if self.tokens_before else 1.0

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        return {
            "turns": self.turns,
            "conversations": self.conversations,
            "blocks": self.blocks,
            "tokens_before": self.tokens_before,
            "tokens_after": self.tokens_after,
            "ratio": round(self.ratio, 4),
            "too_short": self.too_short,
            "kept": self.kept.to_dict(),
            "cost": self.cost,
            "seconds": round(self.seconds, 3),
            "dry_run": self.dry_run,
            "summaries": [asdict(one) for one in self.summaries],
            "failures": [asdict(one) for one in self.failures],
        }

    def __str__(self) -> str:
        lines = [self._done()]
        if self.blocks:
            most = "at most " if self.dry_run else ""
            lines.append(
                f"their tokens: {self.tokens_before:,}, then {most}{self.tokens_after:,} "
                f"({self.ratio:.2f})"
            )
        if self.summaries:
            lines.append(self._summaries())
        if self.blocks and not self.dry_run:
            kept = ", ".join(f"{name} {share:.2f}" for name, share in self.kept.to_dict().items())
            lines.append(f"kept of them: {kept}")
        whys = Counter(one.why for one in self.summaries if one.why is not None)
        lines += [
            f"not by the model: {counted(times, 'summary', 'summaries')}, as {why}"
            for why, times in whys.most_common(5)
        ]
        if self.too_short:
            lines.append(f"too short to be told in fewer tokens: {counted(self.too_short, 'turn')}")
        lines += [
            f"not compressed: {one.what}"
            f"{'' if one.conversation_id is None else f' of {one.conversation_id}'}: {one.problem}"
            for one in self.failures
        ]
        if self.cost is not None:
            lines.append(f"cost: {self.cost:.4f}")
        return "\n".join(lines)

    def _done(self) -> str:
        if not self.turns:
            return "nothing would be compressed" if self.dry_run else "no turns were compressed"
        where = f"{counted(self.turns, 'turn')} of {counted(self.conversations, 'conversation')}"
        return f"{where} {'would be ' if self.dry_run else ''}compressed"

    def _summaries(self) -> str:
        levels = Counter(one.level for one in self.summaries)
        of = ", ".join(
            f"{counted(levels[level], name)}" for level, name in _LEVELS.items() if levels[level]
        )
        by_model = sum(one.method == "llm" for one in self.summaries)
        if by_model == len(self.summaries):
            how = "; all by the model"
        else:
            how = f"; {by_model} by the model" if by_model else ""
        # A dry run does not say which summaries of summaries there would be.
        least = "at least " if self.dry_run else ""
        return f"{least}{counted(len(self.summaries), 'summary', 'summaries')}, of {of}{how}"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What a restoration did.

    Attributes:
        turns: how many turns are recalled again.
        summaries: how many summaries stood for them, or were made of those, and are gone.
    """

    turns: int
    summaries: int

    def __str__(self) -> str:
        if not self.summaries:
            return "there are no summaries to undo"
        gone = counted(self.summaries, "summary is", "summaries are")
        back = counted(self.turns, "turn is back", "turns are back")
        return f"{back}, {gone} gone"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def summed(shares: Sequence[KeptEvidence]) -> KeptEvidence:
    """That of several blocks together."""
    total = KeptEvidence()
    for one in shares:
        total += one
    return total
