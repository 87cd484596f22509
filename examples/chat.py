"""A chat in the terminal that remembers, also the next time it is started.

    python examples/chat.py [--store FOLDER] [--user NAME] [--llm ollama:llama3.2]

Every question gets a prompt that is built for it: what you said before that matters for it, and the
last turns. /why shows what was in the last one, /new begins another conversation, /quit ends, and
so does Ctrl-D. Lines may be piped in: printf 'My bike is red.\n/new\nHow is my bike?\n' |
python examples/chat.py
"""

from __future__ import annotations

import argparse
import asyncio
import sys

import llm
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError
from terminal import cut, lines, show

from bruno_memory_vec import MemoryAssistant, VectorMemory
from bruno_memory_vec.context import STRATEGIES

HELP = "/why  what the model was given   /new  another conversation   /quit  end"


def options(arguments: list[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="A chat that remembers.")
    parser.add_argument("--store", default="./chat-memory", help="where the memory is")
    parser.add_argument("--user", default="me", help="who is talking")
    parser.add_argument("--budget", type=int, default=1000, help="tokens of a prompt at most")
    parser.add_argument("--strategy", choices=list(STRATEGIES), default="hybrid")
    llm.add_option(parser)
    return parser.parse_args(arguments)


async def chat(chosen: argparse.Namespace) -> None:
    """Answer each line, until there are no more."""
    model = await llm.choose(chosen.llm)
    async with VectorMemory(chosen.store) as memory:
        assistant = MemoryAssistant(model, memory, strategy=chosen.strategy, budget=chosen.budget)
        await assistant.initialize()
        known = await memory.get_statistics(chosen.user)
        show(f"{chosen.user}, {known['total_messages']} messages remembered. {HELP}")
        conversation: str | None = None  # the one that was last, also of the time before
        async for line in lines(f"{chosen.user}> "):
            if line in ("/quit", "/exit"):
                return
            if line == "/why":
                why(assistant)
            elif line == "/new":
                conversation = (await memory.create_session(chosen.user)).conversation_id
                show("A new conversation. What was said before is remembered.")
            elif line.startswith("/"):
                show(HELP)
            else:
                await answer(assistant, line, chosen.user, conversation)


async def answer(
    assistant: MemoryAssistant, text: str, user: str, conversation: str | None
) -> None:
    """One turn. A model that fails ends nothing: the question is stored, and may be asked again."""
    message = Message(role=MessageRole.USER, content=text)
    try:
        response = await assistant.process_message(
            message, user_id=user, conversation_id=conversation
        )
    except BrunoError as error:
        show(f"! {error.cause or error}")
        return
    show(response.text, indent="  ")
    if "context_problem" in response.metadata:
        show(f"! answered without memory: {response.metadata['context_problem']}")


def why(assistant: MemoryAssistant) -> None:
    """What the model was given for the last answer, line by line."""
    turn = assistant.last_turn
    if turn is None or turn.report is None:
        show("Nothing yet." if turn is None else f"Without memory: {turn.problem}")
        return
    report = turn.report
    show(f"{report.strategy}: {report.tokens} of {report.budget} tokens")
    for item in report.items:
        mark = f"[{item.cite}]" if item.cite else ""
        day = f"{item.at:%Y-%m-%d}" if item.at else ""
        print(cut(f"{item.tokens:5} {item.source:9} {mark:5} {day:10} {item.text}"))
    if report.left_out:
        reasons = sorted({one.reason for one in report.left_out})
        show(f"{len(report.left_out)} more were left out: {', '.join(reasons)}.")


def main(arguments: list[str]) -> int:
    """Run it; 0 where it ended by itself."""
    llm.quiet()
    try:
        asyncio.run(chat(options(arguments)))
    except KeyboardInterrupt:
        print()
    except BrunoError as error:
        print(f"chat: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
