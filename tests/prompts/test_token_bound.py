"""No tokenizer makes more tokens of a text than the bound."""

from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.prompts.token_bound import counter, most_tokens

#: Texts, and the most tokens that one of the nine vocabularies of scripts/token_costs.py makes of
#: each: languages, links, numbers, code, random characters.
COUNTED = json.loads((Path(__file__).parent / "token_counts.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", COUNTED, ids=lambda case: ascii(case["text"][:20]))
def test_no_vocabulary_has_more(case: dict[str, object]) -> None:
    text, tokens = str(case["text"]), int(str(case["tokens"]))
    assert tokens <= most_tokens(text)


def test_ordinary_text_is_not_far_below_the_bound() -> None:
    english = next(case for case in COUNTED if case["text"].startswith("The boiler was repaired"))
    assert most_tokens(english["text"]) <= 2 * english["tokens"]
    japanese = next(case for case in COUNTED if case["text"].startswith("昨日"))
    assert most_tokens(japanese["text"]) <= 2 * japanese["tokens"]


@given(st.text(st.characters()))
def test_never_more_than_the_bytes(text: str) -> None:
    normal = unicodedata.normalize("NFKC", text)
    sizes = [len(form.encode("utf-8", "surrogatepass")) for form in (*text, *normal)]
    assert most_tokens(text) <= 1 + sum(sizes)
    assert (most_tokens(text) == 0) == (not text)


@given(*[st.text("abc 日'\n9", min_size=1, max_size=30)] * 2)
def test_the_bound_of_two_is_at_most_the_sum_of_their_bounds(one: str, other: str) -> None:
    assert most_tokens(one + "\n" + other) <= most_tokens(one) + most_tokens(other) + 1


def test_known_words_count_only_as_whole_words() -> None:
    assert most_tokens("a house") == 3
    assert most_tokens("a housé") > most_tokens("a house")
    assert most_tokens("a houses") <= most_tokens("a housesz")
    assert most_tokens("a ahousea") >= 8
    assert most_tokens("a house家") > most_tokens("a house") + 1


def test_a_counter_has_to_count() -> None:
    assert counter(None) is most_tokens
    assert counter(len)("four") == 4
    for wrong in (lambda text: -1, lambda text: 1.5, lambda text: True, lambda text: text[999]):
        with pytest.raises(InvalidInputError, match="count_tokens"):
            counter(wrong)("four")


def test_a_megabyte_takes_less_than_a_hang() -> None:
    began = time.monotonic()
    for text in ("a" * 1_000_000, " a" * 500_000, "日" * 300_000, " the" * 250_000):
        most_tokens(text)
    assert time.monotonic() - began < 60
