"""Killed or failing between two commits, an extraction loses no fact, and is ended by the next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.writing.writer import Writer
from tests.knowledge.extraction.support import message

TEXTS = ("I live in Lisbon", "I love tea", "I live in Porto", "I hate tea", "I live in Porto")


async def state(memory: VectorMemory) -> list[tuple[Any, ...]]:
    found = await memory.facts.history("ana")
    return sorted(
        (fact.attribute, fact.value, fact.archived_at is None, fact.times_seen, fact.confidence)
        for fact in found
    )


class Fails:
    """Lets calls through but the one of this number, which fails before or after it has worked."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int, *, after: bool) -> None:
        self.calls = 0
        for name in ("write", "rewrite"):
            self._wrap(patch, name, getattr(Writer, name), number, after)

    def _wrap(
        self, patch: pytest.MonkeyPatch, name: str, real: Any, number: int, after: bool
    ) -> None:
        async def call(writer: Writer, *args: Any, **more: Any) -> Any:
            self.calls += 1
            failing = self.calls == number
            if failing and not after:
                raise BackendUnavailable("rows", name, "killed", fix="Wait.")
            done = await real(writer, *args, **more)
            if failing:
                raise BackendUnavailable("rows", name, "killed", fix="Wait.")
            return done

        patch.setattr(Writer, name, call)


@pytest.mark.parametrize("since", [0, 2])
async def test_every_place_of_a_failure_ends_in_the_same_facts(
    monkeypatch: pytest.MonkeyPatch, since: int
) -> None:
    """``since`` turns were extracted in peace before."""

    async def extract_first(memory: VectorMemory) -> None:
        for minute, text in enumerate(TEXTS):
            await memory.store_message(message(text, minute), "talk", user_id="ana")
            if minute + 1 == since:
                await memory.facts.extract("talk")

    async with open_memory("memory://", embedder="hash") as memory:
        await extract_first(memory)
        with monkeypatch.context() as patch:
            counting = Fails(patch, 0, after=False)
            await memory.facts.extract("talk")
        expected = await state(memory)
    assert len(expected) == 4
    assert counting.calls == (2 if since else 1)
    for number in range(1, counting.calls + 1):
        for after in (False, True):
            async with open_memory("memory://", embedder="hash") as memory:
                await extract_first(memory)
                before = {fact.value for fact in await memory.facts.list("ana")}
                with monkeypatch.context() as patch:
                    Fails(patch, number, after=after)
                    with pytest.raises(BackendUnavailable):
                        await memory.facts.extract("talk")
                # Nothing that held is gone without what stands in its place.
                left = {fact.value for fact in await memory.facts.list("ana")}
                assert before <= left or {"Porto", "tea"} <= left
                await memory.facts.extract("talk")
                assert await state(memory) == expected


async def test_the_background_ends_what_it_has_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_memory(str(tmp_path), embedder="hash", extract="patterns") as memory:
        await memory.store_message(message(TEXTS[0]), "talk", user_id="ana")
        await memory.facts.wait()
        await memory.store_message(message(TEXTS[2], 2), "talk", user_id="ana")
        with monkeypatch.context() as patch:
            # Its new fact was stored, and the old one is not archived.
            Fails(patch, 2, after=False)
            await memory.facts.wait()
        assert (await memory.health())["extraction"]["waiting"] == 1
        both = {fact.value for fact in await memory.facts.list("ana", attribute="home")}
        assert both == {"Lisbon", "Porto"}
    async with open_memory(str(tmp_path), embedder="hash", extract="patterns") as memory:
        await memory.facts.wait()
        (home,) = await memory.facts.list("ana", attribute="home")
        assert (home.value, home.times_seen) == ("Porto", 1)
        assert home.supersedes is not None
