"""Cuts a word into the most probable pieces of a Unigram vocabulary."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

# Below any piece, so that a known piece always wins against unknown characters.
_UNKNOWN_SCORE = -40.0


class Unigram:
    """The most probable pieces of a word, by Viterbi's algorithm.

    Kudo, "Subword Regularization: Improving Neural Network Translation Models with Multiple Subword
    Candidates" (2018), section 3.2. It is written in Python: a tokenizer of the package tokenizers
    takes half a second to be loaded, and about as long for a word.

    Args:
        scores: the natural logarithm of each piece's probability, in the order of the pieces' ids.
    """

    def __init__(self, scores: Mapping[str, float]) -> None:
        self._pieces = {
            piece: (number, score) for number, (piece, score) in enumerate(scores.items())
        }
        # By first character: few are long, and those of unspaced scripts are short.
        self._longest: dict[str, int] = {}
        for piece in scores:
            self._longest[piece[0]] = max(self._longest.get(piece[0], 0), len(piece))

    def __len__(self) -> int:
        return len(self._pieces)

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)

    def __contains__(self, piece: str) -> bool:
        return piece in self._pieces

    def cut(self, word: str) -> list[tuple[int | None, str]]:
        """The pieces of a word in their order: (id, text), the id None for unknown characters.

        It takes time in proportion to the word's length.
        """
        pieces, longest, length = self._pieces, self._longest, len(word)
        best = [0.0] + [-1e30] * length
        last: list[tuple[int, int | None]] = [(0, None)] * (length + 1)
        for start in range(length):
            so_far = best[start]
            if so_far + _UNKNOWN_SCORE > best[start + 1]:
                best[start + 1], last[start + 1] = so_far + _UNKNOWN_SCORE, (start, None)
            for end in range(start + 1, min(start + longest.get(word[start], 0), length) + 1):
                found = pieces.get(word[start:end])
                if found is not None and so_far + found[1] > best[end]:
                    best[end], last[end] = so_far + found[1], (start, found[0])
        cut: list[tuple[int | None, str]] = []
        end = length
        while end:
            start, number = last[end]
            cut.append((number, word[start:end]))
            end = start
        return cut[::-1]
