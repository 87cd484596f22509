"""The report of a context: as text, as HTML, as JSON, and its sums."""

from __future__ import annotations

import json
from datetime import datetime, timezone

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.context import BuiltContext, ContextItem, ContextReport, LeftOut

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
    summary, first, second, question, left_out = str(REPORT).split("\n")
    assert summary == "hybrid: 70 of 100 tokens (recalled 50, question 9)"
    assert first.split()[:5] == ["20", "recalled", "[m1]", "2024-05-06", "user"]
    assert "\u202e" not in first
    assert "cut" in second
    assert "What?" in question
    assert left_out == "left out: 2 recent, budget; 1 recalled, duplicate"


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
