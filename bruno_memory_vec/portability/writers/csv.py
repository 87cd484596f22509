"""A table of rows as CSV, for spreadsheets.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-`` or ``@`` for a formula, and a text
that somebody has sent may be one. So a text that begins with one of these, with their wide forms,
with a tab or with an end of line, gets an apostrophe in front; so does a text that begins with an
apostrophe itself. One leading apostrophe less gives every text back (:func:`unguarded`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.portability.exported import PROFILE, SESSION, time_text
from bruno_memory_vec.portability.writers.tables import PROFILES, ROWS, SESSIONS, person_values
from bruno_memory_vec.portability.writers.writer import About, Files, beside
from bruno_memory_vec.rows.models import Row

_GUARD = "'"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", _GUARD)
_TIMES = ("created_at", "pinned_at", "archived_at", "expires_at", "updated_at", "last_accessed")


def guarded(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return _GUARD + text if text.startswith(_FORMULA) else text


def unguarded(text: str) -> str:
    """The text that :func:`guarded` was given."""
    return text.removeprefix(_GUARD)


class CsvWriter:
    """A ``Writer`` of CSV: RFC 4180, UTF-8, a header line."""

    vectors: ClassVar[bool] = False
    by_conversation: ClassVar[bool] = False
    has_sessions: ClassVar[bool] = True

    def __init__(self, path: Path, about: About, *, overwrite: bool) -> None:
        self._path = path
        self._files = Files(overwrite=overwrite)
        self._file = self._files.open(path)
        self._others: dict[str, BinaryIO] = {}
        _write(self._file, [[name for name, _ in ROWS]])

    def rows(self, rows: Sequence[Row], vectors: NDArray[np.float32] | None) -> None:
        _write(self._file, [[_cell(name, row[name]) for name, _ in ROWS] for row in rows])

    def person(self, kind: str, held: Mapping[str, Any]) -> None:
        if kind not in (SESSION, PROFILE):
            return
        if kind not in self._others:
            self._others[kind] = self._files.open(beside(self._path, f"{kind}s"))
            columns = SESSIONS if kind == SESSION else PROFILES
            _write(self._others[kind], [[name for name, _ in columns]])
        _write(self._others[kind], [[_cell("", value) for value in person_values(kind, held)]])

    def finish(self) -> list[Path]:
        return self._files.finish([beside(self._path, f"{kind}s") for kind in (SESSION, PROFILE)])

    def discard(self) -> None:
        self._files.discard()


def _cell(name: str, value: Any) -> Any:
    if value is None:
        return ""
    if name in _TIMES:
        return time_text(value)
    if name == "tags":
        value = json.dumps(value, ensure_ascii=False) if value else ""
    return guarded(value) if isinstance(value, str) else value


def _write(file: BinaryIO, lines: Sequence[Sequence[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    file.write(text.getvalue().encode())
