"""``demo``: a year of conversations in a folder, asked questions about."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import timedelta, timezone
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import Embedder, Json, Profile
from bruno_memory_vec.surfaces.cli.running import MISUSED, CliError, Out, execute
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.memory import VectorMemory
    from bruno_memory_vec.recall.hits import Hit, Hits
    from bruno_memory_vec.surfaces.demo import Question

_K = 10
_GOOD_RANK = 5
_USERS = ("ana", "ben")


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, what came back, and at which rank the known answer stood (None: not in it)."""

    question: Question
    hits: Hits
    rank: int | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Stored:
    """How much was stored, and how long it took."""

    messages: int
    conversations: int
    memories: int
    seconds: float


def demo(
    store: Annotated[
        Optional[str],  # noqa: UP045 - typer evaluates it on Python 3.10 too
        typer.Option(
            "--store", "-s", metavar="FOLDER", help="Where to keep it.  [default: a new folder]"
        ),
    ] = None,
    hits: Annotated[
        int, typer.Option("--hits", min=1, max=_K, help="How many hits to show of each question.")
    ] = 2,
    everything: Annotated[
        bool, typer.Option("--all", help="Ask all 24 questions, and count what was found.")
    ] = False,
    embedder: Embedder = None,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Store a year of conversations and ask about it.

    Two invented users, and questions whose answers are known: one of them, or with --all (and
    with --json) each. The folder is kept, so that you can ask more. No server, no key, no
    download.
    """
    chosen = everything or json
    execute(json, lambda out: _demo(out, store, hits, embedder, profile, everything=chosen))


async def _demo(
    out: Out,
    store: str | None,
    shown: int,
    embedder: str | None,
    profile: str | None,
    *,
    everything: bool,
) -> int:
    from bruno_memory_vec.memory import open_memory
    from bruno_memory_vec.store.manifest import folder_of
    from bruno_memory_vec.surfaces.cli.opening import bars, configuration

    if store is None:
        # Not BRUNO_MEMORY_URL, because the demo must not write into a store that is in use.
        store = tempfile.mkdtemp(prefix="bruno-memory-demo-")
    config = configuration(store, embedder, profile)
    folder = folder_of(config.url)
    if folder is None:
        raise CliError("the demo needs a folder", "Name one with --store", code=MISUSED)
    console = out.console
    if everything and not out.as_json:
        _introduce(console, folder)
    started = time.perf_counter()
    with bars(out) as progress:
        async with open_memory(config=config, progress=progress) as memory:
            opened = time.perf_counter() - started
            await _refuse_strangers(memory, folder)
            stored = await _store(memory)
            if everything and not out.as_json:
                _tell_stored(console, stored, opened)
            answers = await _ask(memory, None if everything else 1)
    if out.as_json:
        out.result(_data(config, folder, stored, answers))
        return 0
    if not everything:
        _show_one(console, stored, answers[0])
        _what_next(console, folder, embedder, answers)
        return 0
    for number, answer in enumerate(answers, 1):
        _show(console, number, answer, shown)
    _summarise(console, stored, answers)
    _what_next(console, folder, embedder, answers)
    return 0


async def _refuse_strangers(memory: VectorMemory, folder: Path) -> None:
    users = await memory.list_users()
    strangers = [user.user_id for user in users if user.user_id not in _USERS]
    if strangers:
        raise CliError(
            f"{folder} is a store with other users, such as {strangers[0]!r}",
            "Name a new folder, or leave --store out",
            code=MISUSED,
        )


async def _store(memory: VectorMemory) -> Stored:
    from bruno_memory_vec.surfaces import demo as data

    turns, memories = data.turns(), data.memories()
    groups = [
        (name, list(group)) for name, group in groupby(turns, lambda turn: turn.conversation_id)
    ]
    started = time.perf_counter()
    await asyncio.gather(
        *(
            memory.store_messages([turn.message for turn in group], name, user_id=group[0].user_id)
            for name, group in groups
        )
    )
    await memory.store_memories(memories)
    return Stored(len(turns), len(groups), len(memories), time.perf_counter() - started)


async def _ask(memory: VectorMemory, most: int | None) -> list[Answer]:
    from bruno_memory_vec.surfaces import demo as data

    questions, now = data.questions()[:most], _the_day_after()
    # Commits the lexical index now, so that it does not count in the time of the first question.
    await memory.recall("hello", user_id=_USERS[0], now=now)
    answers = []
    for question in questions:
        started = time.perf_counter()
        hits = await memory.recall(question.question, user_id=question.user_id, k=_K, now=now)
        seconds = time.perf_counter() - started
        rank = next((n for n, hit in enumerate(hits, 1) if _is_answer(hit, question)), None)
        answers.append(Answer(question, hits, rank, seconds))
    return answers


def _the_day_after() -> datetime:
    """The questions are asked the day after the last conversation, whenever the demo is run."""
    from bruno_memory_vec.surfaces import demo as data

    last: datetime = max(turn.message.timestamp for turn in data.turns())
    return last.replace(tzinfo=timezone.utc) + timedelta(days=1)


def _is_answer(hit: Hit, question: Question) -> bool:
    return hit.conversation_id == question.conversation_id and hit.turn == question.turn


# For people


def _introduce(console: Console, folder: Path) -> None:
    from rich.text import Text

    console.print(Text("A year of conversations with an assistant", style="bold"))
    console.print(
        "Two invented users, ana and ben, talk about their lives. Everything they say is stored "
        "in a folder, then questions are asked in other words than the answers were given in. "
        "Each user's questions see that user's rows alone."
    )
    console.print(f"\nfolder: {folder}", soft_wrap=True)


def _tell_stored(console: Console, stored: Stored, opened: float) -> None:
    console.print(
        f"stored: {counted(stored.messages, 'message')} of "
        f"{counted(stored.conversations, 'conversation')} and "
        f"{counted(stored.memories, 'memory')} in {stored.seconds:.1f} s "
        f"(the store was made in {opened:.1f} s)"
    )
    console.print(
        "\nThe questions are asked on the day after the last conversation. Under each hit stands "
        "what it scored for: words (lexical), meaning (semantic), the turns around it "
        "(neighbours), its conversation and more. The values add up to the score."
    )


def _show(console: Console, number: int, answer: Answer, shown: int) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from bruno_memory_vec.surfaces.cli.display import hit_table, words_of

    question = answer.question
    console.print()
    title = Text(f"{number}. {question.user_id}: ", style="dim")
    console.print(title.append(question.question, style="bold not dim"))
    known = f"   known answer: {question.answer}"
    if answer.rank is None:
        console.print(Text(f"{known} - not among the first {_K} hits", style="red"))
    else:
        style = "green" if answer.rank <= _GOOD_RANK else "yellow"
        console.print(Text(f"{known} - found at rank {answer.rank}", style=style))
    words = words_of(question.question, question.answer)
    width = console.width - 3
    grid = hit_table(answer.hits[:shown], words, lines=2, width=width)
    console.print(Padding(grid, (0, 0, 0, 3)))
    if answer.rank is not None and answer.rank > shown:
        hit = answer.hits[answer.rank - 1]
        grid = hit_table([hit], words, first=answer.rank, lines=2, width=width)
        console.print(Padding(grid, (0, 0, 0, 3)))


def _summarise(console: Console, stored: Stored, answers: list[Answer]) -> None:
    from rich.text import Text

    figures = _figures(answers)
    rate = (stored.messages + stored.memories) / stored.seconds
    console.print()
    console.print(
        Text(
            f"{figures['in_top_5']} of {figures['questions']} questions answered in the top 5 "
            f"({figures['at_rank_1']} at rank 1); a question took {figures['median_ms']:.1f} ms "
            f"(median; slowest {figures['slowest_ms']:.1f}); stored {rate:,.0f} rows/s",
            style="bold",
        )
    )


def _figures(answers: list[Answer]) -> dict[str, Any]:
    ranks = [answer.rank for answer in answers]
    times = [1000 * answer.seconds for answer in answers]
    return {
        "questions": len(answers),
        "at_rank_1": sum(rank == 1 for rank in ranks),
        "in_top_5": sum(rank is not None and rank <= _GOOD_RANK for rank in ranks),
        "in_top_10": sum(rank is not None for rank in ranks),
        "median_ms": round(statistics.median(times), 2),
        "slowest_ms": round(max(times), 2),
    }


def _show_one(console: Console, stored: Stored, answer: Answer) -> None:
    """The first screen: what was stored, one question, its answer, and why it is that one."""
    from rich.padding import Padding
    from rich.text import Text

    from bruno_memory_vec.surfaces.cli.display import Reasons, excerpt, words_of

    question, width = answer.question, console.width
    console.print(
        f"Stored in {stored.seconds:.1f} s: a year of talks of two invented people, "
        f"{counted(stored.messages, 'message')} and {counted(stored.memories, 'memory')}."
    )
    console.print()
    asked = Text(f"{question.user_id} asks  ", style="dim")
    console.print(asked.append(question.question, style="bold not dim"))
    console.print()
    if not answer.hits:
        console.print("Nothing was found.")
        return
    hit = answer.hits[0]
    day = f"{hit.created_at.day} {hit.created_at:%B %Y}"
    about = f"found in {1000 * answer.seconds:.0f} ms, said on {day}:"
    console.print(Text(about, style="dim"))
    words = words_of(question.question, question.answer)
    said = Text(excerpt(hit.content, words, 4 * (width - 4)), style="green")
    console.print(Padding(said, (0, 0, 0, 2)))
    console.print()
    console.print(Text("why this one: each part of its score", style="dim"))
    console.print(Padding(Reasons(hit.signals), (0, 0, 0, 2)))
    if answer.rank != 1:
        place = "not among the first ten" if answer.rank is None else f"number {answer.rank}"
        console.print(f"The known answer, {question.answer!r}, is {place}.")


def _what_next(console: Console, folder: Path, embedder: str | None, answers: list[Answer]) -> None:
    from rich.text import Text

    program, kept = program_name(), shlex.quote(str(folder))
    given = [f"export BRUNO_MEMORY_URL={kept}"]
    if embedder is not None:
        given.append(f"export BRUNO_MEMORY_EMBEDDER={shlex.quote(embedder)}")
    console.print(Text("\ntry next", style="dim"))
    everything = [] if len(answers) > 1 else [f'{program} demo --all --store "$BRUNO_MEMORY_URL"']
    for command in (
        *given,
        f"{program} recall 'who teaches photography?' -u ana",
        f"{program} list conversations -u ben",
        f"{program} stats",
        *everything,
        f"rm -r {kept}",
    ):
        # Not wrapped, so that it can be copied.
        console.print(f"  {command}", soft_wrap=True)


def program_name() -> str:
    """How this program was called, to be typed again."""
    called = sys.argv[0]
    if not Path(called).name.startswith("bruno-memory-vec"):
        python = shutil.which("python")
        same = python is not None and Path(python).absolute() == Path(sys.executable).absolute()
        return f"{'python' if same else shlex.quote(sys.executable)} -m bruno_memory_vec"
    found = shutil.which("bruno-memory-vec")
    if found is not None and Path(found).resolve() == Path(called).resolve():
        return "bruno-memory-vec"
    return shlex.quote(called)


# For programs


def _data(
    config: MemoryConfig, folder: Path, stored: Stored, answers: list[Answer]
) -> dict[str, Any]:
    return {
        "store": str(folder),
        "profile": config.profile,
        "stored": {
            "messages": stored.messages,
            "conversations": stored.conversations,
            "memories": stored.memories,
            "seconds": round(stored.seconds, 3),
        },
        "questions": [
            {
                "user_id": answer.question.user_id,
                "question": answer.question.question,
                "answer": answer.question.answer,
                "rank": answer.rank,
                "milliseconds": round(1000 * answer.seconds, 2),
                "hits": [hit.to_dict() for hit in answer.hits],
            }
            for answer in answers
        ],
        "summary": _figures(answers),
    }
