"""Which message of an export is which of a store.

An export is made again and again, and between two of them a conversation grows, also in the middle,
loses messages, and has some edited. So a message is known again by the id that its source gives it;
else by role, text and time; where there is no time, by role and text, in the order of both; what is
left then is an edit where time and role are the same, or where it stands between the same messages
and its text is like the old one. Where no message is known, none is an edit: what comes may be what
was said next, and an edit replaces what is stored. Nothing depends on the number of a line.

Pure functions over :class:`~.outline.Outline`.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from bruno_memory_vec.upkeep.intake.outline import NO_ID, NO_TIME, Outline, is_derived

#: Nothing of the store is it.
NEW = -1
#: It is said again later in the export, under the same id; the last one counts.
RESTATED = -2

# An export in local time moves by whole quarters of an hour, and at most so far, where it is made
# in another time zone.
_QUARTER, _FARTHEST = 15 * 60 * 1_000_000, 26 * 3_600 * 1_000_000
# Two texts are one that was edited where so much of their words is the same, in the same order.
_ALIKE = 0.5
_WORDS_COMPARED = 400
# The words of longer gaps are not compared with each other.
_LONGEST_GAP = 20
# More pairs than that are not compared: the order of so many equal words counts for less than the
# time it takes.
_PAIRS_COMPARED = 1_000_000
# What is said more often is not looked for at other times.
_SAID_TOO_OFTEN = 50


@dataclass(slots=True)
class Aligned:
    """How the messages of an export stand to those of a store.

    Attributes:
        match: for each message of the export, the place of the same one in the store, or
            :data:`NEW` or :data:`RESTATED`.
        gaps: where messages of both are left between the same neighbours, none of them surely an
            edit: their places in the store, and in the export.
    """

    match: list[int]
    gaps: list[tuple[list[int], list[int]]] = field(default_factory=list)


def align(stored: Outline, given: Outline) -> Aligned:
    """Find the messages of an export in a store. Both are one conversation."""
    match = [NEW] * len(given)
    _restated(given, match)
    if not len(stored):
        return Aligned(match)
    taken = bytearray(len(stored))

    def take(here: int, there: int) -> None:
        match[here], taken[there] = there, 1

    _by_id(stored, given, match, take)
    _by_what_was_said(stored, given, match, taken, take, doubtful=False)
    if _is_left(stored, given, match, taken):
        _in_order(stored, given, match, taken, take)
        _by_what_was_said(stored, given, match, taken, take, doubtful=True)
        _in_any_order(stored, given, match, taken, take)
    if _is_left(stored, given, match, taken):
        _moved_in_time(stored, given, match, taken, take)
    if any(taken) and _is_left(stored, given, match, taken):
        _at_the_same_time(stored, given, match, taken, take)
    return Aligned(match, _gaps(stored, given, match, taken))


def pair_alike(
    aligned: Aligned,
    stored: Outline,
    given: Outline,
    stored_text: Callable[[int], str],
    given_text: Callable[[int], str],
) -> None:
    """Take messages in gaps for edited ones where their texts are alike, in order."""
    for there, here in aligned.gaps:
        words = [stored_text(at).split()[:_WORDS_COMPARED] for at in there]
        first = 0
        for at in here:
            mine = given_text(at).split()[:_WORDS_COMPARED]
            for number in range(first, len(there)):
                other = there[number]
                if (
                    stored.roles[other] == given.roles[at]
                    and _untimed(stored, given, at, other)
                    and _may_be(stored, given, at, other)
                    and _alike(words[number], mine)
                ):
                    aligned.match[at] = other
                    first = number + 1
                    break
    aligned.gaps.clear()


def merged_order(stored: Outline, given: Outline, match: Sequence[int]) -> list[tuple[bool, int]]:
    """The order of a conversation that has the messages of both.

    It is that of the export. What only the store has stays behind the message that it followed.

    Returns:
        For each message whether it is given as it is in the export, and its place there, or else in
        the store.
    """
    place = {there: here for here, there in enumerate(match) if there >= 0}
    behind: dict[int, list[int]] = defaultdict(list)
    last = -1
    for at in range(len(stored)):
        if at in place:
            last = place[at]
        else:
            behind[last].append(at)
    order = [(False, at) for at in behind[-1]]
    for here in range(len(given)):
        if match[here] != RESTATED:
            order.append((True, here))
        order.extend((False, at) for at in behind.get(here, ()))
    return order


def is_edited(stored: Outline, given: Outline, here: int, there: int) -> bool:
    """Whether a message of an export is another one than that in the store, which it is."""
    if stored.digests[there] != given.digests[here]:
        return True
    time = given.times[here]
    return time != NO_TIME and time != stored.times[there]


Take = Callable[[int, int], None]


def _restated(given: Outline, match: list[int]) -> None:
    last: dict[bytes, int] = {}
    for at in range(len(given)):
        id_ = given.id(at)
        if id_ == NO_ID:
            continue
        if id_ in last:
            match[last[id_]] = RESTATED
        last[id_] = at


def _by_id(stored: Outline, given: Outline, match: list[int], take: Take) -> None:
    places = {stored.id(at): at for at in range(len(stored))}
    for at in range(len(given)):
        if match[at] == NEW and (there := places.get(given.id(at))) is not None:
            take(at, there)


def _may_be(stored: Outline, given: Outline, here: int, there: int) -> bool:
    """Whether their ids let two messages be one: a source's own ids tell them apart."""
    return given.id(here) == NO_ID or is_derived(stored.id(there))


def _by_what_was_said(
    stored: Outline,
    given: Outline,
    match: list[int],
    taken: bytearray,
    take: Take,
    *,
    doubtful: bool,
) -> None:
    """Messages with the same role, text and time.

    Args:
        doubtful: also where the two have them in different numbers, so that what stands around them
            says better which is which.
    """
    places: dict[tuple[int, int], deque[int]] = defaultdict(deque)
    for at in range(len(stored)):
        if not taken[at]:
            places[stored.digests[at], stored.times[at]].append(at)
    here: dict[tuple[int, int], list[int]] = defaultdict(list)
    for at in range(len(given)):
        if match[at] == NEW and given.times[at] != NO_TIME:
            here[given.digests[at], given.times[at]].append(at)
    for said, mine in here.items():
        waiting = places.get(said)
        if waiting and (doubtful or len(waiting) == len(mine)):
            for at in mine:
                if waiting and _may_be(stored, given, at, waiting[0]):
                    take(at, waiting.popleft())


def _untimed(stored: Outline, given: Outline, here: int, there: int) -> bool:
    """Whether one of the two has no time of its own, so that their times tell nothing."""
    return not (given.is_timed(here) and stored.is_timed(there))


def _in_order(
    stored: Outline, given: Outline, match: list[int], taken: bytearray, take: Take
) -> None:
    """Messages with the same role and text, at no other time, in the order of both."""
    mine: list[Hashable] = [
        (there,) if there >= 0 else given.digests[at] for at, there in enumerate(match)
    ]
    theirs: list[Hashable] = [
        (at,) if taken[at] else stored.digests[at] for at in range(len(stored))
    ]
    for here, there in _common(mine, theirs):
        free = match[here] == NEW and not taken[there] and _may_be(stored, given, here, there)
        at_one_time = given.times[here] == stored.times[there]
        if free and (at_one_time or _untimed(stored, given, here, there)):
            take(here, there)


def _in_any_order(
    stored: Outline, given: Outline, match: list[int], taken: bytearray, take: Take
) -> None:
    """Messages with the same role and text, one of the two without a time, that were moved."""
    places: dict[int, deque[int]] = defaultdict(deque)
    for there in range(len(stored)):
        if not taken[there]:
            places[stored.digests[there]].append(there)
    for here in range(len(given)):
        waiting = places.get(given.digests[here])
        if match[here] == NEW and waiting:
            there = waiting[0]
            if _untimed(stored, given, here, there) and _may_be(stored, given, here, there):
                take(here, waiting.popleft())


def _common(mine: Sequence[Hashable], theirs: Sequence[Hashable]) -> Iterable[tuple[int, int]]:
    """A long common subsequence, as pairs of places."""
    low, end, other_end = 0, len(mine), len(theirs)
    while low < min(end, other_end) and mine[low] == theirs[low]:
        yield low, low
        low += 1
    while min(end, other_end) > low and mine[end - 1] == theirs[other_end - 1]:
        end, other_end = end - 1, other_end - 1
        yield end, other_end
    counts = Counter(theirs[low:other_end])
    if sum(counts[one] for one in mine[low:end]) > _PAIRS_COMPARED:
        return
    blocks = SequenceMatcher(None, mine[low:end], theirs[low:other_end], autojunk=False)
    for here, there, size in blocks.get_matching_blocks():
        for offset in range(size):
            yield low + here + offset, low + there + offset


def _moved_in_time(
    stored: Outline, given: Outline, match: list[int], taken: bytearray, take: Take
) -> None:
    """All messages that are left, with the same words, at times that differ by a time zone."""
    places: dict[int, list[int]] = defaultdict(list)
    for at in range(len(stored)):
        if not taken[at] and stored.is_timed(at):
            places[stored.digests[at]].append(at)
    pairs: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for at in range(len(given)):
        if match[at] != NEW or not given.is_timed(at):
            continue
        same = places.get(given.digests[at], ())
        for there in same if len(same) <= _SAID_TOO_OFTEN else ():
            apart = given.times[at] - stored.times[there]
            if apart and abs(apart) <= _FARTHEST and apart % _QUARTER == 0:
                pairs[apart].append((at, there))
    if not pairs:
        return
    apart, found = max(pairs.items(), key=lambda one: len(one[1]))
    left = Counter(match)[NEW]
    # One message that was said once more an hour later is another one.
    if len(found) >= 3 and 2 * len(found) >= left:
        for here, there in found:
            if match[here] == NEW and not taken[there] and _may_be(stored, given, here, there):
                take(here, there)


def _at_the_same_time(
    stored: Outline, given: Outline, match: list[int], taken: bytearray, take: Take
) -> None:
    """Edits: the same role at the same time, and other words."""
    places: dict[tuple[int, int], deque[int]] = defaultdict(deque)
    for at in range(len(stored)):
        if not taken[at] and stored.is_timed(at):
            places[stored.roles[at], stored.times[at]].append(at)
    for at in range(len(given)):
        if match[at] != NEW or not given.is_timed(at):
            continue
        waiting = places.get((given.roles[at], given.times[at]))
        if waiting and _may_be(stored, given, at, waiting[0]):
            take(at, waiting.popleft())


def _is_left(stored: Outline, given: Outline, match: list[int], taken: bytearray) -> bool:
    return NEW in match and sum(taken) < len(stored)


def _gaps(
    stored: Outline, given: Outline, match: list[int], taken: bytearray
) -> list[tuple[list[int], list[int]]]:
    if not any(taken) or not _is_left(stored, given, match, taken):
        return []
    # The place in the export of the message that each one of the store follows.
    place = {there: here for here, there in enumerate(match) if there >= 0}
    theirs: dict[int, list[int]] = defaultdict(list)
    last = -1
    for at in range(len(stored)):
        if taken[at]:
            last = place[at]
        else:
            theirs[last].append(at)
    gaps = []
    last, here = -1, list[int]()
    for at in range(len(given) + 1):
        if at < len(given) and match[at] == NEW:
            here.append(at)
        elif at == len(given) or match[at] >= 0:
            there = [
                one
                for one in theirs.get(last, ())
                if any(
                    _untimed(stored, given, mine, one) and _may_be(stored, given, mine, one)
                    for mine in here
                )
            ]
            if here and there and len(here) * len(there) <= _LONGEST_GAP**2:
                gaps.append((there, here))
            last, here = at, []
    return gaps


def _alike(mine: Sequence[str], other: Sequence[str]) -> bool:
    compared = SequenceMatcher(None, mine, other, autojunk=False)
    # Each is an upper bound of the next, and cheaper.
    bounds = (compared.real_quick_ratio, compared.quick_ratio, compared.ratio)
    return all(bound() >= _ALIKE for bound in bounds)
