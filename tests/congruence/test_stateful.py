"""The same random operations on LanceDB + Tantivy and on the oracle, and on a folder and memory://.

Each machine has an event loop of its own and runs every operation to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Coroutine
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryQuery, MemoryType
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import Candidates, LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.reference import ReferenceIndex, ReferenceLexicalIndex
from bruno_memory_vec.indexers.schema import COLUMNS, LEXICAL_COLUMNS, key_of
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.indexers.uses import count_uses
from bruno_memory_vec.rows.metadata_pairs import pairs_of
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.testing.rows import START, memory, message, table
from tests.amounts import LONG, amount
from tests.durability.support import words_committed

DIMENSION = 16
EMBEDDER = HashEmbedder(DIMENSION)
WORDS = "hotel hotels Lisbon café cafe what the 東京 東京都 O'Neill %_ run running".split()
USERS = ("ana", "b'o", "cy")
CONVERSATIONS = ("one", "t\\wo", "thr'ee")
TAGS = ("red", "gr'een", "")
METADATA = tuple(pairs_of({"n": 1, "t": "it's", "b": True}))
MOMENTS = tuple(START + timedelta(hours=hours) for hours in range(5))

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
scopes = st.builds(
    Scope,
    st.one_of(st.none(), st.sampled_from(USERS)),
    st.one_of(st.none(), st.none(), st.sampled_from(CONVERSATIONS)),
)


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """Mostly no condition, else one or two values."""
    few = st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True).map(tuple)
    return st.one_of(st.just(()), st.just(()), st.just(()), few)


def maybe(values: Any) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), st.none(), st.none(), st.sampled_from(values))


filters = st.builds(
    RowFilter,
    kinds=some(("message", "memory")),
    roles=some(("user", "assistant")),
    memory_types=some(("fact", "episodic")),
    tags=some(TAGS),
    categories=some(("a", "b'")),
    since=maybe(MOMENTS),
    until=maybe(MOMENTS),
    min_importance=st.sampled_from((0.0, 0.0, 0.3, 0.5)),
    min_confidence=st.sampled_from((0.0, 0.0, 0.9)),
    alive_at=maybe(MOMENTS),
    ids=some(tuple(str(UUID(int=i)) for i in range(6))),
    metadata=some(METADATA),
)


class Machine(RuleBasedStateMachine):
    """An event loop and a folder that end with the machine."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="bruno-congruence-"))

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        with contextlib.suppress(AttributeError):
            self.close()
        self.run(self.loop.shutdown_default_executor())
        self.loop.close()
        shutil.rmtree(self.folder)


class Engines(Machine):
    """LanceDB and Tantivy against the oracle."""

    @initialize()
    def open(self) -> None:
        words = analyser("english")
        self.rows = self.run(LanceIndex.open(str(self.folder / "rows"), DIMENSION))
        self.oracle = ReferenceIndex(DIMENSION)
        self.words = TantivyIndex(None, words)
        self.plain = ReferenceLexicalIndex(words)
        self.seq = 0
        # Tantivy counts deleted rows in its statistics until their segment is merged.
        self.deleted = False

    def close(self) -> None:
        self.run(self.rows.close())
        self.run(self.words.close())

    def both(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        return tuple(
            self.run(getattr(index, name)(*args, **kwargs)) for index in (self.rows, self.oracle)
        )

    @rule(data=st.data(), replacing=st.booleans())
    def write(self, data: st.DataObject, replacing: bool) -> None:
        rows, keys = [], set()
        for _ in range(data.draw(st.integers(1, 5), label="rows")):
            make = data.draw(st.sampled_from((message, memory)))
            number = data.draw(st.integers(0, 5)) if replacing else self.seq + 1000
            row = make(
                self.seq,
                data.draw(texts),
                id=str(UUID(int=number)),
                user_id=data.draw(st.sampled_from(USERS)),
                created_at=data.draw(st.sampled_from(MOMENTS)),
                expires_at=data.draw(maybe(MOMENTS)),
                importance=data.draw(st.sampled_from((0.0, 0.3, 0.5, 1.0))),
                confidence=data.draw(st.sampled_from((0.5, 0.9, 1.0))),
                metadata_pairs=list(data.draw(some(METADATA))),
            )
            if make is message:
                row["conversation_id"] = data.draw(st.sampled_from(CONVERSATIONS))
                row["role"] = data.draw(st.sampled_from(("user", "assistant", "system")))
            else:
                row["tags"] = data.draw(st.lists(st.sampled_from(TAGS), max_size=2))
                row["category"] = data.draw(maybe(("a", "b'")))
                row["memory_type"] = data.draw(st.sampled_from(("fact", "episodic")))
            key = key_of(row)
            if key in keys:
                continue
            keys.add(key)
            rows.append(row)
            self.seq += 1
        batch = table(rows, DIMENSION)
        if replacing:
            where = RowFilter(ids=tuple({row["id"] for row in rows}))
            held = self.run(self.oracle.read(Scope.all_users(), where, COLUMNS)).to_pylist()
            gone = [r["seq"] for r in held if key_of(r) in keys]
            self.both("upsert", batch, all_new=False)
            for index in (self.words, self.plain):
                index.remove(gone)
            self.deleted |= bool(gone)
        else:
            self.both("upsert", batch, all_new=True)
        for index in (self.words, self.plain):
            index.add(batch.select(list(LEXICAL_COLUMNS)))

    @rule(scope=scopes, where=filters)
    def delete(self, scope: Scope, where: RowFilter) -> None:
        if scope == Scope.all_users() and where == RowFilter():
            return  # a store without a row tests little
        gone, wanted = self.both("delete", scope, where)
        assert sorted(gone.tolist()) == sorted(wanted.tolist())
        for index in (self.words, self.plain):
            index.remove(gone.tolist())
        self.deleted |= len(gone) > 0

    @rule(uses=st.dictionaries(st.integers(0, 30), st.integers(1, 3), max_size=5))
    def touch(self, uses: dict[int, int]) -> None:
        for index in (self.rows, self.oracle):
            self.run(count_uses(index, uses, MOMENTS[-1]))

    @rule()
    def maintain(self) -> None:
        self.run(self.rows.maintain())

    @rule(text=texts, scope=scopes, where=filters, limit=st.sampled_from((1, 3, 100)))
    def search(self, text: str, scope: Scope, where: RowFilter, limit: int) -> None:
        vector = EMBEDDER.embed([text])[0]
        found = self.run(self.rows.search(vector, scope, where, limit))
        whole = self.run(self.oracle.search(vector, scope, where, 10_000))
        compare(found, whole, limit, exact=True)

    @rule(
        text=texts,
        scope=scopes,
        where=filters,
        limit=st.sampled_from((1, 3, 100)),
        weight=st.sampled_from((0.0, 0.4)),
        drop=st.booleans(),
    )
    def search_words(
        self, text: str, scope: Scope, where: RowFilter, limit: int, weight: float, drop: bool
    ) -> None:
        for index in (self.words, self.plain):
            self.run(index.commit())
        query = LexicalQuery(text, drop_stopwords=drop, phrase_weight=weight)
        found = self.words.search(query, scope, where, limit)
        whole = self.plain.search(query, scope, where, 10_000)
        compare(found, whole, limit, exact=not self.deleted)

    @rule(
        scope=scopes,
        where=filters,
        seqs=st.lists(st.integers(0, 30), max_size=4),
        places=st.dictionaries(
            st.sampled_from(CONVERSATIONS), st.lists(st.integers(0, 30), max_size=4)
        ),
    )
    def around(
        self, scope: Scope, where: RowFilter, seqs: list[int], places: dict[str, list[int]]
    ) -> None:
        same_rows(*self.both("read", scope, where, COLUMNS, seqs=seqs, turns=places))
        same_rows(*self.both("read", scope, RowFilter(), ("seq", "content"), seqs=seqs))

    @rule(
        scope=scopes,
        where=filters,
        order=st.sampled_from((None, "seq", "turn", "created_at")),
        limit=st.sampled_from((None, 1, 3)),
    )
    def scan(self, scope: Scope, where: RowFilter, order: str | None, limit: int | None) -> None:
        if order is None:
            found, wanted = self.both("read", scope, where, [*COLUMNS, "vector"])
            same_rows(found, wanted)
            return
        columns = ["seq", "content"] if order == "seq" else ["seq", order]
        found, wanted = self.both("read", scope, where, columns, order_by=order, limit=limit)
        # Of rows with an equal value either may come first.
        assert found.column(order).to_pylist() == wanted.column(order).to_pylist()
        if order == "seq" or limit is None:
            same_rows(found, wanted)

    @rule(scope=scopes, where=filters)
    def count(self, scope: Scope, where: RowFilter) -> None:
        found, wanted = self.both("count", scope, where)
        assert found == wanted

    @invariant()
    def same_size(self) -> None:
        if hasattr(self, "rows"):
            found, wanted = self.both("last_seq")
            assert found == wanted


def same_rows(found: Any, wanted: Any) -> None:
    assert found.column_names == wanted.column_names
    by_seq = [sorted(part.to_pylist(), key=lambda row: int(row["seq"])) for part in (found, wanted)]
    assert by_seq[0] == by_seq[1]


def compare(found: Candidates, whole: Candidates, limit: int, *, exact: bool) -> None:
    """``found`` is the best ``limit`` of ``whole``, up to rows of equal score at its end."""
    places = {int(seq): i for i, seq in enumerate(whole.seq)}
    assert len(set(found.seq.tolist())) == len(found) == min(limit, len(whole))
    assert set(found.seq.tolist()) <= places.keys()
    for i, seq in enumerate(found.seq.tolist()):
        assert found.conversation_id[i] == whole.conversation_id[places[seq]]
        assert found.turn[i] == whole.turn[places[seq]]
    order = np.lexsort((-found.seq, -found.score))
    assert order.tolist() == list(range(len(found))), "not best first, newest first of equals"
    if exact:
        own = [float(whole.score[places[seq]]) for seq in found.seq.tolist()]
        np.testing.assert_allclose(found.score, own, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(found.score, whole.score[:limit], rtol=1e-4, atol=1e-5)


class Memories(Machine):
    """A folder, closed and opened again now and then, against ``memory://`` and a list."""

    MAX_MESSAGES = 4

    @initialize()
    def open(self) -> None:
        self.rooms = [self._open(str(self.folder / "store")), self._open("memory://")]
        #: conversation -> its messages in order, as a plain list would hold them
        self.said: dict[str, list[Message]] = {}
        self.owners: dict[str, str] = {}
        self.noted: dict[tuple[str, UUID], MemoryEntry] = {}
        self.deleted = False

    def _open(self, url: str) -> Any:
        return self.run(_opened(url, embedder=EMBEDDER, max_messages=self.MAX_MESSAGES))

    def close(self) -> None:
        for room in self.rooms:
            self.run(room.close())

    def both(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """What both say; an error as its type and text."""
        answers = []
        for room in self.rooms:
            try:
                answers.append(self.run(getattr(room, name)(*args, **kwargs)))
            except BrunoError as error:
                answers.append((type(error), str(error)))
        return answers[0], answers[1]

    def same(self, name: str, *args: Any, **kwargs: Any) -> Any:
        first, second = self.both(name, *args, **kwargs)
        assert first == second
        return first

    @rule(
        conversation=st.sampled_from(CONVERSATIONS),
        user=st.sampled_from(USERS),
        said=st.lists(
            st.tuples(st.integers(0, 40), texts, st.sampled_from(("user", "assistant", "system"))),
            min_size=1,
            max_size=3,
        ),
    )
    def store_messages(
        self, conversation: str, user: str, said: list[tuple[int, str, str]]
    ) -> None:
        messages = [
            Message(
                id=UUID(int=number),
                role=role,
                content=text,
                timestamp=datetime(2024, 1, 1) + timedelta(minutes=number),
                conversation_id=conversation,
            )
            for number, text, role in said
        ]
        answer = self.same("store_messages", messages, conversation, user_id=user)
        owner = self.owners.setdefault(conversation, user)
        assert (answer is None) == (owner == user)
        if answer is not None:
            return
        latest = {m.id: m for m in messages}
        held = self.said.setdefault(conversation, [])
        for id_, m in latest.items():
            place = next((i for i, old in enumerate(held) if old.id == id_), None)
            if place is None:
                held.append(m)
            else:
                held[place] = m
                self.deleted = True

    @rule(
        user=st.sampled_from(USERS),
        number=st.integers(0, 9),
        text=texts,
        tags=st.lists(st.sampled_from(TAGS), max_size=2),
        importance=st.sampled_from((0.2, 0.8)),
        gone=st.booleans(),
    )
    def store_memory(
        self, user: str, number: int, text: str, tags: list[str], importance: float, gone: bool
    ) -> None:
        entry = MemoryEntry(
            id=UUID(int=number),
            content=text,
            memory_type=MemoryType.FACT,
            user_id=user,
            metadata=MemoryMetadata(tags=tags, importance=importance),
            created_at=datetime(2024, 1, 1, number),
            expires_at=datetime(2024, 2, 1) if gone else None,
        )
        assert self.same("store_memory", entry) is None
        self.deleted |= (user, entry.id) in self.noted
        self.noted[user, entry.id] = entry

    @rule(user=st.sampled_from(USERS), number=st.integers(0, 9))
    def delete_memory(self, user: str, number: int) -> None:
        first, second = (
            self.run(_refusal(room.for_user(user).delete_memory(str(UUID(int=number)))))
            for room in self.rooms
        )
        assert first == second
        known = self.noted.pop((user, UUID(int=number)), None)
        assert (first is None) == (known is not None)
        self.deleted |= known is not None

    @rule(conversation=st.sampled_from(CONVERSATIONS), keep=st.booleans())
    def clear_history(self, conversation: str, keep: bool) -> None:
        assert self.same("clear_history", conversation, keep) is None
        held = self.said.get(conversation, [])
        self.deleted |= bool(held)
        held[:] = [m for m in held if keep and m.role is MessageRole.SYSTEM]

    @precondition(lambda self: hasattr(self, "rooms"))
    @rule()
    def reopen(self) -> None:
        self.run(self.rooms[0].close())
        self.rooms[0] = self._open(str(self.folder / "store"))

    @rule()
    def maintain(self) -> None:
        for room in self.rooms:
            assert self.run(room.maintain()).ok

    @rule(lost=st.sampled_from(("lexical", "sessions.sqlite")))
    def lose_what_is_derived(self, lost: str) -> None:
        self.run(self.rooms[0].close())
        for path in self.folder.glob(f"store/{lost}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        # Who began a conversation without saying anything is in no row.
        if lost == "sessions.sqlite":
            empty = [c for c in self.owners if not self.said.get(c)]
            for conversation in empty:
                del self.owners[conversation]
                self.said.pop(conversation, None)
        self.rooms[0] = self._open(str(self.folder / "store"))
        if lost == "sessions.sqlite":
            for conversation in empty:
                # The other room has to forget them too; there is no such call, so bind it again.
                user = self.run(_owner(self.rooms[1], conversation))
                said = Message(role="user", content="hotel", timestamp=datetime(2024, 1, 1))
                assert self.same("store_message", said, conversation, user_id=user) is None
                assert self.same("clear_history", conversation, False) is None
                self.deleted = True
                self.owners[conversation] = user

    @rule(
        user=st.sampled_from(USERS),
        text=texts,
        kinds=st.sampled_from((None, "message", "memory")),
        k=st.sampled_from((2, 100)),
    )
    def recall(self, user: str, text: str, kinds: str | None, k: int) -> None:
        now = datetime(2024, 6, 1, tzinfo=timezone.utc)
        first, second = self.both("recall", text, user_id=user, kinds=kinds, k=k, now=now)
        assert len(first) == len(second)
        ids = [{(hit.kind, hit.id) for hit in hits} for hits in (first, second)]
        own: set[tuple[str, str]] = set()
        if kinds != "memory":
            held = (ms for c, ms in self.said.items() if self.owners[c] == user)
            own |= {("message", str(m.id)) for ms in held for m in ms}
        if kinds != "message":
            own |= {
                ("memory", str(id_))
                for (owner, id_), entry in self.noted.items()
                if owner == user and entry.expires_at is None
            }
        if k == 100:
            assert ids[0] == ids[1]
            # Every row is near or far in meaning, so all of a small store are hits.
            assert ids[0] == own
        assert ids[0] <= own
        if not self.deleted:
            # Until Tantivy's next commit it divides by the average length of what is committed,
            # which a row or two change in a store of so few.
            for room in self.rooms:
                self.run(words_committed(room))
            found = self.both("recall", text, user_id=user, kinds=kinds, k=k, now=now)
            scores = [[hit.score for hit in hits] for hits in found]
            np.testing.assert_allclose(scores[0], scores[1], atol=1e-4)

    @rule(
        user=st.sampled_from(USERS),
        tags=st.lists(st.sampled_from(TAGS), max_size=2),
        least=st.sampled_from((0.0, 0.5)),
        expired=st.booleans(),
    )
    def retrieve_memories(self, user: str, tags: list[str], least: float, expired: bool) -> None:
        query = MemoryQuery(
            user_id=user, tags=tags, min_importance=least, include_expired=expired, limit=100
        )
        wanted = [
            entry
            for (owner, _), entry in self.noted.items()
            if owner == user
            and (not tags or not set(tags).isdisjoint(entry.metadata.tags))
            and entry.metadata.importance >= least
            and (expired or entry.expires_at is None)
        ]
        wanted.sort(key=lambda entry: entry.created_at, reverse=True)
        for found in self.both("retrieve_memories", query):
            assert [untouched(entry) for entry in found] == [untouched(entry) for entry in wanted]

    @rule(conversation=st.sampled_from(CONVERSATIONS), limit=st.sampled_from((None, 1, 3)))
    def retrieve_messages(self, conversation: str, limit: int | None) -> None:
        found = self.same("retrieve_messages", conversation, limit)
        assert found == self.said.get(conversation, [])[::-1][:limit]

    @invariant()
    def contexts_hold_the_last_turns(self) -> None:
        for conversation, owner in getattr(self, "owners", {}).items():
            last = self.said.get(conversation, [])[-self.MAX_MESSAGES :]
            systems = [m for m in last if m.role is MessageRole.SYSTEM]
            dropped = systems[: -(self.MAX_MESSAGES // 2)]
            wanted = [m for m in last if m not in dropped]
            for context in self.both("get_context", owner, conversation):
                assert context.messages == wanted

    @rule(user=st.sampled_from(USERS))
    def statistics(self, user: str) -> None:
        counts = self.same("get_statistics", user)
        held = [ms for c, ms in self.said.items() if self.owners[c] == user and ms]
        assert counts["total_messages"] == sum(len(ms) for ms in held)
        assert counts["conversations"] == len(held)
        assert counts["memories"] == sum(owner == user for owner, _ in self.noted)


def untouched(entry: MemoryEntry) -> MemoryEntry:
    """A memory without what recalling it changes."""
    copy = entry.model_copy(deep=True)
    copy.metadata.access_count, copy.last_accessed = 0, datetime(2024, 1, 1)
    return copy


async def _opened(url: str, **settings: Any) -> Any:
    # The model keeps what has expired, which upkeep would remove.
    return await open_memory(url, keep_expired=10**9, **settings)


async def _refusal(call: Coroutine[Any, Any, Any]) -> tuple[type, str] | None:
    try:
        await call
    except BrunoError as error:
        return type(error), str(error)
    return None


async def _owner(memory_: Any, conversation: str) -> str:
    for user in USERS:
        if await _refusal(memory_.get_context(user, conversation)) is None:
            return user
    raise AssertionError(f"{conversation} has no owner")


# A failing run on real stores takes seconds, and to shorten it hundreds of runs: that would end by
# the test's time limit, which hides what failed.
_PHASES = tuple(Phase) if LONG else (Phase.explicit, Phase.reuse, Phase.generate)

TestEngines = Engines.TestCase
TestEngines.settings = settings(
    max_examples=amount(7, 60),
    stateful_step_count=30,
    phases=_PHASES,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestMemories = Memories.TestCase
TestMemories.settings = settings(
    max_examples=amount(7, 60),
    stateful_step_count=30,
    phases=_PHASES,
    suppress_health_check=[HealthCheck.too_slow],
)
