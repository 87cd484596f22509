"""Three users of one assistant and one memory: nobody sees anything of another.

    python examples/several_users.py [--store FOLDER] [--llm ollama:llama3.2]

They all talk at the same time, and each later asks what only they have said. One tries to read the
conversation of another. Then the conversations of one are deleted. It ends with exit code 1 where
anything leaked.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile

import llm
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError
from terminal import show

from bruno_memory_vec import MemoryAssistant, VectorMemory
from bruno_memory_vec.errors import ForeignUserError

#: What each user says, a question that all of them ask, and the word that only theirs answers.
SAID = {
    "ana": ("My locker at the pool is number 318, by the window.", "318"),
    "ben": ("My locker at the pool is number 77, next to the stairs.", "77"),
    "chloe": ("My locker at the pool is number 9041, in the new hall.", "9041"),
}
QUESTION = "Which number is my locker?"


async def say(assistant: MemoryAssistant, user: str, text: str, conversation: str) -> str:
    """One turn; returns the answer."""
    message = Message(role=MessageRole.USER, content=text)
    response = await assistant.process_message(message, user_id=user, conversation_id=conversation)
    return str(response.text)


async def run(chosen: argparse.Namespace) -> list[str]:
    """Returns what went wrong."""
    problems: list[str] = []
    model = await llm.choose(chosen.llm)
    async with VectorMemory(chosen.store) as memory:
        assistant = MemoryAssistant(model, memory, budget=600)
        await assistant.initialize()

        show("Each says something, all at the same time.")
        await asyncio.gather(
            *(say(assistant, user, said, f"{user}-1") for user, (said, _) in SAID.items())
        )
        for user, (said, _) in SAID.items():
            show(f"{user}: {said}", indent="  ")

        show("\nLater each asks, in a new conversation.")
        for user, (_, own) in SAID.items():
            show(f"{user}: {QUESTION}", indent="  ")
            show(await say(assistant, user, QUESTION, f"{user}-2"), indent="    ")
            problems += seen(assistant, user, own)

        show("\nben asks for the conversation of ana.")
        try:
            await memory.retrieve_context("ben", "", conversation_id="ana-1")
            problems.append("ben read the conversation of ana")
        except ForeignUserError as error:
            show(f"refused: {error}", indent="  ")
        # A view is for what acts for one user: there, others do not exist.
        view = memory.for_user("ben")
        found = await view.retrieve_messages("ana-1")
        show(f"In his view of the memory it has {len(found)} messages.", indent="  ")
        problems += ["the view of ben shows messages of ana"] if found else []

        show("\nThe conversations of ana are deleted.")
        for conversation in ("ana-1", "ana-2"):
            await memory.clear_conversation("ana", conversation)
        for one in await memory.list_users():
            show(f"{one.user_id}: {one.messages} messages", indent="  ")
            problems += ["ana is still there"] if one.user_id == "ana" else []
    return problems


def seen(assistant: MemoryAssistant, user: str, own: str) -> list[str]:
    """What is wrong with the last prompt: it has the user's own number, and no other's."""
    turn = assistant.last_turn
    prompt = "" if turn is None else "\n".join(message.content for message in turn.prompt)
    problems = [] if own in prompt else [f"{user} did not get {own}"]
    others = [number for other, (_, number) in SAID.items() if other != user]
    return problems + [f"{user} was shown {number}" for number in others if number in prompt]


def options(arguments: list[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Several users of one memory.")
    parser.add_argument("--store", help="where the memory is; by default a new folder")
    llm.add_option(parser)
    chosen = parser.parse_args(arguments)
    chosen.store = chosen.store or tempfile.mkdtemp(prefix="bruno-users-")
    return chosen


def main(arguments: list[str]) -> int:
    """Run it; 0 where nobody saw anything of another."""
    llm.quiet()
    try:
        problems = asyncio.run(run(options(arguments)))
    except KeyboardInterrupt:
        return 130
    except BrunoError as error:
        print(f"several_users: {error}", file=sys.stderr)
        return 1
    print()
    for problem in problems:
        show(f"FAILED: {problem}")
    if not problems:
        show("Everybody got their own, and nothing of another.")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
