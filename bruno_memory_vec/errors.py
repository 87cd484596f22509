"""Every error of the package, as one tree.

::

    bruno_core BrunoError
    └── bruno_core MemoryError
        ├── InvalidInputError        a value was refused before anything was written
        │   └── WrongArgumentError   a method has no such argument, or needs one that is not there
        ├── NotFoundError            no such memory or session (or it is another user's)
        ├── ForeignUserError         the conversation or the call belongs to another user
        │   └── NotPermittedError    the view's role, or its access to a space, is too little
        ├── EmbeddingError           an embedder gave no usable vectors
        ├── LLMFailed                a language model raised, took too long, or answered nothing
        ├── MissingDependencyError   an optional package is not installed
        ├── StoreError               the store as a whole cannot be used
        │   ├── NotAStoreError       the folder holds something else, or nothing to read
        │   ├── StoreLockedError     another process (or object) writes to this folder
        │   ├── StoreMovedError      its folder was moved, deleted or replaced while it was open
        │   ├── StoreVersionError    another version wrote the store, in another format
        │   ├── FingerprintError     the store's vectors came from another embedder
        │   ├── EncryptionError      a key is needed, is not needed, or its files are damaged
        │   │   └── WrongKeyError    the key is not the store's
        │   ├── ReadOnlyError        a write was asked of a reader
        │   └── StoreClosedError     the memory was closed
        └── EngineError              an engine failed: names engine, operation and fix
            ├── BackendUnavailable   it cannot be reached, read or written
            └── IndexDamaged         an index on disk cannot be read

Each message ends with what to do about it, which is also in ``error.fix``.
"""

from __future__ import annotations

from typing import Any, Literal

from bruno_core.utils import exceptions as bruno

from bruno_memory_vec.indexers.errors import (
    BackendUnavailable,
    EngineError,
    IndexDamaged,
    sentences,
)

__all__ = [
    "BackendUnavailable",
    "EmbeddingError",
    "EncryptionError",
    "EngineError",
    "FingerprintError",
    "ForeignUserError",
    "IndexDamaged",
    "InvalidInputError",
    "LLMFailed",
    "MissingDependencyError",
    "NotAStoreError",
    "NotFoundError",
    "NotPermittedError",
    "ReadOnlyError",
    "StoreClosedError",
    "StoreError",
    "StoreLockedError",
    "StoreMovedError",
    "StoreVersionError",
    "WrongArgumentError",
    "WrongKeyError",
]


class _MemoryVecError(bruno.MemoryError):
    """Base of our errors: the message says what happened, then what to do."""

    def __init__(
        self,
        problem: str,
        *,
        fix: str,
        details: dict[str, Any] | None = None,
        cause: Exception | None = None,
    ) -> None:
        self.fix = fix
        super().__init__(sentences(problem, fix), details=details, cause=cause)

    def __reduce__(self) -> tuple[Any, ...]:
        # A pool of processes sends errors to its caller, and breaks where one cannot be sent. The
        # cause is another library's, which need not go that way.
        return _made_again, (type(self), self.args, {**self.__dict__, "cause": None})


def _made_again(kind: type[BaseException], args: tuple[Any, ...], known: dict[str, Any]) -> Any:
    made = kind.__new__(kind, *args)
    made.__dict__.update(known)
    return made


def problem_and_fix(error: Exception) -> tuple[str, str]:
    """The problem of an error, without a full stop, and its advice."""
    fix = str(getattr(error, "fix", ""))
    # bruno-core's str() adds the details.
    text = str(getattr(error, "message", error))
    return text.removesuffix(fix).strip().rstrip("."), fix


class InvalidInputError(_MemoryVecError):
    """A value was refused. Nothing was written.

    Attributes:
        field: the parameter or model field at fault.
    """

    def __init__(
        self, field: str, problem: str, *, fix: str, cause: Exception | None = None
    ) -> None:
        self.field = field
        super().__init__(f"{field}: {problem}", fix=fix, cause=cause)


class WrongArgumentError(InvalidInputError, TypeError):
    """A method has no argument of this name, or one that it needs is missing. Nothing was done."""


class NotFoundError(_MemoryVecError):
    """There is no such memory or session for this caller."""


class ForeignUserError(_MemoryVecError):
    """A conversation has one owner, and a user's view serves one user."""


class NotPermittedError(ForeignUserError):
    """The role of a view, or its access to a space, does not grant this. Nothing was done."""


class EmbeddingError(_MemoryVecError):
    """The embedder failed, or gave vectors that cannot be stored."""


class LLMFailed(_MemoryVecError):
    """A language model gave no answer that can be used. Nothing was written.

    Attributes:
        reason: "error" (it raised), "timeout", "empty", "refused", or "malformed" (its answer has
            another form than it was asked for).
        seconds: how long it was waited for.
        cost: what was spent all the same, as in :class:`bruno_memory_vec.llm.Answer`.
    """

    def __init__(
        self,
        reason: Literal["error", "timeout", "empty", "refused", "malformed"],
        problem: str,
        *,
        seconds: float = 0.0,
        cost: float | None = None,
        cause: Exception | None = None,
    ) -> None:
        self.reason = reason
        self.seconds = seconds
        self.cost = cost
        super().__init__(
            f"the language model {problem}",
            fix="Ask again later, or check the model and its settings.",
            cause=cause,
        )


class MissingDependencyError(_MemoryVecError):
    """An optional package is not installed.

    Attributes:
        package: the missing distribution.
        extra: the extra of ``bruno-memory-vec`` that installs it.
    """

    def __init__(self, package: str, extra: str, *, cause: Exception | None = None) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"the package {package!r} is not installed",
            fix=f'Run: pip install "bruno-memory-vec[{extra}]"',
            cause=cause,
        )


class StoreError(_MemoryVecError):
    """The store as a whole cannot be used."""


class NotAStoreError(StoreError):
    """The folder is not a store of ours; nothing in it was touched."""


class StoreLockedError(StoreError):
    """Another writer holds the folder's lock. The message names it."""


class StoreMovedError(StoreError):
    """The folder of an open store was moved, deleted or replaced; nothing was written there."""


class StoreVersionError(StoreError):
    """The store has another format than this version reads. The message names both."""


class FingerprintError(StoreError):
    """The store's vectors came from another embedder. The message names both."""


class EncryptionError(StoreError):
    """The store is encrypted and no key was given, or the other way round; or a key is gone."""


class WrongKeyError(EncryptionError):
    """The key is not the store's. Nothing of it was read."""


class ReadOnlyError(StoreError):
    """A write was asked of a memory that was opened with ``read_only=True``."""


class StoreClosedError(StoreError):
    """The memory was closed. Open it again."""
