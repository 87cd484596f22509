"""What users' files lack, in memory: rows that were added since, which no engine is asked for."""

from __future__ import annotations

import pyarrow as pa

#: So many rows at most are kept. With more, all are dropped.
_MOST_ROWS = 5_000


class NewerRows:
    """The rows that were added to users since their files were written.

    A user's are here only if they are all that the file lacks; who is not here is asked for of the
    engine. So whoever adds rows takes the user's away before, and puts them back with the new ones
    when these are stored.
    """

    def __init__(self) -> None:
        self._of: dict[str, list[pa.Table]] = {}
        self._rows = 0

    def has(self, user_id: str) -> bool:
        """Whether a user's are here."""
        return user_id in self._of

    def of(self, user_id: str) -> pa.Table | None:
        """A user's rows; None where the engine has to be asked."""
        tables = self._of.get(user_id)
        return pa.concat_tables(tables) if tables else None

    def take(self, user_id: str) -> list[pa.Table]:
        """A user's rows, which are not here any more."""
        tables = self._of.pop(user_id, [])
        self._rows -= sum(table.num_rows for table in tables)
        return tables

    def put(self, user_id: str, tables: list[pa.Table]) -> None:
        """Keep a user's rows, unless there are too many of all."""
        self._of[user_id] = tables
        self._rows += sum(table.num_rows for table in tables)
        if self._rows > _MOST_ROWS:
            self.clear()

    def clear(self) -> None:
        """Keep nobody's rows."""
        self._of.clear()
        self._rows = 0
