"""How long calls take: on the clock, and as processor time, which other processes disturb less."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

#: A call without arguments.
Call = Callable[[], Awaitable[Any]]

#: A call that is measured is repeated at least this often, however long it takes.
LEAST = 10
# The background is at rest when this much time passes with this little processor time.
_QUIET_S, _QUIET_CPU_S = 0.1, 0.003
# A background that never rests is not waited for any longer.
_SETTLE_S = 3.0


@dataclass(slots=True)
class Timed:
    """Calls, one after the other.

    Attributes:
        seconds: of each, on the clock.
        used: processor seconds of each, of all threads of the process.
        left: processor seconds of what they have left to the background.
    """

    seconds: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)
    left: float = 0.0

    async def add(self, call: Call) -> None:
        """Measure one more call."""
        used, began = time.process_time(), time.perf_counter()
        await call()
        self.seconds.append(time.perf_counter() - began)
        self.used.append(time.process_time() - used)

    def figures(self) -> dict[str, Any]:
        """`spread`, and processor time a call in milliseconds: its median, and its mean with what
        was left to the background."""
        total = sum(self.used) + self.left
        return {
            **spread(self.seconds),
            "cpu_p50_ms": round(_rank(sorted(self.used), 50) * 1000, 3),
            "cpu_ms": round(total / len(self.used) * 1000, 3),
        }


async def timed(
    calls: Sequence[Call], *, budget_s: float = math.inf, settle: bool = False, pause: float = 0.0
) -> Timed:
    """Measure each call; fewer of them, but at least `LEAST`, where ``budget_s`` is used up.

    Args:
        calls: at least one.
        settle: wait for the background afterwards, and count its processor time.
        pause: seconds between two calls, for what else runs in this event loop.
    """
    gc.collect()
    found = Timed()
    started = time.perf_counter()
    for call in calls:
        if len(found.seconds) >= LEAST and time.perf_counter() - started > budget_s:
            break
        if pause:
            await asyncio.sleep(pause)
        await found.add(call)
    if settle:
        found.left = await at_rest()
    return found


async def at_rest() -> float:
    """Wait until the background of this process is at rest: the processor seconds it has used."""
    began, ends = time.process_time(), time.perf_counter() + _SETTLE_S
    while time.perf_counter() < ends:
        before = time.process_time()
        await asyncio.sleep(_QUIET_S)
        if time.process_time() - before < _QUIET_CPU_S:
            break
    return time.process_time() - began


async def rate(messages: int, work: Call) -> dict[str, Any]:
    """How many messages a second ``work`` stores.

    Returns:
        ``messages_per_s``, ``seconds``, ``messages``; ``cpu_ms``: processor time of a message in
        milliseconds, with what is left to the background.
    """
    gc.collect()
    used, began = time.process_time(), time.perf_counter()
    await work()
    seconds = time.perf_counter() - began
    return rated(messages, seconds, time.process_time() - used + await at_rest())


async def together(
    callers: Sequence[Sequence[Call]], *, budget_s: float = math.inf
) -> dict[str, Any]:
    """Callers at the same time, each of whom stores a message after the other.

    Args:
        callers: the calls of each; at least one has one.
        budget_s: seconds after which nobody begins a further call.

    Returns:
        As `rate`, and ``callers`` and the `spread` of the calls.
    """
    gc.collect()
    seconds: list[float] = []
    used, began = time.process_time(), time.perf_counter()

    async def caller(calls: Sequence[Call]) -> None:
        for call in calls:
            started = time.perf_counter()
            if started - began > budget_s:
                return
            await call()
            seconds.append(time.perf_counter() - started)

    await asyncio.gather(*map(caller, callers))
    taken = time.perf_counter() - began
    used = time.process_time() - used + await at_rest()
    return {"callers": len(callers), **rated(len(seconds), taken, used), **spread(seconds)}


def rated(messages: int, seconds: float, used: float | None = None) -> dict[str, Any]:
    """The figures of `rate`, of what was measured elsewhere; without processor time for None."""
    figures: dict[str, Any] = {
        "messages_per_s": round(messages / seconds),
        "seconds": round(seconds, 3),
        "messages": messages,
    }
    if used is not None:
        figures["cpu_ms"] = round(used / messages * 1000, 4)
    return figures


def percentiles(seconds: Sequence[float]) -> dict[str, Any]:
    """p50, p95 and p99 in milliseconds (nearest rank), and of how many calls.

    Args:
        seconds: at least one duration.
    """
    ordered = sorted(seconds)
    figures: dict[str, Any] = {f"p{p}_ms": round(_rank(ordered, p) * 1000, 3) for p in (50, 95, 99)}
    return {**figures, "calls": len(ordered)}


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    """p50, p95, p99 and mean in milliseconds, and of how many calls."""
    mean = sum(seconds) / len(seconds)
    return {**percentiles(seconds), "mean_ms": round(mean * 1000, 3)}


def _rank(ordered: Sequence[float], p: int) -> float:
    return ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)]
