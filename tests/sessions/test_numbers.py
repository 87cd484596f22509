"""Rows and turns are numbered by Redis: each number once, whoever asks and whatever is lost."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import MemoryConfig
from bruno_memory_vec.errors import BackendUnavailable, ForeignUserError
from bruno_memory_vec.indexers.reference import ReferenceIndex
from bruno_memory_vec.sessions.choice import OpenSessions, session_store_of
from bruno_memory_vec.sessions.lost import SessionsLost
from bruno_memory_vec.sessions.protocol import SharesChanges
from bruno_memory_vec.sessions.redis.access import SEQ_GAP, TURN_GAP
from bruno_memory_vec.testing.conformance_sessions import said
from bruno_memory_vec.testing.rows import message, table
from bruno_memory_vec.writing.lease import Wanted, WriterLease
from bruno_memory_vec.writing.projections.sessions import SessionsProjection
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_server import RedisServer

pytestmark = pytest.mark.redis_server

ROOT = Path(__file__).resolve().parents[2]
Open = Callable[..., Any]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def open_one(url: str, name: str, rows: Any = None) -> OpenSessions:
            config = MemoryConfig.build(url="memory://")
            found = await session_store_of(url).open(url, name, config)
            stack.push_async_callback(found.close)
            if rows is not None:
                assert isinstance(found.sessions, SharesChanges)
                found.sessions.rebuild_from(rows)
                await SessionsProjection(found.sessions).catch_up(rows, None)
                assert found.lease is not None
                found.lease.start_after(await rows.last_seq())
            return found

        yield open_one


def lease_of(opened: OpenSessions) -> WriterLease:
    assert opened.lease is not None
    return opened.lease


async def test_two_processes_number_at_once(redis_url: str, store_name: str) -> None:
    await _processes(redis_url, store_name)


async def test_two_processes_number_at_once_in_a_cluster(
    redis_cluster: RedisCluster, store_name: str
) -> None:
    await _processes(redis_cluster.url, store_name)


async def _processes(url: str, name: str) -> None:
    opened = await session_store_of(url).open(url, name, MemoryConfig.build(url="memory://"))
    assert isinstance(opened.sessions, SharesChanges)
    await opened.sessions.made_whole()
    child = Path(__file__).with_name("child_numbers.py")
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(child),
            url,
            name,
            "ana",
            "60",
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for _ in range(2)
    ]
    told = [json.loads((await one.communicate())[0]) for one in children]
    seqs = sorted(seq for one in told for seq in one["seqs"])
    assert seqs == list(range(240))
    for talk in ("talk", "other"):
        turns = sorted(turn for one in told for turn in one["turns"][talk])
        assert turns == list(range(240))
    assert (await opened.sessions.ledger.read()).alive.tolist() == seqs
    assert await opened.sessions.under_way() == []
    await opened.close()


async def test_a_claim_is_lost_to_who_came_first(
    redis_url: str, store_name: str, opened: Open
) -> None:
    rows = ReferenceIndex(8)
    one, other = [await opened(redis_url, store_name, rows) for _ in range(2)]
    assert await lease_of(one).next_turns({"talk": Wanted("ana", 1)}) == {"talk": 0}
    # Nobody owns it before its first row is there.
    assert await other.sessions.owners(["talk"]) == {}
    waits = asyncio.ensure_future(
        lease_of(other).next_turns({"mine": Wanted("bo", 1), "talk": Wanted("bo", 1)})
    )
    await asyncio.sleep(0.1)
    assert not waits.done()
    seq = await lease_of(one).next_seqs(1)
    await one.sessions.apply(said(0, talk="talk"), seq, added=[seq])
    with pytest.raises(ForeignUserError, match="'talk'"):
        await waits
    assert await other.sessions.owners(["talk", "mine"]) == {"talk": "ana"}
    # What was reserved beside it is nobody's.
    assert (await lease_of(one).next_turns({"mine": Wanted("cy", 1)}))["mine"] >= 1


async def test_a_claim_whose_row_never_came_is_given_back(
    redis_url: str, store_name: str, opened: Open
) -> None:
    rows = ReferenceIndex(8)
    one, other = [await opened(redis_url, store_name, rows) for _ in range(2)]
    await lease_of(one).next_turns({"talk": Wanted("ana", 1)})
    await SessionsProjection(one.sessions).mend_others(rows)  # its commit has failed
    assert await lease_of(other).next_turns({"talk": Wanted("bo", 2)}) == {"talk": 1}
    seq = await lease_of(other).next_seqs(1)
    await other.sessions.apply(said(1, talk="talk", user="bo"), seq, added=[seq])
    assert await one.sessions.owners(["talk"]) == {"talk": "bo"}


async def test_a_claim_of_a_process_that_has_ended_is_mended(
    redis_url: str, store_name: str, opened: Open
) -> None:
    rows = ReferenceIndex(8)
    url = f"{redis_url}?heartbeat=0.5"
    one, other = [await opened(url, store_name, rows) for _ in range(2)]
    await lease_of(one).next_turns({"talk": Wanted("ana", 1)})
    await one.close()
    with pytest.raises(SessionsLost):
        await lease_of(other).next_turns({"talk": Wanted("bo", 1)})
    await SessionsProjection(other.sessions).mend_others(rows)
    assert await lease_of(other).next_turns({"talk": Wanted("bo", 1)}) == {"talk": 1}


async def test_one_that_goes_on_forever_is_waited_for_and_named(
    redis_url: str, store_name: str, opened: Open
) -> None:
    url = f"{redis_url}?timeout=0.1"
    one, other = [await opened(url, store_name, ReferenceIndex(8)) for _ in range(2)]
    await lease_of(one).next_turns({"talk": Wanted("ana", 1)})
    with pytest.raises(BackendUnavailable, match="another process has been beginning 'talk'"):
        await lease_of(other).next_turns({"talk": Wanted("bo", 1)})
    # Its own user is not kept waiting.
    assert await lease_of(other).next_turns({"talk": Wanted("ana", 1)}) == {"talk": 1}


async def test_two_that_claim_each_others_conversations(
    redis_url: str, store_name: str, opened: Open
) -> None:
    """Neither waits forever for the other, whichever comes first where."""
    one, other = [await opened(redis_url, store_name, ReferenceIndex(8)) for _ in range(2)]

    async def both(opened: OpenSessions, user: str, *talks: str) -> bool:
        try:
            turns = await lease_of(opened).next_turns({talk: Wanted(user, 1) for talk in talks})
        except ForeignUserError:
            return False
        seq = await lease_of(opened).next_seqs(2)
        stored = [turn for talk in talks for turn in said(turns[talk], talk=talk, user=user)]
        await opened.sessions.apply(stored, seq + 1, added=[seq, seq + 1])
        return True

    for number in range(10):
        a, b = f"a{number}", f"b{number}"
        done = await asyncio.gather(both(one, "ana", a, b), both(other, "bo", b, a))
        assert sorted(done) == [False, True]
        owners = await one.sessions.owners([a, b])
        assert len(set(owners.values())) == 1


async def test_a_counter_that_redis_has_lost_begins_behind_the_rows(
    redis_server: RedisServer, store_name: str, opened: Open
) -> None:
    rows = ReferenceIndex(8)
    stored = [message(seq, user="ana", conversation="talk", turn=seq) for seq in range(5)]
    await rows.upsert(table(stored, 8), all_new=True)
    one = await opened(redis_server.url, store_name, rows)
    lease = lease_of(one)
    first = await lease.next_turns({"talk": Wanted("ana", 1), "new": Wanted("bo", 1)})
    assert first == {"talk": 5 + TURN_GAP, "new": 0}
    assert await lease.next_seqs(2) == 5 + SEQ_GAP
    redis_server.client.flushall()
    # What others had under way is not known any more: its numbers are left out.
    again = await lease.next_turns({"talk": Wanted("ana", 1)})
    assert again == {"talk": 5 + TURN_GAP}
    with pytest.raises(SessionsLost):
        await lease.next_seqs(1)
    await SessionsProjection(one.sessions).catch_up(rows, None)
    assert await lease.next_seqs(1) >= 7 + SEQ_GAP
    with pytest.raises(ForeignUserError):
        await lease.next_turns({"talk": Wanted("bo", 1)})


async def test_a_server_that_comes_back_as_it_was_before_gives_no_number_again(
    tmp_path: Path, store_name: str, opened: Open
) -> None:
    """It was restarted from a snapshot: what it had given since, it does not know."""
    with RedisServer(tmp_path / "redis", persistent=False) as server:
        rows = ReferenceIndex(8)
        one = await opened(f"{server.url}?retries=2", store_name, rows)
        lease = lease_of(one)
        await lease.next_turns({"talk": Wanted("ana", 3)})
        assert await lease.next_seqs(3) == 0
        await one.sessions.apply(said(0, 1, 2, talk="talk"), 2, added=[0, 1, 2])
        server.client.save()
        assert await lease.next_turns({"talk": Wanted("ana", 2)}) == {"talk": 3}
        assert await lease.next_seqs(2) == 3
        server.kill()
        server.start()
        turns = await lease.next_turns({"talk": Wanted("ana", 1)})
        assert turns["talk"] >= 5
        with pytest.raises(SessionsLost):
            await lease.next_seqs(1)
        await SessionsProjection(one.sessions).catch_up(rows, None)
        assert await lease.next_seqs(1) >= 5
