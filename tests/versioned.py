"""The oracle's engine with a version, as what stands behind a write-ahead log has to have one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.reference import ReferenceIndex


class VersionedReference(ReferenceIndex):
    """Counts its changes."""

    changes = 0

    async def upsert(self, rows: pa.Table, *, all_new: bool) -> None:
        self.changes += 1
        await super().upsert(rows, all_new=all_new)

    async def update(self, rows: pa.Table) -> None:
        self.changes += 1
        await super().update(rows)

    async def delete(
        self, scope: Scope, where: RowFilter, *, seqs: Sequence[int] | None = None
    ) -> NDArray[np.int64]:
        self.changes += 1
        return await super().delete(scope, where, seqs=seqs)

    async def version(self) -> int:
        return self.changes
