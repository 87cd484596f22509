"""LoCoMo is answered over Qdrant as from a folder, whoever searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bruno_core.models.message import Message, MessageRole

from benchmarks.retrieval.asking import asked
from benchmarks.retrieval.corpora import sampled
from benchmarks.retrieval.datasets import Dataset, load
from benchmarks.retrieval.metrics import figures, ranks_of
from benchmarks.retrieval.systems import moments, turn_id
from bruno_memory_vec import VectorMemory, load_profile, open_memory
from bruno_memory_vec.embedders import StaticEmbedder
from tests.servers.fixtures import QdrantStore

K, CLOSE = 10, 0.01


def two_conversations(folder: Path) -> Dataset:
    data = load("locomo", folder / "locomo")
    users = list(dict.fromkeys(turn.user_id for turn in data.turns))[:2]
    turns = tuple(turn for turn in data.turns if turn.user_id in users)
    questions = tuple(one for one in data.questions if one.user_id in users)
    return sampled(replace(data, turns=turns, questions=questions), None)


async def filled(memory: VectorMemory, data: Dataset) -> None:
    conversations: dict[str, list[Message]] = {}
    for turn, at in zip(data.turns, moments(data.turns), strict=True):
        said = Message(
            role=MessageRole(turn.role),
            content=turn.content,
            timestamp=at,
            metadata={"turn_id": turn.id, "user_id": turn.user_id},
        )
        conversations.setdefault(str(turn.conversation_id), []).append(said)
    for conversation, messages in conversations.items():
        user = str(messages[0].metadata["user_id"])
        await memory.for_user(user).store_messages(messages, conversation)


async def recall_of(memory: VectorMemory, data: Dataset) -> float:
    """recall@10 of the turns that answer each question."""
    # What one question has used would move the next.
    profile = load_profile("balanced")
    profile = replace(profile, rank=profile.rank.without("use"))
    found = []
    for one in asked(data):
        hits = await memory.recall(
            one.question.text,
            user_id=one.question.user_id,
            k=K,
            now=one.now,
            until=one.until,
            profile=profile,
        )
        found.append(ranks_of([turn_id(hit.record) for hit in hits], one.question.gold))
    return float(np.mean(figures(found)["recall@10"]))


async def compared(
    eval_data: Path, tmp_path: Path, ways: Sequence[tuple[str, dict[str, int]]]
) -> list[float]:
    data = two_conversations(eval_data)
    embedder = StaticEmbedder()
    recalls = []
    for place, (url, settings) in enumerate(((str(tmp_path / "folder"), {}), *ways)):
        sessions = str(tmp_path / f"sessions-{place}")
        async with await open_memory(
            url, embedder=embedder, sessions=sessions, **settings
        ) as memory:
            await filled(memory, data)
            recalls.append(await recall_of(memory, data))
    return recalls


@pytest.mark.slow
async def test_local_mode_answers_like_a_folder(eval_data: Path, tmp_path: Path) -> None:
    url = "qdrant+local::memory:"
    ways = [(url, {}), (url, {"recall_cache_mb": 0})]
    folder, held, searched = await compared(eval_data, tmp_path, ways)
    assert held == pytest.approx(folder, abs=CLOSE)
    assert searched == pytest.approx(folder, abs=CLOSE)


@pytest.mark.slow
@pytest.mark.qdrant_server
async def test_a_server_answers_like_a_folder(
    eval_data: Path, tmp_path: Path, qdrant_store: QdrantStore
) -> None:
    ways = [(qdrant_store.url, {"recall_cache_mb": 0})]
    folder, searched = await compared(eval_data, tmp_path, ways)
    assert searched == pytest.approx(folder, abs=CLOSE)
