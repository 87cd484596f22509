"""Pages about the store: how it grows, what it is about, and how it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from bruno_core.utils.exceptions import BrunoError
from starlette.responses import Response

from bruno_memory_vec.errors import problem_and_fix
from bruno_memory_vec.surfaces.inspector.looking import Look
from bruno_memory_vec.surfaces.inspector.pages import page
from bruno_memory_vec.upkeep.check import PROBLEM, Check
from bruno_memory_vec.upkeep.diagnosis import diagnose_store

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_VALUES: Final = 40


async def insight(look: Look) -> Response:
    """``/insight``: growth, topics, what is recalled most and least."""
    user = look.user
    return page(look, "insight.html", user=user, counts=await look.memory.get_statistics(user))


async def health(look: Look) -> Response:
    """``/health``: as ``health()`` tells it, and with ``doctor=1`` every check and its fix.

    A user's token is only told whether all is well, as the figures are about everybody's rows.
    """
    memory = look.visitor.memory
    report = await memory.health()
    checks: list[Check] | None = None
    took = 0.0
    if look.visitor.may_choose and look.word("doctor") == "1":
        began = time.perf_counter()
        checks = await _checks(memory.config)
        took = time.perf_counter() - began
    return page(
        look,
        "health.html",
        report=report,
        problems=report.get("problems", {}),
        sections=_sections(report),
        checks=checks,
        took=took,
        whole=look.visitor.may_choose,
    )


async def _checks(config: Any) -> list[Check]:
    try:
        return await diagnose_store(config=config)
    except BrunoError as error:
        return [Check("doctor", PROBLEM, *problem_and_fix(error))]


def _sections(report: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The report as tables: single values first, then one table for each part."""
    plain = [(name, _said(value)) for name, value in report.items() if not isinstance(value, dict)]
    parts = [
        (name, list(_flat(value)))
        for name, value in report.items()
        if isinstance(value, dict) and name != "problems"
    ]
    return [("store", plain), *((name, rows) for name, rows in parts if rows)]


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{before}{name} ")
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            rows += [(f"{before}{name}", _one(one)) for one in value]
        else:
            rows.append((f"{before}{name}", _said(value)))
    return rows[:_MOST_VALUES]


def _one(values: Mapping[str, Any]) -> str:
    """A part of a list: what it is, then its figures."""
    first, *rest = values.items()
    told = [_said(first[1]), *(f"{name.replace('_', ' ')} {_said(value)}" for name, value in rest)]
    return ", ".join(told)


def _said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, (list, tuple)):
        return ", ".join(_said(one) for one in value) or "–"
    return str(value)
