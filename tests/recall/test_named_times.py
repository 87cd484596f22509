"""The strategy "temporal": only rows of the time that the question names, also of one to come."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from bruno_memory_vec import open_memory

NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("query", "years"),
    [
        ("dentist in May 2027", [2027]),
        ("dentist next year", [2027]),
        ("dentist on 2027-05-03", [2027]),
        ("dentist last year", [2025]),
        ("dentist next month", []),
    ],
)
async def test_a_time_to_come_leaves_out_other_rows(query: str, years: list[int]) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        view = memory.for_user("ana")
        for year in (2025, 2027):
            at = datetime(year, 5, 3, 9, tzinfo=timezone.utc)
            await view.episodic.add("dentist appointment", at=at)
        found = await view.recall(query, strategy="temporal", now=NOW)
        assert [hit.created_at.year for hit in found] == years
