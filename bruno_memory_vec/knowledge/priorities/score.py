"""The priority of a row: a number from recency, use, emotion and importance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.knowledge.priorities import emotion
from bruno_memory_vec.rankers.pool import DAY

#: The columns that :func:`priorities_of` reads.
SCORED = (
    "seq",
    "created_at",
    "last_accessed",
    "access_count",
    "importance",
    "pinned_at",
    "content",
)
#: What a pinned row has.
PINNED = 1.0


@dataclass(frozen=True, slots=True)
class PriorityWeights:
    """How much each part counts in a priority, which is their weighted mean, 0..1.

    ========== ==================================================================================
    part       value, 0..1
    ========== ==================================================================================
    recency    ``2**(-age / half_life_days)``, where the age counts from when the row was stored or
               last recalled (Park et al., "Generative Agents", UIST 2023)
    use        ``min(1, log1p(count) / log1p(saturation))`` of its access count (after the
               base-level learning of ACT-R, Anderson and Schooler 1991)
    emotion    how strongly its text is felt, see :mod:`.emotion`; English
    importance as it was given: of a memory 1 by default, of a message 0.5
    ========== ==================================================================================

    A pinned row has a priority of 1.

    Attributes:
        recency: weight, 0 or more.
        use: weight, 0 or more.
        emotion: weight, 0 or more; it needs the extra ``emotion``. None: 0.1 where that is
            installed, else 0.
        importance: weight, 0 or more.
        half_life_days: age at which recency is a half.
        saturation: access count at which use is 1.

    Raises:
        InvalidInputError: a weight is not usable, or all are 0.
    """

    recency: float = 0.3
    use: float = 0.2
    emotion: float | None = None
    importance: float = 0.4
    half_life_days: float = 30.0
    saturation: int = 10

    def __post_init__(self) -> None:
        for name in ("recency", "use", "emotion", "importance"):
            value = getattr(self, name)
            if not (value is None and name == "emotion"):
                _finite(f"weights.{name}", value, 0.0)
        _finite("weights.half_life_days", self.half_life_days, 1e-3)
        _finite("weights.saturation", self.saturation, 1)
        if not sum(self.effective.values()):
            raise InvalidInputError(
                "weights", "are all 0", fix="Give a part a weight of more than 0."
            )

    @property
    def effective(self) -> dict[str, float]:
        """The weight of each part that counts here, adding up to 1."""
        felt = self.emotion
        if felt is None:
            felt = 0.1 if emotion.is_installed() else 0.0
        given = {
            "recency": self.recency,
            "use": self.use,
            "emotion": felt,
            "importance": self.importance,
        }
        total = sum(given.values())
        return {name: weight / total for name, weight in given.items() if weight} if total else {}


@dataclass(frozen=True, slots=True, eq=False)
class Priorities:
    """The priorities of n rows.

    Attributes:
        score: float64 (n,), 0..1.
        parts: by part that counts, float64 (n,): what it adds to the score. Of a pinned row they
            add up to less.
    """

    score: NDArray[np.float64]
    parts: Mapping[str, NDArray[np.float64]]


def priorities_of(
    rows: pa.Table, weights: PriorityWeights, now: datetime, uses: Mapping[int, int]
) -> Priorities:
    """The priorities of rows.

    Args:
        rows: with the columns :data:`SCORED`.
        weights: how much each part counts.
        now: the time that ages refer to, timezone-aware.
        uses: by ``seq``, uses that are not in ``access_count`` yet.

    Raises:
        MissingDependencyError: emotion counts, and its lexicon is not installed.
    """
    counts = weights.effective
    parts: dict[str, NDArray[np.float64]] = {}
    if weight := counts.get("recency"):
        last = np.maximum(_micros(rows, "created_at"), _micros(rows, "last_accessed"))
        age = np.maximum(micros(now.astimezone(timezone.utc)) - last, 0) / DAY
        parts["recency"] = weight * np.exp2(-age / weights.half_life_days)
    if weight := counts.get("use"):
        used = rows.column("access_count").to_numpy().astype(np.float64)
        if uses:
            used = used + [uses.get(seq, 0) for seq in rows.column("seq").to_pylist()]
        share = np.log1p(np.maximum(used, 0.0)) / np.log1p(weights.saturation)
        parts["use"] = weight * np.minimum(1.0, share)
    if weight := counts.get("emotion"):
        texts = rows.column("content").to_pylist()
        parts["emotion"] = weight * emotion.emotional_significance(texts)
    if weight := counts.get("importance"):
        parts["importance"] = weight * rows.column("importance").to_numpy().clip(0.0, 1.0)
    score: NDArray[np.float64] = np.sum(list(parts.values()), axis=0)
    pinned = rows.column("pinned_at").is_valid().to_numpy()
    return Priorities(np.where(pinned, PINNED, score), parts)


def _micros(rows: pa.Table, name: str) -> NDArray[np.int64]:
    found: NDArray[np.int64] = rows.column(name).cast(pa.int64()).to_numpy()
    return found


def _finite(field: str, value: Any, least: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not least <= value <= 1e6:
        raise InvalidInputError(field, f"is {value!r}", fix=f"Give a number from {least} to 1e6.")
