"""The engines of a store, and the deployment that opens them, chosen by the scheme of the URL.

A deployment is a class with :class:`Deployment`'s methods. It is registered as an entry point of
the group ``bruno_memory_vec.deployments`` whose name is the scheme (``folder`` for a path without
one). This package has ``folder`` and ``memory``; another package adds ``mine://`` by an entry point
in its own ``pyproject.toml``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.cache import CachedIndex
from bruno_memory_vec.indexers.checked import CheckedIndex
from bruno_memory_vec.indexers.protocols import LexicalIndex, RowIndex, UserVersions
from bruno_memory_vec.indexers.text.analysis import LANGUAGES, Analyser, analyser
from bruno_memory_vec.indexers.user_files.files import UserFiles
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.plugins import Plugins
from bruno_memory_vec.sessions.protocol import SessionStore
from bruno_memory_vec.store.manifest import scheme_of
from bruno_memory_vec.store.place import Place
from bruno_memory_vec.store.record import UpkeepRecord
from bruno_memory_vec.writing.lease import WriterLease
from bruno_memory_vec.writing.projections import Problem, Progress

_log = get_logger(__name__)

GROUP = "bruno_memory_vec.deployments"
#: The name of the deployment of a path without a scheme, and of ``file://``.
FOLDER = "folder"

_DEPLOYMENTS = Plugins(
    GROUP,
    field="url",
    what="deployment",
    ours={
        FOLDER: "bruno_memory_vec.store.local:LocalFolder",
        "memory": "bruno_memory_vec.store.in_memory:InMemory",
        "qdrant": "bruno_memory_vec.store.qdrant:Qdrant",
        "qdrants": "bruno_memory_vec.store.qdrant:Qdrant",
        "qdrant+local": "bruno_memory_vec.store.qdrant:Qdrant",
    },
)
#: Object stores, which LanceDB itself can read and write.
_OBJECT_STORES = ("s3", "gs", "gcs", "az", "azure", "abfs", "abfss", "oss", "hf", "db")
_DEFAULT_LANGUAGE = "english"


@dataclass(slots=True)
class Parts:
    """The engines of an open store.

    Attributes:
        rows: the rows and their vectors.
        lexical: the lexical index; None where the rows search text themselves (``SearchesText``).
        sessions: sessions, owners, hot context.
        lease: the right to write; None for a reader.
        record: where upkeep is recorded for other processes; None for a store in memory.
        place: where its files are; None for a store in memory.
    """

    rows: RowIndex
    lexical: LexicalIndex | None
    sessions: SessionStore
    lease: WriterLease | None
    record: UpkeepRecord | None = None
    place: Place | None = None


class Deployment(Protocol):
    """Opens the engines of stores of one kind."""

    #: The schemes of its URLs.
    schemes: tuple[str, ...]

    async def open(
        self, config: MemoryConfig, made_by: Fingerprint, progress: Progress | None
    ) -> Parts:
        """Open the engines of the store that ``config.url`` names, or make it.

        If it fails, nothing stays open or locked.

        Args:
            config: the settings.
            made_by: the fingerprint of the embedder; the store must have the same.
            progress: called with the progress of long work.

        Raises:
            StoreError: there is no store, it is locked, or another embedder made it.
            EngineError: an engine cannot be opened.
            InvalidInputError: the URL or a setting is not usable.
        """
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """How a store was made.

    Attributes:
        fingerprint: the embedder of its vectors.
        language: the stemmer of its words, as the setting ``language`` has it: "none" for no
            stemming, None where that is not known.
    """

    fingerprint: Fingerprint
    language: str | None


@runtime_checkable
class TellsHowMade(Protocol):
    """A deployment that tells how a store was made before it is opened.

    So a copy or a diagnosis opens a store without loading its embedder. Of another deployment the
    embedder has to be named.
    """

    async def made(self, config: MemoryConfig) -> Made | None:
        """How the store that ``config.url`` names was made; None where there is none yet.

        It makes and changes nothing.

        Raises:
            StoreError: there is something else, or a store of another version.
            EngineError: it cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class SecondRows:
    """A place for a store's rows with the vectors of another embedder.

    Attributes:
        rows: an index there, beside the store's own. It has what an earlier, stopped move has left.
        switch: makes it the store's rows from now on, in one step. Nobody writes meanwhile.
    """

    rows: RowIndex
    switch: Callable[[], Awaitable[None]]


@runtime_checkable
class Reembeds(Protocol):
    """A deployment whose stores can be moved to another embedder, one that is no folder's."""

    async def second_rows(
        self, config: MemoryConfig, rows: RowIndex, made_by: Fingerprint
    ) -> SecondRows:
        """A place for the rows of an open store with vectors of another embedder.

        Args:
            config: the settings of the store.
            rows: its rows, as :meth:`Deployment.open` gave them.
            made_by: the fingerprint of the other embedder.
        """
        ...

    async def drop_others(self, config: MemoryConfig) -> None:
        """Remove every place but that of the store's rows. The store is closed."""
        ...


@runtime_checkable
class Diagnoses(Protocol):
    """A deployment that tells what its server lacks, for ``doctor``."""

    async def diagnose(self, config: MemoryConfig) -> list[Problem]:
        """What the server of ``config.url`` lacks, and what hinders the store. Empty if nothing.

        It makes and changes nothing.

        Raises:
            StoreError: there is no store, or another's.
            EngineError: the server does not answer.
        """
        ...


def deployment_of(url: str) -> Deployment:
    """The deployment of a URL. For a path or ``file://`` it is the folder.

    Raises:
        InvalidInputError: none is installed for its scheme.
    """
    scheme = scheme_of(url)
    try:
        if scheme == FOLDER:  # the name of an entry point, and of no scheme
            raise LookupError(scheme)
        name = FOLDER if scheme in (None, "file") else scheme
        return cast("Deployment", _DEPLOYMENTS.instance(name))
    except LookupError:
        if scheme in _OBJECT_STORES:
            raise _object_store(str(scheme)) from None
        known = ", ".join(f"{name}://" for name in _DEPLOYMENTS.names() if name != FOLDER)
        raise InvalidInputError(
            "url",
            f"the scheme {scheme!r} is not known",
            fix=f"Give a folder, file:///a/folder or {known}.",
        ) from None


def _object_store(scheme: str) -> InvalidInputError:
    return InvalidInputError(
        "url",
        f"a store cannot be in an object store ({scheme}://): its lock, write-ahead log, lexical "
        "index, sessions and checksums are files that are locked, appended to, synced and renamed",
        fix="Give a folder, also one on a network block device, or qdrant://host:6333 for a store "
        "that many machines use. Backups go there as folders: bruno-memory-vec snapshot FOLDER.",
    )


async def is_there(config: MemoryConfig) -> bool:
    """Whether there is a store; True of a deployment that does not tell.

    Raises: as :meth:`TellsHowMade.made`.
    """
    deployment = deployment_of(config.url)
    if not isinstance(deployment, TellsHowMade):
        return True
    return await deployment.made(config) is not None


def language_of(config: MemoryConfig) -> str | None:
    """The language in the settings: None if not set, "none" for no stemming.

    Raises:
        InvalidInputError: there is no stemmer for it.
    """
    if config.language not in (None, "none", *LANGUAGES):
        raise InvalidInputError(
            "language",
            f"there is no stemmer for {config.language!r}",
            fix=f"Choose one of {', '.join(sorted(LANGUAGES))}, or none.",
        )
    return config.language


def analyser_for(language: str | None) -> Analyser:
    """The analyser of a language, of English for None. The first call for it blocks."""
    language = language or _DEFAULT_LANGUAGE
    return analyser(None if language == "none" else language)


def with_a_cache(
    rows: RowIndex,
    config: MemoryConfig,
    versions: UserVersions | None = None,
    files: UserFiles | None = None,
    last_seq: int = -1,
) -> RowIndex:
    """Rows with checks, and with a cache in front of them where it can know of every change.

    Args:
        rows: the engine.
        config: the settings.
        versions: tells what other processes change; None where none writes beside this one.
        files: the files of users, opened; None for none.
        last_seq: the largest ``seq`` of the rows; needed only with ``files``.
    """
    checked = CheckedIndex(rows)
    unseen = config.read_only and versions is None
    if config.recall_cache_mb == 0 or unseen:
        return checked
    budget = config.recall_cache_mb * 2**20
    return CachedIndex(checked, budget, versions=versions, files=files, last_seq=last_seq)


async def close_all(parts: Any) -> None:
    """Close parts, the last one first, after another part has failed to open."""
    for part in reversed(parts):
        try:
            await part.close()
        except Exception as error:
            _log.error("close_failed", error=str(error))
