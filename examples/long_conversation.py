"""A conversation of some weeks that outgrows the prompt, before and after it is compressed.

    python examples/long_conversation.py [--turns 240] [--store FOLDER] [--llm ollama:llama3.2]

It asks the same questions with the same small budget of tokens, first of all turns, then with
summaries in the place of the older ones, and says what the compression has done. The summaries are
made of chosen sentences; a model that is not the stub writes them. Nothing is lost by it: the turns
are in the history all the same, and come back at the end. It ends with exit code 1 where a turn is
missing.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from datetime import datetime, timedelta, timezone

import llm
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError
from terminal import show

from bruno_memory_vec import CompressionPolicy, CompressionReport, MemoryAssistant, VectorMemory

USER, CONVERSATION = "ana", "the move"
BUDGET = 600
BEGAN = datetime(2026, 3, 2, 8, 0, tzinfo=timezone.utc)

#: What matters, on the day it is said; between that is small talk.
FACTS = {
    1: "We move to Gdansk on 30 June, into a flat in Wrzeszcz.",
    4: "The landlord is Mr Kowalczyk, and the deposit is 4200 zloty.",
    9: "Lena will go to the school in Sienkiewicza street, her teacher is Ms Nowak.",
    14: "The movers Hansa Trans want 1850 euros and come with two vans.",
    20: "The piano needs a lift, it weighs 240 kilograms.",
    26: "Our cat Tosia needs a chip and a rabies shot before 9 June.",
}
QUESTIONS = {
    "How much is the deposit?": "4200",
    "Who is the teacher of Lena?": "Nowak",
    "What do the movers want?": "1850",
    "How heavy is the piano?": "240",
}
SMALL_TALK = (
    "The tram was late again and it rained all morning.",
    "I had soup for lunch, nothing special.",
    "I slept badly, the neighbours were loud.",
    "Work was long today, many meetings.",
    "I watched half a film and fell asleep.",
)
REPLIES = ("I see. How are you otherwise?", "That sounds tiring.", "Tell me more if you like.")


def conversation(turns: int) -> list[Message]:
    """The turns of some weeks: four a day, each with a reply."""
    told, made = dict(FACTS), []
    for number in range(turns // 2):
        at = BEGAN + timedelta(days=number // 4, hours=number % 4 * 3)
        text = told.pop(number // 4 + 1, SMALL_TALK[number % len(SMALL_TALK)])
        made.append(Message(role=MessageRole.USER, content=text, timestamp=at))
        reply = REPLIES[number % len(REPLIES)]
        made.append(
            Message(role=MessageRole.ASSISTANT, content=reply, timestamp=at + timedelta(minutes=1))
        )
    return made


async def ask_all(memory: VectorMemory, assistant: MemoryAssistant, talk: str) -> None:
    """Ask the questions in a new conversation, each with a prompt of its own."""
    for question, wanted in QUESTIONS.items():
        response = await assistant.process_message(
            Message(role=MessageRole.USER, content=question), user_id=USER, conversation_id=talk
        )
        show(question, indent="  ")
        show(response.text, indent="    ")
        turn = assistant.last_turn
        if turn is not None and turn.report is not None:
            parts = ", ".join(f"{part} {n}" for part, n in turn.report.by_source.items())
            held = any(wanted in message.content for message in turn.prompt)
            found = "in it" if held else "not in it"
            show(f"({turn.report.tokens} tokens: {parts}; {wanted} is {found})", indent="    ")
    await memory.clear_conversation(USER, talk)


def told(report: CompressionReport) -> None:
    """What a compression did."""
    show(
        f"{report.turns} turns are {report.blocks} summaries now: {report.tokens_before} tokens "
        f"became {report.tokens_after}, {report.ratio:.0%}."
    )
    kept = report.kept.to_dict()
    show("Kept: " + ", ".join(f"{part:.0%} of {what}" for what, part in kept.items()) + ".")
    for failure in report.failures:
        show(f"! {failure.what}: {failure.problem}")


async def run(chosen: argparse.Namespace) -> list[str]:
    """Returns what went wrong."""
    model = await llm.choose(chosen.llm)
    # The stub writes no summaries; without a model they are made of chosen sentences.
    writer = None if isinstance(model, llm.Stub) else model
    problems: list[str] = []
    async with VectorMemory(chosen.store, llm=writer) as memory:
        turns = conversation(chosen.turns)
        await memory.store_messages(turns, CONVERSATION, user_id=USER)
        assistant = MemoryAssistant(model, memory, budget=BUDGET)
        await assistant.initialize()
        show(f"{len(turns)} turns, and a prompt of {BUDGET} tokens for each question:")
        await ask_all(memory, assistant, "before")

        print()
        policy = CompressionPolicy(keep_newest=20)
        told(await memory.compress(USER, conversation_id=CONVERSATION, policy=policy))
        show("The same questions:")
        await ask_all(memory, assistant, "after")

        history = {message.id for message in await memory.retrieve_messages(CONVERSATION)}
        missing = [message for message in turns if message.id not in history]
        problems += [f"{len(missing)} turns are missing"] if missing else []
        print()
        show(f"All {len(history)} turns are in the history.")
        back = await memory.restore(conversation_id=CONVERSATION)
        show(f"Restored: {back.turns} turns are recalled again as they were.")
    return problems


def options(arguments: list[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="A long conversation, compressed.")
    parser.add_argument("--store", help="where the memory is; by default a new folder")
    parser.add_argument("--turns", type=int, default=240, help="how long the conversation is")
    llm.add_option(parser)
    chosen = parser.parse_args(arguments)
    chosen.store = chosen.store or tempfile.mkdtemp(prefix="bruno-long-")
    return chosen


def main(arguments: list[str]) -> int:
    """Run it; 0 where no turn is missing."""
    llm.quiet()
    try:
        problems = asyncio.run(run(options(arguments)))
    except KeyboardInterrupt:
        return 130
    except BrunoError as error:
        print(f"long_conversation: {error}", file=sys.stderr)
        return 1
    for problem in problems:
        show(f"FAILED: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
