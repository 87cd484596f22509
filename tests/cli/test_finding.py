"""recall --exact and --strategy, and timeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Run = Callable[..., Any]


def test_a_phrase(run: Run, store: list[str]) -> None:
    done = run("recall", "", "--exact", "GUESTHOUSE in alf", "--user", "ana", "--json", *store)
    assert done.code == 0
    (hit,) = done.json["hits"]
    assert ("guesthouse in Alf" in hit["content"], hit["score"]) == (True, 0.0)
    assert done.json["confidence"] is None
    case = ("--exact", "GUESTHOUSE", "--match-case")
    assert run("recall", "", *case, "--user", "ana", *store).code == 3
    shown = run("recall", "", "--exact", "guesthouse", "--user", "ana", *store)
    assert "guesthouse" in shown.out
    assert "likely" not in shown.out
    assert "0.000" not in shown.out
    assert (
        "likely"
        in run("recall", "where did we stay", "--exact", "guesthouse", "--user", "ana", *store).out
    )


def test_a_strategy(run: Run, store: list[str]) -> None:
    found = run(
        "recall", "guesthouse in", "--strategy", "exact", "--user", "ana", "--json", *store
    ).json
    assert found["strategy"] == "exact"
    assert all("guesthouse in" in hit["content"] for hit in found["hits"])
    assert run("recall", "x", "--strategy", "fuzzy", *store).code == 2


@pytest.mark.parametrize(
    "options",
    [
        ("x", "--strategy", "fulltext", "--profile", "fast"),
        ("x", "--strategy", "exact", "--exact", "y"),
        ("", "--strategy", "fulltext"),
        ("x", "--match-case"),
        ("x", "--exact", ""),
    ],
)
def test_what_cannot_be_asked(run: Run, store: list[str], options: tuple[str, ...]) -> None:
    done = run("recall", *options, "--user", "ana", *store)
    assert done.code == 1
    assert any(word in done.err for word in ("Give", "Ask"))


def test_a_timeline_in_pages(run: Run, store: list[str]) -> None:
    whole = run("timeline", "--user", "ana", "--order", "oldest", "--json", *store[:2]).json
    assert whole["next"] is None
    times = [row["created_at"] for row in whole["rows"]]
    assert len(times) > 2
    assert times == sorted(times)
    first = run(
        "timeline", "--user", "ana", "-n", "2", "--order", "oldest", "--json", *store[:2]
    ).json
    rest = run(
        "timeline",
        "--user",
        "ana",
        "--order",
        "oldest",
        "--after",
        first["next"],
        "--json",
        *store[:2],
    ).json
    assert first["rows"] + rest["rows"] == whole["rows"]
    near = run(
        "timeline", "--user", "ana", "--around", times[0], "-n", "1", "--json", *store[:2]
    ).json
    assert near["rows"][0]["created_at"] == times[0]


def test_a_timeline_as_text(run: Run, store: list[str]) -> None:
    done = run("timeline", "--user", "ana", "-n", "1", *store[:2])
    assert done.code == 0
    assert "1 row of user ana" in done.out
    assert "--after" in done.out
    assert run("timeline", "--user", "ana", "--since", "2100-01-01", *store[:2]).code == 3
