"""The command ``analytics``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def test_what_a_store_holds(run: Run, store: list[str]) -> None:
    done = run("analytics", "--section", "growth", "--section", "conversations", *store[:2])
    assert done.code == 0
    for word in ("Growth", "messages", "Who speaks", "Weekdays, UTC"):
        assert word in done.out
    assert "Topics" not in done.out
    found = run("analytics", "--section", "growth", "--by", "year", "--json", *store[:2]).json
    assert found["user_id"] is None
    assert found["growth"]["rows"] == sum(
        point["messages"] + point["memories"] for point in found["growth"]["points"]
    )
    assert found["growth"]["disk_bytes"] > 0
    stats = run("stats", "--json", *store[:2]).json["totals"]
    assert found["growth"]["messages"] == stats["messages"]
    assert found["growth"]["conversations"] == stats["conversations"]


@pytest.mark.parametrize("columns", ["40", "60"])
def test_it_is_readable_in_a_narrow_terminal(
    run: Run, store: list[str], columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    names = ("growth", "conversations", "usage", "duplicates")
    sections = [one for name in names for one in ("--section", name)]
    done = run("analytics", *sections, "--zone", "America/Argentina/Buenos_Aires", *store[:2])
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= int(columns)
    speakers = done.out.partition("Who speaks")[2].partition("Messages in")[0]
    assert "…" not in speakers
    assert "assistant" in speakers


def test_of_one_user_and_of_a_time(run: Run, store: list[str]) -> None:
    options = ("--section", "growth", "--json")
    everybody = run("analytics", *options, *store[:2]).json["growth"]
    ana = run("analytics", "--user", "ana", *options, *store[:2]).json
    assert ana["user_id"] == ana["growth"]["user_id"] == "ana"
    assert ana["growth"]["users"] == 1
    assert ana["growth"]["disk_bytes"] is None
    assert 0 < ana["growth"]["rows"] <= everybody["rows"]
    later = run("analytics", "--since", "2999-01-01", *options, *store[:2])
    assert (later.code, later.json["growth"]["points"]) == (3, [])


def test_what_cannot_be_counted(run: Run, store: list[str], tmp_path: Path) -> None:
    done = run("analytics", "--user", "nobody", *store[:2])
    assert done.code == 3
    assert "nobody" in done.err
    assert "'ana'" in done.err
    done = run("analytics", "--zone", "Mars", *store[:2])
    assert done.code == 1
    assert "Europe/Berlin" in done.err
    assert run("analytics", "--section", "weather", *store[:2]).code == 2
    assert run("analytics", "--store", str(tmp_path / "none")).code == 1
