"""Pages about the store: how it grows, what it is about, and how it is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from bruno_core.utils.exceptions import BrunoError
from starlette.responses import Response

from bruno_memory_vec import ALL_USERS
from bruno_memory_vec.errors import MissingDependencyError, problem_and_fix
from bruno_memory_vec.surfaces.inspector.bars import columns, spark
from bruno_memory_vec.surfaces.inspector.looking import Look
from bruno_memory_vec.surfaces.inspector.pages import page
from bruno_memory_vec.upkeep.check import PROBLEM, Check
from bruno_memory_vec.upkeep.diagnosis import diagnose_store

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The parts of the page about what is stored, by the word in its address.
SECTIONS: Final = {
    "growth": "Growth",
    "conversations": "Conversations",
    "topics": "Topics",
    "recalled": "Recalled",
    "repeats": "Repeats",
}
_LISTED: Final = 15
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MOST_VALUES: Final = 40


async def insight(look: Look) -> Response:
    """``/insight``: growth, how conversations go, topics, what is recalled, what repeats.

    Of the user that is looked at; of all users where nobody is chosen.
    """
    section = look.choice("section", tuple(SECTIONS), "growth")
    whose: Any = look.user if look.user_id or not look.visitor.may_choose else ALL_USERS
    analytics = look.memory.analytics
    found: Any = None
    missing = ""
    began = time.perf_counter()
    if section == "growth":
        found = await analytics.growth(whose)
    elif section == "conversations":
        found = await analytics.conversations(whose)
    elif section == "topics":
        try:
            found = await analytics.topics(whose)
        except MissingDependencyError as error:
            missing = error.fix
    elif section == "recalled":
        found = await analytics.usage(whose, limit=_LISTED)
    else:
        found = await analytics.duplicates(whose, limit=_LISTED)
    return page(
        look,
        "insight.html",
        section=section,
        sections=SECTIONS,
        found=found,
        missing=missing,
        took=time.perf_counter() - began,
        user=look.user_id,
        columns=columns,
        spark=spark,
        weekdays=_WEEKDAYS,
    )


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
