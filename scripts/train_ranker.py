"""Train the linear ranker of a profile: ``python -m scripts.train_ranker --data locomo=DIR``.

Asks the questions of the dev splits through the public API, takes the signals of the best hits
of each, and finds the factors by which gold rises: ListNet's top-one cross entropy (Cao et al.,
"Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007), a convex problem.
The factors are pulled towards one common value, at which the ranking is the profile's own, so a
signal that the data says little about keeps the weight that was chosen by hand. Nothing is drawn
at random. What it prints on the way is measured by leaving one conversation out at a time.
Needs scipy (the extra `bench`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.environment import describe, quiet_logs
from benchmarks.retrieval.datasets import Dataset, load
from benchmarks.retrieval.metrics import DEPTH, figures
from benchmarks.retrieval.systems import Memory, moments, turn_id
from bruno_memory_vec import load_profile
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.rankers import STEPS

Floats = NDArray[np.float64]

# Signals that start from the score so far run after the learned ranker and are not its own.
_LATER = list(STEPS)[list(STEPS).index("learned") :]
# Not more than each side proposes, or a larger pool would be ranked than in use.
_DEPTH = 100


@dataclass(frozen=True, slots=True)
class _Asked:
    """One question: the signals of its best hits, float64 (n, s), and which of them are gold."""

    group: str
    signals: Floats
    gold: NDArray[np.bool_]
    wanted: int


def main() -> int:
    """Train, print what was found, and write the factors."""
    arguments = _arguments()
    quiet_logs()
    names, asked = asyncio.run(_collect(arguments))
    pull = (arguments.pull, arguments.common)
    held_out: list[_Asked] = []
    weights: list[Floats] = []
    groups = sorted({one.group for one in asked})
    for group in groups:
        factors = _fit([one for one in asked if one.group != group], *pull)
        held_out += [
            replace(one, signals=one.signals @ factors[:, None])
            for one in asked
            if one.group == group
        ]
        weights.append(factors)
    equal = [replace(one, signals=one.signals.sum(axis=1, keepdims=True)) for one in asked]
    _print("factors all 1", equal)
    _print("one conversation left out", held_out)
    factors = _fit(asked, *pull)
    # The scale of a ranking says nothing; words count as they do without the model.
    scale = factors[names.index("lexical")]
    report = {
        "factors": {
            name: round(float(factor / scale), 3)
            for name, factor in zip(names, factors, strict=True)
        },
        "trained": {
            "questions": len(asked),
            "conversations": len(groups),
            "pull": arguments.pull,
            "common": arguments.common,
            "profile": arguments.profile,
            "embedders": arguments.embedder,
            "spread": {
                name: [round(float(low), 3), round(float(high), 3)]
                for name, low, high in zip(
                    names, *_range(weights, names.index("lexical")), strict=True
                )
            },
            "versions": describe()["versions"],
        },
    }
    text = json.dumps(report, indent=2) + "\n"
    sys.stdout.write(text)
    if arguments.out:
        Path(arguments.out).write_text(text, encoding="utf-8")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scripts.train_ranker", description=__doc__)
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="KIND=PATH",
        help="a data set with a dev split, as benchmarks.retrieval takes it; may be repeated",
    )
    parser.add_argument("--profile", default="balanced", help="its [learned] is left out")
    parser.add_argument("--embedder", action="append", help="may be repeated (default: static)")
    parser.add_argument("--pull", type=float, default=0.01, help="towards the common factor")
    parser.add_argument("--common", type=float, default=4.0, help="the common factor")
    parser.add_argument("--out", help="write the factors there")
    arguments = parser.parse_args()
    arguments.embedder = arguments.embedder or ["static"]
    return arguments


async def _collect(arguments: argparse.Namespace) -> tuple[list[str], list[_Asked]]:
    names: list[str] = []
    asked: list[_Asked] = []
    for source in arguments.data:
        kind, _, path = source.partition("=")
        data = load(kind, path, "dev")
        for embedder in arguments.embedder:
            names, found = await _ask(data, arguments.profile, embedder)
            asked += found
    return names, asked


async def _ask(data: Dataset, profile: str, embedder: str) -> tuple[list[str], list[_Asked]]:
    chosen = load_profile(profile)
    chosen = replace(chosen, rank=chosen.rank.without("learned"))
    names: list[str] = []
    asked = []
    last = dict(zip((turn.user_id for turn in data.turns), moments(data.turns), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        system = Memory(profile, resolve_embedder(embedder))
        await system.open(Path(folder))
        await system.store(data.turns)
        for question in data.questions:
            if question.category not in data.headline or not question.gold:
                continue
            now = question.asked_at or last[question.user_id] + timedelta(days=1)
            hits = await system.memory.recall(
                question.text, user_id=question.user_id, k=_DEPTH, now=now, profile=chosen
            )
            names = [name for name in hits[0].signals if name not in _LATER] if hits else names
            asked.append(
                _Asked(
                    question.group,
                    np.array([[hit.signals[name] for name in names] for hit in hits]),
                    np.array([turn_id(hit.record) in question.gold for hit in hits]),
                    len(question.gold),
                )
            )
        await system.close()
    return names, asked


def _fit(asked: Sequence[_Asked], pull: float, common: float) -> Floats:
    """The factors, float64 (s,): least cross entropy plus ``pull * |factors - common|^2``."""
    from scipy.optimize import minimize

    with_gold = [one for one in asked if one.gold.any()]
    signals = np.concatenate([one.signals for one in with_gold])
    target = np.concatenate([one.gold / one.gold.sum() for one in with_gold])
    lengths = np.array([len(one.gold) for one in with_gold])
    starts = np.r_[0, np.cumsum(lengths)[:-1]]

    def loss(factors: Floats) -> tuple[float, Floats]:
        score = signals @ factors
        score = score - np.repeat(np.maximum.reduceat(score, starts), lengths)
        total = np.repeat(np.add.reduceat(np.exp(score), starts), lengths)
        entropy = -(target * (score - np.log(total))).sum() / len(with_gold)
        gradient = signals.T @ (np.exp(score) / total - target) / len(with_gold)
        away = factors - common
        return entropy + pull * float(away @ away), gradient + 2 * pull * away

    begin = np.full(signals.shape[1], common)
    found: Floats = minimize(loss, begin, jac=True, method="L-BFGS-B").x
    return found


def _range(weights: Sequence[Floats], lexical: int) -> tuple[Floats, Floats]:
    scaled = np.array([factors / factors[lexical] for factors in weights])
    return scaled.min(axis=0), scaled.max(axis=0)


def _print(name: str, asked: Sequence[_Asked]) -> None:
    """Figures of the hits put in the order of their only column."""
    ranks = []
    for one in asked:
        order = np.argsort(-one.signals[:, 0], kind="stable")
        found = [int(rank) + 1 for rank in np.flatnonzero(one.gold[order]) if rank < DEPTH]
        ranks.append(found + [0] * (one.wanted - len(found)))
    means = {key: float(np.mean(value)) for key, value in figures(ranks).items()}
    shown = ", ".join(f"{key} {means[key]:.4f}" for key in ("recall@5", "recall@10", "ndcg@10"))
    print(f"{name}: {shown}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
