"""Models that fail and lie, a writer that fails, processes that are killed: no turn is lost."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import EngineError
from tests.amounts import amount
from tests.compression.support import archived, check_each_once, check_whole, turns
from tests.scripted_llm import REFUSAL, Hang, ScriptedLLM

ROOT = Path(__file__).parents[2]
POLICY = {"keep_newest": 4, "timeout": 0.02, "block_turns": 20}


def most_of_the_prompt(messages: list[Message]) -> str:
    """An honest summary: of the lines that it was given, most of the user's."""
    lines = messages[-1].content.splitlines()
    told = [line for line in lines if ", user: " in line] or lines
    return "\n".join(told[: max(1, len(told) * 3 // 4)])


LIES: list[Any] = [
    most_of_the_prompt,
    ConnectionError("no route to the model"),
    Hang(),
    REFUSAL,
    "",
    None,
    "lorem ipsum dolor sit amet " * 40,
    "Marta Silva brought the boiler to Porto and it cost 123456789 euros.",
    "Professor Moriarty brought the boiler to Reichenbach.",
    "La chaudière fut apportée par quelqu'un à une date inconnue, paraît-il.",
    "好的，我知道了。",
    lambda messages: messages[-1].content * 2,
]


class Failing:
    """Makes calls of a writer fail, before or after they were done."""

    def __init__(self, seed: int, share: float) -> None:
        self._chance = random.Random(seed)
        self._share = share
        self.failed = 0

    def wrap(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def wrapped(*given: Any, **named: Any) -> Any:
            at = self._chance.random()
            if at < self._share / 2:
                self.failed += 1
                raise EngineError("rows", "write", "the disk is full", fix="Make room.")
            result = await call(*given, **named)
            if at < self._share:
                self.failed += 1
                raise EngineError("rows", "write", "the answer was lost", fix="Ask again.")
            return result

        return wrapped


def long_talks(count: int, in_each: int) -> dict[str, list[Message]]:
    """Conversations of which each message has a word of its own."""
    said = {}
    for number in range(count):
        messages = turns(in_each, seed=number)
        said[f"talk-{number}"] = [
            one.model_copy(update={"content": f"{one.content} Ref{number}x{place}."})
            for place, one in enumerate(messages)
        ]
    return said


async def every_one_is_found(
    memory: VectorMemory, said: dict[str, list[Message]], sample: int
) -> None:
    """Through the history, a recall, and a restoration; by id and by content."""
    await check_whole(memory, "ana", said)
    every = [one for messages in said.values() for one in messages]
    for message in random.Random(5).sample(every, min(sample, len(every))):
        hits = await memory.recall(
            message.content, user_id="ana", include_archived=True, kinds="message", k=3
        )
        assert (str(message.id), message.content) in {(hit.id, hit.content) for hit in hits}
    await memory.restore(user_id="ana")
    assert await archived(memory, "ana") == {str(one.id): False for one in every}
    assert not await memory.list_memories("ana", include_archived=True, limit=None)
    await check_whole(memory, "ana", said)


@pytest.mark.parametrize("talks", [2, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("seed", range(amount(1, 4)))
async def test_two_thousand_turns_under_failures(
    seed: int, talks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    said = long_talks(talks, 200)
    llm = ScriptedLLM(*(chance.choice(LIES) for _ in range(2000)))
    failing = Failing(seed, share=0.15)
    async with open_memory("memory://", llm=llm) as memory:
        for conversation, messages in said.items():
            await memory.store_messages(messages, conversation, user_id="ana")
        writer = await memory._handle.writer()
        failures = 0
        with monkeypatch.context() as patch:
            for name in ("write", "rewrite", "delete"):
                patch.setattr(writer, name, failing.wrap(getattr(writer, name)))
            for _ in range(3):
                report = await memory.compress("ana", policy=POLICY)
                failures += len(report.failures)
                await check_whole(memory, "ana", said)
        assert failing.failed > talks
        assert failures > talks / 2
        while not (report := await memory.compress("ana", policy=POLICY)).ok:
            await check_whole(memory, "ana", said)
        await check_each_once(memory, "ana")
        assert sum((await archived(memory, "ana")).values()) == talks * 196
        methods = {
            one.metadata.custom_fields["method"]
            for one in await memory.list_memories("ana", limit=None)
        }
        assert methods == {"llm", "extractive"}
        await every_one_is_found(memory, said, 20 if talks == 2 else 2000)


async def test_a_model_alone_that_fails_leaves_the_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    said = turns(60)
    async with open_memory("memory://", llm=ScriptedLLM(REFUSAL)) as memory:
        await memory.store_messages(said, "talk", user_id="ana")
        report = await memory.compress("ana", policy={"method": "llm", "block_turns": 20})
        assert (report.turns, report.summaries) == (0, ())
        assert [one.problem for one in report.failures] == ["the model refused"] * 2
        assert not any((await archived(memory, "ana")).values())


def killed_amid(folder: Path, after: float) -> None:
    """Let a process compress the store, and kill it some seconds after it has begun."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(ROOT / "tests/compression/child_compressor.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps({"folder": str(folder), "policy": POLICY}).encode() + b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"begun\n"
        time.sleep(after)
        child.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("rounds", [1, pytest.param(6, marks=pytest.mark.slow)])
async def test_killed_at_any_moment(tmp_path: Path, rounds: int) -> None:
    chance = random.Random(rounds)
    said = long_talks(4, 60 + 20 * rounds)
    async with open_memory(str(tmp_path)) as memory:
        for conversation, messages in said.items():
            await memory.store_messages(messages, conversation, user_id="ana")
    before = 0
    for _ in range(rounds):
        killed_amid(tmp_path, chance.uniform(0.0, 0.6))
        async with open_memory(str(tmp_path)) as memory:
            await check_whole(memory, "ana", said)
            now = sum((await archived(memory, "ana")).values())
            assert now >= before
            before = now
    async with open_memory(str(tmp_path)) as memory:
        report = await memory.compress("ana", policy={**POLICY, "min_turns": 2})
        assert report.ok
        await check_each_once(memory, "ana")
        assert sum((await archived(memory, "ana")).values()) == 4 * (56 + 20 * rounds)
        await every_one_is_found(memory, said, 20)
