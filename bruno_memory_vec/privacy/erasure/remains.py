"""Looks for what remains of a user: in every engine, and in every byte of the store's files.

What is looked for: the user's id, pieces of their texts and of their vectors. The pieces are taken
before an erasure and held in memory only. A piece that others have stored, too, is no remain: where
something is found, the rows and profiles of the others are asked whether it is theirs.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec.errors import EngineError, InvalidInputError
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import Erases
from bruno_memory_vec.indexers.query import EVERYONE, LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS, row_schema
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.privacy.erasure.keeping import keys_in
from bruno_memory_vec.privacy.erasure.spaces import said_in_spaces
from bruno_memory_vec.sessions.protocol import Enumerates, ForgetsUsers
from bruno_memory_vec.store.manifest import folder_of
from bruno_memory_vec.store.record import ERASURE, UNDER_WAY
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.store.trail.trail import trail_folder
from bruno_memory_vec.wording import counted

_log = get_logger(__name__)

#: So many texts and vectors of a user are looked for.
_TEXTS, _VECTORS = 8, 4
_READ_FOR_THEM = 256
# A piece of a text: as it stands in any encoding of JSON, too. Of shorter ones others have many.
_PIECE = re.compile(r"[A-Za-z0-9 ,.;:!?()-]{16,64}")
_LETTERS = re.compile(r"\w[\w ]{7,31}\w")
# A shorter id may be in any file by chance; then only texts are searched for it, at their bounds.
_SHORT_ID = 8
_TEXT_FILES = (".json", ".jsonl", ".txt")
# These have numbers, too, between their texts, in which a very short one is by chance.
_MIXED_FILES, _VERY_SHORT_ID = (".sqlite", ".sqlite-wal", ".log"), 4
_AT_ONCE = 2**23
VECTOR: Final = "a vector"
_LOCKED: Final = {"writer.lock", ".tantivy-writer.lock", ".tantivy-meta.lock"}


@dataclass(frozen=True, slots=True)
class Traces:
    """What to look for of a user. It is held in memory, and written nowhere.

    Attributes:
        user_id: who.
        texts: pieces of their texts.
        vectors: their vectors, as the bytes that files hold.
    """

    user_id: str
    texts: tuple[str, ...] = ()
    vectors: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Remain:
    """Something of a user that was found.

    Attributes:
        where: the engine, or the file below the store's folder.
        what: "the user's id", "a text", "a vector", or what an engine says it has.
    """

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class RemainsReport:
    """What a look for remains looked at, and found.

    Attributes:
        found: what there is of the user; empty is clean.
        others: how many places were found that are others' texts, and not the user's.
        in_trail: whether the audit trail names the user, which is no remain: it is kept on purpose.
        files: how many files were read.
        bytes: how many bytes they have.
        engines: which engines were asked.
        looked_for: how many ids, texts and vectors were looked for.
    """

    found: tuple[Remain, ...]
    others: int
    files: int
    bytes: int
    engines: tuple[str, ...]
    looked_for: Mapping[str, int]
    in_trail: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.found

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``ok`` as plain values that JSON can hold."""
        return {
            "ok": self.ok,
            "found": [{"where": one.where, "what": one.what} for one in self.found],
            "others": self.others,
            "files": self.files,
            "bytes": self.bytes,
            "engines": list(self.engines),
            "looked_for": dict(self.looked_for),
            "in_trail": self.in_trail,
        }

    def __str__(self) -> str:
        """A few lines for people."""
        about = f"{counted(self.files, 'file')} ({self.bytes:,} bytes), {', '.join(self.engines)}"
        if self.ok:
            return f"nothing of the user is left: {about}"
        lines = [f"{one.where}: {one.what}" for one in self.found]
        return "\n".join([f"something of the user is left: {about}", *lines])


async def traces_of(store: Store, user_id: str, texts: Iterable[str] = ()) -> Traces:
    """What to look for of a user, from what is stored, and from texts that a caller knows.

    Raises:
        EngineError: the rows cannot be read.
    """
    scope = Scope.user(user_id)
    newest = await store.rows.read(scope, RowFilter(), ("content", "vector"), limit=_READ_FOR_THEM)
    elsewhere = await said_in_spaces(store.rows, user_id, ("content", "vector"))
    newest = pa.concat_tables([newest, elsewhere.select(["content", "vector"])])
    contents = newest.column("content").to_pylist()
    pieces = dict.fromkeys(piece for text in texts if (piece := piece_of(text)))
    for text in sorted(contents, key=len, reverse=True):
        if len(pieces) >= _TEXTS:
            break
        piece = piece_of(text)
        if piece:
            pieces[piece] = None
    vectors = dict.fromkeys(_vectors(newest))
    return Traces(user_id, tuple(pieces), tuple(list(vectors)[:_VECTORS]))


def traces_in(user_id: str, texts: Iterable[str]) -> Traces:
    """What to look for of a user of whom nothing is stored."""
    pieces = dict.fromkeys(piece for text in texts if (piece := piece_of(text)))
    return Traces(user_id, tuple(pieces))


def piece_of(text: str) -> str | None:
    """A piece of a text that can be looked for; None where it is too short."""
    found = sorted(_PIECE.findall(text), key=len, reverse=True) or _LETTERS.findall(text)
    return found[0].strip() if found else None


def _vectors(rows: pa.Table) -> Iterator[bytes]:
    """Each vector as the bytes that files hold; those of zeros left out."""
    if not rows.num_rows:
        return
    numbers = rows.column("vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    for vector in numbers.reshape(rows.num_rows, -1).astype("<f4"):
        if vector.any():
            yield vector.tobytes()


async def remains(store: Store, traces: Traces) -> RemainsReport:
    """Look for what remains of a user.

    Args:
        store: the open store.
        traces: what to look for.

    Raises:
        EngineError: an engine cannot be asked, or a file not be read.
    """
    found: list[Remain] = []
    engines = await _ask_engines(store, traces, found)
    folders = await asyncio.to_thread(_folders, store)
    trail = await asyncio.to_thread(_trail, store)
    hits, files, size = await asyncio.to_thread(_search, folders, traces, trail)
    in_trail = False
    if trail is not None:
        named, *more = await asyncio.to_thread(_search, [trail], traces)
        in_trail = bool(named)
        files, size = files + more[0], size + more[1]
    keys = keys_in(store)
    stored = traces.user_id if keys is None else keys.hashed("user_id", traces.user_id)
    for folder in folders:
        lexical = folder / "lexical"
        if (lexical / "meta.json").is_file():
            engines.append("tantivy: terms")
            if await asyncio.to_thread(_has_term, lexical, stored):
                found.append(Remain("lexical: terms", "the user's id"))
        for table in sorted(folder.glob("**/rows.lance")):  # a few names
            engines.append(f"lance: versions of {table.parent.name}")
            found += await _in_versions(table, stored)
    theirs = await _others_have(store, traces, {needle for _, needle in hits})
    others = 0
    for (where, needle), what in hits.items():
        if needle in theirs:
            others += 1
        else:
            found.append(Remain(where, what))
    return RemainsReport(
        found=tuple(dict.fromkeys(found)),
        others=others,
        files=files,
        bytes=size,
        engines=tuple(dict.fromkeys(engines)),
        looked_for={
            "ids": 1,
            "texts": len(traces.texts),
            "vectors": len(traces.vectors),
        },
        in_trail=in_trail,
    )


async def _ask_engines(store: Store, traces: Traces, found: list[Remain]) -> list[str]:
    user, scope = traces.user_id, Scope.user(traces.user_id)
    engines = [store.rows.name, store.lexical.name, "sessions"]
    count = await store.rows.count(scope, RowFilter())
    if count:
        found.append(Remain(store.rows.name, f"{counted(count, 'row')} of the user"))
    said = await said_in_spaces(store.rows, user, ())
    if said.num_rows:
        found.append(
            Remain(store.rows.name, f"{counted(said.num_rows, 'row')} of spaces by the user")
        )
    erases = capability(store.rows, Erases)
    if erases is not None and erases.erasable_since is not None:
        found.append(Remain(store.rows.name, "rows that were deleted and are to be erased"))
    for text in traces.texts:
        query = LexicalQuery(text)
        hits = await asyncio.to_thread(store.lexical.search, query, scope, RowFilter(), 1)
        if len(hits):
            found.append(Remain(store.lexical.name, "words of a text"))
            break
    sessions = store.sessions
    if isinstance(sessions, ForgetsUsers):
        kept: Mapping[str, int] = await sessions.kept_of(user)
    else:
        kept = {
            "sessions": len(await sessions.sessions(user, active=None, limit=1, after=None)),
            "notes": len(await sessions.notes(user)),
            "profiles": int(await sessions.user(user) is not None),
        }
    found.extend(
        Remain("sessions", f"{many:,} {name.replace('_', ' ')} of the user")
        for name, many in kept.items()
        if many
    )
    return engines


def _folders(store: Store) -> list[Path]:
    """The folders that hold files of a store."""
    named = [folder_of(store.config.url), _cache_of(store)]
    file = getattr(store.sessions, "file", None)
    if isinstance(file, Path):
        named.append(file.parent)
    folders: list[Path] = []
    for folder in named:
        if folder is None or not folder.is_dir():
            continue
        if not any(folder == one or one in folder.parents for one in folders):
            folders.append(folder)
    return folders


def _cache_of(store: Store) -> Path | None:
    cache = store.config.embedding_cache
    return cache.expanduser() if isinstance(cache, Path) else None


def _trail(store: Store) -> Path | None:
    """The folder of the audit trail; None where there is none."""
    try:
        folder = trail_folder(store.config)
    except InvalidInputError:
        return None
    return folder if folder.is_dir() else None


def _search(
    folders: Sequence[Path], traces: Traces, without: Path | None = None
) -> tuple[dict[tuple[str, bytes], str], int, int]:
    """Where each piece is, in files and their names; how many files and bytes were read.

    Nothing below ``without`` is read.
    """
    needles = _needles(traces)
    hits: dict[tuple[str, bytes], str] = {}
    files = size = 0
    for folder in folders:
        for place, inside, names in os.walk(folder):
            inside[:] = [name for name in inside if Path(place, name) != without]
            for name in names:
                path = Path(place, name)
                where = str(path.relative_to(folder))
                if name == UNDER_WAY and path.parent.name == ERASURE:
                    continue  # it names the user until the erasure has ended
                for needle, what in needles.items():
                    if needle.whole is None and needle.data in os.fsencode(where):
                        hits[f"{where} (its name)", needle.data] = what
                if name in _LOCKED or path.is_socket():
                    continue
                read = _search_file(path, where, needles, hits)
                files += read is not None
                size += read or 0
    return hits, files, size


@dataclass(frozen=True, slots=True)
class _Needle:
    """Bytes to look for.

    Attributes:
        data: the bytes.
        whole: for an id that is short: what matches it at its bounds, in files of texts only.
    """

    data: bytes
    whole: re.Pattern[bytes] | None = None


def _needles(traces: Traces) -> dict[_Needle, str]:
    found: dict[_Needle, str] = {}
    for encoding in ("utf-8", "utf-16-le"):
        data = traces.user_id.encode(encoding, "surrogatepass")
        whole = None
        if len(traces.user_id) < _SHORT_ID:
            if encoding != "utf-8":
                continue
            edge = rb"[0-9A-Za-z_.@+-]"
            whole = re.compile(b"(?<!" + edge + b")" + re.escape(data) + b"(?!" + edge + b")")
        found[_Needle(data, whole)] = "the user's id"
    for text in traces.texts:
        found[_Needle(text.encode("utf-8", "surrogatepass"))] = "a text"
    for vector in traces.vectors:
        found[_Needle(vector)] = VECTOR
    return found


def _search_file(
    path: Path, where: str, needles: Mapping[_Needle, str], hits: dict[tuple[str, bytes], str]
) -> int | None:
    """Note what a file holds; returns how many bytes it has, None where it is gone."""
    overlap = max(len(needle.data) for needle in needles) + 1
    long_enough = any(len(needle.data) >= _VERY_SHORT_ID for needle in needles if needle.whole)
    texts = path.name.endswith(_TEXT_FILES) or (long_enough and path.name.endswith(_MIXED_FILES))
    left = {needle: what for needle, what in needles.items() if needle.whole is None or texts}
    size, before = 0, b""
    try:
        with open(path, "rb") as file:
            while part := file.read(_AT_ONCE):
                size += len(part)
                data = before + part
                for needle in [needle for needle in left if _is_in(needle, data)]:
                    hits[where, needle.data] = left.pop(needle)
                before = data[-overlap:]
    except FileNotFoundError:
        return None  # another process has removed it
    except OSError as error:
        raise EngineError(
            "folder",
            "look for what remains",
            f"{where}: {error.strerror or error}",
            fix="See that its files can be read.",
            cause=error,
        ) from error
    return size


def _is_in(needle: _Needle, data: bytes) -> bool:
    if needle.whole is not None:
        return needle.whole.search(data) is not None
    return needle.data in data


def _has_term(folder: Path, user_id: str) -> bool:
    """Whether a lexical index has any document of a user, also one that was removed."""
    import tantivy

    try:
        searcher = tantivy.Index.open(str(folder)).searcher()
        terms: list[Any] = searcher.terms_with_prefix("user_id", user_id)
    except (ValueError, OSError) as error:
        _log.debug("terms_not_read", error=str(error))
        return False  # it is damaged, and made anew from the rows
    return any(_term(one) == user_id for one in terms)


def _term(one: Any) -> Any:
    return one[0] if isinstance(one, (tuple, list)) else one


async def _in_versions(table: Path, user_id: str) -> list[Remain]:
    """What any version of the rows has of a user, that LanceDB can still open."""
    import lancedb

    from bruno_memory_vec.indexers.lance.sql import text

    found: list[Remain] = []
    try:
        database = await lancedb.connect_async(str(table.parent))
        opened = await database.open_table(table.stem)
        try:
            for version in await opened.list_versions():
                await opened.checkout(version["version"])
                if await opened.count_rows(f"user_id = {text(user_id)}"):
                    where = f"{table.parent.name}: version {version['version']}"
                    found.append(Remain(where, "rows of the user"))
        finally:
            opened.close()
    except (RuntimeError, ValueError, OSError) as error:
        # A version that goes meanwhile is no remain; the bytes of what stays are searched as well.
        _log.debug("versions_not_read", error=str(error))
    return found


async def _others_have(store: Store, traces: Traces, needles: Collection[bytes]) -> set[bytes]:
    """Which of these pieces are in what others have stored."""
    user = traces.user_id
    wanted = {
        needle.data: pattern
        for needle, what in _needles(traces).items()
        if needle.data in needles and what != VECTOR and (pattern := _as_text(needle)) is not None
    }
    vectors = set(needles).intersection(traces.vectors)
    if not wanted and not vectors:
        return set()
    schema, found = row_schema(1), set[bytes]()

    def look(*said: str) -> None:
        for data, pattern in wanted.items():
            if data not in found and any(pattern.search(text) for text in said):
                found.add(data)

    def look_in(batch: pa.RecordBatch) -> None:
        table = pa.Table.from_batches([batch])
        table = table.filter(pc.not_equal(table.column("user_id"), user))
        if vectors:
            found.update(vectors.intersection(_vectors(table)))
            table = table.drop_columns(["vector"])
        for name in table.schema.names:
            column = table.column(name)
            if pa.types.is_list(column.type):
                column = pc.list_flatten(column)
            look(*(value for value in column.to_pylist() if value))

    columns = [name for name in COLUMNS if _holds_text(schema.field(name).type)]
    columns += ["vector"] if vectors else []
    async for batch in store.rows.after(-1, columns, EVERYONE):
        await asyncio.to_thread(look_in, batch)
        if len(found) == len(wanted) + len(vectors):
            return found
    sessions = store.sessions
    if isinstance(sessions, Enumerates):
        async for other in sessions.users():
            profile = None if other == user else await sessions.user(other)
            look(*([] if other == user else [other]))
            look(*([] if profile is None else [profile.model_dump_json()]))
        async for talk, owner, _ in sessions.conversations():
            look(*([] if owner == user else [talk, owner]))
    for session in await sessions.sessions(None, active=None, limit=None, after=None):
        look(*([] if session.user_id == user else [session.model_dump_json()]))
    return found


def _holds_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind.value_type if pa.types.is_list(kind) else kind))


def _as_text(needle: _Needle) -> re.Pattern[str] | None:
    """What finds a piece in a text; None where it is none."""
    if needle.whole is not None:
        return re.compile(needle.whole.pattern.decode("utf-8", "surrogatepass"))
    for encoding in ("utf-16-le", "utf-8") if b"\0" in needle.data else ("utf-8",):
        try:
            return re.compile(re.escape(needle.data.decode(encoding, "surrogatepass")))
        except UnicodeDecodeError:
            continue
    return None
