"""A recall over HTTP beside one in process, and calls a second: ``python -m benchmarks.serving``.

A store of two users is filled; the same questions are asked of the memory in this process, of the
application without a network (ASGI), and of a server in a process of its own, in turn, in several
rounds, of which the median counts. Then each user's client asks as fast as it gets answers, on
several connections.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from bruno_core.models.message import Message, MessageRole

from benchmarks.environment import describe, quiet_logs, write_json
from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.surfaces.http import make_app
from bruno_memory_vec.surfaces.http.tokens import Tokens

_USERS = ("ana", "ben")
_WORDS = (
    "boat harbour paint red blue hotel Lisbon Rome sea tea coffee train ticket meeting garden "
    "window music guitar recipe lemon bread mountain bicycle doctor letter school winter summer"
).split()

Ask = Callable[[str], Awaitable[Any]]


async def fill(url: str, rows: int, seed: int) -> list[str]:
    """Store messages of both users; returns questions about them."""
    chance = random.Random(seed)
    async with open_memory(url) as memory:
        for user in _USERS:
            for start in range(0, rows // 2, 50):
                messages = [
                    Message(
                        role=(MessageRole.USER, MessageRole.ASSISTANT)[turn % 2],
                        content=" ".join(chance.choices(_WORDS, k=chance.randint(5, 40))),
                    )
                    for turn in range(50)
                ]
                await memory.store_messages(messages, f"{user} {start}", user_id=user)
    return [" ".join(chance.choices(_WORDS, k=4)) for _ in range(40)]


@asynccontextmanager
async def server(folder: Path, tokens: Path) -> AsyncIterator[str]:
    """A server in a process of its own; gives its address."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bruno_memory_vec", "serve", "--json", "--port", "0"),
        *("--store", str(folder), "--tokens", str(tokens), "--concurrent", "1000"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = await process.stdout.readuntil(b"}\n")
    try:
        yield json.loads(said)["url"]
    finally:
        process.terminate()
        await process.wait()


async def timed(ask: Ask, questions: Sequence[str]) -> list[float]:
    """Milliseconds of each question."""
    taken = []
    for question in questions:
        began = time.perf_counter()
        await ask(question)
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def over(http: httpx.AsyncClient) -> Ask:
    """Asks by HTTP."""

    async def ask(question: str) -> Any:
        answer = await http.post("/v1/recall", json={"query": question})
        answer.raise_for_status()
        return answer.json()

    return ask


async def rate(
    url: str, tokens: Sequence[str], questions: Sequence[str], each: int, s: float
) -> Any:
    """Calls a second of all users together, each on some connections, for some seconds."""
    ends = time.perf_counter() + s
    counts = [0] * (len(tokens) * each)
    taken: list[float] = []

    async def client(place: int, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url, headers=headers) as http:
            ask = over(http)
            while time.perf_counter() < ends:
                taken.extend(await timed(ask, [questions[counts[place] % len(questions)]]))
                counts[place] += 1

    began = time.perf_counter()
    await asyncio.gather(
        *(client(place, tokens[place % len(tokens)]) for place in range(len(counts)))
    )
    return {
        "connections": len(counts),
        "calls_a_second": round(sum(counts) / (time.perf_counter() - began), 1),
        "p50_ms": round(statistics.median(taken), 2),
        "p95_ms": round(statistics.quantiles(taken, n=20)[-1], 2),
    }


async def measure(rows: int, rounds: int, seconds: float, seed: int) -> dict[str, Any]:
    """All figures, in milliseconds and calls a second."""
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name) / "store", Path(name) / "tokens.json"
        questions = await fill(str(folder), rows, seed)
        tokens = Tokens(path)
        ana, ben = (tokens.create(user)[0] for user in _USERS)
        headers = {"Authorization": f"Bearer {ana}"}
        found: dict[str, list[float]] = {"in process": [], "ASGI": [], "HTTP": []}
        # One process writes to a folder, so the others read.
        async with server(folder, path) as url:
            memory = VectorMemory(str(folder), read_only=True)
            app = make_app(memory, tokens=tokens)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app), base_url="http://localhost", headers=headers
                ) as inside,
                httpx.AsyncClient(base_url=url, headers=headers) as outside,
            ):
                view = memory.for_user("ana")
                ways: dict[str, Ask] = {
                    "in process": view.recall,
                    "ASGI": over(inside),
                    "HTTP": over(outside),
                }
                for ask in ways.values():
                    await timed(ask, questions[:5])
                for _ in range(rounds):
                    for name_, ask in ways.items():
                        found[name_] += await timed(ask, questions)
            rates = [await rate(url, (ana, ben), questions, each, seconds) for each in (1, 4)]
    return {
        "rows": rows,
        "recall_p50_ms": {name: round(statistics.median(one), 2) for name, one in found.items()},
        "recall_p95_ms": {
            name: round(statistics.quantiles(one, n=20)[-1], 2) for name, one in found.items()
        },
        "two_users": rates,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m benchmarks.serving")
    parser.add_argument("--rows", type=int, default=2_000, help="messages, of both users together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", default="-", metavar="FILE", help="- for standard output")
    arguments = parser.parse_args(argv)
    quiet_logs()
    figures = asyncio.run(
        measure(arguments.rows, arguments.rounds, arguments.seconds, arguments.seed)
    )
    write_json({**describe(), **figures}, arguments.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
