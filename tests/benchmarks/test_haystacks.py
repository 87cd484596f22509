"""LongMemEval and BEAM: neither is at hand, so their exact forms are written out here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from benchmarks.retrieval.datasets import NoSplitError, load
from bruno_memory_vec.errors import InvalidInputError

Write = Callable[..., Path]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)


# LongMemEval


def longmemeval() -> list[dict[str, Any]]:
    return [
        {
            "question_id": "e47becba",
            "question_type": "single-session-user",
            "question": "What degree did I graduate with?",
            "answer": "Business Administration",
            "question_date": "2023/05/30 (Tue) 23:40",
            "haystack_session_ids": ["s_late", "s_early"],
            "haystack_dates": ["2023/05/22 (Mon) 09:05", "2023/05/20 (Sat) 02:21"],
            "haystack_sessions": [
                [
                    {"role": "user", "content": "I need a bread recipe."},
                    {"role": "assistant", "content": "Take flour."},
                ],
                [
                    {
                        "role": "user",
                        "content": "I graduated in Business Administration.",
                        "has_answer": True,
                    },
                    {"role": "assistant", "content": "Well done.", "has_answer": False},
                    {"role": "user", "content": ""},
                ],
            ],
            "answer_session_ids": ["s_early"],
        },
        {
            "question_id": 7,
            "question_type": "multi-session",
            "question": "How many pets do I have?",
            "question_date": None,
            "haystack_session_ids": [1, 2],
            "haystack_dates": [],
            "haystack_sessions": [
                [{"role": "Human", "content": "I have a dog."}],
                [{"role": "AI", "content": "And a cat."}],
            ],
            "answer_session_ids": [1, 2, "gone"],
        },
        {
            "question_id": "abc_abs",
            "question_type": "single-session-user",
            "question": "What is my parrot called?",
            "question_date": "2023/05/30 (Tue) 23:40",
            "haystack_session_ids": [],
            "haystack_dates": [],
            "haystack_sessions": [],
            "answer_session_ids": [],
        },
    ]


def test_longmemeval(write_json: Write) -> None:
    path = write_json("lme/longmemeval_s_cleaned.json", longmemeval())
    data = load("longmemeval", path.parent)
    assert data.name == "longmemeval_s_cleaned"
    first, second = data.questions
    assert (first.user_id, first.group, first.category) == (
        "e47becba",
        "e47becba",
        "single-session-user",
    )
    assert (first.gold, first.gold_sessions) == (("s_early/0",), ("s_early",))
    assert first.asked_at == utc(2023, 5, 30, 23, 40)
    own = [one for one in data.turns if one.user_id == "e47becba"]
    assert [one.id for one in own] == ["s_early/0", "s_early/1", "s_late/0", "s_late/1"]
    assert own[1].at == datetime(2023, 5, 20, 2, 21, 1, tzinfo=timezone.utc)
    # Ids as numbers, no dates, other names of the roles, gold by session alone.
    assert (second.id, second.gold, second.gold_sessions) == ("7", (), ("1", "2"))
    assert second.asked_at is None
    others = [one for one in data.turns if one.user_id == "7"]
    assert [(one.role, one.at) for one in others] == [("user", None), ("assistant", None)]
    assert data.about == {
        "gold": "by session, and by turn where has_answer",
        "left out: empty texts": "1",
        "left out: dates of sessions that could not be read": "2",
        "left out: unknown gold sessions": "1",
        "left out: abstention questions": "1",
    }
    assert load("longmemeval", path, "test").questions == data.questions
    with pytest.raises(NoSplitError):
        load("longmemeval", path, "dev")


def test_longmemeval_session_that_stands_twice_keeps_its_turns_apart(write_json: Write) -> None:
    (entry,) = longmemeval()[1:2]
    entry |= {"haystack_session_ids": ["s", "s"], "answer_session_ids": ["s"]}
    data = load("longmemeval", write_json("longmemeval_s.json", [entry]))
    assert [one.id for one in data.turns] == ["s/0", "s/1"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"haystack_session_ids": ["a"]}, r"\[0\] \(e47becba\): 1 session ids for 2 sessions"),
        ({"haystack_sessions": {}}, r"haystack_sessions: expected a list, got an object"),
        ({"haystack_sessions": [["hi"], []]}, r"\[0\]: expected an object, got text"),
        ({"question_id": ""}, r"\[0\]\.question_id: expected an id, got empty text"),
    ],
)
def test_longmemeval_refuses(write_json: Write, change: dict[str, Any], problem: str) -> None:
    path = write_json("longmemeval_s.json", [{**longmemeval()[0], **change}])
    with pytest.raises(InvalidInputError, match=problem):
        load("longmemeval", path)


def test_longmemeval_folder_without_its_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"holds no longmemeval_\*\.json"):
        load("longmemeval", tmp_path)
    with pytest.raises(InvalidInputError, match="is not there"):
        load("longmemeval", tmp_path / "gone")


# BEAM


@pytest.fixture
def beam(write_json: Write) -> Path:
    write_json(
        "beam/chats/100K/2/chat.json",
        [
            {
                "batch_number": 1,
                "turns": [
                    [
                        {
                            "role": "user",
                            "id": 0,
                            "content": "I have 3 -> 5 apples. ->-> 1,1",
                            "time_anchor": "March-15-2024",
                        },
                        {"role": "assistant", "id": 1, "content": "Noted ->-> 1,1"},
                    ],
                    [{"role": "user", "id": 2, "content": "My sprint ends Friday.->-> 1,12"}],
                ],
            },
            {
                "batch_number": 2,
                "turns": [
                    [
                        {
                            "role": "user",
                            "id": 3,
                            "content": "The sprint ends Monday.",
                            "time_anchor": "April-01-2024",
                        },
                        {"role": "user", "id": 4, "content": "->-> 2,1"},
                        {"role": "tool", "id": 3, "content": "A second of this id."},
                    ]
                ],
            },
            {"batch_number": 3, "turns": [[{"role": "user", "id": 5, "content": "No date."}]]},
        ],
    )
    write_json(
        "beam/chats/100K/2/probing_questions/probing_questions.json",
        {
            "abstention": [{"question": "Who is my dentist?", "source_chat_ids": None}],
            "knowledge_update": [
                {
                    "question": "When does my sprint end?",
                    "source_chat_ids": {"original_info": [2], "updated_info": [5, 2]},
                }
            ],
            "event_ordering": [{"question": "In which order?", "source_chat_ids": [0, [2], 77]}],
            "information_extraction": [
                {"question": "Repeated id?", "source_chat_ids": [3]},
                {"question": "", "source_chat_ids": [0]},
            ],
        },
    )
    return write_json("beam/topics.json", []).parent


def test_beam(beam: Path) -> None:
    data = load("beam", beam)
    user = "100K/2"
    assert {one.user_id for one in data.turns} == {user}
    assert [one.id for one in data.turns] == ["0", "1", "2", "3", "5"]
    # The mark is taken off users' messages alone, and arrows inside stay.
    assert [one.content for one in data.turns[:3]] == [
        "I have 3 -> 5 apples.",
        "Noted ->-> 1,1",
        "My sprint ends Friday.",
    ]
    assert [one.at for one in data.turns] == [
        utc(2024, 3, 15),
        datetime(2024, 3, 15, 0, 0, 1, tzinfo=timezone.utc),
        datetime(2024, 3, 15, 0, 0, 2, tzinfo=timezone.utc),
        utc(2024, 4, 1),
        None,
    ]
    assert data.turns[3].conversation_id == f"{user}/batch_2"
    update, order = data.questions
    assert (update.category, update.gold, update.group) == ("knowledge_update", ("2", "5"), user)
    assert (order.category, order.gold) == ("event_ordering", ("0", "2"))
    assert (data.headline, data.apart) == ({"knowledge_update"}, {"event_ordering"})
    assert data.about == {
        "left out: empty texts": "1",
        "left out: texts of an id that stood before": "1",
        "left out: dates of batches that could not be read": "1",
        "left out: abstention questions": "1",
        # 77 is no message; what 3 means cannot be told.
        "left out: unknown gold ids": "2",
        "left out: questions without gold": "1",
        "left out: questions without text": "1",
    }


def test_beam_chats_are_users_in_the_order_of_their_numbers(beam: Path, write_json: Write) -> None:
    for number in (10, 1):
        write_json(
            f"beam/chats/100K/{number}/chat.json",
            [{"turns": [[{"role": "user", "id": 0, "content": "Hello."}]]}],
        )
        write_json(
            f"beam/chats/100K/{number}/probing_questions/probing_questions.json",
            {"summarization": [{"question": "What?", "source_chat_ids": [0]}]},
        )
    users = dict.fromkeys(one.user_id for one in load("beam", beam / "chats" / "100K").turns)
    assert list(users) == ["100K/1", "100K/2", "100K/10"]
    assert {one.user_id for one in load("beam", beam / "chats" / "100K" / "10").turns} == {
        "100K/10"
    }


def test_beam_refuses(beam: Path, tmp_path: Path, write_json: Write) -> None:
    with pytest.raises(InvalidInputError, match=r"holds no chat\.json"):
        load("beam", write_json("empty/x.json", []).parent)
    chat = beam / "chats" / "100K" / "2" / "chat.json"
    (chat.parent / "probing_questions" / "probing_questions.json").unlink()
    with pytest.raises(InvalidInputError, match=r"probing_questions\.json: is not there"):
        load("beam", beam)
    chat.write_text('[{"turns": [[{"id": true}]]}]', encoding="utf-8")
    with pytest.raises(
        InvalidInputError, match=r"chat\.json, \[0\]\.turns\[0\]\[0\]\.id: expected an id"
    ):
        load("beam", beam)
