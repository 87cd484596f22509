"""LoCoMo's file."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import MessageRole

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import BadLine, Turn, read
from bruno_memory_vec.portability.readers.locomo import parse_time
from bruno_memory_vec.portability.records import BadFieldError

DATE = "1:56 pm on 8 May, 2023"


def said(speaker: str, text: str, dia_id: str = "D1:1", **more: Any) -> dict[str, Any]:
    return {"speaker": speaker, "dia_id": dia_id, "text": text, **more}


def sample(*rows: Any, **talk: Any) -> dict[str, Any]:
    talk = {"speaker_a": "Cat", "speaker_b": "Mel", **talk}
    if rows:
        talk |= {"session_1": list(rows), "session_1_date_time": DATE}
    return {"sample_id": "conv-1", "conversation": talk, "qa": []}


def items(value: Any, chosen: str = "locomo") -> list[Turn | BadLine]:
    return list(read(io.BytesIO(json.dumps(value).encode()), format=chosen))  # type: ignore[arg-type]


@pytest.mark.parametrize("chosen", ["auto", "locomo"])
def test_a_sample(chosen: str) -> None:
    rows = [
        said("Cat", " Hi Mel! "),
        said("Mel", "Look", "D1:2", blip_caption="a photo of a dog"),
        said("Mel", "", "D1:3", blip_caption="a cup"),
    ]
    value = sample(*rows, session_10=[said("Mel", "late")], session_10_date_time=DATE)
    value["conversation"] |= {"session_2": [said("Mel", "soon")], "session_2_date_time": DATE}
    value["conversation"]["session_11_date_time"] = DATE
    got = [item for item in items([value], chosen) if isinstance(item, Turn)]
    assert [turn.message.content for turn in got] == [
        "Cat: Hi Mel!",
        "Mel: Look [image: a photo of a dog]",
        "Mel: [image: a cup]",
        "Mel: soon",
        "Mel: late",
    ]
    assert [turn.conversation_id for turn in got][2:] == [
        "conv-1/session_1", "conv-1/session_2", "conv-1/session_10",
    ]  # fmt: skip
    assert {turn.user_id for turn in got} == {"conv-1"}
    assert [turn.message.role for turn in got[:2]] == [MessageRole.USER, MessageRole.ASSISTANT]
    assert got[1].message.timestamp == datetime(2023, 5, 8, 13, 56, 1)
    assert got[1].message.metadata == {"dia_id": "D1:2", "speaker": "Mel"}


@pytest.mark.parametrize(
    ("text", "time"),
    [
        (DATE, datetime(2023, 5, 8, 13, 56)),
        ("12:09 am on 13 September, 2023", datetime(2023, 9, 13, 0, 9)),
        ("12:30 pm on 1 January, 2024", datetime(2024, 1, 1, 12, 30)),
    ],
)
def test_times(text: str, time: datetime) -> None:
    assert parse_time(text) == time


@pytest.mark.parametrize(
    "text", [None, "", "13:00 pm on 8 May, 2023", "1:00 pm on 31 June, 2023", "8 mai 2023"]
)
def test_times_that_are_none(text: Any) -> None:
    with pytest.raises(BadFieldError, match="1:56 pm"):
        parse_time(text)


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ([7], "[0].sample"),
        ([{"conversation": {}}], "[0].sample_id"),
        ([{"sample_id": "x"}], "x.conversation"),
        ([{"sample_id": "x", "conversation": {"speaker_a": "A"}}], "x.speaker_b"),
        ([sample(7)], "conv-1/session_1[0].turn"),
        ([sample(said("Cat", ""))], "conv-1/session_1[0].text"),
        ([sample(said("Cat", "a\ud800"))], "conv-1/session_1[0].text"),
        ([sample(said("Bob", "x"))], "conv-1/session_1[0].speaker"),
        ([sample({"speaker": "Cat", "text": "x"})], "conv-1/session_1[0].dia_id"),
        ([sample(said("Cat", "x", blip_caption=3))], "conv-1/session_1[0].blip_caption"),
        ([sample(session_3=[said("Cat", "x")])], "conv-1/session_3_date_time"),
        ([sample(session_3="x")], "conv-1/session_3"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(value: Any, where: str) -> None:
    (line,) = items(value)
    assert isinstance(line, BadLine)
    assert line.where == where


def test_a_document_that_is_no_list_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="is no locomo"):
        items("x")


@pytest.mark.parametrize("chosen", ["auto", "locomo"])
def test_the_published_file(eval_data: Path, chosen: str) -> None:
    path = eval_data / "locomo" / "locomo10.json"
    if not path.is_file():
        pytest.skip(f"no {path.name}: set BRUNO_EVAL_DATA (looked in {path.parent})")
    published = json.loads(path.read_text(encoding="utf-8"))
    written = {
        (sample["sample_id"], row["dia_id"], row["speaker"])
        for sample in published
        for rows in sample["conversation"].values()
        if isinstance(rows, list)
        for row in rows
    }
    got = list(read(path, format=chosen))  # type: ignore[arg-type]
    turns = [item for item in got if isinstance(item, Turn)]
    assert len(turns) == len(got) == 5882
    assert {
        (turn.user_id, turn.message.metadata["dia_id"], turn.message.metadata["speaker"])
        for turn in turns
    } == written
    assert len({turn.message.id for turn in turns}) == 5882
    assert len({turn.conversation_id for turn in turns}) == 272
