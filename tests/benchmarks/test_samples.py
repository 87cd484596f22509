"""The evaluation data of our own holds what its README says of it."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parents[2] / "benchmarks" / "retrieval" / "samples"
NAMES = ("updates", "assistant")
TURN = {"type", "id", "user_id", "conversation_id", "role", "content", "at"}
QUESTION = {
    "type",
    "id",
    "user_id",
    "question",
    "category",
    "gold",
    "older",
    "asked_at",
    "split",
}
Row = dict[str, Any]


def rows(name: str) -> list[Row]:
    lines = (SAMPLES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def parts(name: str) -> tuple[dict[str, Row], list[Row]]:
    everything = rows(name)
    turns = {row["id"]: row for row in everything if row["type"] == "turn"}
    return turns, [row for row in everything if row["type"] == "question"]


def time(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_a_turn_or_a_question_of_the_stated_form(name: str) -> None:
    for row in rows(name):
        assert set(row) == (TURN if row["type"] == "turn" else QUESTION), row["id"]
        if row["type"] == "turn":
            assert row["role"] in {"user", "assistant"}, row["id"]
            assert row["content"] == row["content"].strip() != "", row["id"]
            time(row["at"])
        else:
            assert row["type"] == "question", row["id"]
            assert row["split"] in {"dev", "test"}, row["id"]
            assert row["question"] == row["question"].strip() != "", row["id"]
            time(row["asked_at"])


def test_ids_are_unique_over_both_files() -> None:
    ids = Counter(row["id"] for name in NAMES for row in rows(name))
    assert [one for one, times in ids.items() if times > 1] == []


@pytest.mark.parametrize("name", NAMES)
def test_gold_and_older_are_turns_of_the_user_who_asks(name: str) -> None:
    turns, questions = parts(name)
    for question in questions:
        assert question["gold"], question["id"]
        named = [*question["gold"], *question["older"]]
        assert len(named) == len(set(named)), question["id"]
        for one in named:
            assert turns[one]["user_id"] == question["user_id"], question["id"]


@pytest.mark.parametrize("name", NAMES)
def test_a_question_is_asked_after_all_that_its_user_said(name: str) -> None:
    turns, questions = parts(name)
    for question in questions:
        mine = [t["at"] for t in turns.values() if t["user_id"] == question["user_id"]]
        assert time(max(mine)) < time(question["asked_at"]), question["id"]


@pytest.mark.parametrize("name", NAMES)
def test_a_users_turns_stand_in_the_order_of_their_times(name: str) -> None:
    turns, _ = parts(name)
    for user in {turn["user_id"] for turn in turns.values()}:
        mine = [time(turn["at"]) for turn in turns.values() if turn["user_id"] == user]
        assert mine == sorted(set(mine)), user


@pytest.mark.parametrize("name", NAMES)
def test_a_conversation_has_one_user_and_begins_with_them(name: str) -> None:
    turns, _ = parts(name)
    conversations: dict[str, list[Row]] = {}
    for turn in turns.values():
        conversations.setdefault(turn["conversation_id"], []).append(turn)
    for conversation, said in conversations.items():
        assert len({turn["user_id"] for turn in said}) == 1, conversation
        assert said[0]["role"] == "user", conversation


@pytest.mark.parametrize("name", NAMES)
def test_dev_and_test_share_no_user(name: str) -> None:
    turns, questions = parts(name)
    users = {
        split: {q["user_id"] for q in questions if q["split"] == split} for split in ("dev", "test")
    }
    assert users["dev"] & users["test"] == set()
    assert users["dev"] | users["test"] == {turn["user_id"] for turn in turns.values()}


def test_the_two_files_share_no_user() -> None:
    updates, assistant = ({row["user_id"] for row in rows(name)} for name in NAMES)
    assert updates & assistant == set()


def test_updates_holds_forty_pairs_and_eight_counterweights_a_split() -> None:
    _, questions = parts("updates")
    assert Counter((q["category"], q["split"]) for q in questions) == {
        ("update", "dev"): 40,
        ("update", "test"): 40,
        ("history", "dev"): 8,
        ("history", "test"): 8,
    }
    assert len({q["user_id"] for q in questions}) == 16


def test_an_older_statement_is_weeks_older_and_in_another_conversation() -> None:
    turns, questions = parts("updates")
    for question in questions:
        gold = [turns[one] for one in question["gold"]]
        older = [turns[one] for one in question["older"]]
        assert bool(older) == (question["category"] == "update"), question["id"]
        for old in older:
            for new in gold:
                assert (time(new["at"]) - time(old["at"])).days >= 14, question["id"]
                assert old["conversation_id"] != new["conversation_id"], question["id"]


def test_a_history_question_asks_for_what_was_said_before_the_end() -> None:
    turns, questions = parts("updates")
    for question in questions:
        if question["category"] == "history":
            last = max(time(t["at"]) for t in turns.values() if t["user_id"] == question["user_id"])
            said = max(time(turns[one]["at"]) for one in question["gold"])
            assert (last - said).days >= 60, question["id"]


def test_assistant_holds_eighty_questions_of_five_kinds_over_twenty_conversations() -> None:
    turns, questions = parts("assistant")
    assert Counter(q["split"] for q in questions) == {"dev": 40, "test": 40}
    assert {q["category"] for q in questions} == {
        "user-fact",
        "assistant-said",
        "temporal",
        "multi",
        "preference",
    }
    assert len({q["user_id"] for q in questions}) == 4
    lengths = Counter(turn["conversation_id"] for turn in turns.values())
    assert len(lengths) == 20
    assert all(6 <= length <= 10 for length in lengths.values())
    assert all(q["older"] == [] for q in questions)


def test_the_assistant_answers_at_length() -> None:
    turns, questions = parts("assistant")
    words = {t["id"]: len(t["content"].split()) for t in turns.values() if t["role"] == "assistant"}
    assert all(100 <= count <= 300 for count in words.values())
    for question in questions:
        roles = {turns[one]["role"] for one in question["gold"]}
        if question["category"] == "assistant-said":
            assert roles == {"assistant"}, question["id"]
        elif question["category"] in {"user-fact", "preference"}:
            assert "user" in roles, question["id"]
        elif question["category"] == "multi":
            assert 2 <= len(question["gold"]) <= 3, question["id"]
