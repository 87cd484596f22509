"""BEIR: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv`` in a folder.

Thakur et al., "BEIR: A Heterogenous Benchmark for Zero-shot Evaluation of Information Retrieval
Models" (2021). A document's text is its title, a space and its text. It stands alone: one user,
no conversation, no time. Each judged document with a score above 0 is gold; grades are not used.
A document with the question's own id is kept, which matters in ArguAna and Quora only.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.retrieval.datasets.base import Dataset, Question, Turn
from benchmarks.retrieval.datasets.reading import (
    Builder,
    NoSplitError,
    existing,
    id_of,
    read_lines,
    read_table,
    refused,
    text_of,
)

_USER = "reader"


def load(path: Path, split: str = "all") -> Dataset:
    """Read a BEIR folder, whose name is the data set's. "all" is all files of ``qrels``.

    Raises:
        NoSplitError: there is no such file in ``qrels``.
        InvalidInputError: the files are not there or cannot be read.
    """
    what = "a folder with corpus.jsonl, queries.jsonl and qrels/*.tsv"
    corpus, queries = existing(path / "corpus.jsonl", what), existing(path / "queries.jsonl", what)
    qrels = sorted(existing(path / "qrels", what).glob("*.tsv"))
    chosen = qrels if split == "all" else [file for file in qrels if file.stem == split]
    if not chosen:
        raise NoSplitError(path, split, f"all, {', '.join(file.stem for file in qrels)}")
    name = path.resolve().name
    builder = Builder(path, name)
    for place, entry in read_lines(corpus):
        builder.turn(
            place,
            Turn(
                id=id_of(corpus, place, entry.get("_id")),
                user_id=_USER,
                conversation_id=None,
                role="user",
                content=" ".join(
                    part
                    for key in ("title", "text")
                    if (part := text_of(corpus, place, entry.get(key)))
                ),
            ),
        )
    gold: dict[str, list[str]] = {}
    for file in chosen:
        for query, document in _judged(file):
            gold.setdefault(query, []).append(document)
    for place, entry in read_lines(queries):
        query = id_of(queries, place, entry.get("_id"))
        if query in gold:
            builder.question(
                place,
                Question(
                    id=query,
                    user_id=_USER,
                    text=text_of(queries, place, entry.get("text")),
                    category=name,
                    gold=tuple(gold.pop(query)),
                    group=query,
                ),
            )
    builder.left_out["judged questions that are not in queries.jsonl"] = len(gold)
    return builder.build()


def _judged(file: Path) -> list[tuple[str, str]]:
    found = []
    for place, row in read_table(file):
        try:
            query, document, score = row
            grade = float(score)
        except ValueError as error:
            if place == "line 1":  # the header
                continue
            fix = "Write question id, document id and score, with tabs between."
            raise refused(file, place, f"is no judgement: {error}", fix) from error
        if grade > 0:
            found.append((query, document))
    return found
