"""The prompt: a question, with what the memory knows for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    GetPromptResult,
    ListPromptsResult,
    Prompt,
    PromptArgument,
    PromptMessage,
    TextContent,
)
from pydantic import ValidationError

from bruno_memory_vec.surfaces.mcp.arguments import Context
from bruno_memory_vec.surfaces.mcp.tools import built_context, context_text

if TYPE_CHECKING:
    from bruno_memory_vec import VectorMemory

_NAME: Final = "ask"
_DESCRIPTION: Final = "Ask a question with what the memory knows for it"


def declared() -> ListPromptsResult:
    """The prompts that there are."""
    arguments = [
        PromptArgument(
            name=name,
            description=field.description
            or "Also its summaries and last turns: a conversation's id or uri.",
            required=field.is_required(),
        )
        for name, field in Context.model_fields.items()
    ]
    prompt = Prompt(
        name=_NAME, title="Ask with memory", description=_DESCRIPTION, arguments=arguments
    )
    return ListPromptsResult(prompts=[prompt])


def asked(name: str, given: dict[str, str]) -> Context:
    """The arguments of the prompt.

    Raises:
        MCPError: there is no such prompt, or it was not asked for right.
    """
    if name != _NAME:
        raise MCPError(INVALID_PARAMS, f"there is no such prompt; there is {_NAME}")
    try:
        # A form that was left empty says nothing.
        return Context.model_validate({key: value for key, value in given.items() if value})
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False, include_context=False)
        )
        raise MCPError(INVALID_PARAMS, wrong) from error


async def written(memory: VectorMemory, asked: Context) -> GetPromptResult:
    """The prompt's message: what is known, quoted, and then the question."""
    text = context_text(await built_context(memory, asked))
    question = f"{text}\n\n{asked.question}" if text else asked.question
    return GetPromptResult(
        description=_DESCRIPTION,
        messages=[PromptMessage(role="user", content=TextContent(text=question))],
    )
