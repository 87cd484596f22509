"""The steps for what was said or asked several times, and the words by which that is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.rankers import AskedBefore, Fusion, RankSettings, Repeats, TimeNamed, rank
from bruno_memory_vec.rankers.plain import asks, plain_words, share, units
from bruno_memory_vec.rankers.question import Question
from bruno_memory_vec.rankers.time_expressions import Period
from bruno_memory_vec.rankers.unknown import MOST_WORDS, says_unknown
from tests.rankers.pools import DAY, NOW, added, make_pool

WORDS = RankSettings(Fusion("lexical"), (Repeats(3),))


def test_the_newest_has_the_place_of_the_best() -> None:
    pool = make_pool(
        4,
        lexical=[4.0, 3.0, 2.0, 1.0],
        created_at=[NOW - 3 * DAY, NOW, NOW - DAY, NOW],
        copy_of=[7, 8, 7, 9],
    )
    found = rank(pool, WORDS, k=4, now=NOW)
    assert found.order.tolist() == [2, 1, 3]
    assert found.score[2] == pytest.approx(1.0)
    assert found.signals["repeats"].tolist() == pytest.approx([0, 0, 2 / 3, 0])


def test_of_rows_of_one_time_the_one_stored_last_is_the_newest() -> None:
    pool = make_pool(3, lexical=[3.0, 2.0, 1.0], seq=[5, 9, 1], copy_of=[7, 7, 7])
    assert rank(pool, WORDS, k=3, now=NOW).order.tolist() == [1]


def test_where_a_time_is_named_the_one_of_that_time_is_shown() -> None:
    days = [NOW - 40 * DAY, NOW - 39 * DAY, NOW]
    pool = make_pool(3, lexical=[3.0, 2.0, 1.0], created_at=days, copy_of=[7, 7, 7])
    how = WORDS.with_steps(TimeNamed(0.1))
    then = Question("", periods=(Period(NOW - 41 * DAY, NOW - 38 * DAY),))
    assert rank(pool, how, k=3, now=NOW, question=then).order.tolist() == [1]
    assert rank(pool, how, k=3, now=NOW).order.tolist() == [2]


@given(
    st.sampled_from(
        ["please", "PLS", "Thanks a lot", "thank you so much", "thx", "btw", "Obrigada"]
    ),
    st.text("?!.,;)~，。！？、 \t\n\x1c\x85\xa0\u2005\u2028\u3000", max_size=6),
    st.sampled_from([" ", ", ", "\u3000"]),
)
def test_thanks_and_marks_at_the_end_say_nothing(thanks: str, marks: str, between: str) -> None:
    assert plain_words(f"Where is the key{between}{thanks}{marks}") == ("where", "is", "the", "key")
    assert (
        plain_words(f"Where is the key{thanks}y{marks}")[-1] == f"key{thanks}y".lower().split()[-1]
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.floats(-5, 5)), max_size=12))
def test_one_row_of_each_group_and_it_is_the_newest(rows: list[tuple[int, int, float]]) -> None:
    group, age, score = (list(part) for part in zip(*rows, strict=True)) if rows else ([], [], [])
    pool = make_pool(
        len(rows), lexical=score, created_at=[NOW - a * DAY for a in age], copy_of=group
    )
    found = rank(pool, WORDS, k=len(rows), now=NOW)
    assert sorted(pool.copy_of[found.order].tolist()) == sorted(set(group))  # type: ignore[index]
    for row in found.order.tolist():
        same = [i for i in range(len(rows)) if group[i] == group[row]]
        assert age[row] == min(age[i] for i in same)
    assert (np.diff(found.score[found.order]) <= 1e-9).all()


def test_without_groups_nothing_is_gained() -> None:
    assert added(Repeats(3), make_pool(2), np.array([1.0, 2.0])).tolist() == [0, 0]
    assert added(Repeats(3), make_pool(0, copy_of=[]), np.zeros(0)).tolist() == []


def test_what_was_asked_before_goes_to_the_end() -> None:
    pool = make_pool(4, asked_before=[True, False, True, False])
    loss = added(AskedBefore(0.7), pool, np.array([3.0, 1.0, 2.0, 0.5]))
    assert loss.tolist() == [-3.5, 0, -2.5, 0]
    assert added(AskedBefore(0.7), make_pool(1), np.array([3.0])).tolist() == [0]


SAME = [
    (
        "Where did I park my car?",
        "where did i park my car",
        "Hi Bruno, where did I park my car?",
        "Hey! Where did I park my car, please?",
        "Good morning. WHERE did I park my car??? Thanks!",
        "OK, so: where did I park my car\n🚗",
    ),
    ("I don't eat meat.", "i don’t eat meat", "Well, I don't eat meat!"),
    ("我的车停在哪里？", "你好，我的车停在哪里", "请问我的车停在哪里？谢谢"),
    ("Wo ist mein Auto?", "Guten Tag, wo ist mein Auto?", "Hallo Bo! Wo ist mein Auto, bitte?"),
    ("Hello!", "hello"),
]  # fmt: skip


@pytest.mark.parametrize("texts", SAME, ids=lambda texts: texts[0])
def test_the_same_in_other_clothes(texts: tuple[str, ...]) -> None:
    assert len({plain_words(text) for text in texts}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The boiler cost 386 euros.", "The boiler cost 396 euros."),
        ("I eat meat.", "I don't eat meat."),
        ("My sister lives in Porto.", "My sister lives in Lisbon."),
        ("Anna, Bo and Cy came.", "Eva, Bo and Cy came."),
        ("Hi, Anna is ill.", "Hi, Bo is ill."),
        ("Hi Anna", "Hi Bo"),
        ("We take the pan again.", "We take the pot again."),
    ],
)
def test_what_differs_in_a_fact_is_not_the_same(one: str, other: str) -> None:
    assert plain_words(one) != plain_words(other)


def test_of_a_long_text_the_beginning_is_read() -> None:
    assert len(plain_words("a " * 100_000)) == 1_000


def test_how_much_two_questions_share() -> None:
    def alike(one: str, other: str) -> float:
        return share(plain_words(one), plain_words(other))

    assert alike("Where did I park my car?", "where did I park the car") == pytest.approx(5 / 7)
    assert alike("我的车停在哪里？", "我的车停在哪儿？") == pytest.approx(6 / 8)
    assert alike("Where is it?", "Когда ты придёшь?") == 0
    assert share((), ()) == 0


def test_a_sentence_without_spaces_counts_as_several_words() -> None:
    assert units(plain_words("我喜欢喝茉莉花茶")) == 4
    assert units(plain_words("I like tea")) == 3
    assert units(plain_words("好")) == 1


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("where did i park", True),
        ("I wonder: where did I park?", True),
        ("我的车停在哪里？", True),
        ("Tell me where I parked", True),
        ("I parked there", False),
        ("", False),
    ],
)
def test_what_asks(text: str, *, does: bool) -> None:
    assert asks(text, plain_words(text)) is does


@pytest.mark.parametrize(
    "text",
    [
        "I don't know where you parked your car.",
        "I'm sorry, I don't have that information.",
        "Sorry, I'm not sure where you parked.",
        "You haven't told me where you parked your car.",
        "I have no record of where you parked.",
        "There is no information about your car in our conversations.",
        "I couldn’t find anything about that.",
        "No idea!",
        "I do not recall you mentioning it.",
        "Das weiß ich leider nicht.",
        "Je ne sais pas.",
        "抱歉，我不知道你的车停在哪里。",
        "Я не знаю.",
    ],
)
def test_what_says_that_it_is_not_known(text: str) -> None:
    assert says_unknown(text)


@pytest.mark.parametrize(
    "text",
    [
        "You parked on level 3.",
        "You know the garage: level 3, next to the lift.",
        "I am sure that it is on level 3.",
        "Level 3. Do you have the ticket?",
        "Not on level 2, on level 3.",
        "I don't know where it is now. " + "It was on level 3 then. " * MOST_WORDS,
        "",
    ],
)
def test_what_answers(text: str) -> None:
    assert not says_unknown(text)


def test_a_character_is_no_word_of_the_same_bytes() -> None:
    assert share(("of",), ("景",)) == 0.0
    assert share(("of", "景"), ("景",)) == 0.5
