"""Sources, formats told from the data, and input meant to break things."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import BadLine, Turn, formats, opening, read
from bruno_memory_vec.prompts.hidden_characters import marked

GOOD = b'{"conversation_id": "c", "role": "user", "content": "ol\xc3\xa1"}\n'
FORMATS = formats()


def consume(data: bytes, chosen: str = "auto") -> list[Turn | BadLine]:
    return list(read(io.BytesIO(data), format=chosen))  # type: ignore[arg-type]


def test_every_kind_of_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD), encoding="ascii"))
    with path.open("rb") as binary, path.open(encoding="utf-8") as text:
        sources: list[Any] = [path, str(path), binary, text, io.StringIO(GOOD.decode()), "-"]
        read_all = [list(read(source)) for source in sources]
        assert not binary.closed
        assert not text.closed
    for got in read_all:
        assert isinstance(got[0], Turn)
        assert got[0].message.content == "olá"
    assert not sys.stdin.closed


def test_a_byte_order_mark_is_passed_over() -> None:
    mark = b"\xef\xbb\xbf"
    assert isinstance(consume(mark + GOOD)[0], Turn)
    assert isinstance(consume(mark + b'[\n{"role": "user", "content": "x"}]')[0], Turn)
    assert consume(mark) == []


@pytest.mark.parametrize("chosen", FORMATS)
@pytest.mark.parametrize("data", [b"", b"\n", b" \r\n\t\n\n"])
def test_nothing_in_nothing_out(data: bytes, chosen: str) -> None:
    assert consume(data, chosen) == []


def test_an_export_of_nothing_is_no_error() -> None:
    assert consume(b"[]") == consume(b" [\n]\n") == []


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        GOOD.rstrip(),
        b"\n\n" + GOOD,
        b"{broken\n" + GOOD,
        b"[1]\n" + GOOD,
        b"garbage\n{\n" + GOOD,
        GOOD + b"[\n",
    ],
)
def test_auto_knows_jsonl(data: bytes) -> None:
    assert sum(isinstance(item, Turn) for item in consume(data)) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"[\n%s\n]",
        b"[%s,\n%s\n]",
        b'{"messages": [\n%s\n]}',
        b'{"messages": [%s,\n%s\n]}',
        b'{"messages":\n[%s]}',
        b'{\n"messages": [\n%s\n]\n}',
    ],
)
@pytest.mark.parametrize("chosen", ["auto", "openai"])
def test_a_document_may_have_objects_on_lines_of_their_own(data: bytes, chosen: str) -> None:
    message = b'{"role": "user", "content": "x"}'
    got = consume(data.replace(b"%s", message), chosen)
    assert [type(item) for item in got] == [Turn] * data.count(b"%s")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{}\xff", "UTF-8"),
        (b"[\n{", "not one usable JSON document"),
        (b'{"a":\n1}', "no known format"),
        (b"[1, 2]", "no known format"),
        (b"[[[[[]]]]]", "no known format"),
        (b"[" * 200_000, "too deeply"),
        (b'[{"role": "user",\n "role": "user"}]', "twice"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        consume(data)


def test_a_broken_document_is_told_by_its_own_lines() -> None:
    with pytest.raises(InvalidInputError, match="at line 5 column"):
        consume(b'\n\n[\n{"role": "user"},\n{nope}\n]')


def test_what_can_be_seen_at_once_raises_at_the_call(tmp_path: Path) -> None:
    for source in (tmp_path / "absent", str(tmp_path / "absent"), "", "a\0b", "x" * 9999):
        with pytest.raises(InvalidInputError) as caught:
            read(source)
        assert caught.value.field == "source"
    with pytest.raises(InvalidInputError, match=r"chatgpt, .*jsonl"):
        read("-", format="csv")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match="user_id"):
        read("-", user_id=" ")
    with pytest.raises(InvalidInputError, match="conversation_id"):
        read("-", conversation_id="\ud800")


def test_streams_that_cannot_be_read() -> None:
    closed = io.BytesIO(GOOD)
    closed.close()
    wrong = io.TextIOWrapper(io.BytesIO(GOOD), encoding="ascii")
    for source in (closed, wrong, None, 7):
        with pytest.raises(InvalidInputError):
            list(read(source))  # type: ignore[arg-type]


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD)
    # Not chmod: the administrator, as whom containers run tests, may read everything.
    monkeypatch.setattr(opening, "open", refuse, raising=False)
    with pytest.raises(InvalidInputError, match="permissions"):
        list(read(path))


def test_half_surrogates_of_a_text_stream_are_a_bad_line() -> None:
    first, second = list(read(io.StringIO('{"a": "\udc80"}\n' + GOOD.decode())))
    assert isinstance(first, BadLine)
    assert first.line == 1
    assert isinstance(second, Turn)


@given(st.binary(max_size=300), st.sampled_from(FORMATS))
def test_any_bytes(data: bytes, chosen: str) -> None:
    with contextlib.suppress(InvalidInputError):
        consume(data, chosen)


keys = st.sampled_from(
    "conversation_id role content timestamp metadata id messages mapping current_node parent "
    "message author parts type text tool_calls function conversation sample_id speaker_a speaker_b "
    "session_1 session_1_date_time speaker dia_id "
    # Of the other formats.
    "chat_messages sender uuid sessionId isMeta payload chunkedPrompt chunks header title time "
    "products safeHtmlItem chats list name date ts data lc kwargs store chat_store class_name "
    "conversations value message_tree_id message_id parent_id prompt replies haystack_sessions "
    "question_id memory memories results output arguments chat history channel guild author "
    "ID Timestamp Contents input block_type".split()
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(
        [
            *("user", "assistant", "text", "\ud800", "\0", "1:56 pm on 8 May, 9999"),
            *("human", "message", "function_call", "tool_result", "Gemini Apps", "3/4/2024"),
            *("session_meta", "SimpleChatStore", "1700000000.000200", "response"),
        ]
    )
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=25,
)


@given(st.lists(values, min_size=1, max_size=3), st.sampled_from(FORMATS))
def test_any_json_of_the_right_words(rows: list[Any], chosen: str) -> None:
    data = "\n".join(json.dumps(row) for row in rows).encode()
    try:
        found = consume(data, chosen)
    except InvalidInputError:
        return
    for item in found:
        if isinstance(item, BadLine):
            marked(f"{item.where}: {item.problem}").encode()  # can be printed anywhere
        else:
            item.message.content.encode()
