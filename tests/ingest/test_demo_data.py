"""The demo: its three files agree with each other and hold what they promise."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import datetime

import pytest

from bruno_memory_vec.portability import Turn
from bruno_memory_vec.surfaces import demo


@pytest.fixture(scope="module")
def conversations() -> dict[str, list[Turn]]:
    found: dict[str, list[Turn]] = defaultdict(list)
    for turn in demo.turns():
        found[turn.conversation_id].append(turn)
    return found


def key_facts(answer: str) -> list[str]:
    """Numbers, and words whose capital does not come from starting the answer."""
    numbers = re.findall(r"\d[\d:,.]*\d|\d", answer)
    names = re.findall(r"(?<!^)\b[A-Z]\w+", answer)
    return [*numbers, *names] or re.findall(r"\w+", answer)[:1]


def test_two_users_over_a_year(conversations: dict[str, list[Turn]]) -> None:
    owners = [turns[0].user_id for turns in conversations.values()]
    assert (owners.count("ana"), owners.count("ben")) == (38, 9)
    times = [turn.message.timestamp for turn in demo.turns()]
    assert datetime(2025, 9, 1) <= min(times)
    assert max(times) < datetime(2026, 10, 1)


def test_each_conversation_is_one_dialogue(conversations: dict[str, list[Turn]]) -> None:
    for name, turns in conversations.items():
        assert 6 <= len(turns) <= 12, name
        times = [turn.message.timestamp for turn in turns]
        assert times == sorted(set(times)), name
        assert name.startswith(f"{turns[0].user_id}-{times[0]:%Y-%m-%d}-")
        assert {turn.user_id for turn in turns} == {turns[0].user_id}
        roles = [turn.message.role.value for turn in turns]
        assert roles == [("user", "assistant")[n % 2] for n in range(len(turns))], name


def test_conversations_follow_each_other() -> None:
    names = list(dict.fromkeys(turn.conversation_id for turn in demo.turns()))
    joined = [turn.conversation_id for turn in demo.turns()]
    assert joined == sorted(joined, key=names.index)


def test_ids_are_the_same_at_every_call() -> None:
    ids = [turn.message.id for turn in demo.turns()]
    assert ids == [turn.message.id for turn in demo.turns()]
    assert len(set(ids)) == len(ids)
    entries = [entry.id for entry in demo.memories()]
    assert entries == [entry.id for entry in demo.memories()]
    assert len(set(entries)) == len(entries)


@pytest.mark.parametrize("question", demo.questions(), ids=lambda q: q.question[:40])
def test_the_turn_named_answers_the_question(
    question: demo.Question, conversations: dict[str, list[Turn]]
) -> None:
    turn = conversations[question.conversation_id][question.turn]
    assert turn.user_id == question.user_id
    for fact in key_facts(question.answer):
        assert fact.lower() in turn.message.content.lower()


def test_about_half_the_questions_use_other_words(
    conversations: dict[str, list[Turn]],
) -> None:
    def words(text: str) -> set[str]:
        return {word for word in re.findall(r"\w+", text.lower()) if len(word) > 3}

    shared = []
    for question in demo.questions():
        turn = conversations[question.conversation_id][question.turn]
        asked = words(question.question)
        shared.append(len(asked & words(turn.message.content)) / len(asked))
    assert sum(share <= 0.25 for share in shared) >= len(shared) / 2


def test_memories_are_of_the_demo_users_and_year() -> None:
    for entry in demo.memories():
        assert entry.user_id in ("ana", "ben")
        assert datetime(2025, 9, 1) <= entry.created_at < datetime(2026, 10, 1)
        assert entry.metadata.tags
