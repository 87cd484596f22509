"""The benchmark of a turn: its operations, rounds and judgement, and a whole run on a few rows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale.peers.base import Lacks
from benchmarks.scale.targets import Verdict
from benchmarks.turn.__main__ import main
from benchmarks.turn.operations import ONCE, OPERATIONS
from benchmarks.turn.rounds import Measuring, middle
from benchmarks.turn.running import Plan
from benchmarks.turn.systems import LIMIT, OURS, systems
from benchmarks.turn.tables import markdown
from benchmarks.turn.targets import judge, ratios

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return Plan(300, 5, 7, str(tmp_path_factory.mktemp("corpora")), calls=10, bulk=100)


# Operations


async def test_ours_does_what_is_measured(plan: Plan, tmp_path: Path) -> None:
    running = Measuring(OURS, tmp_path / "store", plan)
    await running.open()
    try:
        bulk = await running.measure("one_call")
        assert (bulk["messages"], bulk["found"]) == (100, True)
        talks = await running.measure("conversations")
        assert (talks["messages"], talks["found"]) == (50, True)
        turn = await running.measure("turn")
        assert turn["calls"] == 10
        assert set(turn["parts"]) == {"store", "recall", "answer", "context"}
        assert not turn["without_context"]
        assert (await running.measure("callers"))["messages"] == 200
        for name in ("delete", "replace", "new_session", "recall_all"):
            assert (await running.measure(name))["calls"] == 10
        assert "lacks" in await running.measure("recall_large")
        users = await running.peer.memory.list_users()
        # A turn of each user before those that are measured, two messages a turn.
        assert sum(one.messages for one in users) == 100 + 50 + 2 * (10 + 4) + 200
        assert (await running.measure("turn_background"))["calls"] == 10
        users = await running.peer.memory.list_users()
        assert any(one.user_id.startswith("background-") for one in users)
    finally:
        await running.close()


async def test_a_system_without_compaction_is_not_waited_for(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recall never waits, so that its compaction would never begin, nor be found missing."""
    running = Measuring(OURS, tmp_path / "store", plan)
    await running.open()
    asked = 0

    async def recall(*_: object) -> list[str]:
        nonlocal asked
        asked += 1
        return []

    async def compact() -> None:
        raise Lacks("no compaction beside calls")

    monkeypatch.setattr(running, "recall", recall)
    monkeypatch.setattr(running.peer, "compact", compact)
    try:
        assert await running.measure("compaction") == {"lacks": "no compaction beside calls"}
    finally:
        await running.close()
    assert asked <= plan.calls + 1


async def test_the_limit_reads_and_nothing_else(plan: Plan, tmp_path: Path) -> None:
    running = Measuring(LIMIT, tmp_path / "store", plan)
    await running.open()
    corpus = plan.corpus()
    await running.store_many(
        [
            running.fresh.row(user, "", text=text)
            for user, text in zip(corpus.users(0, 300), corpus.texts(0, 300), strict=True)
        ]
    )
    await running.peer.finish()
    await running.reopen()
    assert (await running.measure("recall_again"))["calls"] == 10
    assert (await running.measure("recall_all"))["calls"] == 10
    for name in ("turn", "store", "one_call", "context", "delete", "compaction"):
        assert "lacks" in await running.measure(name)


def test_new_rows_never_share_an_id_nor_one_of_the_store(plan: Plan, tmp_path: Path) -> None:
    fresh = Measuring(OURS, tmp_path / "store", plan).fresh
    rows = [*fresh.rows(1_500, "ana", fresh.name("a")), *fresh.rows(1_500, "ben", fresh.name("a"))]
    assert len({row.id for row in rows}) == 3_000
    assert min(row.id for row in rows) > 300
    assert len({row.conversation for row in rows}) == 2


# Rounds


def test_the_middle_of_the_rounds_counts() -> None:
    rounds: list[dict[str, Any]] = [
        {"p50_ms": ms, "found": ms < 9, "parts": {"store": {"p50_ms": ms / 2}}} for ms in (3, 9, 4)
    ]
    assert middle(rounds) == {"p50_ms": 4, "found": False, "parts": {"store": {"p50_ms": 2}}}


def test_what_failed_in_one_round_was_not_measured() -> None:
    assert middle([{"p50_ms": 1}, {"failed": "why"}]) == {"failed": "why"}


# Targets


def report(rows: int = 10_000) -> dict[str, Any]:
    """One store, every figure of ours exactly at its bound; a peer that is twice as slow."""

    def times(p50: float, p95: float = 20.0) -> dict[str, Any]:
        return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p95, "cpu_ms": p50, "cpu_p50_ms": p50}

    def rate(value: float, **more: Any) -> dict[str, Any]:
        return {"messages_per_s": value, "cpu_ms": 0.1, **more}

    ours = {
        "turn": {**times(5.0, 12.0), "parts": {"recall": times(2.5)}},
        "recall_again": times(1.5),
        "recall_others": times(6.0),
        "recall_all": times(8.0),
        "store": times(1.0),
        "callers": rate(6_000),
        "at_once": rate(6_000),
        "one_call": rate(15_000, found=True),
        "conversations": rate(11_000, found=True),
        "compaction": {**times(2.0), "p99_ratio": 3.0},
        "exact": {"ann_recall@10": 0.95},
        "memory": {"resident_mib": 300.0, "users": 99, "disk_mib": 20.0, "files": 40},
        "delete": times(1.0),
        "new_session": times(0.3),
    }
    floor: dict[str, Any] = {
        name: rate(found["messages_per_s"] / 2, found=True)
        if "messages_per_s" in found
        else {name: 2 * value for name, value in found.items() if name != "parts"}
        for name, found in ours.items()
        if name in OPERATIONS
    }
    floor["new_session"] = {"lacks": "no sessions"}
    of = {"about": "as it is", "versions": {"package": "1.0"}, "built": {"rows": rows}}
    return {
        "rows": rows,
        "users": 100,
        "systems": {
            OURS: {**of, "by_meaning": True, "operations": ours},
            "sqlite_vec": {**of, "by_meaning": True, "operations": floor},
        },
    }


def by_target(verdicts: list[Verdict]) -> dict[str, Verdict]:
    assert len({one.target for one in verdicts}) == len(verdicts)
    return {one.target: one for one in verdicts}


def test_a_bound_that_is_reached_exactly_is_met() -> None:
    verdicts = judge([report()])
    assert [one.target for one in verdicts if one.met is False] == []
    found = by_target(verdicts)
    assert found["a turn, p50, 10k rows"].met
    assert found["a turn, p50, 1M rows"].met is None
    assert found["recall again: processor time of sqlite_vec's against ours"].measured == "2 x"
    assert found["against sqlite_vec at 10,000 rows, the slowest of 11"].met


@pytest.mark.parametrize(
    ("path", "value", "missed"),
    [
        (("turn", "p50_ms"), 5.01, "a turn, p50, 10k rows"),
        (("turn", "p95_ms"), 12.01, "a turn, p95, 10k rows"),
        (("turn", "parts", "recall", "p50_ms"), 2.51, "recall right after a write, p50"),
        (("recall_all", "p50_ms"), 8.01, "recall, all users, p50, 10k rows"),
        (("exact", "ann_recall@10"), 0.949, "recall, all users, recall@10 of the vectors"),
        (("store", "p50_ms"), 1.01, "`store_message`, one caller, p50"),
        (("callers", "messages_per_s"), 5_999, "`store_message`, 100 callers"),
        (("at_once", "messages_per_s"), 5_999, "1,000 callers at once, new conversations"),
        (("one_call", "messages_per_s"), 14_999, "bulk, one call"),
        (("one_call", "found"), False, "bulk: found at once"),
        (("conversations", "messages_per_s"), 10_999, "bulk, conversations of 50 one by one"),
        (("compaction", "p99_ratio"), 3.01, "recall during compaction, p99 of the quiet median"),
        (
            ("recall_again", "cpu_ms"),
            3.0,
            "recall again: processor time of sqlite_vec's against ours",
        ),
        (
            ("delete", "p50_ms"),
            2.5,
            "against sqlite_vec at 10,000 rows, the slowest of 11 (slower: delete 0.8)",
        ),
    ],
)
def test_beyond_its_bound_a_target_is_missed(
    path: tuple[str, ...], value: float, missed: str
) -> None:
    store = report()
    part: Any = store["systems"][OURS]["operations"]
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = value
    assert [one.target for one in judge([store]) if one.met is False] == [missed]


def test_larger_stores_have_bounds_of_their_own() -> None:
    million = report(1_000_000)
    operations = million["systems"][OURS]["operations"]
    operations["turn"] |= {"p50_ms": 7.0, "p95_ms": 15.0}
    operations["memory"]["resident_mib"] = 573.0
    found = by_target(judge([report(), million]))
    assert found["a turn, p50, 1M rows"].met
    assert found["resident memory at 1M rows, after 100 users' recalls"].met is False
    operations["delete"]["p50_ms"] = 2.1
    found = by_target(judge([report(), million]))
    assert found["delete a memory, p50 of the largest store against the smallest"].met is False


def test_ratios_are_of_what_both_can_do() -> None:
    store = report()
    found = ratios(store, "sqlite_vec")
    assert set(found.values()) == {2.0}
    assert "new_session" not in found
    store["systems"]["sqlite_vec"]["operations"]["turn"] = {"failed": "why"}
    assert "turn" not in ratios(store, "sqlite_vec", processor=True)


def test_inserts_that_are_not_found_by_meaning_are_no_match() -> None:
    store = report()
    peer = store["systems"]["sqlite_vec"]
    peer["operations"]["store"]["p50_ms"] = 0.1
    against = "against sqlite_vec at 10,000 rows, the slowest of "
    assert by_target(judge([store]))[against + "11 (slower: store 0.1)"].met is False
    peer["by_meaning"] = False
    assert by_target(judge([store]))[against + "6"].met


def test_tables_say_why_a_peer_has_no_figure() -> None:
    store = report()
    store["systems"]["words"] = copy.deepcopy(store["systems"]["sqlite_vec"])
    store["systems"]["words"]["by_meaning"] = False
    verdicts = judge([store])
    text = markdown({"stores": [store]}, verdicts)
    assert text.count(" met |") == sum(one.met is True for one in verdicts)
    assert sum(line.startswith("| begin a session ") for line in text.splitlines()) == 2
    beside = text[text.index("side by side") :]
    session = next(line for line in beside.splitlines() if line.startswith("| begin a session "))
    assert session.count(" - |") == 2
    assert "begin a session: no sessions." in text
    assert "words (words alone)" in text
    assert "What it stores is not searchable by meaning." in text


# A whole run


def test_an_unknown_operation_is_refused() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "dance"])
    assert ended.value.code == 2


@pytest.mark.slow
def test_a_run_measures_everything(tmp_path: Path) -> None:
    target, table, plots = tmp_path / "r.json", tmp_path / "r.md", tmp_path / "plots"
    argv = ["--rows", "300", "--users", "5", "--calls", "10", "--bulk", "200", "--rounds", "2"]
    argv += ["--peers", "lancedb", "--cache", str(tmp_path / "cache"), "--json", str(target)]
    assert main([*argv, "--table", str(table), "--plots", str(plots)]) == 0
    found = json.loads(target.read_text(encoding="utf-8"))
    (store,) = found["stores"]
    assert (store["rows"], store["users"]) == (300, 5)
    assert list(store["systems"]) == [OURS, "lancedb", LIMIT]
    ours = store["systems"][OURS]["operations"]
    assert set(ours) == {*OPERATIONS, *ONCE}
    assert {name for name, of in ours.items() if "lacks" in of} == {"recall_large"}
    for name, of in ours.items():
        if name in OPERATIONS and "lacks" not in of:
            assert of["cpu_ms"] > 0, name
    assert ours["exact"]["ann_recall@10"] == 1.0
    peer = store["systems"]["lancedb"]["operations"]
    assert peer["new_session"] == {"lacks": "no sessions"}
    assert not any("failed" in of for of in peer.values())
    assert len(found["targets"]) == len(judge(found["stores"]))
    assert "300 rows, 5 users, side by side" in table.read_text(encoding="utf-8")
    assert "turn-latency.svg" in {file.name for file in plots.iterdir()}
    # What is kept: corpora and the stores, not the copies that were written to.
    assert not list((tmp_path / "cache").glob("measured-*"))
    assert (tmp_path / "cache").is_dir()


def test_every_system_has_its_own_name() -> None:
    assert len(set(systems())) == len(systems())
    assert (systems()[0], systems()[-1]) == (OURS, LIMIT)
