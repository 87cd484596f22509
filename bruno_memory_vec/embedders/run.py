"""Calls an embedder and checks the vectors that it returns."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import EMBED_KINDS, Embedder, EmbedKind, Fingerprint
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError, MissingDependencyError

# Rounding of float32 sums over a few thousand dimensions is far below this; the norms of a model
# that does not normalise are far above.
_NORM_TOLERANCE = 1e-3


# How long a slow model on a slow machine takes for a text.
_SECONDS_A_TEXT = 0.5


async def fingerprint_of(embedder: Embedder) -> Fingerprint:
    """The embedder's fingerprint, read in a thread: reading it may load a model.

    Raises:
        EmbeddingError: it could not be read.
        MissingDependencyError: the embedder's package is not installed.
    """
    return await asyncio.to_thread(_fingerprint, embedder)


async def embed_texts(
    embedder: Embedder,
    texts: Sequence[str],
    kind: EmbedKind = "document",
    timeout: float | None = None,
) -> NDArray[np.float32]:
    """Embed texts without blocking the event loop, and check the vectors.

    A plain `embed` runs in a thread, an async one is awaited. Where the fingerprint
    says that vectors are normalised, rows whose norm is off by more than 1e-3 are
    divided by it: many models leave that to their caller, and the direction is all
    that cosine similarity uses. Rows of zeros stay as they are.

    Args:
        embedder: the embedder.
        texts: the texts. With none, the embedder is not called.
        kind: "document" for text to be stored, "query" for a question.
        timeout: how long it may take, in seconds, plus half a second for each text. None: no
            limit. A call in a thread cannot be stopped; it runs on after the timeout.

    Returns:
        Shape (len(texts), dimension), float32, C-contiguous.

    Raises:
        InvalidInputError: `texts` or `kind` is not what it should be.
        EmbeddingError: the embedder failed (its exception is the cause), or gave the wrong
            number of vectors, the wrong dimension, or values that are not finite, or took longer
            than ``timeout``.
        MissingDependencyError: the embedder's package is not installed.
    """
    _check_input(texts, kind)
    if timeout is None:
        return await _embed(embedder, texts, kind)
    allowed = timeout + _SECONDS_A_TEXT * len(texts)
    try:
        return await asyncio.wait_for(_embed(embedder, texts, kind), allowed)
    except asyncio.TimeoutError as error:
        raise EmbeddingError(
            f"the embedder {type(embedder).__name__} gave no answer in {allowed:g} s",
            fix="Nothing was stored. Check its provider, or raise embed_timeout.",
            cause=error,
        ) from error


async def _embed(embedder: Embedder, texts: Sequence[str], kind: EmbedKind) -> NDArray[np.float32]:
    if not texts:
        return np.zeros((0, (await fingerprint_of(embedder)).dimension), dtype=np.float32)
    if not inspect.iscoroutinefunction(embedder.embed):
        # Fingerprint, vectors and check in one thread call, which costs as much as embedding a
        # question with the static embedder.
        expected, result = await asyncio.to_thread(_call, embedder, texts, kind)
        if not inspect.isawaitable(result):
            return cast("NDArray[np.float32]", result)
    else:
        expected = await fingerprint_of(embedder)
        with _named(expected, kind):  # a method with other arguments raises at once
            result = embedder.embed(texts, kind=kind)
    ended = await _ended(result)
    with _named(expected, kind):
        vectors = ended.result()
    # In a thread, because converting a thousand lists of floats takes tens of milliseconds.
    return await asyncio.to_thread(checked_vectors, vectors, len(texts), expected)


async def _ended(result: Awaitable[Any]) -> asyncio.Future[Any]:
    """Wait until an awaitable has ended in any way. It is cancelled only with the caller."""
    # A separate task: if it were awaited directly, a CancelledError that it raises itself would
    # look like a cancellation of the caller, and stop the writer.
    task = asyncio.ensure_future(result)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log it
        raise
    return task


def is_light(embedder: Embedder) -> bool:
    """Whether embedding a question takes less time than switching to another thread.

    An embedder declares it by a true attribute ``light``. An async embedder is never light, because
    it may wait.
    """
    light = getattr(embedder, "light", False) is True
    return light and not inspect.iscoroutinefunction(embedder.embed)


def embed_here(
    embedder: Embedder, texts: Sequence[str], kind: EmbedKind = "document"
) -> NDArray[np.float32]:
    """The same as :func:`embed_texts`, on this thread, for an embedder that :func:`is_light`."""
    _check_input(texts, kind)
    _, vectors = _call(embedder, texts, kind)
    return cast("NDArray[np.float32]", vectors)


def checked_vectors(result: Any, count: int, expected: Fingerprint) -> NDArray[np.float32]:
    """An embedder's vectors, checked and converted to the form that is stored.

    Args:
        result: an array, or a sequence of vectors.
        count: how many vectors there should be.
        expected: the fingerprint they should agree with.

    Returns:
        Shape (count, expected.dimension), float32, C-contiguous, a copy: an embedder may
        use its buffer again.

    Raises:
        EmbeddingError: they do not agree; the message says in what.
    """
    array = _to_array(result, expected)
    if array.ndim != 2 or array.shape[0] != count:
        got = f"{array.shape[0]} vectors" if array.ndim == 2 else f"an array of shape {array.shape}"
        raise _refused(
            expected,
            f"gave {got} for {count} texts",
            "embed() must return one row for each text, in the same order.",
        )
    if array.shape[1] != expected.dimension:
        raise _refused(
            expected,
            f"gave vectors of dimension {array.shape[1]}, "
            f"its fingerprint says {expected.dimension}",
            "Make the two agree; a store keeps the dimension it was created with.",
        )
    finite = np.isfinite(array).all(axis=1)
    if not finite.all():
        bad = np.flatnonzero(~finite)
        raise _refused(
            expected,
            f"gave NaN or infinite values for {len(bad)} of {count} texts, first text {bad[0]}",
            "embed() must return finite numbers; give zeros for a text it cannot embed.",
        )
    if expected.normalized:
        _normalise(array)
    return array


def _call(embedder: Embedder, texts: Sequence[str], kind: EmbedKind) -> tuple[Fingerprint, Any]:
    """Checked vectors, or the awaitable that a plain `embed` returned."""
    expected = _fingerprint(embedder)
    with _named(expected, kind):
        result: Any = embedder.embed(texts, kind=kind)
    if not inspect.isawaitable(result):
        result = checked_vectors(result, len(texts), expected)
    return expected, result


@contextmanager
def _named(expected: Fingerprint, kind: EmbedKind) -> Iterator[None]:
    """Whatever an embedder raises becomes an EmbeddingError that names the embedder."""
    try:
        yield
    except (EmbeddingError, InvalidInputError, MissingDependencyError):
        raise
    except (Exception, asyncio.CancelledError) as error:
        # This code is never cancelled, so a CancelledError comes from the embedder itself.
        own = isinstance(error, asyncio.CancelledError)
        raise EmbeddingError(
            f"the embedder {expected.name!r} raised {type(error).__name__}: "
            f"{'nobody had cancelled it' if own else error}",
            fix=f"Nothing was stored. Fix its embed() for kind={kind!r}, or try again.",
            details={"embedder": expected.name, "kind": kind},
            cause=error if isinstance(error, Exception) else None,
        ) from error


def _check_input(texts: Sequence[str], kind: str) -> None:
    # By the set of their types, because a check of ten thousand texts would block the event loop.
    if isinstance(texts, (str, bytes)) or not all(
        issubclass(t, str) for t in set(map(type, texts))
    ):
        raise InvalidInputError(
            "texts", "expected a sequence of str", fix="Pass a list of texts, even for one."
        )
    if kind not in EMBED_KINDS:
        raise InvalidInputError(
            "kind", f"{kind!r} is not known", fix=f"Use one of {', '.join(EMBED_KINDS)}."
        )


def _fingerprint(embedder: Embedder) -> Fingerprint:
    try:
        fingerprint: Any = embedder.fingerprint
    except (EmbeddingError, InvalidInputError, MissingDependencyError):
        raise
    except (Exception, asyncio.CancelledError) as error:
        raise EmbeddingError(
            f"the fingerprint of {type(embedder).__name__} could not be read: "
            f"{str(error) or type(error).__name__}",
            fix="Check that its model can be loaded.",
            cause=error if isinstance(error, Exception) else None,
        ) from error
    if not isinstance(fingerprint, Fingerprint):
        raise EmbeddingError(
            f"the fingerprint of {type(embedder).__name__} is a {type(fingerprint).__name__}",
            fix="Make `fingerprint` a property that returns an embedders.Fingerprint.",
        )
    return fingerprint


def _to_array(result: Any, expected: Fingerprint) -> NDArray[np.float32]:
    """float32 of whatever was given, still of any shape."""
    try:
        if isinstance(result, (list, tuple)):
            # Row by row, so that the interpreter can switch threads in between.
            rows = [np.asarray(row) for row in result]
            if not rows or len({row.shape for row in rows}) > 1:
                raise ValueError(f"shapes {sorted({row.shape for row in rows})}")
            given = np.stack(rows)
        else:
            given = np.asarray(result)
        if given.dtype.kind not in "fiub":
            raise TypeError(f"dtype {given.dtype}")
        with np.errstate(
            over="ignore"
        ):  # too large for float32 becomes inf, which is refused later
            return np.array(given, dtype=np.float32, order="C")
    except Exception as error:  # whatever a foreign array type raises
        raise _refused(
            expected,
            f"gave {type(result).__name__}, which is no array of numbers ({error})",
            "embed() must return a float32 array of shape (number of texts, dimension).",
            error,
        ) from error


def _normalise(array: NDArray[np.float32]) -> None:
    """Divide rows by their norm where it is off, in place."""
    # float64: the square of a large float32 overflows, that of a tiny one vanishes.
    norms = np.sqrt(np.einsum("ij,ij->i", array, array, dtype=np.float64))
    off = (np.abs(norms - 1.0) > _NORM_TOLERANCE) & (norms > 0.0)
    if off.any():
        array[off] = array[off] / norms[off, None]


def _refused(
    expected: Fingerprint, problem: str, fix: str, cause: Exception | None = None
) -> EmbeddingError:
    return EmbeddingError(
        f"the embedder {expected.name!r} {problem}",
        fix=fix,
        details={"embedder": expected.name, "dimension": expected.dimension},
        cause=cause,
    )
