"""Each operation that is measured, by its name: what it does, and what its figures are.

An operation is given a system with its store and gives plain figures: of calls one after the
other `timing.Timed.figures`, of many at once `timing.rate`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from dataclasses import replace as changed
from functools import partial
from typing import Any, Literal

from benchmarks.scale.exact import Asked, ann_recall
from benchmarks.scale.layout import CONVERSATION
from benchmarks.scale.machine import disk, resident_mib
from benchmarks.scale.peers.base import Lacks, Row
from benchmarks.scale.peers.ours import Ours
from benchmarks.timing import Call, Timed, at_rest, rate, timed, together
from benchmarks.turn.running import TALKING, Running
from bruno_memory_vec.indexers.query import Scope

Figures = dict[str, Any]
#: When it is measured: what only reads, what adds a little, what adds much.
Phase = Literal["reading", "turn", "writing", "bulk", "upkeep"]

_CALLERS, _AT_ONCE = 100, 1_000
_BACKGROUND_A_SECOND = 50.0
# Between two calls, so that the background has a turn where calls never wait.
_PAUSE_S = 0.005
_OPENINGS, _CHECKED = 3, 40
# Calls that are slow, as parts of the usual number.
_SLOW, _ALL = 5, 4
_NEW_USER_ROWS = 200
_LEAST_DURING, _MOST_DURING = 50, 5_000


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of call.

    Attributes:
        name: its key in reports.
        label: how it stands in tables.
        phase: when it is measured.
        rate: whether its figure is rows a second, not milliseconds.
        measure: measures it once.
    """

    name: str
    label: str
    phase: Phase
    measure: Callable[[Running], Awaitable[Figures]]
    rate: bool = False


# Reading


async def opened(running: Running) -> Figures:
    """The first recall after an opening, each time by another user; opening itself beside it."""
    users = running.other_users()
    found, opening = Timed(), []
    for number in range(_OPENINGS):
        opening.append(await running.reopen())
        user = users[number % len(users)]
        (call,) = running.recalls([user], 1)
        await found.add(call)
    return {**found.figures(), "open_ms": round(sorted(opening)[len(opening) // 2] * 1000, 3)}


async def recall_others(running: Running) -> Figures:
    """Another user each time, none of whose rows are in memory; each is asked once."""
    await running.reopen()
    users = running.other_users()
    await running.recall("warm", running.asked_user)
    few = users[: running.plan.calls // _SLOW]
    found = await timed(running.recalls(few, len(few)), budget_s=running.plan.budget_s, settle=True)
    sizes = running.corpus.sizes
    return {**found.figures(), "rows_searched": round(sum(sizes[u] for u in few) / len(few))}


async def recall_again(running: Running) -> Figures:
    """The same user again, whose rows are in memory."""
    return await _recalls(running, running.asked_user, running.plan.calls)


async def recall_large(running: Running) -> Figures:
    """The user of 100,000 rows, again."""
    if running.large_user is None:
        raise Lacks("no user of 100,000 rows in this store")
    return await _recalls(running, running.large_user, running.plan.calls)


async def recall_all(running: Running) -> Figures:
    """Over all users."""
    return await _recalls(running, None, max(10, running.plan.calls // _ALL))


async def exact(running: Running) -> Figures:
    """The share of the ten nearest of all users' rows that the vector search finds."""
    asked = running.questions(_CHECKED)
    if not isinstance(running.peer, Ours):
        raise Lacks("measured of ours alone")
    everyone = [Asked(one.text, Scope.all_users()) for one in asked]
    return await ann_recall(running.peer.memory, everyone)


async def context(running: Running) -> Figures:
    """The last turns of a conversation."""
    user = running.asked_user
    conversation = running.corpus.layout.conversations_of(user)[0]
    call = partial(running.context, user, conversation)
    await call()
    return (await timed([call] * running.plan.calls, budget_s=running.plan.budget_s)).figures()


async def memory_used(running: Running) -> Figures:
    """Resident memory after a recall by each of 100 users, the texts of this benchmark in it."""
    await running.reopen()
    users = running.other_users()[:100]
    for call in running.recalls(users, len(users)):
        await call()
    return {"resident_mib": resident_mib(), "users": len(users), **disk(running.folder)}


async def _recalls(running: Running, user: str | None, count: int) -> Figures:
    calls = running.recalls([user], count)
    for call in calls[:2]:
        await call()
    await at_rest()
    return (await timed(calls, budget_s=running.plan.budget_s, settle=True)).figures()


# Turns


async def turn(running: Running) -> Figures:
    """Store, recall, store, get_context: ten users in turn, whose rows are in memory."""
    return await _turns(running, running.other_users()[:TALKING], warm=True)


async def turn_in_background(running: Running) -> Figures:
    """The same while messages of other users are stored in the same process."""
    async with running.background_writes(_BACKGROUND_A_SECOND):
        return await _turns(running, running.other_users()[:TALKING], warm=True, pause=_PAUSE_S)


async def turn_first(running: Running) -> Figures:
    """A user's first turn after the store was opened, another user each time."""
    await running.reopen()
    await running.recall("warm", running.asked_user)
    users = running.other_users()[: running.plan.calls // _SLOW]
    return await _turns(running, users, warm=False)


async def _turns(running: Running, users: list[str], *, warm: bool, pause: float = 0.0) -> Figures:
    """Turns of these users, and each of their parts."""
    talks = {user: running.fresh.name("talk") for user in users}
    parts: dict[str, Timed] = {name: Timed() for name in ("store", "recall", "answer", "context")}
    without_context = False

    async def one(said: Row, answer: Row) -> None:
        nonlocal without_context
        await parts["store"].add(partial(running.store, said))
        await parts["recall"].add(partial(running.recall, said.text, said.user))
        await parts["answer"].add(partial(running.store, answer))
        if not without_context:
            try:
                await parts["context"].add(partial(running.context, said.user, said.conversation))
            except Lacks:
                without_context = True

    def make(count: int) -> list[Call]:
        calls: list[Call] = []
        rows: list[Row] = []
        for number in range(count):
            user = users[number % len(users)]
            said = running.fresh.row(user, talks[user], text=running.fresh.question())
            answer = running.fresh.row(user, talks[user], "assistant")
            rows += [said, answer]
            calls.append(partial(one, said, answer))
        running.peer.ready(rows)
        return calls

    if warm:
        for call in make(len(users)):
            await call()
        parts = {name: Timed() for name in parts}
    count = running.plan.calls if warm else len(users)
    found = await timed(make(count), budget_s=2 * running.plan.budget_s, settle=True, pause=pause)
    return {
        **found.figures(),
        "without_context": without_context,
        "parts": {name: part.figures() for name, part in parts.items() if part.seconds},
    }


# Writing


async def store(running: Running) -> Figures:
    """One caller, one message after the other, conversations of 50."""
    rows = [
        row
        for user in running.fresh.users[: running.plan.calls // CONVERSATION + 1]
        for row in running.fresh.rows(CONVERSATION, user, running.fresh.name("alone"))
    ][: running.plan.calls + 1]
    running.peer.ready(rows)
    await running.store(rows[0])
    calls = [partial(running.store, row) for row in rows[1:]]
    return (await timed(calls, budget_s=running.plan.budget_s, settle=True)).figures()


async def callers(running: Running) -> Figures:
    """100 callers, each a message after the other into a conversation of its own."""
    each = max(1, running.plan.calls // _SLOW)
    return await _together(running, _CALLERS, each)


async def at_once(running: Running) -> Figures:
    """1,000 callers at once, each a message into a new conversation."""
    return await _together(running, _AT_ONCE, 1)


async def _together(running: Running, callers: int, each: int) -> Figures:
    users = running.fresh.users
    talks = [
        running.fresh.rows(each, users[number % len(users)], running.fresh.name("together"))
        for number in range(callers)
    ]
    running.peer.ready([row for talk in talks for row in talk])
    stores = [[partial(running.store, row) for row in talk] for talk in talks]
    return await together(stores, budget_s=running.plan.budget_s)


async def recall_first(running: Running) -> Figures:
    """A user's very first recall, of a user whose first rows were stored in this process."""
    calls: list[Call] = []
    for _ in range(max(2, min(10, running.plan.calls // 10))):
        user = running.fresh.name("newcomer")
        rows = running.fresh.rows(_NEW_USER_ROWS, user, running.fresh.name("first"))
        running.peer.ready(rows)
        await running.store_many(rows)
        calls += running.recalls([user], 1)
    await at_rest()
    return (await timed(calls, settle=True)).figures()


async def delete(running: Running) -> Figures:
    """Delete one memory."""
    rows = await _memories(running)
    calls = [partial(running.peer.delete, row) for row in rows]
    return (await timed(calls, budget_s=running.plan.budget_s, settle=True)).figures()


async def replace(running: Running) -> Figures:
    """Store a memory again, with another text."""
    rows = await _memories(running)
    again = [changed(row, text=running.fresh.row("", "").text) for row in rows]
    calls = [partial(running.replace, row) for row in again]
    return (await timed(calls, budget_s=running.plan.budget_s, settle=True)).figures()


async def new_session(running: Running) -> Figures:
    """Begin a session."""
    users = running.other_users()
    calls = [
        partial(running.peer.new_session, users[number % len(users)])
        for number in range(running.plan.calls)
    ]
    return (await timed(calls, budget_s=running.plan.budget_s, settle=True)).figures()


async def _memories(running: Running) -> list[Row]:
    count = max(10, running.plan.calls // _SLOW)
    rows = running.fresh.rows(count, running.asked_user, running.fresh.name("kept"))
    await running.store_memories(rows)
    await at_rest()
    return rows


# Bulk


async def one_call(running: Running) -> Figures:
    """Many messages in one call, with embedding; then a recall, which has to find the last."""
    user, talk = running.fresh.name("bulk"), running.fresh.name("once")
    rows = running.fresh.rows(_bulk_rows(running), user, talk)
    rows[-1] = _told_apart(rows[-1])
    running.peer.ready(rows)
    found = await rate(len(rows), partial(running.store_many, rows))
    return {**found, **await _found(running, rows[-1])}


async def conversations(running: Running) -> Figures:
    """Conversations of 50, one call each, one after the other; then a recall of the last."""
    users = running.fresh.users
    talks = [
        running.fresh.rows(CONVERSATION, users[number % len(users)], running.fresh.name("bulk"))
        for number in range(max(1, _bulk_rows(running) // 2 // CONVERSATION))
    ]
    talks[-1][-1] = _told_apart(talks[-1][-1])
    running.peer.ready([row for talk in talks for row in talk])

    async def work() -> None:
        for talk in talks:
            await running.store_many(talk)

    found = await rate(CONVERSATION * len(talks), work)
    return {**found, **await _found(running, talks[-1][-1])}


def _bulk_rows(running: Running) -> int:
    # Systems that store row by row take minutes for as many as the others.
    return min(running.plan.bulk, 1_000 if running.peer.batch_rows <= 100 else running.plan.bulk)


def _told_apart(row: Row) -> Row:
    # What says the same as another row may be left out in favour of that one, and a question is no
    # answer to itself.
    return changed(row, text=f"{row.text.rstrip('.?')} number {row.id}.")


async def _found(running: Running, row: Row) -> Figures:
    began = time.perf_counter()
    found = await running.recall(row.text, row.user)
    return {"found": row.id in found, "found_ms": round((time.perf_counter() - began) * 1000, 3)}


# Upkeep


async def compaction(running: Running) -> Figures:
    """Recalls of one user while the store is brought in order after many single writes."""
    for row in running.fresh.rows(running.plan.calls, "writer", running.fresh.name("before")):
        await running.store(row)
    budget, asked = running.plan.budget_s, [running.asked_user]
    quiet = await timed(running.recalls(asked, running.plan.calls), budget_s=budget)
    task = asyncio.ensure_future(running.peer.compact())
    during, began = Timed(), time.perf_counter()
    for call in running.recalls(asked, _MOST_DURING):
        # A system whose recall never waits would keep its own compaction from beginning.
        await asyncio.sleep(0)
        enough = len(during.seconds) >= _LEAST_DURING or time.perf_counter() - began > budget
        if task.done() and (task.exception() is not None or (enough and during.seconds)):
            break
        await during.add(call)
    await task
    figures = during.figures()
    median = quiet.figures()["p50_ms"]
    return {**figures, "quiet_p50_ms": median, "p99_ratio": round(figures["p99_ms"] / median, 2)}


_ALL_OPERATIONS = (
    Operation("recall_opened", "first recall after opening", "reading", opened),
    Operation("recall_others", "recall, another user each time", "reading", recall_others),
    Operation("turn_first", "a user's first turn after opening", "reading", turn_first),
    Operation("recall_again", "recall, the same user again", "reading", recall_again),
    Operation("recall_large", "recall, a user of 100,000 rows", "reading", recall_large),
    Operation("recall_all", "recall, all users", "reading", recall_all),
    Operation("context", "`get_context`", "reading", context),
    Operation("turn", "a turn", "turn", turn),
    Operation("turn_background", "a turn, others write meanwhile", "turn", turn_in_background),
    Operation("store", "`store_message`, one caller", "writing", store),
    Operation("callers", "`store_message`, 100 callers", "writing", callers, rate=True),
    Operation("at_once", "1,000 callers at once, new conversations", "writing", at_once, rate=True),
    Operation("recall_first", "a new user's very first recall", "writing", recall_first),
    Operation("delete", "delete a memory", "writing", delete),
    Operation("replace", "replace a memory", "writing", replace),
    Operation("new_session", "begin a session", "writing", new_session),
    Operation("one_call", "bulk, one call", "bulk", one_call, rate=True),
    Operation("conversations", "bulk, conversations of 50", "bulk", conversations, rate=True),
    Operation("compaction", "recall during compaction", "upkeep", compaction),
)
#: Measured once a store, not in rounds.
ONCE: Mapping[str, Callable[[Running], Awaitable[Figures]]] = {
    "exact": exact,
    "memory": memory_used,
}
OPERATIONS: Mapping[str, Operation] = {one.name: one for one in _ALL_OPERATIONS}
PHASES: tuple[Phase, ...] = ("reading", "turn", "writing", "bulk", "upkeep")
