"""Messages that an export has in between: where they stand, and who is told of that."""

from __future__ import annotations

from pathlib import Path

from bruno_memory_vec import open_memory
from tests.ingest.intake_support import contents, export, said

WORDS = ["We leave for Lisbon", "The guesthouse is in Alfama", "Breakfast is at eight"]
BETWEEN = said("I live in Lisbon", timestamp="2025-03-01T10:00:30Z")


def timed(texts: list[str]) -> list[dict[str, object]]:
    return [said(text, timestamp=f"2025-03-01T10:{at:02}:00Z") for at, text in enumerate(texts)]


async def test_what_comes_in_between_is_extracted(tmp_path: Path) -> None:
    """It has a turn that extraction in the background has passed already."""
    rows = timed(WORDS)
    async with open_memory("memory://", embedder="hash", extract="patterns") as memory:
        await memory.ingest(export(tmp_path / "trip.jsonl", rows))
        await memory.facts.wait()
        store = await memory._lazy.get()
        note = await store.sessions.note("ana", "trip")
        assert note is not None
        assert note.extracted_turns == 3
        await memory.ingest(export(tmp_path / "trip.jsonl", [rows[0], BETWEEN, *rows[1:]]))
        note = await store.sessions.note("ana", "trip")
        assert note is not None
        assert note.extracted_turns == 1
        await memory.facts.wait()
        assert [fact.value for fact in await memory.facts.list("ana")] == ["Lisbon"]


async def test_summarised_turns_stay(tmp_path: Path) -> None:
    """Summaries name the turns that they are made of, so what comes in between stands behind."""
    rows = timed([f"{text}, number {at}" for at, text in enumerate(WORDS * 10)])
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.ingest(export(tmp_path / "trip.jsonl", rows))
        before = await contents(memory)
        await memory.compress(
            "ana", conversation_id="trip", policy={"keep_newest": 4, "block_turns": 10}
        )
        for _ in range(2):
            report = await memory.ingest(
                export(tmp_path / "trip.jsonl", [rows[0], BETWEEN, *rows[1:]])
            )
            assert report.gone == 0
        assert await contents(memory) == [*before, BETWEEN["content"]]
