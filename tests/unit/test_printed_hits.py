"""Hits as a terminal and a notebook show them: what was stored cannot steer either."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from datetime import datetime, timezone

from bruno_core.models.message import Message, MessageRole
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec import Hit
from bruno_memory_vec.recall.hits import Hits

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\x9b31m\u202eevil\u2028\U000e0041\x00<script>alert(1)</script>"


def hit(text: str) -> Hit:
    record = Message.model_construct(role=MessageRole.USER, content=text, metadata={})
    at = datetime(2024, 5, 6, tzinfo=timezone.utc)
    return Hit("1", text, 1.0, {text: 0.5, "lexical": 0.5}, text, 0, at, record)


def steers(shown: str) -> list[str]:
    """The characters that a terminal obeys or hides."""
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    return [c for c in shown if c != "\n" and unicodedata.category(c) in kinds]


@given(st.text(st.characters(exclude_categories=["Cf"])) | st.just(HOSTILE))
def test_nothing_that_was_stored_steers(text: str) -> None:
    one = hit(text)
    for shown in (str(one), str(Hits([one])), repr(Hits([one])), one._repr_html_()):
        assert steers(shown) == []
    assert str(one).count("\n") == 2


def test_what_was_not_ranked_shows_neither_a_score_nor_a_blank_line() -> None:
    plain = replace(hit("text"), signals={}, score=0.0, conversation_id="talk")
    assert str(plain) == "2024-05-06 user talk#0\n       text"
    assert "0.000" not in Hits([plain])._repr_html_()


def test_what_is_shown_in_its_place() -> None:
    shown = str(hit(HOSTILE))
    assert "\ufffd]0;owned\ufffd\ufffd[2J" in shown
    assert "\ufffd31m\ufffdevil" in shown
    html = hit(HOSTILE)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_emoji_and_scripts_are_shown_as_they_are() -> None:
    text = "👩\u200d🍳 می\u200cخواهم 日本語"
    assert text in str(hit(text))
    assert text in hit(text)._repr_html_()
