"""A writer killed at random moments: what it acknowledged is there, once, and all indexes agree."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.embedders.run import embed_texts
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import RowFilter, Scope
from tests.amounts import amount
from tests.durability.child_writer import word
from tests.durability.support import Nursery, message, rows_of

# BRUNO_CRASH_ROUNDS=10 kills ten times as often. BRUNO_CRASH_SEED repeats a run's order of events,
# though not its timing.
ROUNDS = float(os.environ.get("BRUNO_CRASH_ROUNDS", "1"))
SEED = int(os.environ.get("BRUNO_CRASH_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
USERS = ["ana", "bo"]
# In seconds: far beyond what a busy machine needs, for which nothing but a hang is too slow.
LONGEST_OPENING = 120.0
# How many rows are looked for one by one: of all, and of those that were written last.
_SAMPLE, _LAST = amount(8, 40), amount(4, 10)

State = dict[str, Any]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


class Model:
    """What a store may hold, by what its writer logged.

    For each row, by :func:`name_of` it: the states it may be in. One of them is settled;
    operations that were not acknowledged add theirs. A state is None (not there) or a dict.
    """

    def __init__(self) -> None:
        self.states: dict[str, list[State | None]] = {}
        self.number = 0
        self.together: list[dict[str, str]] = []  # contents by id, of calls that may be lost
        self.old_words: list[str] = []
        self.uses: Counter[str] = Counter()  # counted by the last maintain()
        self._uses_since: Counter[str] = Counter()
        self._maintains: set[int] = set()

    def order(self, folder: Path, log: Path, seed: int, **more: Any) -> str:
        """The line of JSON for a child that goes on from here."""
        live = {id_: states[0] for id_, states in self.states.items() if states[0]}
        messages = [
            [name.partition("/")[2], state["user"], state["conversation"]]
            for name, state in live.items()
            if state["kind"] == "message"
        ]
        memories = [[id_, s["user"]] for id_, s in live.items() if s["kind"] == "memory"]
        return json.dumps(
            {
                "folder": str(folder),
                "log": str(log),
                "seed": seed,
                "number": self.number,
                "messages": messages[-300:],
                "memories": memories[-100:],
                "users": USERS,
                **more,
            }
        )

    def read(self, log: Path) -> int:
        """Take a log in; returns how many operations it acknowledges."""
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        acknowledged = {line["ack"] for line in lines if "ack" in line}
        self.number = max([self.number, *(line.get("op", 0) for line in lines)]) + 1000
        self._uses_since.clear()
        running: set[int] = set()
        phase = 0
        for line in lines:
            if "ack" in line:
                running.discard(line["ack"])
                self._uses_since.update(line.get("hits", []))
                if line["ack"] in self._maintains:
                    self.uses.update(self._uses_since)
                    self._uses_since.clear()
                continue
            if not running:
                phase += 1  # calls that run at the same time have no order among them
            if "maintain" not in line:
                running.add(line["op"])
            self._begin(line, line["op"] in acknowledged, self.number * 10_000 + phase)
        return len(acknowledged)

    def _begin(self, line: dict[str, Any], sure: bool, phase: int) -> None:
        if "put" in line:
            where = line["conversation"]
            if not sure:
                self.together.append({f"{where}/{id_}": content for id_, content, _ in line["put"]})
            for place, (id_, content, role) in enumerate(line["put"]):
                before = self.states.get(f"{where}/{id_}", [None])
                stays = before[0] is not None
                self._set(
                    f"{where}/{id_}",
                    {
                        "kind": "message",
                        "content": content,
                        "user": line["user"],
                        "conversation": where,
                        "role": role,
                        "order": before[0]["order"] if stays else (phase, place),
                    },
                    sure,
                )
        elif "remember" in line:
            state = {"kind": "memory", "content": line["content"], "user": line["user"]}
            self._set(line["remember"], {**state, "conversation": None, "role": None}, sure)
        elif "forget" in line:
            self._set(line["forget"], None, sure)
        elif "clear" in line:
            for id_, states in self.states.items():
                state = states[0]
                if state is None or state["conversation"] != line["clear"]:
                    continue
                if not (line["keep"] and state["role"] == "system"):
                    self._set(id_, None, sure)
        elif "maintain" in line:
            self._maintains.add(line["op"])

    def _set(self, id_: str, state: State | None, sure: bool) -> None:
        before = self.states.get(id_, [None])
        if sure:
            if before[0] is not None:
                self.old_words.append(before[0]["content"].split()[0])
            self.states[id_] = [state]
        else:
            self.states[id_] = [*before, state]
        # A row that is stored again begins to count anew.
        self.uses[id_] = self._uses_since[id_] = 0

    def settle(self, rows: list[dict[str, Any]]) -> None:
        """Compare with the rows, and take what they hold as settled."""
        doubled = [name for name, n in Counter(map(name_of, rows)).items() if n > 1]
        assert not doubled, f"stored twice: {doubled[:3]}"
        found = {name_of(row): row for row in rows}
        unknown = set(found) - set(self.states)
        assert not unknown, f"never stored: {[found[id_]['content'] for id_ in unknown][:3]}"
        for id_, states in self.states.items():
            row = found.get(id_)
            fits = [state for state in states if _is(row, state)]
            assert fits, f"{id_} is {row and row['content']!r}, expected one of {states}"
            self.states[id_] = [fits[-1]]
        for call in self.together:
            landed = [id_ in found and found[id_]["content"] == call[id_] for id_ in call]
            assert all(landed) or not any(landed), (
                f"half of a call was stored: {sum(landed)} of {len(call)}"
            )
        self.together.clear()


def name_of(row: dict[str, Any]) -> str:
    """A memory's id; of a message, which may be in several conversations, this one too."""
    return f"{row['conversation_id']}/{row['id']}" if row["kind"] == "message" else row["id"]


def _is(row: dict[str, Any] | None, state: State | None) -> bool:
    if row is None or state is None:
        return row is None and state is None
    names = {"kind": "kind", "content": "content", "user": "user_id", "role": "role"}
    same = all(row[column] == state[name] for name, column in names.items())
    return same and row["conversation_id"] == state["conversation"]


async def check(folder: Path, model: Model, seed: int) -> float:
    """Open a store after a kill and compare everything with the model. Returns the opening time."""
    started = time.perf_counter()
    memory = await open_memory(str(folder), embedder="hash", recall_in_context=False)
    opening = time.perf_counter() - started
    try:
        rows = await rows_of(memory)
        model.settle(rows)
        _check_turns(model, rows)
        await _check_contexts(memory, rows)
        await _check_indexes(memory, model, rows, seed)
        await _check_statistics(memory, rows)
        for row in rows:
            assert model.uses[name_of(row)] <= row["access_count"]
        assert (await memory.health())["status"] == "ok"
    finally:
        await memory.close()
    return opening


def _check_turns(model: Model, rows: list[dict[str, Any]]) -> None:
    by_conversation: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["kind"] == "message":
            by_conversation.setdefault(row["conversation_id"], []).append(row)
    for conversation, group in by_conversation.items():
        group.sort(key=lambda row: row["turn"])
        turns = [row["turn"] for row in group]
        assert len(set(turns)) == len(turns), f"{conversation}: a turn was given twice: {turns}"
        orders = [model.states[name_of(row)][0]["order"] for row in group]
        assert orders == sorted(orders), f"{conversation}: the turns are out of order"
    seqs = [row["seq"] for row in rows]
    assert len(set(seqs)) == len(seqs), "a place in the write order was given twice"


async def _check_contexts(memory: VectorMemory, rows: list[dict[str, Any]]) -> None:
    store = await memory._lazy.get()
    most = memory.config.max_messages
    for conversation in [f"{user}-{number}" for user in USERS for number in range(3)]:
        group = [r for r in rows if r["conversation_id"] == conversation and r["turn"] is not None]
        group.sort(key=lambda row: row["turn"])
        expected = [(row["id"], row["content"]) for row in _window(group[-most:], most)]
        user, _ = conversation.split("-")
        assert all(row["user_id"] == user for row in group)
        for again in ("first", "second"):  # the first may read the rows, the second never does
            context = await memory.get_context(user, conversation)
            shown = [(str(m.id), m.content) for m in context.messages]
            assert shown == expected, f"{conversation}, {again} look"
        known = await store.sessions.conversation(conversation)
        assert known is not None or not group, f"{conversation}: nobody's, and has messages"
        if known is not None:
            assert known.user_id == user
            assert all(known.next_turn > row["turn"] for row in group)


def _window(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """At most half of a context is given to system messages (context.py)."""
    systems = [row for row in rows if row["role"] == "system"]
    dropped = {row["id"] for row in systems[: -(most // 2)]}
    return [row for row in rows if row["id"] not in dropped]


async def _check_indexes(
    memory: VectorMemory, model: Model, rows: list[dict[str, Any]], seed: int
) -> None:
    store = await memory._lazy.get()
    words = sorted((await store.lexical.seqs()).tolist())
    assert words == sorted(row["seq"] for row in rows)
    everyone = Scope.all_users()
    assert await store.rows.count(everyone, RowFilter()) == len(rows)
    vector = store.embedder.embed(["anything"], kind="query")[0]
    if rows:
        near = await store.rows.search(vector, everyone, RowFilter(), len(rows) + 10)
        assert sorted(near.seq.tolist()) == words
    chosen = random.Random(seed).sample(rows, min(_SAMPLE, len(rows)))
    chosen += sorted(rows, key=lambda row: row["seq"])[-_LAST:]
    await check_found(memory, chosen)
    await check_gone(memory, model.old_words[-_LAST:], rows)


async def check_found(memory: VectorMemory, rows: list[dict[str, Any]]) -> None:
    """Each of these rows is found by its own word, and is the nearest to its own vector."""
    store = await memory._lazy.get()
    vectors = await embed_texts(store.embedder, [row["content"] for row in rows], "document")
    for row, vector in zip(rows, vectors, strict=True):
        own = row["content"].split()[0]
        hits = await memory.recall(own, user_id=ALL_USERS, k=3, profile="lexical")
        assert [hit.id for hit in hits] == [row["id"]], own
        near = await store.rows.search(vector, Scope.all_users(), RowFilter(), 1)
        assert near.seq.tolist() == [row["seq"]], own


async def check_gone(memory: VectorMemory, words: list[str], rows: list[dict[str, Any]]) -> None:
    """None of these words is found, but those that a row still has."""
    live = {row["content"].split()[0] for row in rows}
    for own in [old for old in words if old not in live]:
        assert not await memory.recall(own, user_id=ALL_USERS, k=3, profile="lexical"), own


async def _check_statistics(memory: VectorMemory, rows: list[dict[str, Any]]) -> None:
    for user in USERS:
        own = [row for row in rows if row["user_id"] == user]
        messages = [row for row in own if row["kind"] == "message"]
        figures = await memory.get_statistics(user)
        assert figures["total_messages"] == len(messages)
        assert figures["memories"] == len(own) - len(messages)
        assert figures["conversations"] == len({row["conversation_id"] for row in messages})


def _run_until_killed(
    nursery: Nursery, folder: Path, model: Model, seed: int, wait: float, *, opened: bool
) -> int:
    """Let a child write, kill it ``wait`` seconds after it began (or had opened); read its log."""
    log = folder.parent / f"{folder.name}.log"
    log.unlink(missing_ok=True)
    nursery.start(model.order(folder, log, seed))
    if opened:
        assert nursery.hear() == "open", f"the child failed (seed {SEED}, {folder})"
    time.sleep(wait)
    nursery.kill_child()
    return model.read(log) if log.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("store", [0, 1, 2])
async def test_killed_while_it_writes(
    nursery: Nursery, tmp_path: Path, store: int, record_property: Any
) -> None:
    dice = random.Random(SEED + store)
    folder, model = tmp_path / "store", Model()
    acknowledged, slowest = 0, 0.0
    kills = max(1, round(6 * ROUNDS))
    print(f"seed {SEED}, {kills} kills")
    # A slow machine may have written nothing before the first kills.
    for number in range(20 * kills):
        if number >= kills and acknowledged > 0:
            break
        seed = dice.randrange(10**6)
        acknowledged += _run_until_killed(
            nursery, folder, model, seed, dice.uniform(0, 0.4), opened=True
        )
        slowest = max(slowest, await check(folder, model, seed))
    print(f"{acknowledged} operations acknowledged, slowest opening {slowest:.2f} s")
    record_property("kills", kills)
    record_property("acknowledged", acknowledged)
    record_property("slowest_opening_s", round(slowest, 3))
    assert acknowledged > 0, "nothing was written before the kills: the test shows nothing"
    assert slowest < LONGEST_OPENING


async def test_killed_while_a_store_is_made(nursery: Nursery, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    print(f"seed {SEED}")
    for number in range(max(1, round(8 * ROUNDS))):
        folder, model = tmp_path / f"store{number}", Model()
        # The first kill comes while the store is made, the second while it is opened.
        for wait in (dice.uniform(0, 0.12), dice.uniform(0, 0.08)):
            _run_until_killed(nursery, folder, model, number, wait, opened=False)
        assert await check(folder, model, number) < LONGEST_OPENING
        assert await _indexed_columns(folder) >= {"user_id", "seq", "id", "conversation_id"}


async def _indexed_columns(folder: Path) -> set[str]:
    """Which columns of the rows have an index: without, a store is slow for ever."""
    async with open_memory(str(folder), embedder="hash") as memory:
        rows = capability((await memory._lazy.get()).rows, LanceIndex)
        assert rows is not None
        table = rows._table
        return {column for index in await table.list_indices() for column in index.columns}


@pytest.mark.slow
async def test_killed_while_the_word_index_is_rebuilt(nursery: Nursery, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    folder, model = tmp_path / "store", Model()
    print(f"seed {SEED}")
    await fill(folder, model, 4000)
    for number in range(max(2, round(6 * ROUNDS))):
        if number % 2:
            shutil.rmtree(folder / "lexical")
        else:
            (folder / "lexical" / "meta.json").write_bytes(b"{ damaged")
        _run_until_killed(nursery, folder, model, number, dice.uniform(0.0, 0.25), opened=False)
        assert await check(folder, model, number) < LONGEST_OPENING


@pytest.mark.slow
async def test_killed_with_the_sessions_gone(nursery: Nursery, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    folder, model = tmp_path / "store", Model()
    await fill(folder, model, 1000)
    for number in range(max(1, round(4 * ROUNDS))):
        for file in folder.glob("sessions.sqlite*"):
            file.unlink()
        _run_until_killed(nursery, folder, model, number, dice.uniform(0.0, 0.2), opened=False)
        assert await check(folder, model, number) < LONGEST_OPENING


async def fill(folder: Path, model: Model, count: int) -> None:
    async with open_memory(str(folder), embedder="hash") as memory:
        messages = [message(f"{word(n + 1)} was said") for n in range(count)]
        await memory.store_messages(messages, "ana-0", user_id="ana")
    for n, each in enumerate(messages):
        model.states[f"ana-0/{each.id}"] = [
            {
                "kind": "message",
                "content": each.content,
                "user": "ana",
                "conversation": "ana-0",
                "role": "user",
                "order": (0, n),
            }
        ]
    model.number = count + 1000


def test_the_check_sees_a_lost_and_a_doubled_message() -> None:
    model = Model()
    line = {"op": 1, "put": [["x", "word", "user"]], "user": "ana", "conversation": "c"}
    model._begin(line, True, 1)
    row = {"id": "x", "kind": "message", "content": "word", "user_id": "ana", "role": "user"}
    row["conversation_id"] = "c"
    model.settle([row])
    with pytest.raises(AssertionError, match="expected one of"):
        model.settle([])
    with pytest.raises(AssertionError, match="stored twice"):
        model.settle([row, row])
    with pytest.raises(AssertionError, match="expected one of"):
        model.settle([{**row, "content": "older"}])
