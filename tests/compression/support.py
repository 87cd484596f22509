"""Conversations to compress, and what of a memory must be the same before and after."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.writing.dependants.summaries import stored_summaries

BEGIN = datetime(2024, 5, 6, 9, 0)
PLACES = "Porto Lisbon Utrecht Krakow Tallinn Bergen Ghent Verona Split Bilbao".split()
PEOPLE = "Marta Silva|Jonas Weber|Aiko Tanaka|Priya Nair|Tomas Novak".split("|")
THINGS = "boiler piano bicycle greenhouse telescope kayak sofa printer".split()


def turns(count: int, *, seed: int = 1, begin: datetime = BEGIN, apart: int = 60) -> list[Message]:
    """Questions of a user and answers of an assistant, with names, numbers, dates and filler."""
    chance = random.Random(seed)
    found = []
    for number in range(count):
        at = begin + timedelta(seconds=apart * number)
        thing, place = chance.choice(THINGS), chance.choice(PLACES)
        if number % 2 == 0:
            text = (
                f"Well, you know how it is. {chance.choice(PEOPLE)} brought the {thing} to {place} "
                f"on {chance.randrange(1, 29)} June 2024. It cost {chance.randrange(100, 9999)} "
                "euros. I was really happy about it, I must say."
            )
            role = MessageRole.USER
        else:
            text = (
                f"That is good to hear. A {thing} from {place} is a fine thing to have. "
                "Do let me know whether there is anything else that I can do for you today."
            )
            role = MessageRole.ASSISTANT
        found.append(Message(role=role, content=text, timestamp=at))
    return found


async def archived(memory: VectorMemory, user: str) -> dict[str, bool]:
    """Whether each message of a user is archived, by its id, as its row says."""
    store = await memory._handle.store()
    where = RowFilter(kinds=("message",))
    found = await store.rows.read(Scope.user(user), where, ["id", "archived_at"])
    return {row["id"]: row["archived_at"] is not None for row in found.to_pylist()}


async def pin(memory: VectorMemory, user: str, message: Message) -> None:
    """Pin a message, as its row says it."""
    writer = await memory._handle.writer()
    where = RowFilter(ids=(str(message.id),))
    await writer.rewrite(Scope.user(user), where, lambda row: {"pinned_at": row["created_at"]})


async def recalled(memory: VectorMemory, user: str, **given: Any) -> list[tuple[str, str]]:
    """The ids and texts that some questions recall, in order."""
    found: list[tuple[str, str]] = []
    for question in ("what did the piano cost?", "who was in Bergen?", "the greenhouse in June"):
        hits = await memory.recall(question, user_id=user, k=10, **given)
        found += [(hit.id, hit.content) for hit in hits]
    return found


async def check_whole(memory: VectorMemory, user: str, said: dict[str, list[Message]]) -> None:
    """Every message is there, and each that is archived has a stored summary that stands for it.

    Args:
        memory: what holds them.
        user: whose.
        said: the messages of each conversation, in order.
    """
    store = await memory._handle.store()
    scope = Scope.user(user)
    for conversation, messages in said.items():
        held = await memory.read_turns(conversation, limit=None)
        found = [(one.message.id, one.message.content) for one in held]
        assert found == [(one.id, one.content) for one in messages]
    table = await store.rows.read(
        scope, RowFilter(kinds=("message",)), ["id", "conversation_id", "archived_at"]
    )
    rows = table.set_column(2, "archived_at", table.column(2).cast("int64")).to_pylist()
    blocks = [one for one in await stored_summaries(store.rows, {user}) if one.level == "block"]
    for row in rows:
        covering = [
            one
            for one in blocks
            if row["id"] in one.sources and one.conversation_id == row["conversation_id"]
        ]
        if row["archived_at"] is not None:
            assert row["archived_at"] in [one.archived_at for one in covering]


async def check_each_once(memory: VectorMemory, user: str) -> None:
    """No turn has two summaries of blocks."""
    store = await memory._handle.store()
    ids = [
        id_
        for one in await stored_summaries(store.rows, {user})
        if one.level == "block"
        for id_ in one.sources
    ]
    assert len(ids) == len(set(ids))
