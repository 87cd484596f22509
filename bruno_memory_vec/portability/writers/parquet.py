"""A table of rows as Parquet, with types: times are timestamps, tags lists, vectors lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from bruno_memory_vec.portability.exported import PROFILE, SESSION
from bruno_memory_vec.portability.writers.tables import (
    PROFILES,
    ROWS,
    SESSIONS,
    person_values,
    row_table,
)
from bruno_memory_vec.portability.writers.writer import About, Files, beside
from bruno_memory_vec.rows.models import Row


class ParquetWriter:
    """A ``Writer`` of Parquet, compressed by Zstandard."""

    vectors: ClassVar[bool] = True
    by_conversation: ClassVar[bool] = False
    has_sessions: ClassVar[bool] = True

    def __init__(self, path: Path, about: About, *, overwrite: bool) -> None:
        self._path = path
        self._files = Files(overwrite=overwrite)
        fields = [pa.field(name, kind) for name, kind in ROWS]
        if about.vectors:
            self._vector = pa.list_(pa.float32(), int(about.fingerprint["dimension"]))
            fields.append(pa.field("vector", self._vector))
        self._writer = pq.ParquetWriter(
            self._files.open(path), pa.schema(fields), compression="zstd"
        )
        self._others: dict[str, list[list[Any]]] = {}

    def rows(self, rows: Sequence[Row], vectors: NDArray[np.float32] | None) -> None:
        table = row_table(rows)
        if vectors is not None:
            flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
            made = pa.FixedSizeListArray.from_arrays(flat, self._vector.list_size)
            table = table.append_column("vector", made)
        self._writer.write_table(table)

    def person(self, kind: str, held: Mapping[str, Any]) -> None:
        if kind in (SESSION, PROFILE):
            self._others.setdefault(kind, []).append(person_values(kind, held))

    def finish(self) -> list[Path]:
        self._writer.close()
        for kind, lines in self._others.items():
            columns = SESSIONS if kind == SESSION else PROFILES
            arrays = [
                pa.array([line[at] for line in lines], held) for at, (_, held) in enumerate(columns)
            ]
            table = pa.Table.from_arrays(arrays, names=[name for name, _ in columns])
            pq.write_table(
                table, self._files.open(beside(self._path, f"{kind}s")), compression="zstd"
            )
        return self._files.finish([beside(self._path, f"{kind}s") for kind in (SESSION, PROFILE)])

    def discard(self) -> None:
        self._files.discard()
