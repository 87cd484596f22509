"""Each export is taken in twice, and the second time is known again."""

from __future__ import annotations

from pathlib import Path

import pytest

from bruno_memory_vec import open_memory

EXPORTS = Path(__file__).parent / "exports"
ALL = sorted(path for path in EXPORTS.iterdir() if not path.name.startswith("."))


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
async def test_a_second_time_changes_nothing(path: Path) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        first = await memory.ingest(path)
        assert first.added or first.memories
        assert first.unchanged == first.edited == first.gone == 0
        again = await memory.ingest(path)
        assert (again.added, again.edited, again.gone) == (0, 0, 0)
        assert again.unchanged == first.added


async def test_all_of_them_at_once() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        first = await memory.ingest(EXPORTS)
        again = await memory.ingest(EXPORTS)
        assert first.added > 100
        # Two of them give one id to different words, so that the later one counts each time.
        assert (again.added, again.gone) == (0, 0)
        assert again.edited <= 2
