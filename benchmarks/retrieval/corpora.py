"""The development corpora, each stored once and asked with any profile.

Settings are chosen on several unlike corpora at once (`ablation`, `leave_one_out`), so their stores
are kept open side by side. The step `use` is off in whatever is asked: what one profile has
recalled would move the next.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from rich.table import Table

from benchmarks.retrieval.asking import Asked, asked
from benchmarks.retrieval.datasets import KINDS, SAMPLES, Dataset, load
from benchmarks.retrieval.metrics import DEPTH, figures, ranks_of, update_figures
from benchmarks.retrieval.systems import Memory, turn_id
from bruno_memory_vec import Profile
from bruno_memory_vec.embedders import Embedder

#: Where the evaluation data is: an environment variable that names a folder.
EVAL_DATA = "BRUNO_EVAL_DATA"
# Kind and subfolder of each corpus in there.
_KNOWN = (
    ("locomo", "locomo"),
    ("jsonl", "realmem"),
    ("jsonl", "lifebench/en"),
    ("jsonl", "lifebench/zh"),
    ("beir", "scifact"),
)
#: The figures by which settings are chosen, and those that are shown beside them.
CHOSEN_BY = ("recall@10", "ndcg@10")
SHOWN = ("recall@5", *CHOSEN_BY)


#: The figures of one profile on one corpus, by name.
Figures: TypeAlias = dict[str, float]


def development_corpora() -> list[tuple[str, Path]]:
    """Kind and path of each corpus that is there: those of `EVAL_DATA`, then our own samples."""
    folder = os.environ.get(EVAL_DATA)
    known = [] if not folder else [(kind, Path(folder) / name) for kind, name in _KNOWN]
    return [*((kind, path) for kind, path in known if path.is_dir()), ("jsonl", SAMPLES)]


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Add options: which corpora (``sources``), how many ``questions``, and the ``embedder``."""
    parser.add_argument(
        "--data",
        action="append",
        dest="sources",
        type=source,
        metavar="KIND=PATH",
        help=f"any number of times (default: our own samples, and the corpora in {EVAL_DATA})",
    )
    parser.add_argument("--questions", type=int, metavar="N", help="ask so many of each at most")
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")


def source(text: str) -> tuple[str, Path]:
    """Kind and path of a data set, from the command line."""
    kind, found, path = text.partition("=")
    if not found or kind not in KINDS or not path:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not KIND=PATH with a KIND of {', '.join(KINDS)}"
        )
    return kind, Path(path)


def sampled(data: Dataset, questions: int | None) -> Dataset:
    """A data set with so many of its headline questions, evenly spread; None for all of them."""
    kept = [one for one in data.questions if one.category in data.headline and one.gold]
    if questions is not None and len(kept) > questions:
        kept = [kept[len(kept) * n // questions] for n in range(questions)]
    return replace(data, questions=tuple(kept))


class Corpus:
    """A data set in an open store."""

    def __init__(self, data: Dataset, system: Memory) -> None:
        self.name = data.name
        self._system = system
        self._asked: list[Asked] = list(asked(data))
        self._known: dict[Profile, Figures] = {}

    async def figures(self, profile: Profile) -> Figures:
        """The means of `SHOWN`, and of ``updates@10`` where questions have older turns, 0..1."""
        profile = replace(profile, name="", description="", rank=profile.rank.without("use"))
        if profile not in self._known:
            self._known[profile] = await self._measured(profile)
        return self._known[profile]

    async def _measured(self, profile: Profile) -> Figures:
        gold, older = [], []
        for one in self._asked:
            question = one.question
            hits = await self._system.memory.recall(
                question.text,
                user_id=question.user_id,
                k=DEPTH,
                now=one.now,
                until=one.until,
                profile=profile,
            )
            found = [turn_id(hit.record) for hit in hits]
            gold.append(ranks_of(found, question.gold))
            older.append(ranks_of(found, question.older))
        means = {name: float(np.mean(figures(gold)[name])) for name in SHOWN}
        replaced = [place for place, ranks in enumerate(older) if ranks]
        if replaced:
            updates = update_figures(
                [gold[place] for place in replaced], [older[place] for place in replaced]
            )
            means["updates@10"] = float(np.mean(updates["updates@10"]))
        return means


@asynccontextmanager
async def stored(
    sources: Sequence[tuple[str, Path]] | None,
    profile: Profile,
    embedder: Embedder,
    *,
    split: str = "all",
    questions: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> AsyncIterator[list[Corpus]]:
    """Store each corpus in a folder that is gone afterwards.

    Args:
        sources: kind and path of each; None for the development corpora.
        profile: the stores' own profile; another may be asked.
        embedder: the embedder of all.
        split: "dev", "test" or "all".
        questions: ask so many of each at most.
        say: told what is being stored.
    """
    data = [
        sampled(load(kind, path, split), questions)
        for kind, path in sources or development_corpora()
    ]
    async with opened(data, profile, embedder, say) as systems:
        yield [Corpus(one, system) for one, system in zip(data, systems, strict=True)]


@asynccontextmanager
async def opened(
    data: Sequence[Dataset],
    profile: Profile,
    embedder: Embedder,
    say: Callable[[str], None] = lambda line: None,
) -> AsyncIterator[list[Memory]]:
    """A store of each data set, all open side by side, in a folder that is gone afterwards."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        systems = []
        for number, one in enumerate(data):
            say(f"{one.name}: {len(one.turns)} texts, {len(one.questions)} questions")
            place = folder / str(number)
            place.mkdir()
            system = Memory(profile, embedder)
            await system.open(place)
            stack.push_async_callback(system.close)
            await system.store(one.turns)
            systems.append(system)
        yield systems


def difference_table(rows: Mapping[str, Mapping[str, Figures]]) -> Table:
    """A table with a column a corpus: the figures of the first row, and differences to it.

    Args:
        rows: by what was asked, the figures of each corpus; the same corpora in each.
    """
    base = next(iter(rows.values()))
    table = Table(title=f"{', '.join(CHOSEN_BY)}; below the first line, differences to it")
    table.add_column("", no_wrap=True)
    for name in (*base, "mean"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, (what, found) in enumerate(rows.items()):
        cells = []
        for name in (*base, None):
            values = [_of(found, name, figure) for figure in CHOSEN_BY]
            if number == 0:
                cells.append("\n".join(f"{value:.3f}" for value in values))
            else:
                before = [_of(base, name, figure) for figure in CHOSEN_BY]
                pairs = zip(values, before, strict=True)
                cells.append("\n".join(f"{value - other:+.3f}" for value, other in pairs))
        table.add_row(what, *cells)
    return table


def _of(found: Mapping[str, Figures], corpus: str | None, figure: str) -> float:
    """A figure of a corpus; None for the mean of all."""
    if corpus is not None:
        return found[corpus][figure]
    return sum(one[figure] for one in found.values()) / len(found)
