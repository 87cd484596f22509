"""Everything, exactly, as JSON lines: :mod:`bruno_memory_vec.portability.exported`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.portability.exported import END, MARK, VERSION, json_line, line_of
from bruno_memory_vec.portability.writers.writer import About, Files
from bruno_memory_vec.rows.models import Row


class JsonlWriter:
    """A ``Writer`` of JSON lines."""

    vectors: ClassVar[bool] = True
    by_conversation: ClassVar[bool] = False
    has_sessions: ClassVar[bool] = True

    def __init__(self, path: Path, about: About, *, overwrite: bool) -> None:
        self._files = Files(overwrite=overwrite)
        self._file = self._files.open(path)
        self._lines = 0
        header = {
            MARK: VERSION,
            "exported_at": about.exported_at,
            "store": about.store,
            "fingerprint": about.fingerprint,
            "vectors": about.vectors,
            "language": about.language,
            "of": about.of,
        }
        self._write(json_line(header))

    def rows(self, rows: Sequence[Row], vectors: NDArray[np.float32] | None) -> None:
        for number, row in enumerate(rows):
            self._write(line_of(row, None if vectors is None else vectors[number]))

    def person(self, kind: str, held: Mapping[str, Any]) -> None:
        self._write(json_line({"kind": kind, **held}))

    def finish(self) -> list[Path]:
        self._write(json_line({"kind": END, "lines": self._lines + 1}))
        return self._files.finish()

    def discard(self) -> None:
        self._files.discard()

    def _write(self, line: str) -> None:
        self._file.write(line.encode())
        self._file.write(b"\n")
        self._lines += 1
