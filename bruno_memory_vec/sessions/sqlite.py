"""Sessions and hot context in one SQLite file: the store, its connection, its statements."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from importlib import resources
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import aiosqlite
from bruno_core.models.context import SessionContext, UserContext

from bruno_memory_vec.errors import (
    BackendUnavailable,
    EngineError,
    StoreMovedError,
    StoreVersionError,
)
from bruno_memory_vec.indexers.aio import LoopLock, LoopSemaphore, yielding_gil
from bruno_memory_vec.indexers.forks import never_finalize, spare_in_children
from bruno_memory_vec.indexers.private import make_private_file, refuse_link
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows.known_hashes import KnownHashes, hash_names
from bruno_memory_vec.rows.models import message_from_json, message_to_json, utc
from bruno_memory_vec.sessions import database as files
from bruno_memory_vec.sessions.cache import HotCache, Parts
from bruno_memory_vec.sessions.damage import seal, unseal
from bruno_memory_vec.sessions.database import kinds
from bruno_memory_vec.sessions.ledger import SQLiteLedger, record
from bruno_memory_vec.sessions.payloads import (
    from_texts,
    note_from_text,
    note_to_text,
    to_text,
)
from bruno_memory_vec.sessions.protocol import (
    NOTHING,
    ContextRecord,
    Conversation,
    ConversationNote,
    HotTurn,
    Named,
)
from bruno_memory_vec.sessions.waiting import (
    MANY,
    MOST,
    Commit,
    Waiting,
    commit_of,
    first_owners,
    last_of_each_turn,
    together,
)

SCHEMA_VERSION = 2
_TRIES_TO_EMPTY_THE_LOG, _UNTIL_NEXT_TRY = 5, 0.2
# SQLite reads one after the other; of more, long messages would only wait in memory.
_CONTEXTS_AT_ONCE = 4
# Above this, hot messages are read in a thread.
_CHARACTERS_ON_THE_LOOP = 50_000
# Older versions of SQLite take 999 values in a statement.
_NAMES_A_STATEMENT = 500
_A_PAGE = 1000
# How many lines aiosqlite fetches at a time where somebody iterates, which nobody does.
_LINES_AT_ONCE = 64
_IN_MEMORY = "file:bruno-"
_first = itemgetter(0)

T = TypeVar("T")

_log = get_logger(__name__)


class SQLiteSessionStore:
    """A :class:`~bruno_memory_vec.sessions.protocol.SessionStore` in a SQLite file.

    Open one with :meth:`open`. ``max_messages`` is how many hot turns it keeps
    of each conversation.
    """

    def __init__(
        self,
        connection: aiosqlite.Connection,
        path: str,
        max_messages: int,
        *,
        read_only: bool,
        key: bytes | None = None,
    ) -> None:
        self._connection = connection
        self._path = path
        self._key = key
        self._read_only = read_only
        self.max_messages = max_messages
        # Whether what is hot does not count for this reader: the writer of the file keeps fewer
        # turns, or rows are lost.
        self._distrusted = False
        # One transaction at a time. They share a connection, and would commit each other's changes.
        self._writing = LoopLock()
        self._reading = LoopSemaphore(_CONTEXTS_AT_ONCE)
        self._closed = False
        self._fsync = False
        # Whether a reader has found a file that an older version has written last.
        self._older = False
        # A file has one process that writes: what that one has read stays true until it changes it.
        self._hot = HotCache(keeps=not read_only)
        self._in_memory = path.startswith(_IN_MEMORY)
        # What the file may have of the names of KnowsNames; None where another process may write.
        self._names: KnownHashes | None = None
        # What of the rows is not in the file yet, and why the last try to write it has failed.
        self._waiting = Waiting()
        self._unwritten: EngineError | None = None
        #: As of :class:`~bruno_memory_vec.sessions.protocol.WritesBehind`.
        self.writes_behind = False
        self.fell_behind: Callable[[EngineError], None] = lambda error: None
        #: What was wrong with the file that this one has replaced.
        self.rebuilt: list[str] = []
        #: Called before each change, and before the file is opened again or closed, to raise where
        #: its path does not lead to it any more.
        self.watch: Callable[[], None] = lambda: None

    @classmethod
    async def open(
        cls,
        path: str | Path,
        max_messages: int,
        *,
        read_only: bool = False,
        fsync: bool = False,
        key: bytes | None = None,
    ) -> SQLiteSessionStore:
        """Open the file at ``path`` (":memory:" for none), or make it.

        With ``fsync``, what was committed survives a power cut too. With a ``key`` of 32 bytes, the
        file is SQLCipher's.

        Raises:
            BackendUnavailable: the file cannot be opened or is no SQLite database.
            MissingDependencyError: there is a key, and no ``sqlcipher3``.
            StoreVersionError: another version of this package made its schema.
        """
        path = str(path)
        if path == ":memory:":
            # Not that name itself, which would be a file's for what prepares one.
            path = f"{_IN_MEMORY}{uuid4()}?mode=memory"
        with errors("open", path):
            connection = await connect(path, read_only, key)
            store = cls(connection, path, max_messages, read_only=read_only, key=key)
            try:
                await store._prepare(read_only, fsync)
            except BaseException:
                await connection.close()
                raise
        return store

    async def _prepare(self, read_only: bool, fsync: bool) -> None:
        self._fsync = fsync
        await self._settle(self._connection)
        ((version,),) = await self._rows("PRAGMA user_version")
        if version > SCHEMA_VERSION:
            raise StoreVersionError(
                f"{self._path} has the sessions schema {version}, newer than {SCHEMA_VERSION}",
                fix="Upgrade with: pip install -U bruno-memory-vec",
            )
        if 0 < version < SCHEMA_VERSION:
            raise StoreVersionError(
                f"{self._path} has the sessions schema {version}, older than {SCHEMA_VERSION}",
                fix="Move it away: it is rebuilt from the rows, without sessions and user "
                "profiles. Or open the store with the version that made it.",
            )
        if version > 0:
            await self._complete(read_only)
            await self._widen(read_only)
        if version == 0 and not read_only:
            schema = resources.files("bruno_memory_vec.sessions").joinpath("schema.sql")
            script = schema.read_text(encoding="utf-8")
            await self._connection.executescript(
                f"BEGIN;\n{script}\nPRAGMA user_version = {SCHEMA_VERSION};\n"
                f"INSERT INTO meta VALUES ('max_messages', {int(self.max_messages)});\nCOMMIT;"
            )

    async def _settle(self, connection: aiosqlite.Connection) -> None:
        """Set the options of a connection."""
        await connection.execute("PRAGMA busy_timeout = 5000")
        if not self._read_only:
            # With NORMAL a commit does not wait for the disk, and still survives a killed process.
            await connection.execute("PRAGMA journal_mode = WAL")
            synchronous = "FULL" if self._fsync else "NORMAL"
            await connection.execute(f"PRAGMA synchronous = {synchronous}")

    async def _widen(self, read_only: bool) -> None:
        """Mark contexts stale if more turns are to be hot than the file has kept so far."""
        ((kept,),) = await self._rows("SELECT value FROM meta WHERE key = 'max_messages'")
        self._distrusted = read_only and kept < self.max_messages
        if read_only or kept == self.max_messages:
            return
        if kept < self.max_messages:
            await self._connection.execute(
                "UPDATE conversations SET stale = stale + 1 WHERE next_turn > ?", (kept,)
            )
        await self._connection.execute(
            "UPDATE meta SET value = ? WHERE key = 'max_messages'", (self.max_messages,)
        )
        await self._connection.commit()

    async def _complete(self, read_only: bool) -> None:
        """Add what a file of an older version lacks. Those versions do not mind it."""
        if await self._is_complete():
            return
        if read_only:
            self._older = True
            return
        columns = {name for _, name, *_ in await self._rows("PRAGMA table_info(conversations)")}
        added = "" if "touched" in columns else ADD_TOUCHED
        await self._connection.executescript(f"BEGIN;\n{added}{ADD_NOTES}COMMIT;")

    async def _is_complete(self) -> bool:
        return bool(await self._rows("SELECT 1 FROM sqlite_master WHERE name = 'notes'"))

    async def _is_older(self) -> bool:
        """Whether the file lacks what this version has added; its writer may add it meanwhile."""
        if self._older:
            with errors("read", self._path):
                self._older = not await self._is_complete()
        return self._older

    def distrust(self) -> None:
        self._distrusted = True

    # Applying the rows

    async def last_seq(self) -> int:
        ((value,),) = await self._read("SELECT value FROM meta WHERE key = 'last_seq'")
        return int(value)

    @property
    def ledger(self) -> SQLiteLedger:
        return SQLiteLedger(_Transactions(self))

    async def apply(
        self,
        turns: Sequence[HotTurn],
        last_seq: int,
        noted: Mapping[str, str] = NOTHING,
        *,
        added: Iterable[int] = (),
        removed: Iterable[int] = (),
    ) -> None:
        now = time.time_ns() // 1000
        commit = commit_of(turns, last_seq, noted, added, removed, now)
        self._note_names([*commit.turns, *noted])
        if self._may_wait(commit):
            self._waiting.add(commit)
            self._hot.said(commit, self.max_messages)
            return
        await self._transact(
            "follow the rows",
            lambda database: apply_commits(database, [commit], self.max_messages),
            conversations={*commit.turns, *noted},
        )

    def _may_wait(self, commit: Commit) -> bool:
        return (
            self.writes_behind
            # Whoever asks for that wants the ledger to be as durable as the rows, too.
            and not self._fsync
            and self._unwritten is None
            and not self._closed
            and commit.only_adds
            and self._waiting.rows + len(commit.added) <= MOST
        )

    @property
    def waits(self) -> bool:
        """As of :class:`~bruno_memory_vec.sessions.protocol.WritesBehind`."""
        return len(self._waiting) > 0

    @property
    def many_wait(self) -> bool:
        """As of :class:`~bruno_memory_vec.sessions.protocol.WritesBehind`."""
        return self._waiting.rows >= MANY

    async def write_waiting(self) -> None:
        """As of :class:`~bruno_memory_vec.sessions.protocol.WritesBehind`."""
        if len(self._waiting):
            await self._transact("follow the rows", _nothing_else, conversations=())

    async def restore(
        self,
        conversations: Sequence[tuple[str, str, int]],
        last_seq: int,
        *,
        added: Iterable[int] = (),
    ) -> None:
        def work(database: sqlite3.Connection) -> None:
            apply_summaries(database, conversations, last_seq)
            record(database, added, ())

        self._note_names([name for name, _, _ in conversations])
        await self._transact("follow the rows", work)

    # Conversations

    async def conversation(self, conversation_id: str) -> Conversation | None:
        rows = await self._read(
            "SELECT user_id, next_turn, stale FROM conversations WHERE conversation_id = ?",
            (conversation_id,),
            about=(conversation_id,),
        )
        return Conversation(*rows[0]) if rows else None

    async def owners(self, conversations: Collection[str]) -> dict[str, str]:
        names = list(conversations)
        found: dict[str, str] = {}
        for start in range(0, len(names), _NAMES_A_STATEMENT):
            part = names[start : start + _NAMES_A_STATEMENT]
            marks = ",".join("?" * len(part))
            found.update(await self._read(OWNERS.replace(":names", marks), part, about=part))
        return found

    async def named(self, ids: Collection[str]) -> dict[str, Named]:
        """As of :class:`~bruno_memory_vec.sessions.protocol.FindsNames`."""
        names = list(ids)
        found: dict[str, Named] = {}
        for start in range(0, len(names), _NAMES_A_STATEMENT):
            part = names[start : start + _NAMES_A_STATEMENT]
            marks = ",".join(f"?{number}" for number in range(1, len(part) + 1))
            rows = await self._read(NAMED.replace(":names", marks), part, about=part)
            found.update((name, named_of(list(lines))) for name, lines in groupby(rows, _first))
        return found

    async def learn_names(self) -> None:
        """As of :class:`~bruno_memory_vec.sessions.protocol.KnowsNames`."""
        self._names = names = KnownHashes(read=False)
        found = [
            hash_names(list(chain.from_iterable(page)))
            for statement in (CONVERSATION_NAMES, SESSION_NAMES)
            async for page in self._pages(statement)
        ]
        names.complete(found)

    def name_nothing(self, ids: Collection[str]) -> bool:
        """As of :class:`~bruno_memory_vec.sessions.protocol.KnowsNames`."""
        names = self._names
        return names is not None and not names.any_hashed(hash_names(list(ids)))

    def _note_names(self, names: Sequence[str]) -> None:
        """Note what is about to be in the file, whether or not writing it succeeds."""
        if self._names is not None:
            self._names.add_hashed(hash_names(names))

    async def give(self, conversations: Sequence[tuple[str, str, int]]) -> None:
        def work(database: sqlite3.Connection) -> None:
            apply_summaries(database, conversations, -1)
            database.executemany(
                "UPDATE conversations SET user_id = ?2 WHERE conversation_id = ?1",
                [(conversation, owner) for conversation, owner, _ in conversations],
            )

        self._note_names([name for name, _, _ in conversations])
        await self._transact("give conversations their owners", work)

    async def askers(self, conversation_id: str) -> list[str]:
        return [user for (user,) in await self._read(ASKERS, (conversation_id,), about=())]

    async def context(self, user_id: str, conversation_id: str, limit: int) -> ContextRecord:
        parts = self._hot.find(user_id, conversation_id, limit)
        if parts is None:
            async with self._reading:
                with self._hot.reading(user_id, conversation_id) as reading:
                    # One statement, because each one is a switch to SQLite's thread, and four
                    # switches would take most of the time.
                    older = await self._is_older()
                    rows = await self._read(
                        CONTEXT_OF_OLDER if older else CONTEXT,
                        {"conversation": conversation_id, "user": user_id, "limit": limit},
                    )
                    parts = await self._parts(rows)
                    self._hot.keep(reading, limit, parts)
        if parts.characters > _CHARACTERS_ON_THE_LOOP:
            return await asyncio.to_thread(parts.record)
        return parts.record()

    async def _parts(self, rows: Sequence[Any]) -> Parts:
        conversation = user = session = current = touched = None
        hot: list[tuple[int, str]] = []
        for part, first, second, third, fourth in rows:
            if part == 0:
                conversation = Conversation(first, second, third or int(self._distrusted))
                touched = None if fourth is None else utc(fourth)
            elif part == 1:
                user, current = first, second
            elif part == 2:
                session = first
            elif part == 3:
                hot.append((second, first))
        texts = [payload for _, payload in sorted(hot)]
        sizes = tuple(map(len, texts))
        characters = sum(sizes) + len(user or "") + len(session or "")
        if characters > _CHARACTERS_ON_THE_LOOP:
            made = await asyncio.to_thread(lambda: tuple(map(message_from_json, texts)))
        else:
            made = self._hot.messages(texts)
        return Parts(conversation, user, current, session, made, characters, touched, sizes)

    async def mark_stale(self, conversation_id: str) -> None:
        await self._change(
            "mark a conversation",
            "UPDATE conversations SET stale = stale + 1 WHERE conversation_id = ?",
            (conversation_id,),
            conversations=[conversation_id],
        )

    async def refill(
        self, conversation_id: str, turns: Sequence[HotTurn], seen: Conversation
    ) -> None:
        await self._transact(
            "refill the hot context",
            lambda database: refill(database, conversation_id, turns, seen),
            conversations=[conversation_id],
        )

    async def current_conversation(self, user_id: str) -> str | None:
        rows = await self._read(
            "SELECT current_conversation FROM users WHERE user_id = ?", (user_id,)
        )
        return rows[0][0] if rows else None

    async def set_current_conversation(self, user_id: str, conversation_id: str) -> None:
        await self._change(
            "remember a conversation", SET_CURRENT, (user_id, conversation_id), users=[user_id]
        )

    async def leave(self, conversation_id: str, user_id: str) -> None:
        await self._change(
            "leave a conversation",
            "UPDATE users SET current_conversation = NULL "
            "WHERE user_id = ? AND current_conversation = ?",
            (user_id, conversation_id),
            users=[user_id],
        )

    # Sessions and users

    async def save_session(self, session: SessionContext) -> None:
        self._note_names([session.conversation_id, session.session_id])
        await self._change(
            "save a session",
            SAVE_SESSION,
            await columns_of(session),
            conversations=[session.conversation_id],
        )

    async def begin_session(self, session: SessionContext) -> None:
        conversation, user = session.conversation_id, session.user_id
        values = await columns_of(session)
        self._note_names([conversation, session.session_id])

        def work(database: sqlite3.Connection) -> None:
            database.execute(
                "INSERT INTO conversations (conversation_id, user_id) VALUES (?, ?)",
                (conversation, user),
            )
            database.execute(SAVE_SESSION, values)
            database.execute(SET_CURRENT, (user, conversation))

        await self._transact("begin a session", work, conversations=[conversation], users=[user])

    async def drop_session(self, session_id: str) -> None:
        def work(database: sqlite3.Connection) -> None:
            if database.execute("DELETE FROM sessions WHERE session_id = ?", [session_id]).rowcount:
                database.execute(NOTE_DROPPED, (REPLACED,))

        await self._transact("forget a session", work)

    async def session(self, session_id: str) -> SessionContext | None:
        rows = await self._read("SELECT payload FROM sessions WHERE session_id = ?", (session_id,))
        return (await from_texts(SessionContext, [rows[0][0]]))[0] if rows else None

    async def sessions(
        self, user_id: str | None, *, active: bool | None, limit: int | None, after: str | None
    ) -> list[SessionContext]:
        rows = await self._read(
            SESSIONS if user_id is None else SESSIONS_OF_USER,
            {
                "user": user_id,
                "active": None if active is None else int(active),
                "limit": -1 if limit is None else limit,
                "after": after,
            },
        )
        return await from_texts(SessionContext, [payload for (payload,) in rows])

    async def save_user(self, user: UserContext) -> None:
        user_id, text = user.user_id, await to_text(user)

        def work(database: sqlite3.Connection) -> None:
            database.execute(NOTE_REPLACED, (REPLACED, user_id))
            database.execute(SAVE_USER, (user_id, text))

        await self._transact("save a user", work, users=[user_id])

    async def user(self, user_id: str) -> UserContext | None:
        rows = await self._read("SELECT payload FROM users WHERE user_id = ?", (user_id,))
        if not rows or rows[0][0] is None:
            return None
        return (await from_texts(UserContext, [rows[0][0]]))[0]

    # Conversations as a whole

    async def touched(self, conversations: Collection[str]) -> dict[str, datetime]:
        if await self._is_older():
            return {}
        names = list(conversations)
        found: dict[str, datetime] = {}
        for start in range(0, len(names), _NAMES_A_STATEMENT):
            part = names[start : start + _NAMES_A_STATEMENT]
            marks = ",".join("?" * len(part))
            rows = await self._read(TOUCHED.replace(":names", marks), part)
            found.update((name, utc(at)) for name, at in rows)
        return found

    async def touch(self, times: Mapping[str, datetime]) -> None:
        values = [(micros(at), conversation) for conversation, at in times.items()]

        def work(database: sqlite3.Connection) -> None:
            database.executemany(
                "UPDATE conversations SET touched = ? WHERE conversation_id = ?", values
            )

        await self._transact("note the last message", work, conversations=list(times))

    async def note(self, user_id: str, conversation_id: str) -> ConversationNote | None:
        if await self._is_older():
            return None
        rows = await self._read(
            "SELECT payload FROM notes WHERE user_id = ? AND conversation_id = ?",
            (user_id, conversation_id),
        )
        return note_from_text(rows[0][0]) if rows else None

    async def notes(self, user_id: str) -> list[ConversationNote]:
        if await self._is_older():
            return []
        rows = await self._read("SELECT payload FROM notes WHERE user_id = ?", (user_id,))
        return [note_from_text(payload) for (payload,) in rows]

    async def save_note(self, note: ConversationNote) -> None:
        key, text = (note.user_id, note.conversation_id), note_to_text(note)

        def work(database: sqlite3.Connection) -> None:
            _drop_note(database, key)
            database.execute("INSERT INTO notes VALUES (?, ?, ?)", (*key, text))

        await self._transact("save a note", work, conversations=[note.conversation_id])

    async def drop_note(self, user_id: str, conversation_id: str) -> None:
        await self._transact(
            "forget a note",
            lambda database: _drop_note(database, (user_id, conversation_id)),
            conversations=[conversation_id],
        )

    # A user who is forgotten

    async def forget_user(
        self, user_id: str, conversations: Collection[str], heirs: Mapping[str, str]
    ) -> dict[str, int]:
        """As of :class:`~bruno_memory_vec.sessions.protocol.ForgetsUsers`."""
        owned = await self._read(OWNED, (user_id,))
        touched = {talk for (talk,) in owned}.union(conversations)
        return await self._transact(
            "forget a user",
            lambda database: forget_user(database, user_id, heirs),
            conversations=touched,
            users=[user_id],
        )

    async def kept_of(self, user_id: str) -> dict[str, int]:
        """As of :class:`~bruno_memory_vec.sessions.protocol.ForgetsUsers`."""
        if await self._is_older():
            return {}
        counts = await self._read(KEPT_OF, (user_id,))
        return {name: count for name, count in counts if count}

    @property
    def file(self) -> Path | None:
        """Its file; None for one in memory."""
        return None if self._in_memory else Path(self._path)

    # What it keeps

    async def users(self) -> AsyncIterator[str]:
        """As of :class:`~bruno_memory_vec.sessions.protocol.Enumerates`."""
        async for (user_id,) in self._each(USERS):
            yield user_id

    async def conversations(self) -> AsyncIterator[tuple[str, str, int]]:
        """As of :class:`~bruno_memory_vec.sessions.protocol.Enumerates`."""
        async for conversation, user_id, next_turn in self._each(CONVERSATIONS):
            yield conversation, user_id, next_turn

    async def _each(self, statement: str) -> AsyncIterator[Any]:
        """The rows of a statement."""
        async for page in self._pages(statement):
            for row in page:
                yield row

    async def _pages(self, statement: str) -> AsyncIterator[list[Any]]:
        """The rows of a statement, page by page: those after its first column's last value."""
        last = ""
        while page := await self._read(statement, (last, _A_PAGE)):
            yield page
            last = page[-1][0]

    # Erasing

    async def has_replaced(self) -> bool:
        if self._in_memory:
            return False  # it has no file
        return bool(await self._read("SELECT 1 FROM meta WHERE key = ? AND value", (REPLACED,)))

    async def erase(self, *, deleted: bool) -> None:
        await self._transact("drop stale messages", drop_stale)
        if self._in_memory:
            return  # it has no file
        if deleted or await self.has_replaced():
            # Free pages and the gaps in others keep what was deleted, so the file is written anew.
            # Another connection does it, so that reading goes on.
            async with self._writing:
                with errors("erase what was deleted", self._path):
                    await asyncio.to_thread(write_anew, self._path, self._key)

    # The connection

    @property
    def lookups(self) -> tuple[int, int]:
        """How often the hot context of a conversation was in memory, and how often not."""
        return self._hot.lookups

    async def health(self) -> dict[str, Any]:
        ((problem,),) = await self._read("PRAGMA quick_check(1)")
        if problem != "ok":
            raise EngineError(
                ENGINE,
                "check its file",
                str(problem),
                fix=f"Close the store and move {self._path} away: it is rebuilt from the rows, "
                "without sessions and user profiles.",
            )
        ((conversations, sessions, hot),) = await self._read(
            "SELECT (SELECT count(*) FROM conversations), (SELECT count(*) FROM sessions), "
            "(SELECT count(*) FROM hot_messages)"
        )
        return {
            "engine": ENGINE,
            "rebuilt": list(self.rebuilt),
            "conversations": conversations,
            "sessions": sessions,
            "hot_messages": hot,
            "cache": self._hot.health(),
        }

    async def close(self) -> None:
        if not self._closed:
            moved = False
            try:
                self.watch()
            except (StoreMovedError, BackendUnavailable):  # moved, or nobody may look
                moved = True
            if len(self._waiting) and not moved:
                try:
                    await self.write_waiting()
                except EngineError as error:
                    # The rows are stored; the next opening finds in them what is missing here.
                    _log.error("sessions_not_written", error=str(error))
            self._closed = True
            self._hot = HotCache(keeps=False)
            if moved:
                # At its end SQLite removes the file's log by its path, where another store may be.
                never_finalize(self._connection)
                return
            await self._connection.close()
            if not self._in_memory and not self._read_only:
                await asyncio.to_thread(seal, Path(self._path))

    async def _read(
        self, statement: str, values: Any = (), *, about: Collection[str] | None = None
    ) -> list[Any]:
        """The lines of a statement.

        Args:
            statement: it reads the file.
            values: for its marks.
            about: the only conversations whose turns and owners it reads; None for any. Commits
                that wait are written first only where they concern these.
        """
        with errors("read", self._path):
            return await self._rows(statement, values, about)

    async def _rows(
        self, statement: str, values: Any = (), about: Collection[str] | None = None
    ) -> list[Any]:
        waits = len(self._waiting) > 0 and not self._closed
        if waits and (about is None or self._waiting.concern(about)):
            found = await self._written_and_read(statement, values)
            if found is not None:
                return found
        return list(await self._connection.execute_fetchall(statement, values))

    async def _written_and_read(self, statement: str, values: Any) -> list[Any] | None:
        """Write what waits and read, in one visit; None where the file cannot be written.

        Then it can be read all the same, and whoever asks is told that it is behind.
        """

        def work(database: sqlite3.Connection) -> list[Any]:
            return database.execute(statement, values).fetchall()

        try:
            return await self._transact("follow the rows", work, conversations=())
        except BackendUnavailable:
            if self._unwritten is None:
                raise
            return None

    async def _change(
        self, operation: str, statement: str, values: tuple[Any, ...], **changed: Collection[str]
    ) -> None:
        """A transaction of one statement."""

        def work(database: sqlite3.Connection) -> None:
            database.execute(statement, values)

        await self._transact(operation, work, **changed)

    async def _transact(
        self,
        operation: str,
        work: Callable[[sqlite3.Connection], T],
        **changed: Collection[str],
    ) -> T:
        """Do a transaction; ``changed`` are the arguments for :meth:`HotCache.changed`."""
        async with self._writing:
            with errors(operation, self._path):
                self.watch()
                count = len(self._waiting)
                try:
                    if not count:
                        return await transact(self._connection, work)
                    return await self._transact_behind(count, work)
                finally:
                    self._hot.changed(**changed)

    async def _transact_behind(self, count: int, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do a transaction after the ``count`` oldest commits that wait, together with them."""
        written: list[Commit] = []
        failed: list[Exception] = []

        def both(database: sqlite3.Connection) -> T:
            commits = self._waiting.first(count)
            try:
                if commits:
                    apply_commits(database, commits, self.max_messages)
            except Exception as error:
                failed.append(error)
                raise
            written.extend(commits)
            return work(database)

        def done() -> None:
            self._waiting.written(written)

        try:
            result = await transact(self._connection, both, done)
        except kinds("Error", OSError) as error:
            if failed or isinstance(error, kinds("OperationalError")):
                self._note_unwritten(error)
            raise
        self._unwritten = None
        return result

    def _note_unwritten(self, error: Exception) -> None:
        """What waits could not be written: from now on each commit is tried at once."""
        self._unwritten = EngineError(
            ENGINE,
            "follow the rows",
            str(error),
            fix=f"Check that the folder of {self._path} has free space and may be written.",
            cause=error,
        )
        self.fell_behind(self._unwritten)


def _nothing_else(database: sqlite3.Connection) -> None:
    """No change besides what waits."""


class _Transactions:
    """What the ledger needs of a session store."""

    def __init__(self, store: SQLiteSessionStore) -> None:
        self._store = store

    async def change(self, operation: str, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._store._transact(operation, work)

    async def read(self, statement: str) -> list[Any]:
        return await self._store._read(statement)


async def mark_all_stale(path: Path, key: bytes | None = None) -> None:
    """Mark the hot messages of all conversations as outdated; they are read from the rows again.

    The caller holds the writer's lock. It does nothing if there is no file, or an empty one.

    Args:
        path: the file of the sessions.
        key: its key; None where it has none.

    Raises:
        BackendUnavailable: it cannot be written, or is damaged.
    """
    if not path.exists():  # noqa: ASYNC240  # one look at a local file
        return
    with errors("mark all conversations", str(path)):
        await asyncio.to_thread(unseal, path)
        connection = await connect(str(path), read_only=False, key=key)
        try:
            await connection.execute("PRAGMA busy_timeout = 5000")
            ((version,),) = await connection.execute_fetchall("PRAGMA user_version")
            if version > 0:
                await connection.execute("UPDATE conversations SET stale = stale + 1")
                await connection.commit()
        finally:
            await connection.close()


ENGINE = "sqlite"


@contextmanager
def errors(operation: str, path: str) -> Iterator[None]:
    """Turn every failure of SQLite into an ``EngineError``."""
    try:
        yield
    except kinds("Error", OSError) as error:
        raise BackendUnavailable(
            ENGINE,
            operation,
            str(error),
            fix=f"Check that the folder of {path} has free space and may be written. If the file "
            f"is damaged, {_MOVE_AWAY}",
            cause=error,
        ) from error
    except ValueError as error:
        # aiosqlite raises it for a closed connection. Otherwise the file is damaged: it holds
        # invalid text, or lacks a row that is always there.
        gone = "connection" in str(error).lower()
        raise EngineError(
            ENGINE,
            operation,
            str(error),
            fix="Open the memory again." if gone else f"{path} is damaged: {_MOVE_AWAY}",
            cause=error,
        ) from error


_MOVE_AWAY = (
    "close the store and move it away: it is rebuilt from the rows, without sessions and user "
    "profiles."
)


class Connection(aiosqlite.Connection):
    """aiosqlite's, whose thread goes on where an answer comes too late.

    A caller's event loop may be closed when its answer is there, as where a program calls
    ``asyncio.run`` several times. aiosqlite's thread would end with the error of that loop, and
    every call that waits, or comes later, would wait forever.
    """

    async def _execute(
        self, fn: Callable[..., T], *args: Any, **kwargs: Any
    ) -> T:  # what all its calls go through
        if not self._running or not self._connection:
            raise ValueError("Connection closed")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((_Answer(answer), partial(fn, *args, **kwargs)))  # type: ignore[arg-type]
        return await answer


class _Answer:
    """What the thread takes for a caller's future and its event loop."""

    def __init__(self, answer: asyncio.Future[Any]) -> None:
        self._answer = answer

    def get_loop(self) -> _Answer:
        return self

    def call_soon_threadsafe(self, tell: Callable[..., None], _: _Answer, result: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed, so nobody waits
            self._answer.get_loop().call_soon_threadsafe(tell, self._answer, result)


def thread_of(connection: aiosqlite.Connection) -> Any:
    """The thread in which a connection's calls run."""
    # Older versions of aiosqlite are a thread themselves.
    return getattr(connection, "_thread", connection)


async def connect(path: str, read_only: bool, key: bytes | None = None) -> aiosqlite.Connection:
    """An open connection to a path or a ``file:`` URI."""
    if not read_only:
        if not path.startswith("file:"):
            await asyncio.to_thread(_make_private, Path(path))
        return await _start(path, key)
    uri = f"{Path(path).absolute().as_uri()}?mode=ro"  # noqa: ASYNC240  # reads no file
    connection = await _start(uri, key)
    try:
        await connection.execute_fetchall("PRAGMA user_version")
    except kinds("OperationalError"):
        await connection.close()
        # In a read-only folder SQLite cannot make the files that it shares with a writer. There is
        # no writer either, so the file can be opened as immutable.
        connection = await _start(f"{uri}&immutable=1", key)
    return connection


def _make_private(path: Path) -> None:
    """Make the file, if it is missing; SQLite gives those beside it the same rights."""
    make_private_file(path)
    for ending in ("-wal", "-shm", "-journal"):
        refuse_link(path.with_name(path.name + ending))


async def _start(path: str, key: bytes | None) -> aiosqlite.Connection:
    uri = path.startswith("file:")
    # Not by aiosqlite's own function, which names sqlite3; its class takes any connector.
    connection = Connection(lambda: files.connect(path, key, uri=uri), _LINES_AT_ONCE)
    spare_in_children(connection)
    # Without daemon, the interpreter would wait for aiosqlite's thread at exit if close() was
    # forgotten.
    thread_of(connection).daemon = True
    await connection
    return connection


async def transact(
    connection: aiosqlite.Connection,
    work: Callable[[sqlite3.Connection], T],
    committed: Callable[[], None] = lambda: None,
) -> T:
    """Do a whole transaction in one call on the connection's thread.

    A call costs as much as a dozen statements, so the statements are not awaited one by one. If
    the transaction fails, or its caller is cancelled before the commit, it is rolled back. After
    the commit ``committed`` is called, in the connection's thread.
    """
    abandoned = False

    def run(database: sqlite3.Connection) -> T:
        try:
            result = work(database)
            if abandoned:
                database.rollback()
            else:
                database.commit()
                committed()
        except BaseException:
            database.rollback()
            raise
        return result

    # A private method of aiosqlite, because no public one runs a function on its thread.
    visit: Callable[..., Awaitable[T]] = connection._execute
    try:
        return await visit(run, connection._conn)
    except BaseException:
        abandoned = True
        # Queued after the transaction, so that the next call finds it ended.
        await connection.rollback()
        raise


CONTEXT = """
SELECT 0 AS part, user_id, next_turn, stale, touched FROM conversations
WHERE conversation_id = :conversation
UNION ALL
SELECT 1, payload, current_conversation, 0, 0 FROM users WHERE user_id = :user
UNION ALL
SELECT 2, payload, 0, 0, 0 FROM (
    SELECT payload FROM sessions
    WHERE conversation_id = :conversation AND is_active = 1 AND user_id = :user
    ORDER BY started DESC LIMIT 1
)
UNION ALL
SELECT 3, payload, turn, 0, 0 FROM (
    SELECT payload, turn FROM hot_messages
    WHERE conversation_id = :conversation AND user_id = :user ORDER BY turn DESC LIMIT :limit
)
"""
CONTEXT_OF_OLDER = CONTEXT.replace("touched", "NULL")

#: What a file of an older version lacks.
ADD_TOUCHED = "ALTER TABLE conversations ADD COLUMN touched INTEGER;\n"
ADD_NOTES = """
CREATE TABLE notes (
    user_id         TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    payload         TEXT NOT NULL,
    PRIMARY KEY (user_id, conversation_id)
) WITHOUT ROWID;
"""

SAVE_SESSION = """
INSERT INTO sessions (session_id, user_id, conversation_id, is_active, payload, too_late)
VALUES (?1, ?2, ?3, ?4, ?5, EXISTS (
    SELECT 1 FROM conversations WHERE conversation_id = ?3 AND user_id <> ?2
))
ON CONFLICT (session_id) DO UPDATE SET is_active = excluded.is_active, payload = excluded.payload
"""

SET_CURRENT = """
INSERT INTO users (user_id, current_conversation) VALUES (?, ?)
ON CONFLICT DO UPDATE SET current_conversation = excluded.current_conversation
"""

OWNERS = "SELECT conversation_id, user_id FROM conversations WHERE conversation_id IN (:names)"

# Sorted, so that the lines of one id are together.
NAMED = """
SELECT conversation_id, 0, user_id, next_turn, stale FROM conversations
WHERE conversation_id IN (:names)
UNION ALL
SELECT session_id, 1, conversation_id, user_id, 0 FROM sessions WHERE session_id IN (:names)
UNION
SELECT conversation_id, 2, user_id, 0, 0 FROM sessions
WHERE conversation_id IN (:names) AND NOT too_late
ORDER BY 1, 2, 3
"""

TOUCHED = """
SELECT conversation_id, touched FROM conversations
WHERE touched IS NOT NULL AND conversation_id IN (:names)
"""

# Two are as many as several: nobody can tell who is meant.
ASKERS = """
SELECT DISTINCT user_id FROM sessions WHERE conversation_id = ? AND NOT too_late
ORDER BY user_id LIMIT 2
"""

OWNED = "SELECT conversation_id FROM conversations WHERE user_id = ?"

# What is kept of a user, as of ForgetsUsers.
KEPT_OF = """
SELECT 'profiles', count(*) FROM users WHERE user_id = ?1
UNION ALL SELECT 'sessions', count(*) FROM sessions WHERE user_id = ?1
UNION ALL SELECT 'notes', count(*) FROM notes WHERE user_id = ?1
UNION ALL SELECT 'hot_messages', count(*) FROM hot_messages WHERE user_id = ?1
UNION ALL SELECT 'conversations', count(*) FROM conversations WHERE user_id = ?1
UNION ALL SELECT 'marks', count(*) FROM ledger_marks WHERE user_id = ?1
"""

FORGET = (
    "DELETE FROM hot_messages WHERE user_id = ?",
    "DELETE FROM notes WHERE user_id = ?",
    "DELETE FROM sessions WHERE user_id = ?",
    "DELETE FROM users WHERE user_id = ?",
    "DELETE FROM conversations WHERE user_id = ?",
)

USERS = "SELECT user_id FROM users WHERE user_id > ? ORDER BY user_id LIMIT ?"

CONVERSATIONS = """
SELECT conversation_id, user_id, next_turn FROM conversations
WHERE conversation_id > ? ORDER BY conversation_id LIMIT ?
"""

# All that may name something, as of KnowsNames.
CONVERSATION_NAMES = """
SELECT conversation_id FROM conversations
WHERE conversation_id > ? ORDER BY conversation_id LIMIT ?
"""
SESSION_NAMES = """
SELECT session_id, conversation_id FROM sessions WHERE session_id > ? ORDER BY session_id LIMIT ?
"""

SESSIONS = """
SELECT payload FROM sessions
WHERE (:active IS NULL OR is_active = :active) AND (
    :after IS NULL OR started < (SELECT started FROM sessions WHERE session_id = :after)
)
ORDER BY started DESC LIMIT :limit
"""
SESSIONS_OF_USER = SESSIONS.replace("WHERE", "WHERE user_id = :user AND")


#: The key in ``meta`` that says that a profile, note or session was replaced or dropped, if not 0.
REPLACED = "replaced"

NOTE_DROPPED = "INSERT INTO meta VALUES (?, 1) ON CONFLICT DO UPDATE SET value = 1"

NOTE_REPLACED = """
INSERT INTO meta SELECT ?, 1 FROM users WHERE user_id = ? AND payload IS NOT NULL
ON CONFLICT DO UPDATE SET value = 1
"""

SAVE_USER = """
INSERT INTO users (user_id, payload) VALUES (?, ?)
ON CONFLICT DO UPDATE SET payload = excluded.payload
"""


def apply_commits(
    database: sqlite3.Connection, commits: Sequence[Commit], max_messages: int
) -> None:
    """Apply commits of the rows, in their order. Applying them again changes nothing."""
    commit = together(commits)
    newest = {
        conversation: last_of_each_turn(group)[-max_messages:]
        for conversation, group in commit.turns.items()
    }
    owners = first_owners(commits)
    touched = commit.touched
    database.executemany(
        "INSERT INTO conversations (conversation_id, user_id, next_turn, touched) "
        "VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "next_turn = max(next_turn, excluded.next_turn), "
        "touched = coalesce(excluded.touched, touched)",
        [
            (talk, owners[talk], group[-1].turn + 1, touched.get(talk))
            for talk, group in newest.items()
        ],
    )
    _put_hot(database, [turn for group in newest.values() for turn in group])
    database.executemany(
        "DELETE FROM hot_messages WHERE conversation_id = ?1 AND user_id = ?2 AND turn < ("
        "SELECT turn FROM hot_messages WHERE conversation_id = ?1 AND user_id = ?2 "
        "ORDER BY turn DESC LIMIT 1 OFFSET ?3)",
        {
            (talk, turn.user_id, max_messages - 1)
            for talk, group in newest.items()
            for turn in group
        },
    )
    if commit.noted:
        database.executemany(
            "INSERT OR IGNORE INTO conversations (conversation_id, user_id) VALUES (?, ?)",
            [(talk, owners[talk]) for talk in commit.noted],
        )
    _set_last_seq(database, commit.last_seq)
    record(database, commit.added, commit.removed)


def apply_summaries(
    database: sqlite3.Connection, conversations: Sequence[tuple[str, str, int]], last_seq: int
) -> None:
    """Apply rows as (conversation, owner, next turn); their hot messages become stale."""
    database.executemany(
        "INSERT INTO conversations (conversation_id, user_id, next_turn, stale) "
        "VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET "
        "next_turn = max(next_turn, excluded.next_turn), stale = stale + 1",
        conversations,
    )
    _set_last_seq(database, last_seq)


def refill(
    database: sqlite3.Connection,
    conversation_id: str,
    turns: Sequence[HotTurn],
    seen: Conversation,
) -> None:
    """Replace a conversation's hot messages, unless it has become stale again since ``seen``."""
    ((stale,),) = database.execute(
        "SELECT stale FROM conversations WHERE conversation_id = ?", (conversation_id,)
    )
    if stale != seen.stale:
        return
    # Turns that were stored since the rows were read are hot already, and stay.
    database.execute(
        "DELETE FROM hot_messages WHERE conversation_id = ? AND user_id = ? AND turn < ?",
        (conversation_id, seen.user_id, seen.next_turn),
    )
    _put_hot(database, turns)
    database.execute(
        "UPDATE conversations SET stale = 0 WHERE conversation_id = ?", (conversation_id,)
    )


def forget_user(
    database: sqlite3.Connection, user_id: str, heirs: Mapping[str, str]
) -> dict[str, int]:
    """Forget a user; returns how much, as of ``ForgetsUsers``."""
    database.executemany(
        "UPDATE conversations SET user_id = ?1, stale = stale + 1 "
        "WHERE conversation_id = ?2 AND user_id = ?3",
        [(heir, talk, user_id) for talk, heir in heirs.items()],
    )
    counts = dict(database.execute(KEPT_OF, (user_id,)).fetchall())
    # Who was last in one of these conversations has no current one: it begins anew for anybody.
    database.execute(
        "UPDATE users SET current_conversation = NULL WHERE current_conversation IN "
        "(SELECT conversation_id FROM conversations WHERE user_id = ?)",
        (user_id,),
    )
    for statement in FORGET:
        database.execute(statement, (user_id,))
    # That a row is lost stays in the ledger, by its number; whose it was does not.
    database.execute(
        "UPDATE ledger_marks SET conversation_id = NULL, user_id = NULL, turn = NULL "
        "WHERE user_id = ?",
        (user_id,),
    )
    database.execute(NOTE_DROPPED, (REPLACED,))
    return counts


def named_of(lines: Sequence[tuple[Any, ...]]) -> Named:
    """What an id names, from its lines of :data:`NAMED`."""
    conversation = session = None
    askers: list[str] = []
    for _, part, first, second, third in lines:
        if part == 0:
            conversation = Conversation(first, second, third)
        elif part == 1:
            session = (first, second)
        else:
            askers.append(first)
    return Named(conversation, session, tuple(askers[:2]))


async def columns_of(session: SessionContext) -> tuple[Any, ...]:
    """The values of a session for :data:`SAVE_SESSION`."""
    return (
        session.session_id,
        session.user_id,
        session.conversation_id,
        int(session.is_active),
        await to_text(session),
    )


def drop_stale(database: sqlite3.Connection) -> None:
    """Delete hot messages that are not shown any more; their conversations are refilled."""
    # A refill that is under way would not bring back a message that came since.
    database.execute("UPDATE conversations SET stale = stale + 1 WHERE stale > 0")
    database.execute(
        "DELETE FROM hot_messages WHERE conversation_id NOT IN "
        "(SELECT conversation_id FROM conversations WHERE stale = 0)"
    )


def write_anew(path: str, key: bytes | None = None) -> None:
    """Write a file anew from what is in it, so that nothing else is; its log is emptied.

    Raises:
        sqlite3.Error or SQLCipher's: it cannot be written, or a reader does not let go of its log.
    """
    database = files.connect(path, key, isolation_level=None)
    try:
        database.execute("PRAGMA busy_timeout = 5000")
        database.execute("VACUUM")
        for left in reversed(range(_TRIES_TO_EMPTY_THE_LOG)):
            ((busy, _, _),) = database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            if not busy:
                break
            if not left:
                raise sqlite3.OperationalError("a reader does not let go of the write-ahead log")
            time.sleep(_UNTIL_NEXT_TRY)
        database.execute("UPDATE meta SET value = 0 WHERE key = ?", (REPLACED,))
    finally:
        database.close()


def _drop_note(database: sqlite3.Connection, key: tuple[str, str]) -> None:
    """Forget a user's note of a conversation, if there is one; its text is to be erased."""
    statement = "DELETE FROM notes WHERE user_id = ? AND conversation_id = ?"
    if database.execute(statement, key).rowcount:
        database.execute(NOTE_DROPPED, (REPLACED,))


def _put_hot(database: sqlite3.Connection, turns: Sequence[HotTurn]) -> None:
    # Older copies of a message that was stored again are removed by a refill, after mark_stale.
    database.executemany(
        "INSERT OR REPLACE INTO hot_messages (conversation_id, user_id, turn, seq, payload) "
        "VALUES (?, ?, ?, ?, ?)",
        (
            (
                turn.conversation_id,
                turn.user_id,
                turn.turn,
                turn.row["seq"],
                message_to_json(turn.row),
            )
            for turn in yielding_gil(turns)
        ),
    )


def _set_last_seq(database: sqlite3.Connection, last_seq: int) -> None:
    database.execute("UPDATE meta SET value = max(value, ?) WHERE key = 'last_seq'", (last_seq,))
