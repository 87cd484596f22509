"""LangGraph's stores beside ours: ``python -m benchmarks.langgraph_stores --data locomo=DIR``.

The texts of each user of a data set are items of a namespace, ``{"text": ...}``. Every store embeds
with our default embedder, so that what differs is the store. Measured are what a put, a get and a
search cost in a plain call, one after the other, and how much of the evidence of the questions is
among the first ten that a search finds. It needs langgraph; SqliteStore is left out where
langgraph-checkpoint-sqlite is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval.corpora import source
from benchmarks.retrieval.datasets import load
from benchmarks.retrieval.metrics import figures, ranks_of
from benchmarks.timing import spread
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.embedders.run import embed_texts

_AT_ONCE = 500


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.langgraph_stores", description=__doc__
    )
    parser.add_argument("--data", type=source, required=True, metavar="KIND=DIR")
    parser.add_argument("--calls", type=int, default=200, help="measured calls of each kind")
    parser.add_argument("--questions", type=int, default=100_000, help="asked, of those there are")
    parser.add_argument("--only", default="", help="stores whose names have this in them")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    found: dict[str, Any] = {}
    for name, opened in stores().items():
        if arguments.only not in name:
            continue
        with ExitStack() as stack:
            found[name] = measured(stack.enter_context(opened()), arguments)
    table = Table("processor, ms", "put", "get", "filter", "query", "recall@10", "nDCG@10")
    for name, figure in found.items():
        times = [f"{figure[kind]['cpu_ms']:.2f}" for kind in ("put", "get", "filter", "query")]
        found_of = (figure["recall@10"], figure["ndcg@10"])
        table.add_row(name, *times, *("-" if one is None else f"{one:.3f}" for one in found_of))
    Console(stderr=True).print(table)
    kind, folder = arguments.data
    said = {
        "data": f"{kind}={folder.name}",
        "calls": arguments.calls,
        "questions": arguments.questions,
    }
    write_json({**describe(), **said, "figures": found}, arguments.json)
    return 0


def stores() -> dict[str, Callable[[], Any]]:
    """Each store, opened in a folder of its own."""
    from langgraph.store.memory import InMemoryStore

    from bruno_memory_vec.adapters.langgraph import BrunoStore

    index: Any = {"dims": 256, "embed": embeds(), "fields": ["text"]}

    @contextmanager
    def ours(where: str, label: int | None = None) -> Iterator[Any]:
        with (
            tempfile.TemporaryDirectory() as folder,
            BrunoStore(
                where or f"{folder}/store", user_label=label, index={"fields": ["text"]}
            ) as store,
        ):
            yield store

    @contextmanager
    def in_memory() -> Iterator[Any]:
        yield InMemoryStore(index=index)

    found: dict[str, Callable[[], Any]] = {
        "BrunoStore, a folder": lambda: ours(""),
        "BrunoStore, a folder, user_label": lambda: ours("", 1),
        "BrunoStore, memory://": lambda: ours("memory://"),
        "InMemoryStore": in_memory,
    }
    if find_spec("langgraph.store.sqlite") is not None:
        from langgraph.store.sqlite import SqliteStore

        # Many builds of Python load no extension of SQLite, as its vectors need.
        index_of_sqlite = index if hasattr(sqlite3.Connection, "enable_load_extension") else None

        @contextmanager
        def sqlite() -> Iterator[Any]:
            with (
                tempfile.TemporaryDirectory() as folder,
                SqliteStore.from_conn_string(f"{folder}/store.db", index=index_of_sqlite) as store,
            ):
                store.setup()
                yield store

        found["SqliteStore" if index_of_sqlite else "SqliteStore, no vectors"] = sqlite
    return found


def embeds() -> Callable[[Sequence[str]], list[list[float]]]:
    """Our default embedder as a function, for the others."""
    embedder = resolve_embedder("static")

    def embed(texts: Sequence[str]) -> list[list[float]]:
        vectors: list[list[float]] = asyncio.run(embed_texts(embedder, list(texts))).tolist()
        return vectors

    return embed


def measured(store: Any, arguments: argparse.Namespace) -> dict[str, Any]:
    """What calls take, and what searches find."""
    from langgraph.store.base import PutOp

    loaded, calls, most = load(*arguments.data), arguments.calls, arguments.questions
    puts = [
        PutOp(_namespace(turn.user_id), turn.id, {"text": turn.content, "role": turn.role})
        for turn in loaded.turns
    ]
    began = time.perf_counter()
    for part in _batches(puts):
        store.batch(part)
    bulk = len(puts) / (time.perf_counter() - began)
    ranks = []
    questions = [one for one in loaded.questions if one.gold and one.category in loaded.headline]
    questions = random.Random(7).sample(questions, min(most, len(questions)))
    for question in questions:
        items = store.search(_namespace(question.user_id), query=question.text, limit=10)
        if items[0].score is None:
            break  # this store takes no notice of a question
        ranks.append(ranks_of([item.key for item in items], question.gold))
    told = figures(ranks) if ranks else {}
    some = [puts[place] for place in np.random.default_rng(7).integers(0, len(puts), calls)]
    asked = questions[:calls]
    kinds: dict[str, list[Callable[[], Any]]] = {
        "get": [lambda op=op: store.get(op.namespace, op.key) for op in some],
        "filter": [
            lambda op=op: store.search(op.namespace, filter={"role": "user"}) for op in some
        ],
        "query": [
            lambda one=one: store.search(("memories", one.user_id), query=one.text) for one in asked
        ],
        "put": [lambda op=op: store.put(op.namespace, f"{op.key} again", op.value) for op in some],
    }
    return {
        "bulk_per_s": round(bulk),
        **{
            name: round(float(told[name].mean()), 4) if told else None
            for name in ("recall@10", "ndcg@10")
        },
        **{name: _timed(every) for name, every in kinds.items()},
    }


def _batches(puts: Sequence[Any]) -> Iterator[list[Any]]:
    # InMemoryStore takes no batch in which two items have the same text.
    part: dict[str, Any] = {}
    for op in puts:
        if op.value["text"] in part or len(part) == _AT_ONCE:
            yield list(part.values())
            part = {}
        part[op.value["text"]] = op
    yield list(part.values())


def _namespace(user: str) -> tuple[str, ...]:
    # A label has no full stop.
    return ("memories", user.replace(".", "-"))


def _timed(calls: Sequence[Callable[[], Any]]) -> dict[str, Any]:
    """What the calls take on the clock, and of the processor, which other processes disturb less.

    The processor's share has what a call leaves to the background.
    """
    seconds, used = [], time.process_time()
    for call in calls:
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return {
        **spread(seconds),
        "cpu_ms": round((time.process_time() - used) / len(calls) * 1000, 3),
    }


if __name__ == "__main__":
    sys.exit(main())
