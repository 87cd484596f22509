"""Whether a recall knows when it does not know: ``python -m benchmarks.retrieval.confidence``.

Asked are questions with an answer in their user's texts, and questions with none there: those of
another user, and those that a data set keeps apart because nothing answers them (LoCoMo's category
5). Of a data set of one user, the questions of the other sets are asked. A question's hits hold an
answer where gold is among the first ten.

Printed are, for each development corpus, how well ``Hits.confidence`` tells the two apart (AUROC)
with the shipped weights and with weights that were fitted on all other corpora; the fitted weights;
of each tenth of the confidence, how often the hits held an answer; and what is returned and refused
at some values of ``min_confidence_of_answer``. Both kinds of question
count half in each corpus, and each corpus the same. The weight of ``whose`` stays as it is when the
others are fitted: only LoCoMo's speakers are named, so without it there is nothing to fit it on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.retrieval import plots
from benchmarks.retrieval.asking import asked
from benchmarks.retrieval.corpora import add_sources, development_corpora, opened
from benchmarks.retrieval.datasets import load
from benchmarks.retrieval.datasets.base import Dataset, Question
from benchmarks.retrieval.systems import Memory, turn_id
from bruno_memory_vec import load_profile
from bruno_memory_vec.embedders.resolve import resolve_embedder
from bruno_memory_vec.rankers import Evidence
from bruno_memory_vec.rankers.confidence import BIAS, FIRST, WEIGHTS

Floats = NDArray[np.float64]

#: A question with an answer; one that its data set keeps apart; another user's.
OWN, APART, OTHER = "own", "apart", "other"
_FITTED = tuple(name for name in WEIGHTS if name != "whose")
# Those that are kept apart are of one corpus only, and count less than other users'.
_APART_COUNTS = 0.3
_TENTHS = np.linspace(0, 1, 11)
_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
_screen = Console(stderr=True)


class Case(NamedTuple):
    """A question that was asked.

    Attributes:
        corpus: the name of the data set that it was asked of.
        kind: OWN, APART or OTHER.
        found: whether gold is among the first hits.
        evidence: what the recall gave.
    """

    corpus: str
    kind: str
    found: bool
    evidence: Evidence


class Cases:
    """Cases as columns, with the weight of each.

    Args:
        cases: the cases of any corpora.
    """

    def __init__(self, cases: Sequence[Case]) -> None:
        self.corpus = np.array([case.corpus for case in cases])
        self.kind = np.array([case.kind for case in cases])
        self.found = np.array([case.found for case in cases], np.float64)
        self.confidence = np.array([case.evidence.confidence() for case in cases])
        self.fitted = np.array([[getattr(c.evidence, name) for name in _FITTED] for c in cases])
        self.whose = WEIGHTS["whose"] * np.array([case.evidence.whose for case in cases])
        self.weight = np.zeros(len(cases))
        for corpus in self.corpora:
            for own in (True, False):
                which = (self.corpus == corpus) & ((self.kind == OWN) == own)
                counts = np.where(self.kind[which] == APART, _APART_COUNTS, 1.0)
                self.weight[which] = counts / max(counts.sum(), 1.0)

    @property
    def corpora(self) -> list[str]:
        """The names of the corpora, in the order of the cases."""
        return list(dict.fromkeys(self.corpus.tolist()))

    def fit(self, which: NDArray[np.bool_]) -> Floats:
        """The weights of `_FITTED` and the bias, from some of the cases, float64 (4,).

        Logistic regression by Newton's method, with a small ridge.
        """
        x = np.c_[self.fitted[which], np.ones(which.sum())]
        y, offset = self.found[which], self.whose[which]
        counts = self.weight[which] / self.weight[which].sum()
        ridge = np.diag([1e-3] * len(_FITTED) + [1e-9])
        found: Floats = np.zeros(x.shape[1])
        for _ in range(30):
            p = 1 / (1 + np.exp(-(x @ found + offset)))
            slope = x.T @ (counts * (p - y)) + ridge @ found
            found = found - np.linalg.solve(x.T * (counts * p * (1 - p)) @ x + ridge, slope)
        return found

    def by(self, weights: Floats) -> Floats:
        """The confidence by other weights, float64 (n,)."""
        line = self.fitted @ weights[:-1] + weights[-1] + self.whose
        confidence: Floats = 1 / (1 + np.exp(-line))
        return confidence

    def told_apart(self, corpus: str, confidence: Floats) -> dict[str, float]:
        """AUROC of one corpus: found answers, and all questions with one, against the others.

        Also the Brier score, the mean confidence and how often the hits held an answer.
        """
        here = self.corpus == corpus
        own, found = here & (self.kind == OWN), here & (self.found > 0)
        told = {}
        for kind in (OTHER, APART):
            without = here & (self.kind == kind)
            if without.any():
                told[f"{kind}/found"] = auroc(confidence[found], confidence[without])
                told[f"{kind}/all"] = auroc(confidence[own], confidence[without])
        told["brier"] = float(
            np.average((confidence - self.found)[here] ** 2, weights=self.weight[here])
        )
        for name, values in (("confidence", confidence), ("held", self.found)):
            told[name] = float(np.average(values[here], weights=self.weight[here]))
        return told


def auroc(with_answer: Floats, without: Floats) -> float:
    """How often one with an answer has the higher confidence of the two; equal ones count half."""
    order = np.sort(without)
    below = np.searchsorted(order, with_answer, "left") + np.searchsorted(
        order, with_answer, "right"
    )
    return float(below.mean() / 2 / len(order))


def reliability(cases: Cases) -> list[tuple[float, float, int]]:
    """Of each tenth of the confidence: its mean, the share that held an answer, how many cases."""
    bins = np.digitize(cases.confidence, _TENTHS[1:-1])
    rows = []
    for tenth in range(len(_TENTHS) - 1):
        here = bins == tenth
        if here.any():
            counts = cases.weight[here]
            mean = float(np.average(cases.confidence[here], weights=counts))
            share = float(np.average(cases.found[here], weights=counts))
            rows.append((mean, share, int(here.sum())))
    return rows


def thresholds(cases: Cases) -> list[tuple[float, float, float]]:
    """Of some values of ``min_confidence_of_answer``: which share of the found answers is still
    returned, and of which share of the questions without one nothing is."""
    found, without = cases.found > 0, cases.kind != OWN
    weight, confidence = cases.weight, cases.confidence
    return [
        (
            least,
            float(np.average(confidence[found] >= least, weights=weight[found])),
            float(np.average(confidence[without] < least, weights=weight[without])),
        )
        for least in _THRESHOLDS
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is 0."""
    arguments = _arguments(argv)
    if arguments.plot:
        plots.require()
    quiet_logs()
    cases = Cases(asyncio.run(_asked(arguments)))
    corpora = cases.corpora
    every = np.ones(len(cases.found), bool)
    report: dict[str, Any] = {
        **describe(),
        "profile": arguments.profile,
        "embedder": arguments.embedder,
        "shipped": {**WEIGHTS, "bias": BIAS},
        "fitted": dict(zip((*_FITTED, "bias"), cases.fit(every).tolist(), strict=True)),
        "corpora": {one: cases.told_apart(one, cases.confidence) for one in corpora},
        "reliability": reliability(cases),
        "thresholds": thresholds(cases),
    }
    if len(corpora) > 1:
        report["left_out"] = {
            one: cases.told_apart(one, cases.by(cases.fit(cases.corpus != one))) for one in corpora
        }
    _print(report)
    if arguments.plot:
        plots.draw_reliability(report["reliability"], Path(arguments.plot))
    write_json(report, arguments.json)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.confidence")
    add_sources(parser)
    parser.set_defaults(questions=300)
    parser.add_argument("--profile", default="balanced")
    parser.add_argument("--plot", metavar="FILE", help="draw the reliability there, as SVG")
    return parser.parse_args(argv)


async def _asked(arguments: argparse.Namespace) -> list[Case]:
    sources = arguments.sources or development_corpora()
    data = [load(kind, path, "all") for kind, path in sources]
    profile = load_profile(arguments.profile)
    profile = replace(profile, rank=profile.rank.without("use"))
    embedder = resolve_embedder(arguments.embedder)
    cases: list[Case] = []
    async with opened(data, profile, embedder, _screen.print) as systems:
        for one, system in zip(data, systems, strict=True):
            others = [other for other in data if other is not one]
            cases += await _cases(system, one, others, arguments.questions)
    return cases


async def _cases(system: Memory, data: Dataset, others: Sequence[Dataset], most: int) -> list[Case]:
    users = sorted({turn.user_id for turn in data.turns})
    everyone = list(asked(data))
    own = [one for one in everyone if one.question.category in data.headline and one.question.gold]
    cases: list[Case] = []

    async def ask(kind: str, question: Question, user: str, now: datetime, **how: Any) -> None:
        hits = await system.memory.recall(question.text, user_id=user, k=FIRST, now=now, **how)
        found = kind == OWN and any(turn_id(hit.record) in question.gold for hit in hits)
        cases.append(Case(data.name, kind, found, hits.evidence or Evidence()))

    for one in _spread(own, most):
        await ask(OWN, one.question, one.question.user_id, one.now, until=one.until)
    for one in _spread([one for one in everyone if one.question.category in data.apart], most):
        await ask(APART, one.question, one.question.user_id, one.now, until=one.until)
    foreign = own if len(users) > 1 else [one for other in others for one in asked(other)]
    for number, one in enumerate(_spread(foreign, most)):
        strangers = [user for user in users if user != one.question.user_id]
        await ask(OTHER, one.question, strangers[number % len(strangers)], one.now)
    return cases


def _spread(items: Sequence[Any], most: int) -> list[Any]:
    if len(items) <= most:
        return list(items)
    return [items[len(items) * number // most] for number in range(most)]


def _print(report: dict[str, Any]) -> None:
    table = Table(title="AUROC: answers that were found / all questions with one, against ...")
    for name in ("", "other users' questions", "kept apart", "Brier", "confidence / held"):
        table.add_column(name, justify="right" if name else "left")
    for kind in ("corpora", "left_out"):
        for corpus, told in report.get(kind, {}).items():
            name = corpus if kind == "corpora" else f"{corpus}, left out"
            pairs = (
                f"{told[f'{what}/found']:.3f} / {told[f'{what}/all']:.3f}"
                if f"{what}/found" in told
                else ""
                for what in (OTHER, APART)
            )
            means = f"{told['confidence']:.2f} / {told['held']:.2f}"
            table.add_row(name, *pairs, f"{told['brier']:.3f}", means)
        table.add_section()
    _screen.print(table)
    table = Table(title="Reliability")
    for name in ("confidence", "held an answer", "questions"):
        table.add_column(name, justify="right")
    for mean, share, count in report["reliability"]:
        table.add_row(f"{mean:.2f}", f"{share:.2f}", str(count))
    _screen.print(table)
    table = Table(title="min_confidence_of_answer")
    for name in ("", "found answers returned", "without one, refused"):
        table.add_column(name, justify="right")
    for least, kept, refused in report["thresholds"]:
        table.add_row(f"{least:.1f}", f"{kept:.2f}", f"{refused:.2f}")
    _screen.print(table)
    for name in ("shipped", "fitted"):
        _screen.print(name, {key: round(value, 2) for key, value in report[name].items()})


if __name__ == "__main__":
    sys.exit(main())
