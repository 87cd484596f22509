"""Pools for the rankers' tests: by hand, and drawn by Hypothesis."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from bruno_memory_vec.rankers import (
    ConversationPrior,
    Fusion,
    FusionMethod,
    Importance,
    Neighbours,
    Pool,
    RankSettings,
    Recency,
    Use,
)

NOW = 1_700_000_000_000_000
DAY = 86_400_000_000
NAN = float("nan")

EVERYTHING = RankSettings(
    Fusion("convex", 0.3),
    Neighbours(0.4, 100, 2),
    ConversationPrior(0.5, 3),
    Recency(0.1, 90),
    Importance(0.1),
    Use(0.1, 20),
)

_DTYPES = {"lexical": np.float32, "semantic": np.float32, "importance": np.float32}


def make_pool(n: int, **columns: Any) -> Pool:
    """A pool of n rows; columns that are not given hold what says nothing."""
    values: dict[str, Any] = {
        "seq": range(n),
        "lexical": [NAN] * n,
        "semantic": [NAN] * n,
        "conversation": [-1] * n,
        "turn": [-1] * n,
        "words": [0] * n,
        "created_at": [NOW] * n,
        "importance": [0.5] * n,
        "access_count": [0] * n,
        **columns,
    }
    arrays: dict[str, Any] = {
        name: np.array(list(value), _DTYPES.get(name, np.int64)) for name, value in values.items()
    }
    return Pool(**arrays)


def take(pool: Pool, order: NDArray[np.int64]) -> Pool:
    """The same rows in another order."""
    return Pool(**{field.name: getattr(pool, field.name)[order] for field in fields(pool)})


@st.composite
def pools(draw: st.DrawFn, max_size: int = 30) -> Pool:
    """Any pool: one side or both missing, equal scores, negative cosines, NaN importance."""
    n = draw(st.integers(0, max_size))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    missing = st.just(NAN)
    bm25 = st.sampled_from([0.0, 1.5, 1.5, 30.0]) | st.floats(0, 1e6, width=32)
    cosine = st.sampled_from([-1.0, 0.0, 0.5, 1.0]) | st.floats(-1, 1, width=32)
    return make_pool(
        n,
        seq=draw(st.lists(st.integers(0, 2**40), min_size=n, max_size=n, unique=True)),
        lexical=column(draw(st.sampled_from([missing, bm25, missing | bm25]))),
        semantic=column(draw(st.sampled_from([missing, cosine, missing | cosine]))),
        conversation=column(st.integers(-1, 4)),
        turn=column(st.integers(-1, 6) | st.just(2**62)),
        words=column(st.integers(0, 10_000)),
        created_at=column(st.integers(-(2**61), 2**61)),
        importance=column(st.floats(0, 1, width=32) | missing),
        access_count=column(st.integers(0, 2**40)),
    )


@st.composite
def settings(draw: st.DrawFn) -> RankSettings:
    """Any settings, each step on or off."""
    strength = st.floats(0, 0.5)

    def maybe(value: Any) -> Any:
        return value if draw(st.booleans()) else None

    methods: tuple[FusionMethod, ...] = ("convex", "rrf", "lexical", "semantic")
    method = draw(st.sampled_from(methods))
    return RankSettings(
        Fusion(method, draw(st.floats(0, 1)), draw(st.integers(1, 100))),
        maybe(Neighbours(draw(st.floats(0, 2)), draw(st.floats(1, 1e4)), draw(st.integers(1, 4)))),
        maybe(ConversationPrior(draw(st.floats(0, 2)), draw(st.integers(1, 5)))),
        maybe(Recency(draw(strength), draw(st.floats(0.1, 1e4)))),
        maybe(Importance(draw(strength))),
        maybe(Use(draw(strength), draw(st.integers(1, 1000)))),
    )
