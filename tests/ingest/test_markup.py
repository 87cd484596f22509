"""The text of HTML, and texts that are meant to take for ever."""

from __future__ import annotations

import io
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import read
from bruno_memory_vec.portability.readers.markup import plain, without


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("<p>One <b>two</b></p><p>three</p>", "One two\nthree"),
        ("<ul><li>a</li><li>b</li></ul>", "- a\n- b"),
        ("a<br>b &amp; c&nbsp;d", "a\nb & c d"),
        ("<head><style>p{}</style></head>x<script>1<2</script>y", "xy"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("a <!-- <p> --> b", "a  b"),
        ("no end <", "no end <"),
    ],
)
def test_the_text_of_html(written: str, text: str) -> None:
    assert plain(written) == text


@given(st.text(st.sampled_from("<>/!-p li=ax&"), max_size=80))
def test_any_markup(text: str) -> None:
    plain(text)


def test_what_is_marked_is_taken_out() -> None:
    mark = re.compile("<think>")
    assert without("a<think>b</think>c<think>d", mark, "</think>") == ("ac<think>d", 1)


def test_what_never_ends_takes_no_time_that_grows_with_its_square() -> None:
    # Each of these took minutes with a regular expression over all of it.
    texts = ["<style" * 200_000, "<!--" * 200_000, "<p<" * 200_000, "< " * 200_000 + ">"]
    began = time.process_time()
    for text in texts:
        plain(text)
    without("<think>" * 200_000, re.compile("<think>"), "</think>")
    chat = f"13/02/25, 18:50 - Ana: {'a' * 100_000}\n"
    assert len(list(read(io.BytesIO(chat.encode())))) == 1
    slack = [{"type": "message", "user": "U1", "text": "<" * 100_000, "ts": "1740823260.000200"}]
    assert len(list(read(io.BytesIO(json.dumps(slack).encode())))) == 1
    assert len(list(read(io.BytesIO(b"word " * 400_000)))) > 1_000
    assert time.process_time() - began < 60


def test_a_key_that_all_lines_have_is_told_once() -> None:
    row = {"conversation_id": "c", "role": "user", "content": "x", "tokens": 3}
    lines = "\n".join(json.dumps(row) for _ in range(30)).encode()
    with pytest.raises(InvalidInputError, match="each line has the key 'tokens'") as caught:
        list(read(io.BytesIO(lines)))
    assert "metadata" in str(caught.value)
