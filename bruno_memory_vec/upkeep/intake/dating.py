"""A time for messages that have none in their export.

It stays: what is stored has its time from then on, and only a time of the source replaces it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bruno_memory_vec.upkeep.intake.outline import NO_TIME

_SECOND = 1_000_000


def dated(
    times: Sequence[int], inferred: Sequence[int], moment: int, since: int | None = None
) -> list[int]:
    """The times of messages, in order, those that have none between their neighbours.

    A second apart where there is room. What no time of the source stands beside begins when the
    conversation did, where the source says so, else ends when its file was written.

    Args:
        times: microseconds, or :data:`NO_TIME`.
        inferred: 1 where a time was inferred by an earlier ingest.
        moment: when the file was written, in microseconds.
        since: when the conversation began; None where nothing says so.
    """
    found = list(times)
    at = 0
    while at < len(found):
        if found[at] != NO_TIME:
            at += 1
            continue
        end = at
        while end < len(found) and found[end] == NO_TIME:
            end += 1
        before = found[at - 1] if at else None
        after = found[end] if end < len(found) else None
        if before is None and since is not None and (after is None or since < after):
            before = since
        loose = before is None or (at > 0 and bool(inferred[at - 1]))
        found[at:end] = _run(end - at, before, after, moment if loose else None)
        at = end
    return found


def _run(count: int, before: int | None, after: int | None, moment: int | None) -> list[int]:
    if before is None and after is not None:
        return [after - _SECOND * (count - number) for number in range(count)]
    if after is None and moment is not None and (before is None or moment > before):
        step = _SECOND if before is None else _step(count, before, moment)
        return [moment - step * (count - 1 - number) for number in range(count)]
    assert before is not None
    step = _SECOND if after is None else _step(count, before, after)
    return [before + step * (number + 1) for number in range(count)]


def _step(count: int, before: int, after: int) -> int:
    # Where there is no room at all, or the neighbours stand in the wrong order, their turns do.
    return min(_SECOND, max(1, (after - before) // (count + 1)))
