"""Whatever is changed in an export, the store ends with its newest state, and doubles nothing."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bruno_memory_vec import open_memory
from tests.ingest.intake_support import contents, said

TEXTS = st.sampled_from(["ok", "yes", "A longer thing that was said", "The other thing", "no"])
MESSAGES = st.lists(
    st.tuples(TEXTS, st.sampled_from(["user", "assistant"])), min_size=1, max_size=8
)
#: Where, what is done there, and a new text.
EDITS = st.lists(
    st.tuples(st.integers(0, 7), st.sampled_from(["add", "lose", "edit", "move"]), TEXTS),
    max_size=4,
)


def edited(rows: list[dict[str, Any]], edits: list[tuple[int, str, str]]) -> list[dict[str, Any]]:
    rows = [dict(row) for row in rows]
    for number, (at, what, text) in enumerate(edits):
        at %= len(rows)
        if what == "add":
            row = said(text)
            if "timestamp" in rows[0]:
                row["timestamp"] = f"2025-05-02T00:00:{number:02}Z"
            rows.insert(at, row)
        elif what == "lose" and len(rows) > 1:
            del rows[at]
        elif what == "edit":
            rows[at]["content"] = text
        elif what == "move":
            rows.append(rows.pop(at))
    return rows


@given(messages=MESSAGES, rounds=st.lists(EDITS, min_size=1, max_size=2), with_times=st.booleans())
@settings(max_examples=8, deadline=None)
def test_the_store_follows_the_export(
    messages: list[tuple[str, str]], rounds: list[list[tuple[int, str, str]]], with_times: bool
) -> None:
    rows = [said(text, role=role) for text, role in messages]
    if with_times:
        for at, row in enumerate(rows):
            row["timestamp"] = f"2025-05-01T00:00:{at:02}Z"

    async def run() -> None:
        now = rows
        async with open_memory("memory://", embedder="hash") as memory:
            for edits in [[], *rounds]:
                now = edited(now, edits)
                data = "".join(f"{json.dumps(row)}\n" for row in now).encode()
                report = await memory.ingest(io.BytesIO(data))
                assert report.messages == len(now)
                stored = await contents(memory)
                # All of it in its order, and besides only what is gone from it.
                assert len(stored) == len(now) + report.gone
                left = iter(stored)
                assert all(row["content"] in left for row in now)
                again = await memory.ingest(io.BytesIO(data))
                assert (again.added, again.edited, again.unchanged) == (0, 0, len(now))

    asyncio.run(run())
