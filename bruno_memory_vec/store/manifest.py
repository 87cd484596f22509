"""The manifest ``store.json``: a store's format, embedder and language."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import url2pathname

from bruno_memory_vec._version import __version__
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import (
    BackendUnavailable,
    FingerprintError,
    InvalidInputError,
    NotAStoreError,
    StoreVersionError,
)
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION
from bruno_memory_vec.indexers.sealed.rows import DIMENSION as SEALED_DIMENSION
from bruno_memory_vec.indexers.text.analysis import LANGUAGES
from bruno_memory_vec.sessions.choice import folder_of_sessions
from bruno_memory_vec.store import qdrant_url
from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.keys.keyring import KEYRING, KEYS

FILE = "store.json"
LOCK = "writer.lock"
HOLDER = "writer.json"
#: The file with the name of the store where its sessions are, if they are elsewhere.
NAME = "sessions.name"
FORMAT = "bruno-memory-vec"
# A version of this package that knows no encrypted stores says that it did not write this one.
SEALED_FORMAT = "bruno-memory-vec, encrypted"
IN_MEMORY = "memory://"
ROWS = "rows"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# What SQLite, and others after it, call a database that is in memory.
_SQLITES_MEMORY = ":memory:"
_LOCAL_FILE = re.compile(r"file://(localhost(?=/))?", re.IGNORECASE)
_ROWS_NAME = re.compile(rf"{ROWS}(-[1-9][0-9]*)?")
# Files that a process may leave if it is killed while it makes a store.
_DEBRIS = {LOCK, HOLDER, KEYS, KEYRING, *(f"{one}.new" for one in (HOLDER, FILE, KEYS, KEYRING))}
#: The file of the sessions, of a plain store and of an encrypted one. They have two names, so that
#: one write of :data:`FILE` says which counts.
SESSIONS, SEALED_SESSIONS = "sessions.sqlite", "sessions.sealed"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a store.

    Attributes:
        fingerprint: the embedder of its vectors.
        language: the stemmer of its lexical index, None for none.
        schema: the version of its row format.
        rows: the name of the folder of its rows; a re-embedding changes it.
        analysis: what made the terms of its lexical index (``Analyser.name``), None for what is not
            known. An index of another one is rebuilt when the store is opened to write.
        encrypted: whether its rows and sessions are sealed, under the keys beside them.
        keyed: whether an encrypted store has a keyed index: of hashed words, and of codes of the
            vectors in the engine.
    """

    fingerprint: Fingerprint
    language: str | None
    schema: int = SCHEMA_VERSION
    rows: str = ROWS
    analysis: str | None = None
    encrypted: bool = False
    keyed: bool = False

    @property
    def sessions(self) -> str:
        """The name of the file of its sessions."""
        return SEALED_SESSIONS if self.encrypted else SESSIONS

    @property
    def stored_dimension(self) -> int:
        """How many values a vector has in the engine; those of sealed rows are sealed, or codes."""
        sealed = self.encrypted and not self.keyed
        return SEALED_DIMENSION if sealed else self.fingerprint.dimension

    def check(self, fingerprint: Fingerprint, folder: Path) -> None:
        """Refuse another embedder than the store was made with.

        Raises:
            FingerprintError: naming both.
        """
        if fingerprint != self.fingerprint:
            raise FingerprintError(
                f"the vectors in {folder} were made by {self.fingerprint}, not by {fingerprint}",
                fix="Open it with its own embedder, or move it to this one with: "
                f"bruno-memory-vec reembed --store {shlex.quote(str(folder))} --embedder NAME.",
            )

    def write(self, folder: Path) -> None:
        """Write it atomically: a reader sees the old file or the new one.

        Raises:
            BackendUnavailable: the folder cannot be written.
        """
        text = json.dumps(
            {
                "format": SEALED_FORMAT if self.encrypted else FORMAT,
                "schema": self.schema,
                "written_by": __version__,
                "embedder": self.fingerprint.to_dict(),
                "language": self.language,
                "analysis": self.analysis,
                "rows": self.rows,
                **({"keyed": True} if self.keyed else {}),
            },
            indent=2,
        )
        write_whole(folder / FILE, text)


def write_whole(path: Path, text: str) -> None:
    """Write a file atomically: a reader sees the old text or the new one.

    Raises:
        BackendUnavailable: the folder cannot be written.
    """
    try:
        replace_file(path, f"{text}\n".encode())
    except OSError as error:
        raise unwritable(path.parent, error) from error


def scheme_of(url: str) -> str | None:
    """The scheme of a url in lower case; None for a path. One letter is a drive, and no scheme."""
    if qdrant_url.is_local(url):
        return qdrant_url.LOCAL.removesuffix(":")
    found = _SCHEME.match(url)
    return None if found is None else found[1].lower()


def folder_of(url: str) -> Path | None:
    """The folder that a url names, as an absolute path; None where another deployment opens it.

    Absolute, because LanceDB takes a relative ``c:/x`` for a url of its own, and because the
    process may go to another directory while the store is open.

    Raises:
        InvalidInputError: the url names no folder.
    """
    scheme = scheme_of(url)
    if scheme not in (None, "file"):
        return None
    if url == _SQLITES_MEMORY:
        raise InvalidInputError(
            "url",
            f"{url!r} would be a folder of this name",
            fix=f"Write memory:// for a memory that keeps nothing, or ./{url} for the folder.",
        )
    try:
        if scheme is None:
            path = Path(url).expanduser()
        else:
            path = Path(url2pathname(_LOCAL_FILE.sub("", url)))
        path = path.absolute()
    except RuntimeError as error:  # of expanduser
        raise InvalidInputError(
            "url", f"{url!r} is in the home of a user who is not known", fix="Name a folder."
        ) from error
    except FileNotFoundError as error:
        raise InvalidInputError(
            "url",
            f"{url!r} is relative, and the current directory is gone",
            fix="Name a folder by its absolute path.",
            cause=error,
        ) from error
    if not url.strip() or any(sign < " " or sign == "\x7f" for sign in str(path)):
        raise InvalidInputError(
            "url",
            f"{url!r} is blank or holds a control character",
            fix="Name a folder by characters that can be seen.",
        )
    return path


def pinned(config: MemoryConfig) -> MemoryConfig:
    """The settings with absolute folders, so that a later ``os.chdir`` changes nothing.

    Raises:
        InvalidInputError: the url names no folder.
    """
    cache = config.embedding_cache
    absolute: dict[str, Any] = {"url": _absolute(config.url)}
    if config.urls:
        absolute["urls"] = tuple(map(_absolute, config.urls))
    sessions = None if config.sessions is None else folder_of_sessions(config.sessions)
    if sessions is not None:
        absolute["sessions"] = str(sessions)
    if isinstance(cache, Path) and not cache.is_absolute():
        absolute["embedding_cache"] = cache.expanduser().absolute()
    changed = {name: value for name, value in absolute.items() if value != getattr(config, name)}
    return config.model_copy(update=changed) if changed else config


def of_one(config: MemoryConfig, work: str) -> MemoryConfig:
    """The settings as of :func:`pinned`, for work that is done on one named store.

    Raises:
        InvalidInputError: ``urls`` names several; or the url names no folder.
    """
    if len(config.urls) > 1:
        raise InvalidInputError(
            "urls",
            f"names {len(config.urls)} stores, and {work} is of one",
            fix="Name the one with url, or with --store on the command line.",
        )
    return pinned(config)


def _absolute(url: str) -> str:
    if qdrant_url.is_local(url):
        return qdrant_url.absolute(url)
    folder = folder_of(url)
    return url if folder is None else str(folder)


def read(folder: Path) -> Manifest | None:
    """The manifest of a folder; None for an empty or missing folder, where a store can be made.

    Raises:
        NotAStoreError: the folder has content that is no store of ours.
        StoreVersionError: another version of this package wrote it, in another format.
        BackendUnavailable: the folder cannot be read.
    """
    try:
        if not folder.exists():
            return None
        if not folder.is_dir():
            raise NotAStoreError(f"{folder} is a file", fix="Name a folder.")
        path = folder / FILE
        if not path.exists():
            others = sorted(entry.name for entry in folder.iterdir() if entry.name not in _DEBRIS)
            if ROWS in others:
                raise NotAStoreError(
                    f"{folder} holds rows, but its {FILE} is missing",
                    fix="Restore it from a snapshot or a backup. Or make a store in another "
                    f"folder, with the embedder and the language of this one, and copy its {FILE} "
                    "here.",
                )
            if others:
                raise NotAStoreError(
                    f"{folder} holds {others[0]!r} and no {FILE}, so it is not a store",
                    fix="Name a store, or a new or empty folder.",
                )
            return None
        data = json.loads(path.read_text(encoding="utf-8"))
    except (RecursionError, ValueError) as error:
        raise NotAStoreError(
            f"{folder / FILE} cannot be read: {error}",
            fix="Restore it from a snapshot or a backup; the other files of the store are not "
            "touched.",
            cause=error,
        ) from error
    except OSError as error:
        raise BackendUnavailable(
            "folder", "open", str(error), fix=f"Check that {folder} may be read.", cause=error
        ) from error
    if not isinstance(data, dict) or data.get("format") not in (FORMAT, SEALED_FORMAT):
        raise NotAStoreError(
            f"{folder / FILE} was not written by {FORMAT}", fix="Name a store, or a new folder."
        )
    schema = data.get("schema")
    if "migrating" in data:  # store/migrating.py
        raise StoreVersionError(
            f"a migration of {folder} was interrupted as it ended",
            fix=f"End it with: bruno-memory-vec migrate {shlex.quote(str(folder))} --resume",
        )
    if not isinstance(schema, int) or isinstance(schema, bool):
        raise StoreVersionError(
            f"{folder / FILE} was changed by hand or damaged: its schema {schema!r} is no number",
            fix="Restore it from a snapshot or a backup; the other files of the store are not "
            "touched.",
        )
    if schema > SCHEMA_VERSION:
        raise StoreVersionError(
            f"{folder} has the format {schema}, newer than {SCHEMA_VERSION}, which this version "
            f"({__version__}) reads; it was written by {data.get('written_by')}",
            fix=newer_version(data.get("written_by")),
        )
    if schema < SCHEMA_VERSION:
        raise StoreVersionError(
            f"{folder} has the format {schema}, older than {SCHEMA_VERSION}, which this version "
            f"({__version__}) reads; it was written by {data.get('written_by')}",
            fix="Bring it to this format with: bruno-memory-vec migrate "
            f"{shlex.quote(str(folder))}",
        )
    language, rows = data.get("language"), data.get("rows", ROWS)
    try:
        if language is not None and language not in LANGUAGES:
            raise ValueError(f"a language {language!r} that has no stemmer")
        if not _ROWS_NAME.fullmatch(rows):
            raise ValueError(f"{rows!r} is no folder of rows")
        fingerprint, analysis = Fingerprint.from_dict(data["embedder"]), data.get("analysis")
        return Manifest(
            fingerprint,
            language,
            schema,
            rows,
            analysis if isinstance(analysis, str) else None,
            data["format"] == SEALED_FORMAT,
            data.get("keyed") is True,
        )
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInputError) as error:
        raise NotAStoreError(
            f"{folder / FILE} was changed by hand or damaged: {error}",
            fix="Restore it from a snapshot or a backup; the other files of the store are not "
            "touched.",
            cause=error,
        ) from error


def newer_version(written_by: object) -> str:
    """What to do about a store that a newer version has written."""
    upgrade = "pip install -U bruno-memory-vec"
    if not isinstance(written_by, str) or not re.fullmatch(r"[0-9][0-9A-Za-z.+-]*", written_by):
        return f"Upgrade with: {upgrade}"
    return f"It needs version {written_by} or newer. Upgrade with: {upgrade}"


def is_name_of_rows(name: object) -> bool:
    """Whether a folder of rows may have this name."""
    return isinstance(name, str) and _ROWS_NAME.fullmatch(name) is not None


def no_store(folder: Path) -> NotAStoreError:
    """The error for a folder without a store."""
    return NotAStoreError(
        f"there is no store in {folder}", fix="Open it once without read_only to make it."
    )


def unwritable(folder: Path, error: OSError) -> BackendUnavailable:
    """The error for a folder that cannot be made or written."""
    return BackendUnavailable(
        "folder",
        "write",
        str(error),
        fix=f"Check the free space and permissions of {folder}, or open it with read_only=True.",
        cause=error,
    )
