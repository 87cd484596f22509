"""Which model the examples ask: one setting, ``--llm`` or the variable ``BRUNO_LLM``.

    stub                 no model: answers with what it finds in its prompt (default)
    ollama:llama3.2      bruno-llm's Ollama provider; OLLAMA_HOST says where it runs
    openai:gpt-4o-mini   bruno-llm's OpenAI provider; OPENAI_API_KEY is its key

A provider needs ``pip install "bruno-memory-vec[bruno-llm]"``, OpenAI's ``[bruno-llm-openai]``.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import structlog
from bruno_core.interfaces.llm import LLMInterface
from bruno_core.models.message import Message, MessageRole

#: Seconds that a provider may take; a local model is loaded at its first question.
TIMEOUT = 120.0


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--llm`` to an example's options."""
    parser.add_argument(
        "--llm",
        default=os.environ.get("BRUNO_LLM", "stub"),
        metavar="NAME",
        help="stub (default), ollama:MODEL or openai:MODEL; also as the variable BRUNO_LLM",
    )


async def choose(name: str) -> LLMInterface:
    """The model of a name, after it was seen that it answers.

    Raises:
        SystemExit: there is no such model, or it cannot be reached; the message says what to do.
    """
    provider, _, model = name.partition(":")
    if provider == "stub" and not model:
        return Stub()
    if provider == "ollama" and model:
        host = os.environ.get("OLLAMA_HOST", "localhost:11434")
        llm = _made(provider, base_url=host if "://" in host else f"http://{host}", model=model)
        advice = f"Start it with: ollama run {model}. OLLAMA_HOST names another host."
    elif provider == "openai" and model:
        key = os.environ.get("OPENAI_API_KEY")
        if not key:
            raise SystemExit("OpenAI needs a key. Put it in the variable OPENAI_API_KEY.")
        base = os.environ.get("OPENAI_BASE_URL")
        llm = _made(provider, api_key=key, model=model, **({"base_url": base} if base else {}))
        advice = "Check OPENAI_API_KEY and the network."
    else:
        raise SystemExit(f"--llm {name}: write stub, ollama:MODEL or openai:MODEL.")
    if not await llm.check_connection():
        raise SystemExit(f"{name} does not answer. {advice}")
    return llm


def quiet() -> None:
    """Let bruno-core print no line for each of its steps."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _made(provider: str, **settings: Any) -> LLMInterface:
    extra = "bruno-llm-openai" if provider == "openai" else "bruno-llm"
    try:
        from bruno_llm.factory import LLMFactory
    except ImportError as error:
        raise SystemExit(f'Run: pip install "bruno-memory-vec[{extra}]"') from error
    if provider not in LLMFactory.list_providers():  # its own package is not installed
        raise SystemExit(f'Run: pip install "bruno-memory-vec[{extra}]"')
    return LLMFactory.create(provider, {"timeout": TIMEOUT, **settings})


class Stub(LLMInterface):
    """No model. It answers with the sentence of its prompt that shares most with the question.

    So it knows nothing that is not in its prompt, which is what the examples show.
    """

    async def generate(
        self,
        messages: list[Message],
        temperature: float | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> str:
        question = messages[-1].content
        if not question.rstrip().endswith("?"):
            return "Noted."
        found = list(sentences(messages[:-1]))
        asked = words(question)
        shared = [asked & words(text) for text, _ in found]
        # A word that many sentences have counts little.
        weight = {word: 1 / sum(word in one for one in shared) for word in set().union(*shared)}
        scores = [
            (sum(weight[word] for word in one), len(_whole(question) & _whole(text)))
            for one, (text, _) in zip(shared, found, strict=True)
        ]
        best = max(scores, default=(0, 0))
        if not best[0]:
            return "I do not know that yet. Tell me, and I will remember it."
        place = scores.index(best)
        if question.lower().startswith("when "):
            place = _dated(found, place)
        text, mark = found[place]
        return f'From what I know: "{text}"{mark}'

    async def stream(
        self,
        messages: list[Message],
        temperature: float | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[str]:
        yield await self.generate(messages)

    def get_token_count(self, text: str) -> int:
        return len(text) // 3 + 1

    async def check_connection(self) -> bool:
        return True

    async def list_models(self) -> list[str]:
        return ["stub"]

    def get_model_info(self) -> dict[str, Any]:
        return {"model": "stub"}

    def set_system_prompt(self, prompt: str) -> None:
        """It has none."""

    def get_system_prompt(self) -> str | None:
        return None


_DATE = re.compile(
    r"\b\d{1,2}(:|[ .]+(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec))|day\b"
    r"|\b(week|month|yesterday|tomorrow)\b|\b\d{4}-\d{2}"
)


def _dated(found: list[tuple[str, str]], place: int) -> int:
    """The sentence at a place, or the next one of the same text that says when."""
    same = [n for n in range(place, len(found)) if found[n][1] == found[place][1]]
    return next((n for n in same if _DATE.search(found[n][0])), place)


# A line that the context builder quotes: its mark, who said it, and what.
_QUOTED = re.compile(r'^\[(\w+)\] ([^:"]+): "(.*)"$')
# Not behind "Dr." and the like.
_SENTENCE = re.compile(r"(?<=\w\w\w[.!?])\s+")


def sentences(messages: list[Message]) -> Iterator[tuple[str, str]]:
    """What a prompt says, sentence by sentence, each with the mark to cite it by.

    Questions and what the assistant said itself are left out.
    """
    for message in messages:
        if message.role is MessageRole.USER:
            yield from ((one, "") for one in _told(message.content))
        for line in message.content.splitlines() if message.role is MessageRole.SYSTEM else ():
            quoted = _QUOTED.match(line)
            if quoted is not None and quoted[2] != MessageRole.ASSISTANT.value:
                yield from ((one, f" [{quoted[1]}]") for one in _told(quoted[3]))


def _told(text: str) -> list[str]:
    return [one for one in _SENTENCE.split(text) if one and not one.endswith("?")]


_COMMON = frozenset(
    "the and for are was has had did does not you your what when where which who how have that "
    "this with about from will would should can".split()
)


def words(text: str) -> set[str]:
    """The words that say something, cut short so that forms of one are the same."""
    return {word[:4] for word in _whole(text)}


def _whole(text: str) -> set[str]:
    found = re.findall(r"\w+", text.lower())
    return {word for word in found if len(word) > 2 and word not in _COMMON}
