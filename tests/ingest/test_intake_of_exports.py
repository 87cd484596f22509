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


@pytest.mark.parametrize("page_first", [False, True])
async def test_activities_of_google_as_json_and_as_a_page_are_one(
    page_first: bool, tmp_path: Path
) -> None:
    """JSON has milliseconds, the page seconds."""
    whole = (EXPORTS / "gemini" / "MyActivity.json").read_text("utf-8")
    (tmp_path / "MyActivity.json").write_text(whole.replace("00.000Z", "00.806Z"))
    sources = [tmp_path, EXPORTS / "gemini-page"]
    async with open_memory("memory://", embedder="hash") as memory:
        first, second = reversed(sources) if page_first else sources
        await memory.ingest(first)
        report = await memory.ingest(second)
        # The page has one activity more.
        assert (report.added, report.edited, report.gone) == (0 if page_first else 2, 4, 0)
        assert len(await memory.read_turns("gemini/2025-09-01")) == 2
