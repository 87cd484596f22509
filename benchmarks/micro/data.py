"""Made-up data of a real shape, the same in every run: texts, rows, pools, settings."""

from __future__ import annotations

import random
from datetime import datetime, timezone
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.rankers import (
    Coverage,
    CrossEncoder,
    Current,
    Diversity,
    Duplicates,
    Feedback,
    Learned,
    Pool,
    Profile,
    Step,
    Update,
)
from bruno_memory_vec.surfaces import demo
from bruno_memory_vec.testing.rows import message, table

#: Rows of a store, of how many users, and turns of a conversation.
ROWS, USERS, TURNS = 10_000, 10, 50
#: Sizes of a pool: fewer than a recall's, a recall's, more.
POOLS = (100, 300, 1000)
NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
QUESTION = "What did I tell you about the guesthouse in Lisbon last May?"

_DAY = 86_400_000_000
_DIMENSION = 256
_WORDS_ASKED = 8


def texts(count: int) -> list[str]:
    """Chat turns of a few to some sixty words: sentences of the demo, mixed anew."""
    dice = random.Random(7)
    sentences = [
        sentence.strip()
        for turn in demo.turns()
        for sentence in turn.message.content.split(". ")
        if sentence.strip()
    ]
    return [
        f"{'. '.join(dice.choices(sentences, k=dice.choice((1, 1, 2, 3))))}. ({number})"
        for number in range(count)
    ]


def questions() -> list[str]:
    """The demo's questions, some of which name a time or a person."""
    return [one.question for one in demo.questions()]


def user(number: int) -> str:
    """Whose row it is: each user's thousand rows were written together."""
    return f"user-{number // (ROWS // USERS)}"


def rows(contents: list[str], vectors: NDArray[np.float32], first: int = 0) -> pa.Table:
    """Rows of the store from ``seq`` ``first`` on, as an engine takes them.

    Args:
        contents: n texts.
        vectors: float32 (n, d).
        first: the ``seq`` of the first.
    """
    made = []
    for seq, content in enumerate(contents, first):
        whose = user(seq % ROWS)
        where: dict[str, Any] = {
            "user_id": whose,
            "conversation_id": f"{whose}-{seq // TURNS}",
            "turn": seq % TURNS,
            "role": "assistant" if seq % 2 else "user",
        }
        made.append(message(seq, content, **where))
    return table(made, vectors.shape[1], vectors)


@cache
def pool(count: int) -> Pool:
    """Candidates as a recall has them: two fifths by words, two by vectors, the rest beside."""
    random_ = np.random.default_rng(7)
    place = random_.choice(4 * count, count, replace=False)
    lexical = random_.gamma(2.0, 4.0, count).astype(np.float32)
    semantic = random_.normal(0.4, 0.1, count).clip(-1, 1).astype(np.float32)
    by = random_.random(count)
    lexical[by > 0.5] = np.nan
    semantic[(by < 0.3) | (by > 0.8)] = np.nan
    vector = random_.normal(size=(count, _DIMENSION)).astype(np.float32)
    # Around one direction, so that some are alike.
    vector += vector[:1] * random_.random((count, 1)).astype(np.float32) * 3
    vector /= np.linalg.norm(vector, axis=1, keepdims=True)
    vector[1::5] = vector[0::5]  # said twice
    role = random_.integers(0, 2, count)
    return Pool(
        seq=place.astype(np.int64),
        lexical=lexical,
        semantic=semantic,
        conversation=(place // TURNS).astype(np.int64),
        turn=(place % TURNS).astype(np.int64),
        words=random_.lognormal(3.0, 0.8, count).astype(np.int64),
        created_at=micros(NOW) - (4 * count - place).astype(np.int64) * (_DAY // 10),
        importance=random_.choice([0.5, 0.5, 1.0], count).astype(np.float32),
        access_count=random_.poisson(0.5, count).astype(np.int64),
        role=role.astype(np.int64),
        speaker=role.astype(np.int64),
        question_share=random_.choice([0.0, 0.0, 0.5, 1.0], count).astype(np.float32),
        ends_with_question=random_.random(count) < 0.2,
        names_time=random_.random(count) < 0.3,
        tells_change=random_.random(count) < 0.2,
        speakers=("Ana", "Bo"),
        vector=vector,
        matches=(random_.random((count, _WORDS_ASKED)).clip(0.3) - 0.3).astype(np.float32),
        term_weight=random_.uniform(1, 5, _WORDS_ASKED),
    )


def every_step(profiles: list[Profile]) -> dict[str, Step]:
    """Settings of every step by name: a shipped profile's, or these where none has it on."""
    own = (
        Coverage(1.0),
        Current(1.0, 1.5, 15),
        Feedback(0.2),
        Learned({"lexical": 2.0, "semantic": 0.5}),
        Update(3, 30, 0.5, 1.0),
        CrossEncoder("a-model"),
        Diversity(0.1),
        Duplicates(0.95),
    )
    shipped = [step for profile in reversed(profiles) for step in profile.rank.steps]
    return {step.name: step for step in (*own, *shipped)}
