"""Hits in a notebook, in a terminal, as JSON."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import Hit, Hits

ATTACK = "<script>alert('x')</script> & \"more\""


def hit(content: str = ATTACK, **changes: Any) -> Hit:
    fields: dict[str, Any] = {
        "id": "1",
        "content": content,
        "score": 0.75,
        "signals": {"lexical": 0.5, "<b>odd</b>": 0.25},
        "conversation_id": "<i>talk</i>",
        "turn": 3,
        "created_at": datetime(2024, 1, 2, tzinfo=timezone.utc),
        "record": Message(role=MessageRole.USER, content=content),
    }
    return Hit(**{**fields, **changes})


def noted() -> Hit:
    entry = MemoryEntry(content="a fact", memory_type=MemoryType.FACT, user_id="ana")
    return hit("a fact", conversation_id=None, turn=None, record=entry, signals={"semantic": 0.75})


def test_html_escapes_everything() -> None:
    for shown in (hit()._repr_html_(), Hits([hit(), noted()])._repr_html_()):
        assert "<script" not in shown
        assert "<i>" not in shown
        assert "<b>" not in shown
        assert "&lt;script&gt;" in shown
        assert "&lt;i&gt;talk&lt;/i&gt; #3" in shown


def test_html_has_a_column_for_each_signal() -> None:
    shown = Hits([hit(), noted()])._repr_html_()
    assert shown.count("<tr>") == 3
    for name in ("lexical", "semantic"):
        assert f"<th>{name}</th>" in shown
    assert "+0.000" in shown, "a signal that another hit has"
    assert Hits()._repr_html_().startswith("<table>")


def test_text() -> None:
    assert str(Hits()) == "no hits"
    text = str(Hits([hit("two\nlines  and spaces"), noted()]))
    assert "0.750  2024-01-02 user <i>talk</i>#3" in text
    assert "two lines and spaces" in text
    assert "2024-01-02 fact\n" in text
    assert "semantic +0.750" in text
    assert "…" in str(hit("x" * 500))
    assert len(str(hit("x" * 5000))) < 400


def test_json() -> None:
    first, second = (json.loads(json.dumps(one.to_dict())) for one in (hit(), noted()))
    assert first["created_at"] == "2024-01-02T00:00:00+00:00"
    assert (first["kind"], first["speaker"], first["content"]) == ("message", "user", ATTACK)
    assert (second["kind"], second["speaker"], second["turn"]) == ("memory", "fact", None)


def test_a_hit_does_not_change() -> None:
    one = hit()
    with pytest.raises(AttributeError):
        one.score = 1.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        one.signals["lexical"] = 1.0  # type: ignore[index]
