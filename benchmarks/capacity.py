"""How much memory, disk and how many servers a store takes: ``python -m benchmarks.capacity``.

    python -m benchmarks.capacity --json benchmarks/results/capacity.json
        10 million to 1 billion rows, five ways to keep them, a million users in Redis

    python -m benchmarks.capacity --rows 50000000 --users 200000 --words 120 --replicas 3 \\
        --node-ram 128 --price-ram 4 --price-disk 0.1
        another plan, with what it costs; prices are a month's, a GiB, in any currency

The bytes of a row and of Redis' keys are measured by this command (`benchmarks.footprint`): rows
are made as the store makes them, and Redis is a real server that our own session store fills.
What Qdrant takes for them follows from its own documentation, "Capacity Planning"
(qdrant.tech/documentation/capacity-planning), whose formulas stand beside the numbers below.
Nothing here is a measurement of a Qdrant server.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.footprint import RedisBytes, RowBytes, measure_redis, measure_row
from benchmarks.scale.tables import grid

GIB = 2**30

# Qdrant's documentation, "Capacity Planning". Bytes a point, unless said otherwise.
_FLOAT32 = 4
_SCALAR, _BINARY = 1.0, 1 / 8  # bytes a dimension of a quantised copy
_HNSW = 16 * 2 * 4 * 1.2  # `m` of 16, Qdrant's default: twice as many links of 4 bytes, and 20 %
_SPARSE, _SPARSE_INDEX = 4, 4 * 1.5  # for each term
_PAYLOAD = 1.5  # times its size, on disk
_INDEXED = 2  # times the size of the fields with an index
_ID = 52
_HEADROOM = 1.2
_NODE_SHARE = 0.8  # of a node's memory that may be planned for
_NODE_VECTORS = 100_000_000  # "typically tops out around"
_NODES_FOR_FAILOVER = 3

_ROWS = (10_000_000, 100_000_000, 1_000_000_000)
_DIMENSIONS = (256, 384, 1024)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a collection is kept: settings of a store's URL.

    Attributes:
        name: the settings.
        quantised: bytes a dimension of a copy of the vectors that is always in memory; 0 for none.
        on_disk: vectors, their graph, the sparse index and the larger payload indexes are read
            from the disk where they are needed.
    """

    name: str
    quantised: float
    on_disk: bool


LAYOUTS = (
    Layout("default", 0, on_disk=False),
    Layout("quantization=scalar", _SCALAR, on_disk=False),
    Layout("on_disk=true", 0, on_disk=True),
    Layout("on_disk=true&quantization=scalar", _SCALAR, on_disk=True),
    Layout("on_disk=true&quantization=binary", _BINARY, on_disk=True),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is planned for. All but ``rows`` and ``users`` are the planner's choice.

    Attributes:
        rows: messages and memories.
        users: users with a profile and sessions.
        dimension: of the vectors.
        replicas: copies of each row in Qdrant, and of each key in Redis.
        node_ram_gib: memory of a Qdrant server.
        redis_ram_gib: memory of a Redis server.
        redis_share: of a Redis server's memory that may hold keys. The rest is for the copy that
            a fork makes of pages that change while it saves, for buffers and fragmentation.
        conversations: of a user, all of them: their owner and next turn are kept.
        hot: of a user, with a hot context at the same time.
        sessions: of a user.
        large: share of rows of users with more than 20,000 of them. Theirs have links of their own
            in the graph; other users are searched without it, row by row.
        active: share of what is on disk that is in memory all the same, in the system's cache:
            that of the users who are active.
    """

    rows: int
    users: int
    dimension: int
    replicas: int = 2
    node_ram_gib: float = 64
    redis_ram_gib: float = 32
    redis_share: float = 0.6
    conversations: float = 20
    hot: float = 1
    sessions: float = 20
    large: float = 0.1
    active: float = 0.1


@dataclass(frozen=True, slots=True)
class Prices:
    """What a GiB costs a month, in any currency."""

    ram: float
    disk: float


def qdrant_bytes(plan: Plan, layout: Layout, row: RowBytes) -> dict[str, dict[str, float]]:
    """Bytes of a row, part by part: {"ram": {...}, "disk": {...}}, without replicas and headroom.

    Everything is on disk; what is also in memory follows from the layout. Payloads and the sparse
    vectors themselves are on disk only.
    """
    always = {
        "quantised vectors": plan.dimension * layout.quantised,
        "payload indexes": (row.indexed - row.indexed_on_disk) * _INDEXED,
        "id tracker": float(_ID),
    }
    movable = {
        "dense vectors": float(plan.dimension * _FLOAT32),
        "HNSW graph": _HNSW * (1 + plan.large),
        "sparse index": row.terms * _SPARSE_INDEX,
        "larger payload indexes": row.indexed_on_disk * _INDEXED,
    }
    never = {"sparse vectors": row.terms * _SPARSE, "payload": row.payload * _PAYLOAD}
    share = plan.active if layout.on_disk else 1
    in_ram = {name: size * share for name, size in movable.items()}
    return {"ram": {**always, **in_ram}, "disk": {**always, **movable, **never}}


def qdrant(plan: Plan, layout: Layout, row: RowBytes) -> dict[str, float]:
    """Memory and disk of all replicas with headroom, in GiB, and the number of servers.

    Servers: as many as their memory takes, as the rule of thumb of vectors a server takes, and
    three where there are replicas, so that a majority is left when one is away.
    """
    found = qdrant_bytes(plan, layout, row)
    copies = plan.rows * plan.replicas
    ram = copies * sum(found["ram"].values()) * _HEADROOM / GIB
    disk = copies * sum(found["disk"].values()) * _HEADROOM / GIB
    by_ram = math.ceil(ram / (plan.node_ram_gib * _NODE_SHARE))
    by_vectors = math.ceil(copies / _NODE_VECTORS)
    at_least = _NODES_FOR_FAILOVER if plan.replicas > 1 else 1
    return {
        "ram_gib": round(ram, 1),
        "disk_gib": round(disk, 1),
        "nodes_by_ram": by_ram,
        "nodes_by_vectors": by_vectors,
        "nodes": max(by_ram, by_vectors, at_least),
    }


def redis(plan: Plan, found: RedisBytes) -> dict[str, float]:
    """Memory of all replicas in GiB, without the servers' reserve, and the number of servers."""
    a_user = (
        found.user
        + plan.sessions * found.session
        + plan.conversations * found.conversation
        + plan.hot * found.context
    )
    data = (plan.users * a_user + plan.rows * found.row) / GIB
    usable = plan.redis_ram_gib * plan.redis_share
    primaries = math.ceil(data / usable)
    return {
        "bytes_a_user": round(a_user),
        "ram_gib": round(data * plan.replicas, 1),
        "primaries": primaries,
        "nodes": primaries * plan.replicas,
    }


def cost(plan: Plan, of_qdrant: dict[str, float], of_redis: dict[str, float], by: Prices) -> float:
    """A month: whole servers' memory, and the disk that is planned for.

    (Qdrant's servers x their GiB + Redis' servers x their GiB) x the price of memory
    + (Qdrant's disk + twice Redis' memory, for its append-only file) x the price of disk.
    """
    ram = of_qdrant["nodes"] * plan.node_ram_gib + of_redis["nodes"] * plan.redis_ram_gib
    disk = of_qdrant["disk_gib"] + 2 * of_redis["ram_gib"]
    return round(ram * by.ram + disk * by.disk, 2)


def report(
    plans: Sequence[Plan], row: RowBytes, of_redis: RedisBytes | None, prices: Prices | None
) -> dict[str, Any]:
    """Every plan with every layout, and the bytes that it follows from."""
    found = []
    for plan in plans:
        sessions = None if of_redis is None else redis(plan, of_redis)
        layouts = []
        for layout in LAYOUTS:
            rows = qdrant(plan, layout, row)
            one: dict[str, Any] = {"layout": layout.name, **rows}
            one["bytes_a_row"] = qdrant_bytes(plan, layout, row)
            if prices is not None and sessions is not None:
                one["cost_a_month"] = cost(plan, rows, sessions, prices)
            layouts.append(one)
        found.append({"plan": asdict(plan), "qdrant": layouts, "redis": sessions})
    return {
        "row": asdict(row),
        "redis": None if of_redis is None else asdict(of_redis),
        "prices": None if prices is None else asdict(prices),
        "plans": found,
    }


def markdown(found: dict[str, Any]) -> str:
    """The tables of a report."""
    parts = [_row_table(found), _plan_table(found)]
    if found["redis"] is not None:
        parts.insert(1, _redis_table(found["redis"]))
    return "\n\n".join(parts) + "\n"


def _row_table(found: dict[str, Any]) -> str:
    """Bytes of a row by dimension, in memory, for each layout, and on disk."""
    first: dict[int, dict[str, Any]] = {}
    for one in found["plans"]:
        first.setdefault(one["plan"]["dimension"], one)
    names = [layout.name for layout in LAYOUTS]
    rows = [
        [
            f"{dimension:,}",
            *(f"{sum(each['bytes_a_row']['ram'].values()):,.0f}" for each in one["qdrant"]),
            f"{sum(one['qdrant'][0]['bytes_a_row']['disk'].values()):,.0f}",
        ]
        for dimension, one in first.items()
    ]
    return grid(["dimension", *(f"RAM: {name}" for name in names), "disk (first)"], rows)


def _redis_table(found: dict[str, Any]) -> str:
    shown = ("user", "session", "conversation", "context", "row")
    return grid(["Redis, bytes of one", ""], [[name, f"{found[name]:,.1f}"] for name in shown])


def _plan_table(found: dict[str, Any]) -> str:
    priced = found["prices"] is not None
    heads = ["rows", "dimension", "vectors", "Qdrant RAM, GiB", "disk, GiB", "servers"]
    heads += ["Redis RAM, GiB", "servers"] + (["cost a month"] if priced else [])
    return grid(heads, list(_plan_rows(found["plans"], priced)), words=3)


def _plan_rows(plans: Sequence[dict[str, Any]], priced: bool) -> Iterator[list[str]]:
    for one in plans:
        plan, sessions = one["plan"], one["redis"]
        for each in one["qdrant"]:
            yield [
                f"{plan['rows']:,}",
                str(plan["dimension"]),
                each["layout"],
                f"{each['ram_gib']:,.0f}",
                f"{each['disk_gib']:,.0f}",
                f"{each['nodes']:,} ({'memory' if _bound_by_ram(each) else 'at least'})",
                "-" if sessions is None else f"{sessions['ram_gib']:,.0f}",
                "-" if sessions is None else f"{sessions['nodes']:,}",
                *([f"{each['cost_a_month']:,.0f}"] if priced and sessions is not None else []),
            ]


def _bound_by_ram(found: dict[str, Any]) -> bool:
    return bool(found["nodes_by_ram"] >= found["nodes"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = _arguments(argv)
    quiet_logs()
    row = measure_row(arguments.words, arguments.sample)
    of_redis = asyncio.run(measure_redis(arguments.words, arguments.redis_sample))
    chosen = {
        "replicas": arguments.replicas,
        "node_ram_gib": arguments.node_ram,
        "redis_ram_gib": arguments.redis_ram,
        "conversations": arguments.conversations,
        "hot": arguments.hot,
        "sessions": arguments.sessions,
        "large": arguments.large,
        "active": arguments.active,
    }
    plans = [
        Plan(rows, arguments.users, dimension, **chosen)
        for rows in arguments.rows
        for dimension in arguments.dimension
    ]
    priced = arguments.price_ram is not None and arguments.price_disk is not None
    prices = Prices(arguments.price_ram, arguments.price_disk) if priced else None
    found = {**describe(), "words": arguments.words, **report(plans, row, of_redis, prices)}
    text = markdown(found)
    (sys.stderr if arguments.json == "-" else sys.stdout).write(text)
    if arguments.json and arguments.json != "-":
        Path(arguments.json).parent.mkdir(parents=True, exist_ok=True)
    write_json(found, arguments.json)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.capacity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    default = Plan(0, 0, 0)
    add("--rows", type=int, nargs="+", default=list(_ROWS), help="messages and memories")
    add("--users", type=int, default=1_000_000, help="default: 1000000")
    add("--dimension", type=int, nargs="+", default=list(_DIMENSIONS), help="of the vectors")
    add("--words", type=int, default=40, help="of a message, on average (default: 40)")
    add("--replicas", type=int, default=default.replicas, help="copies of each row and key")
    add("--node-ram", type=float, default=default.node_ram_gib, help="GiB of a Qdrant server")
    add("--redis-ram", type=float, default=default.redis_ram_gib, help="GiB of a Redis server")
    add("--conversations", type=float, default=default.conversations, help="of a user")
    add("--hot", type=float, default=default.hot, help="of them with a hot context at a time")
    add("--sessions", type=float, default=default.sessions, help="of a user")
    add("--large", type=float, default=default.large, help="share of rows of users over 20,000")
    add("--active", type=float, default=default.active, help="share of what is on disk, in memory")
    add("--price-ram", type=float, help="a month's price of a GiB of a server's memory")
    add("--price-disk", type=float, help="a month's price of a GiB of disk")
    add("--sample", type=int, default=2_000, help="rows that are measured (default: 2000)")
    add("--redis-sample", type=int, default=200, help="users that are measured (default: 200)")
    add("--json", metavar="FILE", help="write the report there; - for standard output")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
