"""An embedder that hangs, fails or gives nonsense: callers wait or are told; nothing is torn."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders import EmbedKind, Fingerprint
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import EmbeddingError, StoreClosedError
from bruno_memory_vec.writing.queue import QUEUE_CHARACTERS
from tests.durability.child_writer import word
from tests.durability.support import message, rows_of, turns_of
from tests.torture.conftest import Torture, counts

pytestmark = pytest.mark.slow

_DIMENSION = 16
_CALLERS = 10_000
_TEXT = 10_000  # characters a message: a hundred megabytes, would each waiting caller keep its own
_HANGS = 120.0


class Hanging:
    """Embeds once it is let; a plain method hangs in its thread, an async one in the loop.

    The vectors come from a text's first word alone, so that a long text costs little.
    """

    def __init__(self) -> None:
        self._inner = HashEmbedder(_DIMENSION)
        self.go = threading.Event()
        self.go.set()
        self.called = threading.Event()

    @property
    def fingerprint(self) -> Fingerprint:
        return self._inner.fingerprint

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Any:
        self.called.set()
        self.go.wait()
        return self._inner.embed([text[:11] for text in texts], kind=kind)


class HangingInTheLoop(Hanging):
    """The same as a coroutine, as a client of a server would hang."""

    async def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Any:
        self.called.set()
        # Set from a test that may have ended: an asyncio.Event would belong to its loop.
        while not self.go.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return self._inner.embed([text[:11] for text in texts], kind=kind)


class Moody(Hanging):
    """Gives what it is told to: an exception is raised, a function makes the vectors' successor."""

    def __init__(self) -> None:
        super().__init__()
        self.mood: Any = None

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Any:
        vectors = super().embed(texts, kind=kind)
        if isinstance(self.mood, BaseException):
            raise self.mood
        return vectors if self.mood is None else self.mood(vectors)


class NowAndThen(Moody):
    """Fails or gives nonsense at one call of five, whatever the texts."""

    def __init__(self) -> None:
        super().__init__()
        self.dice = random.Random(5)
        self.failed = 0

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> Any:
        self.mood = None
        if kind == "document" and self.dice.random() < 0.2:
            self.failed += 1
            self.mood = self.dice.choice(list(_NONSENSE.values()))
        return super().embed(texts, kind=kind)


def first_nan(vectors: Any) -> Any:
    vectors[0, 0] = np.nan
    return vectors


_NONSENSE: dict[str, Any] = {
    "an error": RuntimeError("the model fell over"),
    "a timeout": TimeoutError("no answer"),
    "out of memory": MemoryError(),
    "cancelled within": asyncio.CancelledError(),
    "one too few": lambda vectors: vectors[1:],
    "one too many": lambda vectors: np.concatenate([vectors, vectors[:1]]),
    "too short": lambda vectors: vectors[:, :-1],
    "flat": lambda vectors: vectors.ravel(),
    "a single vector": lambda vectors: vectors[0],
    "nan": first_nan,
    "infinite": lambda vectors: vectors * np.inf,
    "too large": lambda vectors: vectors.astype(np.float64) * 1e300,
    "text": lambda vectors: [["1.0"] * _DIMENSION for _ in vectors],
    "nothing": lambda vectors: None,
    "ragged": lambda vectors: [list(row)[: n + 1] for n, row in enumerate(vectors)],
    "complex": lambda vectors: vectors.astype(np.complex64),
}


@pytest.fixture
def moody() -> Moody:
    return Moody()


@pytest.fixture
async def memory(tmp_path: Path, moody: Moody) -> AsyncIterator[VectorMemory]:
    async with open_memory(str(tmp_path / "store"), embedder=moody) as opened:
        yield opened


@asynccontextmanager
async def letting_go(hanging: Hanging) -> AsyncIterator[None]:
    """However a test ends: closing waits for the embedder."""
    try:
        yield
    finally:
        hanging.go.set()


async def queue(memory: VectorMemory) -> tuple[int, int, int]:
    """How many rows are in the writer's queue, how many may be, and how many callers wait."""
    writer = (await memory.health())["writer"]
    return writer["queued_rows"], writer["queue_bound"], writer["callers_waiting"]


async def until_all_wait(memory: VectorMemory, callers: int) -> None:
    """Until each of the callers is in the queue or waits in front of it."""
    while True:
        queued, _, waiting = await queue(memory)
        if queued + waiting == callers:
            return
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("embedder", [Hanging, HangingInTheLoop])
async def test_ten_thousand_callers_of_a_hanging_embedder(
    tmp_path: Path, torture: Torture, embedder: type[Hanging]
) -> None:
    """They wait, and what waits in the store stays bounded; let go, all of it is stored."""
    hanging = embedder()
    padding = "x" * _TEXT
    async with (
        open_memory(str(tmp_path / "store"), embedder=hanging) as memory,
        letting_go(hanging),
    ):
        await memory.store_message(message("warm"), "talk", user_id="ana")
        hanging.go.clear()
        before = psutil.Process().memory_info().rss

        async def store(n: int) -> None:
            await memory.store_message(
                message(f"{word(n)} {padding}"), f"talk{n % 50}", user_id="ana"
            )

        callers = [asyncio.create_task(store(n)) for n in range(_CALLERS)]
        await asyncio.wait_for(until_all_wait(memory, _CALLERS), _HANGS)
        queued, bound, waiting = await queue(memory)
        assert queued <= bound
        assert queued * _TEXT <= QUEUE_CHARACTERS
        assert waiting > 0
        assert not any(caller.done() for caller in callers)
        grown = psutil.Process().memory_info().rss - before
        # Of the texts no more than one copy is held, the caller's; beside each there are its task,
        # its Message and its row.
        assert grown < _CALLERS * (_TEXT + 12 * 1024)
        # They may give up, which harms nobody.
        stay = torture.choose(1_000, _CALLERS)
        for caller in callers[stay:]:
            caller.cancel()
        hanging.go.set()
        done = await asyncio.wait_for(asyncio.gather(*callers[:stay]), 4 * _HANGS)
        assert done == [None] * stay
        await asyncio.wait(callers, timeout=_HANGS)
        await memory.store_message(message("later"), "talk", user_id="ana")
        await asyncio.wait_for(until_all_wait(memory, 0), _HANGS)
        stored = {row["content"].split()[0] for row in await rows_of(memory)}
        assert {"warm", "later", *(word(n) for n in range(stay))} <= stored
        for conversation in ("talk0", "talk49"):
            turns = [turn for turn, _ in await turns_of(memory, conversation)]
            assert turns == list(range(len(turns)))
        counts(callers=_CALLERS, queued=queued, waiting=waiting, grown_MiB=grown / 2**20)


async def check_unharmed(memory: VectorMemory, before: list[dict[str, Any]]) -> None:
    """The rows are the same, each is found, and a context shows the stored messages alone."""

    def key(row: dict[str, Any]) -> str:
        return str(row["id"])

    rows = await rows_of(memory)
    assert sorted(rows, key=key) == sorted(before, key=key)
    hits = await memory.recall("sound", user_id="ana", k=50, profile="lexical")
    assert {hit.id for hit in hits} == {row["id"] for row in rows}
    context = await memory.get_context("ana", "talk")
    assert [m.content for m in context.messages] == [
        text for _, text in (await turns_of(memory, "talk"))[-20:]
    ]


@pytest.mark.parametrize("what", _NONSENSE)
async def test_nonsense_is_refused_and_nothing_is_half_stored(
    memory: VectorMemory, moody: Moody, what: str
) -> None:
    kept = message("sound one")
    entry = MemoryEntry(content="sound fact", memory_type=MemoryType.FACT, user_id="ana")
    await memory.store_message(kept, "talk", user_id="ana")
    await memory.store_memory(entry)
    before = await rows_of(memory)
    again = kept.model_copy(update={"content": "another text"})
    for talk in ("new", "newer"):
        moody.mood = _NONSENSE[what]
        writes = (
            partial(memory.store_message, message("new"), "talk", user_id="ana"),
            partial(memory.store_message, message("new"), talk, user_id="ana"),
            partial(
                memory.store_messages, [message(f"m{n}") for n in range(30)], "talk", user_id="ana"
            ),
            partial(memory.store_message, again, "talk", user_id="ana"),
            partial(memory.store_memory, entry.model_copy(update={"content": "another"})),
        )
        for write in writes:
            with pytest.raises((EmbeddingError, StoreClosedError)) as refused:
                await asyncio.wait_for(write(), _HANGS)
            assert refused.value.fix
            assert what == "cancelled within" or "'hash'" in str(refused.value)
        moody.mood = None
        await check_unharmed(memory, before)
        await memory.store_message(message(f"sound later {talk}"), "talk", user_id="ana")
        # A conversation whose first write failed is nobody's.
        await memory.store_message(message("bo's"), talk, user_id="bo")
        await memory.clear_history(talk)
        before = await rows_of(memory)
    assert (await memory.health())["status"] == "ok"


async def test_an_embedder_that_fails_now_and_then(tmp_path: Path, torture: Torture) -> None:
    """Who was told it failed has nothing stored, who was told it is stored has all of it."""
    flaky = NowAndThen()
    calls = failures = 0
    texts: dict[str, int] = {}
    async with open_memory(str(tmp_path / "store"), embedder=flaky) as memory:

        async def store(n: int) -> None:
            new = [message(f"{word(n)} sound {m}") for m in range(flaky.dice.choice((1, 1, 5)))]
            await memory.store_messages(new, f"talk{n % 3}", user_id="ana")
            texts.update((m.content, 1) for m in new)

        for round_ in range(torture.choose(12, 100)):
            ends = await asyncio.gather(
                *(store(round_ * 100 + n) for n in range(30)), return_exceptions=True
            )
            wrong = [end for end in ends if end is not None]
            assert all(isinstance(end, EmbeddingError | StoreClosedError) for end in wrong), wrong
            calls, failures = calls + 30, failures + len(wrong)
        stored = [row["content"] for row in await rows_of(memory)]
        assert len(stored) == len(set(stored))
        assert set(stored) == set(texts)
        for conversation in ("talk0", "talk1", "talk2"):
            turns = [turn for turn, _ in await turns_of(memory, conversation)]
            assert len(set(turns)) == len(turns)
        flaky.dice = random.Random(5)
        for text in random.Random(1).sample(sorted(texts), 20):
            hits = await memory.recall(text.split()[0], user_id="ana", profile="lexical", k=20)
            assert text in {hit.content for hit in hits}
    assert failures > 0
    counts(callers=calls, told_it_failed=failures, embedder_failed=flaky.failed, rows=len(stored))


async def test_closing_while_the_embedder_hangs(tmp_path: Path) -> None:
    """``close`` finishes what was asked, so it waits; nobody new is let in, and all get an end."""
    hanging = Hanging()
    folder = str(tmp_path / "store")
    memory = await open_memory(folder, embedder=hanging)
    async with letting_go(hanging):
        hanging.go.clear()
        callers = [
            asyncio.create_task(memory.store_message(message(word(n)), "talk", user_id="ana"))
            for n in range(5)
        ]
        assert await asyncio.to_thread(hanging.called.wait, _HANGS)
        closing = asyncio.create_task(memory.close())
        await asyncio.sleep(0.1)
        with pytest.raises(StoreClosedError):
            await asyncio.wait_for(
                memory.store_message(message("late"), "talk", user_id="ana"), _HANGS
            )
    await asyncio.wait_for(closing, _HANGS)
    ends = await asyncio.wait_for(asyncio.gather(*callers, return_exceptions=True), _HANGS)
    assert all(end is None or isinstance(end, StoreClosedError) for end in ends), ends
    async with open_memory(folder, embedder=Hanging()) as memory:
        stored = {row["content"] for row in await rows_of(memory)}
    assert stored == {word(n) for n, end in enumerate(ends) if end is None}


@pytest.mark.parametrize("kind", [Hanging, HangingInTheLoop])
async def test_an_embedder_that_never_answers_is_given_up(
    kind: type[Hanging], tmp_path: Path
) -> None:
    """Its callers are told, nothing of theirs is stored, and later writes go on."""
    embedder = kind()

    async def store_at_last(text: str) -> None:
        """An embedder that does answer may be too late for so short a time on a busy machine."""
        for _ in range(100):
            with contextlib.suppress(EmbeddingError):
                return await memory.store_message(message(text), "talk", user_id="ana")
        raise AssertionError("it never answered in time")

    async with open_memory(str(tmp_path), embedder=embedder, embed_timeout=0.2) as memory:
        await store_at_last(word(1))
        embedder.go.clear()
        told = await asyncio.gather(
            *(memory.store_message(message(word(n)), "talk", user_id="ana") for n in range(2, 5)),
            memory.recall(word(1), user_id="ana"),
            return_exceptions=True,
        )
        assert [type(error) for error in told] == [EmbeddingError] * 4
        assert all("embed_timeout" in str(error) for error in told)
        embedder.go.set()
        await store_at_last(word(5))
        assert await turns_of(memory, "talk") == [(0, word(1)), (1, word(5))]
