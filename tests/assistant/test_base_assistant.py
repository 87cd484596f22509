"""An unmodified bruno-core BaseAssistant over the memory."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bruno_core.base.assistant import BaseAssistant
from bruno_core.interfaces.llm import LLMInterface
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import MemoryConfig, VectorMemory
from bruno_memory_vec.conversations.context import RECALLED
from bruno_memory_vec.prompts.token_bound import most_tokens

ROOT = Path(__file__).resolve().parents[2]
SYSTEM, USER = MessageRole.SYSTEM, MessageRole.USER


class Recorder(LLMInterface):
    """Keeps each prompt it is given; replies with its number, or fails."""

    def __init__(self) -> None:
        self.prompts: list[list[Message]] = []
        self.broken = False

    @property
    def prompt(self) -> list[Message]:
        return self.prompts[-1]

    @property
    def recalled(self) -> list[Message]:
        return [message for message in self.prompt if RECALLED in message.metadata]

    async def generate(self, messages: list[Message], **_: Any) -> str:  # type: ignore[override]
        self.prompts.append(list(messages))
        if self.broken:
            raise RuntimeError("the model is away")
        return f"Reply {len(self.prompts)}."

    async def stream(self, messages: list[Message], **_: Any) -> AsyncIterator[str]:  # type: ignore[override]
        yield await self.generate(messages)

    def get_token_count(self, text: str) -> int:
        return len(text) // 4

    async def check_connection(self) -> bool:
        return True

    async def list_models(self) -> list[str]:
        return []

    def get_model_info(self) -> dict[str, Any]:
        return {}

    def set_system_prompt(self, prompt: str) -> None: ...

    def get_system_prompt(self) -> str | None:
        return None


class Bench:
    """An assistant over one memory, to talk with."""

    def __init__(self, memory: VectorMemory) -> None:
        self.memory = memory
        self.llm = Recorder()
        self.assistant = BaseAssistant(llm=self.llm, memory=memory)

    async def say(
        self, text: str | Message, user: str = "ana", conversation: str | None = "now"
    ) -> str:
        if not self.assistant.initialized:
            await self.assistant.initialize()
        message = Message(role=USER, content=text) if isinstance(text, str) else text
        response = await self.assistant.process_message(
            message, user_id=user, conversation_id=conversation
        )
        return str(response.text)

    async def stored(self, conversation: str = "now") -> list[str]:
        newest_first = await self.memory.retrieve_messages(conversation)
        return [message.content for message in reversed(newest_first)]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Callable[..., Bench]]:
    """Make an assistant whose memory is closed at the end; the folder is always the same."""
    made: list[VectorMemory] = []

    def make(**settings: Any) -> Bench:
        memory = VectorMemory(str(tmp_path / "memory"), embedder="hash", **settings)
        made.append(memory)
        return Bench(memory)

    yield make
    for memory in made:
        await memory.close()


def contents(messages: list[Message]) -> list[str]:
    return [message.content for message in messages]


async def test_the_prompt_is_the_conversation_oldest_first(bench: Callable[..., Bench]) -> None:
    one = bench(recall_in_context=False)
    for number in range(15):
        await one.say(f"turn {number}")
    assert len(one.llm.prompt) == 20
    assert one.llm.prompt[-1].content == "turn 14"
    assert contents(one.llm.prompt[:3]) == ["Reply 5.", "turn 5", "Reply 6."]
    assert len(await one.stored()) == 30


async def test_a_question_is_answered_from_long_ago_after_a_restart(
    bench: Callable[..., Bench],
) -> None:
    first = bench()
    await first.say("My locker at the swimming hall is number 318.", conversation="spring")
    for number in range(30):
        await first.say(f"Small talk about the weather, day {number}.", conversation="spring")
    await first.memory.close()

    second = bench()
    await second.say("Which number is my locker at the swimming hall?", conversation="autumn")
    (recalled,) = second.llm.recalled
    assert recalled.role is SYSTEM
    assert recalled.content.startswith("Recalled from memory")
    assert "318" in recalled.content
    assert second.llm.prompt[-1].content.startswith("Which number")
    # In the same long conversation, too, when its beginning is far out of the window.
    await second.say("Which number is my locker at the swimming hall?", conversation="spring")
    assert "318" in second.llm.recalled[0].content
    assert "318" not in " ".join(contents(second.llm.prompt[1:]))


async def test_the_recall_is_not_stored_and_is_one(bench: Callable[..., Bench]) -> None:
    one = bench()
    await one.say("The boiler was repaired for 386 euros.", conversation="old")
    context = await one.memory.get_context("ana", "now")
    for number in range(5):
        question = Message(role=USER, content=f"What did the boiler cost? ({number})")
        await one.assistant.process_message(question, context=context)
        assert len(one.llm.recalled) == 1
    assert sum(RECALLED in message.metadata for message in context.messages) == 1
    assert len(await one.stored()) == 10
    assert not any("Recalled" in text for text in await one.stored())
    fresh = await one.memory.get_context("ana", "now")
    assert not any(RECALLED in message.metadata for message in fresh.messages)
    hits = await one.memory.recall("Recalled from memory", user_id="ana", k=50)
    assert not any(hit.content.startswith("Recalled") for hit in hits)


async def test_two_users_are_apart(bench: Callable[..., Bench]) -> None:
    one = bench()
    await one.say("My dentist is Dr. Petrova.", "ana", "a1")
    await one.say("My dentist is Dr. Lindqvist.", "ben", "b1")
    for user, own, foreign in (("ana", "Petrova", "Lindqvist"), ("ben", "Lindqvist", "Petrova")):
        await one.say("Who is my dentist?", user, f"{user}-now")
        prompt = " ".join(contents(one.llm.prompt))
        assert own in prompt
        assert foreign not in prompt
    with pytest.raises(BrunoError) as caught:
        await one.say("Let me in.", "ben", "a1")
    assert "does not belong" in str(caught.value.cause)
    assert "Let me in." not in await one.stored("a1")


async def test_switched_off(bench: Callable[..., Bench]) -> None:
    one = bench(recall_in_context=False)
    await one.say("The boiler was repaired for 386 euros.", conversation="old")
    await one.say("What did the boiler cost?")
    assert contents(one.llm.prompt) == ["What did the boiler cost?"]


@pytest.mark.parametrize("tokens", [100, 120, 400])
async def test_the_budget_is_kept(bench: Callable[..., Bench], tokens: int) -> None:
    one = bench(recall_tokens=tokens, recall_k=50)
    for number in range(30):
        await one.say(
            f"Boiler, note {number}: " + "it whistles and drips. " * 4, conversation="old"
        )
    await one.say("What about the boiler that whistles?")
    (recalled,) = one.llm.recalled
    assert most_tokens(recalled.content) <= tokens
    assert most_tokens(recalled.content) > tokens // 2


async def test_how_many_hits_is_kept(bench: Callable[..., Bench]) -> None:
    one = bench(recall_tokens=5000, recall_k=2)
    for number in range(10):
        await one.say(f"The boiler, note {number}.", conversation="old")
    await one.say("What about the boiler?")
    assert one.llm.recalled[0].metadata[RECALLED] == 2
    assert one.llm.recalled[0].content.count("\n- [") == 2


async def test_what_is_on_the_page_is_not_recalled(bench: Callable[..., Bench]) -> None:
    one = bench()
    await one.say("The boiler was repaired for 386 euros.")
    await one.say("What did the boiler cost?")
    assert one.llm.recalled == []
    assert contents(one.llm.prompt)[0] == "The boiler was repaired for 386 euros."


async def test_many_system_messages_do_not_push_out_the_question(
    bench: Callable[..., Bench],
) -> None:
    one = bench()
    for number in range(25):
        rule = Message(role=SYSTEM, content=f"Rule {number}.")
        await one.memory.store_message(rule, "now", user_id="ana")
    await one.say("The boiler was repaired for 386 euros.", conversation="old")
    await one.say("What did the boiler cost?")
    assert one.llm.prompt[-1].content == "What did the boiler cost?"
    assert sum(text.startswith("Rule") for text in contents(one.llm.prompt)) <= 10
    assert "Rule 24." in contents(one.llm.prompt)
    assert len(one.llm.recalled) == 1
    await one.say("And when?")
    assert contents(one.llm.prompt)[-3:] == ["What did the boiler cost?", "Reply 2.", "And when?"]


async def test_a_model_that_fails_leaves_the_question(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.llm.broken = True
    question = Message(role=USER, content="Are you there?")
    with pytest.raises(BrunoError):
        await one.say(question)
    assert await one.stored() == ["Are you there?"]
    one.llm.broken = False
    # Asked again with the same object: stored once, answered once.
    await one.say(question)
    assert await one.stored() == ["Are you there?", "Reply 2."]


async def test_the_same_message_twice(bench: Callable[..., Bench]) -> None:
    one = bench()
    message = Message(role=USER, content="Hello.")
    await one.say(message)
    await one.say(message)
    assert await one.stored() == ["Hello.", "Reply 1.", "Reply 2."]
    turns = await one.memory.recall("Hello", user_id="ana", conversation_id="now", k=10)
    assert sorted(hit.turn or 0 for hit in turns) == [0, 1, 2]


async def test_without_a_conversation_the_current_one_goes_on(bench: Callable[..., Bench]) -> None:
    first = bench(recall_in_context=False)
    await first.say("One.", conversation=None)
    await first.say("Two.", conversation=None)
    assert contents(first.llm.prompt) == ["One.", "Reply 1.", "Two."]
    await first.say("I am ben.", "ben", None)
    assert contents(first.llm.prompt) == ["I am ben."]
    await first.memory.close()
    second = bench(recall_in_context=False)
    await second.say("Three.", conversation=None)
    assert contents(second.llm.prompt)[:2] == ["One.", "Reply 1."]
    session = await second.memory.create_session("ana")
    await second.say("Four.", conversation=None)
    assert contents(second.llm.prompt) == ["Four."]
    assert await second.stored(session.conversation_id) == ["Four.", "Reply 2."]


async def test_the_user_may_be_named_by_the_message(bench: Callable[..., Bench]) -> None:
    one = bench()
    message = Message(role=USER, content="Hello.", metadata={"user_id": "zoe"})
    await one.assistant.initialize()
    await one.assistant.process_message(message, conversation_id="zoes")
    assert (await one.memory.get_statistics("zoe"))["total_messages"] == 2


async def test_a_recall_that_fails_does_not_stop_the_answer(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    from bruno_memory_vec.errors import EmbeddingError
    from bruno_memory_vec.recall import Retriever

    one = bench()
    await one.say("The boiler was repaired for 386 euros.", conversation="old")

    async def fail(*_: Any, **__: Any) -> Any:
        raise EmbeddingError("no vectors today", fix="Wait.")

    with monkeypatch.context() as patch:
        patch.setattr(Retriever, "recall", fail)
        assert await one.say("What did the boiler cost?") == "Reply 2."
    report = await one.memory.health()
    assert report["status"] == "degraded"
    assert "no vectors today" in str(report["problems"])
    await one.say("What did the boiler cost, again?")
    assert (await one.memory.health())["status"] == "ok"


async def test_over_a_view(tmp_path: Path) -> None:
    async with VectorMemory(str(tmp_path / "m"), embedder="hash") as memory:
        one = Bench(memory.for_user("ana"))
        await one.say("My dentist is Dr. Petrova.", conversation="old")
        await one.say("Who is my dentist?")
        assert "Petrova" in one.llm.recalled[0].content
        with pytest.raises(BrunoError):
            await one.say("Hello.", "ben", "bens")


async def test_with_bruno_cores_config(tmp_path: Path) -> None:
    from bruno_core.models.config import MemoryConfig as BrunoMemoryConfig

    config = BrunoMemoryConfig(
        backend="lancedb",
        connection_string=str(tmp_path / "m"),
        max_messages=4,
        embedding_model="hash",
        additional_params={"recall_in_context": False},
    )
    memory = VectorMemory.from_config(config)
    assert isinstance(memory.config, MemoryConfig)
    one = Bench(memory)
    for number in range(5):
        await one.say(f"turn {number}")
    assert contents(one.llm.prompt) == ["turn 3", "Reply 4.", "turn 4"] or len(one.llm.prompt) == 4
    await memory.close()


# The example


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "example_base_assistant", ROOT / "examples" / "base_assistant.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_example_as_a_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "base_assistant.py"), str(tmp_path / "m")],
        cwd=ROOT, capture_output=True, text=True, timeout=120, env=_with_root(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Casa do Jasmim" in done.stdout
    assert "Every question was answered" in done.stdout
    assert "Traceback" not in done.stderr


async def test_the_example_notices_a_missing_recall(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("BRUNO_MEMORY_RECALL_IN_CONTEXT", "false")
    assert await example.main(str(tmp_path / "m")) == 1
    assert "FAILED" in capsys.readouterr().out


def test_the_quickstart(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "quickstart.py")],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, env=_with_root(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Casa do Jasmim" in done.stdout
    assert "semantic" in done.stdout
    assert (tmp_path / "memory" / "store.json").exists()


def _with_root() -> dict[str, str]:
    """The environment, with the package found where it is not installed."""
    import os

    kept = {name: value for name, value in os.environ.items() if "BRUNO_MEMORY" not in name}
    path = os.pathsep.join(filter(None, [str(ROOT), kept.get("PYTHONPATH", "")]))
    return {**kept, "PYTHONPATH": path}
