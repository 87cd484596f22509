"""One way to ask a language model, any bruno-core ``LLMInterface``.

A model is somebody else's service: it is slow, away, silent or answers something else. Here each of
these is one error, :class:`~bruno_memory_vec.errors.LLMFailed`, after a time that is bounded, so
that whoever asks has one case to handle. Whether an answer is *true* nobody checks here: what is
made of one has to be checked against the rows it is said to come from.

Text that was stored goes into a prompt quoted (``prompts.quoting``); that is the asker's task.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from bruno_core.interfaces.llm import LLMInterface
from bruno_core.models.message import Message

from bruno_memory_vec.errors import InvalidInputError, LLMFailed

__all__ = ["Answer", "ask", "ask_all", "checked_llm", "looks_refused"]

# So long a model that was told to stop may take to close its connection. Then nobody waits for it.
_SECONDS_TO_STOP: Final = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered.

    Attributes:
        text: never empty, without space around it, and without the block of thoughts
            (``<think>…</think>``) that reasoning models write first.
        seconds: how long it took.
        cost: what its ``cost_tracker`` (bruno-llm) counted meanwhile, in the tracker's currency;
            None where the model has none. Of asks that run at once the sum is right, and each cost
            is counted once, to the ask that ends first.
    """

    text: str
    seconds: float
    cost: float | None = None


def checked_llm(llm: Any) -> LLMInterface | None:
    """A model that can be asked; None for None.

    Raises:
        InvalidInputError: it has no method ``generate``.
    """
    if llm is not None and not callable(getattr(llm, "generate", None)):
        raise InvalidInputError(
            "llm",
            f"a {type(llm).__name__} has no method 'generate'",
            fix="Give an LLMInterface of bruno-core, such as a client of bruno-llm.",
        )
    model: LLMInterface | None = llm
    return model


async def ask(
    llm: LLMInterface,
    messages: Sequence[Message],
    *,
    timeout: float,
    max_tokens: int | None = None,
    temperature: float | None = 0.0,
) -> Answer:
    """Ask once. Nothing is tried again here: providers have their own ways to do that.

    Args:
        llm: the model.
        messages: the prompt, as ``llm.generate`` takes it.
        timeout: the most seconds to wait.
        max_tokens: the most tokens of the answer; None leaves it to the provider.
        temperature: None leaves it to the provider; some models take no other than their own.

    Raises:
        LLMFailed: it raised, took too long, or answered nothing; ``reason`` says which.
        asyncio.CancelledError: the caller was cancelled; the model is told to stop.
    """
    given: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    if max_tokens is not None:
        given["max_tokens"] = max_tokens
    began = time.perf_counter()
    spending = _Spending.begin(llm)
    cost: float | None = None
    try:
        task = asyncio.ensure_future(_generated(llm, list(messages), given))
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout)
        except asyncio.CancelledError:
            await _stopped(task)
            raise
        if not done:
            await _stopped(task)
    finally:
        cost = spending.end()
    seconds = time.perf_counter() - began

    def failed(
        reason: Literal["error", "timeout", "empty"], problem: str, cause: Exception | None = None
    ) -> LLMFailed:
        return LLMFailed(reason, problem, seconds=seconds, cost=cost, cause=cause)

    if not done:
        raise failed("timeout", f"did not answer within {timeout:g} s")
    if task.cancelled():
        raise failed("error", "broke off its own request")
    error = task.exception()
    if isinstance(error, Exception):
        raise failed("error", f"failed with {type(error).__name__}: {error}", error) from error
    if error is not None:
        raise error
    text = task.result()
    if not isinstance(text, str):
        raise failed("error", f"answered with {type(text).__name__} in place of a text")
    text = _without_thoughts(text)
    if not text:
        raise failed("empty", "answered with an empty text")
    return Answer(text, seconds, cost)


async def ask_all(
    llm: LLMInterface,
    prompts: Sequence[Sequence[Message]],
    *,
    timeout: float,
    max_tokens: int | None = None,
    temperature: float | None = 0.0,
    at_once: int = 4,
) -> list[Answer | LLMFailed]:
    """Ask several times, ``at_once`` at the same time; one that fails stops no other.

    Returns:
        An answer or a failure for each prompt, in the order of the prompts.

    Raises:
        asyncio.CancelledError: the caller was cancelled; every request is told to stop.
    """
    free = asyncio.Semaphore(at_once)

    async def one(messages: Sequence[Message]) -> Answer | LLMFailed:
        async with free:
            try:
                return await ask(
                    llm, messages, timeout=timeout, max_tokens=max_tokens, temperature=temperature
                )
            except LLMFailed as failure:
                return failure

    return list(await asyncio.gather(*map(one, prompts)))


# A model speaks of itself and of what it will not do, in its first words. Of what a user said
# ("I can't eat nuts") no such sentence is made: the verbs are those of answering a request.
_SORRY = (
    r"(?:(?:i'?m|i am|we'?re|we are)(?: very| so| truly)? sorry|sorry|i apologi[sz]e|apologies"
    r"|unfortunately)[,.;:!]?"
)
_MODEL = r"as an? (?:ai|artificial|(?:large )?language)"
_UNABLE = (
    r"(?:i|we)(?:'m| am|'re| are)?(?: really| simply)? "
    r"(?:can(?:'t|not| not)|won'?t(?: be able to)?|will not(?: be able to)?"
    r"|unable to|not able to|not allowed to|must decline to|have to decline to|must refuse to)"
)
_SERVE = (
    r"(?:assist|help|comply|fulfil|provide|summari[sz]e|extract|process|generate|create|produce"
    r"|complete|continue with (?:this|that|your)|answer|respond|engage|discuss|share|write"
    r"|do (?:this|that|so)\b)"
)
_REFUSAL: Final = re.compile(
    rf"(?:{_SORRY} (?:but |that )?)?(?:{_MODEL}[^,.]{{0,40}}, ?)?{_UNABLE} (?:\w+ ){{0,2}}{_SERVE}"
    rf"|{_MODEL} (?:language )?(?:model|assistant),? (?:i|it)\b"
    rf"|{_SORRY} (?:but )?(?:i|we) (?:must|have to) (?:decline|refuse)",
    re.IGNORECASE,
)
_BEGINS: Final = 300


def looks_refused(text: str) -> bool:
    """Whether a text begins as a model's refusal does; English, and only what is sure to be one.

    A summary of a conversation in which somebody refused something is none.
    """
    begins = " ".join(text[:_BEGINS].replace("\u2019", "'").split()).lstrip("\"'*_# ")
    return _REFUSAL.match(begins) is not None


async def _generated(llm: LLMInterface, messages: list[Message], given: dict[str, Any]) -> Any:
    return await llm.generate(messages, **given)


async def _stopped(task: asyncio.Future[Any]) -> None:
    """Tell a request to stop, and wait a little for it, but not for one that goes on."""
    task.cancel()
    # Read, so that asyncio does not report an error that comes after nobody waits any more.
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    await asyncio.wait({task}, timeout=_SECONDS_TO_STOP)


_OPENS, _CLOSES = "<think>", "</think>"


def _without_thoughts(text: str) -> str:
    text = text.strip()
    if text.startswith(_OPENS):
        # Where the end is missing, the tokens ran out before an answer began.
        return text.partition(_CLOSES)[2].strip()
    return text


class _Spending:
    """What one ask spends: a difference of the tracker's totals.

    bruno-llm's tracker has totals only. Asks of one tracker that run at once therefore share what
    has been counted: each takes what was not yet taken by another one.
    """

    _of_trackers: Final[dict[int, _Spending]] = {}

    def __init__(self, tracker: Any) -> None:
        self._tracker = tracker
        self._running = 0
        self._taken = self._total()

    @classmethod
    def begin(cls, llm: LLMInterface) -> _Spending:
        tracker = getattr(llm, "cost_tracker", None)
        known = cls._of_trackers.get(id(tracker)) or cls(tracker)
        known._running += 1
        if tracker is not None:
            # Kept only while an ask runs, which keeps the tracker alive, and so its id its own.
            cls._of_trackers[id(tracker)] = known
        return known

    def end(self) -> float | None:
        self._running -= 1
        if not self._running:
            self._of_trackers.pop(id(self._tracker), None)
        total, before = self._total(), self._taken
        if total is None or before is None:
            return None
        self._taken = total
        # Less than before where somebody emptied the tracker meanwhile.
        return total - before if total >= before else total

    def _total(self) -> float | None:
        try:
            total = self._tracker.get_total_cost()
        except Exception:  # no tracker, or one that does not count
            return None
        return float(total) if isinstance(total, (int, float)) else None
