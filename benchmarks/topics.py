"""How good topics are: ``python -m benchmarks.topics``.

Of our own samples, and of the corpora in BRUNO_EVAL_DATA, which have no labels of topics. What they
have: which rows answer one question together, who says what, and which conversation a row is of.

evidence   of two rows that answer one question, and are of two conversations (or of none): how
           often they have one topic; beside it how often any two rows do (chance)
people     normalised mutual information of topics and the people who speak
talks      likewise of topics and conversations; turns of one conversation are clustered together,
           so this says little of stretches
seeds      adjusted Rand index between the topics of three seeds
words      normalised pointwise mutual information of the eight words of a topic, over the rows of
           all users (-1..1; rows that have both, against chance)

``--rows-alone`` clusters each row by itself, for comparison; ``--each-user`` makes topics of each
user alone, and gives the means over users. No text is written anywhere.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from bruno_core.models.message import Message, MessageRole
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval.corpora import development_corpora, source
from benchmarks.retrieval.datasets import load
from benchmarks.retrieval.datasets.base import Dataset, Turn
from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.analytics import topics as making
from bruno_memory_vec.analytics.clusters import fit
from bruno_memory_vec.analytics.reading import Chosen, parts, vectors
from bruno_memory_vec.indexers.query import EVERYONE
from bruno_memory_vec.indexers.text.analysis import analyser

Ints = NDArray[np.int64]
_SEEDS = (0, 1, 2)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.topics", description=__doc__)
    parser.add_argument(
        "--data",
        action="append",
        type=source,
        metavar="KIND=PATH",
        help="any number of times (default: our own samples, and the corpora in BRUNO_EVAL_DATA)",
    )
    parser.add_argument("--each-user", action="store_true", help="topics of each user alone")
    parser.add_argument("--rows-alone", action="store_true", help="no stretches of turns")
    parser.add_argument("--k", type=int, help="so many topics; the criterion chooses without")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    if arguments.rows_alone:
        making.STRETCH = 1  # type: ignore[misc]
    screen = Console(stderr=True)
    figures = {}
    for kind, path in arguments.data or development_corpora():
        data = load(kind, path)
        name = data.name if data.name == path.name else f"{data.name} {path.name}"
        figures[name] = _figures(data, arguments.k, each=arguments.each_user)
        screen.print(f"{name}: {figures[name]['k']:g} topics of {len(data.turns):,} rows")
        report = {
            **describe(),
            "k": arguments.k,
            "rows_alone": arguments.rows_alone,
            "each_user": arguments.each_user,
        }
        if arguments.json != "-":
            # After each, as a corpus may take minutes.
            write_json({**report, "figures": figures}, arguments.json)
    heads = ("k", "evidence", "chance", "pairs", "people", "talks", "seeds", "words")
    table = Table("", *heads)
    for name, figure in figures.items():
        cells = [figure[head] for head in heads]
        table.add_row(name, *("" if one is None else f"{one:.3g}" for one in cells))
    screen.print(table)
    if arguments.json == "-":
        write_json({**describe(), "figures": figures}, arguments.json)
    return 0


def _figures(data: Dataset, k: int | None, *, each: bool) -> dict[str, Any]:
    if not each:
        return asyncio.run(_measured(data, k))
    users = dict.fromkeys(turn.user_id for turn in data.turns)
    found = [asyncio.run(_measured(_of(data, user), k)) for user in users]
    return {
        "users": len(found),
        **{
            name: float(np.mean([one[name] for one in found if one[name] is not None]))
            for name in ("rows", "k", "stretches", "evidence", "chance", "pairs", "talks")
        },
        "people": None,
        **{name: float(np.mean([one[name] for one in found])) for name in ("seeds", "words")},
    }


def _of(data: Dataset, user: str) -> Dataset:
    return replace(
        data,
        turns=tuple(turn for turn in data.turns if turn.user_id == user),
        questions=tuple(one for one in data.questions if one.user_id == user),
    )


async def _measured(data: Dataset, k: int | None) -> dict[str, Any]:
    async with open_memory("memory://") as memory:
        talks: dict[tuple[str, str], list[Turn]] = {}
        for turn in data.turns:
            # What is in no conversation is a conversation of one row here.
            talk = turn.conversation_id or f"{turn.user_id}/{turn.id}"
            talks.setdefault((turn.user_id, talk), []).append(turn)
        for (user, talk), turns in talks.items():
            said = [
                Message(role=MessageRole(turn.role), content=turn.content, timestamp=turn.at)
                if turn.at
                else Message(role=MessageRole(turn.role), content=turn.content)
                for turn in turns
            ]
            await memory.store_messages(said, talk, user_id=user)
        found = await memory.analytics.topics(ALL_USERS, k=k, words=8)
        labels = [await _labels(memory, found.k, seed) for seed in _SEEDS]
    place = {
        (user, turn.id): (talk, at)
        for (user, talk), turns in talks.items()
        for at, turn in enumerate(turns)
    }
    label = labels[0]
    shares = np.bincount([one for one in label.values() if one >= 0]) / len(label)
    pairs = [
        (place[question.user_id, left], place[question.user_id, right])
        for question in data.questions
        for left, right in itertools.combinations(question.gold, 2)
        if (question.user_id, left) in place and (question.user_id, right) in place
    ]
    apart = [(one, other) for one, other in pairs if one[0] != other[0]]
    rows = list(label)
    people = {talk: user for user, talk in talks}
    several = len(set(people.values())) > 1
    mine = [label[row] for row in rows]
    return {
        "rows": len(rows),
        "k": found.k,
        "stretches": found.stretches,
        "silhouettes": found.silhouettes,
        "evidence": float(np.mean([label[one] == label[other] for one, other in apart]))
        if apart
        else None,
        "chance": float((shares**2).sum()),
        "pairs": len(apart),
        "people": float(normalized_mutual_info_score([people[row[0]] for row in rows], mine))
        if several
        else None,
        "talks": float(normalized_mutual_info_score([row[0] for row in rows], mine)),
        "seeds": float(
            np.mean(
                [
                    adjusted_rand_score([one[row] for row in rows], [other[row] for row in rows])
                    for one, other in itertools.combinations(labels, 2)
                ]
            )
        ),
        "words": _coherence(
            [[word.word for word in topic.words] for topic in found.topics],
            [turn.content for turn in data.turns],
        ),
    }


async def _labels(memory: VectorMemory, k: int, seed: int) -> dict[tuple[str, int], int]:
    """The topic of each row, by its conversation and turn, as ``topics`` gives it."""
    store = await memory._handle.store()
    stretches = making.Stretches()
    names = making.StretchNames()
    columns = ("id", "kind", "user_id", "conversation_id", "turn", "words", "vector")
    held = []
    async for rows in parts(store, EVERYONE, Chosen(), columns):
        stretches.add(rows)
        held.append(
            (
                rows.column("conversation_id").to_pylist(),
                rows.column("turn").to_pylist(),
                names.stretches(rows).tolist(),
                vectors(rows),
            )
        )
    of, middle = stretches.middle()
    clusters = fit(middle, k, seed)
    assert clusters is not None
    label = dict(zip(of.tolist(), clusters.placed(middle)[0].tolist(), strict=True))
    return {
        (talk, turn): label[name]
        for talks, turns, stretch, _ in held
        for talk, turn, name in zip(talks, turns, stretch, strict=True)
    }


def _coherence(topics: Sequence[Sequence[str]], texts: Sequence[str]) -> float:
    """The mean NPMI of pairs of words of a topic, by the rows that have both."""
    terms = analyser("english")
    wanted = {word: tuple(terms.terms(word)) for words in topics for word in words}
    single = {term for found in wanted.values() for term in found}
    having: dict[str, set[int]] = {term: set() for term in single}
    for row, text in enumerate(texts):
        for term in single.intersection(terms.terms(text)):
            having[term].add(row)
    rows_of = {
        word: set.intersection(*(having[term] for term in found)) if found else set()
        for word, found in wanted.items()
    }
    values = []
    for words in topics:
        for left, right in itertools.combinations(words, 2):
            both = len(rows_of[left] & rows_of[right]) / len(texts)
            either = len(rows_of[left]) * len(rows_of[right]) / len(texts) ** 2
            if not both:
                values.append(-1.0)
            elif both < 1:
                values.append(math.log(both / either) / -math.log(both))
    return float(np.mean(values)) if values else 0.0


if __name__ == "__main__":
    sys.exit(main())
