"""The parts of a compression by themselves: sentences, evidence, blocks, chosen sentences."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.compression.blocks import Turn, blocks, may_be_compressed
from bruno_memory_vec.compression.evidence import dates_in, evidence_of, names_in, numbers_in
from bruno_memory_vec.compression.extractive import chosen_sentences
from bruno_memory_vec.compression.faithful import Source, fault_of
from bruno_memory_vec.compression.rarity import Rarity
from bruno_memory_vec.compression.said import said_in, said_in_summary, shown
from bruno_memory_vec.compression.sentences import sentences
from bruno_memory_vec.compression_policy import CompressionPolicy
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.prompts.token_bound import most_tokens
from bruno_memory_vec.rows.summaries import MOST_SOURCES

NOON = datetime(2024, 5, 6, 12, tzinfo=timezone.utc)
MINUTE = 60_000_000


def turn(number: int, content: str = "A word.", role: str = "", at: float | None = None) -> Turn:
    """A turn, some minutes after noon: as many as its number."""
    return Turn(
        seq=number,
        id=str(number),
        turn=number,
        role=role or ("user" if number % 2 == 0 else "assistant"),
        speaker=None,
        content=content,
        at=micros(NOON) + int((number if at is None else at) * MINUTE),
        importance=0.5,
        pinned=False,
        archived_at=None,
        tokens=most_tokens(content),
    )


def words(text: str) -> Sequence[str]:
    return re.findall(r"\w+", text.lower())


def test_sentences_end_where_a_reader_ends_them() -> None:
    text = (
        'Dr. Weber paid 3.50 euros, e.g. for tea. "Fine!" he said. J. Smith (no. 4) agreed...\n'
        "- one thing\n```\nx = f(a.b)\n```\n你好。再见！ !!! See https://a.b/c?d=e. Ok?"
    )
    assert sentences(text) == [
        "Dr. Weber paid 3.50 euros, e.g. for tea.",
        '"Fine!"',
        "he said.",
        "J. Smith (no. 4) agreed...",
        "- one thing",
        "x = f(a.b)",
        "你好。",
        "再见！",
        "See https://a.b/c?d=e.",
        "Ok?",
    ]
    long = "a clause of a very long sentence that never ends, " * 40
    assert all(len(one) <= 400 for one in sentences(long))
    assert "".join(sentences(long)).replace(" ", "") == long.replace(" ", "")


@given(st.text(max_size=2000))
def test_sentences_lose_no_word(text: str) -> None:
    kept = "".join(filter(str.isalnum, "".join(sentences(text))))
    assert kept == "".join(filter(str.isalnum, text))


def test_evidence_of_a_text() -> None:
    text = (
        "Yesterday Marta's sister Ana paid 1,250.50 euros in New York, on 6 May 2024. Then we met "
        "at 9:30 on Tuesday for PROJ-1234. I think it was fine. Bernadette's iPhone12 broke in "
        "August, on 2024-08-03."
    )
    found = evidence_of(text)
    assert found.names == {"marta", "ana", "new", "york", "proj-1234", "bernadette", "iphone12"}
    assert {"1250.50", "9:30", "6", "2024"} <= found.numbers
    assert found.dates == {"2024-05-06", "tuesday", "may", "august", "2024-08-03"} - {"may"}
    assert dates_in("2024年5月6日") == {"2024年5月6日"}
    assert names_in("What? Why. Because the weather was nice!") == set()
    assert numbers_in("12.000 and 12,5 and 1,000,000") == {"12.000", "12.5", "1000000"}


def test_blocks_are_cut_at_pauses_and_keep_calls_with_their_results() -> None:
    policy = CompressionPolicy(keep_newest=0, block_turns=6, min_turns=2)
    said = [turn(number) for number in range(6)]
    said += [turn(number, at=500 + number) for number in range(6, 9)]
    said += [turn(9, role="assistant", at=509)]
    said += [turn(number, role="tool", at=510) for number in range(10, 14)]
    said += [turn(14, role="assistant", at=511)]
    groups = may_be_compressed(said, policy, NOON)
    assert [len(group) for group in groups] == [1] * 9 + [5, 1]
    cut = [[one.turn for one in block] for block in blocks(groups, policy)]
    assert cut[0] == [0, 1, 2, 3, 4, 5]
    assert [one for block in cut for one in block] == list(range(15))
    (call,) = [block for block in cut if 9 in block]
    assert {9, 10, 11, 12, 13} <= set(call)


def test_a_question_begins_the_next_block_with_its_answer() -> None:
    policy = CompressionPolicy(keep_newest=0, block_turns=5, min_turns=2)
    cut = blocks([[turn(number)] for number in range(10)], policy)
    assert [[one.turn for one in block] for block in cut] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_call_that_has_no_answer_yet_stays_with_its_results() -> None:
    policy = CompressionPolicy(keep_newest=1, min_turns=2)
    said = [turn(0), turn(1), turn(2), turn(3, role="assistant"), turn(4, role="tool")]
    groups = may_be_compressed(said, policy, NOON)
    assert [one.turn for group in groups for one in group] == [0, 1, 2]


@given(st.lists(st.sampled_from(["user", "assistant", "tool", "system"]), max_size=60), st.data())
def test_every_turn_that_goes_is_in_one_block(roles: list[str], data: st.DataObject) -> None:
    policy = CompressionPolicy(
        keep_newest=data.draw(st.integers(0, 5)),
        block_turns=data.draw(st.integers(2, 8)),
        block_tokens=data.draw(st.integers(50, 200)),
    )
    pauses = data.draw(st.lists(st.sampled_from([1, 500]), min_size=60, max_size=60))
    said = [
        turn(number, "Some words of this turn. " * (number % 5 + 1), role, sum(pauses[:number]))
        for number, role in enumerate(roles)
    ]
    groups = may_be_compressed(said, policy, NOON)
    cut = blocks(groups, policy)
    assert [one for block in cut for one in block] == [one for group in groups for one in group]
    assert all(block for block in cut)
    begins = {block[0].turn for block in cut}
    inside = {one.turn for group in groups for one in group[1:]}
    assert not begins & inside, "a call was cut from its results"


def test_chosen_sentences_keep_facts_and_leave_repeats() -> None:
    told = [
        "Well, you know how it is. The boiler cost 386 euros. I was happy.",
        "The boiler cost 386 euros. Do you like it?",
        "Marta Silva moved to Bergen on 3 June. I like it, you know, I like it.",
    ]
    said = said_in([turn(number, text) for number, text in enumerate(told)])
    rarity = Rarity(words, 100, dict.fromkeys("i it you like the was how is well know".split(), 60))
    chosen = chosen_sentences(said, 60, most_tokens, rarity)
    text = shown(chosen)
    assert most_tokens(text) <= 60
    assert "386" in text
    assert "Bergen" in text
    assert text.count("386") == 1
    assert text.startswith("2024-05-06 (user) ")
    assert shown(chosen, date(2024, 5, 6)).startswith("(user) ")
    assert chosen_sentences(said, 3, most_tokens, rarity) == []
    rest = chosen_sentences(said, 60, most_tokens, rarity, said="386 euros boiler cost", most=1)
    assert [one.text for one in rest] == ["Marta Silva moved to Bergen on 3 June."]


@given(
    st.lists(st.text(alphabet="ab cd.12 Ana?!", max_size=80), min_size=1, max_size=12),
    st.integers(1, 200),
)
def test_a_summary_is_never_over_its_budget(texts: list[str], budget: int) -> None:
    said = said_in([turn(number, text) for number, text in enumerate(texts)])
    chosen = chosen_sentences(said, budget, most_tokens, Rarity(words, 10, {}))
    assert not chosen or most_tokens(shown(chosen)) <= budget
    places = [next(i for i, one in enumerate(said) if one is other) for other in chosen]
    assert places == sorted(set(places))


def test_a_summary_is_read_back_as_it_was_shown() -> None:
    said = said_in([turn(0, "Ana is here. It rains."), turn(1, "Good."), turn(2, "Bye.", at=3000)])
    for day in (date(2000, 1, 1), date(2024, 5, 6)):
        again = said_in_summary(shown(said, day), day, 7)
        assert [(one.text, one.speaker, one.day) for one in again] == [
            (one.text, one.speaker, one.day) for one in said
        ]
    (plain,) = said_in_summary("A model wrote this.", date(2024, 1, 2), 0)
    assert (plain.speaker, plain.day) == (None, date(2024, 1, 2))


@pytest.mark.parametrize(
    "summary",
    [
        "Ana paid 386 euros for the boiler on 6 May 2024.",
        "1. Ana likes the boiler.\n2. It cost 386 euros.",
        "The user (Ana) says the boiler cost 386 euros; Additionally, it works.",
    ],
)
def test_what_a_faithful_summary_may_say(summary: str) -> None:
    text = '- 2024-05-06, user: "I am Ana. The boiler cost 386 euros, and it works. I like it."'
    source = Source(text, [date(2024, 5, 6)], 200)
    assert fault_of(summary, source, words, most_tokens) is None


@pytest.mark.parametrize("results", [0, 5, MOST_SOURCES - 1, MOST_SOURCES, 3 * MOST_SOURCES])
def test_a_block_has_no_more_turns_than_its_summary_can_name(results: int) -> None:
    """Without their ids, neither a deletion nor a restoration would find the summary again."""
    policy = CompressionPolicy(keep_newest=0, block_turns=1000, block_tokens=10_000_000)
    said = [turn(number, at=0.0) for number in range(1302)]
    call = len(said)
    said += [turn(call + n, role="tool" if n else "user", at=0.0) for n in range(results + 1)]
    said.append(turn(len(said), role="assistant", at=0.0))
    groups = may_be_compressed(said, policy, NOON)
    cut = blocks(groups, policy)
    assert [one.turn for block in cut for one in block] == [
        one.turn for one in said if results < MOST_SOURCES or not call <= one.turn <= call + results
    ]
    assert max(map(len, cut)) <= MOST_SOURCES
