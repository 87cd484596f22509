"""The pictures of docs/analytics.md: ``python scripts/analytics_plots.py``.

They show the conversations of the demo, which are in the package, asked some of its questions.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.surfaces import demo

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "plots"
USER = "ana"


async def fill(memory: VectorMemory) -> None:
    """Store the demo, and ask its questions."""
    for (talk, user), turns in groupby(
        demo.turns(), key=lambda turn: (turn.conversation_id, turn.user_id)
    ):
        await memory.store_messages([turn.message for turn in turns], talk, user_id=user)
    await memory.store_memories(demo.memories())
    for question in demo.questions():
        await memory.recall(question.question, user_id=question.user_id, k=5)


async def results() -> dict[str, Any]:
    """By a file's name, what draws it."""
    async with open_memory("memory://") as memory:
        await fill(memory)
        of = memory.for_user(USER).analytics
        growth = await of.growth(by="month")
        week = await of.conversations(zone="Europe/Amsterdam")
        topics = await of.topics(by="month")
        usage = await of.usage()
        return {
            "growth": growth.plot,
            "week": week.plot,
            "topics": topics.plot,
            "topics-over-time": lambda: topics.plot_trend(most=6),
            "usage": usage.plot,
        }


def main() -> int:
    """Draw them all; the same rows give the same bytes."""
    FOLDER.mkdir(exist_ok=True)
    found = asyncio.run(results())
    with matplotlib.rc_context({"svg.hashsalt": "bruno", "svg.fonttype": "path", "font.size": 9}):
        for name, draw in found.items():
            path = FOLDER / f"analytics-{name}.svg"
            axes = draw()
            axes.figure.savefig(path, metadata={"Date": None})
            print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
