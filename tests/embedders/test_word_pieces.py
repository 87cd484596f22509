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

from bruno_memory_vec.embedders import static, word_pieces
from bruno_memory_vec.embedders.unigram import Unigram
from bruno_memory_vec.embedders.word_pieces import WordPieces
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


@settings(max_examples=amount(40, 1000))
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

    def _cut_alone(self, words: Sequence[str]) -> list[list[int]]:
        plain = all(word.isascii() and word.isalnum() for word in words)
        if plain:
            self.cut = [*getattr(self, "cut", []), *words]
        return super()._cut_alone(words)


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
    monkeypatch.setattr(word_pieces, "_MOST_WORDS", 10)
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
    monkeypatch.setattr(word_pieces, "_MOST_WORDS", 40)
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


OTHERS = {
    "\u2581und": -4.0,
    "\u2581haus": -9.0,
    "t\u00fcr": -9.0,
    "\u6771": -8.0,
    "\u4eac": -8.0,
    "\u6771\u4eac": -9.0,
    "\u2581caf\u00e9": -9.0,
    "\u2581\u043f\u0440\u0438": -9.0,
    "\u0432\u0435\u0442": -9.0,
}


def named(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    """The pieces of ids, the others with a star."""
    first = tokenizer.get_vocab_size()
    others = list(OTHERS)
    return [tokenizer.id_to_token(n) if n < first else f"*{others[n - first]}" for n in ids]


def test_a_word_is_cut_by_the_vocabulary_that_needs_fewer_pieces(tokenizer: Tokenizer) -> None:
    pieces = WordPieces(tokenizer, Unigram(OTHERS))
    wanted = {
        "the harbour": ["the", "harbour"],
        "und": ["*\u2581und"],  # English has it whole, too
        "Haust\u00fcr": ["*\u2581haus", "*t\u00fcr"],
        "Caf\u00e9": ["*\u2581caf\u00e9"],
        "na\u00efve": ["naive"],  # the others do not know all of it
        "\u6771\u4eac!": ["*\u6771\u4eac", "!"],
        "\u4eac\u6771\u897f": ["*\u4eac", "*\u6771"],
        "\u043f\u0440\u0438\u0432\u0435\u0442, you": [
            "*\u2581\u043f\u0440\u0438",
            "*\u0432\u0435\u0442",
            ",",
            "you",
        ],
        "in3\u4eac": ["in", "##3", "*\u4eac"],
    }
    for text, named_pieces in wanted.items():
        for _ in range(2):  # the second time from memory
            assert named(tokenizer, pieces.ids([text])[0]) == named_pieces, text


@settings(max_examples=amount(40, 1000))
@given(texts)
@example("\u6771\u4eac" * 40 + " \u00fc" * 70 + "x" * 200)
def test_the_words_of_a_text_hold_its_pieces(tokenizer: Tokenizer, text: str) -> None:
    for pieces in (WordPieces(tokenizer), WordPieces(tokenizer, Unigram(OTHERS))):
        found = [one for _, ids in pieces.by_word(text) for one in ids]
        assert found == pieces.ids([text])[0]


def test_more_words_than_are_kept(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_pieces, "_MOST_WORDS", 10)
    given = [" ".join(f"v{n}" for n in range(50)), "z" * 90 + " caf\u00e9 \u6771\u4eac"]
    pieces = WordPieces(tokenizer, Unigram(OTHERS))
    assert pieces.ids(given) == [pieces.ids([text])[0] for text in given]
    assert len(pieces._known) <= 10


def test_a_second_vocabulary_needs_words(tokenizer: Tokenizer) -> None:
    made = {**json.loads(tokenizer.to_str()), "normalizer": None}
    with pytest.raises(ValueError, match="second tokenizer"):
        WordPieces(Tokenizer.from_str(json.dumps(made)), Unigram(OTHERS))


@settings(max_examples=amount(50, 500))
@given(st.lists(st.text("abcdefgnrstuyz0123456789", min_size=1, max_size=64), max_size=8))
@example(["unbelievably", "q" * 64, "7", "7342", "ab" * 32])
def test_words_together_are_cut_as_each_alone(tokenizer: Tokenizer, words: list[str]) -> None:
    pieces = WordPieces(tokenizer)
    assert pieces._cut_alone(words) == own(tokenizer, words)
    # Some of more texts than one.
    many = [f"{word}{number}" for number in range(300) for word in words[:2]]
    assert pieces._cut_alone(many) == own(tokenizer, many)
