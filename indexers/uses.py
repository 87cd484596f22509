"""Access counts of rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .checksum import USED, used
from .protocols import RowIndex
from .query import EVERYONE, RowFilter
from .schema import CHECKSUM, TIMESTAMP

#: The columns that change when a row is used.
USE_COLUMNS = (*USED, CHECKSUM)


async def count_uses(rows: RowIndex, uses: Mapping[int, int], at: datetime) -> None:
    """Add to the access counts of existing rows, and set their last access, as one commit.

    The caller makes sure that no other change runs meanwhile.

    Args:
        rows: the index of the rows.
        uses: by ``seq``, how many to add.
        at: the time of the last access, timezone-aware.
    """
    if not uses:
        return
    columns = ["seq", *USE_COLUMNS]
    found = await rows.read(EVERYONE, RowFilter(), columns, seqs=list(uses))
    # Rows that share their seq, which only a hand or a fault leaves, are no row's uses to count.
    numbers, times_there = np.unique(found.column("seq").to_numpy(), return_counts=True)
    if len(numbers) < found.num_rows:
        alone = pa.array(numbers[times_there == 1])
        found = found.filter(pc.is_in(found.column("seq"), alone))
    if found.num_rows:
        seqs = found.column("seq")
        more = pa.array([uses[seq] for seq in seqs.to_pylist()], pa.int64())
        counts = pc.add(found.column("access_count"), more)
        times = pa.array([at] * found.num_rows, TIMESTAMP)
        counted = pa.Table.from_arrays([seqs, counts, times], names=["seq", *USED])
        await rows.update(counted.append_column(CHECKSUM, used(found, counted)))
