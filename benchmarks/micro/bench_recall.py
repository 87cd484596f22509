"""Whole recalls through `open_memory`: 10,000 messages of ten users, the default embedder."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.micro import data
from benchmarks.micro.conftest import Run
from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.recall.profiles import list_profiles

ROLES = (MessageRole.USER, MessageRole.ASSISTANT)


@pytest.fixture(scope="module")
def memory(run: Run, texts: list[str], tmp_path_factory: Any) -> Iterator[VectorMemory]:
    folder = str(tmp_path_factory.mktemp("memory"))

    async def filled() -> VectorMemory:
        opened = await open_memory(folder)
        for first in range(0, data.ROWS, data.TURNS):
            said = [
                Message(role=ROLES[place % 2], content=text, timestamp=data.NOW)
                for place, text in enumerate(texts[first : first + data.TURNS])
            ]
            await opened.store_messages(
                said, f"talk-{first // data.TURNS}", user_id=data.user(first)
            )
        await opened.maintain()
        return opened

    opened = run(filled())
    yield opened
    run(opened.close())


@pytest.mark.parametrize("profile", list_profiles())
def test_recall(benchmark: BenchmarkFixture, run: Run, memory: VectorMemory, profile: str) -> None:
    """Of one user's 1,000 messages, one question after the other."""
    benchmark.group = "recall, one user"
    ask = cycle(data.questions())

    def recall() -> Any:
        return run(
            memory.recall(next(ask), user_id=data.user(0), k=10, profile=profile, now=data.NOW)
        )

    assert len(benchmark(recall)) == 10


@pytest.mark.parametrize(
    "where",
    [
        {"user_id": ALL_USERS},
        {"user_id": data.user(0), "conversation_id": "talk-3"},
        {"user_id": data.user(0), "roles": ["user"]},
        {"user_id": data.user(0), "k": 100},
    ],
    ids=["all users", "one conversation", "what the user said", "100 hits"],
)
def test_recall_by_the_default_profile(
    benchmark: BenchmarkFixture, run: Run, memory: VectorMemory, where: dict[str, Any]
) -> None:
    benchmark.group = "recall, otherwise"
    ask = cycle(data.questions())
    hits = benchmark(lambda: run(memory.recall(next(ask), now=data.NOW, **where)))
    assert len(hits) > 0
