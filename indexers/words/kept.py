"""The words of rows that come with their terms, which need not be made anew."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .index import WordIndex
from .terms import TERMS


def without_terms(table: pa.Table) -> tuple[pa.Table, WordIndex | None]:
    """Rows in the order of ``seq``, without :data:`TERMS`, and their words in this order.

    None where a row's terms are of another analysis, or the table has none.
    """
    if TERMS not in table.column_names:
        return table, None
    seq = table.column("seq").to_numpy()
    if (np.diff(seq) <= 0).any():
        table = table.take(pa.array(np.argsort(seq, kind="stable")))
    terms, table = table.column(TERMS), table.drop_columns([TERMS])
    if terms.null_count:
        return table, None
    numbers = [part.flatten().to_numpy() for part in terms.chunks]
    lengths = pc.list_value_length(terms).to_numpy()
    return table, WordIndex.of_terms(np.concatenate([np.empty(0, np.int64), *numbers]), lengths)
