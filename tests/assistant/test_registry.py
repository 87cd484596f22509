"""Found, made and used through bruno-core's own plumbing."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest
from bruno_core.context.manager import ContextManager
from bruno_core.models.message import Message, MessageRole
from bruno_core.registry.memory_registry import MemoryBackendRegistry

from bruno_memory_vec import VectorMemory

GROUP = "bruno.memory_backends"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRUNO_MEMORY_EMBEDDER", "hash")


async def used(memory: object) -> None:
    assert isinstance(memory, VectorMemory)
    message = Message(role=MessageRole.USER, content="The tram was late.")
    await memory.store_message(message, "c", user_id="ana")
    assert await memory.retrieve_messages("c") == [message]
    await memory.close()


async def test_discovered_by_its_entry_point(tmp_path: Path) -> None:
    named = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if "lancedb" not in named:
        pytest.skip("the package is not installed as a distribution: pip install -e .")
    registry = MemoryBackendRegistry()
    registry.discover_plugins()
    assert registry.get("lancedb").plugin_class is VectorMemory
    await used(registry.get_instance("lancedb"))
    assert (tmp_path / "bruno-memory" / "store.json").exists()


async def test_registered_by_hand_and_made_without_arguments(tmp_path: Path) -> None:
    registry = MemoryBackendRegistry()
    registry.register("x", VectorMemory)
    memory = registry.get_instance("x")
    assert registry.get_instance("x") is memory
    assert not (tmp_path / "bruno-memory").exists(), "making it opens nothing"
    await used(memory)
    assert (tmp_path / "bruno-memory" / "store.json").exists()


async def test_made_with_arguments(tmp_path: Path) -> None:
    registry = MemoryBackendRegistry()
    registry.register("x", VectorMemory)
    memory = registry.get_instance("x", url=str(tmp_path / "other"), max_messages=5)
    assert memory.config.max_messages == 5
    await used(memory)


def test_the_entry_point_names_the_class() -> None:
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert (
        f'[project.entry-points."{GROUP}"]\nlancedb = "bruno_memory_vec.memory:VectorMemory"'
        in text
    )


async def test_context_manager_recalls(tmp_path: Path) -> None:
    async with VectorMemory(str(tmp_path / "m")) as memory:
        old = Message(role=MessageRole.USER, content="The boiler was repaired for 386 euros.")
        await memory.store_message(old, "old", user_id="ana")
        foreign = Message(role=MessageRole.USER, content="My boiler costs 999 euros.")
        await memory.store_message(foreign, "bens", user_id="ben")
        manager = ContextManager(memory=memory)
        await memory.get_context("ana", "now")
        question = Message(role=MessageRole.USER, content="What did the boiler cost?")
        await manager.add_message(question, "now", user_id="ana")
        context = await manager.get_context("now", user_id="ana")
        assert [message.content for message in context.messages] == [question.content]
        relevant = context.metadata["relevant_memories"]
        assert {"content": old.content, "role": "user"} in relevant
        assert not any("999" in memory["content"] for memory in relevant)
        assert await memory.retrieve_messages("now") == [question]
