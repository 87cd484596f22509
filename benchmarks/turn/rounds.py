"""All systems on one store's rows: each operation by one after the other, in several rounds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Any

from benchmarks.apart import Apart, ApartError
from benchmarks.peers.base import versions
from benchmarks.scale.curves import Say, Settings
from benchmarks.scale.peers.base import Lacks
from benchmarks.turn.operations import ONCE, OPERATIONS, PHASES
from benchmarks.turn.running import Plan, Running
from benchmarks.turn.stores import store_of
from benchmarks.turn.systems import kind_of

Figures = dict[str, Any]


class Measuring(Running):
    """A system in its process, which measures what it is asked for."""

    async def measure(self, name: str) -> Figures:
        """The figures of an operation, or ``lacks``: why the system has nothing for it."""
        call = OPERATIONS[name].measure if name in OPERATIONS else ONCE[name]
        try:
            return await call(self)
        except Lacks as reason:
            return {"lacks": str(reason)}


def measure(
    plan: Plan,
    names: Sequence[str],
    operations: Sequence[str],
    rounds: int,
    settings: Settings,
    say: Say,
) -> Figures:
    """Every operation of every system, the median of the rounds.

    Returns:
        ``rows``, ``users`` and, by system, what it is, what it holds, and by operation its figures;
        ``lacks`` in their place where it has nothing for it, ``failed`` where it failed.
    """
    what = f"{plan.rows:,} rows, {plan.users:,} users"
    found: dict[str, dict[str, list[Figures]]] = {name: {} for name in names}
    systems: dict[str, Figures] = {}
    chosen = [one for one in (*OPERATIONS, *ONCE) if one in operations]
    steps = _steps(chosen, rounds)
    with ExitStack() as stack:
        running: dict[str, Apart] = {}
        for name in names:
            kind = kind_of(name)
            systems[name] = {
                "about": kind.about,
                "versions": versions(*kind.packages),
                "by_meaning": kind.by_meaning,
            }
            try:
                folder, built = stack.enter_context(store_of(name, plan, settings, say))
                systems[name]["built"] = built
                running[name] = stack.enter_context(Apart(Measuring, name, folder, plan))
                running[name].call("open")
            except ApartError as error:
                running.pop(name, None)
                systems[name]["failed"] = _last_line(error)
        for done, operation in enumerate(steps):
            for name, system in running.items():
                say(f"{what}: {operation}, {name}", done, len(steps))
                before = found[name].setdefault(operation, [])
                if before and not _measured(before[-1]):
                    continue
                try:
                    before.append(system.call("measure", operation))
                except ApartError as error:
                    before.append({"failed": _last_line(error)})
        for system in running.values():
            # One that has ended is told where it ended; the figures of the others stay.
            with suppress(ApartError):
                system.call("close")
    for name, of in found.items():
        systems[name]["operations"] = {key: middle(rounds_of) for key, rounds_of in of.items()}
    return {"rows": plan.rows, "users": plan.users, "systems": systems}


def middle(rounds: Sequence[Mapping[str, Any]]) -> Figures:
    """The median of each figure over the rounds, of all of which a truth has to hold."""
    first = rounds[0]
    if not all(map(_measured, rounds)):
        return dict(next(one for one in rounds if not _measured(one)))
    figures: Figures = {}
    for name, value in first.items():
        values = [one[name] for one in rounds if name in one]
        if isinstance(value, bool):
            figures[name] = all(values)
        elif isinstance(value, Mapping):
            figures[name] = middle(values)
        elif isinstance(value, (int, float)):
            figures[name] = statistics.median(values)
        else:
            figures[name] = value
    return figures


def _steps(chosen: Sequence[str], rounds: int) -> list[str]:
    """What reads in all rounds before what writes: a store that has grown is another store."""
    steps = [one for one in chosen if one in ONCE]
    for phase in PHASES:
        of_phase = [one for one in chosen if one in OPERATIONS and OPERATIONS[one].phase == phase]
        steps += of_phase * rounds
    return steps


def _measured(figures: Mapping[str, Any]) -> bool:
    return "lacks" not in figures and "failed" not in figures


def _last_line(error: ApartError) -> str:
    return str(error).strip().splitlines()[-1]
