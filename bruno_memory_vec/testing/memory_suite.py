"""What the suites of memories share: opening one, and short ways to say what is stored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import pytest_asyncio
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole


def said(content: str, role: MessageRole = MessageRole.USER, **fields: Any) -> Message:
    """A message."""
    return Message(role=role, content=content, **fields)


def noted(content: str, user_id: str = "ana", **fields: Any) -> MemoryEntry:
    """A memory; fields of its metadata are given beside its own."""
    described = {name: fields.pop(name) for name in list(fields) if name in _DESCRIPTION}
    fields.setdefault("memory_type", MemoryType.FACT)
    return MemoryEntry(
        content=content, user_id=user_id, metadata=MemoryMetadata(**described), **fields
    )


_DESCRIPTION = frozenset(MemoryMetadata.model_fields)


class MemorySuite:
    """What the suites of memories share: how to open one."""

    pytestmark = pytest.mark.asyncio

    #: Whether what was closed can be opened again in the same folder.
    persistent: ClassVar[bool] = True

    folder: Path

    async def open_memory(self, **settings: Any) -> Any:
        """Open the memory under test in ``self.folder``; called again to open it again."""
        raise NotImplementedError

    async def close_memory(self, memory: Any) -> None:
        """Close it, so that another can be opened in its place."""
        await memory.close()

    @pytest.fixture(autouse=True)
    def _give_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    @pytest_asyncio.fixture
    async def memory(self) -> AsyncIterator[Any]:
        """An empty memory."""
        memory = await self.open_memory()
        yield memory
        await self.close_memory(memory)

    async def talk(self, memory: Any, count: int, conversation: str = "talk") -> list[Message]:
        """Store ``count`` messages of Ana's, one by one, and return them."""
        messages = [said(f"message number {i}") for i in range(count)]
        await memory.get_context("ana", conversation)
        for message in messages:
            await memory.store_message(message, conversation)
        return messages
