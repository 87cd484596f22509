"""The default embedder: the mean of static token vectors. It needs only numpy and tokenizers.

The token vectors were distilled from two sentence encoders once, an English and a multilingual one,
by ``scripts/distill_static.py`` and ``scripts/add_languages.py``, and are in ``weights/``. A text's
vector is the mean of its tokens' vectors, which already carry a weight by how common the token is
(Arora et al., "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", 2017).
"""

from __future__ import annotations

import importlib.resources
import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.known_letters import KnownLetters
from bruno_memory_vec.embedders.protocol import EmbedKind, Fingerprint, WordWeights
from bruno_memory_vec.embedders.unigram import Unigram
from bruno_memory_vec.embedders.word_pieces import WordPieces
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError
from bruno_memory_vec.indexers.forks import free_in_children

if TYPE_CHECKING:
    import sys

    from tokenizers import Tokenizer

    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable


#: The longest text that is read whole, in characters: about ten thousand words, far more than one
#: vector can represent. It bounds the time for a text to a few hundredths of a second.
MAX_CHARS = 65_536
# Of a longer text, this many evenly spread slices are read, so that its end counts too.
_SLICES = 16
#: The pieces of other languages' words, beside the tokenizer of one language: by piece the natural
#: logarithm of its probability. Their rows follow those of the tokenizer, in this order.
OTHERS = "others.json"

# Work is done in blocks, so that memory does not grow with the batch: a token takes some
# hundred bytes while it is an `Encoding`, and 1 kB while its row is float32.
_CHARS_PER_BLOCK = 250_000
_TEXTS_PER_BLOCK = 256
_TOKENS_PER_BLOCK = 4_096

_SURROGATE = re.compile("[\ud800-\udfff]")


class StaticEmbedder:
    """Mean of static token vectors, normalised.

    Queries and documents are embedded alike. The same text gives the same bits
    whatever else is in its batch. All instances of one folder share one copy of the
    weights (about 25 MB), loaded at first use.

    Args:
        folder: a folder written by ``scripts/distill_static.py``; by default the weights
            that the package carries.

    Raises:
        InvalidInputError: the folder's name is none that a file system takes.
    """

    #: See :func:`bruno_memory_vec.embedders.run.is_light`.
    light = True

    def __init__(self, folder: str | Path | None = None) -> None:
        self._folder = None if folder is None else str(_resolved(folder))

    @property
    def fingerprint(self) -> Fingerprint:
        """Read from ``weights.json``; loads no vectors.

        Raises:
            EmbeddingError: the folder holds no weights.
        """
        return _fingerprint(self._folder)

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        """One unit vector a text; zeros where no token is known (or there is no text).

        A text longer than `MAX_CHARS` characters is represented by 16 evenly spread
        slices of it. Lone surrogates are read as unknown characters.

        Returns:
            Shape (len(texts), dimension), float32.

        Raises:
            EmbeddingError: the weights are missing or damaged.
        """
        weights = _weights(self._folder)
        out = np.zeros((len(texts), weights.rows.shape[1]), dtype=np.float32)
        for first, block in _blocks(texts):
            _sum_tokens(weights, weights.pieces.ids(block), out[first : first + len(block)])
        # Turns -0.0 into 0.0, so that equal texts give equal bits.
        out += np.float32(0)
        norms = np.sqrt(np.einsum("ij,ij->i", out, out))[:, None]
        np.divide(out, norms, out=out, where=norms > 0)
        return out

    def embed_weighted(self, text: str, weigh: WordWeights) -> NDArray[np.float32]:
        """As of :class:`~bruno_memory_vec.embedders.protocol.WeighsWords`.

        Raises:
            EmbeddingError: the weights are missing or damaged.
        """
        weights = _weights(self._folder)
        words = weights.pieces.by_word(_readable(text))
        weight = dict.fromkeys(word for word, _ in words)
        weight = dict(zip(weight, weigh(list(weight)).tolist(), strict=True))
        ids = np.array([one for _, ids in words for one in ids], np.intp)
        factor = np.array([weight[word] for word, ids in words for _ in ids], np.float32)
        out = (weights.scales[ids] * factor) @ weights.rows[ids].astype(np.float32)
        norm = float(np.linalg.norm(out))
        unit: NDArray[np.float32] = (out / norm if norm > 0 else out).astype(np.float32)
        return unit

    def known_share(self, text: str) -> float:
        """As of :class:`~bruno_memory_vec.embedders.protocol.KnowsShare`: of the letters.

        Raises:
            EmbeddingError: the weights are missing or damaged.
        """
        if text.isascii():
            # Every vocabulary has these letters, and this is nearly every question.
            return 1.0
        return _known_letters(self._folder).share(_readable(text))

    def pieces(self, texts: Sequence[str]) -> list[NDArray[np.intp]]:
        """The known tokens of each text, as indices into the vocabulary; many at once is faster.

        Raises:
            EmbeddingError: the weights are missing or damaged.
        """
        weights = _weights(self._folder)
        cut = weights.pieces.ids([_readable(text) for text in texts])
        ids = [np.array(one, dtype=np.intp) for one in cut]
        # What nobody knows has a vector of zeros.
        return [one[weights.scales[one] > 0] for one in ids]

    def piece_vectors(self, pieces: NDArray[np.intp]) -> NDArray[np.float32]:
        """The tokens' own vectors, float32 (len(pieces), dimension), of unit norm."""
        rows = _weights(self._folder).rows[pieces].astype(np.float32)
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
        np.divide(rows, norms, out=rows, where=norms > 0)
        return rows

    def __repr__(self) -> str:
        return f"StaticEmbedder({self._folder!r})" if self._folder else "StaticEmbedder()"


@dataclass(frozen=True, slots=True)
class _Weights:
    rows: NDArray[np.int8]  # (tokens, dimension)
    scales: NDArray[np.float32]  # (tokens,): a token's vector is its row times its scale
    tokenizer: Tokenizer
    pieces: WordPieces


def _blocks(texts: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Texts made safe for the tokenizer, in blocks: (index of the first, the block)."""
    block: list[str] = []
    chars = 0
    for index, text in enumerate(texts):
        if len(text) > MAX_CHARS or not text.isascii():
            text = _readable(text)
        if block and (chars + len(text) > _CHARS_PER_BLOCK or len(block) == _TEXTS_PER_BLOCK):
            yield index - len(block), block
            block, chars = [], 0
        block.append(text)
        chars += len(text)
    if block:
        yield len(texts) - len(block), block


def _readable(text: str) -> str:
    if len(text) > MAX_CHARS:
        width = MAX_CHARS // _SLICES
        step = (len(text) - width) / (_SLICES - 1)
        starts = (round(step * i) for i in range(_SLICES))
        text = " ".join(text[start : start + width] for start in starts)
    if not text.isascii() and _SURROGATE.search(text):
        # Joins surrogate pairs that stand for one character; a lone one becomes U+FFFD.
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _sum_tokens(
    weights: _Weights, texts: Sequence[Sequence[int]], out: NDArray[np.float32]
) -> None:
    """Put the sum of each text's token vectors, which has the direction of their mean, into `out`.

    One product of scales and rows for each text is faster than `np.add.reduceat` over the scaled
    rows of a whole batch, and does not depend on the batch.
    """
    start = 0
    while start < len(texts):
        stop, tokens = start + 1, len(texts[start])
        while stop < len(texts) and tokens + len(texts[stop]) <= _TOKENS_PER_BLOCK:
            tokens += len(texts[stop])
            stop += 1
        if tokens > _TOKENS_PER_BLOCK:
            _sum_long(weights, np.array(texts[start], dtype=np.intp), out[start])
        else:
            ids = np.fromiter(chain.from_iterable(texts[start:stop]), np.intp, tokens)
            rows, scales = weights.rows[ids].astype(np.float32), weights.scales[ids]
            first = 0
            for text, row in zip(texts[start:stop], out[start:stop], strict=True):
                last = first + len(text)
                np.matmul(scales[first:last], rows[first:last], out=row)
                first = last
        start = stop
        if start < len(texts):
            time.sleep(0)  # gives the event loop's thread a chance to run


def _sum_long(weights: _Weights, ids: NDArray[np.intp], out: NDArray[np.float32]) -> None:
    for start in range(0, len(ids), _TOKENS_PER_BLOCK):
        part = ids[start : start + _TOKENS_PER_BLOCK]
        out += weights.scales[part] @ weights.rows[part].astype(np.float32)


@lru_cache(maxsize=4)
def _fingerprint(folder: str | None) -> Fingerprint:
    about = _about(folder)
    # With the hash, a rerun of the script that gives other vectors is another version.
    version = f"{about['version']}-{about['files']['rows.npy']['sha256'][:8]}"
    return Fingerprint(name=about["name"], version=version, dimension=about["dimension"])


_loading = Lock()
free_in_children(_loading)


def _weights(folder: str | None) -> _Weights:
    # Without the lock, concurrent threads would each load a copy.
    with _loading:
        return _load(folder)


@lru_cache(maxsize=4)
def _load(folder: str | None) -> _Weights:
    from tokenizers import Tokenizer  # 30 ms, paid at first use

    about = _about(folder)
    try:
        with _place(folder).joinpath("rows.npy").open("rb") as file:
            rows = np.load(file)
        with _place(folder).joinpath("scales.npy").open("rb") as file:
            scales = np.load(file).astype(np.float32)
        tokenizer = Tokenizer.from_buffer(_place(folder).joinpath("tokenizer.json").read_bytes())
        pieces, count = WordPieces(tokenizer), tokenizer.get_vocab_size()
        if OTHERS in about["files"]:
            others = Unigram(json.loads(_place(folder).joinpath(OTHERS).read_bytes()))
            pieces, count = WordPieces(tokenizer, others), count + len(others)
    except Exception as error:  # tokenizers raises plain Exception
        raise _damaged(folder, error) from error
    if rows.shape != (count, about["dimension"]) or rows.dtype != np.int8:
        raise _damaged(folder, ValueError(f"rows.npy is {rows.dtype} {rows.shape}"))
    if scales.shape != (len(rows),):
        raise _damaged(folder, ValueError(f"scales.npy has shape {scales.shape}"))
    return _Weights(rows, scales, tokenizer, pieces)


@lru_cache(maxsize=4)
def _known_letters(folder: str | None) -> KnownLetters:
    return KnownLetters(_weights(folder).pieces.vocabulary())


def _about(folder: str | None) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads(
            _place(folder).joinpath("weights.json").read_text(encoding="utf-8")
        )
        _ = about["name"], about["version"], about["dimension"], about["files"]["rows.npy"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error
    return about


def _resolved(folder: str | Path) -> Path:
    try:
        return Path(folder).resolve()
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        # A NUL or a lone surrogate in it, a link that leads to itself, no text.
        raise InvalidInputError(
            "folder", f"{folder!r} names no folder: {error}", fix="Name a folder.", cause=error
        ) from error


def _place(folder: str | None) -> Traversable:
    if folder is not None:
        return Path(folder)
    return importlib.resources.files("bruno_memory_vec.embedders").joinpath("weights")


def _damaged(folder: str | None, error: Exception) -> EmbeddingError:
    where = "the package" if folder is None else folder
    return EmbeddingError(
        f"the static embedder's weights in {where} cannot be read: {error}",
        fix="Reinstall bruno-memory-vec."
        if folder is None
        else "Give a folder written by scripts/distill_static.py.",
        cause=error,
    )
