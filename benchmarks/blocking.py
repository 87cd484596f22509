"""What a call costs without asyncio: ``python -m benchmarks.blocking --json -``.

One store, and the same calls in two ways: awaited in the memory's own event loop, and through
``bruno_memory_vec.sync`` from another thread. The ways take turns, so that what else the machine
does meets both.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from typing import Any

from bruno_core.models.message import Message, MessageRole
from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.timing import spread
from bruno_memory_vec import VectorMemory, sync

_WORDS = (
    "hotel train garden piano doctor recipe budget wedding marathon kitten boiler lens market "
    "river bread holiday garage library ticket museum concert bicycle allergy passport neighbour"
).split()
_IN_TURN = 20


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blocking", description=__doc__)
    parser.add_argument("--users", type=int, default=10)
    parser.add_argument("--messages", type=int, default=1000, help="of each user")
    parser.add_argument("--calls", type=int, default=400, help="of each kind, in each way")
    parser.add_argument("--embedder", default="static")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    quiet_logs()
    random.seed(7)
    with (
        tempfile.TemporaryDirectory() as folder,
        sync.open_memory(f"{folder}/store", embedder=arguments.embedder) as memory,
    ):
        for number in range(arguments.users):
            for part in range(0, arguments.messages, 50):
                said = [_message() for _ in range(min(50, arguments.messages - part))]
                talk = f"talk-{number}-{part}"
                memory.store_messages(said, talk, user_id=f"user-{number}")
        memory.maintain()
        figures = {name: _measured(memory, name, arguments) for name in _CALLS}
    _show(figures)
    write_json({**describe(), **vars(arguments), "figures": figures}, arguments.json)
    return 0


# The method, and its arguments for a user.
_CALLS: dict[str, Any] = {
    "conversation_owner": lambda user: (("talk-0-0",), {}),
    "get_context": lambda user: ((user, f"talk-{user[5:]}-0"), {}),
    "recall": lambda user: ((_sentence(),), {"user_id": user}),
    "store_message": lambda user: ((_message(), f"new-{user}"), {"user_id": user}),
}


def _measured(memory: sync.Memory, name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One method's times in both ways, and the difference of their medians."""
    awaited: list[float] = []
    blocking: list[float] = []

    async def in_the_loop(held: VectorMemory) -> None:
        for args, kwargs in calls:
            began = time.perf_counter()
            await getattr(held, name)(*args, **kwargs)
            awaited.append(time.perf_counter() - began)

    for turn in range(-1, arguments.calls // _IN_TURN):
        if turn == 0:  # the first turn only warms
            awaited.clear()
            blocking.clear()
        calls = [_CALLS[name](f"user-{n % arguments.users}") for n in range(_IN_TURN)]
        memory._background.run(in_the_loop)
        calls = [_CALLS[name](f"user-{n % arguments.users}") for n in range(_IN_TURN)]
        for args, kwargs in calls:
            began = time.perf_counter()
            getattr(memory, name)(*args, **kwargs)
            blocking.append(time.perf_counter() - began)
    one, other = spread(awaited), spread(blocking)
    return {"awaited": one, "blocking": other, "more_ms": round(other["p50_ms"] - one["p50_ms"], 3)}


def _message() -> Message:
    return Message(role=MessageRole.USER, content=_sentence())


def _sentence() -> str:
    return " ".join(random.choices(_WORDS, k=12))


def _show(figures: dict[str, Any]) -> None:
    table = Table(title="milliseconds a call, p50 (p95)")
    for column in ("method", "awaited", "blocking", "more"):
        table.add_column(column)
    for name, found in figures.items():
        ways = [
            f"{found[way]['p50_ms']:.3f} ({found[way]['p95_ms']:.3f})"
            for way in ("awaited", "blocking")
        ]
        table.add_row(name, *ways, f"{found['more_ms']:.3f}")
    Console(stderr=True).print(table)


if __name__ == "__main__":
    sys.exit(main())
