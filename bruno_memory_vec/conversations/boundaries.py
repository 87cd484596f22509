"""Where a conversation has a seam: a long pause, or another topic.

A topic shift is found as TextTiling does it (Hearst 1997), with the vectors of the stored rows in
place of word counts, so nothing is embedded. For each place between two turns, the similarity is
the cosine between the sum of the vectors of the turns before it and that of those after it, after
the mean of the conversation is taken from each vector: what all turns have in common says nothing
about a place. It is the mean of three widths, half of ``window``, ``window`` and twice that, and
smoothed over three places. The depth of a place is how far it falls there from the nearest peak on
either side. Its contrast is the depth and twice the distance, 1 - similarity. A place is a seam
where its contrast is larger than the mean of all by ``topic`` standard deviations, and no place of
more contrast is within ``window`` turns; of the places beside it the one counts that has most
contrast without smoothing.

``python -m benchmarks.conversations`` measures it (docs/conversations.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.rows.models import utc

#: The pause that is a seam, if the caller names none.
GAP: Final = timedelta(hours=1)
#: How many standard deviations above the mean the contrast of a topic shift is.
TOPIC: Final = 1.5
#: How many turns on either side are compared, in the middle of three widths.
WINDOW: Final = 8
# Of so few turns nearest to an end nothing can be said.
_EDGE = 3
# The product of lengths that rounding may leave of nothing; vectors have the length 1.
_NOTHING = 1e-6
_SAID = RowFilter(kinds=(MESSAGE,))


@dataclass(frozen=True, slots=True)
class Segment:
    """Turns of a conversation that belong together, between two seams.

    Attributes:
        from_turn: its first turn.
        to_turn: its last.
        messages: how many.
        since: the time of its first message, UTC.
        until: of its last.
        gap: the pause before it is a seam.
        topic: another topic begins here.
        pause: how long the pause before it was; None for the first one.
        contrast: of the place before it, 0..8; None where it was not looked at.
    """

    from_turn: int
    to_turn: int
    messages: int
    since: datetime
    until: datetime
    gap: bool
    topic: bool
    pause: timedelta | None
    contrast: float | None


def contrasts(
    vectors: NDArray[np.float32], window: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The contrast of each place between two turns, smoothed and as it is.

    Args:
        vectors: float32 (n, d), of the turns in their order.
        window: how many turns on either side are compared.

    Returns:
        Two of float64 (n - 1,), 0..8: of the place before turn 1, before turn 2, ...
    """
    widths = (max(1, window // 2), window, 2 * window)
    similar = np.mean([similarities(vectors, width) for width in widths], axis=0)
    smooth = smoothed(similar)
    return depths(smooth) + 2 * (1 - smooth), depths(similar) + 2 * (1 - similar)


def depths(similar: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the similarity falls at each place from the nearest peak on either side, summed."""
    return (_peaks(similar) - similar) + (_peaks(similar[::-1])[::-1] - similar)


def smoothed(similar: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each place and the two beside it; an end counts as its own neighbour."""
    beside = np.pad(similar, 1, mode="edge")
    return (beside[:-2] + beside[1:-1] + beside[2:]) / 3


def similarities(vectors: NDArray[np.float32], window: int) -> NDArray[np.float64]:
    """The cosine between what is before and what is after each place, float64 (n - 1,)."""
    own = vectors - vectors.mean(axis=0)
    sums = np.vstack([np.zeros(own.shape[1]), np.cumsum(own, axis=0, dtype=np.float64)])
    n = len(vectors)
    places = np.arange(1, n)
    before = sums[places] - sums[np.maximum(places - window, 0)]
    after = sums[np.minimum(places + window, n)] - sums[places]
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    # Turns that are all alike, or without a known word, have no direction, and no other topic.
    dots = np.einsum("ij,ij->i", before, after)
    cosines: NDArray[np.float64] = np.divide(
        dots, lengths, out=np.ones_like(dots), where=lengths > _NOTHING
    )
    return cosines


def _peaks(similar: NDArray[np.float64]) -> NDArray[np.float64]:
    """For each place, the peak to its left: as far as the similarity does not fall."""
    peaks = similar.copy()
    for place in range(1, len(similar)):
        if similar[place - 1] >= similar[place]:
            peaks[place] = peaks[place - 1]
    return peaks


def topic_seams(
    contrast: NDArray[np.float64],
    topic: float,
    window: int,
    exact: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """Which places are topic shifts, bool (n - 1,).

    Args:
        contrast: float64 (n - 1,), smoothed.
        topic: standard deviations above the mean.
        window: no two seams are nearer than this to one of more contrast.
        exact: float64 (n - 1,), not smoothed. A seam is moved by one place where this is larger.
    """
    chosen = np.zeros(len(contrast), bool)
    inner = np.arange(_EDGE - 1, len(contrast) - _EDGE + 1)
    if not len(inner):
        return chosen
    least = float(contrast[inner].mean() + topic * contrast[inner].std())
    for place in inner[np.argsort(-contrast[inner], kind="stable")]:
        if contrast[place] <= least:
            break
        if chosen[max(0, place - window + 1) : place + window].any():
            continue
        if exact is not None:
            place += int(np.argmax(exact[place - 1 : place + 2])) - 1
        chosen[place] = True
    return chosen


def segments_of(
    turns: Sequence[int],
    times: Sequence[datetime],
    vectors: NDArray[np.float32],
    *,
    gap: timedelta | None = GAP,
    topic: float | None = TOPIC,
    window: int = WINDOW,
) -> list[Segment]:
    """The segments of a conversation.

    Args:
        turns: of its messages, ascending.
        times: of its messages.
        vectors: float32 (n, d).
        gap: the least pause that is a seam; None for no such seam.
        topic: how many standard deviations above the mean the contrast of a topic shift is; None
            for no such seam.
        window: how many turns on either side are compared.
    """
    n = len(turns)
    if not n:
        return []
    contrast = exact = None
    if n > 1 and topic is not None:
        contrast, exact = contrasts(vectors, window)
    shifts = np.zeros(n - 1, bool)
    if contrast is not None and topic is not None:
        shifts = topic_seams(contrast, topic, window, exact)
    pauses = [after - before for before, after in pairwise(times)]
    long = np.array([gap is not None and pause >= gap for pause in pauses], bool)
    begins = [0, *(np.flatnonzero(shifts | long) + 1).tolist()]
    return [
        Segment(
            from_turn=turns[first],
            to_turn=turns[after - 1],
            messages=after - first,
            since=times[first],
            until=times[after - 1],
            gap=bool(first and long[first - 1]),
            topic=bool(first and shifts[first - 1]),
            pause=pauses[first - 1] if first else None,
            contrast=float(contrast[first - 1]) if first and contrast is not None else None,
        )
        for first, after in zip(begins, [*begins[1:], n], strict=True)
    ]


async def segments(
    rows: RowIndex, scope: Scope, gap: timedelta | None, topic: float | None, window: int
) -> list[Segment]:
    """The segments of one conversation, of its stored vectors.

    Args:
        rows: the rows.
        scope: whose, and which conversation.
        gap: as of :func:`segments_of`.
        topic: likewise.
        window: likewise.
    """
    found = await rows.read(scope, _SAID, ("turn", "created_at", "vector"))
    if not len(found):
        return []
    found = found.sort_by("turn")
    micros = found.column("created_at").cast("int64").to_pylist()
    vectors = found.column("vector").combine_chunks().flatten().to_numpy().reshape(len(found), -1)
    return segments_of(
        found.column("turn").to_pylist(),
        [utc(at) for at in micros],
        vectors,
        gap=gap,
        topic=topic,
        window=window,
    )
