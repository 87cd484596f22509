"""An inverted index of rows in memory, in a few arrays.

The terms of all rows stand one after the other, each as its place in the sorted hashes of all
terms; and for each term, where it stands. So a term takes about eight bytes, there is no Python
object for it, and the arrays can be written to a file and mapped from it. Rows that are added stand
in a short list of hashes behind these, which is searched term by term, until it is folded in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..text.analysis import Analyser
from .lengths import kept_lengths
from .terms import term_numbers, terms_of

# BM25 as Tantivy has it.
_K1, _B = 1.2, 0.75
# The terms of added rows are folded in when they are more than this, and more than this share of
# all: a search compares each with each of its terms, and folding copies all arrays.
_MOST_ADDED, _SHARE_ADDED = 2_048, 1 / 32
_NO_CODE = -1


@dataclass(frozen=True, slots=True, eq=False)
class _Folded:
    """The rows up to the last folding.

    Attributes:
        terms: int64 (v,), the hashes of the terms, ascending.
        having: int32 (v,), in how many rows each stands.
        bounds: int32 (v + 1,), where each term's entries in ``places`` begin and end.
        places: int32 (t,), where each term stands, by term, then ascending.
        codes: int32 (t,), the terms of all rows in order, as indices into ``terms``.
        starts: int32 (n + 1,), where each row's terms begin and end in ``codes``.
        lengths: float32 (n,), of :func:`kept_lengths`.
    """

    terms: NDArray[np.int64]
    having: NDArray[np.int32]
    bounds: NDArray[np.int32]
    places: NDArray[np.int32]
    codes: NDArray[np.int32]
    starts: NDArray[np.int32]
    lengths: NDArray[np.float32]

    def codes_of(self, terms: NDArray[np.int64]) -> NDArray[np.int64]:
        """The index of each term, -1 for one that no row has."""
        if not len(self.terms):
            return np.full(len(terms), _NO_CODE)
        at = np.searchsorted(self.terms, terms)
        at[at == len(self.terms)] = 0
        at[self.terms[at] != terms] = _NO_CODE
        return at


@dataclass(frozen=True, slots=True, eq=False)
class _Added:
    """The rows since.

    Attributes:
        terms: int64 (t,), the hashes of the terms of all rows in order.
        starts: int32 (n + 1,), where each row's terms begin and end.
    """

    terms: NDArray[np.int64]
    starts: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Where the terms of a question, and pairs of them, stand in the rows of an index.

    Attributes:
        part: int64 (m,), which term; behind the last term, which pair.
        row: int64 (m,), the row.
        times: float32 (m,), how often it stands there.
        length: float32 (m,), the length of the row.
    """

    part: NDArray[np.int64]
    row: NDArray[np.int64]
    times: NDArray[np.float32]
    length: NDArray[np.float32]

    def scores(
        self, weights: NDArray[np.float64], average: float, rows: int
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """The BM25 of each row, float64 (n,), and which rows have any term, bool (n,).

        Args:
            weights: of each term, and behind these of each pair; a negative one leaves it out.
            average: everyone's average length.
            rows: n, how many rows the index has.
        """
        weight, row, times, length = weights[self.part], self.row, self.times, self.length
        if (weights < 0).any():
            used = weight >= 0
            weight, row, times, length = weight[used], row[used], times[used], length[used]
        norm = _K1 * (1 - _B + _B * (length / np.float32(average or 1.0)))
        each = weight * ((_K1 + 1) * times / (times + norm))
        found = np.zeros(rows, np.bool_)
        found[row] = True
        score: NDArray[Any] = np.bincount(row, each, minlength=rows)
        return score, found

    def having(self, terms: int, rows: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """In how many rows each of the first ``terms`` terms stands, int64 (terms,).

        Args:
            terms: how many terms.
            rows: bool (n,), the rows that count; None for all.
        """
        part = self.part if rows is None else self.part[rows[self.row]]
        return np.bincount(part, minlength=terms)[:terms]


class WordIndex:
    """The words of rows, in the order in which they were added. It does not change; any thread may
    use it."""

    def __init__(self, folded: _Folded, added: _Added) -> None:
        self._folded = folded
        self._added = added

    @classmethod
    def empty(cls) -> WordIndex:
        """An index without rows."""
        return _index(np.empty(0, np.int64), np.empty(0, np.int32))

    @classmethod
    def of(cls, texts: Iterable[str], analyser: Analyser) -> WordIndex:
        """The index of some rows. A row takes some 25 microseconds; any thread may make it."""
        return _index(*terms_of(texts, analyser))

    @classmethod
    def of_terms(cls, terms: NDArray[np.int64], lengths: NDArray[np.int32]) -> WordIndex:
        """The index of rows whose terms are known, as :func:`~.terms.terms_of` gives them."""
        return _index(terms, lengths)

    def __len__(self) -> int:
        return len(self._folded.lengths) + len(self._added.starts) - 1

    @property
    def tokens(self) -> int:
        """How many terms all rows have, repeats included."""
        return len(self._folded.codes) + len(self._added.terms)

    @property
    def average(self) -> float:
        """How many terms a row has on average; 0 without rows."""
        return self.tokens / max(len(self), 1)

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        parts = self._folded, self._added
        return sum(getattr(part, name).nbytes for part in parts for name in _names(part))

    # Changes make another index

    def extended(self, texts: Iterable[str], analyser: Analyser) -> WordIndex:
        """The same with more rows behind the others. It shares what it can with this one."""
        terms, lengths = terms_of(texts, analyser)
        before = self._added
        starts = before.starts[-1] + np.cumsum(lengths, dtype=np.int32)
        added = _Added(
            np.concatenate([before.terms, terms]), np.concatenate([before.starts, starts])
        )
        new = WordIndex(self._folded, added)
        most = max(_MOST_ADDED, int(_SHARE_ADDED * len(self._folded.codes)))
        return new._fold() if len(added.terms) > most else new

    def taken(self, rows: NDArray[np.int64]) -> WordIndex:
        """The index of some of the rows.

        Args:
            rows: int64 (m,), which, ascending.
        """
        folded = self._fold()._folded
        lengths = np.diff(folded.starts)
        kept = np.zeros(len(lengths), np.bool_)
        kept[rows] = True
        return _index(folded.terms[folded.codes[np.repeat(kept, lengths)]], lengths[kept])

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All of it, by name, to be written to a file; :meth:`from_arrays` takes the same."""
        folded = self._fold()._folded
        return {name: getattr(folded, name) for name in _names(folded)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> WordIndex:
        """The index with these arrays, which are not copied: they may be mapped from a file.

        Raises:
            KeyError: one is missing.
            ValueError: their types or lengths do not fit each other.
        """
        for name, kind in _KINDS.items():
            if arrays[name].dtype != np.dtype(kind) or arrays[name].ndim != 1:
                raise ValueError(f"words: {name} is no array of {kind}")
        folded = _Folded(**{name: arrays[name] for name in _KINDS})  # type: ignore[arg-type]
        tokens, words = len(folded.codes), len(folded.terms)
        fits = (
            len(folded.places) == tokens
            and len(folded.bounds) == words + 1
            and len(folded.having) == words
            and len(folded.starts) == len(folded.lengths) + 1
            and int(folded.starts[-1]) == int(folded.bounds[-1]) == tokens
        )
        if not fits:
            raise ValueError("words: the lengths of the arrays do not fit each other")
        return cls(folded, _none_added())

    def _fold(self) -> WordIndex:
        """The same index with all rows folded in."""
        old, added = self._folded, self._added
        if len(added.starts) == 1:
            return self
        new = _index(added.terms, np.diff(added.starts))._folded
        terms = np.union1d(old.terms, new.terms)
        bounds = np.zeros(len(terms) + 1, np.int32)
        having = np.zeros(len(terms), np.int32)
        maps = [np.searchsorted(terms, part.terms) for part in (old, new)]
        for part, where in zip((old, new), maps, strict=True):
            bounds[1:][where] += np.diff(part.bounds)
            having[where] += part.having
        np.cumsum(bounds, out=bounds)
        places = np.empty(len(old.places) + len(new.places), np.int32)
        codes = np.empty(len(places), np.int32)
        at = 0
        # Where the entries of each term begin that are still free.
        free = bounds[:-1].copy()
        for part, where in zip((old, new), maps, strict=True):
            each = np.diff(part.bounds)
            moved = np.repeat(free[where] - part.bounds[:-1], each)
            places[np.arange(len(moved)) + moved] = part.places + np.int32(at)
            free[where] += each
            codes[at : at + len(part.codes)] = where[part.codes]
            at += len(part.codes)
        starts = np.concatenate([old.starts, old.starts[-1] + new.starts[1:]])
        lengths = np.concatenate([old.lengths, new.lengths])
        return WordIndex(
            _Folded(terms, having, bounds, places, codes, starts, lengths), _none_added()
        )

    # Searching

    def having(self, terms: Sequence[str]) -> NDArray[np.int64]:
        """In how many rows each term stands, int64 (len(terms),)."""
        numbers = term_numbers(terms)
        folded = self._folded
        counts = np.zeros(len(terms), np.int64)
        codes = folded.codes_of(numbers)
        known = codes >= 0
        counts[known] = folded.having[codes[known]]
        if len(self._added.terms):
            part, _, row = self._added_places(numbers)
            new = _changes(part, row)
            counts += np.bincount(part[new], minlength=len(terms))
        return counts

    def find(self, terms: Sequence[str], pairs: Sequence[tuple[int, int]] = ()) -> Found:
        """Where terms stand, and pairs of terms beside each other in a row.

        Args:
            terms: each once.
            pairs: by the indices of two terms.
        """
        numbers = term_numbers(terms)
        parts = [self._in_folded(numbers, pairs)]
        if len(self._added.terms):
            parts.append(self._in_added(numbers, pairs))
        part, row = (np.concatenate([one[i] for one in parts]) for i in (0, 1))
        first = np.flatnonzero(_changes(part, row))
        times = np.diff(first, append=len(part)).astype(np.float32)
        part, row = part[first], row[first]
        lengths = self._folded.lengths
        if len(parts) == 1:
            return Found(part, row, times, lengths[row])
        whole = np.concatenate([lengths, kept_lengths(np.diff(self._added.starts))])
        return Found(part, row, times, whole[row])

    def _in_folded(
        self, numbers: NDArray[np.int64], pairs: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The term or pair and the row of each place, by term, then by pair."""
        held = self._folded
        codes = held.codes_of(numbers)
        found = [
            held.places[held.bounds[code] : held.bounds[code + 1]] if code >= 0 else held.places[:0]
            for code in codes.tolist()
        ]
        counts = np.array([len(one) for one in found], np.int64)
        place = np.concatenate(found) if found else held.places[:0]
        row = np.searchsorted(held.starts, place, side="right") - 1
        part = np.repeat(np.arange(len(found)), counts)
        if not pairs or not len(place):
            return part, row
        ends = np.cumsum(counts)
        firsts, seconds = np.array(pairs, np.int64).T
        each = np.where(codes[seconds] >= 0, counts[firsts], 0)
        which = np.repeat(np.arange(len(pairs)), each)
        skipped = np.repeat((ends - counts)[firsts] - (np.cumsum(each) - each), each)
        at = np.arange(len(which)) + skipped
        after, row_of = place[at] + 1, row[at]
        beside = after < held.starts[row_of + 1]
        after, row_of, which = after[beside], row_of[beside], which[beside]
        beside = held.codes[after] == codes[seconds][which]
        return (
            np.concatenate([part, which[beside] + len(found)]),
            np.concatenate([row, row_of[beside]]),
        )

    def _added_places(
        self, numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The term, the place and the row of each occurrence in added rows, by term."""
        added = self._added
        part, place = np.nonzero(numbers[:, None] == added.terms[None, :])
        row = np.searchsorted(added.starts, place, side="right") - 1
        return part, place, row

    def _in_added(
        self, numbers: NDArray[np.int64], pairs: Sequence[tuple[int, int]]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        added, before = self._added, len(self._folded.lengths)
        part, place, row = self._added_places(numbers)
        parts, rows = [part], [row + before]
        ends = added.starts[row + 1]
        for number, (first, second) in enumerate(pairs, len(numbers)):
            at = np.flatnonzero((part == first) & (place + 1 < ends))
            at = at[added.terms[place[at] + 1] == numbers[second]]
            if len(at):
                parts.append(np.full(len(at), number))
                rows.append(row[at] + before)
        return np.concatenate(parts), np.concatenate(rows)


_KINDS = {
    "terms": np.int64,
    "having": np.int32,
    "bounds": np.int32,
    "places": np.int32,
    "codes": np.int32,
    "starts": np.int32,
    "lengths": np.float32,
}


def _names(part: _Folded | _Added) -> tuple[str, ...]:
    return tuple(part.__dataclass_fields__)


def _none_added() -> _Added:
    return _Added(np.empty(0, np.int64), np.zeros(1, np.int32))


def _changes(part: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Where another term or another row begins, bool (m,)."""
    new = np.ones(len(part), np.bool_)
    new[1:] = (part[1:] != part[:-1]) | (row[1:] != row[:-1])
    return new


def _index(numbers: NDArray[np.int64], lengths: NDArray[np.int32]) -> WordIndex:
    """The index of rows of these terms, of which each row has so many."""
    terms, inverse = np.unique(numbers, return_inverse=True)
    codes = inverse.astype(np.int32)
    places = np.argsort(codes, kind="stable").astype(np.int32)
    bounds = np.zeros(len(terms) + 1, np.int32)
    np.cumsum(np.bincount(codes, minlength=len(terms)), out=bounds[1:])
    starts = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=starts[1:])
    row = np.searchsorted(starts, places, side="right")
    of = np.repeat(np.arange(len(terms)), np.diff(bounds))
    having = np.bincount(of[_changes(of, row)], minlength=len(terms)).astype(np.int32)
    folded = _Folded(terms, having, bounds, places, codes, starts, kept_lengths(lengths))
    return WordIndex(folded, _none_added())
