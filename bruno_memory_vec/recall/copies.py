"""Copies: a message may be stored in several conversations, but a recall shows it once.

Of the copies among the candidates only the newest is kept, so that a history that was stored in
many conversations does not displace other candidates. The turns around a candidate may bring
copies back into the pool; of those the best is shown (``rankers.rank``).
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bruno_memory_vec.indexers.schema import MEMORY

#: The columns that :func:`numbered` reads.
COLUMNS = ("user_id", "kind", "id")
#: Where too few candidates are left without copies, the engines are asked again for this many times
#: as many, ...
MORE = 4
#: ... up to this many times the first number.
MOST = 64


def numbered(rows: pa.Table) -> NDArray[np.int64] | None:
    """A number for each of n rows (:data:`COLUMNS`), the same for copies; None where none is one.

    Copies have one user, one kind and one id. Returns int64 (n,).
    """
    ids = rows.column("id").combine_chunks().dictionary_encode()
    if len(ids.dictionary) == len(rows):
        return None
    users = rows.column("user_id").combine_chunks().dictionary_encode()
    owner = users.indices.to_numpy() * 2 + np.asarray(
        [kind == MEMORY for kind in rows.column("kind").to_pylist()], np.int64
    )
    numbers = ids.indices.to_numpy().astype(np.int64) * (2 * len(users.dictionary)) + owner
    return None if len(np.unique(numbers)) == len(numbers) else numbers


def once(rows: pa.Table) -> pa.Table:
    """Rows (``seq`` and :data:`COLUMNS` among their columns) without older copies, in their order.

    Of copies the one that was stored last is the newest.
    """
    number = numbered(rows)
    if number is None:
        return rows
    older = older_copies(rows.column("seq").to_numpy(), number)
    return rows.filter(pc.invert(pc.is_in(rows.column("seq"), pa.array(older, pa.int64()))))


def older_copies(
    seq: NDArray[np.int64],
    number: NDArray[np.int64],
    created_at: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """The ``seq``, int64, of each row that has a newer one of its number among the rows.

    Args:
        seq: int64 (n,), of the rows.
        number: int64 (n,), as of :func:`numbered`.
        created_at: int64 (n,), which of them is newer; without it ``seq`` says so.
    """
    newest_first = np.lexsort((-seq,) if created_at is None else (-seq, -created_at))
    _, kept = np.unique(number[newest_first], return_index=True)
    older: NDArray[np.int64] = np.delete(seq[newest_first], kept)
    return older
