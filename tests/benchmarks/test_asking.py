"""When a question is asked and of what, for systems that filter by time and for others."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from benchmarks.retrieval.asking import ask, asked
from benchmarks.retrieval.datasets import load
from benchmarks.retrieval.systems import Memory, moments
from bruno_memory_vec.embedders.hashing import HashEmbedder
from tests.benchmarks.conftest import Write, question, turn
from tests.benchmarks.fixed import Fixed

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def talk(write_lines: Write) -> Path:
    """A question that is the third of four turns of the talk, and one after the talk."""
    return write_lines(
        "talk.jsonl",
        turn("t1", "ana", "My violin is in the garden.", "2026-03-01T10:00:00Z"),
        turn("t2", "ana", "The violin needs new strings.", "2026-03-01T11:00:00Z"),
        turn("t3", "ana", "Where is my violin?", "2026-03-01T12:00:00Z"),
        turn("t4", "ana", "In the garden is the violin.", "2026-03-01T13:00:00Z"),
        question("q1", "ana", "Where is my violin?", ["t1"], asked_at="2026-03-01T12:00:00Z"),
        question("q2", "ana", "Where is my violin?", ["t4"], asked_at="2026-04-01T12:00:00Z"),
        question("q3", "ana", "Where is my violin?", ["t4"]),
    )


def test_a_question_amid_the_talk_is_asked_of_what_was_said_before(write_lines: Write) -> None:
    amid, after, unsaid = asked(load("jsonl", talk(write_lines)))
    assert (amid.now, amid.until, amid.later) == (NOON, NOON, 2)
    assert (after.until, after.later) == (None, 0)
    assert (str(unsaid.now), unsaid.until) == ("2026-03-02 13:00:00+00:00", None)


async def test_every_system_answers_by_what_was_said_before(
    write_lines: Write, tmp_path: Path
) -> None:
    data = load("jsonl", talk(write_lines))
    said = {one.id: at for one, at in zip(data.turns, moments(data.turns), strict=True)}
    amid, after, _ = asked(data)
    for number, system in enumerate([Memory("balanced", HashEmbedder(64)), Fixed()]):
        folder = tmp_path / str(number)
        folder.mkdir()
        await system.open(folder)
        await system.store(data.turns)
        assert set(await ask(system, amid, 2, said)) == {"t1", "t2"}
        assert set(await ask(system, after, 4, said)) == {"t1", "t2", "t3", "t4"}
        await system.close()
