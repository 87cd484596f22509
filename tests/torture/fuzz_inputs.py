"""Hypothesis strategies for what nobody should send, and somebody will."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from bruno_memory_vec.surfaces import demo
from bruno_memory_vec.testing import strategies as kept

DEMO = Path(demo.__file__).parent / "conversations.jsonl"
_LINES = DEMO.read_bytes().splitlines(keepends=True)

#: Repeated, each of these has been slow or fatal in some text engine.
_UNITS = [
    "a", "A", " ", "\n", "\t", "9", ".", "-", "'", '"', "`", "\\", "(", "[", "{", ")", ":", "%",
    "*", "a:(^`", "+", "!", "?", "~", "^", "/", "a ", "a-", "1st ", "may ", "last ", "on the ",
    "don't ",
    "e\u0301", "\u0301", "\u0316\u0300", "\u0f73", "\uff9e", "\u0345", "\u034f",
    "\u200b", "\u200c", "\u200d", "\u202e", "\u2066", "\ufeff", "\u00ad", "\x00", "\x1b[2J", "\x7f",
    "\ud800", "\udfff", "\ud83d\ude00", "\uffff", "\U0010ffff", "\ue000",
    "漢", "カ", "ｶﾞ", "각", "ᄀ", "ก", "ກ", "က", "ក", "𠀀", "ﷺ", "ﬃ", "İ", "ß", "ǆ", "½", "①", "𝒽",
    "👩\u200d👩\u200d👧", "🇵🇹", "☝🏽", "ا\u064b", "שׁ", "क्ष्", "த்", "ꦏ꧀",
]  # fmt: skip
_PHRASES = [
    "'; DROP TABLE rows; --", "' OR 1=1 --", "x') OR ('1'='1", "user_id = 'ben'", "%' ESCAPE '\\",
    'a:(^`', "a AND (b OR", "content:foo*", "[a TO b]", "{a TO *}", '"unclosed', "+must -not",
    "title:^2 ~3 *", "https://user@host:99/p?q=[1]#x", "../../etc/passwd", "\\u0000", "%00",
    "%s%n", "{{7*7}}", "${jndi:ldap://x}", "<script>alert(1)</script>", "NULL", "NaN", "-0",
    "1e309",
    "0x1F", "the last time I said what you did when", "when did I",
    "what did you tell me in may 2023?",
    "on the 31st of February 0000", "3 days ago, yesterday, last year", "\u202eevil\u202c text",
]  # fmt: skip

_ANY = st.text(st.characters(), max_size=60)
_REPEATED = st.builds(
    lambda unit, times: unit * times, st.sampled_from(_UNITS), st.sampled_from([1, 2, 3, 40, 3_000])
)


def texts() -> st.SearchStrategy[str]:
    """Texts of every kind, lone surrogates included; up to some tens of thousands of characters."""
    part = st.one_of(st.sampled_from(_PHRASES), _REPEATED, _ANY, kept.texts(min_size=0))
    return st.lists(part, max_size=5).map("".join)


def storable() -> list[str]:
    """One text for each unit and each phrase, of what UTF-8 can hold and is not blank."""
    whole = [f"{unit * 9} {phrase}" for unit, phrase in zip(_UNITS, 9 * _PHRASES, strict=False)]
    return [text.encode("utf-8", "replace").decode() for text in (*_PHRASES, *whole)]


def names() -> st.SearchStrategy[str]:
    """Users, conversations and tags that a memory accepts."""
    odd = [phrase for phrase in _PHRASES if phrase.strip() and "\0" not in phrase]
    return st.one_of(st.sampled_from(["ana", "ben", "O'Hara", *odd]), kept.ids())


def variants(text: str) -> list[str]:
    """A text, backwards, and letter by letter: three inputs for the price of drawing one."""
    return [text, text[::-1], " ".join(text[:2_000])]


def _mostly(right: st.SearchStrategy[Any], wild: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """One in eight is wild, so that most inputs come past the first check."""
    # Not one_of, which counts a strategy once however often it is named.
    return st.integers(0, 7).flatmap(lambda number: wild if number == 7 else right)


def _numbers() -> st.SearchStrategy[Any]:
    return st.one_of(st.booleans(), st.integers(), st.floats())


def arguments() -> st.SearchStrategy[dict[str, Any]]:
    """Arguments of a recall's filter: what is right, what is nearly so, and anything else."""
    moments = st.one_of(kept.moments(), st.sampled_from([datetime.min, datetime.max]))
    fractions = st.one_of(st.floats(0, 1), st.sampled_from([0, 1, 1e-320, -0.0]))
    labels = st.one_of(names(), st.lists(names(), max_size=4))
    right: dict[str, st.SearchStrategy[Any]] = {
        "kinds": st.sampled_from(["message", "memory", ["message", "memory"], []]),
        "roles": st.sampled_from(["user", "assistant", ["user", "system"]]),
        "memory_types": st.sampled_from(["fact", ["fact", "short_term"]]),
        "tags": labels,
        "categories": labels,
        "since": moments,
        "until": moments,
        "min_importance": fractions,
        "min_confidence": fractions,
        "metadata": st.dictionaries(names(), st.one_of(names(), _numbers()), max_size=3),
    }
    wild = st.one_of(
        st.sampled_from([float("nan"), float("inf"), True, 2**70, -1, "", b"user", {"user": 1}]),
        st.sampled_from(
            [
                object(),
                {"user"},
                datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
                datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
            ]
        ),
        kept.scalars(),
        texts(),
    )
    optional = {name: _mostly(good, wild) for name, good in right.items()}
    chosen = st.sets(st.sampled_from(sorted(right)), max_size=3)
    return chosen.flatmap(
        lambda keys: st.fixed_dictionaries({name: optional[name] for name in sorted(keys)})
    )


# What ingest reads


def documents() -> st.SearchStrategy[bytes]:
    """Files: real ones that were damaged, ones of the right shape with anything in them, noise."""
    return st.one_of(_damaged(), _shaped(), _raw(), st.binary(max_size=200))


def _damaged() -> st.SearchStrategy[bytes]:
    real = st.builds(
        lambda start, count: b"".join(_LINES[start : start + count]),
        st.integers(0, len(_LINES) - 1),
        st.integers(1, 4),
    )
    edits = st.lists(
        st.tuples(
            st.sampled_from(["cut", "double", "put", "flip"]),
            st.floats(0, 1, exclude_max=True),
            st.sampled_from(_SPLINTERS),
        ),
        max_size=6,
    )
    return st.builds(_edit, real, edits)


_SPLINTERS = [
    b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b"\\", b"\\u",
    b"\\ud800", b"{", b"}", b"[", b"]", b",", b":", b"null", b"NaN", b"-Infinity", b"1e400",
    b"9" * 5000,
    b"[" * 2000, b'{"a":' * 2000, b'"user_id": 3, ', b'"timestamp": 1e18, ', b'"role": [], ',
    b'"messages": [{}], ', b'"mapping": {"a": {"parent": "a"}}, "current_node": "a", ',
    b'"conversation": {"session_1": [{}]}, "sample_id": "x", ', b'"content": "", ',
]  # fmt: skip


def _edit(data: bytes, edits: list[tuple[str, float, bytes]]) -> bytes:
    for kind, place, splinter in edits:
        at = int(place * len(data))
        if kind == "cut":
            data = data[:at] + data[at + len(splinter) :]
        elif kind == "double":
            data = data[:at] + data[at // 2 :]
        elif kind == "flip" and data:
            data = data[:at] + bytes([data[at] ^ (1 << len(splinter) % 8)]) + data[at + 1 :]
        else:
            data = data[:at] + splinter + data[at:]
    return data


#: Values of every JSON type, and what JSON in the wild has besides.
_ODD_VALUES = st.sampled_from(
    [
        None, True, 0, -1, 10**4000, -(10**30), 1e308, float("nan"), float("-inf"),
        1_700_000_000_000,
        "", " ", "\x00", "\ud800", "x" * 20_000, "2025-10-03", [], [[]], [None], {}, {"": {}},
        {"a": [1, {"b": "\udfff"}]}, [["user", "hi"]], {"role": "user", "content": None},
    ]
)  # fmt: skip


def _shaped() -> st.SearchStrategy[bytes]:
    """Each format's own keys, with right values and with any other."""

    def mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return _mostly(right, _ODD_VALUES)

    role = mostly(st.sampled_from(["user", "assistant", "system", "developer", "tool", "User"]))
    text = mostly(st.one_of(st.sampled_from(_PHRASES), _ANY, _REPEATED))
    time = mostly(
        st.sampled_from(["2025-10-03T18:50:00Z", "2025-13-41", "0001-01-01T00:00+14", 1e12, -1e20])
    )
    more = ["user_id", "timestamp", "metadata", "id", "parent_id", "message_type", "tool_calls",
            "name", "texts", "created_at"]  # fmt: skip
    row = st.builds(
        lambda row, extra: {**row, **extra},
        st.fixed_dictionaries({"role": role, "content": text, "conversation_id": text}),
        st.dictionaries(st.sampled_from(more), st.one_of(text, time, _ODD_VALUES), max_size=3),
    )
    parts = st.fixed_dictionaries(
        {
            "role": role,
            "content": st.lists(
                st.fixed_dictionaries({"type": st.sampled_from(["text", "image"]), "text": text}),
                max_size=2,
            ),
        }
    )
    said = row.map(lambda row: {key: row[key] for key in row if key != "conversation_id"})
    messages = st.lists(mostly(st.one_of(said, parts)), max_size=3)
    chat = st.fixed_dictionaries(
        {"messages": messages}, optional={"id": text, "user_id": text, "conversation_id": text}
    )
    keys = st.sampled_from(["a", "b", "c", ""])
    node = st.fixed_dictionaries(
        {
            "parent": mostly(st.one_of(keys, st.none())),
            "message": mostly(
                st.fixed_dictionaries(
                    {
                        "author": st.fixed_dictionaries({"role": role}),
                        "content": st.fixed_dictionaries({"parts": mostly(st.lists(text))}),
                        "create_time": time,
                    }
                )
            ),
        }
    )
    export = st.fixed_dictionaries(
        {
            "mapping": mostly(st.dictionaries(keys, mostly(node))),
            "current_node": mostly(keys),
            "title": text,
        }
    )
    spoken = st.fixed_dictionaries(
        {"speaker": mostly(st.sampled_from(["Ana", "Ben"])), "text": text, "dia_id": text},
        optional={"blip_caption": text},
    )
    talk = st.fixed_dictionaries(
        {"speaker_a": mostly(st.just("Ana")), "speaker_b": mostly(st.just("Ben"))},
        optional={
            "session_1": mostly(st.lists(mostly(spoken), max_size=3)),
            "session_1_date_time": mostly(
                st.sampled_from(["1:56 pm on 8 May, 2023", "11:59 pm on 31 December, 9999"])
            ),
            "session_999999": _ODD_VALUES,
        },
    )
    locomo = st.fixed_dictionaries({"sample_id": text, "conversation": mostly(talk)})
    one = st.one_of(row, chat, export, locomo, _ODD_VALUES)
    several = st.lists(one, min_size=1, max_size=3)
    return st.one_of(
        several.map(_dumped),
        one.map(_dumped),
        several.map(lambda rows: b"\n".join(_dumped(value) for value in rows)),
    )


def _dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _raw() -> st.SearchStrategy[bytes]:
    """What no JSON writer makes: deep, wide, broken, in other encodings."""
    wide = "{" + ", ".join(f'"k{n}": {n}' for n in range(3_000)) + ', "k2999": 0}'
    fixed = [
        b"[" * 100_000,
        b'{"messages": ' * 20_000,
        b'[{"role": "user", "content": "x", "metadata": '
        + b'{"a":' * 300
        + b"1"
        + b"}" * 300
        + b"}]",
        b'{"conversation_id": "c", "role": "user", "content": "' + b"x" * 300_000,
        b'{"conversation_id": "c", "role": "user", "content": "x", "' + b"y" * 300_000 + b'": 1}',
        wide.encode(),
        b"\n" * 20_000,
        b"{\n" * 20_000,
        b"\xef\xbb\xbf",
        '{"role": "user"}'.encode("utf-16"),
        '{"role": "user"}'.encode("utf-32"),
        b"\r\r\r",
    ]
    return st.one_of(st.sampled_from(fixed), texts().map(lambda t: t.encode("utf-8", "replace")))
