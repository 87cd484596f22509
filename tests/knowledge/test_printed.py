"""What is known, as a terminal shows it: readable, bounded, and nothing stored steers it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec.context.known_line import KnownLine
from bruno_memory_vec.context.reading import about
from bruno_memory_vec.knowledge.extraction.fact import Fact
from bruno_memory_vec.knowledge.extraction.report import ExtractionReport
from bruno_memory_vec.knowledge.kinds.consolidation import Consolidated, ConsolidationReport
from bruno_memory_vec.knowledge.kinds.procedural import Procedure
from bruno_memory_vec.knowledge.users.profile import KnownFact, KnownValue, UserProfile
from bruno_memory_vec.knowledge.users.style import Style
from tests.unit.test_printed_hits import HOSTILE, steers

AT = datetime(2026, 5, 6, tzinfo=timezone.utc)
LONG = (HOSTILE + " word") * 5_000
STYLE = Style(10, 4.0, 9, (0,) * 24, (0,) * 7, 0, {"en": 10})


def fact(text: str, **more: Any) -> Fact:
    return Fact(
        "1", "user", "home", text, text, "fact", 0.9, 2, (), None, "patterns", AT, AT, **more
    )


def profile(text: str, count: int) -> UserProfile:
    values = {f"{text}{n}": KnownValue(text, text, "edited", (text,) * count) for n in range(count)}
    facts = (KnownFact("1", text, (), AT, 0.5),) * count
    return UserProfile(text, text, values, values, facts, STYLE)


def procedure(text: str, count: int) -> Procedure:
    entry = MemoryEntry(user_id="ana", content="x", memory_type=MemoryType.PROCEDURAL)
    return Procedure(entry, text, (text,) * count, 2, 1)


def report(text: str, count: int) -> ExtractionReport:
    return ExtractionReport("llm", 7, 3, 1, 1, 1, failures=[text] * count, cost=0.5)


def consolidation(count: int) -> ConsolidationReport:
    return ConsolidationReport(
        count, (Consolidated(UUID(int=1), UUID(int=2), "uses", known=False),) * count, dry_run=False
    )


def test_they_are_readable() -> None:
    assert str(fact("Ana lives in Graz.")) == "0.90  2026-05-06 fact, 2 times  Ana lives in Graz."
    assert str(fact("x", archived_at=AT)).endswith("x  (until 2026-05-06)")
    assert str(report("away", 1)).splitlines() == [
        "7 turns read by the model, 3 facts found",
        "1 new, 1 said again, 1 superseded, 0 ended",
        "failed: away",
        "cost: 0.5000",
    ]
    assert str(consolidation(1)).splitlines() == [
        "1 of 1 short-term memories made lasting",
        f"  {UUID(int=1)} -> {UUID(int=2)}  (uses)",
    ]
    assert str(procedure("step", 1)).splitlines() == [
        "step  (2 of 3 times it worked)",
        "  1. step",
    ]
    assert str(profile("tea", 1)).splitlines() == [
        "user tea, called tea",
        "  preference  tea: tea, tea  (set)",
        "  profile  tea: tea, tea  (set)",
        "  fact  tea  (0.50)",
        f"  {STYLE}",
    ]


@pytest.mark.parametrize(
    "shown",
    [fact(LONG), profile(LONG, 500), procedure(LONG, 500), report(LONG, 500), consolidation(500)],
    ids=lambda one: type(one).__name__,
)
def test_they_are_bounded_and_steer_nothing(shown: object) -> None:
    text = str(shown)
    assert steers(text) == []
    assert len(text.splitlines()) <= 70
    assert max(map(len, text.splitlines())) <= 650


def test_a_context_tells_the_style_once() -> None:
    (item,) = about([KnownLine(f"- {STYLE}")])
    assert (item.speaker, item.line) == ("writes", str(STYLE))
    assert f"{item.speaker} {item.text}" == str(STYLE)
    (item,) = about([KnownLine('- preference, drink: "tea: \\"green\\""')])
    assert item.speaker == "preference, drink"
