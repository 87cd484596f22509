"""The tables of a matrix: a column a data set, and which differences are marked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.retrieval.matrix import Entry, run_matrix
from benchmarks.retrieval.tables import markdown
from tests.benchmarks.fixed import Fixed

TURNS = 30


class Backward(Fixed):
    """Answers with the last turns of the user first."""

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        return (await super().ask(text, user_id, len(self.turns), now, until))[::-1][:k]


@pytest.fixture
def people(write_lines: Callable[..., Path]) -> Callable[[str, int, int], Path]:
    """A data set of so many users with so many questions each, all answered by the first turn."""

    def write(name: str, users: int, questions: int) -> Path:
        lines: list[dict[str, Any]] = []
        for user in (f"user-{number}" for number in range(users)):
            lines += [
                {"type": "turn", "id": f"t{n}", "user_id": user, "content": f"Turn {n}."}
                for n in range(TURNS)
            ]
            lines += [
                {"type": "question", "id": f"{user}-{n}", "user_id": user, "question": "Which?"}
                | {"gold": ["t0"]}
                for n in range(questions)
            ]
        return write_lines(f"{name}.jsonl", *lines)

    return write


async def reports(*paths: Path, first: type[Fixed] = Fixed) -> list[dict[str, Any]]:
    rows = [Entry("peer first", first, None), Entry("peer backward", Backward, None)]
    outcome = await run_matrix([("jsonl", path) for path in paths], rows)
    assert not outcome.failed
    return outcome.reports


async def test_all_data_sets_stand_side_by_side(people: Callable[..., Path]) -> None:
    found = await reports(people("many", 8, 1), people("few", 2, 8))
    table = markdown(found).splitlines()
    assert table[0] == "## All data sets"
    head, _, first, backward = (line.split("|")[1:-1] for line in table[4:8])
    assert [cell.strip() for cell in head] == ["system", "embedder", "many", "few", "mean"]
    assert [cell.strip() for cell in first[2:]] == ["1.000 / 1.000"] * 3
    # Eight users whose figures are swapped: p = 2 / 256. Of two users it is never below 0.5, so the
    # sixteen questions are swapped, and the mark is another one.
    assert [cell.strip() for cell in backward[2:]] == [
        "0.000* / 0.000*",
        "0.000° / 0.000°",
        "0.000 / 0.000",
    ]
    legend = [line for line in table[8:13] if "differs" in line]
    assert legend == [
        "\\* differs from the first row, p < 0.05 (paired, by group)",
        "° differs from the first row, p < 0.05 (paired, by question: there are too few groups)",
    ]
    sections = [line for line in table if line.startswith("## ")]
    assert sections == ["## All data sets", "## many (all)", "## few (all)"]


async def test_a_system_that_lacks_a_data_set_has_no_mean(people: Callable[..., Path]) -> None:
    found = await reports(people("many", 8, 1), people("few", 2, 8))
    table = markdown(found[:-1]).splitlines()
    cells = [cell.strip() for cell in table[7].split("|")[1:-1]]
    assert cells == ["peer backward", "-", "0.000* / 0.000*", "-", "-"]


async def test_what_does_not_differ_has_no_mark(people: Callable[..., Path]) -> None:
    found = await reports(people("many", 8, 1), people("few", 2, 8), first=Backward)
    assert "*" not in markdown(found)
    assert "°" not in markdown(found)


async def test_of_one_data_set_there_is_its_own_table_alone(people: Callable[..., Path]) -> None:
    table = markdown(await reports(people("many", 8, 1)))
    assert table.startswith("## many (all)")
    assert "0.000*" in table
