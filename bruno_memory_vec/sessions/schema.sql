-- Version 2. Sessions, owners, users and the hot context of a store.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE users (
    user_id              TEXT PRIMARY KEY,
    current_conversation TEXT,
    payload              TEXT            -- UserContext, as tagged JSON
) WITHOUT ROWID;

CREATE TABLE conversations (
    conversation_id TEXT PRIMARY KEY,
    user_id         TEXT NOT NULL,
    next_turn       INTEGER NOT NULL DEFAULT 0,
    -- Counts changes that the hot messages do not show yet; 0 where they are true.
    stale           INTEGER NOT NULL DEFAULT 0,
    -- When a message was last stored in it, in microseconds since 1970, UTC.
    touched         INTEGER
) WITHOUT ROWID;

CREATE TABLE notes (
    user_id         TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    payload         TEXT NOT NULL,      -- ConversationNote, as tagged JSON
    PRIMARY KEY (user_id, conversation_id)
) WITHOUT ROWID;

CREATE TABLE sessions (
    started         INTEGER PRIMARY KEY AUTOINCREMENT,   -- order of creation
    session_id      TEXT NOT NULL UNIQUE,
    user_id         TEXT NOT NULL,
    conversation_id TEXT NOT NULL,
    is_active       INTEGER NOT NULL,
    too_late        INTEGER NOT NULL,   -- 1 if the conversation was another user's already
    payload         TEXT NOT NULL       -- SessionContext, as tagged JSON
);
CREATE INDEX sessions_by_user ON sessions (user_id, started);
CREATE INDEX sessions_by_conversation ON sessions (conversation_id, user_id, is_active, started);

CREATE TABLE hot_messages (
    conversation_id TEXT NOT NULL,
    user_id         TEXT NOT NULL,
    turn            INTEGER NOT NULL,
    seq             INTEGER NOT NULL,
    payload         TEXT NOT NULL,      -- Message, as tagged JSON
    PRIMARY KEY (conversation_id, user_id, turn)
) WITHOUT ROWID;

-- Which rows were acknowledged and not deleted since (ledger.py).
CREATE TABLE ledger (
    block           INTEGER PRIMARY KEY,    -- seq / 1024
    alive           BLOB NOT NULL           -- 1024 bits, the lowest seq first
);

-- Rows about which there is more to say; where they were, as far as it is known.
CREATE TABLE ledger_marks (
    seq             INTEGER PRIMARY KEY,
    mark            TEXT NOT NULL,
    conversation_id TEXT,
    user_id         TEXT,
    turn            INTEGER
);

INSERT INTO meta VALUES ('last_seq', -1);
-- How many rows the ledger has.
INSERT INTO meta VALUES ('rows', 0);
