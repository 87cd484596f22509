"""The SQLite file of bruno-memory (0.1): its messages, memories, sessions and users.

Nothing of bruno-memory is imported: the file is read, and never written. What it has and the models
of bruno-core do not (titles and summaries of conversations, its own times of storing) is left out.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from bruno_core.models.context import SessionContext, UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole, MessageType
from pydantic import ValidationError

from bruno_memory_vec.errors import BackendUnavailable, InvalidInputError
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Turn, check_time

#: What a URL of such a file begins with.
SCHEME = "bruno-memory:"
#: Where messages go that name no conversation.
CONVERSATION = "bruno-memory"

#: What a SQLite file begins with.
HEADER = b"SQLite format 3\0"
_TABLES = {
    "messages",
    "memory_entries",
    "session_contexts",
    "user_contexts",
    "conversation_contexts",
}
# Whose a conversation is: what comes later counts more, of one table what is older.
_OWNERS = (
    "SELECT conversation_id, user_id FROM memory_entries WHERE conversation_id IS NOT NULL "
    "ORDER BY created_at DESC, rowid DESC",
    "SELECT conversation_id, user_id FROM session_contexts ORDER BY started_at DESC, rowid DESC",
    "SELECT conversation_id, user_id FROM conversation_contexts",
)

T = TypeVar("T")


def is_sqlite(path: str | Path) -> bool:
    """Whether a file is a SQLite database, by its first bytes."""
    if not Path(path).is_file():  # what is read of a pipe is gone
        return False
    try:
        with open(path, "rb") as file:
            return file.read(len(HEADER)) == HEADER
    except OSError:
        return False


@dataclass(slots=True)
class BrunoMemoryFile:
    """A file of bruno-memory. Open one with :meth:`open`.

    Attributes:
        path: where it is.
        owners: by conversation, whose it is, as far as anything in the file says so: the
            conversation's own record, else its first session, else a memory of it.
    """

    path: Path
    owners: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, path: str | Path) -> BrunoMemoryFile:
        """Look at a file; it is opened again for each reading, so that it can be read twice.

        Raises:
            InvalidInputError: it is no file of bruno-memory.
            BackendUnavailable: it cannot be read.
        """
        path = Path(path).expanduser()
        if not path.is_file() or not is_sqlite(path):
            raise InvalidInputError(
                "source", f"{path} is no SQLite file", fix="Name a file of bruno-memory."
            )
        found = cls(path)
        names = {name for (name,) in found._rows("SELECT name FROM sqlite_master")}
        if not names >= _TABLES:
            missing = ", ".join(sorted(_TABLES - names))
            raise InvalidInputError(
                "source",
                f"{path} is a SQLite file without the tables {missing}",
                fix="Name a file of bruno-memory 0.1.",
            )
        for statement in _OWNERS:
            found.owners.update(found._rows(statement))
        return found

    def turns(self) -> Iterator[Turn | BadLine]:
        """Every message, in the order of their times."""
        statement = "SELECT * FROM messages ORDER BY timestamp, rowid"
        yield from self._each("messages", statement, self._turn)

    def memories(self) -> Iterator[MemoryEntry | BadLine]:
        """Every memory, in the order of their making."""
        statement = "SELECT * FROM memory_entries ORDER BY created_at, rowid"
        yield from self._each("memory_entries", statement, _memory)

    def sessions(self) -> Iterator[SessionContext | BadLine]:
        """Every session, the one that began first first."""
        statement = "SELECT * FROM session_contexts ORDER BY started_at, rowid"
        yield from self._each("session_contexts", statement, _session)

    def users(self) -> Iterator[UserContext | BadLine]:
        """Every user with a profile."""
        statement = "SELECT * FROM user_contexts ORDER BY user_id"
        yield from self._each("user_contexts", statement, _user)

    def _turn(self, row: Mapping[str, Any]) -> Turn:
        talk = row["conversation_id"] or CONVERSATION
        message = Message(
            id=UUID(row["id"]),
            role=MessageRole(row["role"]),
            content=row["content"],
            message_type=MessageType(row["message_type"]),
            timestamp=_time(row["timestamp"], "timestamp"),
            metadata=_json(row["metadata"], "metadata"),
            parent_id=UUID(row["parent_id"]) if row["parent_id"] else None,
            conversation_id=row["conversation_id"],
        )
        return Turn(talk, self.owners.get(talk), message, None, source_id=row["id"])

    def _each(
        self, table: str, statement: str, make: Callable[[Mapping[str, Any]], T]
    ) -> Iterator[T | BadLine]:
        for row in self._rows(statement):
            try:
                yield make(row)
            except BadFieldError as error:
                yield _bad(table, row, error.where, error.problem)
            except ValidationError as error:
                first = error.errors()[0]
                yield _bad(table, row, ".".join(map(str, first["loc"])), first["msg"])
            except ValueError as error:  # of UUID and of the enumerations
                yield _bad(table, row, "row", str(error))

    def _rows(self, statement: str) -> Iterator[Any]:
        try:
            # Read-only. A log that a running program has beside it is read, too.
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            with closing(sqlite3.connect(uri, uri=True)) as database:
                database.row_factory = sqlite3.Row
                yield from database.execute(statement)
        except sqlite3.Error as error:
            raise BackendUnavailable(
                "sqlite",
                "read",
                f"{self.path}: {error}",
                fix="Check the file with bruno-memory itself, or restore it from a backup.",
                cause=error,
            ) from error


def _memory(row: Mapping[str, Any]) -> MemoryEntry:
    return MemoryEntry(
        id=UUID(row["id"]),
        content=row["content"],
        memory_type=MemoryType(row["memory_type"]),
        user_id=row["user_id"],
        conversation_id=row["conversation_id"],
        metadata=MemoryMetadata.model_validate(_json(row["metadata"], "metadata")),
        created_at=_time(row["created_at"], "created_at"),
        updated_at=_time(row["updated_at"], "updated_at"),
        last_accessed=_time(row["last_accessed"], "last_accessed"),
        expires_at=_time(row["expires_at"], "expires_at") if row["expires_at"] else None,
    )


def _session(row: Mapping[str, Any]) -> SessionContext:
    return SessionContext(
        session_id=row["session_id"],
        user_id=row["user_id"],
        conversation_id=row["conversation_id"],
        started_at=_time(row["started_at"], "started_at"),
        ended_at=_time(row["ended_at"], "ended_at") if row["ended_at"] else None,
        last_activity=_time(row["last_activity"], "last_activity"),
        is_active=bool(row["is_active"]),
        state=_json(row["state"], "state"),
        metadata=_json(row["metadata"], "metadata"),
    )


def _user(row: Mapping[str, Any]) -> UserContext:
    return UserContext(
        user_id=row["user_id"],
        name=row["name"],
        preferences=_json(row["preferences"], "preferences"),
        profile=_json(row["profile"], "profile"),
        metadata=_json(row["metadata"], "metadata"),
        created_at=_time(row["created_at"], "created_at"),
        last_active=_time(row["last_active"], "last_active"),
    )


def _bad(table: str, row: Mapping[str, Any], where: str, problem: str) -> BadLine:
    # The first column of each table is its key.
    return BadLine(None, f"{table}[{next(iter(row))}].{where}", problem)


def _time(text: Any, where: str) -> datetime:
    """A time as it was stored: naive, or with its offset."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        pass
    # What bruno-memory has not written itself, such as a time that ends with a Z.
    found = check_time(text, where)
    if found is None:
        raise BadFieldError(where, "is missing")
    return found


def _json(text: Any, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text) if text else {}
    except (TypeError, ValueError, RecursionError) as error:
        raise BadFieldError(where, f"is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadFieldError(where, f"is no JSON object, but a {type(value).__name__}")
    return value
