"""A session of the OpenAI Agents SDK whose history is a conversation of a memory.

``MemorySession`` is an ``agents.memory.SessionABC``: give one as ``session=`` to ``Runner.run``. An
item of the SDK is one message here, with the item as it was in its metadata. So what an agent was
told is found by recalls, too, from any session of the user, and from everything else that reads the
store; and a conversation that came from elsewhere is a history that an agent can go on with.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.adapters.opened import checked_memory
from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError
from bruno_memory_vec.rows import checks

if TYPE_CHECKING:
    from bruno_memory_vec.memory import VectorMemory

try:
    from agents.memory import SessionABC, SessionSettings
    from agents.memory.session_settings import coerce_session_settings, resolve_session_limit
except ImportError as error:
    raise MissingDependencyError("openai-agents", "openai-agents", cause=error) from error

#: The key of a message's metadata under which the SDK's item is, as it was.
ITEM: Final = "openai_agents_item"

_ROLES: Final = {
    "user": MessageRole.USER,
    "assistant": MessageRole.ASSISTANT,
    "system": MessageRole.SYSTEM,
    "developer": MessageRole.SYSTEM,
    "tool": MessageRole.TOOL,
}


class MemorySession(SessionABC):
    """One session, which is a conversation of one user.

    Args:
        session_id: the conversation's id. It has one owner: another user's is refused.
        memory: an open memory, or one that opens at first use; a view of a user, too.
        user_id: whose session it is; a view knows its user.
        session_settings: such as ``{"limit": 50}``: how many items a run reads at most.

    Raises:
        InvalidInputError: an argument is not usable.
    """

    def __init__(
        self,
        session_id: str,
        memory: VectorMemory,
        *,
        user_id: str | None = None,
        session_settings: SessionSettings | dict[str, Any] | None = None,
    ) -> None:
        self.session_id = checks.identifier("session_id", session_id)
        self.session_settings = coerce_session_settings(session_settings or {})
        checked_memory(memory)
        self._memory = memory if user_id is None else memory.for_user(user_id)
        # Calls of one session take turns: what is popped is the last item that was added.
        self._turns = asyncio.Lock()

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The history, oldest first: items as they were added, messages of others as messages.

        Args:
            limit: only this many, the last ones. None: what the settings say; below 0: all.

        Raises:
            StoreError, EngineError: the memory cannot be read.
        """
        wanted = resolve_session_limit(limit, self.session_settings)
        if wanted == 0:
            return []
        async with self._turns:
            if wanted is None or wanted < 0:
                turns = await self._memory.read_turns(self.session_id)
                return [item for one in turns if (item := _item(one.message)) is not None]
            return await self._last(wanted)

    async def add_items(self, items: list[Any]) -> None:
        """Add items, all or none.

        Raises:
            InvalidInputError: an item cannot be kept; nothing was added.
            ForeignUserError: the conversation is another user's.
        """
        messages = [_message(number, item) for number, item in enumerate(items)]
        if messages:
            async with self._turns:
                await self._memory.store_messages(messages, self.session_id)

    async def pop_item(self) -> Any | None:
        """Take the last item out of the history, for good; None where there is none."""
        async with self._turns:
            before: int | None = None
            while True:
                turns = await self._memory.read_turns(
                    self.session_id, from_turn=before, limit=1, newest_first=True
                )
                if not turns:
                    return None
                (last,) = turns
                item = _item(last.message)
                if item is not None:
                    await self._memory.delete_messages(last.message.id, self.session_id)
                    return item
                if last.turn == 0:
                    return None
                before = last.turn - 1

    async def clear_session(self) -> None:
        """Delete the whole conversation, for good."""
        async with self._turns:
            await self._memory.clear_history(self.session_id, keep_system_messages=False)

    async def _last(self, wanted: int) -> list[Any]:
        """The last items; turns that are none of the SDK's kind do not count."""
        asked = wanted
        while True:
            turns = await self._memory.read_turns(self.session_id, limit=asked, newest_first=True)
            found = [item for one in turns if (item := _item(one.message)) is not None]
            if len(found) >= wanted or len(turns) < asked:
                return found[:wanted][::-1]
            asked *= 2


def _item(message: Message) -> Any | None:
    """The item of a message; None of what the SDK has no item for, as a tool's answer alone."""
    item = message.metadata.get(ITEM)
    if isinstance(item, dict):
        return item
    if message.role in (MessageRole.TOOL, MessageRole.FUNCTION):
        return None
    return {"role": message.role.value, "content": message.content}


def _message(number: int, item: Any) -> Message:
    if not isinstance(item, Mapping):
        raise InvalidInputError(
            f"items[{number}]", f"is a {type(item).__name__}", fix="Give the SDK's dicts."
        )
    held = dict(item)
    try:
        # As the SDK's own sessions have it: what is no JSON is no item.
        held = json.loads(json.dumps(held))
        json.dumps(held, ensure_ascii=False).encode()  # as it is stored
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"items[{number}]", f"is no JSON: {error}", fix="Give the SDK's dicts.", cause=error
        ) from error
    return Message(
        role=_role(held), content=_text(held) or f"({held.get('type') or 'empty'})",
        metadata={ITEM: held},
    )  # fmt: skip


def _role(item: Mapping[str, Any]) -> MessageRole:
    role = item.get("role")
    if isinstance(role, str) and role in _ROLES:
        return _ROLES[role]
    if str(item.get("type", "")).endswith("_output"):
        return MessageRole.TOOL
    return MessageRole.ASSISTANT


def _text(item: Mapping[str, Any]) -> str:
    """What an item says, to be found by: its texts, or the call of a tool."""
    said = "\n".join(_texts(item.get("content"))) or "\n".join(_texts(item.get("output")))
    if said.strip():
        return said
    summary = "\n".join(_texts(item.get("summary")))  # of a reasoning
    if summary.strip():
        return summary
    name = item.get("name")
    return f"{name}({item.get('arguments', '')})" if isinstance(name, str) and name else ""


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content] if content.strip() else []
    if not isinstance(content, list):
        return []
    parts = [part for part in content if isinstance(part, dict)]
    texts = [part.get(key) for part in parts for key in ("text", "refusal", "transcript")]
    return [text for text in texts if isinstance(text, str) and text.strip()]
