"""One message a line: what goes in comes out, and what is wrong is named."""

from __future__ import annotations

import io
import json
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.message import Message, MessageRole, MessageType
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.portability import BadLine, Turn, detect, read

GOOD = {"conversation_id": "trip", "role": "user", "content": "hello"}


def items(*rows: Any, **options: Any) -> list[Turn | BadLine]:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    options.setdefault("format", "jsonl")
    return list(read(io.BytesIO(b"\n".join(lines)), **options))


def only(row: Any, **options: Any) -> Turn:
    (turn,) = items(row, **options)
    assert isinstance(turn, Turn), turn
    return turn


def bad(row: Any, **options: Any) -> BadLine:
    (line,) = items(row, **options)
    assert isinstance(line, BadLine), line
    return line


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


# Text as a message can hold it: stripped, with something in it, no NUL, no half surrogate.
texts = (
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
    .map(str.strip)
    .filter(bool)
)
metadata = st.dictionaries(
    texts,
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=3,
)
messages = st.builds(
    Message,
    id=st.uuids(),
    role=st.sampled_from(MessageRole),
    content=texts,
    message_type=st.sampled_from(MessageType),
    timestamp=st.datetimes(),
    metadata=metadata,
    parent_id=st.none() | st.uuids(),
    conversation_id=texts,
)


@given(
    st.lists(st.tuples(messages, st.none() | texts), max_size=5),
    st.booleans(),
    st.sampled_from(["\n", "\r\n", "\n\n \n"]),
)
def test_what_is_written_comes_back(
    rows: list[tuple[Message, str | None]], escaped: bool, end: str
) -> None:
    text = ""
    for message, user in rows:
        row = {**message.model_dump(mode="json"), "user_id": user}
        text += json.dumps(row, ensure_ascii=escaped) + end
    got = list(read(io.BytesIO(text.encode()), format="jsonl"))
    assert [item for item in got if isinstance(item, BadLine)] == []
    assert [(item.message, item.user_id) for item in got if isinstance(item, Turn)] == rows


@pytest.mark.parametrize("chosen", ["auto", "jsonl"])
def test_line_numbers_count_blank_lines(chosen: str) -> None:
    got = items(b"", GOOD, b"  ", b"{", GOOD, format=chosen)
    assert [item.line for item in got] == [2, 4, 5]
    assert isinstance(got[1], BadLine)


def test_defaults_fill_gaps_and_replace_nothing() -> None:
    row = {"role": "user", "content": "hi"}
    turn = only(row, conversation_id="c", user_id="ana")
    assert (turn.conversation_id, turn.user_id) == ("c", "ana")
    turn = only({**GOOD, "user_id": "ana"}, conversation_id="c", user_id="ana")
    assert (turn.conversation_id, turn.user_id) == ("trip", "ana")
    assert only(GOOD).user_id is None


def test_null_counts_as_absent() -> None:
    absent = ("user_id", "timestamp", "metadata", "id", "parent_id", "message_type")
    assert only({**GOOD, **dict.fromkeys(absent)}).message.metadata == {}


def test_ids_are_the_same_each_time_and_differ_by_place() -> None:
    rows = [GOOD, GOOD, {**GOOD, "user_id": "ana"}, {**GOOD, "conversation_id": "other"}]
    first, again = items(*rows), items(*rows)
    ids = [item.message.id for item in first if isinstance(item, Turn)]
    assert len(set(ids)) == 4
    assert ids == [item.message.id for item in again if isinstance(item, Turn)]


def test_mending_a_bad_line_keeps_the_ids_after_it() -> None:
    broken, mended = {**GOOD, "content": 3}, {**GOOD, "content": "3"}
    before, after = items(broken, GOOD)[1], items(mended, GOOD)[1]
    assert isinstance(before, Turn)
    assert isinstance(after, Turn)
    assert before.message.id == after.message.id


def test_an_id_in_the_data_is_kept() -> None:
    given_id = "3f2a7a52-33a1-4d0e-8a3e-9d0f6c2b7d11"
    assert only({**GOOD, "id": given_id}).message.id == UUID(given_id)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2025-10-03T18:50:00", datetime(2025, 10, 3, 18, 50)),
        ("2025-10-03T18:50:00Z", datetime(2025, 10, 3, 18, 50)),
        ("2025-10-03T18:50:00z", datetime(2025, 10, 3, 18, 50)),
        ("2025-10-03 18:50", datetime(2025, 10, 3, 18, 50)),
        ("2025-10-03", datetime(2025, 10, 3)),
        ("2025-10-03T18:50:00+02:00", datetime(2025, 10, 3, 16, 50)),
        ("2025-10-03T18:50:00-0530", datetime(2025, 10, 4, 0, 20)),
        ("2025-10-03T18:50:00.5+02", datetime(2025, 10, 3, 16, 50, 0, 500_000)),
        ("2025-10-03T18:50:00.123456789Z", datetime(2025, 10, 3, 18, 50, 0, 123_456)),
        (0, datetime(1970, 1, 1)),
        (1759517400, datetime(2025, 10, 3, 18, 50)),
        (1759517400.25, datetime(2025, 10, 3, 18, 50, 0, 250_000)),
        (-1, datetime(1969, 12, 31, 23, 59, 59)),
    ],
)
def test_timestamps(written: Any, meant: datetime) -> None:
    got = only({**GOOD, "timestamp": written}).message.timestamp
    assert got == meant
    assert got.tzinfo is None


@given(
    st.datetimes(
        min_value=datetime(2, 1, 1),
        max_value=datetime(9998, 1, 1),
        timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_any_iso_time_is_read_as_utc(time: datetime) -> None:
    got = only({**GOOD, "timestamp": time.isoformat()}).message.timestamp
    assert got == time.astimezone(timezone.utc).replace(tzinfo=None)


def test_without_a_timestamp_it_is_now_in_order() -> None:
    before = datetime.now(timezone.utc).replace(tzinfo=None)
    times = [i.message.timestamp for i in items(GOOD, GOOD, GOOD) if isinstance(i, Turn)]
    assert len(times) == 3
    assert times == sorted(set(times))
    assert before <= times[0]
    assert times[-1] - before < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("change", "where", "says"),
    [
        ({"content": 5}, "content", "a number"),
        ({"content": True}, "content", "true or false"),
        ({"content": ["a"]}, "content", "a list"),
        ({"content": " \n"}, "content", "white space"),
        ({"content": ""}, "content", "expected text"),
        ({"content": None}, "content", "missing"),
        ({"content": "a\0b"}, "content", "NUL"),
        ({"content": "a\ud800"}, "content", "surrogate"),
        ({"conversation_id": "\udfff"}, "conversation_id", "surrogate"),
        ({"conversation_id": None}, "conversation_id", "missing"),
        ({"conversation_id": 7.5}, "conversation_id", "a number"),
        ({"user_id": " "}, "user_id", "white space"),
        ({"role": "poet"}, "role", "expected one of system, user"),
        ({"role": {}}, "role", "an object"),
        ({"message_type": "poem"}, "message_type", "expected one of text"),
        ({"timestamp": "yesterday"}, "timestamp", "ISO 8601"),
        ({"timestamp": "2025-02-30"}, "timestamp", "ISO 8601"),
        ({"timestamp": "0001-01-01T00:00+10:00"}, "timestamp", "ISO 8601"),
        ({"timestamp": True}, "timestamp", "true or false"),
        ({"timestamp": 10**30}, "timestamp", "out of range"),
        ({"timestamp": "25/13/2024"}, "timestamp", "ISO 8601"),
        ({"metadata": []}, "metadata", "an object"),
        ({"metadata": {"a": ["\ud800"]}}, "metadata", "surrogate"),
        ({"metadata": nested(70)}, "metadata", "levels"),
        ({"id": [7]}, "id", "a list"),
        ({"parent_id": True}, "parent_id", "true or false"),
        ({"timestmap": 1}, "timestmap", "did you mean timestamp?"),
        ({"text": "x"}, "text", "did you mean content?"),
        ({"qqqq": "x"}, "qqqq", "metadata"),
        ({"messages": []}, "messages", "format openai"),
    ],
)
def test_a_bad_field_is_named(change: dict[str, Any], where: str, says: str) -> None:
    line = bad({**GOOD, **change})
    assert (line.line, line.where) == (1, where)
    assert says in line.problem
    line.problem.encode()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b'{"role": "user"', "not JSON"),
        (b"[1]", "a list"),
        (b"null", "null"),
        (b"\xffx{}", "byte 0xff at offset 0"),
        (b'{"role": "user", "role": "tool"}', "twice"),
        (b'{"metadata": {"a": 1, "a": 2}}', "twice"),
        (b'{"metadata": {"a": NaN}}', "NaN"),
        (b'{"metadata": {"a": -Infinity}}', "-Infinity"),
        (b'{"metadata": {"a": 1e999}}', "too large"),
        (b'{"metadata": {"a": ' + b"9" * 5000 + b"}}", "not usable JSON"),
        (b'{"metadata": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "too deeply"),
        (b'{"content": "a\0b"}', "not JSON"),
    ],
)
def test_a_bad_line_is_told_and_the_next_is_read(data: bytes, says: str) -> None:
    first, second = items(data, GOOD)
    assert isinstance(first, BadLine)
    assert (first.line, first.where) == (1, "line")
    assert says in first.problem
    assert isinstance(second, Turn)
    assert second.line == 2


def test_a_long_line_is_read_and_an_endless_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "é" * 500_000
    assert only({**GOOD, "content": text}).message.content == text
    monkeypatch.setattr(detect, "MAX_LINE_BYTES", 1024**2)
    first, second = items(b"x" * (3 * 1024**2), GOOD)
    assert first == BadLine(1, "line", "is longer than 1 MiB")
    assert isinstance(second, Turn)
    assert second.line == 2


def test_it_reads_no_further_than_asked() -> None:
    class Endless(io.RawIOBase):
        """A log that never ends."""

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            line = json.dumps(GOOD).encode() + b"\n"
            buffer[: len(line)] = line
            return len(line)

    with io.BufferedReader(Endless()) as stream:
        found = read(stream, format="auto")
        assert [next(found).line for _ in range(5)] == [1, 2, 3, 4, 5]
