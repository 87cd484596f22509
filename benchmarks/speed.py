"""What the write path, recall and the hot context cost: ``python -m benchmarks.speed --json -``.

One store, filled through the public API, in a temporary folder or where ``--url`` says; each
figure is over many calls, in this one run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table

from benchmarks import address
from benchmarks.address import Address
from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.timing import Call, rate, timed, together
from bruno_memory_vec import VectorMemory

_screen = Console(stderr=True)
_WORDS = (
    "hotel train garden piano doctor recipe budget wedding marathon kitten boiler lens market "
    "river bread holiday garage library ticket museum concert bicycle allergy passport neighbour"
).split()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed", description=__doc__)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--messages", type=int, default=1000, help="of each user")
    parser.add_argument("--calls", type=int, default=200, help="measured calls of each kind")
    parser.add_argument("--bulk", type=int, default=10_000, help="messages of the largest call")
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    address.add_options(parser)
    arguments = parser.parse_args()
    quiet_logs()
    where = address.chosen(arguments)
    figures = asyncio.run(_run(arguments, where))
    report = {**describe(), **vars(arguments), **where.to_dict(), "figures": figures}
    _show(figures, where.label)
    write_json(report, arguments.json)
    return 0


async def _run(arguments: argparse.Namespace, where: Address) -> dict[str, Any]:
    random.seed(7)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = where.filled(Path(folder))
        store.load()
        async with await store.open_empty(embedder=arguments.embedder) as memory:
            figures["bulk_messages_per_s"] = await _fill(memory, arguments)
            await memory.maintain()
            await _measure(memory, arguments.calls, arguments.bulk, figures)
        if not store.kept:
            return figures
        started = time.perf_counter()
        async with await store.open(embedder=arguments.embedder) as memory:
            figures["open_again_ms"] = round((time.perf_counter() - started) * 1000, 1)
            started = time.perf_counter()
            await memory.recall(_sentence(), user_id="user-0")
            figures["first_recall_ms"] = round((time.perf_counter() - started) * 1000, 1)
    return figures


async def _fill(memory: VectorMemory, arguments: argparse.Namespace) -> Any:
    conversations = [
        (f"user-{user}", [_message() for _ in range(arguments.messages)])
        for user in range(arguments.users)
    ]

    async def fill() -> None:
        for user, messages in conversations:
            await memory.store_messages(messages, f"talk-{user}", user_id=user)

    return (await rate(arguments.users * arguments.messages, fill))["messages_per_s"]


async def _measure(memory: VectorMemory, calls: int, bulk: int, figures: dict[str, Any]) -> None:
    async def store() -> None:
        await memory.store_message(_message(), "alone", user_id="user-0")

    async def context() -> None:
        await memory.get_context("user-0", "alone")

    async def ask() -> None:
        await memory.recall(_sentence(), user_id="user-1")

    async def ask_everyone() -> None:
        from bruno_memory_vec import ALL_USERS

        await memory.recall(_sentence(), user_id=ALL_USERS)

    figures["store_message"] = await _times(store, calls)
    figures["get_context"] = await _times(context, calls)
    await memory.store_memories([_said_of("user-0", number) for number in range(30)])
    await memory.users.refresh("user-0")
    figures["get_context_with_30_learned_values"] = await _times(context, calls)
    await memory.maintain()
    figures["recall_one_user"] = await _times(ask, calls)
    figures["recall_all_users"] = await _times(ask_everyone, calls // 4)

    async def chat() -> None:
        await store()
        await ask()

    figures["store_then_recall"] = await _times(chat, calls // 4)
    stores = [
        partial(memory.store_message, _message(), f"together-{i % 100}", user_id=f"user-{i % 100}")
        for i in range(min(1000, bulk))
    ]
    concurrent = await together([[store] for store in stores])
    figures["concurrent_messages_per_s"] = concurrent["messages_per_s"]
    messages = [_message() for _ in range(bulk)]
    # A pause of Python's garbage collector is not ours; it grows with all that is alive.
    gc.collect()
    gc.disable()
    gap = asyncio.create_task(_largest_gap())
    await asyncio.sleep(0)
    await memory.store_messages(messages, "bulk", user_id="user-0")
    await ask()
    gap.cancel()
    gc.enable()
    figures["largest_event_loop_gap_ms"] = round(await gap * 1000, 1)


async def _largest_gap() -> float:
    largest = 0.0
    try:
        while True:
            started = time.perf_counter()
            await asyncio.sleep(0.001)
            largest = max(largest, time.perf_counter() - started - 0.001)
    except asyncio.CancelledError:
        return largest


async def _times(call: Call, calls: int) -> dict[str, Any]:
    await call()
    return (await timed([call] * calls)).figures()


def _sentence() -> str:
    return " ".join(random.choices(_WORDS, k=8))


def _message() -> Message:
    return Message(role=MessageRole.USER, content=f"{_sentence()} number {random.randrange(9999)}")


def _said_of(user: str, number: int) -> MemoryEntry:
    """A memory from which a value of the user's profile is learned."""
    about = {"subject": "user", "attribute": f"attribute {number}", "value": _sentence()}
    return MemoryEntry(
        content=f"{_sentence()} number {number}",
        memory_type=MemoryType.FACT,
        user_id=user,
        metadata=MemoryMetadata(category="fact", custom_fields=about),
    )


def _show(figures: dict[str, Any], label: str) -> None:
    table = Table(title=f"bruno-memory-vec, {label}")
    table.add_column("operation")
    table.add_column("figure", justify="right")
    for name, figure in figures.items():
        if isinstance(figure, dict):
            figure = f"p50 {figure['p50_ms']:.2f} ms   p95 {figure['p95_ms']:.2f} ms"
        table.add_row(name.replace("_", " "), str(figure))
    _screen.print(table)


if __name__ == "__main__":
    sys.exit(main())
