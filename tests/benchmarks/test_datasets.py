"""The loaders, each against a small set of its exact form, and against what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from benchmarks.retrieval.datasets import SAMPLES, NoSplitError, load
from benchmarks.retrieval.datasets.reading import role_of, time_of
from bruno_memory_vec.errors import InvalidInputError
from tests.benchmarks.conftest import question, turn

Write = Callable[..., Path]


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)


# JSON Lines


def test_jsonl_is_read_whole(tiny: Path) -> None:
    data = load("jsonl", tiny)
    assert (data.name, len(data.turns), len(data.questions)) == ("tiny", 5, 3)
    assert data.headline == {"update", "fact"}
    first = data.questions[0]
    assert (first.gold, first.older, first.group) == (("t3",), ("t1",), "ana")
    assert first.asked_at == utc(2026, 6, 1, 9)
    assert data.turns[2].at == utc(2026, 4, 1, 10)
    assert data.turns[2].conversation_id == "ana-c2"


def test_jsonl_part_has_its_questions_and_their_users_turns(tiny: Path) -> None:
    data = load("jsonl", tiny, "test")
    assert [one.id for one in data.questions] == ["q3"]
    assert {one.user_id for one in data.turns} == {"ben"}


def test_jsonl_folder_is_one_data_set(write_lines: Write) -> None:
    write_lines("set/b.jsonl", question("q", "ana", "Where?", ["t"]))
    folder = write_lines("set/a.jsonl", turn("t", "ana", "In Porto.", "2026-01-01")).parent
    data = load("jsonl", folder)
    assert (data.name, data.questions[0].category) == ("set", "all")
    assert load("jsonl", folder, "test").questions == data.questions
    with pytest.raises(NoSplitError, match="no question says its split"):
        load("jsonl", folder, "dev")


def test_jsonl_needs_only_what_it_must(write_lines: Write) -> None:
    path = write_lines(
        "small.jsonl",
        {"type": "turn", "id": 1, "user_id": "ana", "content": "A document."},
        question("q", "ana", "Which?", [1]),  # type: ignore[list-item]
    )
    data = load("jsonl", path)
    assert data.turns[0].id == "1"
    assert (data.turns[0].role, data.turns[0].conversation_id, data.turns[0].at) == (
        "user",
        None,
        None,
    )
    assert data.questions[0].gold == ("1",)


GOOD = turn("t", "ana", "Hello.", "2026-01-01")
ASKED = question("q", "ana", "What?", ["t"])


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([GOOD, {**ASKED, "gold": ["t9"]}], r"line 2: gold names 't9', which is no turn of 'ana'"),
        ([GOOD, {**ASKED, "older": ["t9"]}], r"line 2: older names 't9'"),
        ([GOOD, {**ASKED, "gold": []}], r"line 2: gold is empty"),
        ([GOOD, {**ASKED, "user_id": "ben"}], r"no turn of 'ben'"),
        ([GOOD, {**ASKED, "golds": []}], r"unknown key 'golds'.*Its keys: type, id"),
        ([GOOD, {**ASKED, "split": "train"}], r"split is 'train'"),
        ([GOOD, {**ASKED, "question": " "}], r"question is empty"),
        ([GOOD, ASKED, ASKED], r"line 3: the question id 'q' stands twice"),
        ([GOOD, GOOD, ASKED], r"line 2: the id 't' stands twice for 'ana'"),
        ([{**GOOD, "role": "bot"}], r"line 1: role is 'bot'"),
        ([{**GOOD, "content": ""}], r"line 1: content is empty"),
        ([{**GOOD, "at": "yesterday"}], r"line 1: at is 'yesterday'.*2026-03-04"),
        ([{**GOOD, "id": None}], r"line 1, id: expected an id, got nothing"),
        ([{**GOOD, "type": "message"}], r"type is 'message'"),
        ([GOOD], r"has no question with gold"),
        ([], r"has no text"),
    ],
)
def test_jsonl_refuses(write_lines: Write, lines: list[dict[str, Any]], problem: str) -> None:
    path = write_lines("bad.jsonl", *lines)
    with pytest.raises(InvalidInputError, match=problem) as caught:
        load("jsonl", path)
    assert "bad.jsonl" in str(caught.value)
    assert caught.value.fix


def test_jsonl_names_the_line_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"type": "turn"\n', encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"bad\.jsonl, line 1: is no JSON"):
        load("jsonl", path)
    path.write_text("[1]\n", encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"line 1: expected an object, got a list"):
        load("jsonl", path)


# BEIR


@pytest.fixture
def beir(write_lines: Write) -> Path:
    folder = write_lines(
        "nano/corpus.jsonl",
        {"_id": "d1", "title": "Rivers", "text": "The Douro reaches the sea at Porto."},
        {"_id": "d2", "title": "", "text": "Beagles are hounds."},
        {"_id": "d3", "title": "Empty", "text": None},
        {"_id": "d4", "title": "", "text": " "},
    ).parent
    write_lines(
        "nano/queries.jsonl",
        {"_id": "1", "text": "Where is the Douro's mouth?"},
        {"_id": "2", "text": "What is a beagle?"},
        {"_id": "3", "text": "Never judged"},
    )
    (folder / "qrels").mkdir()
    (folder / "qrels" / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n1\td1\t2\n1\td2\t0\n9\td1\t1\n", encoding="utf-8"
    )
    (folder / "qrels" / "dev.tsv").write_text("2\td2\t1\n2\tgone\t1\n", encoding="utf-8")
    return folder


def test_beir(beir: Path) -> None:
    data = load("beir", beir, "test")
    assert (data.name, [one.id for one in data.questions]) == ("nano", ["1"])
    assert data.questions[0].gold == ("d1",)
    assert data.turns[0].content == "Rivers The Douro reaches the sea at Porto."
    assert data.turns[0].conversation_id is None
    assert [one.id for one in data.turns] == ["d1", "d2", "d3"]
    assert data.about == {
        "left out: empty texts": "1",
        "left out: judged questions that are not in queries.jsonl": "1",
    }


def test_beir_parts_are_its_judgement_files(beir: Path) -> None:
    data = load("beir", beir, "dev")
    assert (data.questions[0].gold, data.questions[0].group) == (("d2",), "2")
    assert data.about["left out: unknown gold ids"] == "1"
    assert len(load("beir", beir).questions) == 2
    (beir / "qrels" / "dev.tsv").unlink()
    with pytest.raises(NoSplitError, match=r"has no part 'dev'.*all, test"):
        load("beir", beir, "dev")


def test_beir_refuses_a_judgement_that_is_none(beir: Path) -> None:
    (beir / "qrels" / "dev.tsv").write_text("q\td\ts\n2 d2 1\n", encoding="utf-8")
    with pytest.raises(InvalidInputError, match=r"dev\.tsv, line 2: is no judgement"):
        load("beir", beir)


# LoCoMo


def test_locomo_without_its_gold_file_reads_ids_out_of_the_strings(write_json: Write) -> None:
    sample = {
        "sample_id": "conv-1",
        "conversation": {
            "speaker_a": "Ana",
            "speaker_b": "Ben",
            "session_1_date_time": "1:56 pm on 8 May, 2023",
            "session_1": [
                {"speaker": "Ana", "dia_id": "D1:1", "text": "I moved to Porto."},
                {"speaker": "Ben", "dia_id": "D1:2", "text": "Nice!"},
            ],
        },
        "qa": [
            {"question": "Where to?", "category": 4, "evidence": ["D1:1; D1:2", "D9:9"]},
            {"question": "Who?", "category": 5, "evidence": []},
            {"question": "When?", "category": 5, "evidence": ["D1:1"]},
        ],
    }
    folder = write_json("locomo10.json", [sample]).parent
    data = load("locomo", folder)
    assert data.questions[0].gold == ("D1:1", "D1:2")
    assert [one.id for one in data.questions] == ["conv-1/1", "conv-1/3"]
    assert (data.headline, data.apart) == ({"4"}, {"5"})
    assert data.turns[0].content == "Ana: I moved to Porto."
    assert data.turns[1].at == datetime(2023, 5, 8, 13, 56, 1, tzinfo=timezone.utc)
    assert data.about["left out: unknown gold ids"] == "1"


def test_locomo_parts_are_its_conversations(eval_data: Path) -> None:
    folder = eval_data / "locomo"
    if not folder.is_dir():
        pytest.skip(f"no LoCoMo in {eval_data}")
    dev, test, whole = (load("locomo", folder, split) for split in ("dev", "test", "all"))
    assert len(whole.turns) == 5882
    assert sum(one.category in whole.headline for one in whole.questions) == 1536
    users = [{one.user_id for one in data.turns} for data in (dev, test)]
    assert [len(one) for one in users] == [5, 5]
    assert not users[0] & users[1]
    assert whole.questions == (*dev.questions, *test.questions)
    assert all(one.second_gold for one in whole.questions if one.category in whole.headline)


def test_locomo_names_the_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"locomo10\.json: is not there"):
        load("locomo", tmp_path)


# What they share


def test_scifact_is_read(eval_data: Path) -> None:
    if not (eval_data / "scifact").is_dir():
        pytest.skip(f"no SciFact in {eval_data}")
    data = load("beir", eval_data / "scifact", "test")
    assert (len(data.turns), len(data.questions)) == (5183, 300)


def test_our_own_samples_are_read() -> None:
    data = load("jsonl", SAMPLES)
    assert data.name == "samples"
    assert any(one.older for one in data.questions)


def test_unknown_kinds_and_splits_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"'trec' is not known.*locomo, beir"):
        load("trec", tmp_path)
    with pytest.raises(InvalidInputError, match=r"'train' is not known.*dev, test, all"):
        load("jsonl", tmp_path, "train")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2023/05/30 (Tue) 23:40", utc(2023, 5, 30, 23, 40)),
        ("2023/05/30", utc(2023, 5, 30)),
        ("March-15-2024", utc(2024, 3, 15)),
        ("2026-03-04T18:20:00Z", utc(2026, 3, 4, 18, 20)),
        ("2026-03-04T18:20:00+02:00", utc(2026, 3, 4, 16, 20)),
        ("2026-03-04", utc(2026, 3, 4)),
        ("some day", None),
        ("", None),
        (None, None),
        (5, None),
    ],
)
def test_times(text: Any, expected: datetime | None) -> None:
    assert time_of(text) == expected


def test_roles() -> None:
    names = ["user", "Human", "assistant", "AI", "system", "Melanie", None]
    assert [role_of(name) for name in names] == [
        "user",
        "user",
        "assistant",
        "assistant",
        "system",
        "user",
        "user",
    ]
