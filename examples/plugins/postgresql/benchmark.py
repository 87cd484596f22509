"""How fast rows in PostgreSQL are stored and found, of a user with many rows and of one with few.

    python examples/plugins/postgresql/benchmark.py "postgresql://USER@HOST/DATABASE?schema=NEW"

The schema must be new, and is dropped in the end. Words are drawn by Zipf's law from 30,000, as
many as a chat message has (6 to 40), and vectors at random.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
from bruno_memory_vec_postgresql import layout
from bruno_memory_vec_postgresql.database import Database
from bruno_memory_vec_postgresql.index import PostgreSQLIndex
from bruno_memory_vec_postgresql.settings import settings_of

from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.indexers.query import EVERYONE, LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.testing.rows import message, table

DIMENSION, WORDS, BLOCK = 256, 30_000, 2_000
MANY, FEW, USERS_WITH_FEW = 60_000, 1_000, 20
QUESTIONS = {
    "three rare words": "word500 word2000 word9000",
    "five words": "word20 word100 word300 word900 word3000",
    "three very common words": "word3 word10 word50",
}
ANY = RowFilter()


class Drawn:
    """Texts and vectors, the same in each run."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(1)
        frequency = 1 / np.arange(1, WORDS + 1)
        self._frequency = frequency / frequency.sum()

    def text(self) -> str:
        count = self._rng.integers(6, 40)
        return " ".join(f"word{n}" for n in self._rng.choice(WORDS, size=count, p=self._frequency))

    def vectors(self, count: int) -> Any:
        vectors = self._rng.standard_normal((count, DIMENSION)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


async def fill(index: PostgreSQLIndex, drawn: Drawn, user: str, first: int, count: int) -> float:
    """Store rows of a user, and return how many a second."""
    seconds = 0.0
    for start in range(first, first + count, BLOCK):
        numbers = range(start, min(start + BLOCK, first + count))
        rows = [message(n, drawn.text(), user_id=user, conversation_id=user) for n in numbers]
        made = table(rows, DIMENSION, drawn.vectors(len(rows)))
        began = time.perf_counter()
        await index.upsert(made, all_new=True)
        seconds += time.perf_counter() - began
    return count / seconds


async def timed(what: str, work: Callable[[], Awaitable[Any]], times: int = 9) -> None:
    """Print the median of some runs."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        took.append(time.perf_counter() - began)
    print(f"{what:44} {1000 * sorted(took)[times // 2]:8.1f} ms", flush=True)


async def measure(index: PostgreSQLIndex) -> None:
    """Fill the store and print what each call takes."""
    drawn = Drawn()
    rate = await fill(index, drawn, "many", 0, MANY)
    for number in range(USERS_WITH_FEW):
        await fill(index, drawn, f"few {number}", MANY + FEW * number, FEW)
    await index.maintain()
    print(await index.health())
    print(f"{'rows stored, 2,000 at once':44} {rate:8.0f} rows/s")
    numbers = iter(range(10**6, 10**7))

    async def store_one() -> None:
        row = message(next(numbers), "a few words", user_id="few 1")
        await index.upsert(table([row], DIMENSION, drawn.vectors(1)), all_new=True)

    await timed("one row stored", store_one)
    (vector,) = drawn.vectors(1)
    both = LexicalQuery(QUESTIONS["five words"], phrase_weight=0.3)
    for user, count in (("few 3", FEW), ("many", MANY)):
        scope = Scope.user(user)
        for name, text in QUESTIONS.items():
            asked = LexicalQuery(text, phrase_weight=0.3)
            await timed(
                f"{count:6} rows, {name}",
                lambda asked=asked, scope=scope: index.search_text(asked, scope, ANY, 100),
            )
        await timed(
            f"{count:6} rows, by vector",
            lambda scope=scope: index.search(vector, scope, ANY, 100),
        )
        await timed(
            f"{count:6} rows, both lists, five words",
            lambda scope=scope: index.search_both(vector, both, scope, ANY, nearest=100, text=100),
        )
    whole = [*COLUMNS, "vector"]
    await timed(f"{FEW:6} rows, all read", lambda: index.read(Scope.user("few 3"), ANY, whole))
    await timed("all users, by vector", lambda: index.search(vector, EVERYONE, ANY, 100), 3)


async def main(url: str) -> None:
    settings = settings_of(url)
    database, english = Database(settings), analyser("english")
    if await layout.find(database) is not None:
        await database.close()
        raise SystemExit(f"there is a store in {settings.shown}: name a schema that is not there")
    made_by = HashEmbedder(DIMENSION).fingerprint
    await layout.make(database, layout.Manifest.new(made_by, "english", english.name))
    try:
        await measure(PostgreSQLIndex(database, DIMENSION, english))
    finally:
        await database.fetch("drop", f'DROP SCHEMA "{settings.schema}" CASCADE')
        await database.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
