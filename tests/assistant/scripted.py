"""A model whose answers are given, for tests of assistants."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from bruno_core.interfaces.llm import LLMInterface
from bruno_core.models.message import Message


class Scripted(LLMInterface):
    """Keeps each prompt; answers with what its script gives, in turn, or with its number.

    Args:
        answers: texts, errors to raise, or functions of the prompt.
    """

    def __init__(self, *answers: str | Exception | Callable[[list[Message]], Any]) -> None:
        self.prompts: list[list[Message]] = []
        self.answers = list(answers)
        self.connected = True

    @property
    def prompt(self) -> list[Message]:
        """The last prompt."""
        return self.prompts[-1]

    @property
    def text(self) -> str:
        """The last prompt as one text."""
        return "\n".join(message.content for message in self.prompt)

    async def generate(self, messages: list[Message], **_: Any) -> str:  # type: ignore[override]
        self.prompts.append(list(messages))
        answer = self.answers.pop(0) if self.answers else f"Reply {len(self.prompts)}."
        if callable(answer):
            answer = answer(messages)
            if hasattr(answer, "__await__"):
                answer = await answer
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    async def stream(self, messages: list[Message], **_: Any) -> AsyncIterator[str]:  # type: ignore[override]
        yield await self.generate(messages)

    def get_token_count(self, text: str) -> int:
        return len(text) // 4

    async def check_connection(self) -> bool:
        return self.connected

    async def list_models(self) -> list[str]:
        return ["scripted"]

    def get_model_info(self) -> dict[str, Any]:
        return {"model": "scripted"}

    def set_system_prompt(self, prompt: str) -> None: ...

    def get_system_prompt(self) -> str | None:
        return None
