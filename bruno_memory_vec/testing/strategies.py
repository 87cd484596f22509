# ruff: noqa: DTZ001 - bruno-core's times are naive UTC
"""Hypothesis strategies for what a memory stores.

They make what can be kept, in all its breadth: every Unicode character but lone
surrogates, times from year 1 to 9999 with any offset, metadata of every type
that has a faithful form.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from typing import Any

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole, MessageType
from hypothesis import strategies as st
from pydantic import BaseModel

_CHARACTERS = st.characters(codec="utf-8")
_SCRIPTS = st.sampled_from(
    [
        "مرحبا بالعالم",
        "שלום עולם",
        "今日はいい天気ですね",
        "我昨天去了上海",
        "우리는 부산에 갔다",
        "ฉันชอบกินข้าวผัด",
        "👩‍👩‍👧‍👦🇵🇹",
        "e\u0301\u200d\u202enot\x00hing",
        "Ünïcödé ﬁ ſ ß İ",
    ]
)
_EARLIEST = datetime(1, 1, 3)
_LATEST = datetime(9999, 12, 29)


def texts(*, min_size: int = 1, max_size: int = 40) -> st.SearchStrategy[str]:
    """Any text that UTF-8 can hold, blank ones included."""
    return st.one_of(_SCRIPTS, st.text(_CHARACTERS, min_size=min_size, max_size=max_size))


def contents() -> st.SearchStrategy[str]:
    """Text that a message may have: not blank, and without white space around it."""
    return texts().map(str.strip).filter(bool)


def names(*, min_size: int = 0, max_size: int = 40) -> st.SearchStrategy[str]:
    """Tags, categories and keys of metadata: any text without NUL."""
    return texts(min_size=min_size, max_size=max_size).filter(lambda text: "\0" not in text)


def ids() -> st.SearchStrategy[str]:
    """Ids of users and conversations: any text that is not blank, without NUL."""
    return names(min_size=1).filter(lambda text: bool(text.strip()))


def moments() -> st.SearchStrategy[datetime]:
    """Naive datetimes, and aware ones with any offset, down to the microsecond.

    ``fold`` is 0: without a zone of its own a datetime gives it no meaning, and it does not
    take part in equality.
    """
    offsets = st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23, minutes=59))
    zones: Any = st.one_of(st.none(), st.just(timezone.utc), offsets.map(timezone))
    drawn = st.datetimes(_EARLIEST, _LATEST, timezones=zones)
    return drawn.map(lambda moment: moment.replace(fold=0))


def _unfolded(value: time) -> time:
    return value.replace(fold=0)


def scalars() -> st.SearchStrategy[Any]:
    """Single values that metadata can hold."""
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        texts(min_size=0),
        moments(),
        st.dates(date(1, 1, 1)),
        st.times(timezones=st.one_of(st.none(), st.just(timezone.utc))).map(_unfolded),
        st.timedeltas(),
        st.uuids(),
        st.decimals(allow_nan=False),
        st.binary(max_size=20),
    )


def values(max_leaves: int = 12) -> st.SearchStrategy[Any]:
    """Anything that metadata can hold, nested."""
    hashable = scalars()
    return st.recursive(
        scalars(),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.sets(hashable, max_size=4),
            st.frozensets(hashable, max_size=4),
            st.dictionaries(st.one_of(hashable, st.tuples(hashable)), inner, max_size=4),
            st.dictionaries(st.sampled_from(["$", "v", "a.b", ""]), inner, max_size=4),
        ),
        max_leaves=max_leaves,
    )


def metadata() -> st.SearchStrategy[dict[str, Any]]:
    """Metadata of a message: a dict with text keys."""
    return st.dictionaries(names(max_size=10), values(), max_size=4)


def _plain(value: datetime) -> datetime:
    return value.replace(fold=0)


def messages() -> st.SearchStrategy[Message]:
    """Messages with every field drawn."""
    return st.builds(
        Message,
        id=st.uuids(),
        role=st.sampled_from(MessageRole),
        content=contents(),
        message_type=st.sampled_from(MessageType),
        timestamp=moments(),
        metadata=metadata(),
        parent_id=st.one_of(st.none(), st.uuids()),
    )


def memory_entries(user_id: st.SearchStrategy[str] | None = None) -> st.SearchStrategy[MemoryEntry]:
    """Memories with every field drawn; none expires before the year 9000."""
    unit = st.floats(0, 1)
    described = st.builds(
        MemoryMetadata,
        source=texts(min_size=0),
        category=st.one_of(st.none(), names()),
        tags=st.lists(names(), max_size=4),
        confidence=unit,
        importance=unit,
        access_count=st.integers(0, 2**40),
        embedding=st.one_of(st.none(), st.lists(st.floats(allow_nan=False), max_size=4)),
        related_memories=st.lists(st.uuids(), max_size=3),
        custom_fields=metadata(),
    )
    return st.builds(
        MemoryEntry,
        id=st.uuids(),
        content=contents(),
        memory_type=st.sampled_from(MemoryType),
        user_id=ids() if user_id is None else user_id,
        conversation_id=st.none(),
        metadata=described,
        created_at=moments(),
        updated_at=moments(),
        last_accessed=moments(),
        expires_at=st.one_of(st.none(), st.datetimes(datetime(9000, 1, 1), _LATEST).map(_plain)),
    )


def identical(found: Any, wanted: Any) -> bool:
    """Equal and of the same types all the way down: 1, 1.0 and True are told apart."""
    if type(found) is not type(wanted):
        return False
    if isinstance(wanted, BaseModel):
        return identical(found.model_dump(), wanted.model_dump())
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(
            identical(found[key], wanted[key]) for key in wanted
        )
    if isinstance(wanted, (list, tuple)):
        return len(found) == len(wanted) and all(map(identical, found, wanted))
    if isinstance(wanted, datetime) and found.utcoffset() != wanted.utcoffset():
        return False
    return bool(found == wanted)
