"""Users who contend for the same ids, while writes fail and callers are cancelled.

Whatever fails: a conversation has one owner, who alone reads it; what one user was told is kept is
there; and nobody ever reads a word of another's.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.utils.exceptions import BrunoError
from numpy.typing import NDArray

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.embedders.protocol import EmbedKind, Fingerprint
from tests.durability.support import message, rows_of
from tests.torture.conftest import Torture, counts

_USERS = ("ana", "ben", "cy", "dee")


class Failing:
    """Fails at one call of four, after it has let others run."""

    def __init__(self, dice: random.Random) -> None:
        self._inner = HashEmbedder(16)
        self._dice = dice
        self.failed = 0

    @property
    def fingerprint(self) -> Fingerprint:
        return self._inner.fingerprint

    async def embed(
        self, texts: Sequence[str], *, kind: EmbedKind = "document"
    ) -> NDArray[np.float32]:
        await asyncio.sleep(self._dice.uniform(0, 0.003))
        if kind == "document" and self._dice.random() < 0.25:
            self.failed += 1
            raise RuntimeError("the model fell over")
        return self._inner.embed(texts, kind=kind)


class Contest:
    """What was acknowledged, by user, and what was seen that must not be."""

    def __init__(self, memory: VectorMemory, dice: random.Random) -> None:
        self.memory = memory
        self.dice = dice
        self.acknowledged: dict[UUID, tuple[str, str, str]] = {}
        self.cleared: set[tuple[str, str]] = set()
        self.done: Counter[str] = Counter()
        self.leaks: list[str] = []
        self.sessions = dict.fromkeys(_USERS, "")

    async def write(self, user: str, view: VectorMemory, talk: str) -> None:
        """One write of any kind, of which some are cancelled under way."""
        id_, text = uuid4(), f"{user} says {uuid4().hex}"
        kind = self.dice.choice(("view", "memory", "several", "entry", "session"))
        if kind == "view":
            call: Any = view.store_message(message(text, id=id_), talk)
        elif kind == "memory":
            call = self.memory.store_message(message(text, id=id_), talk, user_id=user)
        elif kind == "several":
            said = [message(text, id=id_), message(f"{user} adds")]
            call = self.memory.store_messages(said, talk, user_id=user)
        elif kind == "entry":
            # A conversation's id, or the id of any user's session: both may be another's.
            within = self.dice.choice((talk, *filter(None, self.sessions.values())))
            entry = MemoryEntry(
                id=id_,
                content=text,
                user_id=user,
                memory_type=MemoryType.LONG_TERM,
                conversation_id=within,
            )
            call = view.store_memory(entry)
        else:
            self.sessions[user] = (await view.create_session(user)).session_id
            return
        task = asyncio.ensure_future(call)
        if self.dice.random() < 0.2:
            await asyncio.sleep(self.dice.uniform(0, 0.004))
            task.cancel()
        try:
            await task
        except BrunoError as error:
            self.done[type(error).__name__] += 1
        except asyncio.CancelledError:
            self.done["cancelled"] += 1
        else:
            self.acknowledged[id_] = (user, talk, text)
            self.done["stored"] += 1

    async def look(self, user: str, view: VectorMemory, talk: str) -> None:
        """Everything that a user can read, of an id that may be anyone's."""
        asked = self.dice.choice((talk, *filter(None, self.sessions.values())))
        reads = (
            self._of_context(view, user, asked),
            self._of_context(self.memory, user, asked),
            view.retrieve_messages(asked),
            view.recall("says", k=50),
            view.recall("says", k=50, conversation_id=asked),
            view.list_memories(),
            view.search_memories(user, "says"),
        )
        for read in reads:
            try:
                found = await read
            except BrunoError as error:
                self.done[f"read: {type(error).__name__}"] += 1
                continue
            self.done["read"] += 1
            foreign = [one.content for one in found if not one.content.startswith(f"{user} ")]
            self.leaks.extend(f"{user} read {text!r}" for text in foreign)

    async def _of_context(self, memory: VectorMemory, user: str, talk: str) -> list[Any]:
        messages: list[Any] = (await memory.get_context(user, talk)).messages
        return messages

    async def live(self, user: str, talks: Sequence[str], rounds: int) -> None:
        view = self.memory.for_user(user)
        for _ in range(rounds):
            talk = self.dice.choice(talks)
            await self.write(user, view, talk)
            if self.dice.random() < 0.5:
                await self.look(user, view, self.dice.choice(talks))
            if self.dice.random() < 0.02:
                # Its id is free again, and may be another's next.
                self.cleared.add((user, talk))
                try:
                    await view.clear_history(talk, keep_system_messages=False)
                except BrunoError as error:
                    self.done[f"clear: {type(error).__name__}"] += 1


async def test_nobody_reads_anothers(tmp_path: Path, torture: Torture) -> None:
    dice = random.Random(7)
    folder, embedder = str(tmp_path / "store"), Failing(dice)
    rounds, times = torture.choose((12, 2), (40, 3))
    acknowledged: dict[UUID, str] = {}
    done: Counter[str] = Counter()
    for turn in range(times):
        async with open_memory(folder, embedder=embedder, recall_in_context=False) as memory:
            contest = Contest(memory, dice)
            talks = [f"talk-{turn}-{number}" for number in range(6)]
            await asyncio.gather(
                *(contest.live(user, talks, rounds) for user in _USERS for _ in range(2))
            )
            assert contest.leaks == []
            for id_, (user, talk, text) in contest.acknowledged.items():
                if (user, talk) not in contest.cleared:
                    acknowledged[id_] = text
            done += contest.done
            rows = await rows_of(memory)
            owners: dict[str, set[str]] = {}
            for row in rows:
                assert row["content"].startswith(row["user_id"] + " ")
                if row["conversation_id"] is not None:
                    owners.setdefault(row["conversation_id"], set()).add(row["user_id"])
            assert [one for one in owners.items() if len(one[1]) > 1] == []
            assert (await memory.maintain()).problems == ()
    held = {UUID(row["id"]): row["content"] for row in rows}
    assert acknowledged.items() <= held.items()
    assert min(done[name] for name in ("stored", "ForeignUserError", "EmbeddingError")) > 0
    figures = {name.replace(": ", " "): number for name, number in done.items()}
    counts(**figures, embeddings_failed=embedder.failed, lost=0, leaked=0)
