"""Bytes of a row as Qdrant gets it, and of what Redis keeps: measured, not estimated.

A row is made from a message as the store makes it, and turned into a point as
``indexers/qdrant`` does. Redis is a real redis-server that our session store fills through
`open_memory`; each key's size is what ``MEMORY USAGE`` says.
"""

from __future__ import annotations

import asyncio
import json
import re
import string
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from bruno_core.models.message import Message, MessageRole

from benchmarks.redis_server import redis_server
from benchmarks.scale.words import make_words
from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.qdrant import collection, points
from bruno_memory_vec.indexers.qdrant.settings import QdrantSettings
from bruno_memory_vec.indexers.qdrant.words import Words
from bruno_memory_vec.indexers.schema import row_schema
from bruno_memory_vec.rows.bounds import Bounds
from bruno_memory_vec.rows.models import message_row, to_table
from bruno_memory_vec.store.deployment import analyser_for

_SEED = 7
_NUMBER = 8
# As long in JSON as the numbers of a large store.
_LARGE_SEQ = 100_000_000
# Of the one tag in a key: a conversation's, a user's, a session's, or the store's own.
_TAG = re.compile(r"\{(c|u|sid|s)[:}]")
_TOGETHER = 50


@dataclass(frozen=True, slots=True)
class RowBytes:
    """Means of a row.

    Attributes:
        content: bytes of its text.
        payload: bytes of its payload as JSON.
        indexed: bytes of the fields that have a payload index.
        indexed_on_disk: of these, the fields whose index is on disk with ``on_disk=true``.
        terms: places of its sparse vector.
    """

    content: float
    payload: float
    indexed: float
    indexed_on_disk: float
    terms: float


@dataclass(frozen=True, slots=True)
class RedisBytes:
    """What Redis keeps, by ``MEMORY USAGE``.

    Attributes:
        server: the version of redis-server.
        words: of a message.
        messages: in a hot context that is as long as it gets.
        user: a user's keys, with one session.
        session: a session's own key, and its place in the list of all.
        conversation: owner, next turn, staleness, active sessions; kept as long as the rows.
        context: the hot context of one conversation; it expires.
        row: of the store's own keys (the ledger), for each row: by how much they grow.
    """

    server: str
    words: int
    messages: float
    user: float
    session: float
    conversation: float
    context: float
    row: float


def measure_row(words: int, rows: int) -> RowBytes:
    """Means over ``rows`` messages of ``words`` words on average."""
    made = [
        message_row(message, f"talk-{_name(at // 50)}", f"user-{_name(at // 1_000)}", Bounds())
        for at, message in enumerate(_messages(words, rows))
    ]
    for turn, row in enumerate(made):
        row["turn"], row["seq"] = turn % 50, _LARGE_SEQ + turn
    schema = row_schema(1)
    table = to_table(made, np.ones((rows, 1), np.float32), schema)
    _, payloads = points.ids_and_payloads(table)
    of_words = Words(analyser_for(None), QdrantSettings("x", "x").average_length)
    vectors = [of_words.of_row(held["content"]) for held in payloads]
    indexed = {*collection.KEYWORDS, *collection.INTEGERS, *collection.FLOATS}
    on_disk = collection._LARGE_INDEXES
    return RowBytes(
        content=_mean(_bytes(held["content"]) for held in payloads),
        payload=_mean(len(json.dumps(held, ensure_ascii=False).encode()) for held in payloads),
        indexed=_mean(_bytes_of(held, indexed) for held in payloads),
        indexed_on_disk=_mean(_bytes_of(held, on_disk) for held in payloads),
        terms=_mean(0 if vector is None else len(vector[0]) for vector in vectors),
    )


async def measure_redis(words: int, users: int) -> RedisBytes:
    """Fill a redis-server with users who have a session and a full hot context each.

    Args:
        words: of a message, on average.
        users: at least two.
    """
    with redis_server() as url:
        return await _fill_and_weigh(url, words, users)


async def _fill_and_weigh(url: str, words: int, users: int) -> RedisBytes:
    import redis

    async with open_memory("memory://", sessions=url, embedder="hash") as memory:
        # A hot context is trimmed to twice as many, and each call adds as many at most.
        a_call = memory.config.max_messages
        messages = 2 * a_call
        said = list(_messages(words, users * messages))

        async def one(number: int) -> None:
            user = f"user-{_name(number)}"
            session = await memory.create_session(user)
            own = said[number * messages : (number + 1) * messages]
            for first in range(0, messages, a_call):
                await memory.store_messages(
                    own[first : first + a_call], session.conversation_id, user_id=user
                )
            await memory.get_context(user, session.conversation_id)

        place = url.removeprefix("unix://")
        with redis.Redis(unix_socket_path=place, decode_responses=True) as client:
            for start, stop in ((0, users // 2), (users // 2, users)):
                before = _weighed(client) if start else {}
                for at in range(start, stop, _TOGETHER):
                    await asyncio.gather(*map(one, range(at, min(at + _TOGETHER, stop))))
            found = _weighed(client)
            return RedisBytes(
                server=client.info("server")["redis_version"],
                words=words,
                messages=found["entries"] / users,
                user=found["u"] / users,
                session=found["sid"] / users,
                conversation=found["c"] / users,
                context=found["context"] / users,
                row=(found["s"] - before["s"]) / ((users - users // 2) * messages),
            )


def _weighed(client: Any) -> dict[str, int]:
    """Bytes of all keys by what they are about, and the entries of hot contexts."""
    total: defaultdict[str, int] = defaultdict(int)
    for key in client.scan_iter(count=1_000):
        found = _TAG.search(key)
        tag = found[1] if found else "s"
        if key.endswith("{s}:sessions"):
            tag = "sid"  # the list of all sessions
        size = client.memory_usage(key, samples=0)
        is_context = tag == "c" and client.type(key) == "stream"
        total["context" if is_context else tag] += size
        total["entries"] += client.xlen(key) if is_context else 0
    return total


def _messages(words: int, rows: int) -> Iterator[Message]:
    """Messages of half to one and a half times as many words, with a natural distribution."""
    rng = np.random.default_rng(_SEED)
    vocabulary = make_words(_SEED)
    lengths = rng.integers(max(1, words // 2), words + words // 2 + 1, rows)
    topics = np.repeat(rng.integers(0, len(vocabulary.topics), rows), lengths)
    drawn = vocabulary.draw(topics, rng)
    for at, chosen in enumerate(np.split(drawn, np.cumsum(lengths)[:-1])):
        yield Message(
            id=UUID(bytes=rng.bytes(16), version=4),
            role=MessageRole.USER if at % 2 == 0 else MessageRole.ASSISTANT,
            content=" ".join(vocabulary.types[word] for word in chosen),
        )


def _name(number: int) -> str:
    """A name as long as many ids are: 16 letters."""
    rng = np.random.default_rng(number)
    return "".join(string.ascii_lowercase[place] for place in rng.integers(0, 26, 16))


def _bytes(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_bytes, value))
    return len(value.encode()) if isinstance(value, str) else _NUMBER


def _bytes_of(held: dict[str, Any], names: Any) -> int:
    return sum(_bytes(held[name]) for name in names if name in held)


def _mean(values: Any) -> float:
    return round(float(np.mean(list(values))), 1)
