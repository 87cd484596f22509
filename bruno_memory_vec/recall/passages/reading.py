"""Reads the passages of long rows: cuts them, and makes their vectors and terms.

They are derived: a passage follows from its row's text alone. So nothing of it is stored, a store
of any age has them, and they need no upkeep. What was read last is kept in memory, by the row's
``seq``, which names a version of a row. Of the words only hashes are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.snapshot import Snapshot
from bruno_memory_vec.recall.passages.windows import windows
from bruno_memory_vec.recall.request import READ_CHARACTERS
from bruno_memory_vec.rows.models import count_words

#: In bytes: how much is kept for the next recalls. A passage takes about 1.5 kB at 256 dimensions.
BUDGET = 64 * 2**20
# Of a row besides its arrays.
_OVERHEAD = 600

#: Makes the vectors of texts, float32 (n, d) of unit norm.
Embed = Callable[[Sequence[str]], NDArray[np.float32]]
#: Makes the terms of a text, in order, repeats included.
Terms = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True, eq=False)
class RowPassages:
    """The passages of one row, in order; none where it is not long.

    Attributes:
        places: int32 (p, 2), where each begins and ends in the text, in characters.
        words: int32 (p,), the length of each, as ``count_words`` has it for rows.
        vectors: float32 (p, d); no columns where the embedder is too slow to make them in a recall.
        terms: int64 (t,), a hash of each term, passage by passage.
        lengths: int64 (p,), how many terms each passage has.
    """

    places: NDArray[np.int32]
    words: NDArray[np.int32]
    vectors: NDArray[np.float32]
    terms: NDArray[np.int64]
    lengths: NDArray[np.int64]

    @property
    def nbytes(self) -> int:
        """About how many bytes it takes."""
        arrays = (self.places, self.words, self.vectors, self.terms, self.lengths)
        return _OVERHEAD + sum(one.nbytes for one in arrays)


class PassageReader:
    """The passages of a store's rows. Any thread may use it.

    Args:
        embed: makes the passages' vectors; None to do without.
        terms: makes the passages' terms.
        budget: how many bytes are kept.
    """

    def __init__(self, embed: Embed | None, terms: Terms, budget: int = BUDGET) -> None:
        self._embed = embed
        self._terms = terms
        self._budget = budget
        self._lock = Lock()
        self._kept: OrderedDict[int, RowPassages] = OrderedDict()
        #: How many bytes are kept.
        self.nbytes = 0

    def read(self, snapshot: Snapshot, rows: NDArray[np.int64]) -> list[RowPassages]:
        """The passages of each of some rows. This blocks.

        Args:
            snapshot: rows in memory.
            rows: int64 (n,), which of them.
        """
        seqs = snapshot.columns["seq"][rows].tolist()
        with self._lock:
            found = {seq: self._kept[seq] for seq in seqs if seq in self._kept}
            for seq in found:
                self._kept.move_to_end(seq)
        missing = [at for at, seq in enumerate(seqs) if seq not in found]
        if missing:
            texts = snapshot.beginnings(rows[missing], READ_CHARACTERS)
            for at, new in zip(missing, self._made(texts), strict=True):
                found[seqs[at]] = new
                self._keep(seqs[at], new)
        return [found[seq] for seq in seqs]

    def _keep(self, seq: int, new: RowPassages) -> None:
        with self._lock:
            before = self._kept.pop(seq, None)
            self._kept[seq] = new
            self.nbytes += new.nbytes - (0 if before is None else before.nbytes)
            while self.nbytes > self._budget and len(self._kept) > 1:
                self.nbytes -= self._kept.popitem(last=False)[1].nbytes

    def _made(self, texts: Sequence[str]) -> list[RowPassages]:
        places = [windows(text) for text in texts]
        parts = [one.of(text) for text, cut in zip(texts, places, strict=True) for one in cut]
        vectors = np.empty((len(parts), 0), np.float32)
        if self._embed is not None and parts:
            vectors = self._embed(parts)
        terms = [[hash(term) for term in self._terms(part)] for part in parts]
        made, start = [], 0
        for cut in places:
            end = start + len(cut)
            made.append(
                RowPassages(
                    np.array(cut, np.int32).reshape(-1, 2),
                    np.array([count_words(part) for part in parts[start:end]], np.int32),
                    # A copy, which does not keep the vectors of all the others.
                    vectors[start:end].copy(),
                    np.array([term for part in terms[start:end] for term in part], np.int64),
                    np.array([len(part) for part in terms[start:end]], np.int64),
                )
            )
            start = end
        return made
