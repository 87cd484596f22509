"""Qdrant's search for words beside Tantivy's: ``python -m benchmarks.retrieval.sparse``.

Both search the same rows for the same questions, words only. Of each question the first ten rows
are compared: the share that both have, and how many of the rows that answer it are among them. A
Qdrant server is used where ``--url`` names one (``http://host:6333``), else the client's local
mode, which scores like a server of one shard.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from benchmarks.environment import quiet_logs
from benchmarks.retrieval.corpora import add_sources, development_corpora, sampled
from benchmarks.retrieval.datasets import Dataset, load
from bruno_memory_vec.indexers.qdrant import collection
from bruno_memory_vec.indexers.qdrant.index import QdrantIndex
from bruno_memory_vec.indexers.qdrant.server import Server
from bruno_memory_vec.indexers.qdrant.settings import IN_MEMORY, QdrantSettings
from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.testing.rows import memory, table

DEPTH = 10
_QUESTIONS = 300
_DIMENSION = 2
# As the profile "balanced" has it.
_PHRASES = 0.3


@dataclass(frozen=True, slots=True)
class Alike:
    """How two searches of one corpus compare.

    Attributes:
        corpus: its name.
        rows: how many rows were searched.
        questions: how many questions were asked.
        terms: the true average number of terms of a row.
        overlap: the mean share of Tantivy's first ten rows that are among Qdrant's, 0..1.
        first: in which share of the questions both have the same first row, 0..1.
        recall_tantivy: recall@10 of the rows that answer a question, 0..1.
        recall_qdrant: the same of Qdrant's.
    """

    corpus: str
    rows: int
    questions: int
    terms: float
    overlap: float
    first: float
    recall_tantivy: float
    recall_qdrant: float


def rows_of(data: Dataset) -> pa.Table:
    """The texts of a data set as rows; ``seq`` is their position."""
    rows = [
        memory(seq, turn.content, id=turn.id, user_id=turn.user_id)
        for seq, turn in enumerate(data.turns)
    ]
    return table(rows, _DIMENSION, np.zeros((len(rows), _DIMENSION), np.float32))


async def compare(data: Dataset, settings: QdrantSettings) -> Alike:
    """Ask both every question of a data set."""
    terms_of = analyser("english")
    rows = rows_of(data)
    tantivy = TantivyIndex(None, terms_of)
    tantivy.add(rows.select(list(LEXICAL_COLUMNS)))
    await tantivy.commit()
    server = await Server.open(settings)
    try:
        made = await collection.make(server, {"name": settings.collection}, {}, _DIMENSION)
        qdrant = QdrantIndex(server, made.name, _DIMENSION, terms_of, settings.average_length)
        await qdrant.upsert(rows, all_new=True)
        overlap, first, found = [], [], []
        place = {(turn.user_id, turn.id): seq for seq, turn in enumerate(data.turns)}
        for question in data.questions:
            scope, asked = Scope.user(question.user_id), LexicalQuery(question.text, True, _PHRASES)
            theirs = tantivy.search(asked, scope, RowFilter(), DEPTH).seq.tolist()
            ours = (await qdrant.search_text(asked, scope, RowFilter(), DEPTH)).seq.tolist()
            if theirs:
                overlap.append(len(set(theirs) & set(ours)) / len(theirs))
                first.append(theirs[:1] == ours[:1])
            gold = {place[question.user_id, one] for one in question.gold}
            found.append([len(gold & set(each)) / len(gold) for each in (theirs, ours)])
        recall = np.mean(found, axis=0)
        lengths = [len(terms_of.terms(turn.content)) for turn in data.turns]
        return Alike(
            data.name,
            rows.num_rows,
            len(data.questions),
            float(np.mean(lengths)),
            float(np.mean(overlap)),
            float(np.mean(first)),
            float(recall[0]),
            float(recall[1]),
        )
    finally:
        if not settings.is_local:
            every = await server.call("list", lambda client: client.get_collections())
            for one in every.collections:
                if one.name.startswith(f"{settings.collection}__"):
                    await server.call(
                        "drop",
                        lambda client, name=one.name: client.delete_collection(name),  # type: ignore[misc]
                    )
        await server.close()
        await tantivy.close()


def settings_for(url: str | None, average: float) -> QdrantSettings:
    """A store of its own, on a server or in local mode."""
    name = f"sparse-{uuid4().hex}"
    if url is None:
        shown = f"qdrant+local:{IN_MEMORY}"
        return QdrantSettings(name, shown, path=IN_MEMORY, average_length=average)
    key = os.environ.get("QDRANT_API_KEY")
    return QdrantSettings(name, url, address=url, api_key=key, average_length=average)


async def _run(
    sources: Sequence[tuple[str, Path]], url: str | None, questions: int, average: float
) -> list[Alike]:
    found = []
    for kind, path in sources:
        data = load(kind, path)
        data = sampled(
            replace(data, questions=tuple(q for q in data.questions if q.gold)), questions
        )
        found.append(await compare(data, settings_for(url, average)))
    return found


def _print(found: Sequence[Alike]) -> None:
    shown = Table("corpus", "rows", "questions", "terms", "overlap@10", "same first", "recall@10")
    for one in found:
        shown.add_row(
            one.corpus,
            f"{one.rows:,}",
            f"{one.questions:,}",
            f"{one.terms:.1f}",
            f"{one.overlap:.3f}",
            f"{one.first:.3f}",
            f"Tantivy {one.recall_tantivy:.3f}, Qdrant {one.recall_qdrant:.3f}",
        )
    Console(stderr=True).print(shown)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_sources(parser)
    parser.add_argument("--url", help="a Qdrant server, http://host:6333 (default: local mode)")
    parser.add_argument(
        "--average",
        type=float,
        default=QdrantSettings("", "").average_length,
        help="the average number of words of a row that BM25 is told",
    )
    given = parser.parse_args(argv)
    quiet_logs()
    sources = given.sources or development_corpora()
    found = asyncio.run(_run(sources, given.url, given.questions or _QUESTIONS, given.average))
    _print(found)
    if given.json:
        said: list[Mapping[str, Any]] = [asdict(one) for one in found]
        text = json.dumps(said, indent=2)
        if given.json == "-":
            sys.stdout.write(f"{text}\n")
        else:
            Path(given.json).write_text(f"{text}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
