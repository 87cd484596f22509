"""LangGraph's store on a memory: beside its InMemoryStore, in real graphs, and what is our own.

LangGraph is not among what the suite installs. Where it is installed these tests run, as in the
step ``frameworks`` of ``.ci/run``, which runs LangGraph's own tests of stores, too.
"""

from __future__ import annotations

import asyncio
import operator
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.errors import (
    ForeignUserError,
    InvalidInputError,
    MissingDependencyError,
    NotPermittedError,
    ReadOnlyError,
    StoreClosedError,
    StoreError,
)

if find_spec("langgraph") is None or find_spec("langchain") is None:
    pytest.skip("langgraph and langchain are not installed", allow_module_level=True)

from langchain.agents import create_agent
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import InjectedStore
from langgraph.store.base import (
    BaseStore,
    GetOp,
    InvalidNamespaceError,
    ListNamespacesOp,
    MatchCondition,
    PutOp,
    SearchOp,
)
from langgraph.store.memory import InMemoryStore
from typing_extensions import TypedDict

from bruno_memory_vec.adapters.langgraph import BrunoStore

NS = ("memories", "ana")


@pytest.fixture
def store() -> Iterator[BrunoStore]:
    with BrunoStore("memory://", embedder="hash") as one:
        yield one


@pytest.fixture(scope="module")
def shared() -> Iterator[BrunoStore]:
    with BrunoStore("memory://", embedder="hash") as one:
        yield one


def keys(items: Sequence[Any]) -> list[str]:
    return [item.key for item in items]


# What is stored


VALUES: list[dict[str, Any]] = [
    {},
    {"text": "plain"},
    {"": "an empty key", " ": None, "a.b": [1, 2.5, True, None, "x"]},
    {"langgraph": {"namespace": ["taken"], "key": "taken"}},
    {"$": "datetime", "v": "2026-01-01"},
    {"deep": {"a": {"b": [{"c": [[]]}]}}, "emoji": "🧑‍🚀", "rtl": "שלום", "zero": "a\0b"},
    {"a\0b": 1},
    {"big": 2**70, "small": -1e-300, "inf": float("inf"), "text": "  spaces  \n"},
    {"at": datetime(2026, 3, 1, tzinfo=timezone.utc), "id": UUID(int=7), "t": (1, (2,))},
    {1: "a key that is a number"},  # type: ignore[dict-item]
    {"speaker": "Bob", "importance": "high", "user_id": "ben", "conversation_id": "other"},
]


def test_values_come_back_as_they_went_in(store: BrunoStore) -> None:
    for number, value in enumerate(VALUES):
        store.put(("v",), str(number), value)
    for number, value in enumerate(VALUES):
        item = store.get(("v",), str(number))
        assert item is not None
        assert item.value == value
        assert list(item.value) == list(value)
        assert type(item.value) is dict
    found = store.search(("v",), limit=100)
    assert sorted(map(repr, (one.value for one in found))) == sorted(map(repr, VALUES))


def test_what_is_given_out_is_a_copy(store: BrunoStore) -> None:
    given_value = {"list": [1]}
    store.put(NS, "k", given_value)
    given_value["list"].append(2)
    first = store.get(NS, "k")
    assert first is not None
    first.value["list"].append(3)
    again = store.get(NS, "k")
    assert again is not None
    assert again.value == {"list": [1]}


def test_times_of_an_item(store: BrunoStore) -> None:
    before = datetime.now(timezone.utc)
    store.put(NS, "k", {"n": 1})
    first = store.get(NS, "k")
    store.put(NS, "k", {"n": 2})
    second = store.get(NS, "k")
    assert first is not None
    assert second is not None
    assert before <= first.created_at == first.updated_at
    assert second.created_at == first.created_at
    assert second.updated_at > first.updated_at
    store.delete(NS, "k")
    store.put(NS, "k", {"n": 3})
    third = store.get(NS, "k")
    assert third is not None
    assert third.created_at > second.updated_at


def test_an_item_is_a_memory_of_its_user(store: BrunoStore) -> None:
    store.put(NS, "dog", {"text": "Ana owns a dog called Rex", "kind": "pet"})
    entry = store._opened.run(lambda held: held.list_memories("langgraph"))[0]
    assert entry.content == "text: Ana owns a dog called Rex\nkind: pet"
    assert entry.metadata.tags == ["memories", "memories.ana"]
    assert entry.metadata.source == "langgraph"
    hits = store._opened.run(
        lambda held: held.recall("dog", user_id="langgraph", metadata={"kind": "pet"})
    )
    assert [hit.content for hit in hits] == [entry.content]


def test_memories_that_only_look_like_items(store: BrunoStore) -> None:
    """Others may store memories of any category and fields: they are no items."""
    store.put(NS, "k", {"text": "a dog"})
    now = datetime.now(timezone.utc)
    odd: list[Any] = [
        None,
        {"namespace": ["m"]},
        {"namespace": [1], "key": "k", "made": now, "ttl": None},
        {"namespace": ["m"], "key": 1, "made": now, "ttl": None},
        {"namespace": ["m"], "key": "k", "made": "today", "ttl": None},
        {"namespace": ["m"], "key": "k", "made": now, "ttl": "long"},
        {"namespace": ["m"], "key": "k", "made": now, "ttl": None, "value": 1},
    ]
    entries = [
        MemoryEntry(
            content="a dog",
            memory_type=MemoryType.FACT,
            user_id="langgraph",
            metadata=MemoryMetadata(category="langgraph", custom_fields={"langgraph": one}),
        )
        for one in odd
    ]
    store._opened.run(lambda held: held.store_memories(entries))
    assert keys(store.search(())) == keys(store.search((), query="dog")) == ["k"]
    assert store.list_namespaces() == [NS]


def test_what_was_archived_is_put_again(store: BrunoStore) -> None:
    for key in ("k", "l"):
        store.put(NS, key, {"text": f"a dog, {key}"})
    ids = [one.id for one in store._opened.run(lambda held: held.list_memories("langgraph"))]
    store._opened.run(lambda held: held.forget(ids, archive=True))
    assert store.search(NS) == store.search(NS, query="dog") == []
    assert store.get(NS, "k") is not None  # by its key it is there
    store.put(NS, "k", {"text": "a dog, again"})
    assert keys(store.search(NS)) == keys(store.search(NS, query="dog")) == ["k"]
    store.delete(NS, "l")
    assert store.get(NS, "l") is None


# Searching


def test_a_question_finds_by_meaning() -> None:
    with BrunoStore("memory://") as store:
        store.put(NS, "dog", {"text": "Ana owns a dog called Rex"})
        store.put(NS, "work", {"text": "Ana works as a carpenter"})
        store.put(NS, "food", {"text": "Ana does not eat peanuts"})
        store.put(("memories", "ben"), "dog", {"text": "Ben's puppy is called Otto"})
        found = store.search(NS, query="what animal does she have?", limit=2)
        assert found[0].key == "dog"
        assert found[0].score is not None
        assert found[0].score > (found[1].score or 0)
        assert {one.namespace for one in found} == {NS}


def test_fields_say_what_is_found() -> None:
    with BrunoStore("memory://", index={"fields": ["text"]}, embedder="hash") as store:
        store.put(NS, "a", {"text": "an apple", "note": "zebra"})
        store.put(NS, "b", {"text": "a boat", "note": "zebra"}, index=["note"])
        store.put(NS, "c", {"text": "zebra zebra"}, index=False)
        store.put(NS, "d", {"other": "without the field"})
        found = store.search(NS, query="zebra")
        assert keys(found)[0] == "b"
        # All are there; those that are not indexed behind the others, without a score.
        assert set(keys(found)) == {"a", "b", "c", "d"}
        scores = {one.key: one.score for one in found}
        assert scores["c"] is None
        assert scores["d"] is None
        assert keys(store.search(NS, query="zebra", limit=1)) == ["b"]


def test_filters_beside_a_question(store: BrunoStore) -> None:
    for n in range(40):
        store.put(NS, str(n), {"text": f"note number {n}", "n": n, "odd": n % 2 == 1, "s": f"s{n}"})
    found = store.search(NS, query="note number", filter={"n": {"$gte": 30}, "odd": True}, limit=20)
    assert sorted(map(int, keys(found))) == [31, 33, 35, 37, 39]
    assert all(one.score is not None for one in found)
    assert keys(store.search(NS, query="note", filter={"s": "s7"})) == ["7"]
    pages = [store.search(NS, query="note number", limit=7, offset=at) for at in range(0, 42, 7)]
    everything = [key for page in pages for key in keys(page)]
    assert sorted(map(int, everything)) == list(range(40))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"n": {"$gt": 1}}, {"b", "c"}),
        ({"n": {"$gte": 1, "$lt": 3}}, {"a", "b"}),
        ({"n": {"$lte": 2}}, {"a", "b"}),
        ({"n": {"$ne": 2}}, {"a", "c", "none"}),
        ({"n": {"$eq": 2}}, {"b"}),
        ({"day": {"$gte": "2026-02-01"}}, {"b"}),
        ({"n": {"$gt": "1"}}, set()),  # a number is neither more nor less than a text
        ({"nested": {"deep": {"x": 1}}}, {"c"}),
        ({"nested": {"deep": {"x": {"$gt": 0}}}}, {"c"}),
        ({"list": [1, 2]}, {"c"}),
        ({"list": [1]}, set()),
        ({"n": None}, {"none"}),
        ({"day": "2026-01-01", "n": 1}, {"a"}),
        ({}, {"a", "b", "c", "none"}),
    ],
)
def test_filters(shared: BrunoStore, wanted: dict[str, Any], found: set[str]) -> None:
    if shared.get(("filters",), "a") is None:
        shared.put(("filters",), "a", {"n": 1, "day": "2026-01-01"})
        shared.put(("filters",), "b", {"n": 2, "day": "2026-02-01"})
        shared.put(("filters",), "c", {"n": 3, "nested": {"deep": {"x": 1}}, "list": [1, 2]})
        shared.put(("filters",), "none", {})
    assert set(keys(shared.search(("filters",), filter=wanted))) == found


# Time to live


def test_what_has_expired_is_not_there(store: BrunoStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(NS, "short", {"text": "soon gone"}, ttl=0.0001)
    store.put(NS, "long", {"text": "stays"}, ttl=1000)
    threading.Event().wait(0.02)
    assert store.get(NS, "short") is None
    assert keys(store.search(NS)) == ["long"]
    assert keys(store.search(NS, query="soon gone")) == ["long"]
    assert store.list_namespaces() == [NS]
    assert store.sweep_ttl() == 1
    assert store.sweep_ttl() == 0


def test_looking_at_an_item_keeps_it_longer(store: BrunoStore) -> None:
    def expiry() -> datetime:
        entry = store._opened.run(lambda held: held.list_memories("langgraph"))[0]
        assert entry.expires_at is not None
        return entry.expires_at

    store.put(NS, "k", {"text": "a note"}, ttl=0.01)  # 600 ms
    first = expiry()
    threading.Event().wait(0.05)
    store.get(NS, "k", refresh_ttl=False)
    store.search(NS, query="note", refresh_ttl=False)
    assert expiry() == first
    store.get(NS, "k")
    second = expiry()
    assert second > first
    threading.Event().wait(0.05)
    store.search(NS, query="note")
    assert expiry() > second
    # It is only looked at, not changed.
    item = store.get(NS, "k")
    assert item is not None
    assert item.created_at == item.updated_at


def test_ttl_by_default() -> None:
    with BrunoStore(
        "memory://", embedder="hash", ttl={"default_ttl": 60, "refresh_on_read": False}
    ) as store:
        store.put(NS, "k", {"a": 1})
        store.put(NS, "ever", {"a": 1}, ttl=None)
        entries = store._opened.run(lambda held: held.list_memories("langgraph"))
        told = {one.metadata.custom_fields["langgraph"]["key"]: one.expires_at for one in entries}
        assert told["ever"] is None
        assert told["k"] - datetime.now(timezone.utc).replace(tzinfo=None) > timedelta(minutes=59)


# Whose


@pytest.fixture(scope="module")
def by_user() -> Iterator[BrunoStore]:
    with BrunoStore("memory://", user_label=1, embedder="hash") as one:
        one.put(("memories", "ana"), "k", {"text": "Ana's secret"})
        one.put(("memories", "ana", "work"), "k", {"text": "Ana's work"})
        one.put(("memories", "ben"), "k", {"text": "Ben's secret"})
        one.put(("settings",), "k", {"text": "everybody's"})
        yield one


def test_a_label_names_the_user(by_user: BrunoStore) -> None:
    def content(held: VectorMemory, user: Any) -> Any:
        return held.list_memories(user)

    told = by_user._opened.run(lambda held: content(held, ALL_USERS))
    assert {one.user_id for one in told} == {"ana", "ben", "langgraph"}
    assert len(by_user.search(("memories", "ana"))) == 2
    assert len(by_user.search(("memories", "ben"), query="secret")) == 1
    item = by_user.get(("settings",), "k")
    assert item is not None
    assert by_user.get(("memories", "ben", "work"), "k") is None
    assert by_user.list_namespaces(prefix=("memories", "ana")) == [
        ("memories", "ana"),
        ("memories", "ana", "work"),
    ]


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.search(()),
        lambda store: store.search(("memories",), query="secret"),
        lambda store: store.list_namespaces(),
        lambda store: store.list_namespaces(prefix=("memories", "*")),
        lambda store: store.list_namespaces(suffix=("ana",)),
    ],
)
def test_what_names_no_user_is_refused(by_user: BrunoStore, call: Any) -> None:
    with pytest.raises(InvalidInputError, match="names no user"):
        call(by_user)


def test_across_users_where_it_is_allowed() -> None:
    with BrunoStore("memory://", user_label=1, across_users=True, embedder="hash") as store:
        store.put(("memories", "ana"), "k", {"text": "a secret"})
        store.put(("memories", "ben"), "k", {"text": "a secret"})
        assert len(store.search(("memories",), query="secret")) == 2
        assert len(store.list_namespaces(max_depth=1)) == 1
        assert len(store.search((), filter={"text": "a secret"})) == 2


def test_a_label_is_no_space(by_user: BrunoStore) -> None:
    with pytest.raises(InvalidInputError, match="space"):
        by_user.put(("memories", "space:team"), "k", {"a": 1})


def test_erasing_a_user_erases_the_items() -> None:
    with BrunoStore("memory://", user_label=1, embedder="hash") as store:
        store.put(("memories", "ana"), "k", {"a": 1})
        store.put(("memories", "ben"), "k", {"a": 1})
        store._opened.run(lambda held: held.forget_user("ana"))
        assert store.get(("memories", "ana"), "k") is None
        assert store.get(("memories", "ben"), "k") is not None


async def test_a_view_serves_its_user_only() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        whole = BrunoStore(memory, user_label=1)
        await whole.aput(("m", "ben"), "k", {"text": "Ben's"})
        ana = BrunoStore(memory.for_user("ana"), user_label=1)
        await ana.aput(("m", "ana"), "k", {"text": "Ana's"})
        with pytest.raises(ForeignUserError):
            await ana.aget(("m", "ben"), "k")
        with pytest.raises(ForeignUserError):
            await ana.aput(("m", "ben"), "k", {"text": "changed"})
        reader = BrunoStore(memory.for_user("ana", role="reader"), user_id="ana")
        assert await reader.alist_namespaces() == [("m", "ana")]
        await whole.aput(("m", "ana"), "short", {"text": "x"}, ttl=1)
        assert await reader.aget(("m", "ana"), "short") is not None  # and moves no deadline
        with pytest.raises(NotPermittedError):
            await reader.aput(("m", "ana"), "k", {"a": 1})


# Beside InMemoryStore

LABELS = st.sampled_from(["a", "b", "c", "*", "名", "a b", "/"])
NAMESPACES = st.lists(LABELS, min_size=1, max_size=3).map(tuple)
KEYS = st.sampled_from(["k", "l", "", "🔑", "a.b"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from(["x", "y", ""]), st.just(0.5)
)
JSON = st.dictionaries(
    st.sampled_from(["x", "y", "langgraph", "n"]),
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["x", "d"]), inner)
        ),
        max_leaves=4,
    ),
    max_size=3,
)
PUTS = st.builds(PutOp, NAMESPACES, KEYS, st.one_of(st.none(), JSON), st.none(), st.none())
GETS = st.builds(GetOp, NAMESPACES, KEYS)
FILTERS = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["x", "y", "n", "langgraph"]),
        st.one_of(
            SCALARS,
            st.lists(SCALARS, max_size=2),
            st.dictionaries(st.sampled_from(["$eq", "$ne"]), SCALARS, min_size=1),
            st.dictionaries(st.sampled_from(["x", "d"]), SCALARS),
        ),
        max_size=2,
    ),
)
SEARCHES = st.builds(
    SearchOp,
    st.lists(LABELS, max_size=2).map(tuple),
    FILTERS,
    st.just(1000),
    st.just(0),
    st.one_of(st.none(), st.just("x")),
)
CONDITIONS = st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), NAMESPACES)
LISTS = st.builds(
    ListNamespacesOp,
    st.one_of(st.none(), st.lists(CONDITIONS, max_size=2).map(tuple)),
    st.one_of(st.none(), st.integers(1, 3)),
    st.just(1000),
    st.just(0),
)


def plain(result: Any, alive: set[tuple[str, ...]] | None = None) -> Any:
    """A result without times and order, which the two stores have of their own."""
    if isinstance(result, list):
        return sorted((plain(one) for one in result), key=repr)
    if isinstance(result, tuple) or result is None:
        return result
    return (result.namespace, result.key, result.value)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(
        st.lists(st.one_of(PUTS, PUTS, GETS, SEARCHES, LISTS), min_size=1, max_size=8), max_size=6
    )
)
def test_it_answers_as_inmemorystore_does(shared: BrunoStore, batches: list[list[Any]]) -> None:
    theirs = InMemoryStore()
    there = shared.search((), limit=10_000)
    shared.batch([PutOp(item.namespace, item.key, None) for item in there])
    for batch in batches:
        # Theirs lists a namespace that was ever asked for; ours one that has items.
        for name in [name for name, items in theirs._data.items() if not items]:
            del theirs._data[name]
        expected, found = theirs.batch(list(batch)), shared.batch(list(batch))
        assert len(expected) == len(found)
        for op, one, other in zip(batch, expected, found, strict=True):
            if isinstance(op, ListNamespacesOp):
                continue
            assert plain(other) == plain(one), op
        for name in [name for name, items in theirs._data.items() if not items]:
            del theirs._data[name]
        lists = [op for op in batch if isinstance(op, ListNamespacesOp)]
        assert shared.batch(lists) == theirs.batch(lists)


def test_a_batch_reads_before_it_writes(store: BrunoStore) -> None:
    store.put(NS, "k", {"n": 1})
    results = store.batch(
        [
            PutOp(NS, "k", {"n": 2}),
            GetOp(NS, "k"),
            PutOp(NS, "k", {"n": 3}),
            SearchOp(NS),
            PutOp(NS, "gone", {"n": 0}),
            PutOp(NS, "gone", None),
            ListNamespacesOp(),
        ]
    )
    assert [results[0], results[2], results[4], results[5]] == [None] * 4
    assert results[1].value == {"n": 1}  # type: ignore[union-attr]
    assert [one.value for one in results[3]] == [{"n": 1}]  # type: ignore[union-attr]
    assert results[6] == [NS]
    item = store.get(NS, "k")
    assert item is not None
    assert item.value == {"n": 3}
    assert store.get(NS, "gone") is None
    assert store.batch([]) == []


# What is refused


@pytest.mark.parametrize(
    ("op", "error"),
    [
        (PutOp((), "k", {}), InvalidNamespaceError),
        (PutOp(("a.b",), "k", {}), InvalidNamespaceError),
        (PutOp(("",), "k", {}), InvalidNamespaceError),
        (PutOp((1,), "k", {}), InvalidNamespaceError),  # type: ignore[arg-type]
        (GetOp(("a\0",), "k"), InvalidNamespaceError),
        (SearchOp("ab"), InvalidNamespaceError),  # type: ignore[arg-type]
        (PutOp(NS, 1, {}), InvalidInputError),  # type: ignore[arg-type]
        (PutOp(NS, "k", [1]), InvalidInputError),  # type: ignore[arg-type]
        (PutOp(NS, "k", {"a": object()}), InvalidInputError),
        (PutOp(NS, "k", {"a": "\ud800"}), InvalidInputError),
        (PutOp(NS, "k", {}, index="text"), InvalidInputError),  # type: ignore[arg-type]
        (PutOp(NS, "k", {}, ttl=-1), InvalidInputError),
        (PutOp(NS, "k", {}, ttl=float("nan")), InvalidInputError),
        (PutOp(NS, "k", {}, ttl=True), InvalidInputError),
        (SearchOp(NS, limit=-1), InvalidInputError),
        (SearchOp(NS, offset=-1), InvalidInputError),
        (SearchOp(NS, filter={"a": {"$regex": "x"}}), InvalidInputError),
        (SearchOp(NS, filter=[1]), InvalidInputError),  # type: ignore[arg-type]
        (SearchOp(NS, query=7), InvalidInputError),  # type: ignore[arg-type]
        (ListNamespacesOp((MatchCondition("infix", ("a",)),)), InvalidInputError),  # type: ignore[arg-type]
        ("put", InvalidInputError),
    ],
)
def test_what_cannot_be_done_is_refused(shared: BrunoStore, op: Any, error: Any) -> None:
    before = len(shared.search((), limit=10_000))
    with pytest.raises(error):
        shared.batch([PutOp(("other",), "never stored", {"a": 1}), op])
    assert len(shared.search((), limit=10_000)) == before
    assert shared.get(("other",), "never stored") is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"user_id": ""},
        {"user_label": -1},
        {"user_label": "1"},
        {"across_users": "yes"},
        {"index": {"fields": "text"}},
        {"index": {"embed": DeterministicFakeEmbedding(size=8)}},
        {"ttl": {"omit_expired": False}},
        {"ttl": {"default_ttl": 0}},
        {"nonsense": True},
    ],
)
def test_settings_are_checked_where_they_are_given(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        BrunoStore("memory://", **arguments)
    assert issubclass(BrunoStore, BaseStore)


# In graphs


@tool
def remember(
    text: str, config: RunnableConfig, store: Annotated[BaseStore, InjectedStore()]
) -> str:
    """Keep something."""
    user = config["configurable"]["user"]
    store.put(("memories", user), str(len(text)), {"text": text})
    return "kept"


@tool
async def look_up(
    question: str, config: RunnableConfig, store: Annotated[BaseStore, InjectedStore()]
) -> str:
    """Find something."""
    user = config["configurable"]["user"]
    found = await store.asearch(("memories", user), query=question, limit=1)
    return found[0].value["text"] if found else "nothing"


class Scripted(GenericFakeChatModel):
    """A chat model that says what it is told to."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def calling(name: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": name}])


def said(user: str) -> tuple[Any, Any]:
    return {"messages": [("user", "hello")]}, {"configurable": {"user": user}}


async def test_an_agent_keeps_and_finds_and_so_after_a_restart(tmp_path: Path) -> None:
    model = Scripted(
        messages=iter(
            [
                calling("remember", text="Ana's dog is called Rex"),
                AIMessage("Noted."),
                calling("look_up", question="what is the dog called?"),
                AIMessage("Rex."),
            ]
        )
    )
    with BrunoStore(tmp_path / "store", user_label=1, embedder="hash") as store:
        agent = create_agent(model, [remember, look_up], store=store)
        first = await agent.ainvoke(*said("ana"))
        assert first["messages"][-2].content == "kept"
    with BrunoStore(tmp_path / "store", user_label=1, embedder="hash") as store:
        agent = create_agent(model, [remember, look_up], store=store)
        second = await agent.ainvoke(*said("ana"))
        assert second["messages"][-2].content == "Ana's dog is called Rex"
        other = Scripted(messages=iter([calling("look_up", question="dog?"), AIMessage("?")]))
        theirs = await create_agent(other, [look_up], store=store).ainvoke(*said("ben"))
        assert theirs["messages"][-2].content == "nothing"


class State(TypedDict):
    seen: Annotated[list[str], operator.add]


async def test_in_a_graph_of_plain_and_async_nodes(store: BrunoStore) -> None:
    def put(state: State, *, store: BaseStore) -> State:
        store.put(("notes",), "n", {"text": "by a plain node"})
        return {"seen": []}

    async def get(state: State, *, store: BaseStore) -> State:
        item = await store.aget(("notes",), "n")
        return {"seen": [item.value["text"] if item else ""]}

    graph = StateGraph(State)
    graph.add_node("put", put)
    graph.add_node("get", get)
    graph.add_edge(START, "put")
    graph.add_edge("put", "get")
    compiled = graph.compile(store=store)
    assert (await compiled.ainvoke({"seen": []}))["seen"] == ["by a plain node"]
    many = await compiled.abatch([{"seen": []}] * 8)
    assert all(one["seen"] == ["by a plain node"] for one in many)


# Where it lives


async def test_many_threads_and_loops(tmp_path: Path) -> None:
    with BrunoStore(tmp_path / "store", embedder="hash") as store:

        def write(n: int) -> None:
            if n % 2:
                asyncio.run(store.aput(("t", str(n % 5)), str(n), {"n": n}))
            else:
                store.put(("t", str(n % 5)), str(n), {"n": n})

        with ThreadPoolExecutor(8) as pool:
            await asyncio.gather(
                *(asyncio.get_running_loop().run_in_executor(pool, write, n) for n in range(60))
            )
        found = await store.asearch(("t",), limit=100)
        assert sorted(item.value["n"] for item in found) == list(range(60))
    # What was stored is there for another process.
    script = (
        "import sys\n"
        "from bruno_memory_vec.adapters.langgraph import BrunoStore\n"
        "with BrunoStore(sys.argv[1], embedder='hash') as store:\n"
        "    print(len(store.search(('t',), limit=100)), store.get(('t', '1'), '11').value)\n"
    )
    path = str(Path(__file__).parents[2])
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "ignore", "-c", script, str(tmp_path / "store")],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": path},
    )
    assert done.stdout.strip() == "60 {'n': 11}"


async def test_a_cancelled_call_leaves_the_store_usable(store: BrunoStore) -> None:
    await store.aput(NS, "first", {"n": 0})
    calls = [asyncio.create_task(store.aput(NS, str(n), {"n": n})) for n in range(20)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    there = {item.value["n"] for item in await store.asearch(NS, limit=100)}
    assert there >= set(range(1, 20, 2))
    await store.aput(NS, "after", {"n": 100})


async def test_an_open_memory_is_shared(tmp_path: Path) -> None:
    async with open_memory(tmp_path / "store", embedder="hash") as memory:
        store = BrunoStore(memory, user_id="ana")
        await store.aput(NS, "k", {"text": "a dog"})
        # Plain nodes of a graph run in threads.
        item = await asyncio.to_thread(store.get, NS, "k")
        assert item is not None
        with pytest.raises(StoreError, match="hold up"):
            store.get(NS, "k")
        assert len(await memory.recall("dog", user_id="ana")) == 1
        store.close()
        assert await store.aget(NS, "k") is not None


def test_a_memory_that_nobody_uses_yet(tmp_path: Path) -> None:
    store = BrunoStore(VectorMemory(str(tmp_path / "store"), embedder="hash"))
    store.put(NS, "k", {"a": 1})
    assert asyncio.run(store.aget(NS, "k")) is not None
    store.close()
    with pytest.raises(StoreClosedError):
        store.get(NS, "k")
    with pytest.raises(InvalidInputError, match="setting"):
        BrunoStore(VectorMemory("memory://"), profile="fast")
    with pytest.raises(InvalidInputError, match="memory"):
        BrunoStore(7)  # type: ignore[arg-type]


def test_read_only_and_encrypted(tmp_path: Path) -> None:
    with BrunoStore(tmp_path / "store", embedder="hash", key="k" * 40) as store:
        store.put(NS, "k", {"text": "sealed words"}, ttl=1)
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert not any(b"sealed words" in path.read_bytes() for path in files)
    with BrunoStore(tmp_path / "store", embedder="hash", key="k" * 40, read_only=True) as reader:
        assert keys(reader.search(NS, query="sealed")) == ["k"]
        with pytest.raises(ReadOnlyError):
            reader.put(NS, "l", {"a": 1})


def test_embeddings_of_langchain(tmp_path: Path) -> None:
    index: Any = {"dims": 32, "embed": DeterministicFakeEmbedding(size=32), "fields": ["text"]}
    with BrunoStore(tmp_path / "store", index=index) as store:
        store.put(NS, "k", {"text": "a dog"})
        assert keys(store.search(NS, query="a dog")) == ["k"]
        health = store._opened.run(lambda held: held.health())
        assert "DeterministicFakeEmbedding" in str(health)


def test_without_the_package() -> None:
    script = (
        "import sys\n"
        "sys.modules['langgraph'] = None\n"
        "sys.modules['langgraph.store'] = None\n"
        "sys.modules['langgraph.store.base'] = None\n"
        "import bruno_memory_vec.adapters.langgraph\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert MissingDependencyError.__name__ in done.stderr
    assert 'pip install "bruno-memory-vec[langgraph]"' in done.stderr
