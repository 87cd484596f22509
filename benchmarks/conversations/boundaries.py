"""Where two conversations were joined: what share of the seams is found, and of the found is one.

Sessions of LoCoMo are joined end to end, all at the same pace, so that only the topic can tell. The
sessions of one joined conversation are of different people ("others") or of the same two ("same").
Which are joined follows from the seed. A seam is found where one is named within ``--within`` turns
of it; each counts once. "chance" names as many places as were found, evenly spread.

The vectors are those of a recall: the default embedder, of the text with the speaker's name.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.datasets import locomo
from bruno_memory_vec.conversations.boundaries import TOPIC, WINDOW, segments_of
from bruno_memory_vec.embedders.static import StaticEmbedder

_BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class Joined:
    """A conversation made of several.

    Attributes:
        vectors: float32 (n, d), of its turns.
        seams: the places at which another session begins.
    """

    vectors: NDArray[np.float32]
    seams: frozenset[int]


@dataclass(frozen=True, slots=True)
class Found:
    """How many seams there are, were named, and were found; the same for places by chance."""

    there: int
    named: int
    found: int
    by_chance: int

    @property
    def precision(self) -> float:
        """The share of the named places that are a seam; 0 where none was named."""
        return self.found / max(self.named, 1)

    @property
    def recall(self) -> float:
        """The share of the seams that were found."""
        return self.found / max(self.there, 1)

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        return 2 * self.found / max(self.there + self.named, 1)

    @property
    def precision_by_chance(self) -> float:
        """The precision of as many places, evenly spread."""
        return self.by_chance / max(self.named, 1)


def sessions_of(folder: Path, split: str) -> dict[tuple[str, str], NDArray[np.float32]]:
    """The vectors of each session of LoCoMo, by sample and session.

    Raises:
        InvalidInputError: the files are not there or cannot be read.
    """
    texts: dict[tuple[str, str], list[str]] = {}
    for turn in locomo.load(folder, split).turns:
        texts.setdefault((turn.user_id, turn.conversation_id), []).append(turn.content)
    embedder = StaticEmbedder()
    return {name: np.asarray(embedder.embed(said), np.float32) for name, said in texts.items()}


def join(
    sessions: dict[tuple[str, str], NDArray[np.float32]],
    each: int,
    count: int,
    seed: int,
    *,
    same: bool,
) -> list[Joined]:
    """Conversations of ``each`` sessions, ``count`` of them, of the same people or of others."""
    chance, made = random.Random(seed), []
    names = sorted(sessions)
    while len(made) < count:
        chosen = [chance.choice(names)]
        while len(chosen) < each:
            fitting = [
                name for name in names if name not in chosen and (name[0] == chosen[-1][0]) == same
            ]
            chosen.append(chance.choice(fitting))
        ends = np.cumsum([len(sessions[name]) for name in chosen])[:-1]
        vectors = np.concatenate([sessions[name] for name in chosen])
        made.append(Joined(vectors, frozenset(ends.tolist())))
    return made


def measure(joined: Iterable[Joined], topic: float, window: int, within: int) -> Found:
    """Look for the seams of conversations."""
    there = named = found = by_chance = 0
    for one in joined:
        n = len(one.vectors)
        times = [_BEGIN + timedelta(seconds=place) for place in range(n)]
        segments = segments_of(range(n), times, one.vectors, gap=None, topic=topic, window=window)
        places = [segment.from_turn for segment in segments[1:]]
        spread = np.linspace(0, n, len(places) + 2)[1:-1].round().astype(int).tolist()
        there += len(one.seams)
        named += len(places)
        found += matched(places, one.seams, within)
        by_chance += matched(spread, one.seams, within)
    return Found(there, named, found, by_chance)


def matched(places: Sequence[int], seams: frozenset[int], within: int) -> int:
    """How many of the places are within so many turns of a seam, each seam once."""
    left = set(seams)
    for place in places:
        near = [seam for seam in left if abs(seam - place) <= within]
        if near:
            left.remove(min(near, key=lambda seam: abs(seam - place)))
    return len(seams) - len(left)


def table(folder: Path, split: str, *, count: int, seed: int, topic: float, window: int) -> str:
    """The figures as Markdown: two and six sessions, of others and of the same people."""
    sessions = sessions_of(folder, split)
    rows = [
        "| joined | within | seams | precision | recall | F1 | precision by chance |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for same in (False, True):
        for each in (2, 6):
            joined = join(sessions, each, count, seed, same=same)
            for within in (0, 1):
                got = measure(joined, topic, window, within)
                people = "the same two people" if same else "other people each"
                rows.append(
                    f"| {each} sessions, {people} | {within} | {got.there} | {got.precision:.2f} "
                    f"| {got.recall:.2f} | {got.f1:.2f} | {got.precision_by_chance:.2f} |"
                )
    return "\n".join(rows)


DEFAULT_TOPIC, DEFAULT_WINDOW = TOPIC, WINDOW
