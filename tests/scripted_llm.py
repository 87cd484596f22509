"""A language model that follows a script: a service, with all that goes wrong with one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from bruno_core.interfaces.llm import LLMInterface
from bruno_core.models.message import Message

#: What a model often says in place of an answer.
REFUSAL = "I'm sorry, but I can't assist with that request."


class Hang:
    """A step that never answers; ``stubborn`` ones go on when they are told to stop.

    ``waits`` is set when it is asked; ``stopped`` counts how often it was told to stop.
    """

    def __init__(self, *, stubborn: bool = False) -> None:
        self.stubborn = stubborn
        self.stopped = 0
        self.waits = asyncio.Event()

    async def wait(self) -> str:
        self.waits.set()
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.stopped += 1
                if not self.stubborn or self.stopped > 1:
                    raise


Step = str | BaseException | Hang | Callable[[list[Message]], str] | None


class ScriptedLLM(LLMInterface):
    """Answers each request with the next step; the last one stays.

    A step is a text, an exception that is raised, a :class:`Hang`, a function of the messages that
    gives a text, or what is returned as it is (``None``, to be no text).

    Attributes:
        asked: the messages of every request.
        given: temperature and the like, of every request.
        at_once: the most requests that ran at the same time.
    """

    def __init__(
        self, *steps: Step, seconds: float = 0.0, cost_tracker: Any = None, tokens: int = 1000
    ) -> None:
        self._steps: Sequence[Step] = steps or ("Fine.",)
        self._seconds = seconds
        self._tokens = tokens
        self._running = 0
        self.at_once = 0
        self.asked: list[list[Message]] = []
        self.given: list[dict[str, Any]] = []
        if cost_tracker is not None:
            self.cost_tracker = cost_tracker

    @property
    def prompts(self) -> list[str]:
        """Each request as one text."""
        return ["\n".join(message.content for message in messages) for messages in self.asked]

    async def generate(self, messages: list[Message], **given: Any) -> str:  # type: ignore[override]
        step = self._steps[min(len(self.asked), len(self._steps) - 1)]
        self.asked.append(list(messages))
        self.given.append(given)
        self._running += 1
        self.at_once = max(self.at_once, self._running)
        try:
            await asyncio.sleep(self._seconds)
            if hasattr(self, "cost_tracker"):
                self.cost_tracker.track_request("scripted", self._tokens, 0)
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, Hang):
                return await step.wait()
            return step(messages) if callable(step) else step  # type: ignore[return-value]
        finally:
            self._running -= 1

    async def stream(self, messages: list[Message], **given: Any) -> AsyncIterator[str]:  # type: ignore[override]
        yield await self.generate(messages, **given)

    def get_token_count(self, text: str) -> int:
        return len(text) // 4

    async def check_connection(self) -> bool:
        return True

    async def list_models(self) -> list[str]:
        return ["scripted"]

    def get_model_info(self) -> dict[str, Any]:
        return {"model": "scripted"}

    def set_system_prompt(self, prompt: str) -> None: ...

    def get_system_prompt(self) -> str | None:
        return None
