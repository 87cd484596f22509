"""Lines from a terminal or a pipe, and text as wide as the terminal, for the examples."""

from __future__ import annotations

import asyncio
import shutil
import sys
import textwrap
import threading
from collections.abc import AsyncIterator


def width() -> int:
    """How many columns there are; 100 at most, as longer lines read badly."""
    return min(shutil.get_terminal_size((80, 24)).columns, 100)


def show(text: str, indent: str = "") -> None:
    """Print text in lines that fit; lines of its own stay apart."""
    for line in text.splitlines() or [""]:
        print(
            textwrap.fill(
                line, width(), initial_indent=indent, subsequent_indent=indent,
                replace_whitespace=False, break_on_hyphens=False,
            )
        )  # fmt: skip


def cut(text: str) -> str:
    """Text as one line that fits, its columns as they are."""
    line = text.replace("\n", " ")
    return line if len(line) <= width() else line[: width() - 1] + "…"


async def lines(prompt: str) -> AsyncIterator[str]:
    """The lines that somebody types, without space around them; empty ones are left out.

    It ends with Ctrl-D or the end of a pipe, whose lines are printed, so that what is printed reads
    as a conversation. The memory's work in the background goes on while nobody types.
    """
    piped = not sys.stdin.isatty()
    while (line := await _line("" if piped else prompt)) is not None:
        if line := line.strip():
            if piped:
                show(f"{prompt}{line}")
            yield line
    if not piped:
        print()


async def _line(prompt: str) -> str | None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[str | None] = loop.create_future()

    def tell(line: str | None) -> None:
        if not done.done():
            done.set_result(line)

    def read() -> None:
        try:
            line: str | None = input(prompt)
        except (EOFError, UnicodeDecodeError):
            line = None
        if not loop.is_closed():
            loop.call_soon_threadsafe(tell, line)

    # A thread that nobody waits for, so that Ctrl-C ends the program at once.
    threading.Thread(target=read, daemon=True).start()
    return await done
