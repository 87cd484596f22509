"""Vectors in a Redis, a cache that many processes and machines share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.vector_file import mark_of, whole
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.logs import get_logger

_log = get_logger(__name__)
T = TypeVar("T")

#: The schemes of the URLs of such caches.
SCHEMES = ("redis", "rediss", "unix")
_PREFIX = b"bmv:embedding:"
_A_MONTH = 30 * 86_400
_TIMEOUT = 2.0
_KEYS_AT_ONCE = 500


class VectorRedis:
    """float32 vectors by key, in a Redis; which go first is Redis' setting ``maxmemory-policy``.

    No method raises errors of Redis: a cache that does not answer acts like an empty one. The
    failure is logged as a warning and shown in `health`. Every vector has a checksum over itself
    and its key.

    Args:
        url: ``redis://HOST:6379/1``, ``rediss://`` or ``unix:///path.sock``. ``?ttl=SECONDS`` is
            how long a vector stays after it was last used, a month by default; 0: until it is
            evicted.

    Raises:
        InvalidInputError: the URL is none of these.
        MissingDependencyError: the package redis is not installed.
    """

    def __init__(self, url: str) -> None:
        scheme, separator, rest = url.partition("://")
        if not separator or scheme.lower() not in SCHEMES:
            raise InvalidInputError(
                "embedding_cache",
                f"{masked(url)} names no Redis server",
                fix="Name a folder, redis://HOST:6379/1, rediss:// or unix:///path.sock.",
            )
        place, _, query = rest.partition("?")
        settings = dict(parse_qsl(query))
        text = settings.pop("ttl", str(_A_MONTH))
        if not text.isdecimal():
            raise InvalidInputError(
                "embedding_cache", f"the ttl in {masked(url)} is no number", fix="Give seconds."
            )
        self._ttl = int(text)
        self._shown = masked(url)
        self._problem: str | None = None
        self._damaged = 0
        try:
            import redis
        except ImportError as error:
            raise MissingDependencyError("redis", "redis", cause=error) from error
        self._failures = (redis.RedisError, OSError)
        more = f"?{urlencode(settings)}" if settings else ""
        try:
            self._client: Any = redis.Redis.from_url(
                f"{scheme.lower()}://{place}{more}",
                socket_timeout=_TIMEOUT,
                socket_connect_timeout=_TIMEOUT,
            )
        except (ValueError, TypeError) as error:
            raise InvalidInputError(
                "embedding_cache", f"{self._shown} is no URL of a Redis", fix="Mend it."
            ) from error

    def get(self, keys: Sequence[bytes], dimension: int) -> dict[bytes, NDArray[np.float32]]:
        """The vectors that are stored and undamaged, float32 of shape (dimension,), read-only."""
        found: dict[bytes, NDArray[np.float32]] = {}

        def work() -> dict[bytes, NDArray[np.float32]]:
            for start in range(0, len(keys), _KEYS_AT_ONCE):
                part = keys[start : start + _KEYS_AT_ONCE]
                with self._client.pipeline(transaction=False) as pipeline:
                    for key in part:
                        if self._ttl:
                            pipeline.getex(_PREFIX + key, ex=self._ttl)
                        else:
                            pipeline.get(_PREFIX + key)
                    answers = pipeline.execute()
                for key, answer in zip(part, answers, strict=True):
                    if answer is None:
                        continue
                    mark, vector = answer[:_MARK], answer[_MARK:]
                    if whole(key, mark, vector, dimension):
                        read = np.frombuffer(vector, dtype="<f4")
                        found[key] = read.astype(np.float32, copy=False)
                    else:
                        self._damaged += 1
            return found

        return self._guarded(work, found) if keys else found

    def put(self, vectors: Mapping[bytes, NDArray[np.float32]]) -> None:
        """Store vectors, replacing those with the same keys."""

        def work() -> None:
            named = list(vectors)
            for start in range(0, len(named), _KEYS_AT_ONCE):
                with self._client.pipeline(transaction=False) as pipeline:
                    for key in named[start : start + _KEYS_AT_ONCE]:
                        vector = np.ascontiguousarray(vectors[key], dtype="<f4").tobytes()
                        value = mark_of(key, vector) + vector
                        pipeline.set(_PREFIX + key, value, ex=self._ttl or None)
                    pipeline.execute()

        if vectors:
            self._guarded(work, None)

    def clear(self) -> None:
        """Delete every vector, of all who share this Redis."""

        def work() -> None:
            for key in self._client.scan_iter(match=_PREFIX + b"*", count=_KEYS_AT_ONCE):
                self._client.unlink(key)

        self._guarded(work, None)

    def health(self) -> dict[str, Any]:
        """``url`` without its secrets, ``bytes`` that Redis holds in all, ``damaged``, ``problem``.

        ``max_bytes`` is Redis' own bound (0: none), ``evicts`` what it does when it is reached.
        """

        def work() -> dict[str, Any]:
            memory = self._client.info("memory")
            return {
                "bytes": memory.get("used_memory"),
                "max_bytes": memory.get("maxmemory"),
                "evicts": memory.get("maxmemory_policy"),
            }

        nothing: dict[str, Any] = {}
        figures = self._guarded(work, nothing)
        return {"url": self._shown, **figures, "damaged": self._damaged, "problem": self._problem}

    def close(self) -> None:
        """Close the connections. The next use opens some again."""
        self._client.close()

    def _guarded(self, work: Callable[[], T], otherwise: T) -> T:
        try:
            result = work()
        except self._failures as error:
            problem = f"the embedding cache {self._shown} cannot be used: {error}"
            if self._problem is None:  # logged once, and not at every call
                _log.warning("embedding_cache_unusable", problem=problem)
            self._problem = problem
            return otherwise
        self._problem = None
        return result


_MARK = len(mark_of(b"", b""))
