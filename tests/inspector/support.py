"""What the tests of the pages store: the demo's conversations, and texts that try things."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.surfaces import demo

#: A conversation whose texts try to be more than texts.
ODD: Final = 'odd "talk" <b>&amp; #1'
SCRIPT: Final = '<script>alert("x")</script><img src=x onerror=alert(1)>"\'`'
HIDDEN: Final = "before\u202eafter \x1b[31mred \u200bzero"
ARABIC: Final = "مرحبا، اسمي ليلى وأعيش في القاهرة"
LONG: Final = "A long story about a lighthouse keeper. " * 3_000
FAMILY: Final = "👨‍👩‍👧 at the beach"
#: Of ana: one that has a branch, and one whose first turns a summary stands for.
FORKED: Final = "ana-2025-09-04-sourdough-starter"
SHORTENED: Final = "ana-2025-09-09-adopting-a-cat"
_AT: Final = datetime(2026, 9, 20, 12, 0)


async def fill(memory: VectorMemory, conversations: int | None = None) -> None:
    """Store the demo's rows, a fact that has changed, a branch, a summary, and odd texts of "odd".

    Args:
        memory: where.
        conversations: how many of each user at most; None for all.
    """
    talks: dict[str, dict[str, list[Message]]] = {}
    for turn in demo.turns():
        theirs = talks.setdefault(turn.user_id, {})
        theirs.setdefault(turn.conversation_id, []).append(turn.message)
    for user, theirs in talks.items():
        for name, said in list(theirs.items())[:conversations]:
            await memory.store_messages(said, name, user_id=user)
    await memory.store_memories(demo.memories())
    await memory.facts.add("home", "Zwaanshals 12, Rotterdam", user_id="ana", said_at=_AT)
    moved = _AT + timedelta(days=30)
    await memory.facts.add("home", "Heemraadssingel 87B, Rotterdam", user_id="ana", said_at=moved)
    await memory.conversations.fork(FORKED, 3, title="With rye alone", switch=False)
    await memory.compress(
        "ana", conversation_id=SHORTENED, policy={"keep_newest": 2, "min_turns": 2, "min_tokens": 0}
    )
    texts = [SCRIPT, HIDDEN, ARABIC, LONG, FAMILY]
    odd = [
        Message(role=role, content=text, timestamp=_AT + timedelta(minutes=minute))
        for minute, (text, role) in enumerate(
            zip(texts, [MessageRole.USER, MessageRole.ASSISTANT] * 3, strict=False)
        )
    ]
    await memory.store_messages(odd, ODD, user_id="odd")
    meta = MemoryMetadata(source="x", category=SCRIPT, tags=[SCRIPT, HIDDEN])
    await memory.store_memory(
        MemoryEntry(content=SCRIPT, memory_type=MemoryType.FACT, user_id="odd", metadata=meta)
    )


def form_of(page: str, action: str, **containing: str) -> dict[str, str]:
    """The hidden fields of a page's first form that posts to an address."""
    for form in re.findall(r"<form\b.*?</form>", page, re.DOTALL):
        if f'action="/inspector{action}"' in form:
            named = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)
            fields = {name: _plain(value) for name, value in named}
            if all(fields.get(name) == value for name, value in containing.items()):
                return fields
    raise AssertionError(f"the page has no form for {action}")


def links_of(page: str) -> set[str]:
    """Where a page leads to, without what stands behind a mark of a place."""
    return {_plain(one).partition("#")[0] for one in re.findall(r'href="([^"]*)"', page)} - {""}


def _plain(text: str) -> str:
    import html

    return html.unescape(text)
