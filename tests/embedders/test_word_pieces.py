"""The tokens from remembered words are the tokenizer's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from bruno_memory_vec.embedders import static
from bruno_memory_vec.embedders.static import WordPieces
from tests.amounts import amount

_WORDS = st.sampled_from(
    "Harbour the don't 3.5 U.S. x_y [UNK] ## ünïcode 東京 a\u0301 unaffable".split()
)
_GAPS = st.sampled_from(
    ["", " ", "\n", "\t", "\r", "\x00", "\x0b", "\x1c", "\x7f", "\xa0", "\u200b"]
)
texts = st.one_of(
    st.text(max_size=40),
    st.text(st.characters(max_codepoint=0x7F), max_size=40),
    st.lists(st.tuples(_WORDS, _GAPS), max_size=8).map(
        lambda pairs: "".join(word + gap for word, gap in pairs)
    ),
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return static._weights(None).tokenizer


def own(tokenizer: Tokenizer, given: list[str]) -> list[list[int]]:
    return [one.ids for one in tokenizer.encode_batch_fast(given, add_special_tokens=False)]


@settings(max_examples=amount(100, 1000))
@given(st.lists(texts, max_size=6))
@example(["a" * 64, "a" * 65, "a" * 100, "a" * 101, "A b", "a B"])
def test_equal(tokenizer: Tokenizer, given: list[str]) -> None:
    pieces = WordPieces(tokenizer)
    assert pieces.ids(given) == own(tokenizer, given)
    # From memory now.
    assert pieces.ids(given[::-1]) == own(tokenizer, given[::-1])


class Counting(WordPieces):
    """Notes what it gives to the tokenizer."""

    def _cut(self, texts: Sequence[str]) -> list[list[int]]:
        self.cut = [*getattr(self, "cut", []), *texts]
        return super()._cut(texts)


def test_known_words_are_not_cut_again(tokenizer: Tokenizer) -> None:
    pieces = Counting(tokenizer)
    expected = pieces.ids(["The ferry leaves at nine."])
    assert sorted(pieces.cut) == [".", "at", "ferry", "leaves", "nine", "the"]
    pieces.cut = []
    assert pieces.ids(["the FERRY leaves\nat nine ."]) == expected
    assert pieces.cut == []
    pieces.ids(["the ferry again"])
    assert pieces.cut == ["again"]


def test_memory_is_bounded(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(static, "_MOST_WORDS", 10)
    pieces = WordPieces(tokenizer)
    for start in range(0, 200, 4):
        given = [f"w{n} said x{n}" for n in range(start, start + 4)]
        assert pieces.ids(given) == own(tokenizer, given)
        assert len(pieces._known) <= 10
    # More at once than may be kept, and words too long to be kept.
    for given in ([" ".join(f"v{n}" for n in range(50))], ["short", "z" * 90]):
        assert pieces.ids(given) == own(tokenizer, given)
        assert len(pieces._known) <= 10
        assert not any(len(word) > 64 for word in pieces._known)


def test_threads_share_it(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one replaces what is remembered, another reads on in what it began with."""
    monkeypatch.setattr(static, "_MOST_WORDS", 40)
    pieces = WordPieces(tokenizer)
    given = [[f"w{n} and w{n + 1}, w{n % 7}" for n in range(k, k + 9)] for k in range(300)]
    expected = [own(tokenizer, each) for each in given]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(pieces.ids, given)) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"added_tokens": [{"id": 1, "content": "ferry leaves", "special": False}]},
        {"normalizer": None},
        {"normalizer": {"lowercase": False}},
        {"pre_tokenizer": {"type": "Whitespace"}},
    ],
    ids=str,
)
def test_another_tokenizer_cuts_for_itself(tokenizer: Tokenizer, change: dict[str, Any]) -> None:
    made = json.loads(tokenizer.to_str())
    for name, value in change.items():
        if name == "normalizer" and value:
            made[name] = {**made[name], **value}
        elif name == "added_tokens":
            flags = ("single_word", "lstrip", "rstrip", "normalized")
            made[name] = [{**dict.fromkeys(flags, False), **one} for one in value]
        else:
            made[name] = value
    other = Tokenizer.from_str(json.dumps(made))
    given = ["The ferry leaves at nine: U.S. time?!", "ferry leaves"]
    assert WordPieces(other).ids(given) == own(other, given)
