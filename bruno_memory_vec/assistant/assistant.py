"""``MemoryAssistant``: bruno-core's ``BaseAssistant`` whose prompts the context builder makes.

A turn goes as in ``BaseAssistant``: the question is stored, the model is asked, its answer is
stored, abilities are run. Only what the model is asked differs: in place of the last messages it
gets a context that is built for the question. That context is never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, runtime_checkable

from bruno_core.base.assistant import BaseAssistant
from bruno_core.interfaces.llm import LLMInterface
from bruno_core.interfaces.memory import MemoryInterface
from bruno_core.models.context import ConversationContext
from bruno_core.models.message import Message
from bruno_core.models.response import AssistantResponse

from bruno_memory_vec.context import BuiltContext, ContextReport, Strategy
from bruno_memory_vec.context.strategies import strategy_named
from bruno_memory_vec.conversations.context import PROMPT_IS_BUILT
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.prompts.token_bound import GivenCounter, counter
from bruno_memory_vec.rows import checks

_log = get_logger(__name__)


@runtime_checkable
class BuildsContexts(Protocol):
    """A memory that builds prompts: ``VectorMemory``, ``HybridMemory``, a user's view."""

    async def build_context(self, query: str | Message, **options: Any) -> BuiltContext:
        """A prompt for a question; see :meth:`.VectorMemory.build_context`."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """A question, what the model was given for it, and its answer.

    Attributes:
        user_id: whose question it is.
        conversation_id: where it was asked.
        question: the user's message, as it is stored.
        prompt: the messages that the model was given, oldest first.
        report: what went into the prompt, from where, and what did not; None where none was built.
        problem: why none was built, and the plain context was used; None where one was.
        answer: what the model has answered.
    """

    user_id: str
    conversation_id: str
    question: Message
    prompt: Sequence[Message]
    report: ContextReport | None
    problem: str | None
    answer: str


@dataclass(slots=True)
class _Call:
    """A call of ``process_message``: how to build its context, and what came of it."""

    question: Message
    strategy: str | Strategy
    budget: int
    turn: Turn | None = field(default=None)


# Of the task that processes a message, so that the calls of several users are apart.
_CALL: ContextVar[_Call | None] = ContextVar("bruno_memory_vec.assistant.call", default=None)


class MemoryAssistant(BaseAssistant):
    """A ``BaseAssistant`` that gives its model a context built for each question.

    Args:
        llm: the model.
        memory: a ``VectorMemory``, a user's view of one, or a ``HybridMemory``.
        config: as of ``BaseAssistant``.
        strategy: what a context is made of, see :meth:`.VectorMemory.build_context`.
        budget: the most tokens of a prompt.
        count_tokens: counts them: a function, an LLM, or the path of a ``tokenizer.json``. Default:
            the memory's setting, else an estimate that never counts low.
        include_archived: recall archived messages, too, such as those that a summary stands for.

    Attributes:
        last_turn: the turn that ended last, of whichever user; None before the first. A response
            has the report of its own turn in its metadata.

    Raises:
        InvalidInputError: the memory builds no contexts, there is no such strategy, or another
            argument is not usable.
    """

    def __init__(
        self,
        llm: LLMInterface,
        memory: MemoryInterface,
        config: dict[str, Any] | None = None,
        *,
        strategy: str | Strategy = "hybrid",
        budget: int = 2000,
        count_tokens: GivenCounter | None = None,
        include_archived: bool = False,
    ) -> None:
        if not isinstance(memory, BuildsContexts):
            raise InvalidInputError(
                "memory",
                f"a {type(memory).__name__} has no method 'build_context'",
                fix="Give a VectorMemory or a HybridMemory, or use bruno-core's BaseAssistant.",
            )
        super().__init__(llm, memory, config)
        self.strategy = strategy_named(strategy)
        self.budget = _budget(budget)
        self.count_tokens = None if count_tokens is None else counter(count_tokens)
        self.include_archived = checks.flag("include_archived", include_archived)
        self.last_turn: Turn | None = None

    async def process_message(
        self,
        message: Message,
        context: ConversationContext | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        *,
        strategy: str | Strategy | None = None,
        budget: int | None = None,
    ) -> AssistantResponse:
        """Store a question, answer it from memory, and store the answer.

        Args:
            message: the user's message.
            context: of the conversation; by default the memory is asked for it.
            user_id: whose; without it ``message.metadata["user_id"]``, else "default".
            conversation_id: where; by default the user's current conversation.
            strategy: what the context is made of, for this turn.
            budget: the most tokens of the prompt, for this turn.

        Returns:
            The answer. ``metadata["context"]`` is the report of what the model was given, as a
            dict. Where no context could be built, the model was given the conversation's last
            messages, ``metadata["context"]`` is None, and ``metadata["context_problem"]`` says why.

        Raises:
            InvalidInputError: the strategy or the budget is not usable. Nothing was stored.
            BrunoError: as of ``BaseAssistant``: the message could not be processed; ``cause`` is
                why. Where the model failed, the question is stored.
        """
        call = _Call(
            question=message,
            strategy=self.strategy if strategy is None else strategy_named(strategy),
            budget=self.budget if budget is None else _budget(budget),
        )
        token = _CALL.set(call)
        if context is not None:
            context.metadata[PROMPT_IS_BUILT] = True
        try:
            response = await super().process_message(message, context, user_id, conversation_id)
        finally:
            _CALL.reset(token)
            if context is not None:
                # It is the caller's, who may give it to another assistant.
                context.metadata.pop(PROMPT_IS_BUILT, None)
        turn = call.turn
        if turn is not None:
            self.last_turn = turn
            report = None if turn.report is None else turn.report.to_dict()
            response.metadata["context"] = report
            if turn.problem is not None:
                response.metadata["context_problem"] = turn.problem
        return response

    async def health_check(self) -> dict[str, Any]:
        """As of ``BaseAssistant``; "memory" is the status of the memory's ``health()``."""
        report: dict[str, Any] = await super().health_check()
        health = getattr(self.memory, "health", None)
        if health is not None:
            try:
                report["memory"] = (await health())["status"]
            except Exception as error:
                _log.warning("memory_health_failed", error=str(error))
                report["memory"] = "error"
            if report["memory"] != "ok" and report["status"] == "healthy":
                report["status"] = "degraded"
        return report

    async def _get_or_create_context(
        self, message: Message, user_id: str | None = None, conversation_id: str | None = None
    ) -> ConversationContext:
        context = await super()._get_or_create_context(message, user_id, conversation_id)
        # Or it would be recalled into, beside the one that is built.
        context.metadata[PROMPT_IS_BUILT] = True
        return context

    async def _generate_response(self, context: ConversationContext) -> str:
        call = _CALL.get() or _Call(context.messages[-1], self.strategy, self.budget)
        prompt, report, problem = await self._prompt(context, call)
        answer = str(await self.llm.generate(prompt))
        call.turn = Turn(
            user_id=context.user.user_id,
            conversation_id=context.conversation_id,
            question=call.question,
            prompt=tuple(prompt),
            report=report,
            problem=problem,
            answer=answer,
        )
        return answer

    async def _prompt(
        self, context: ConversationContext, call: _Call
    ) -> tuple[list[Message], ContextReport | None, str | None]:
        """The prompt with its report; or the plain context, and why no other could be built."""
        try:
            built = await cast(BuildsContexts, self.memory).build_context(
                call.question,
                user_id=context.user.user_id,
                conversation_id=context.conversation_id,
                budget=call.budget,
                strategy=call.strategy,
                count_tokens=self.count_tokens,
                include_archived=self.include_archived,
            )
        except Exception as error:
            problem = str(error) or type(error).__name__
            _log.warning("context_not_built", error=problem)
            return list(context.messages), None, problem
        return list(built.messages), built.report, None


def _budget(budget: Any) -> int:
    return checks.limit("budget", budget, largest=2**31)
