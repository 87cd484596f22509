"""An embedder with a cache of its vectors, on disk or in a Redis that processes share."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import os
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.bruno import BrunoEmbedder
from bruno_memory_vec.embedders.protocol import Embedder, EmbedKind, Fingerprint, KnowsShare
from bruno_memory_vec.embedders.run import checked_vectors
from bruno_memory_vec.embedders.vector_file import VectorFile
from bruno_memory_vec.embedders.vector_redis import VectorRedis
from bruno_memory_vec.errors import InvalidInputError

#: Default bound of a cache: about 300,000 vectors of 384 dimensions.
MAX_BYTES = 512 * 2**20
_MIN_BYTES = 2**20


class CachedEmbedder:
    """Embeds by `inner` what is not in the cache, and caches the result.

    The key is made of the embedder's fingerprint, the kind (prompts differ) and the text. The file
    holds hashes instead of texts, but vectors reveal much about their texts: protect the folder
    like the store, and `clear` it when texts have to be forgotten. Several embedders and several
    processes may share a folder on a local disk.

    If the cache is damaged, full or locked, texts are embedded again and no error is raised; the
    problem is logged as a warning and shown in `health`. Vectors of zeros are not cached, so that
    a provider's temporary failure does not stay.

    An embedder whose vectors are rounded differently under the same fingerprint may have a str
    attribute ``variant``, which becomes part of the key.

    Args:
        inner: the embedder, sync or async. A fast one such as `StaticEmbedder` gains nothing.
        folder: where the cache's file is; made at the first use. Or the URL of a Redis
            (:mod:`bruno_memory_vec.embedders.vector_redis`), which many machines can share.
        max_bytes: bound of the file's size. The least recently used vectors are evicted first. A
            Redis has a bound of its own (``maxmemory``).

    Raises:
        InvalidInputError: `folder` is not usable as one, or `max_bytes` is below 1 MiB.
    """

    def __init__(self, inner: Embedder, folder: str | Path, *, max_bytes: int = MAX_BYTES) -> None:
        if not isinstance(max_bytes, int) or max_bytes < _MIN_BYTES:
            raise InvalidInputError(
                "max_bytes", f"is {max_bytes!r}", fix=f"Give at least {_MIN_BYTES} bytes (1 MiB)."
            )
        self._inner = inner
        self._file: VectorFile | VectorRedis
        if is_url(folder):
            self._file = VectorRedis(str(folder))
        else:
            self._file = VectorFile(cache_folder(folder), max_bytes)
        self._counting = Lock()
        self._hits = 0
        self._misses = 0

    @property
    def inner(self) -> Embedder:
        """The embedder of what is not in the cache."""
        return self._inner

    @property
    def fingerprint(self) -> Fingerprint:
        """That of `inner`, whose vectors these are. Reading it may load a model."""
        return self._inner.fingerprint

    def embed(
        self, texts: Sequence[str], *, kind: EmbedKind = "document"
    ) -> NDArray[np.float32] | Awaitable[NDArray[np.float32]]:
        """One vector for each text. `inner` gets all missing texts in one call, each text once.

        Returns:
            Shape (len(texts), dimension), float32; an awaitable of it where `inner` is async.

        Raises:
            EmbeddingError: `inner` gave vectors that disagree with its fingerprint.
                What `inner` raises passes through. Nothing is kept then.
        """
        if inspect.iscoroutinefunction(self._inner.embed):
            return self._embed_async(texts, kind)
        asked = self._look_up(texts, kind)
        if not asked.missing:
            return asked.vectors
        given: Any = self._inner.embed(asked.texts, kind=kind)
        if inspect.isawaitable(given):
            return self._complete_later(asked, given)
        return self._complete(asked, given)

    def known_share(self, text: str) -> float:
        """That of `inner`; 1 where it cannot tell."""
        return self._inner.known_share(text) if isinstance(self._inner, KnowsShare) else 1.0

    def health(self) -> dict[str, Any]:
        """Figures of the cache.

        Returns:
            ``folder``, ``vectors``, ``bytes``, ``max_bytes``; ``hits`` and ``misses`` of this
            object, in texts; ``damaged``, how many files it gave up; ``problem``, None or why
            it cannot be used now.
        """
        with self._counting:
            counts = {"hits": self._hits, "misses": self._misses}
        return {**self._file.health(), **counts}

    @property
    def lookups(self) -> tuple[int, int]:
        """How many texts were found, and how many were not."""
        with self._counting:
            return self._hits, self._misses

    def clear(self) -> None:
        """Delete all vectors, including those of other embedders in the folder."""
        self._file.clear()

    def close(self) -> None:
        """Close the file. The next call opens it again."""
        self._file.close()

    def __repr__(self) -> str:
        return f"CachedEmbedder({self._inner!r})"

    async def _embed_async(self, texts: Sequence[str], kind: EmbedKind) -> NDArray[np.float32]:
        asked = await asyncio.to_thread(self._look_up, texts, kind)
        if not asked.missing:
            return asked.vectors
        given = cast("Awaitable[Any]", self._inner.embed(asked.texts, kind=kind))
        return await self._complete_later(asked, given)

    async def _complete_later(self, asked: _Asked, given: Awaitable[Any]) -> NDArray[np.float32]:
        vectors = await given
        return await asyncio.to_thread(self._complete, asked, vectors)

    def _look_up(self, texts: Sequence[str], kind: EmbedKind) -> _Asked:
        fingerprint = self.fingerprint
        space = _space(fingerprint, kind, str(getattr(self._inner, "variant", "")))
        vectors = np.zeros((len(texts), fingerprint.dimension), dtype=np.float32)
        where: dict[bytes, list[int]] = {}
        for index, text in enumerate(texts):
            where.setdefault(_key(space, text), []).append(index)
        found = self._file.get(list(where), fingerprint.dimension)
        for key, vector in found.items():
            vectors[where[key]] = vector
        missing = {key: places for key, places in where.items() if key not in found}
        with self._counting:
            self._misses += len(missing)
            self._hits += len(texts) - len(missing)
        first = [texts[places[0]] for places in missing.values()]
        return _Asked(fingerprint, vectors, missing, first)

    def _complete(self, asked: _Asked, given: Any) -> NDArray[np.float32]:
        vectors = checked_vectors(given, len(asked.texts), asked.fingerprint)
        for places, vector in zip(asked.missing.values(), vectors, strict=True):
            asked.vectors[places] = vector
        pairs = zip(asked.missing, vectors, strict=True)
        self._file.put({key: vector for key, vector in pairs if vector.any()})
        return asked.vectors


def is_url(place: str | Path) -> bool:
    """Whether a cache is a server's, and no folder."""
    return isinstance(place, str) and "://" in place


def cache_folder(folder: str | Path) -> Path:
    """The folder of a cache, ``~`` resolved; it need not exist.

    Raises:
        InvalidInputError: it is empty, is no name of a folder, or a file stands in its place.
    """
    text = str(folder)
    try:
        usable = bool(text.strip()) and b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # a lone surrogate
        usable = False
    if not usable:
        raise InvalidInputError(
            "embedding_cache", f"{text!r} names no folder", fix="Name a folder, or leave it out."
        )
    path = Path(text).expanduser()
    if next((place for place in (path, *path.parents) if place.exists()), path).is_file():
        raise InvalidInputError(
            "embedding_cache", f"{path} is, or lies in, a file", fix="Name a folder."
        )
    return path


async def close_cache(embedder: Embedder) -> None:
    """Close the file of an embedder's cache, and the connections that were opened for it."""
    if isinstance(embedder, CachedEmbedder):
        await asyncio.to_thread(embedder.close)
        embedder = embedder.inner
    if isinstance(embedder, BrunoEmbedder):
        await embedder.close()


async def cache_health(embedder: Embedder) -> dict[str, Any] | None:
    """Figures of an embedder's cache; None where it has none."""
    if isinstance(embedder, CachedEmbedder):
        return await asyncio.to_thread(embedder.health)
    return None


@dataclass(frozen=True, slots=True)
class _Asked:
    """The state of a call: the cached vectors, and what has to be embedded."""

    fingerprint: Fingerprint
    vectors: NDArray[np.float32]  # (texts, dimension); rows of `missing` are to be filled
    missing: dict[bytes, list[int]]  # key -> the rows of `vectors` with this text
    texts: list[str]  # one for each key of `missing`


def _space(fingerprint: Fingerprint, kind: EmbedKind, variant: str) -> bytes:
    """A hash of 32 bytes of the fingerprint, the kind and the variant."""
    whose = json.dumps([fingerprint.to_dict(), kind, variant], sort_keys=True)
    return hashlib.blake2b(whose.encode("utf-8"), digest_size=32).digest()


def _key(space: bytes, text: str) -> bytes:
    # surrogatepass, so that texts with different lone surrogates have different keys.
    return hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), key=space, digest_size=32
    ).digest()
