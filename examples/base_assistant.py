"""bruno-core's BaseAssistant with this memory, as both are.

Two users talk with an assistant, the process "restarts", and then each asks about something
that was said long before the twenty messages which the assistant still has before it. What was
recalled reaches the model as one system message. No model is needed: a stub answers from the
prompt it is given, and so knows nothing that is not in it.

    python examples/base_assistant.py [FOLDER]

It ends with exit code 1 if a recall did not reach the prompt, or reached the wrong user's.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import structlog
from bruno_core.base.assistant import BaseAssistant
from bruno_core.interfaces.llm import LLMInterface
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory

RECALLED = "bruno_memory_vec.recalled"

#: What each user says once, and asks much later in other words.
FACTS = {
    "ana": [
        ("Our guesthouse in Lisbon is the Casa do Jasmim, in Alfama.", "casa do jasmim"),
        ("I am allergic to hazelnuts, so no praline for me.", "hazelnuts"),
    ],
    "ben": [
        ("My guesthouse in Seville is the Patio Azul, near the river.", "patio azul"),
        ("My son Theo is lactose intolerant.", "lactose"),
    ],
}
QUESTIONS = {
    "ana": ["Which guesthouse did I book in Lisbon?", "What am I allergic to?"],
    "ben": ["Which guesthouse did I book in Seville?", "What is Theo intolerant to?"],
}
SMALL_TALK = [
    "The tram was late again today.",
    "I repotted the basil this morning.",
    "The meeting about the budget took two hours.",
    "It has been raining since noon.",
    "I watched half a film and fell asleep.",
]


class PromptReader(LLMInterface):
    """Answers with the line of its prompt that shares most words with the question."""

    def __init__(self) -> None:
        self.prompt: list[Message] = []

    async def generate(
        self,
        messages: list[Message],
        temperature: float | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> str:
        self.prompt = list(messages)
        question = messages[-1].content
        if not question.endswith("?"):
            return "I see."
        asked = words(question)
        # What users said, in this conversation or recalled from earlier ones, but no questions.
        known = [m.content for m in messages[:-1] if m.role is MessageRole.USER]
        for message in messages:
            if message.role is MessageRole.SYSTEM:
                known += [line for line in message.content.splitlines() if line.startswith("- [")]
        known = [line for line in known if not line.endswith("?")]
        best = max(known, key=lambda line: len(asked & words(line)), default="")
        found = best.partition("] ")[2].strip('"') or best
        return f'You told me: "{found}"' if asked & words(best) else "I do not know."

    async def stream(
        self,
        messages: list[Message],
        temperature: float | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[str]:
        yield await self.generate(messages)

    def get_token_count(self, text: str) -> int:
        return len(text) // 4

    async def check_connection(self) -> bool:
        return True

    async def list_models(self) -> list[str]:
        return ["prompt-reader"]

    def get_model_info(self) -> dict[str, Any]:
        return {"model": "prompt-reader"}

    def set_system_prompt(self, prompt: str) -> None:
        """It has none."""

    def get_system_prompt(self) -> str | None:
        return None


def words(text: str) -> set[str]:
    """The longer words of a text, cut short so that forms of a word are one."""
    return {word[:6] for word in re.findall(r"\w+", text.lower()) if len(word) > 3}


async def start(folder: str) -> tuple[BaseAssistant, PromptReader, VectorMemory]:
    """An assistant as any program would make it."""
    llm, memory = PromptReader(), VectorMemory(folder)
    assistant = BaseAssistant(llm=llm, memory=memory)
    await assistant.initialize()
    return assistant, llm, memory


async def say(assistant: BaseAssistant, user: str, text: str, conversation: str) -> str:
    """One turn; returns the reply."""
    message = Message(role=MessageRole.USER, content=text)
    response = await assistant.process_message(message, user_id=user, conversation_id=conversation)
    return str(response.text)


async def live(folder: str) -> None:
    """The months before: each fact once, then far more small talk than a context holds."""
    assistant, _, memory = await start(folder)
    for user, facts in FACTS.items():
        for fact, _ in facts:
            print(f"  {user}: {fact}")
            await say(assistant, user, fact, f"{user}-spring")
        for number in range(25):
            text = SMALL_TALK[number % len(SMALL_TALK)]
            await say(assistant, user, f"Day {number + 1}. {text}", f"{user}-spring")
        print(f"  {user}: (25 turns of small talk)")
    await memory.close()


async def ask(folder: str) -> list[str]:
    """Today, in a new process and a new conversation. Returns what went wrong."""
    assistant, llm, memory = await start(folder)
    problems = []
    others = {"ana": "ben", "ben": "ana"}
    for user, questions in QUESTIONS.items():
        for question, (_, answer) in zip(questions, FACTS[user], strict=True):
            reply = await say(assistant, user, question, f"{user}-today")
            print(f"\n  {user}: {question}")
            recalled = [message for message in llm.prompt if RECALLED in message.metadata]
            for line in recalled[0].content.splitlines() if recalled else ["(nothing recalled)"]:
                print(f"      | {line}")
            print(f"  assistant: {reply}")
            if len(recalled) != 1:
                problems.append(f"{user}: {len(recalled)} recalled messages, not one: {question}")
            if answer not in reply.lower():
                problems.append(f"{user}: no {answer!r} in the reply to: {question}")
            prompt = " ".join(message.content for message in llm.prompt).lower()
            problems += [
                f"{user} saw {foreign!r} of {others[user]}"
                for _, foreign in FACTS[others[user]]
                if foreign in prompt
            ]
    await memory.close()
    return problems


async def main(folder: str) -> int:
    """Run it; 0 if every question was answered from memory."""
    print(f"Memory: {folder}\n\nSpring:")
    await live(folder)
    print("\nThe program ends, and starts again months later.")
    problems = await ask(folder)
    print()
    for problem in problems:
        print(f"FAILED: {problem}")
    if not problems:
        print("Every question was answered from what memory recalled; nobody saw another's.")
    return 1 if problems else 0


if __name__ == "__main__":
    # bruno-core would print each of its steps.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    chosen = sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="bruno-assistant-")
    raise SystemExit(asyncio.run(main(chosen)))
