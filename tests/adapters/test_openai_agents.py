"""The session of the OpenAI Agents SDK, with the real package and its scripted model.

It is not among what the suite installs. The step ``agent frameworks`` of ``.ci/run`` installs it,
and runs these.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import VectorMemory, open_memory, sync
from bruno_memory_vec.errors import (
    ForeignUserError,
    InvalidInputError,
    ReadOnlyError,
)

if find_spec("agents") is None or find_spec("agents.memory") is None:
    pytest.skip("openai-agents is not installed", allow_module_level=True)

from agents import Agent, RunConfig, Runner, function_tool
from agents.memory import Session, SessionABC, SessionSettings, SQLiteSession
from agents.testing import ScriptedModel, assistant_message, function_call

from bruno_memory_vec.adapters.openai_agents import ITEM, MemorySession

QUIET = RunConfig(tracing_disabled=True)
# One of each kind that a history has.
ITEMS: list[Any] = [
    {"role": "user", "content": "Where did we stay?"},
    {"role": "developer", "content": "Be short."},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "At Hotel Aurora.", "annotations": []}],
    },
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Thinking"}]},
    {"type": "function_call", "call_id": "c1", "name": "price", "arguments": '{"hotel": "Aurora"}'},
    {"type": "function_call_output", "call_id": "c1", "output": "120 euros"},
    {"role": "user", "content": [{"type": "input_text", "text": "and breakfast? \u2028 \x00 é"}]},
    {"role": "user", "content": ""},
    {"type": "item_reference", "id": "x"},
]


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as one:
        yield one


async def test_items_come_back_as_the_sdks_own_session_gives_them(
    memory: VectorMemory, tmp_path: Path
) -> None:
    ours = MemorySession("talk", memory, user_id="ana")
    theirs = SQLiteSession("talk", tmp_path / "sessions.db")
    assert isinstance(ours, Session)
    assert isinstance(ours, SessionABC)
    for session in (ours, theirs):
        assert await session.get_items() == []
        assert await session.pop_item() is None
        await session.add_items([])
        await session.add_items(ITEMS[:4])
        await session.add_items(ITEMS[4:])
    for limit in (None, 1, 3, 100, 0, -1):
        assert await ours.get_items(limit) == await theirs.get_items(limit), limit
    assert await ours.get_items() == ITEMS
    for _ in range(3):
        assert await ours.pop_item() == await theirs.pop_item()
    assert await ours.get_items() == await theirs.get_items() == ITEMS[:-3]
    for session in (ours, theirs):
        await session.clear_session()
        await session.clear_session()
        assert await session.get_items() == []
        await session.add_items(ITEMS[:1])
        assert await session.get_items() == ITEMS[:1]
    theirs.close()


async def test_settings_say_how_many_items_are_read(memory: VectorMemory) -> None:
    for settings in (SessionSettings(limit=2), {"limit": 2}):
        session = MemorySession("talk", memory, user_id="ana", session_settings=settings)
        await session.clear_session()
        await session.add_items(ITEMS)
        assert await session.get_items() == ITEMS[-2:]
        assert await session.get_items(limit=3) == ITEMS[-3:]


async def test_a_run_goes_on_where_it_was_after_a_restart(tmp_path: Path) -> None:
    @function_tool
    def price(hotel: str) -> str:
        """The price of a night."""
        return f"{hotel}: 120 euros"

    async with open_memory(tmp_path / "store", embedder="hash") as memory:
        model = ScriptedModel(
            [
                [function_call("price", {"hotel": "Aurora"}, call_id="c1")],
                [assistant_message("A night at Hotel Aurora costs 120 euros.")],
            ]
        )
        agent = Agent(name="Travel", model=model, tools=[price])
        session = MemorySession("trip", memory, user_id="ana")
        done = await Runner.run(
            agent, "What does Hotel Aurora cost?", session=session, run_config=QUIET
        )
        assert "120" in done.final_output
        model.assert_complete()
    async with open_memory(tmp_path / "store", embedder="hash") as memory:
        model = ScriptedModel([[assistant_message("As I said, 120 euros.")]])
        agent = Agent(name="Travel", model=model, tools=[price])
        session = MemorySession("trip", memory, user_id="ana")
        await Runner.run(agent, "And again?", session=session, run_config=QUIET)
        assert model.last_call is not None
        seen: Any = model.last_call.input
        assert [one.get("type") or one["role"] for one in seen] == [
            "user", "function_call", "function_call_output", "message", "user",
        ]  # fmt: skip
        assert len(await session.get_items()) == 6
        # What was said in it is found from anywhere.
        hits = await memory.recall("price of a night at Aurora", user_id="ana")
        assert any("120 euros" in hit.content for hit in hits)
        assert await memory.recall("price of a night at Aurora", user_id="ben") == []


# `run_sync` ends its event loop's generators after each run, and goes on with the same loop.
@pytest.mark.filterwarnings("ignore:asynchronous generator:ResourceWarning")
async def test_a_plain_program_uses_one_memory_over_several_runs(tmp_path: Path) -> None:
    def program() -> None:
        memory = VectorMemory(tmp_path / "store", embedder="hash")
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            session = MemorySession("trip", memory, user_id="ana")
            for number in range(2):
                model = ScriptedModel([[assistant_message(f"answer {number}")]])
                Runner.run_sync(
                    Agent(name="A", model=model), f"question {number}",
                    session=session, run_config=QUIET,
                )  # fmt: skip
            assert model.last_call is not None
            assert len(model.last_call.input) == 3
            loop.run_until_complete(memory.close())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    await asyncio.to_thread(program)


async def test_a_conversation_from_elsewhere_is_a_history(memory: VectorMemory) -> None:
    await memory.store_messages(
        [
            Message(role="user", content="I moved to Porto"),
            Message(role="tool", content="{}"),
            Message(role="assistant", content="Noted."),
        ],
        "import",
        user_id="ana",
    )
    session = MemorySession("import", memory, user_id="ana")
    known = [
        {"role": "user", "content": "I moved to Porto"},
        {"role": "assistant", "content": "Noted."},
    ]
    assert await session.get_items() == known
    assert await session.get_items(2) == known
    assert await session.pop_item() == known[1]
    assert await session.pop_item() == known[0]
    assert await session.pop_item() is None


async def test_another_users_session_is_refused_and_untouched(memory: VectorMemory) -> None:
    mine = MemorySession("talk", memory, user_id="ana")
    await mine.add_items(ITEMS)
    other = MemorySession("talk", memory.for_user("ben"))
    assert await other.get_items() == []
    assert await other.pop_item() is None
    await other.clear_session()
    with pytest.raises(ForeignUserError):
        await other.add_items(ITEMS[:1])
    assert await mine.get_items() == ITEMS


async def test_odd_items_are_refused_and_none_is_added(memory: VectorMemory) -> None:
    session = MemorySession("talk", memory, user_id="ana")
    odd: list[Any] = ["text", None, {"role": "user", "content": {1, 2}}, {"content": object()}]
    odd += [{"role": "user", "content": "\ud800"}]
    for given in ("folder", sync.Memory("memory://"), open_memory("memory://"), None):
        with pytest.raises(InvalidInputError, match=r"memory: is a .*await open_memory"):
            MemorySession("talk", given, user_id="ana")  # type: ignore[arg-type]
    for item in odd:
        with pytest.raises(InvalidInputError, match=r"items\[1\]"):
            await session.add_items([ITEMS[0], item])
    assert await session.get_items() == []
    for name in ("", " ", 7, None):
        with pytest.raises(InvalidInputError, match="session_id"):
            MemorySession(name, memory)  # type: ignore[arg-type]


async def test_calls_at_once_lose_nothing(memory: VectorMemory) -> None:
    session = MemorySession("talk", memory, user_id="ana")
    await asyncio.gather(
        *(session.add_items([{"role": "user", "content": f"{n}"}]) for n in range(30))
    )
    popped = await asyncio.gather(*(session.pop_item() for _ in range(10)))
    kept = await session.get_items()
    texts = [one["content"] for one in [*popped, *kept]]
    assert sorted(texts, key=int) == [str(n) for n in range(30)]


async def test_a_reader_reads_and_adds_nothing(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "store", embedder="hash") as memory:
        await MemorySession("talk", memory, user_id="ana").add_items(ITEMS)
    async with open_memory(tmp_path / "store", embedder="hash", read_only=True) as memory:
        session = MemorySession("talk", memory, user_id="ana")
        assert await session.get_items() == ITEMS
        with pytest.raises(ReadOnlyError):
            await session.add_items(ITEMS[:1])


async def test_the_item_is_in_the_messages_metadata(memory: VectorMemory) -> None:
    await MemorySession("talk", memory, user_id="ana").add_items([ITEMS[4]])
    (turn,) = await memory.read_turns("talk")
    assert turn.message.metadata[ITEM] == ITEMS[4]
    assert turn.message.content == 'price({"hotel": "Aurora"})'
