"""The same store on every engine, side by side: ``python -m benchmarks.engines --json FILE``.

Each engine is measured by ``benchmarks.speed`` in a process of its own, a store of its own each
time, one engine after the other and then all again: a machine that grows slow is slow for all.
Each figure is the median of the rounds. An engine whose package or server is not there is left
out, and the report says why.

A redis-server is started for what has sessions in Redis; `QDRANT_URL` and `POSTGRES_URL` name
servers that are there. ``--store NAME=URL[ SESSIONS]`` measures another one: ``{folder}``,
``{name}`` and ``{redis}`` are filled in.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bruno_core.utils.exceptions import BrunoError
from rich.console import Console

from benchmarks.address import Address
from benchmarks.environment import describe, quiet_logs, write_json
from benchmarks.redis_server import redis_server
from benchmarks.scale.tables import grid
from bruno_memory_vec.errors import InvalidInputError

_ROOT = Path(__file__).resolve().parents[1]
_REDIS = "{redis}"
_SQLITE = "{folder}/sessions"
_LINES = {
    "`store_message`": "store_message",
    "`get_context`": "get_context",
    "`recall`, one user": "recall_one_user",
    "`store_message`, then `recall`": "store_then_recall",
    "`recall`, all users": "recall_all_users",
}
_FIGURES = {
    "`store_messages`, messages/s": "bulk_messages_per_s",
    "concurrent `store_message`, messages/s": "concurrent_messages_per_s",
    "opening again, ms": "open_again_ms",
    "first recall, ms": "first_recall_ms",
}


def engines(environment: Mapping[str, str]) -> dict[str, Address]:
    """What is measured by default, by name."""
    found = {
        "LanceDB, SQLite": Address(),
        "LanceDB, Redis": Address(sessions=_REDIS),
        "Qdrant local mode, SQLite": Address("qdrant+local:{folder}/rows", _SQLITE),
        "Qdrant local mode, Redis": Address("qdrant+local:{folder}/rows", _REDIS),
        "Chroma, SQLite": Address("chroma://{folder}/rows", _SQLITE),
    }
    if server := environment.get("QDRANT_URL"):
        found["Qdrant server, Redis"] = Address(_with_name(server, "qdrant"), _REDIS)
    if server := environment.get("POSTGRES_URL"):
        store = f"{server}{'&' if '?' in server else '?'}schema={{name}}"
        found["pgvector, SQLite"] = Address(store, _SQLITE)
        found["pgvector, Redis"] = Address(store, _REDIS)
    return found


def _with_name(server: str, scheme: str) -> str:
    rest = server.rstrip("/").partition("://")
    secure = "s" if rest[0] == "https" else ""
    return f"{scheme}{secure}://{rest[2]}/{{name}}"


def named(text: str) -> tuple[str, Address]:
    """A name and an address, from the command line.

    Raises:
        argparse.ArgumentTypeError: it is not ``NAME=URL`` or ``NAME=URL SESSIONS``.
    """
    name, _, rest = text.partition("=")
    url, _, sessions = rest.partition(" ")
    if not name or not url:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=URL or NAME=URL SESSIONS")
    return name, Address(url, sessions.strip() or None)


def measure(
    chosen: Mapping[str, Address], rounds: int, speed: Sequence[str], screen: Console
) -> dict[str, Any]:
    """Measure every engine in each of the rounds.

    Args:
        chosen: by name.
        rounds: at least one.
        speed: further options of ``benchmarks.speed``.
        screen: told of each run.

    Returns:
        ``engines``: name to its address, its runs' figures and their medians; ``left_out``: name
        to the reason. An engine that fails once is left out with what it said.
    """
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in chosen}
    left_out: dict[str, str] = {}
    with _redis(chosen.values()) as (redis, reason):
        for number in range(rounds):
            for name, where in chosen.items():
                if name in left_out:
                    continue
                try:
                    screen.print(f"round {number + 1} of {rounds}: {name}", highlight=False)
                    runs[name].append(_run(_with_redis(where, redis, reason), speed))
                except RunError as error:
                    left_out[name] = str(error)
                    screen.print(f"left out: {name}: {error}", style="red", markup=False)
    return {
        "engines": {
            name: {**chosen[name].to_dict(), "medians": medians(found), "runs": found}
            for name, found in runs.items()
            if name not in left_out
        },
        "left_out": left_out,
    }


class RunError(Exception):
    """A run did not come to its end; the message says why."""


def medians(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The median of each figure over runs that have the same ones."""
    first = runs[0]
    return {
        name: medians([run[name] for run in runs])
        if isinstance(value, Mapping)
        else round(statistics.median(run[name] for run in runs), 3)
        for name, value in first.items()
    }


def markdown(found: Mapping[str, Any]) -> str:
    """One table: a row a figure, a column an engine."""
    of = found["engines"]
    rows = [
        [f"{head}, p50 / p95 ms", *(_spread(one["medians"].get(name)) for one in of.values())]
        for head, name in _LINES.items()
    ]
    rows += [
        [head, *(_number(one["medians"].get(name)) for one in of.values())]
        for head, name in _FIGURES.items()
    ]
    lines = [grid(["", *of], rows)]
    lines += [f"Left out: {name}: {why}" for name, why in found["left_out"].items()]
    return "\n\n".join(lines) + "\n"


def _spread(figure: Mapping[str, float] | None) -> str:
    return "-" if figure is None else f"{figure['p50_ms']:.2f} / {figure['p95_ms']:.2f}"


def _number(figure: float | None) -> str:
    return "-" if figure is None else f"{figure:,.0f}"


@contextmanager
def _redis(chosen: Iterable[Address]) -> Iterator[tuple[str | None, str]]:
    """The URL of a redis-server, if one is wanted and there; else None and the reason."""
    if not any(_REDIS in (one.url, one.sessions) for one in chosen):
        yield None, "nothing asks for one"
        return
    with ExitStack() as stack:
        try:
            found: tuple[str | None, str] = stack.enter_context(redis_server()), ""
        except BrunoError as error:  # the engines without Redis are measured all the same
            found = None, str(error)
        yield found


def _with_redis(where: Address, redis: str | None, reason: str) -> Address:
    if where.sessions != _REDIS:
        return where
    if redis is None:
        raise RunError(f"no redis-server: {reason}")
    return Address(where.url, redis)


def _run(where: Address, speed: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "figures.json"
        command = [sys.executable, "-m", "benchmarks.speed", "--json", str(target)]
        command += ["--url", where.url, *speed]
        command += ["--sessions", where.sessions] if where.sessions else []
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.strip()]
            raise RunError(said[-1].strip() if said else f"ended with {done.returncode}")
        figures: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))["figures"]
        return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    known = engines(os.environ)
    add("--rounds", type=int, default=3, help="the median of so many counts (default: 3)")
    add("--only", action="append", choices=list(known), metavar="NAME", help=", ".join(known))
    add("--store", action="append", type=named, default=[], metavar="NAME=URL[ SESSIONS]")
    for name, default in (("users", 10), ("messages", 200), ("calls", 200), ("bulk", 2_000)):
        add(
            f"--{name}", type=int, default=default, help=f"as benchmarks.speed (default: {default})"
        )
    add("--json", metavar="FILE", help="write the report there; - for standard output")
    arguments = parser.parse_args(argv)
    quiet_logs()
    screen = Console(stderr=True)
    speed = [
        word
        for name in ("users", "messages", "calls", "bulk")
        for word in (f"--{name}", str(getattr(arguments, name)))
    ]
    only = arguments.only or (None if arguments.store else list(known))
    chosen = {name: known[name] for name in only or ()} | dict(arguments.store)
    if arguments.rounds < 1:
        raise InvalidInputError("rounds", "is less than 1", fix="Give at least one round.")
    found = {**describe(), "rounds": arguments.rounds, "speed": speed}
    found |= measure(chosen, arguments.rounds, speed, screen)
    (sys.stderr if arguments.json == "-" else sys.stdout).write(markdown(found))
    write_json(found, arguments.json)
    return 0 if found["engines"] else 1


if __name__ == "__main__":
    sys.exit(main())
