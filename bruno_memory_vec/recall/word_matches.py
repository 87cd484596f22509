"""How well each word of a question matches each text: exactly, or by a similar word."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.static import StaticEmbedder
from bruno_memory_vec.indexers.forks import free_in_children
from bruno_memory_vec.indexers.text.stopwords import QUESTION_STOPWORDS

#: Words with a lower cosine do not match at all. On LoCoMo's dev split, 0.2 to 0.4 are as good.
ALIKE = 0.3
# Of longer texts only the beginning is read: later parts seldom add a match.
_MAX_CHARS = 2_000
_MAX_PIECES = 64
_PUNCTUATION = "?!.,;:\"'()[]{}<>“”‘’«»…¿¡？！。，、"
# How many texts are cached. The same texts are candidates again and again, and reading one takes 50
# times as long as a look-up. When full, about 5 MB of chat turns, or 40 MB of texts of 2,000
# characters.
_KEPT = 20_000
_kept: OrderedDict[bytes, NDArray[np.int32]] = OrderedDict()
_keeping = Lock()
free_in_children(_keeping)


def word_matches(
    question: str, texts: Sequence[str]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Soft matches by the static embedder's token vectors, and the weight of each word.

    A word here is a piece of the tokenizer's vocabulary. Its match with a text is the
    largest cosine to any of the text's pieces, scaled from :data:`ALIKE` .. 1 to 0..1; the
    same piece gives 1. Its weight is the inverse document frequency among ``texts``, as
    BM25 has it: ``ln(1 + (n - df + 0.5) / (df + 0.5))``. Question words ("what", "did")
    are left out, unless all words are such words.

    Args:
        question: the question.
        texts: n texts.

    Returns:
        float32 (n, t) and float64 (t,).
    """
    embedder = StaticEmbedder()
    words = [_bare(word) for word in question.lower().split()]
    wanted = [word for word in words if word and word not in QUESTION_STOPWORDS] or words
    pieces = embedder.pieces([" ".join(wanted)])[0]
    asked = np.array(list(dict.fromkeys(pieces.tolist()))[:_MAX_PIECES], np.intp)
    if len(asked) == 0 or not texts:
        return np.zeros((len(texts), 0), np.float32), np.zeros(0, np.float64)
    held = _pieces(embedder, [text[:_MAX_CHARS] for text in texts])
    lengths = np.array([len(one) for one in held])
    vocabulary, at = np.unique(np.concatenate(held).astype(np.intp), return_inverse=True)
    cosine = embedder.piece_vectors(asked) @ embedder.piece_vectors(vocabulary).T
    alike = ((cosine - ALIKE) / (1.0 - ALIKE)).clip(0.0, 1.0)
    alike[asked[:, None] == vocabulary[None, :]] = 1.0
    matches = np.zeros((len(texts), len(asked)), np.float32)
    full = np.flatnonzero(lengths)
    starts = np.r_[0, np.cumsum(lengths[full])[:-1]]
    if len(full):
        matches[full] = np.maximum.reduceat(alike[:, at], starts, axis=1).T
    frequency = (matches >= 1.0).sum(axis=0)
    weight = np.log1p((len(texts) - frequency + 0.5) / (frequency + 0.5))
    return matches, weight


def _bare(word: str) -> str:
    """A word without punctuation and without the 's of "what's" and "cat's"."""
    bare = word.strip(_PUNCTUATION).replace("’", "'")
    return bare.removesuffix("'s")


def _pieces(embedder: StaticEmbedder, texts: Sequence[str]) -> list[NDArray[np.int32]]:
    """The pieces of each text, cached by a hash of the text."""
    keys = [
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts
    ]
    with _keeping:
        found = {key: _kept[key] for key in keys if key in _kept}
        for key in found:
            _kept.move_to_end(key)
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
    if missing:
        read = embedder.pieces(list(missing.values()))
        new = {key: pieces.astype(np.int32) for key, pieces in zip(missing, read, strict=True)}
        found.update(new)
        with _keeping:
            _kept.update(new)
            while len(_kept) > _KEPT:
                _kept.popitem(last=False)
    return [found[key] for key in keys]
