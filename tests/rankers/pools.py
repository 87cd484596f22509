"""Pools and settings for the rankers' tests: by hand, and drawn by Hypothesis."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_args

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from bruno_memory_vec.rankers import (
    STEPS,
    Answers,
    Ask,
    AskedBefore,
    ConversationPrior,
    Coverage,
    CrossEncoder,
    Current,
    Day,
    Diversity,
    Duplicates,
    Feedback,
    Fusion,
    FusionMethod,
    Importance,
    Learned,
    Length,
    Neighbours,
    Opening,
    Passages,
    Pool,
    Question,
    RankSettings,
    Recency,
    Repeats,
    Speaker,
    Statement,
    Step,
    TimeMention,
    TimeNamed,
    Update,
    Use,
)
from bruno_memory_vec.rankers.time_expressions import Period

NOW = 1_700_000_000_000_000
DAY = 86_400_000_000
NAN = float("nan")
INT64 = st.integers(-(2**63), 2**63 - 1)
COUNT64 = st.integers(0, 2**63 - 1)

# Cosines of these are -1, 0 or 1, and exact, in whatever order they are added up. A text without a
# known word has zeros.
AXES = np.vstack([np.eye(3), -np.eye(3), np.zeros((1, 3))]).astype(np.float32)

#: Every step but the learned ranker, which would weigh the others anew.
EVERYTHING = RankSettings(
    Fusion("convex", 0.3),
    (
        Neighbours(0.4, 100, 2),
        Answers(0.5, 100),
        ConversationPrior(0.5, 3),
        Day(0.15, 3),
        Opening(0.2, 1.5),
        Coverage(0.5),
        Passages(0.5, 0.3),
        Speaker(0.2),
        Length(0.5, 10),
        Statement(0.25),
        TimeMention(0.25),
        TimeNamed(0.6),
        Feedback(0.1),
        Current(0.2, 0.3, 10),
        Recency(0.1, 90),
        Importance(0.1),
        Use(0.1, 20),
        Update(3, 30, 0.5, 0.5),
        CrossEncoder("a-model", 1.0, 2),
        AskedBefore(0.7),
        Repeats(3),
        Duplicates(0.99),
        Diversity(0.1),
    ),
)

_NO_QUESTION = Question("")
_DTYPES: dict[str, Any] = {
    "lexical": np.float32,
    "semantic": np.float32,
    "importance": np.float32,
    "question_share": np.float32,
    "ends_with_question": np.bool_,
    "names_time": np.bool_,
    "tells_change": np.bool_,
    "vector": np.float32,
    "matches": np.float32,
    "passages": np.float32,
    "term_weight": np.float64,
    "asked_before": np.bool_,
}


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
        "role": [-1] * n,
        "speaker": [-1] * n,
        "question_share": [0.0] * n,
        "ends_with_question": [False] * n,
        "names_time": [False] * n,
        "tells_change": [False] * n,
        **columns,
    }
    speakers = tuple(values.pop("speakers", ()))
    texts = values.pop("texts", None)
    arrays: dict[str, Any] = {}
    for name, value in values.items():
        wanted = _DTYPES.get(name, np.int64)
        arrays[name] = value if value is None else np.array(value, wanted)
    return Pool(speakers=speakers, texts=texts, **arrays)


def added(
    step: Step,
    pool: Pool,
    score: NDArray[np.float64] | None = None,
    *,
    question: Question = _NO_QUESTION,
    k: int = 10,
) -> NDArray[np.float64]:
    """What a step alone adds to a score, which the fusion has given."""
    given = np.zeros(len(pool), np.float64) if score is None else score
    return step(pool, given, Ask(question, NOW, k, given))


def take(pool: Pool, order: NDArray[np.int64]) -> Pool:
    """The same rows in another order."""
    kept = ("speakers", "term_weight")
    columns = {field.name: getattr(pool, field.name) for field in fields(pool)}
    return Pool(
        **{
            name: value if value is None or name in kept else value[order]
            for name, value in columns.items()
        }
    )


@st.composite
def pools(draw: st.DrawFn, max_size: int = 12) -> Pool:
    """Any pool: one side or both missing, equal scores, NaN cues, numbers at both ends of int64."""
    n = draw(st.integers(0, max_size))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=n, max_size=n))

    missing = st.just(NAN)
    share = st.floats(0, 1, width=32)
    bm25 = st.sampled_from([0.0, 1.5, 1.5, 30.0]) | st.floats(0, 1e6, width=32)
    cosine = st.sampled_from([-1.0, 0.0, 0.5, 1.0]) | st.floats(-1, 1, width=32)
    speakers = draw(st.lists(st.sampled_from(["Ana", "Bo Li", "Cy"]), unique=True))
    compared: dict[str, Any] = {}
    if draw(st.booleans()):
        compared["vector"] = AXES[column(st.integers(0, len(AXES) - 1))].reshape(n, 3)
    if draw(st.booleans()):
        terms = draw(st.integers(0, 3))
        row = st.lists(share, min_size=terms, max_size=terms)
        compared["matches"] = np.array(column(row), np.float32).reshape(n, terms)
        weight = st.lists(st.floats(0, 10), min_size=terms, max_size=terms)
        compared["term_weight"] = draw(weight)
    if draw(st.booleans()):
        passage = st.just((NAN, NAN)) | st.tuples(bm25, missing | cosine)
        compared["passages"] = np.array(column(passage), np.float32).reshape(n, 2)
    if draw(st.booleans()):
        compared["asked_before"] = column(st.booleans())
    return make_pool(
        n,
        seq=draw(st.lists(st.integers(0, 2**63 - 1), min_size=n, max_size=n, unique=True)),
        lexical=column(draw(st.sampled_from([missing, bm25, missing | bm25]))),
        semantic=column(draw(st.sampled_from([missing, cosine, missing | cosine]))),
        conversation=column(st.integers(-1, 4) | st.just(2**63 - 1)),
        turn=column(st.integers(-1, 6) | st.just(2**63 - 1)),
        words=column(st.integers(0, 1_000) | COUNT64),
        created_at=column(st.integers(NOW - 9 * DAY, NOW + DAY) | INT64),
        importance=column(share | missing),
        access_count=column(st.integers(0, 100) | COUNT64),
        role=column(st.integers(-1, 2)),
        speaker=column(st.integers(-1, len(speakers) - 1)),
        speakers=speakers,
        question_share=column(share | missing),
        ends_with_question=column(st.booleans()),
        names_time=column(st.booleans()),
        tells_change=column(st.booleans()),
        **compared,
    )


@st.composite
def periods(draw: st.DrawFn) -> Period:
    """A stretch of time, from nothing to the whole calendar."""
    near = st.integers(NOW - 40 * DAY, NOW + DAY)
    start, end = sorted([draw(near | INT64), draw(near | INT64)])
    return Period(start, end)


questions = st.builds(
    Question,
    text=st.sampled_from(["", "What did Ana order?", "did ana, cy or bo call?", "who is cy"]),
    of_role=st.sampled_from([None, "user", "assistant"]),
    asks_when=st.booleans(),
    asks_now=st.booleans(),
    asks_present=st.booleans(),
    periods=st.lists(periods(), max_size=4).map(tuple),
)

_weights = st.floats(0, 10)
_shares = st.floats(0, 1)
_strengths = st.floats(0, 0.5)
_counts = st.integers(1, 100)
_days = st.floats(0.01, 1e5)
_words = st.floats(1, 1e6)

#: Any settings of each step. The learned ranker's factors depend on the other steps.
STEP_SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "neighbours": st.builds(Neighbours, _weights, _words, st.integers(1, 4), _shares),
    "answers": st.builds(Answers, _weights, _words, _shares),
    "conversation": st.builds(ConversationPrior, _weights, _counts),
    "day": st.builds(Day, _weights, _counts),
    "opening": st.builds(Opening, _weights, st.floats(0.1, 1000)),
    "coverage": st.builds(Coverage, _weights, _shares, _shares),
    "passages": st.builds(Passages, _weights, _shares),
    "speaker": st.builds(Speaker, _weights),
    "length": st.builds(Length, _weights, _words, _shares),
    "statement": st.builds(Statement, _weights, _shares),
    "time_mention": st.builds(TimeMention, _weights),
    "time_named": st.builds(TimeNamed, _weights, _days, _days),
    "feedback": st.builds(Feedback, _weights, _counts),
    "current": st.builds(Current, _weights, _weights, st.integers(2, 40)),
    "recency": st.builds(Recency, _strengths, st.floats(1e-3, 1e6)),
    "importance": st.builds(Importance, _strengths),
    "use": st.builds(Use, _strengths, st.integers(1, 2**31)),
    "update": st.builds(Update, _counts, st.integers(2, 100), _shares, st.floats(0, 2)),
    "cross_encoder": st.builds(CrossEncoder, st.just("a-model"), _weights, _counts),
    "asked_before": st.builds(AskedBefore, _shares),
    "repeats": st.builds(Repeats, st.integers(1, 50)),
    "duplicates": st.builds(Duplicates, _shares),
    "diversity": st.builds(Diversity, _shares),
}
assert set(STEP_SETTINGS) | {"learned"} == set(STEPS)


@st.composite
def settings(draw: st.DrawFn, *, learned: bool = True) -> RankSettings:
    """Any settings, each step on or off."""
    method = draw(st.sampled_from(get_args(FusionMethod)))
    fusion = Fusion(method, draw(st.floats(0, 1)), draw(st.integers(1, 100)))
    steps = {name: draw(st.none() | how) for name, how in STEP_SETTINGS.items()}
    if learned and draw(st.booleans()):
        gains = [method] if method in ("lexical", "semantic") else ["lexical", "semantic"]
        gains += [name for name in gain_steps() if steps[name] is not None]
        names = st.sampled_from(gains)
        steps["learned"] = Learned(draw(st.dictionaries(names, st.floats(-5, 5), min_size=1)))
    return RankSettings(fusion, tuple(step for step in steps.values() if step is not None))


def gain_steps() -> list[str]:
    """The steps that the learned ranker weighs: those before it."""
    return list(STEPS)[: list(STEPS).index("learned")]


def cross_by_seq(pool: Pool) -> Any:
    """Stands in for a cross-encoder's scores: any numbers that belong to the rows."""
    return lambda rows: np.cos(pool.seq[rows].astype(np.float64))
