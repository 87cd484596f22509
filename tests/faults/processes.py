"""Several processes over one store: started, set to work, and what they left looked over."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from bruno_memory_vec import VectorMemory, open_memory
from tests.durability.support import Child, rows_of
from tests.faults.history import History, wrong_in_context
from tests.servers.fixtures import SharedRows

_CHILD = Path(__file__).resolve().parent / "child_writer.py"


class Processes:
    """Processes that write to one store at once and check what they are shown.

    Args:
        rows: the rows.
        sessions: the URL of the session store.
        log: a file for what they do.
        seed: of their random choices.
    """

    def __init__(self, rows: SharedRows, sessions: str, log: Path, seed: int) -> None:
        self.rows, self.sessions, self.log, self.seed = rows, sessions, log, seed
        self.children: list[Child] = []
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._started = 0

    def start(self, count: int) -> None:
        """Start so many processes, at once; returns when each has opened the store."""
        new = [self._child() for _ in range(count)]
        self.children += new
        for child in new:
            assert child.hear() == "open", f"a child has ended (seed {self.seed})"

    async def work(self, seconds: float) -> None:
        """Let each of them work for so long."""
        for child in self.children:
            child.say(str(seconds))
        answers = [asyncio.to_thread(self._answer, child) for child in list(self.children)]
        for answer in await asyncio.gather(*answers):
            if answer is not None:
                self.done.update(answer["done"])
                self.wrong += answer["wrong"]

    def kill(self, child: Child) -> None:
        """SIGKILL one of them."""
        self.children.remove(child)
        child.kill()

    def end(self) -> None:
        """End all of them: those that are idle close their memory."""
        for child in self.children:
            assert child.process.stdin is not None
            child.process.stdin.close()
        for child in self.children:
            assert child.end() == 0, f"a child failed (seed {self.seed})"
        self.children.clear()

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children:
            child.kill()

    async def check(self) -> dict[str, int]:
        """Look over what they left, in this process: nothing lost, doubled, stale or foreign."""
        history = History(self.log)
        async with open_memory(self.rows.url, sessions=self.sessions, embedder="hash") as memory:
            rows = await rows_of(memory)
            self.wrong += wrong_in_rows(history, rows)
            self.wrong += await _wrong_in_contexts(history, memory, rows)
            problems = (await memory.health())["problems"]
        history.close()
        if problems:
            self.wrong.append(f"health() says {problems}")
        shown = "\n".join(self.wrong[:20])
        assert not self.wrong, f"seed {self.seed}, {len(self.wrong)} wrong:\n{shown}"
        return {"rows": len(rows), **self.done}

    def _child(self) -> Child:
        self._started += 1
        order = {
            "url": self.rows.url,
            "paths": self.rows.paths,
            "sessions": self.sessions,
            "log": str(self.log),
            "seed": self.seed,
            "name": f"p{self._started}",
        }
        return Child(_CHILD, json.dumps(order))

    def _answer(self, child: Child) -> dict[str, Any] | None:
        line = child.hear()
        if not line:
            assert child not in self.children, f"a child has ended (seed {self.seed})"
            return None  # it was killed
        answer: dict[str, Any] = json.loads(line)
        return answer


def wrong_in_rows(history: History, rows: list[dict[str, Any]]) -> list[str]:
    """What is wrong with the rows that the processes have left."""
    now, wrong = history.now(), []
    stored = Counter(row["id"] for row in rows)
    by_id = {row["id"]: row for row in rows}
    for item in history.items.values():
        if stored[item.id] > 1:
            wrong.append(f"{item.text!r} is stored {stored[item.id]} times")
        if item.is_there(now, now) and not stored[item.id]:
            wrong.append(f"{item.text!r} was acknowledged and is lost")
        if item.is_gone(now) and stored[item.id]:
            wrong.append(f"{item.text!r} was deleted and is there")
        if stored[item.id] and by_id[item.id]["user_id"] != item.user:
            wrong.append(f"{item.text!r} is {by_id[item.id]['user_id']}'s")
    for id_ in stored.keys() - history.items.keys():
        wrong.append(f"nobody has stored {by_id[id_]['content']!r}")
    for seq, count in Counter(row["seq"] for row in rows).items():
        if count > 1:
            wrong.append(f"seq {seq} was given {count} times")
    places = defaultdict(list)
    for row in rows:
        if row["kind"] == "message":
            places[row["conversation_id"]].append(row)
    for place, said in places.items():
        wrong += _wrong_in_place(history, place, said)
    return wrong


def _wrong_in_place(history: History, place: str, said: list[dict[str, Any]]) -> list[str]:
    wrong = []
    for turn, count in Counter(row["turn"] for row in said).items():
        if count > 1:
            wrong.append(f"turn {turn} of {place} was given {count} times")
    if len({row["user_id"] for row in said}) > 1:
        wrong.append(f"{place} has rows of several users")
    known = [history.items[row["id"]] for row in sorted(said, key=lambda row: row["turn"])]
    # What was acknowledged before another's storing began has the earlier turn.
    begun = -1
    for item in known:
        if item.acknowledged is not None and item.acknowledged < begun:
            wrong.append(f"{item.text!r} of {place} comes after what was stored later")
        begun = max(begun, item.begun)
    return wrong


async def _wrong_in_contexts(
    history: History, memory: VectorMemory, rows: list[dict[str, Any]]
) -> list[str]:
    wrong, now = [], history.now()
    owners = {row["conversation_id"]: row["user_id"] for row in rows if row["kind"] == "message"}
    for place, user in owners.items():
        told = sorted(
            (row["turn"], row["id"])
            for row in rows
            if row["kind"] == "message" and row["conversation_id"] == place
        )
        context = await memory.get_context(user, place)
        seen = [str(message.id) for message in context.messages]
        wrong += wrong_in_context(history, place, seen, [id_ for _, id_ in told], now, now)
        if seen != [id_ for _, id_ in told][-len(seen) :] or not seen:
            wrong.append(f"the context of {place} is not the end of its rows")
    return wrong
