"""Ours and its peers on one corpus: ``python -m benchmarks.scale.side_by_side --json -``.

One run, same rows, same vectors; embedding is counted for nobody. Each peer is filled in a
process of its own, and asked in a second one that opens the finished store, so that memory, time
to open and first recall are those of an application that starts. A peer that cannot store the
whole corpus within its time is asked about what it holds, and the number of rows stands
beside its figures.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.apart import ApartError
from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.peers.base import versions
from benchmarks.scale import limit
from benchmarks.scale.data import DIMENSION, Corpus, make_corpus
from benchmarks.scale.peers import OURS, kind, names
from benchmarks.scale.peers.base import Row, batch_of
from benchmarks.scale.peers.figures import recall_at, size_on_disk
from benchmarks.scale.peers.process import Ask, PeerProcess
from benchmarks.scale.peers.table import as_markdown
from benchmarks.timing import percentiles

#: How many ids are asked for.
K = 10
#: Seconds that a peer may take to store the corpus, its indexes not counted.
BUDGET_S = 300.0
# Seconds for the measured calls of one kind. A slow peer makes fewer calls.
_CALLS_S = 60.0
_WARM_UP = 5
# Questions whose nearest rows are compared with the exact ones, of each kind.
_COMPARED = 25

_screen = Console(stderr=True)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What every peer is asked, and how much it is given."""

    corpus: Corpus
    asks: dict[str, list[Ask]]
    single_writes: int
    limit_rows: Mapping[str, int] = field(default_factory=dict)
    budget_s: Mapping[str, float] = field(default_factory=dict)


def run(
    corpus: Corpus,
    peers: Sequence[str] = names(),
    *,
    questions: int = 200,
    single_writes: int = 200,
    limit_rows: Mapping[str, int] | None = None,
    budget_s: Mapping[str, float] | None = None,
    folder: Path | None = None,
) -> dict[str, Any]:
    """Measure the peers, one after the other, and the physical limit.

    Args:
        corpus: what they store.
        peers: of `benchmarks.scale.peers.names`. Ratios need "ours" among them.
        questions: calls of each kind of recall.
        single_writes: rows that are stored one by one after that.
        limit_rows: by peer, rows it is given at most.
        budget_s: by peer, seconds it may take to store them; `BUDGET_S` for the others.
        folder: where the stores are made, and removed; by default a temporary folder.

    Returns:
        ``systems`` by peer, ``limit`` by user and ``ratios``, and what was measured. A peer that
        failed has only ``failed``, its traceback.

    Raises:
        InvalidInputError: there is no such peer.
    """
    kinds = {name: kind(name) for name in peers}
    plan = _Plan(corpus, _asks(corpus, questions), single_writes, limit_rows or {}, budget_s or {})
    systems: dict[str, dict[str, Any]] = {}
    for name, peer in kinds.items():
        about = {"versions": versions(*peer.packages), "about": peer.about}
        with tempfile.TemporaryDirectory(dir=folder) as place:
            try:
                systems[name] = {**about, **_measure(name, plan, Path(place) / "store")}
            except ApartError as error:
                systems[name] = {**about, "failed": str(error)}
        _screen.print(f"{name}: {_said(systems[name])}")
    asked = _single_users(corpus)
    report = {
        "rows": corpus.rows,
        "dimension": DIMENSION,
        "k": K,
        "users": len(corpus.sizes),
        "asked": {
            group: {"user": user, "rows": corpus.sizes[user]} for group, user in asked.items()
        },
        "systems": systems,
        "limit": limit.measure(corpus, list(asked.values()), questions=questions),
    }
    return {**report, "ratios": _ratios(report)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale.side_by_side", description=__doc__
    )
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--peer", action="append", choices=("all", *names()), help="repeatable")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--single-writes", type=int, default=200)
    parser.add_argument(
        "--limit-rows", action="append", default=[], metavar="PEER=N", type=_setting(int)
    )
    parser.add_argument(
        "--budget", action="append", default=[], metavar="PEER=SECONDS", type=_setting(float)
    )
    parser.add_argument("--corpus", type=Path, help="where corpora are kept between runs")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table there")
    given = parser.parse_args(arguments)
    quiet_logs()
    chosen = given.peer or ["all"]
    with tempfile.TemporaryDirectory() as temporary:
        corpus = make_corpus(given.rows, given.users, given.corpus or Path(temporary))
        report = run(
            corpus,
            names() if "all" in chosen else list(dict.fromkeys(chosen)),
            questions=given.questions,
            single_writes=given.single_writes,
            limit_rows=dict(given.limit_rows),
            budget_s=dict(given.budget),
        )
    table = as_markdown(report)
    _screen.print(table, markup=False, soft_wrap=True, highlight=False)
    if given.markdown:
        given.markdown.write_text(table, encoding="utf-8")
    write_json({**describe(), **report}, given.json)
    return int(any("failed" in figures for figures in report["systems"].values()))


def _measure(name: str, plan: _Plan, store: Path) -> dict[str, Any]:
    with PeerProcess(name, store, DIMENSION) as peer:
        filled = _fill(name, plan, peer)
    filled |= size_on_disk(store)
    with PeerProcess(name, store, DIMENSION) as peer:
        return {**filled, **_ask(plan, peer, filled["rows"]), **_write_and_ask(plan, peer)}


def _fill(name: str, plan: _Plan, peer: PeerProcess) -> dict[str, Any]:
    rows = min(plan.corpus.rows, plan.limit_rows.get(name, plan.corpus.rows))
    budget = plan.budget_s.get(name, BUDGET_S)
    size = kind(name).batch_rows
    peer.open()
    held, seconds = 0, 0.0
    while held < rows and seconds < budget:
        batch = batch_of(plan.corpus, held, min(held + size, rows))
        seconds += peer.add_bulk(batch)
        held += len(batch)
    finished = peer.finish()
    peer.close()
    return {
        "rows": held,
        "store_s": round(seconds, 2),
        "index_s": round(finished, 2),
        "rows_per_s": round(held / (seconds + finished)),
    }


def _ask(plan: _Plan, peer: PeerProcess, held: int) -> dict[str, Any]:
    opened, before = peer.open()
    one = plan.asks["one_user"]
    first = peer.recall_each(one[:1], K, _CALLS_S)
    figures: dict[str, Any] = {
        "open_ms": round(opened * 1000, 1),
        "first_recall_ms": round(first[0] * 1000, 1),
    }
    for group, asks in plan.asks.items():
        peer.recall_each(asks[:_WARM_UP], K, _CALLS_S)
        used = peer.cpu_s()
        seconds = peer.recall_each(asks, K, _CALLS_S)
        each = (peer.cpu_s() - used) / len(seconds)
        figures[f"recall_{group}"] = {**percentiles(seconds), "cpu_ms": round(each * 1000, 3)}
    resident = peer.resident_mib()
    figures |= {"resident_mib": resident, "resident_without_store_mib": before}
    figures["vector_recall_at_10"] = {
        group: _against_exact(plan.corpus, peer, asks[:_COMPARED], held)
        for group, asks in plan.asks.items()
    }
    return figures


def _write_and_ask(plan: _Plan, peer: PeerProcess) -> dict[str, Any]:
    rows = _new_rows(plan.corpus, plan.single_writes)
    if not rows:
        return {}
    written = peer.add_each(rows, _CALLS_S)
    asks = plan.asks["one_user"]
    after = peer.recall_each(asks, K, _CALLS_S)
    peer.close()
    return {
        "single_write": percentiles(written),
        "recall_one_user_after_writes": percentiles(after),
    }


def _asks(corpus: Corpus, count: int) -> dict[str, list[Ask]]:
    """All of the questions of one user, of the largest one, and of those that they are about."""
    asked = corpus.questions
    # The first half is about rows of the one user, the second about rows of all.
    others = [one.user for one in asked[len(asked) // 2 :] if one.user != corpus.asked_user]
    users = {group: [user] for group, user in _single_users(corpus).items()}
    if others:
        users["other_users"] = others
    return {
        group: [
            Ask(asked[i % len(asked)].text, asked[i % len(asked)].vector, owners[i % len(owners)])
            for i in range(count)
        ]
        for group, owners in users.items()
    }


def _single_users(corpus: Corpus) -> dict[str, str]:
    largest = max(corpus.sizes, key=lambda user: corpus.sizes[user])
    users = {"one_user": corpus.asked_user, "largest_user": largest}
    return users if largest != corpus.asked_user else {"one_user": largest}


def _against_exact(
    corpus: Corpus, peer: PeerProcess, asks: Sequence[Ask], held: int
) -> float | None:
    found = peer.nearest_each(asks, K)
    if found is None:
        return None
    shares = []
    known: dict[str, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
    for ask, answer in zip(asks, found, strict=True):
        if ask.user not in known:
            rows = corpus.layout.rows_of(ask.user)
            known[ask.user] = rows[rows < held], limit.vectors_of(corpus, ask.user)[rows < held]
        rows, vectors = known[ask.user]
        if len(rows):
            shares.append(recall_at(K, answer, rows, vectors @ ask.vector))
    return round(float(np.mean(shares)), 4) if shares else None


def _new_rows(corpus: Corpus, count: int) -> list[Row]:
    """Rows that the stores do not hold: what the corpus begins with, said again elsewhere."""
    count = min(count, corpus.rows)
    return [
        Row(corpus.rows + row.id, row.text, row.vector, row.user, f"later-{row.user}", row.role)
        for row in batch_of(corpus, 0, count).rows()
    ]


def _ratios(report: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How many times as fast ours is as each peer, and how far it is from the limit."""
    ours = report["systems"].get(OURS, {"failed": "not asked for"})
    if "failed" in ours:
        return {}
    calls = [name for name in ours if name.startswith("recall_")]
    calls += [name for name in ("single_write",) if name in ours]
    ratios = {}
    for name, peer in report["systems"].items():
        if name != OURS and "failed" not in peer:
            ratios[name] = {
                call: round(peer[call]["p50_ms"] / ours[call]["p50_ms"], 2) for call in calls
            }
            ratios[name]["bulk"] = round(ours["rows_per_s"] / peer["rows_per_s"], 2)
    ratios["limit"] = {
        f"recall_{group}": round(
            ours[f"recall_{group}"]["p50_ms"] / report["limit"][asked["user"]]["p50_ms"], 2
        )
        for group, asked in report["asked"].items()
    }
    return ratios


def _said(figures: Mapping[str, Any]) -> str:
    if "failed" in figures:
        return f"failed: {figures['failed'].strip().splitlines()[-1]}"
    return (
        f"{figures['rows']:,} rows at {figures['rows_per_s']:,} a second, "
        f"recall p50 {figures['recall_one_user']['p50_ms']} ms"
    )


def _setting(kind_of: type) -> Any:
    def parse(text: str) -> tuple[str, Any]:
        name, _, value = text.partition("=")
        if name not in names():
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(names())}")
        return name, kind_of(value)

    return parse


if __name__ == "__main__":
    sys.exit(main())
