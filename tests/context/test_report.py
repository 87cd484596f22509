"""The report of a context: as text, as HTML, as JSON, and its sums."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.context import BuiltContext, ContextItem, ContextReport, LeftOut
from bruno_memory_vec.errors import InvalidInputError

AT = datetime(2024, 5, 6, tzinfo=timezone.utc)
REPORT = ContextReport(
    "hybrid",
    100,
    70,
    (
        ContextItem(
            "recalled", "message", "a", "m1", "<b>hi</b>\u202e", 20, True, "c", 3, "user", AT
        ),
        ContextItem("recalled", "memory", "b", "m2", "long", 30, False),
        ContextItem("question", "message", None, None, "What?", 9, speaker="user"),
    ),
    (
        LeftOut("recent", "message", "x", "budget"),
        LeftOut("recent", "message", "y", "budget"),
        LeftOut("recalled", "message", "z", "duplicate"),
    ),
    0.5,
)


def test_sums() -> None:
    assert REPORT.by_source == {"recalled": 50, "question": 9}


def test_as_text() -> None:
    summary, first, second, question, frame, left_out = str(REPORT).split("\n")
    assert summary == "hybrid: 70 of 100 tokens (recalled 50, question 9, frame 11)"
    assert first.split()[:5] == ["20", "recalled", "[m1]", "2024-05-06", "user"]
    assert "\u202e" not in first
    assert "cut" in second
    assert "What?" in question
    assert frame.split()[:2] == ["11", "frame"]
    assert left_out == "left out: 2 recent, budget; 1 recalled, duplicate"


def test_a_printed_report_is_bounded_and_adds_up() -> None:
    items = tuple(
        ContextItem("recalled", "message", str(n), f"m{n}", f"turn {n}", 10) for n in range(826)
    )
    report = ContextReport("hybrid", 100_000, 8_300, items)
    summary, *lines = str(report).split("\n")
    assert len(lines) == 42
    assert "... and 786 more" in lines[40]
    assert sum(int(line.split()[0]) for line in lines) == report.tokens
    assert summary == "hybrid: 8300 of 100000 tokens (recalled 8260, frame 40)"
    assert report._repr_html_().count("<tr>") == 43
    assert "... and 786 more" in report._repr_html_()


def test_a_mark() -> None:
    cited = REPORT.cited("[m2]")
    assert cited is not None
    assert cited.id == "b"
    assert REPORT.cited("m9") is None
    for wrong in (None, 1):
        with pytest.raises(InvalidInputError, match="mark"):
            REPORT.cited(wrong)  # type: ignore[arg-type]


def test_as_html() -> None:
    shown = BuiltContext([Message(role=MessageRole.USER, content="What?")], REPORT)._repr_html_()
    assert "&lt;b&gt;hi&lt;/b&gt;" in shown
    assert "<b>hi" not in shown
    assert "\u202e" not in shown
    assert "left out: 2 recent, budget" in shown


def test_as_json() -> None:
    told = json.loads(json.dumps(REPORT.to_dict()))
    assert told["items"][0]["at"] == "2024-05-06T00:00:00+00:00"
    assert told["left_out"][2]["reason"] == "duplicate"
    assert told["tokens"] == 70


def test_the_text_has_all_messages() -> None:
    built = BuiltContext(
        [
            Message(role=MessageRole.SYSTEM, content="Be brief."),
            Message(role=MessageRole.USER, content="What?"),
        ],
        REPORT,
    )
    assert built.text == "system: Be brief.\n\nuser: What?"
    assert str(built) == str(REPORT)
