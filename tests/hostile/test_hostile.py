# ruff: noqa: ASYNC240 - a test may wait for its files
"""Whatever comes in: it is kept, or refused with an error that says what and how to mend it."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import Fingerprint, open_memory
from bruno_memory_vec.errors import (
    BackendUnavailable,
    EmbeddingError,
    FingerprintError,
    InvalidInputError,
    NotAStoreError,
    NotFoundError,
    ReadOnlyError,
    StoreClosedError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)
from bruno_memory_vec.testing import HashEmbedder


@pytest.fixture(params=["folder", "memory://"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Any]:
    url = str(tmp_path / "store") if request.param == "folder" else request.param
    async with open_memory(url, embedder="hash") as memory:
        yield memory


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    """A closed store with three messages of Ana's, a memory and a session."""
    folder = tmp_path / "store"
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.store_messages(
            [said(f"part {i} of the zebra") for i in range(3)], "talk", user_id="ana"
        )
        await memory.store_memory(noted("The zebra is called Zed"))
        await memory.create_session("ana")
    return folder


def said(content: str, **fields: Any) -> Message:
    return Message(role=MessageRole.USER, content=content, **fields)


def noted(content: str, user_id: str = "ana", **described: Any) -> MemoryEntry:
    return MemoryEntry(
        content=content,
        user_id=user_id,
        memory_type=MemoryType.FACT,
        metadata=MemoryMetadata(**described),
    )


async def check(folder: Path, **settings: Any) -> None:
    """The store of the fixture above is whole."""
    async with open_memory(str(folder), embedder="hash", **settings) as memory:
        assert (await memory.health())["status"] == "ok"
        found = await memory.recall("zebra", user_id="ana", profile="lexical")
        assert len(found) == 4
        texts = [f"part {i} of the zebra" for i in range(3)]
        assert [m.content for m in (await memory.get_context("ana", "talk")).messages] == texts
        with pytest.raises(BrunoError, match="talk"):
            await memory.get_context("bo", "talk")
        (hit,) = await memory.recall("Zed", user_id="ana", profile="lexical")
        assert hit.content == "The zebra is called Zed"


def helpful(error: BrunoError) -> None:
    """It says what to do, in a sentence of its own, without a traceback's words."""
    text, fix = str(error), error.fix  # type: ignore[attr-defined]  # every one of ours has one
    assert fix
    assert fix in text
    assert fix.rstrip().endswith((".", "`", "bruno-memory-vec", ']"', ")")) or "pip install" in fix
    assert "Traceback" not in text
    assert len(text) < 2_000


# Text

AWKWARD = {
    "one letter": "x",
    "NUL": "before\x00after",
    "controls": "bell \x07 escape \x1b[31m backspace \x08",
    "right to left": "مرحبا بالعالم \u202eשלום",
    "emoji only": "👩‍👩‍👧‍👦🇵🇹🎷",
    "combining": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘!͖̬̰̙̗̿̋ͥͥ̂ͣ̐́́͜͞",
    "private and unassigned": "\ue000 \U000e0001 \ufffe \U0010ffff",
    "Lance's and Lucene's syntax": 'a:(^`" +x -y [* TO *] {1 TO 2} AND OR NOT ~2 "',
    "SQL": "Robert'); DROP TABLE rows; -- /* */ \\ % _ ` \" '' ",
    "JSON": '{"$": "datetime", "v": "now"}',
    "HTML": "<script>alert(1)</script>&amp;",
    "format": "{0} %s %(x)s ${y}",
    "many lines": "a\r\nb\u2028c\x85d",
    "one long word": "x" * 5_000,
    "1 MB": "lorem ipsum dolor " * 58_000,
}


@pytest.mark.parametrize("name", AWKWARD)
async def test_awkward_content_is_kept_and_found(memory: Any, name: str) -> None:
    content = AWKWARD[name].strip()
    message, entry = said(content), noted(content)
    await memory.store_message(said("something else entirely"), "talk", user_id="ana")
    await memory.store_message(message, "talk", user_id="ana")
    await memory.store_memory(entry)
    assert (await memory.retrieve_messages("talk", 1)) == [message]
    assert (await memory.get_context("ana", "talk")).messages[-1] == message
    hits = await memory.recall(content, user_id="ana", k=3)
    assert hits[0].content == content
    assert {hit.id for hit in hits} >= {str(message.id), str(entry.id)}
    assert "<script" not in hits._repr_html_()


@pytest.mark.parametrize("name", [*AWKWARD, "lone surrogate", "only surrogates"])
async def test_awkward_questions_are_answered(memory: Any, name: str) -> None:
    surrogates = {"lone surrogate": "the z\ud800ebra \udfff", "only surrogates": "\ud800\udc00"}
    question = surrogates.get(name) or AWKWARD[name]
    await memory.store_message(said("the zebra"), "talk", user_id="ana")
    await memory.store_memory(noted("the zebra, remembered"))
    assert len(await memory.recall(question, user_id="ana")) <= 2
    if name == "1 MB":
        return  # the other ways lead to the same place, and take their time
    for answer in (
        await memory.search_messages(question, "ana"),
        await memory.retrieve_context("ana", question),
        await memory.retrieve_memories(MemoryQuery(user_id="ana", query_text=question)),
    ):
        assert len(answer) <= 1
    assert len(await memory.search_memories("ana", question)) <= 2


@pytest.mark.parametrize("question", ["", "   ", "\n\t\u3000", None, 5, b"bytes", ["a"]])
async def test_a_question_needs_a_character(memory: Any, question: Any) -> None:
    calls = [memory.recall(question, user_id="ana"), memory.search_messages(question, "ana")]
    if not isinstance(question, str):  # a blank one asks these for the newest
        calls.append(memory.search_memories("ana", question))
        calls.append(memory.retrieve_context("ana", question))
    for call in calls:
        with pytest.raises(InvalidInputError, match="query") as refusal:
            await call
        helpful(refusal.value)


@pytest.mark.parametrize(
    ("sentence", "parts"),
    [
        ("昨日は東京タワーに行きました", ["東京タワー", "東京", "タワー", "塔", "行"]),
        ("我上周在北京图书馆借了一本书", ["北京图书馆", "图书馆", "书"]),
        ("우리는 지난 주에 부산에서 회의를 했습니다", ["부산", "회의", "회"]),
        ("เมื่อวานฉันไปตลาดน้ำกับแม่", ["ตลาดน้ำ", "แม่", "ฉัน"]),
        ("ﾄｳｷｮｳとＡＢＣ", ["トウキョウ", "abc"]),
    ],
)
async def test_scripts_without_spaces_are_found_by_a_part(
    memory: Any, sentence: str, parts: list[str]
) -> None:
    await memory.store_messages(
        [said("nothing of it 別 别 별 น"), said(sentence)], "talk", user_id="ana"
    )
    for part in parts:
        hits = await memory.recall(part, user_id="ana", profile="lexical")
        found = [hit.content for hit in hits if hit.signals.get("lexical", 0) > 0]
        assert found == ([sentence] if part in sentence or part in "トウキョウabc" else []), part


# Ids

ODD_IDS = [
    "O'Brien",
    "'; DELETE FROM rows; --",
    "x' OR 'a'='a",
    'a "quoted" `name`',
    "back\\slash\\'",
    "per%cent_underscore",
    "日本語 🎷",
    "a\x01b",
    " padded ",
    "/../../etc/passwd",
    "x" * 1024,
]


@pytest.mark.parametrize("odd", ODD_IDS)
async def test_odd_ids_are_only_text(memory: Any, odd: str) -> None:
    await memory.store_message(said("of somebody else"), "plain", user_id="bo")
    message, entry = (
        said("the zebra", conversation_id=odd),
        noted("a memory", odd, tags=[odd], category=odd),
    )
    await memory.store_message(message, odd, user_id=odd)
    await memory.store_memory(entry)
    assert await memory.retrieve_messages(odd) == [message]
    assert (await memory.get_context(odd, odd)).messages == [message]
    query = MemoryQuery(user_id=odd, tags=[odd], categories=[odd])
    assert await memory.retrieve_memories(query) == [entry]
    hits = await memory.recall("the zebra", user_id=odd, conversation_id=odd)
    assert [hit.id for hit in hits] == [str(message.id)]
    hits = await memory.recall("a memory", user_id=odd, tags=odd, categories=odd)
    assert [hit.id for hit in hits] == [str(entry.id)]
    counts = await memory.get_statistics(odd)
    assert (counts["total_messages"], counts["memories"]) == (1, 1)
    session = await memory.create_session(odd)
    assert await memory.get_session(session.session_id) == session
    await memory.clear_conversation(odd, odd)
    await memory.for_user(odd).delete_memory(str(entry.id))
    assert await memory.retrieve_messages(odd) == []
    assert len(await memory.retrieve_messages("plain")) == 1


@pytest.mark.parametrize("wrong", ["", "  ", "x" * 1025, "a\ud800", None, 5, b"x", ["a"], True])
async def test_wrong_ids_are_refused(memory: Any, wrong: Any) -> None:
    calls = [
        ("conversation_id", memory.store_message(said("x"), wrong, user_id="ana")),
        ("conversation_id", memory.retrieve_messages(wrong)),
        ("conversation_id", memory.clear_history(wrong)),
        ("user_id", memory.get_statistics(wrong)),
        ("user_id", memory.create_session(wrong)),
        ("user_id", memory.get_context(wrong)),
        ("user_id", memory.search_memories(wrong, "x")),
        ("user_id", memory.retrieve_context(wrong, "x")),
        ("user_id", memory.clear_conversation(wrong, "x")),
    ]
    if wrong is not None:
        calls += [
            ("user_id", memory.store_message(said("x"), "talk", user_id=wrong)),
            ("user_id", memory.recall("x", user_id=wrong)),
            ("conversation_id", memory.recall("x", user_id="ana", conversation_id=wrong)),
            ("session_id", memory.get_context("ana", wrong)),
        ]
    for field, call in calls:
        with pytest.raises(InvalidInputError) as refusal:
            await call
        assert refusal.value.field == field
        helpful(refusal.value)
    with pytest.raises(InvalidInputError, match="user_id"):
        memory.for_user(wrong)


@pytest.mark.parametrize("unknown", ["", "no uuid", "'; --", "a\x00b", "a\ud800", "x" * 5000, None])
async def test_unknown_ids_are_not_found(memory: Any, unknown: Any) -> None:
    await memory.store_memory(noted("kept"))
    for method in (memory.delete_memory, memory.end_session):
        with pytest.raises((NotFoundError, InvalidInputError)):
            await method(unknown)
    try:
        assert await memory.get_session(unknown) is None
    except InvalidInputError as error:
        helpful(error)
    assert (await memory.get_statistics("ana"))["memories"] == 1


# Arguments of recall


@pytest.mark.parametrize(
    ("argument", "wrong"),
    [
        *(("k", k) for k in (0, -1, 1001, "5", True, 2.0, None, float("nan"), np.float64(3))),
        ("kinds", "emails"),
        ("kinds", ["message", "emails"]),
        ("kinds", 5),
        ("roles", "narrator"),
        ("roles", [None]),
        ("memory_types", ["fact", "dream"]),
        ("memory_types", {"fact": 1}),
        ("tags", [5]),
        ("tags", "a\ud800"),
        ("categories", [None]),
        *(
            ("metadata", bad)
            for bad in ("a=b", {"a": None}, {"a": ["b"]}, {1: "b"}, {"a": "\ud800"})
        ),
        *((field, m) for field in ("since", "until", "now") for m in ("2024", 5, 5.0, [1])),
        ("since", datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5)))),
        *(("min_importance", x) for x in (-0.1, 1.1, float("nan"), "high", True, None)),
        ("min_confidence", 2),
        ("profile", "no such profile"),
        ("profile", 5),
    ],
    ids=repr,
)
async def test_wrong_arguments_are_named(argument: str, wrong: Any) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_message(said("the zebra"), "talk", user_id="ana")
        with pytest.raises(InvalidInputError) as refusal:
            await memory.recall("zebra", user_id="ana", **{argument: wrong})
        assert argument in refusal.value.field
        helpful(refusal.value)


async def test_a_numpy_integer_as_k_works_or_is_named(memory: Any) -> None:
    await memory.store_message(said("the zebra"), "talk", user_id="ana")
    for k in (np.int64(1), np.int32(1)):
        try:
            assert len(await memory.recall("zebra", user_id="ana", k=k)) == 1
        except InvalidInputError as error:
            assert "int" in str(error)  # noqa: PT017 - either will do, but not another error


async def test_naive_and_aware_times_mix(memory: Any) -> None:
    noon = datetime(2024, 6, 1, 12)
    abroad = noon.replace(tzinfo=timezone.utc).astimezone(timezone(timedelta(hours=9)))
    await memory.store_message(said("naive zebra", timestamp=noon), "talk", user_id="ana")
    await memory.store_message(said("aware zebra", timestamp=abroad), "talk", user_id="ana")
    second = timedelta(seconds=1)
    for since, until, count in (
        (noon, None, 2),
        (abroad, None, 2),
        (noon + second, None, 0),
        (None, abroad, 0),
        (None, noon + second, 2),
        (abroad, abroad + second, 2),
        (noon + second, noon, 0),
    ):
        assert len(await memory.recall("zebra", user_id="ana", since=since, until=until)) == count
    for now in (noon, abroad, datetime(1, 1, 1), datetime(9999, 12, 31)):
        assert len(await memory.recall("zebra", user_id="ana", now=now)) == 2


# Embedders


class Wayward(HashEmbedder):
    """Does what it is told until it is told otherwise."""

    mode = "good"

    def __init__(self, dimension: int) -> None:
        super().__init__(dimension)
        self.go_on = threading.Event()

    def embed(self, texts: Any, *, kind: Any = "document") -> Any:
        vectors = super().embed(texts, kind=kind)
        if self.mode == "NaN":
            vectors[-1, 3] = np.nan
        elif self.mode == "infinite":
            vectors[0, 0] = np.inf
        elif self.mode == "short":
            return vectors[:, :-1]
        elif self.mode == "long":
            return np.concatenate([vectors, vectors], axis=1)
        elif self.mode == "too few":
            return vectors[:-1]
        elif self.mode == "one for all":
            return vectors[0]
        elif self.mode == "nothing":
            return None
        elif self.mode == "text":
            return [["a"] * vectors.shape[1]] * len(vectors)
        elif self.mode == "raises":
            raise RuntimeError("the model is on fire")
        elif self.mode == "slow":
            # Were the loop held, nobody could set it.
            assert self.go_on.wait(60)
        elif self.mode == "zeros":
            return np.zeros_like(vectors)
        elif self.mode == "unnormalised":
            return vectors * 7
        return vectors


MODES = ["NaN", "infinite", "short", "long", "too few", "one for all", "nothing", "text", "raises"]


@pytest.mark.parametrize("mode", MODES)
async def test_a_wayward_embedder_stores_nothing(tmp_path: Path, mode: str) -> None:
    embedder = Wayward(16)
    async with open_memory(str(tmp_path / "store"), embedder=embedder) as memory:
        first = said("first")
        await memory.store_message(first, "talk", user_id="ana")
        embedder.mode = mode
        for call in (
            memory.store_messages([said("lost 1"), said("lost 2")], "talk", user_id="ana"),
            memory.store_memory(noted("lost")),
            memory.recall("first", user_id="ana"),
        ):
            with pytest.raises(EmbeddingError, match="'hash'") as refusal:
                await call
            helpful(refusal.value)
        assert await memory.retrieve_messages("talk") == [first]
        assert (await memory.get_context("ana", "talk")).messages == [first]
        assert (await memory.get_statistics("ana"))["memories"] == 0
        embedder.mode = "good"
        after = said("after")
        await memory.store_message(after, "talk", user_id="ana")
        assert await memory.retrieve_messages("talk") == [after, first]
        assert len(await memory.recall("after", user_id="ana")) == 2
        assert (await memory.health())["status"] == "ok"


@pytest.mark.parametrize("mode", ["zeros", "unnormalised"])
async def test_odd_but_usable_vectors(tmp_path: Path, mode: str) -> None:
    embedder = Wayward(16)
    embedder.mode = mode
    async with open_memory(str(tmp_path / "store"), embedder=embedder) as memory:
        await memory.store_messages([said("the zebra"), said("the lion")], "talk", user_id="ana")
        hits = await memory.recall("zebra", user_id="ana")
        assert hits[0].content == "the zebra"
        assert all(np.isfinite(hit.score) for hit in hits)


async def test_one_bad_batch_spares_its_neighbours(tmp_path: Path) -> None:
    class Picky(HashEmbedder):
        def embed(self, texts: Any, *, kind: Any = "document") -> Any:
            if any("poison" in text for text in texts):
                raise ValueError("poison")
            return super().embed(texts, kind=kind)

    async with open_memory(str(tmp_path / "store"), embedder=Picky(16)) as memory:
        contents = ["one", "two", "poison", "three"]
        done = await asyncio.gather(
            *(memory.store_message(said(c), "talk", user_id="ana") for c in contents),
            return_exceptions=True,
        )
        assert [type(result) for result in done].count(EmbeddingError) == 1
        kept = {m.content for m in await memory.retrieve_messages("talk")}
        assert kept == {"one", "two", "three"}


async def test_a_slow_embedder_does_not_hold_the_loop(memory: Any, tmp_path: Path) -> None:
    embedder = Wayward(16)
    async with open_memory(str(tmp_path / "slow"), embedder=embedder) as slow:
        await slow.store_message(said("warm"), "talk", user_id="ana")
        await slow.recall("warm", user_id="ana")
        # What is slow is not light: a light one is asked on the loop's own thread.
        embedder.light, embedder.mode = False, "slow"
        for call in (
            slow.store_message(said("in its own time"), "talk", user_id="ana"),
            slow.recall("time", user_id="ana"),
        ):
            embedder.go_on.clear()
            task = asyncio.create_task(call)
            for _ in range(20):
                await asyncio.sleep(0.005)
                assert not task.done()
            embedder.go_on.set()
            await task


async def test_an_embedder_with_another_fingerprint_is_refused(store: Path) -> None:
    for stranger in (HashEmbedder(32), _Renamed(64)):
        with pytest.raises(FingerprintError) as refusal:
            await open_memory(str(store), embedder=stranger)
        assert "hash 1, 64 dimensions" in str(refusal.value)
        assert str(stranger.fingerprint) in str(refusal.value)
        helpful(refusal.value)
    await check(store)


class _Renamed(HashEmbedder):
    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(name="another", version="2", dimension=64)


# Folders


async def test_a_folder_that_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(NotAStoreError, match=r"holiday\.jpg") as refusal:
        await open_memory(str(tmp_path), embedder="hash")
    helpful(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


async def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine", encoding="utf-8")
    for url in (path, path / "below"):
        with pytest.raises((NotAStoreError, BackendUnavailable), match=r"notes\.txt") as refusal:
            await open_memory(str(url), embedder="hash")
        helpful(refusal.value)
    assert path.read_text(encoding="utf-8") == "mine"


async def test_reading_what_is_not_there(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(NotAStoreError, match="there is no store") as refusal:
            await open_memory(str(folder), embedder="hash", read_only=True)
        helpful(refusal.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["s3://bucket/x", "http://host", "postgres://x"])
async def test_an_unknown_scheme(url: str) -> None:
    with pytest.raises(InvalidInputError, match="url") as refusal:
        await open_memory(url, embedder="hash")
    helpful(refusal.value)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"schema": 99}, StoreVersionError),
        ({"schema": "1"}, StoreVersionError),
        ({"schema": None}, StoreVersionError),
        ({"format": "something else"}, NotAStoreError),
        ({"embedder": None}, NotAStoreError),
        ({"embedder": []}, NotAStoreError),
        ({"embedder": {}}, NotAStoreError),
        ({"embedder": {"name": "hash", "version": "1", "dimension": "64"}}, NotAStoreError),
        ({"language": "klingon"}, (NotAStoreError, StoreVersionError)),
        ({"language": ["english"]}, (NotAStoreError, StoreVersionError)),
    ],
    ids=repr,
)
async def test_a_store_that_says_what_cannot_be(
    store: Path, changes: dict[str, Any], error: Any
) -> None:
    path = store / "store.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**whole, **changes}), encoding="utf-8")
    for read_only in (False, True):
        with pytest.raises(error) as refusal:
            await open_memory(str(store), embedder="hash", read_only=read_only)
        helpful(refusal.value)
    path.write_text(json.dumps(whole), encoding="utf-8")
    await check(store)


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b'"text"'])
async def test_a_damaged_manifest(store: Path, damage: bytes) -> None:
    path = store / "store.json"
    whole = path.read_bytes()
    path.write_bytes(damage)
    with pytest.raises(NotAStoreError, match=r"store\.json") as refusal:
        await open_memory(str(store), embedder="hash")
    helpful(refusal.value)
    path.write_bytes(whole)
    await check(store)


async def test_a_lost_manifest_is_not_made_up(store: Path) -> None:
    (store / "store.json").unlink()
    with pytest.raises(NotAStoreError, match=r"store\.json"):
        await open_memory(str(store), embedder="hash")


async def test_a_lost_word_index_is_rebuilt(store: Path) -> None:
    shutil.rmtree(store / "lexical")
    await check(store)


@pytest.mark.parametrize(
    "pattern", ["meta.json", "*.term", "*.idx", "*.fast", "*.store", ".managed.json"]
)
@pytest.mark.parametrize("damage", ["emptied", "garbled", "deleted", "cut"])
async def test_a_damaged_word_index_is_rebuilt(store: Path, pattern: str, damage: str) -> None:
    paths = list((store / "lexical").glob(pattern))
    assert paths, "tantivy names its files otherwise now"
    for path in paths:
        data = path.read_bytes()
        path.unlink()
        if damage == "emptied":
            path.write_bytes(b"")
        elif damage == "garbled":
            path.write_bytes(b"\x07garbage" * (1 + len(data) // 8))
        elif damage == "cut":
            path.write_bytes(data[: len(data) // 2])
    await check(store)
    await check(store)


async def test_lost_sessions_are_rebuilt_from_the_rows(store: Path) -> None:
    for path in store.glob("sessions.sqlite*"):
        path.unlink()
    await check(store)


async def test_sessions_cut_short_are_put_aside(store: Path) -> None:
    path = store / "sessions.sqlite"
    whole = path.read_bytes()
    damages = [whole[:length] for length in (100, len(whole) // 2, len(whole) - 3000)]
    for data in (*damages, b"this is no database" * 500):
        path.write_bytes(data)
        async with open_memory(str(store), embedder="hash") as memory:
            report = await memory.health()
        assert report["problems"] == {}
        assert "sessions.sqlite was damaged" in report["sessions"]["rebuilt"][0]
    await check(store)


async def test_a_newer_sessions_schema_is_refused(store: Path) -> None:
    import sqlite3

    (store / "sessions.sqlite.checksum").unlink()  # or it counts as damaged
    connection = sqlite3.connect(store / "sessions.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreVersionError, match=r"99.*pip install -U") as refusal:
        await open_memory(str(store), embedder="hash")
    helpful(refusal.value)


async def test_damaged_rows_are_named_and_nothing_is_made_up(store: Path) -> None:
    for path in (store / "rows").rglob("*"):
        if path.is_file() and path.suffix in {".manifest", ".lance"}:
            path.write_bytes(b"garbage")
    with pytest.raises(BrunoError, match="lancedb") as refusal:
        async with open_memory(str(store), embedder="hash") as memory:
            await memory.retrieve_messages("talk")
    helpful(refusal.value)


async def test_lost_rows_are_named(store: Path) -> None:
    """The rows are the truth: a store without them is not to be taken for an empty one."""
    shutil.rmtree(store / "rows")
    with pytest.raises(BrunoError) as refusal:
        await open_memory(str(store), embedder="hash")
    helpful(refusal.value)


# Using it wrongly


async def test_a_second_writer_is_refused(store: Path) -> None:
    async with open_memory(str(store), embedder="hash"):
        with pytest.raises(StoreLockedError, match="process") as refusal:
            await open_memory(str(store), embedder="hash")
        helpful(refusal.value)
        await check(store, read_only=True)
    await check(store)


async def test_a_reader_writes_nothing(store: Path) -> None:
    async with open_memory(str(store), embedder="hash", read_only=True) as memory:
        session = await memory.get_session("none")
        assert session is None
        for call in (
            memory.store_message(said("x"), "talk", user_id="ana"),
            memory.store_memory(noted("x")),
            memory.delete_memory("x"),
            memory.clear_history("talk"),
            memory.create_session("ana"),
            memory.end_session("x"),
            memory.save_user(await memory.get_user("ana")),
            memory.maintain(),
        ):
            with pytest.raises(ReadOnlyError) as refusal:
                await call
            helpful(refusal.value)
        assert (await memory.get_context("ana", "unknown")).messages == []
    await check(store)


async def test_a_closed_memory_says_so(memory: Any) -> None:
    await memory.store_message(said("x"), "talk", user_id="ana")
    await memory.close()
    await memory.close()
    for call in (
        memory.store_message(said("y"), "talk", user_id="ana"),
        memory.recall("x", user_id="ana"),
        memory.get_context("ana"),
        memory.health(),
    ):
        with pytest.raises(StoreClosedError) as refusal:
            await call
        helpful(refusal.value)


@pytest.mark.parametrize(
    "wrong", [None, "text", b"x", 5, (m for m in ())], ids=lambda wrong: type(wrong).__name__
)
async def test_bulk_writes_want_a_list(memory: Any, wrong: Any) -> None:
    for call in (memory.store_messages(wrong, "talk", user_id="ana"), memory.store_memories(wrong)):
        with pytest.raises(InvalidInputError):
            await call


async def test_metadata_that_names_no_usable_owner(memory: Any) -> None:
    for named in (None, 5, "", "  ", ["ana"]):
        await memory.store_message(said("x", metadata={"user_id": named}), f"talk {named}")
        assert (await memory.get_context("default", f"talk {named}")).messages
    long = said("x", metadata={"user_id": "x" * 5000})
    with pytest.raises(InvalidInputError, match="user_id"):
        await memory.store_message(long, "long")
    # Who says whose it is need not care.
    await memory.store_message(long, "long", user_id="ana")
    assert await memory.retrieve_messages("long") == [long]


async def test_errors_are_stores_errors(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        await open_memory(str(tmp_path / "none"), embedder="hash", read_only=True)
