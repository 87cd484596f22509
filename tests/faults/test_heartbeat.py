"""The heartbeat of a process that writes: on its way to Redis for the first time, and kept away."""

from __future__ import annotations

import asyncio

import pytest

from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.sessions.redis.access import Access
from bruno_memory_vec.sessions.redis.address import address_of
from bruno_memory_vec.sessions.redis.changes import Changes
from bruno_memory_vec.sessions.redis.connection import Connections
from tests.faults.load import until
from tests.servers.proxy import Proxy

pytestmark = pytest.mark.redis_server


async def test_a_write_that_comes_before_the_first_heartbeat_is_taken(
    redis_proxy: Proxy, store_name: str
) -> None:
    connections = Connections(address_of(f"redis://{redis_proxy.host}:{redis_proxy.port}"))
    access = Access(connections, store_name)
    changes = Changes(access)
    await access.connect()
    redis_proxy.hold()
    first = asyncio.create_task(changes.live())
    await asyncio.sleep(0.05)
    assert not first.done(), "the heartbeat is not held: this shows nothing"
    assert not changes.trusted
    second = asyncio.create_task(changes.go_on())  # the second write waits, and is not refused
    await asyncio.sleep(0.05)
    assert not second.done()
    redis_proxy.let_go()
    await asyncio.gather(first, second)
    assert changes.trusted
    await changes.stop()
    await connections.close()


async def test_a_change_of_a_process_that_redis_does_not_hear_is_refused(
    redis_proxy: Proxy, store_name: str
) -> None:
    """Others may be mending it by now. When Redis answers, the next change is taken."""
    url = f"redis://{redis_proxy.host}:{redis_proxy.port}?heartbeat=0.5&timeout=0.1&retries=0"
    connections = Connections(address_of(url))
    changes = Changes(Access(connections, store_name))
    await changes.live()
    await changes.add(["talk"], ["ana"], ())
    await changes.go_on()
    redis_proxy.hold()
    await until(lambda: not changes.trusted)
    with pytest.raises(BackendUnavailable, match="has not heard of this process"):
        await changes.go_on()
    redis_proxy.let_go()
    await until(lambda: changes.trusted)
    changes.broke_off()
    await changes.go_on()
    await changes.stop()
    await connections.close()
