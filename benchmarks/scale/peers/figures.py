"""From folders and answers to the figures of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Vectors that are as near as the last of the exact answer, but for rounding, are right answers.
_ROUNDING = 1e-5


def size_on_disk(folder: Path) -> dict[str, Any]:
    """MiB and number of the files below a folder."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {"disk_mib": round(sum(sizes) / 2**20, 1), "files": len(sizes)}


def recall_at(
    k: int, found: Sequence[int], ids: NDArray[np.int64], similarity: NDArray[np.float32]
) -> float:
    """The share of the `k` nearest that was found.

    Args:
        k: how many were asked for.
        found: the answer; what comes after the `k`-th counts for nothing.
        ids: shape (n,), n of at least 1: all rows that could be answered.
        similarity: shape (n,): of each to the question.
    """
    wanted = min(k, len(ids))
    bound = np.partition(similarity, -wanted)[-wanted] - _ROUNDING
    right = {int(one) for one in ids[similarity >= bound]}
    return min(len(right.intersection(found[:k])), wanted) / wanted
