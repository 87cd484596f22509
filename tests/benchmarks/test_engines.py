"""Engines side by side: which are measured, what is left out, and the table."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.address import Address
from benchmarks.engines import engines, main, markdown, measure, medians, named


def test_servers_are_measured_where_the_environment_names_them() -> None:
    assert "Qdrant server, Redis" not in engines({})
    found = engines({"QDRANT_URL": "https://host:6333/", "POSTGRES_URL": "postgresql://me@host/db"})
    assert found["Qdrant server, Redis"] == Address("qdrants://host:6333/{name}", "{redis}")
    store = "postgresql://me@host/db?schema={name}"
    assert found["pgvector, Redis"] == Address(store, "{redis}")
    assert engines({"QDRANT_URL": "http://host:6333"})["Qdrant server, Redis"].url == (
        "qdrant://host:6333/{name}"
    )


def test_another_one_is_named_on_the_command_line() -> None:
    assert named("mine=x://host/a=b") == ("mine", Address("x://host/a=b"))
    assert named("two=./rows ./sessions") == ("two", Address("./rows", "./sessions"))
    for wrong in ("mine", "=./x", "mine="):
        with pytest.raises(argparse.ArgumentTypeError):
            named(wrong)


def test_medians_are_of_each_figure() -> None:
    runs = [{"a": n, "b": {"p50_ms": 10 * n, "p95_ms": 30 - n}} for n in (5, 1, 2)]
    assert medians(runs) == {"a": 2, "b": {"p50_ms": 20, "p95_ms": 28}}


def test_a_figure_that_one_engine_lacks_is_a_dash() -> None:
    spread = {"p50_ms": 1.234, "p95_ms": 5.6}
    table = markdown(
        {
            "engines": {
                "kept": {"medians": {"store_message": spread, "open_again_ms": 1234.5}},
                "gone": {"medians": {"store_message": spread}},
            },
            "left_out": {"away": "no server"},
        }
    )
    lines = {line.split("|")[1].strip(): line for line in table.splitlines() if "|" in line}
    assert lines["`store_message`, p50 / p95 ms"].count("1.23 / 5.60") == 2
    assert [cell.strip() for cell in lines["opening again, ms"].split("|")[2:4]] == ["1,234", "-"]
    assert "Left out: away: no server" in table


def test_an_engine_that_fails_is_left_out_with_its_reason() -> None:
    chosen = {"no such engine": Address("nosuch://host/x")}
    found = measure(chosen, 2, ["--calls", "1"], Console(file=io.StringIO()))
    assert found["engines"] == {}
    assert "nosuch" in found["left_out"]["no such engine"]


@pytest.mark.slow
@pytest.mark.redis_server
def test_a_run_measures_every_engine_that_is_there(tmp_path: Path) -> None:
    target = tmp_path / "engines.json"
    argv = ["--rounds", "2", "--users", "2", "--messages", "5", "--calls", "4", "--bulk", "20"]
    argv += ["--only", "LanceDB, SQLite", "--only", "LanceDB, Redis", "--store", "away=nosuch://x"]
    assert main([*argv, "--json", str(target)]) == 0
    report = json.loads(target.read_text(encoding="utf-8"))
    assert list(report["engines"]) == ["LanceDB, SQLite", "LanceDB, Redis"]
    assert list(report["left_out"]) == ["away"]
    for one in report["engines"].values():
        assert len(one["runs"]) == 2
        assert one["medians"]["get_context"]["p50_ms"] > 0
