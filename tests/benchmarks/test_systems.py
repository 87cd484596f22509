"""This package as a system of the harness: ids, users, times."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

from benchmarks.retrieval.datasets.base import Turn
from benchmarks.retrieval.systems import Memory, System, moments
from bruno_memory_vec.embedders.hashing import HashEmbedder

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
NOW = START + timedelta(days=90)


def turns() -> list[Turn]:
    # Two users with the same turn ids and conversation ids, and texts that stand alone.
    return [
        Turn("t1", "ana", "c", "user", "I moved to Porto in spring.", START),
        Turn("t2", "ana", "c", "assistant", "Porto has fine bridges."),
        Turn("t1", "ben", "c", "user", "I moved to Oslo in autumn.", START),
        Turn("d1", "ana", None, "user", "A document about beagles."),
    ]


async def test_it_answers_with_ids_of_the_user(tmp_path: Path) -> None:
    system: System = Memory("balanced", HashEmbedder())
    await system.open(tmp_path)
    try:
        await system.store(turns())
        assert set(await system.ask("moved Porto", "ana", 20, NOW)) <= {"t1", "t2", "d1"}
        assert (await system.ask("beagles", "ana", 1, NOW)) == ["d1"]
        assert (await system.ask("Porto Oslo moved", "ben", 20, NOW)) == ["t1"]
        assert await system.ask("moved", "nobody", 20, NOW) == []
    finally:
        await system.close()


def test_settings_are_the_whole_profile_and_the_embedder(tmp_path: Path) -> None:
    system = Memory("balanced", HashEmbedder())
    assert system.name == "balanced"
    assert system.settings["profile"]["rank"]["fusion"]["method"]
    assert system.settings["profile"]["rank"]["neighbours"]["distance"] == 2
    assert system.settings["embedder"] == HashEmbedder().fingerprint.to_dict()


async def test_closing_what_was_not_opened_does_nothing() -> None:
    await Memory("balanced", HashEmbedder()).close()


def test_moments_go_on_where_the_user_was() -> None:
    undated = datetime(2000, 1, 1, 0, 0, 1, tzinfo=timezone.utc)
    found = list(moments([Turn("a", "cleo", None, "user", "x"), *turns()]))
    second = timedelta(seconds=1)
    assert found == [undated, START, START + second, START, START + 2 * second]
