"""Writes a small store with whatever version of the package stands on ``PYTHONPATH``.

``make_fixtures.py`` runs it in worktrees of the last commit of each earlier format, so it uses only
what all of them have.
"""

from __future__ import annotations

import asyncio
import inspect
import shutil
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from bruno_core.models import MemoryEntry, MemoryType, Message, MessageRole
from bruno_core.models.memory import MemoryMetadata

from bruno_memory_vec import open_memory

BEGAN = datetime(2026, 3, 1, 9, 0, tzinfo=timezone(timedelta(hours=2)))
SAID = [
    ("ana", "trip", "user", "My sister Ruth lives in Lisbon, and I visit her on 3 May."),
    ("ana", "trip", "assistant", "Lisbon is lovely in May. Shall I look for flights?"),
    ("ana", "trip", "user", "Yes, with TAP, please. I now prefer an aisle seat."),
    ("ana", "trip", "tool", '{"flight": "TP 573", "price": 129.5}'),
    ("ana", "garden", "user", "Why do the leaves of my lemon tree turn yellow?"),
    ("ana", "garden", "assistant", "Mostly it lacks iron, or stands in water."),
    (
        "ben",
        "code",
        "user",
        "The parser fails on \u201cna\u00efve\u201d \u2013 \u6771\u4eac, too. \U0001f41b",
    ),
    ("ben", "code", "assistant", "Then decode the file as UTF-8 before it is split into lines."),
]
KEPT = [
    ("ana", "Ana is allergic to walnuts.", ["health"], 0.9),
    ("ana", "Ana's sister is called Ruth.", ["family", "people"], 0.6),
    ("ben", "Ben writes Rust and dislikes exceptions.", [], 0.5),
]


def message(number: int, role: str, content: str) -> Message:
    return Message(
        id=uuid5(NAMESPACE_URL, f"message {number}"),
        role=MessageRole(role),
        content=content,
        timestamp=BEGAN + timedelta(minutes=number),
        metadata={"channel": "web", "n": number, "at": BEGAN} if number % 2 else {},
    )


async def main(folder: Path, copied_open: Path) -> None:
    async with open_memory(str(folder), embedder="hash") as memory:
        accepts = inspect.signature(memory.store_message).parameters
        whose = "user_id" if "user_id" in accepts else ""
        for number, (user, conversation, role, content) in enumerate(SAID):
            named = {whose: user} if whose else {}
            await memory.store_message(message(number, role, content), conversation, **named)
        for number, (user, content, tags, importance) in enumerate(KEPT):
            await memory.store_memory(
                MemoryEntry(
                    id=uuid5(NAMESPACE_URL, f"memory {number}"),
                    user_id=user,
                    content=content,
                    memory_type=MemoryType.FACT,
                    metadata=MemoryMetadata(
                        tags=tags,
                        importance=importance,
                        category="people" if tags else None,
                        custom_fields={"batch": 7},
                    ),
                    created_at=BEGAN,
                    updated_at=BEGAN,
                    last_accessed=BEGAN,
                )
            )
        session = await memory.create_session("ana", {"device": "phone"})
        await memory.create_session("ben")
        await memory.end_session(session.session_id)
        user = await memory.get_user("ana")
        user.preferences["tea"] = "green"
        await memory.save_user(user)
        await memory.get_context("ana")
        # It is replaced, so that an old version of it is in LanceDB's files.
        again = message(1, "assistant", "Lisbon is lovely in May. By plane, or by train?")
        await memory.store_message(again, "trip", **({whose: "ana"} if whose else {}))
        if hasattr(memory, "pin"):  # format 6
            await memory.pin(uuid5(NAMESPACE_URL, "memory 0"), user_id="ana")
            await memory.conversations.archive("garden")
            await memory.conversations.rename("trip", "Lisbon in May")
        last = message(20, "user", "And a window seat on the way back.")
        await memory.store_message(last, "trip", **({whose: "ana"} if whose else {}))
        await asyncio.sleep(0.2)
        # As a kill would leave it: newer rows are in the log only, where there is one.
        shutil.copytree(folder, copied_open)


asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
