"""A process that opens a store, and writes or looks: ``python -m benchmarks.robustness.child``.

It says one JSON object a line on standard output:

- ``{"ready": true}`` once the store is open; then it waits for a line on standard input;
- ``{"stored": n}`` after the call that stored row n has returned: the row is acknowledged;
- ``{"refused": "..."}`` for a row that was not, with what the store said;
- ``{"failed": "..."}`` where the store cannot be opened, or not be looked at;
- ``{"held": [...], "found": n}``: all rows that it holds, and how many of those asked for a search
  finds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environment import quiet_logs
from benchmarks.robustness import stores
from benchmarks.scale.peers.base import Batch, Peer

_LONGEST = 300
# Rows that a search may put first.
_K = 10


def say(**what: Any) -> None:
    """One line; the other side may kill this process at once."""
    print(json.dumps(what), flush=True)


async def write(peer: Peer, first: int, rows: int) -> None:
    """Store rows one by one; one that is refused is not tried again."""
    for number in range(first, first + rows):
        try:
            await peer.add_one(stores.row(number))
        except Exception as error:  # whatever a peer raises
            say(refused=shown(error))
        else:
            say(stored=number)


async def fill(peer: Peer, first: int, rows: int) -> None:
    """Store rows in bulk, and let the store make its indexes."""
    made = [stores.row(number) for number in range(first, first + rows)]
    for start in range(0, rows, peer.batch_rows):
        some = made[start : start + peer.batch_rows]
        await peer.add_bulk(
            Batch(
                [row.id for row in some],
                [row.text for row in some],
                np.stack([row.vector for row in some]),
                [row.user for row in some],
                [row.conversation for row in some],
                [row.role for row in some],
            )
        )
    await peer.finish()


async def look(name: str, peer: Peer, asked: Sequence[int]) -> None:
    """What the store holds, and how many of some rows a search finds by a word of their own."""
    held = await stores.held(name, peer)
    found = 0
    failed = None
    for number in asked:
        row = stores.row(number)
        try:
            hits = await peer.recall(stores.word(number), row.vector, row.user, _K)
        except Exception as error:  # whatever a peer raises
            failed = shown(error)
        else:
            found += number in hits
    say(held=held, found=found, search_failed=failed)


def shown(error: BaseException) -> str:
    """An error in a line."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text[:_LONGEST]


async def run(arguments: argparse.Namespace) -> int:
    """Open, do the work, and close; the exit status."""
    peer = stores.make(arguments.store)
    try:
        peer.load(arguments.folder)
        await peer.open(arguments.folder)
    except BaseException as error:  # Rust's panics are no exceptions of Python's
        say(failed=shown(error))
        return 1
    say(ready=True)
    if arguments.work == "write":
        await asyncio.to_thread(sys.stdin.readline)
        await write(peer, arguments.first, arguments.rows)
    elif arguments.work == "fill":
        await fill(peer, arguments.first, arguments.rows)
    else:
        try:
            await look(arguments.store, peer, json.loads(arguments.ask))
        except BaseException as error:
            say(failed=shown(error))
            return 1
    await peer.close()
    return 0


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", choices=("write", "fill", "look"))
    parser.add_argument("store", choices=stores.names())
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--ask", default="[]", help="JSON list of the numbers of rows")
    quiet_logs()
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    raise SystemExit(main())
