"""Names with a NUL, with half a surrogate pair or of other shapes are refused, before anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders import CachedEmbedder, StaticEmbedder
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.portability import read

NUL = "ana\0ben"


def said(**fields: Any) -> Message:
    return Message(role=MessageRole.USER, content="a zebra", **fields)


def noted(user_id: str = "ana", conversation_id: str | None = None, **about: Any) -> MemoryEntry:
    return MemoryEntry(
        content="a zebra",
        memory_type=MemoryType.FACT,
        user_id=user_id,
        conversation_id=conversation_id,
        metadata=MemoryMetadata(**about),
    )


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


Call = Callable[[VectorMemory], Awaitable[Any]]
CALLS: dict[str, Call] = {
    "user": lambda m: m.store_message(said(), "c", user_id=NUL),
    "conversation": lambda m: m.store_message(said(), NUL, user_id="ana"),
    "user in metadata": lambda m: m.store_message(said(metadata={"user_id": NUL}), "c"),
    "key": lambda m: m.store_message(said(metadata={NUL: 1}), "c", user_id="ana"),
    "second key": lambda m: m.store_message(said(metadata={"a": 1, NUL: 1}), "c", user_id="ana"),
    "second message": lambda m: m.store_messages(
        [said(), said(metadata={NUL: 1})], "c", user_id="ana"
    ),
    "memory's user": lambda m: m.store_memory(noted(NUL)),
    "memory's conversation": lambda m: m.store_memory(noted(conversation_id=NUL)),
    "tag": lambda m: m.store_memory(noted(tags=["a", NUL])),
    "category": lambda m: m.store_memory(noted(category=NUL)),
    "memory's key": lambda m: m.store_memory(noted(custom_fields={NUL: 1})),
    "view": lambda m: m.for_user(NUL).recall("zebra"),
    "session": lambda m: m.create_session(NUL),
    "session's key": lambda m: m.create_session("ana", {NUL: 1}),
    "profile of a user": lambda m: m.save_user(UserContext(user_id=NUL)),
    "preference": lambda m: m.save_user(UserContext(user_id="ana", preferences={NUL: 1})),
    "read: user": lambda m: m.recall("zebra", user_id=NUL),
    "read: conversation": lambda m: m.recall("zebra", user_id="ana", conversation_id=NUL),
    "read: tag": lambda m: m.recall("zebra", user_id="ana", tags=NUL),
    "read: category": lambda m: m.recall("zebra", user_id="ana", categories=[NUL]),
    "read: key": lambda m: m.recall("zebra", user_id="ana", metadata={NUL: 1}),
    "read: profile": lambda m: m.recall("zebra", user_id="ana", profile=NUL),
    "read: profile's file": lambda m: m.recall("zebra", user_id="ana", profile=f"{NUL}.toml"),
    "read: kind": lambda m: m.recall("zebra", user_id="ana", kinds=NUL),  # type: ignore[arg-type]
    "read: role": lambda m: m.recall("zebra", user_id="ana", roles=NUL),
    "context": lambda m: m.get_context(NUL, "c"),
    "history": lambda m: m.retrieve_messages(NUL),
    "clear": lambda m: m.clear_history(NUL),
    "conversations": lambda m: m.list_conversations(NUL),
    "search": lambda m: m.search_messages("zebra", user_id=NUL),
    "statistics": lambda m: m.get_statistics(NUL),
    "embedder": lambda m: m.reembed(NUL),
    "embedder's folder": lambda m: m.reembed(f"static:{NUL}"),
}


async def test_nul_in_a_name_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        for name, call in CALLS.items():
            with pytest.raises(InvalidInputError) as caught:
                await call(memory)
            assert "NUL" in str(caught.value) or "\\x00" in str(caught.value), name
        store = await memory._lazy.get()
        assert await store.rows.count(Scope.all_users(), RowFilter()) == 0
        assert list(await memory.list_users()) == []
        # Nobody owns the conversation either.
        await memory.store_message(said(), "c", user_id="ben")
        assert [user.user_id for user in await memory.list_users()] == ["ben"]


async def test_nul_in_a_text_is_kept() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        message = said(metadata={"note": "a\0b", "deep": {"a\0b": ["\0"]}})
        message.content = "a zebra\0 and a lion"
        await memory.store_message(message, "c", user_id="ana")
        (hit,) = await memory.recall("lion", user_id="ana")
        assert isinstance(hit.record, Message)
        assert hit.record.content == message.content
        assert hit.record.metadata["deep"] == {"a\0b": ["\0"]}


@pytest.mark.parametrize("name", ["a\0b", "\0", "a\ud800b", "\x7f", "a\nb"])
async def test_a_store_is_not_begun_under_a_bad_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="url"):
        await open_memory(str(tmp_path / name), embedder="hash")
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("field", ["embedder", "profile", "language", "default_user"])
@pytest.mark.parametrize("name", ["a\0b", "\0", "a\ud800b"])
async def test_a_setting_with_a_bad_name(tmp_path: Path, field: str, name: str) -> None:
    settings: dict[str, Any] = {"embedder": "hash", field: name}
    with pytest.raises(InvalidInputError, match=field):
        await open_memory(str(tmp_path / "memory"), **settings)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
async def test_folders_of_embedders(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="folder"):
        StaticEmbedder(name)
    with pytest.raises(InvalidInputError, match=r"embedder|folder"):
        await open_memory(str(tmp_path / "memory"), embedder=f"static:{name}")
    with pytest.raises(InvalidInputError, match="embedding_cache"):
        CachedEmbedder(HashEmbedder(), name)
    with pytest.raises(InvalidInputError, match="embedding_cache"):
        await open_memory(str(tmp_path / "memory"), embedder="hash", embedding_cache=name)
    assert left_in(tmp_path) == []


def test_a_link_that_leads_to_itself_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    # From Python 3.13 on it can be resolved, and then holds no weights.
    with pytest.raises((InvalidInputError, EmbeddingError), match="loop"):
        StaticEmbedder(tmp_path / "loop").fingerprint  # noqa: B018


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b", "", 7])
def test_names_given_to_a_reader(tmp_path: Path, name: Any) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text('{"role": "user", "content": "hello"}\n')
    for given in ({"user_id": name}, {"conversation_id": name}):
        with pytest.raises(InvalidInputError, match=next(iter(given))):
            read(path, **given)
    with pytest.raises(InvalidInputError, match="format"):
        read(path, format=name)


async def test_a_users_name_that_no_text_is() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        for name in ("a\ud800", 7, object()):
            user = UserContext(user_id="ana")
            user.__dict__["name"] = name
            with pytest.raises(InvalidInputError, match=r"user\.name"):
                await memory.save_user(user)
        assert (await memory.get_user("ana")).name is None
