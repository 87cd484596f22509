"""What the tests of backups share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bruno_memory_vec import VectorMemory, open_memory, restore_backup
from bruno_memory_vec.indexers.schema import CHECKSUM
from tests.reembed.support import rows_and_vectors

Rows = list[tuple[dict[str, Any], list[float]]]


async def state(memory: VectorMemory) -> Rows:
    """Every row with its vector, in their order, without what each store gives anew."""
    rows, vectors = await rows_and_vectors(memory)
    own = {"seq", CHECKSUM}
    return [
        ({name: value for name, value in row.items() if name not in own}, np.round(v, 6).tolist())
        for row, v in zip(rows, vectors, strict=True)
    ]


async def restored(backup: Path, to: Path, **asked: Any) -> Rows:
    """The rows of a point, restored into a new store."""
    report = await restore_backup(backup, to, **asked)
    assert report.ok, report
    async with open_memory(to, embedder="hash") as memory:
        return await state(memory)


def files_of(place: Path) -> list[Path]:
    """Every file of a backup, none where there is no backup."""
    if place.is_file():
        return [place]
    return sorted(path for path in place.rglob("*") if path.is_file())


def flip(path: Path, at: int) -> None:
    """Change a byte of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)
