"""The sessions of a store, from one schema to another.

Schema 2 keeps the hot context by user as well as by conversation, and has the ledger. What is hot
follows from the rows: it is left out, and each conversation is marked stale, so that its next
context is read from them. The ledger is made of the rows that are there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from bruno_memory_vec.errors import EngineError

FILE = "sessions.sqlite"
_BLOCK = 1024

_SCHEMAS = {
    1: """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE users (
    user_id TEXT PRIMARY KEY, current_conversation TEXT, payload TEXT
) WITHOUT ROWID;
CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY, user_id TEXT NOT NULL,
    next_turn INTEGER NOT NULL DEFAULT 0, stale INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE sessions (
    session_id TEXT PRIMARY KEY, user_id TEXT NOT NULL, conversation_id TEXT NOT NULL,
    is_active INTEGER NOT NULL, started INTEGER NOT NULL, payload TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user_id, started);
CREATE INDEX sessions_by_conversation ON sessions (conversation_id, is_active, started);
CREATE TABLE hot_messages (
    conversation_id TEXT NOT NULL, turn INTEGER NOT NULL, payload TEXT NOT NULL,
    PRIMARY KEY (conversation_id, turn)
) WITHOUT ROWID;
""",
    2: """
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE users (
    user_id TEXT PRIMARY KEY, current_conversation TEXT, payload TEXT
) WITHOUT ROWID;
CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY, user_id TEXT NOT NULL,
    next_turn INTEGER NOT NULL DEFAULT 0, stale INTEGER NOT NULL DEFAULT 0, touched INTEGER
) WITHOUT ROWID;
CREATE TABLE notes (
    user_id TEXT NOT NULL, conversation_id TEXT NOT NULL, payload TEXT NOT NULL,
    PRIMARY KEY (user_id, conversation_id)
) WITHOUT ROWID;
CREATE TABLE sessions (
    started INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL, conversation_id TEXT NOT NULL, is_active INTEGER NOT NULL,
    too_late INTEGER NOT NULL, payload TEXT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, started);
CREATE INDEX sessions_by_conversation ON sessions (conversation_id, user_id, is_active, started);
CREATE TABLE hot_messages (
    conversation_id TEXT NOT NULL, user_id TEXT NOT NULL, turn INTEGER NOT NULL,
    seq INTEGER NOT NULL, payload TEXT NOT NULL,
    PRIMARY KEY (conversation_id, user_id, turn)
) WITHOUT ROWID;
CREATE TABLE ledger (block INTEGER PRIMARY KEY, alive BLOB NOT NULL);
CREATE TABLE ledger_marks (
    seq INTEGER PRIMARY KEY, mark TEXT NOT NULL, conversation_id TEXT, user_id TEXT, turn INTEGER
);
""",
}
_TAKEN = """
INSERT INTO main.meta SELECT key, value FROM old.meta WHERE key IN ('last_seq', 'max_messages');
INSERT INTO main.users SELECT user_id, current_conversation, payload FROM old.users;
INSERT INTO main.conversations (conversation_id, user_id, next_turn, stale)
    SELECT conversation_id, user_id, next_turn, stale + (next_turn > 0) FROM old.conversations;
"""
_FORWARD = """
INSERT INTO main.sessions
    (session_id, user_id, conversation_id, is_active, payload, too_late)
    SELECT session_id, user_id, conversation_id, is_active, payload, EXISTS (
        SELECT 1 FROM old.conversations AS its
        WHERE its.conversation_id = one.conversation_id AND its.user_id <> one.user_id
    ) FROM old.sessions AS one ORDER BY started;
"""
_BACKWARD = """
INSERT INTO main.sessions (session_id, user_id, conversation_id, is_active, started, payload)
    SELECT session_id, user_id, conversation_id, is_active, started, payload FROM old.sessions;
"""


def schema_in(path: Path) -> int:
    """The schema of a file; 0 where there is none yet.

    Raises:
        EngineError: it cannot be read.
    """
    if not path.exists() or not path.stat().st_size:
        return 0
    try:
        with closing(_reading(path)) as database:
            ((version,),) = database.execute("PRAGMA user_version")
            return int(version)
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error


def losses(path: Path, after: int) -> dict[str, int]:
    """What a file loses on its way to another schema, in words, and how often.

    Raises:
        EngineError: it cannot be read.
    """
    if after >= schema_in(path):
        return {}
    try:
        with closing(_reading(path)) as database:
            has_notes = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'notes'")
            notes = 0
            if has_notes.fetchone():
                ((notes,),) = database.execute("SELECT count(*) FROM notes")
            ((marks,),) = database.execute("SELECT count(*) FROM ledger_marks")
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    return {
        "conversations' notes (titles, summaries, tags)": int(notes),
        "marks of lost rows": int(marks),
    }


def known_gone(path: Path) -> tuple[int, frozenset[int]] | None:
    """Up to which ``seq`` the ledger knows the rows, and which of them are there.

    None where there is no ledger: before schema 2.

    Raises:
        EngineError: it cannot be read.
    """
    if schema_in(path) < 2:
        return None
    alive: set[int] = set()
    try:
        with closing(_reading(path)) as database:
            ((last,),) = database.execute("SELECT value FROM meta WHERE key = 'last_seq'")
            for block, bits in database.execute("SELECT block, alive FROM ledger"):
                whole = int.from_bytes(bits, "little")
                alive |= {block * _BLOCK + bit for bit in range(_BLOCK) if whole >> bit & 1}
            alive |= {seq for (seq,) in database.execute("SELECT seq FROM ledger_marks")}
    except sqlite3.Error as error:
        raise _unreadable(path, error) from error
    return int(last), frozenset(alive)


def convert(source: Path, target: Path, after: int, seqs: Sequence[int]) -> None:
    """Make a file of another schema beside the one that is there.

    Args:
        source: the file; it is read only.
        target: where the new one is made.
        after: its schema.
        seqs: of all rows of the store, for the ledger.

    Raises:
        EngineError: one cannot be read, or the other not be written.
    """
    before = schema_in(source)
    try:
        if before == after:
            with closing(_reading(source)) as database:
                database.execute("VACUUM INTO ?", (str(target),))
            return
        with closing(sqlite3.connect(target)) as database:
            database.execute("ATTACH ? AS old", (f"{source.absolute().as_uri()}?mode=ro",))
            database.executescript(
                f"BEGIN;{_SCHEMAS[after]}{_TAKEN}{_FORWARD if after > before else _BACKWARD}"
                f"PRAGMA user_version = {after};COMMIT;"
            )
            if after > before:
                _make_ledger(database, seqs)
    except sqlite3.Error as error:
        raise EngineError(
            "sqlite", "migrate the sessions", str(error), fix="Check the free space.", cause=error
        ) from error


def _make_ledger(database: sqlite3.Connection, seqs: Sequence[int]) -> None:
    ((last,),) = database.execute("SELECT value FROM main.meta WHERE key = 'last_seq'")
    blocks: dict[int, int] = {}
    count = 0
    for seq in seqs:
        if seq <= last:  # the others follow when the store is opened
            blocks[seq // _BLOCK] = blocks.get(seq // _BLOCK, 0) | 1 << seq % _BLOCK
            count += 1
    with database:
        database.executemany(
            "INSERT INTO main.ledger VALUES (?, ?)",
            [(block, bits.to_bytes(_BLOCK // 8, "little")) for block, bits in blocks.items()],
        )
        database.execute("INSERT INTO main.meta VALUES ('rows', ?)", (count,))


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _unreadable(path: Path, error: sqlite3.Error) -> EngineError:
    return EngineError(
        "sqlite",
        "read the sessions",
        f"{path}: {error}",
        fix="Open the store once with the version that wrote it, which mends them.",
        cause=error,
    )
