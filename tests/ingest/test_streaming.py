"""A JSON document is read in parts: the same as when it is read whole, in bounded memory."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import BadLine, Turn, read
from bruno_memory_vec.portability import json_stream as module
from bruno_memory_vec.portability.json_stream import JsonStream
from bruno_memory_vec.portability.records import BadFieldError, parse_json

_MIB = 2**20
_DOCUMENTS = [
    "[]",
    " [ ] ",
    "[1]",
    "[12345678901234567890, -1.5e-3, 1e5, true, null, false]",
    '["é 北京 𝄞 \\ud83d\\ude00 \\\\ \\" \\n", "\\ud800"]',
    '[{"a": [1, {"b": []}]}, [[[]]], {"c": {}},\n\n{"d": "x"}\t]\n\n ',
    '\n\n [\n{"role": "user",\n "content": "x"}\n,\n"y"]',
    '{"a": 1, "b": [1, 2, {"c": "' + "long " * 60 + '"}]}',
    '[{"a": "' + "é" * 300 + '"}, "' + "x" * 300 + '", 7]',
    '"text"',
    "17",
    "null",
    '[{"a": 1, "b": 2, "a": 3}]',
    "[NaN]",
    "[1, -Infinity]",
    "[1e999]",
    "[" + "9" * 400 + ".0e-390, 1]",
    "[1 2]",
    "[1,]",
    "[,1]",
    "[1] 2",
    '[{"a" 1}]',
    '{"a": 1} {}',
    '["line\nbreak"]',
    '["\\x"]',
    "[tru]",
    "",
    "[01]",
]


def _outcome(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except BadFieldError as error:
        return f"bad: {error.problem}"
    except InvalidInputError as error:
        return f"bad: {getattr(error.__cause__, 'problem', error)}"


def _in_parts(data: bytes, size: int, begin: int) -> JsonStream:
    source = io.BytesIO(data[begin:])
    return JsonStream(lambda _: source.read(size), data[:begin])


def test_what_is_read_and_what_is_refused_is_that_of_the_whole_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also of each document that is cut, or has a byte that is no UTF-8, at any place."""
    chance = random.Random(3)
    refused = 0
    for text in _DOCUMENTS:
        whole = text.encode()
        cuts = [whole[:end] for end in chance.sample(range(len(whole) + 1), min(len(whole), 12))]
        broken = [whole[:at] + b"\xff" + whole[at + 1 :] for at in range(0, len(whole), 37)]
        for data in (whole, *cuts, *broken):
            expected = _outcome(lambda data=data: parse_json(data))  # type: ignore[misc]
            refused += isinstance(expected, str) and expected.startswith("bad")
            for size, begin in ((1, 0), (3, 2), (64, 0), (5, 10**6)):
                found = _outcome(lambda: _in_parts(data, size, begin).value())  # noqa: B023
                # Of several faults the first one counts; whole, an odd byte comes before the rest.
                if isinstance(expected, str) and "UTF-8" in expected:
                    assert isinstance(found, str), (data, size)
                    assert found.startswith("bad: "), (data, size)
                elif isinstance(expected, str) and "trailing comma" in expected:
                    # Python 3.13 has words of its own for it, which it needs both signs for.
                    assert isinstance(found, str), (data, size)
                    assert found.startswith("bad: not JSON: "), (data, size)
                else:
                    assert found == expected, (data, size)
    assert refused > 100


def test_half_a_surrogate_pair_and_a_key_that_is_there_twice_are_told_as_before() -> None:
    stream = _in_parts(b'[{"a": "\\ud800"}, {"k": 1, "k": 2}]', 7, 0)
    items = stream.items()
    assert next(items) == {"a": "\ud800"}
    with pytest.raises(InvalidInputError, match="the key 'k' is there twice"):
        next(items)


def test_an_element_that_was_looked_at_is_read_again_once() -> None:
    stream = _in_parts(b'[1, "x", {"role": "user"}, 2]', 4, 0)
    assert stream.first_container() == stream.first_container() == {"role": "user"}
    assert list(stream.items()) == [1, "x", {"role": "user"}, 2]
    assert list(stream.items()) == []
    assert _in_parts(b"[1, 2]", 4, 0).first_container() is None
    many = _in_parts(b"[" + b"1," * 5_000 + b"{}]", 64, 0)
    assert many.first_container() is None
    assert len(list(many.items())) == 5_001


def test_a_fault_far_before_the_end_is_told_without_reading_on() -> None:
    taken = 0

    def endless(size: int) -> bytes:
        nonlocal taken
        taken += size
        return b'{"a": 1} ' * (size // 9)

    with pytest.raises(InvalidInputError, match="Expecting ',' delimiter at column 11"):
        list(JsonStream(endless, b"[").items())
    assert taken <= module.CHUNK


_LONG = "Where did we stay in Lisbon, and how was it? " * 300
_OTHERS, _SLOW = ("lists", "bare", "locomo"), pytest.mark.slow
_CHATS, _TURNS = 200, 20


def _chat(kind: str, number: int) -> Any:
    """A chat of messages as each format has it."""
    texts = [f"{number}.{turn} é {_LONG}" for turn in range(_TURNS)]
    said = [
        {"role": ("user", "assistant")[turn % 2], "content": text}
        for turn, text in enumerate(texts)
    ]
    if kind == "messages":
        return {"id": f"chat-{number}", "user_id": "ana", "messages": said}
    if kind == "mapping":
        nodes = {
            str(turn): {
                "parent": str(turn - 1) if turn else None,
                "message": {
                    "author": {"role": one["role"]},
                    "content": {"parts": [one["content"]]},
                    "create_time": 1.7e9 + turn,
                },
            }
            for turn, one in enumerate(said)
        }
        return {"title": "Trip", "current_node": str(_TURNS - 1), "mapping": nodes}
    if kind == "locomo":
        talk = [
            {"speaker": ("A", "B")[turn % 2], "dia_id": f"D:{turn}", "text": text}
            for turn, text in enumerate(texts)
        ]
        sessions = {"session_1": talk, "session_1_date_time": "1:56 pm on 8 May, 2023"}
        return {
            "sample_id": f"s{number}",
            "conversation": {"speaker_a": "A", "speaker_b": "B"} | sessions,
        }
    return said


class _Written(io.RawIOBase):
    """A file that is written while it is read, so that no more of it is in memory."""

    def __init__(self, kind: str) -> None:
        self.size = 0
        self._parts = self._each(kind)
        self._left = b""

    def _each(self, kind: str) -> Iterator[bytes]:
        yield "\ufeff[".encode()
        for number in range(_CHATS):
            text = json.dumps(
                _chat(kind, number), ensure_ascii=False, indent=1 if kind == "mapping" else None
            )
            if kind == "bare":  # one list of messages
                text = text[1:-1]
            yield f"{',' if number else ''}{text}".encode()
        yield b"]"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = next(self._parts, b"")
        taken, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(taken)] = taken
        self.size += len(taken)
        return len(taken)


@pytest.mark.parametrize(
    "kind",
    ["messages", "mapping", *(pytest.param(kind, marks=_SLOW) for kind in _OTHERS)],
)
def test_memory_is_bounded_and_every_turn_is_there(kind: str) -> None:
    file = _Written(kind)
    count = 0
    tracemalloc.start()
    try:
        for item in read(io.BufferedReader(file)):
            assert isinstance(item, Turn), item
            begin = f"{count // _TURNS}.{count % _TURNS} é Where"
            assert item.message.content.removeprefix("A: ").removeprefix("B: ").startswith(begin)
            count += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == _CHATS * _TURNS
    assert file.size > 50 * _MIB
    # Of a file that is one line, 16 MiB are looked at before it is known what it is.
    bound = 4 * _MIB if kind == "mapping" else 40 * _MIB
    assert peak < bound, f"{peak / _MIB:.1f} MiB for {file.size / _MIB:.1f} MiB"


def test_a_huge_text_is_one_turn() -> None:
    text = "hiking in the hills " * 250_000
    data = json.dumps([{"role": "user", "content": "first"}, {"role": "user", "content": text}])
    first, huge = read(io.BytesIO(data.encode()))
    assert isinstance(first, Turn)
    assert isinstance(huge, Turn)
    assert huge.message.content == text.strip()


def test_a_file_that_is_cut_gives_what_is_before_the_cut_and_then_the_place() -> None:
    messages = [{"role": "user", "content": f"number {n}"} for n in range(5_000)]
    data = ("[\n" + ",\n".join(map(json.dumps, messages)))[:-12].encode()
    got: list[Turn | BadLine] = []
    with pytest.raises(InvalidInputError, match=r"Unterminated string .* at line 5001 column 29"):
        got.extend(read(io.BytesIO(data), format="openai"))
    assert len(got) == 4_999
    assert not any(isinstance(item, BadLine) for item in got)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=3), values, max_size=5), st.integers(1, 40), st.booleans())
def test_an_object_in_parts_is_the_object(value: dict[str, Any], size: int, indented: bool) -> None:
    data = json.dumps(value, indent=1 if indented else None).encode()
    assert _in_parts(data, size, 0).outline() == value
    looked_at = _in_parts(data, size, 3)
    looked_at.outline()
    assert looked_at.value() == value
    again = _in_parts(data, size, 0)
    again.outline()
    paths = [part.path for part in again.parts() if not part.is_element]
    assert len(paths) == len(set(paths))
    assert [path[0] for path in paths if len(path) == 1] == list(value)


def test_of_a_large_object_the_beginning_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OUTLINE", 100)
    whole = {"name": "x", "list": [{"n": n} for n in range(5_000)], "end": {"a": {"b": [1]}}}
    stream = _in_parts(json.dumps(whole).encode(), 16, 0)
    outline = stream.outline()
    assert list(outline) == ["name", "list"]
    assert 0 < len(outline["list"]) < 100
    assert outline["list"] == [{"n": n} for n in range(len(outline["list"]))]
    assert stream.value() == whole == stream.value()
    assert stream.outline() == whole


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '{"a": {"b": 1, "b": 2}}', '{"a" 1}', '{"a": 1,}', '{"a": [1,]}']
)
def test_a_fault_in_an_object_is_told(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not one usable JSON document"):
        _in_parts(text.encode(), 2, 0).outline()


def test_of_an_export_of_everything_one_chat_is_in_memory() -> None:
    def written() -> Iterator[bytes]:
        yield b'{"personal_information": {"user_id": 1}, "contacts": {"list": []}, '
        yield b'"chats": {"about": "all", "list": ['
        for number in range(100):
            said = [
                {"id": n, "type": "message", "date": "2025-06-01T12:00:00", "from": "Ana",
                 "from_id": "user1", "text": f"{number}.{n} {_LONG}"}
                for n in range(20)
            ]  # fmt: skip
            chat = {"id": number, "type": "private_group", "name": "All", "messages": said}
            yield (b"," if number else b"") + json.dumps(chat).encode()
        yield b"]}}"

    class Written(_Written):
        def _each(self, kind: str) -> Iterator[bytes]:
            yield from written()

    file = Written("telegram")
    tracemalloc.start()
    try:
        count = sum(isinstance(item, Turn) for item in read(io.BufferedReader(file)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == 2_000
    assert file.size > 20 * _MIB
    assert peak < 40 * _MIB, f"{peak / _MIB:.1f} MiB for {file.size / _MIB:.1f} MiB"
