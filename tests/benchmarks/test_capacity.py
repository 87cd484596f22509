"""The capacity model: its arithmetic against Qdrant's own example, and what it measures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.capacity import (
    LAYOUTS,
    Plan,
    Prices,
    cost,
    main,
    markdown,
    qdrant,
    qdrant_bytes,
    redis,
    report,
)
from benchmarks.footprint import RedisBytes, RowBytes, measure_row

DEFAULT, _, ON_DISK, SCALAR, BINARY = LAYOUTS
ROW = RowBytes(content=300, payload=1_000, indexed=140, indexed_on_disk=60, terms=80)
REDIS = RedisBytes("7.0", 40, 40, user=2_000, session=500, conversation=300, context=20_000, row=1)


def test_qdrants_own_example_comes_out() -> None:
    # "Capacity Planning", "Putting It Together": a million vectors of 768 dimensions, two replicas,
    # payloads of 1 KB without indexes: 7.33 GB of memory and 10.76 GB of disk.
    row = RowBytes(content=0, payload=1_024, indexed=0, indexed_on_disk=0, terms=0)
    plan = Plan(1_000_000, 1, 768, replicas=2, large=0)
    found = qdrant(plan, DEFAULT, row)
    assert (found["ram_gib"], found["disk_gib"]) == (7.3, 10.8)


def test_what_is_on_disk_is_in_memory_by_the_share_that_is_active() -> None:
    plan = Plan(1, 1, 1_024, active=0.25, large=0.5)
    all_in = qdrant_bytes(plan, DEFAULT, ROW)
    moved = qdrant_bytes(plan, ON_DISK, ROW)
    assert moved["disk"] == all_in["disk"]
    for part in ("dense vectors", "HNSW graph", "sparse index", "larger payload indexes"):
        assert moved["ram"][part] == pytest.approx(all_in["ram"][part] / 4)
    for part in ("payload indexes", "id tracker"):
        assert moved["ram"][part] == all_in["ram"][part]
    assert all_in["ram"]["payload indexes"] == (140 - 60) * 2
    assert all_in["ram"]["HNSW graph"] == pytest.approx(16 * 2 * 4 * 1.2 * 1.5)
    assert "payload" not in all_in["ram"]


def test_quantised_vectors_are_held_besides_the_whole_ones() -> None:
    plan = Plan(1, 1, 1_024)
    for layout, size in ((SCALAR, 1_024), (BINARY, 128)):
        more = qdrant_bytes(plan, layout, ROW)
        for part in ("ram", "disk"):
            assert more[part]["quantised vectors"] == size
            less = qdrant_bytes(plan, ON_DISK, ROW)[part]
            assert sum(more[part].values()) - sum(less.values()) == pytest.approx(size)


def test_servers_by_memory_by_vectors_and_by_failover() -> None:
    small = Plan(1_000, 1, 256)
    assert qdrant(small, DEFAULT, ROW)["nodes"] == 3
    assert qdrant(replace(small, replicas=1), DEFAULT, ROW)["nodes"] == 1
    many = qdrant(Plan(1_000_000_000, 1, 256, replicas=1, node_ram_gib=4_096), DEFAULT, ROW)
    assert (many["nodes"], many["nodes_by_vectors"]) == (10, 10)
    wide = qdrant(Plan(100_000_000, 1, 1_024), DEFAULT, ROW)
    assert wide["nodes"] == wide["nodes_by_ram"] > 3


def test_redis_holds_users_and_what_is_hot() -> None:
    plan = Plan(1_000_000, 1_000_000, 256, replicas=2, conversations=10, hot=0.5, sessions=4)
    found = redis(plan, REDIS)
    assert found["bytes_a_user"] == 2_000 + 4 * 500 + 10 * 300 + 0.5 * 20_000
    assert found["ram_gib"] == round(2 * (17_000 + 1) * 1e6 / 2**30, 1)
    assert (found["primaries"], found["nodes"]) == (1, 2)
    assert redis(replace(plan, redis_ram_gib=16), REDIS)["primaries"] == 2


def test_a_month_is_memory_and_disk_by_their_prices() -> None:
    plan = Plan(1, 1, 256, node_ram_gib=64, redis_ram_gib=32)
    found = cost(plan, {"nodes": 3, "disk_gib": 100}, {"nodes": 2, "ram_gib": 10}, Prices(2, 0.5))
    assert found == (3 * 64 + 2 * 32) * 2 + (100 + 20) * 0.5


def test_the_table_has_a_line_a_plan_and_layout() -> None:
    plans = [Plan(1_000_000, 10, dimension) for dimension in (256, 1_024)]
    text = markdown(report(plans, ROW, REDIS, None))
    assert text.count("| 1,000,000 ") == 2 * len(LAYOUTS)
    assert "cost a month" not in text
    assert "cost a month" in markdown(report(plans, ROW, REDIS, Prices(4, 0.1)))


def test_a_row_is_measured_as_the_engine_writes_it() -> None:
    short, long = measure_row(10, 100), measure_row(80, 100)
    assert short.content < short.payload < long.payload
    # Longer by the text alone.
    assert long.payload - short.payload == pytest.approx(long.content - short.content, rel=0.02)
    assert long.indexed == pytest.approx(short.indexed, rel=0.02)
    assert 0 < short.indexed_on_disk < short.indexed
    assert 5 < short.terms < 20 < long.terms  # a term, and a pair of neighbours


def test_the_docs_quote_what_was_measured() -> None:
    root = Path(__file__).parents[2]
    report = json.loads((root / "benchmarks/results/capacity.json").read_text(encoding="utf-8"))
    said = (root / "docs/scaling.md").read_text(encoding="utf-8").splitlines()
    lines = [line for line in markdown(report).splitlines() if line]
    assert len(lines) > 50
    assert not [line for line in lines if line not in said]


@pytest.mark.redis_server
def test_a_run_measures_and_plans(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "capacity.json"
    argv = ["--rows", "1000000", "--dimension", "256", "--users", "1000", "--words", "10"]
    argv += ["--sample", "50", "--redis-sample", "2", "--json", str(target)]
    assert main([*argv, "--price-ram", "4", "--price-disk", "0.1"]) == 0
    report = json.loads(target.read_text(encoding="utf-8"))
    found = report["redis"]
    # Forty messages of some 60 letters each, their ids and the rest of their JSON.
    assert 40 * 60 < found["context"] < 40 * 2_000
    assert found["messages"] == 40
    for name in ("user", "session", "conversation"):
        assert 50 < found[name] < 10_000
    assert 0 <= found["row"] < 10
    assert report["versions"]["redis"]
    (plan,) = report["plans"]
    assert [one["cost_a_month"] > 0 for one in plan["qdrant"]] == [True] * len(LAYOUTS)
    assert "default" in capsys.readouterr().out
