"""What is measured: anything that stores texts and answers questions with their ids."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid5

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from benchmarks.address import Address
from benchmarks.retrieval.datasets.base import Turn
from bruno_memory_vec import VectorMemory, load_profile
from bruno_memory_vec.embedders import Embedder
from bruno_memory_vec.rankers import Profile

_NAMES = UUID("6d1c3bb0-6b0f-4a56-9b6f-0d1f6a8c2f11")
_KEY = "turn_id"
# Conversations given at once, so that small ones share a commit.
_TOGETHER = 64
_DOCUMENTS = 1_000
# When nothing says when a text was said: long ago, so that recency favours none of them.
_UNDATED = datetime(2000, 1, 1, tzinfo=timezone.utc)


class System(Protocol):
    """One way to store and find.

    It is opened once in an empty folder, given all texts, asked, and closed.

    Attributes:
        name: short, for tables and file names: "balanced", "chroma".
        settings: everything that its figures depend on, as JSON; known before `open`.
        versions: the packages that it runs on; a distribution's name to its version.
        counts: what it met while it worked, such as questions that it refused; may be empty.
        filters_time: whether `ask` leaves out what was said at `until` or later. Another system is
            asked for as many ids more as there are later texts, and those are dropped.
    """

    name: str
    settings: dict[str, Any]
    versions: dict[str, str]
    counts: dict[str, int]
    filters_time: bool

    async def open(self, folder: Path) -> None:
        """Open a store in the folder, which exists."""
        ...

    async def store(self, turns: Sequence[Turn]) -> None:
        """Store the texts. What has returned can be found: its time is the index time."""
        ...

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        """Ids of at most `k` of that user's turns, best first, each once.

        Args:
            text: the question as it was asked; embedding it is part of the work.
            user_id: whose texts are searched.
            k: how many ids.
            now: when it is asked (timezone-aware).
            until: only of what was said before this; None for everything. A system that does not
                filter by time ignores it.
        """
        ...

    async def close(self) -> None:
        """Free what was opened."""
        ...


class Memory:
    """This package, through its public API.

    A text that belongs to a conversation is stored as a message, one that stands alone as a
    memory. A text without a time gets that of its user's one before it plus a second.

    Args:
        profile: a profile, its name, or the path of a TOML file.
        embedder: the embedder. Its fingerprint is read here, which may load a model.
        address: where the store is, instead of in the folder that `open` gets.
    """

    def __init__(
        self, profile: str | Profile, embedder: Embedder, *, address: Address | None = None
    ) -> None:
        self._profile = profile if isinstance(profile, Profile) else load_profile(profile)
        self._embedder = embedder
        self._address = address or Address()
        self._memory: VectorMemory | None = None
        self.name = self._profile.name
        rank = self._profile.rank
        numbers = {"fusion": rank.fusion, **{step.name: step for step in rank.steps}}
        self.settings: dict[str, Any] = {
            "profile": {
                **asdict(self._profile),
                "rank": {name: asdict(part) for name, part in numbers.items()},
            },
            "embedder": embedder.fingerprint.to_dict(),
        }
        if address is not None:
            self.name += f" on {address.label}"
            self.settings["address"] = address.to_dict()
        self.versions: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.filters_time = True

    async def open(self, folder: Path) -> None:
        """Open a store in the folder, or at the address.

        Raises:
            StoreError, EngineError: it cannot be opened.
            InvalidInputError: there are rows in it already.
        """
        where = self._address.filled(folder)
        self._memory = await where.open_empty(embedder=self._embedder, profile=self._profile)

    async def store(self, turns: Sequence[Turn]) -> None:
        """Store the texts, then compact: `maintain` is part of the index time."""
        memory = self.memory
        conversations: dict[tuple[str, str], list[Message]] = {}
        documents: list[MemoryEntry] = []
        for turn, at in zip(turns, moments(turns), strict=True):
            if turn.conversation_id is None:
                documents.append(_document(turn, at))
            else:
                key = (turn.user_id, turn.conversation_id)
                conversations.setdefault(key, []).append(_message(turn, at))
        for start in range(0, len(documents), _DOCUMENTS):
            await memory.store_memories(documents[start : start + _DOCUMENTS])
        waiting = list(conversations.items())
        for start in range(0, len(waiting), _TOGETHER):
            await asyncio.gather(
                *(
                    memory.store_messages(messages, stored_conversation(*key), user_id=key[0])
                    for key, messages in waiting[start : start + _TOGETHER]
                )
            )
        await memory.maintain()

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        """Recall as a caller does, and read the turns' ids from the hits."""
        hits = await self.memory.recall(text, user_id=user_id, k=k, now=now, until=until)
        return [turn_id(hit.record) for hit in hits]

    async def close(self) -> None:
        """Close the store."""
        if self._memory is not None:
            await self._memory.close()

    @property
    def memory(self) -> VectorMemory:
        """The open memory itself."""
        assert self._memory is not None, "open() comes first"
        return self._memory


def moments(turns: Sequence[Turn]) -> Iterator[datetime]:
    """When each was said: what the turn says, else a second after its user's one before."""
    last: dict[str, datetime] = {}
    for turn in turns:
        before = last.get(turn.user_id, _UNDATED)
        last[turn.user_id] = turn.at or (before + timedelta(seconds=1))
        yield last[turn.user_id]


def stored_conversation(user_id: str, conversation_id: str) -> str:
    """The id that a user's conversation is stored by: two users' may have the same in the data."""
    return json.dumps([user_id, conversation_id])


def row_id(turn: Turn) -> UUID:
    """The id of the row that holds a turn: the same in every run, so that ties fall alike."""
    return uuid5(_NAMES, json.dumps([turn.user_id, turn.id]))


def _message(turn: Turn, at: datetime) -> Message:
    return Message(
        id=row_id(turn),
        role=MessageRole(turn.role),
        content=turn.content,
        timestamp=at,
        metadata={_KEY: turn.id},
    )


def _document(turn: Turn, at: datetime) -> MemoryEntry:
    return MemoryEntry(
        id=row_id(turn),
        content=turn.content,
        memory_type=MemoryType.SEMANTIC,
        user_id=turn.user_id,
        # A message's importance, so that it favours neither kind.
        metadata=MemoryMetadata(importance=0.5, custom_fields={_KEY: turn.id}),
        created_at=at,
        updated_at=at,
        last_accessed=at,
    )


def turn_id(record: Message | MemoryEntry) -> str:
    """The id of the turn that a recalled record was stored for."""
    found = record.metadata if isinstance(record, Message) else record.metadata.custom_fields
    return str(found[_KEY])
