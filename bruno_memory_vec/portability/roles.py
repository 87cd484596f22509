"""Who speaks, by the names that exports give the two sides."""

from __future__ import annotations

from typing import Any

from bruno_core.models.message import MessageRole

#: By their names in lower case.
ROLES = {role.value: role for role in MessageRole} | {
    "human": MessageRole.USER,
    "prompter": MessageRole.USER,
    "customer": MessageRole.USER,
    "me": MessageRole.USER,
    "ai": MessageRole.ASSISTANT,
    "bot": MessageRole.ASSISTANT,
    "model": MessageRole.ASSISTANT,
    "gpt": MessageRole.ASSISTANT,
    "chatgpt": MessageRole.ASSISTANT,
    "chatbot": MessageRole.ASSISTANT,
    "claude": MessageRole.ASSISTANT,
    "gemini": MessageRole.ASSISTANT,
    "agent": MessageRole.ASSISTANT,
    "assistant_message": MessageRole.ASSISTANT,
    "function_call": MessageRole.ASSISTANT,
    "developer": MessageRole.SYSTEM,
    "observation": MessageRole.TOOL,
    "ipython": MessageRole.TOOL,
    "tool_result": MessageRole.TOOL,
    "tool_response": MessageRole.TOOL,
}
_SHOWN = "system, user, assistant, tool, function, human, ai, bot, model"


def role_of(value: Any) -> MessageRole | None:
    """The role of a name, whatever its case; None where it is none."""
    return ROLES.get(value.strip().lower()) if isinstance(value, str) else None


def expected() -> str:
    """What a role may be, for an error."""
    return f"expected one of {_SHOWN}"
