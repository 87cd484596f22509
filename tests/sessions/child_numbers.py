"""A process that numbers rows and turns in Redis, and prints them.

Its arguments: the URL of the Redis, the name of the store, its user, and how many commits it makes.
"""

from __future__ import annotations

import asyncio
import json
import sys

from bruno_memory_vec import MemoryConfig
from bruno_memory_vec.sessions.choice import session_store_of
from bruno_memory_vec.writing.lease import Wanted

TALKS = ("talk", "other")


async def main(url: str, name: str, user: str, commits: int) -> None:
    opened = await session_store_of(url).open(url, name, MemoryConfig.build(url="memory://"))
    lease, sessions = opened.lease, opened.sessions
    assert lease is not None
    turns: dict[str, list[int]] = {talk: [] for talk in TALKS}
    seqs: list[int] = []
    for number in range(commits):
        count = 1 + number % 3
        firsts = await lease.next_turns({talk: Wanted(user, count) for talk in TALKS})
        first = await lease.next_seqs(count)
        await sessions.apply([], first + count - 1, added=range(first, first + count))
        seqs += range(first, first + count)
        for talk in TALKS:
            turns[talk] += range(firsts[talk], firsts[talk] + count)
    print(json.dumps({"seqs": seqs, "turns": turns}), flush=True)
    await opened.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
