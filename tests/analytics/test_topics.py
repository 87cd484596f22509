"""Topics: found where they are, named by their words, the same at every call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.analytics.clusters import CRITERION, fit
from bruno_memory_vec.analytics.reading import normalised
from bruno_memory_vec.analytics.topics import Stretches
from tests.analytics.filling import fact, message

pytest.importorskip("sklearn", reason="needs pip install 'bruno-memory-vec[analytics]'")

SAID = {
    "garden": "the tomatoes need water|prune the roses in spring|slugs eat the lettuce again"
    "|compost for the vegetable beds|the greenhouse seedlings grow",
    "bicycle": "the chain of my bike is worn|new tyres for the bicycle|brake pads squeak when wet"
    "|a spoke of the wheel broke|the gear cable needs oil",
    "music": "practise the piano sonata|the violin is out of tune|a concert by the orchestra"
    "|sing in the choir on Tuesday|the guitar chords are hard",
}


async def fill(memory: VectorMemory, user: str = "ana") -> None:
    """Six conversations about each of three things, said in other orders."""
    for subject, texts in SAID.items():
        lines = texts.split("|")
        for number in range(6):
            turned = lines[number % 5 :] + lines[: number % 5]
            said: list[Message] = [
                message(f"{line}, {number}", "user" if at % 2 else "assistant", minutes=at)
                for at, line in enumerate(turned)
            ]
            await memory.store_messages(said, f"{subject} {number}", user_id=user)


async def test_topics_are_found_and_named() -> None:
    async with open_memory("memory://") as memory:
        await fill(memory)
        found = await memory.analytics.topics("ana", k=3, words=6)
        assert (found.k, found.rows, found.criterion, found.stretches) == (3, 90, "given", 18)
        assert [topic.rows for topic in found.topics] == [30, 30, 30]
        for topic in found.topics:
            # Every example is of one subject, and so are the words.
            subject = {str(one.conversation_id).split()[0] for one in topic.examples}
            assert len(subject) == 1
            said = SAID[subject.pop()].casefold()
            assert all(word.word.casefold() in said for word in topic.words)
            assert topic.name == ", ".join(word.word for word in topic.words[:3])
            assert len({one.conversation_id for one in topic.examples}) == 3
            assert (topic.users, topic.conversations) == (1, 6)
            assert sum(point.rows for point in topic.trend) == topic.rows
        assert sum(topic.share for topic in found.topics) == pytest.approx(1)
        again = await memory.analytics.topics("ana", k=3, words=6)
        assert again == found
        chosen = await memory.analytics.topics("ana")
        assert chosen.criterion == CRITERION
        assert [k for k, _ in chosen.silhouettes] == [2, 3]
        assert chosen.k == 3
        view = memory.for_user("ana")
        assert await view.analytics.topics(k=3, words=6) == found


async def test_topics_in_chinese_are_words() -> None:
    talks = {
        "钢琴": "今天练习钢琴奏鸣曲|小提琴需要调音|周末有音乐会|合唱团周二排练",
        "花园": "花园里的番茄要浇水|春天修剪玫瑰花|温室的幼苗长高了|给菜地加堆肥",
    }
    async with open_memory("memory://") as memory:
        for subject, texts in talks.items():
            for number in range(5):
                said = [message(f"{line}，{subject}") for line in texts.split("|")]
                await memory.store_messages(said, f"{subject} {number}", user_id="ana")
        found = await memory.analytics.topics("ana", k=2)
        names = {subject for subject in talks for topic in found.topics if subject in topic.name}
        assert names == set(talks)
        assert all(len(word.word) >= 2 for topic in found.topics for word in topic.words)


async def test_little_or_nothing_to_find() -> None:
    async with open_memory("memory://") as memory:
        none = await memory.analytics.topics(ALL_USERS)
        assert (none.topics, none.rows, none.k) == ((), 0, 0)
        assert "0 rows" in str(none)
        await memory.store_memory(fact("Bo has a red kayak"))
        one = await memory.analytics.topics("ana")
        assert (one.k, one.topics[0].rows, one.topics[0].words[0].word) == (1, 1, "Bo")
        await memory.store_memories([fact("🙈🙉🙊"), fact("Bo has a red kayak", number=2)])
        two = await memory.analytics.topics("ana", k=5)
        assert (two.k, two.rows + two.without) == (1, 3)


async def test_one_topic_is_named_by_what_most_of_its_rows_say() -> None:
    async with open_memory("memory://") as memory:
        said = "The kayak is red|Anna has a kayak|Apples and a kayak|A kayak at dawn|Bread"
        await memory.store_messages([message(one) for one in said.split("|")], "a", user_id="ana")
        (topic,) = (await memory.analytics.topics("ana", k=1)).topics
        assert (topic.words[0].word, topic.words[0].rows) == ("kayak", 4)
        assert topic.words[0].weight == pytest.approx(4 / 5)


async def test_a_topic_is_not_named_by_what_is_said_in_every_talk() -> None:
    async with open_memory("memory://") as memory:
        said = "Wow, thanks! The kayak|Yeah, definitely the kayak|Okay, bye kayak|Hey, a paddle"
        await memory.store_messages([message(one) for one in said.split("|")], "a", user_id="ana")
        (topic,) = (await memory.analytics.topics("ana", k=1)).topics
        assert [word.word for word in topic.words] == ["kayak", "paddle"]


async def test_equal_vectors_are_one_topic() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_memories([fact("the same again", number=number) for number in range(40)])
        found = await memory.analytics.topics("ana", k=4)
        assert [topic.rows for topic in found.topics] == [40]


def test_the_order_of_rows_does_not_matter() -> None:
    random = np.random.default_rng(3)
    vectors = normalised(random.normal(size=(200, 16)))
    clusters = fit(vectors, 6, 1)
    assert clusters is not None
    label, near = clusters.placed(vectors)
    assert np.bincount(label).sum() == 200
    assert np.abs(near).max() <= 1.0001
    assert fit(np.zeros((4, 16), np.float32), 3, 0) is None


async def test_of_too_many_stretches_some_are_kept_by_their_names() -> None:
    import pyarrow as pa

    rows = pa.table(
        {
            "id": [str(number) for number in range(1_000)],
            "kind": ["memory"] * 1_000,
            "user_id": ["ana"] * 1_000,
            "conversation_id": pa.nulls(1_000, pa.string()),
            "turn": pa.nulls(1_000, pa.int64()),
            "words": [3] * 1_000,
            "vector": pa.array(
                np.random.default_rng(0).normal(size=(1_000, 4)).tolist(), pa.list_(pa.float32(), 4)
            ),
        }
    )
    kept = []
    for order in (slice(None), slice(None, None, -1)):
        stretches = Stretches(most=100)
        turned = rows.take(pa.array(np.arange(1_000)[order]))
        for start in range(0, 1_000, 70):
            stretches.add(turned.slice(start, 70))
        names, middle = stretches.middle()
        assert 30 < len(names) <= 100
        kept.append((names.tolist(), middle.tolist()))
    assert kept[0] == kept[1]


@pytest.mark.slow
def test_without_scikit_learn_it_says_what_to_install() -> None:
    code = """
import asyncio, sys
sys.modules["sklearn"] = sys.modules["sklearn.cluster"] = None
from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import MissingDependencyError
async def main():
    async with open_memory("memory://", embedder="hash") as memory:
        try:
            await memory.analytics.topics("ana")
        except MissingDependencyError as error:
            assert "bruno-memory-vec[analytics]" in str(error), error
        report = await memory.analytics.report("ana")
        assert report.topics is None and "topics" in report.left_out[0]
        assert report.growth is not None
        try:
            await memory.analytics.report("ana", sections="topics")
        except MissingDependencyError:
            print("told")
asyncio.run(main())
"""
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "told", done.stderr
