"""The vectors of an embedder in a Redis, which processes share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import redis

from bruno_memory_vec import MemoryConfig, open_memory
from bruno_memory_vec.embedders.cache import CachedEmbedder
from bruno_memory_vec.errors import InvalidInputError
from tests.durability.support import message
from tests.embedders.counting import Counting
from tests.servers.redis_server import RedisServer


@pytest.mark.redis_server
def test_another_process_finds_what_one_left(redis_server: RedisServer) -> None:
    first, second = Counting(), Counting()
    one = CachedEmbedder(first, redis_server.url)
    other = CachedEmbedder(second, f"{redis_server.url}?ttl=60")
    made = one.embed(["a", "b"])
    np.testing.assert_array_equal(other.embed(["b", "a", "c"])[:2], made[::-1])
    assert second.asked == ["c"]
    health = other.health()
    assert (health["hits"], health["misses"], health["problem"]) == (2, 1, None)
    assert redis_server.client.dbsize() == 3
    one.clear()
    assert redis_server.client.dbsize() == 0
    for each in (one, other):
        each.close()


@pytest.mark.redis_server
def test_what_is_damaged_is_not_used(redis_server: RedisServer) -> None:
    inner = Counting()
    cached = CachedEmbedder(inner, redis_server.url)
    made = cached.embed(["a"])
    with redis.Redis(port=redis_server.port) as client:  # the names are no texts
        (key,) = client.keys("*")
        client.setrange(key, 20, "x")
    np.testing.assert_array_equal(cached.embed(["a"]), made)
    assert inner.asked == ["a", "a"]
    assert cached.health()["damaged"] == 1
    cached.close()


@pytest.mark.redis_server
async def test_a_redis_that_is_away_costs_only_the_cache(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    url = redis_server.url
    async with open_memory(str(tmp_path / "store"), embedder="hash", embedding_cache=url) as memory:
        await memory.store_message(message("one"), "talk", user_id="ana")
        assert (await memory.health())["embedding_cache"]["url"] == url
        redis_server.kill()
        await memory.store_message(message("two"), "talk", user_id="ana")
        health = await memory.health()
        assert url in health["problems"]["embedding_cache"]
        redis_server.start()
        await memory.store_message(message("three"), "talk", user_id="ana")
        assert (await memory.health())["problems"] == {}


@pytest.mark.parametrize(
    "url", ["redis+cluster://a,b", "memcached://a", "redis://one?ttl=soon", "redis://one:port"]
)
def test_what_names_no_cache(url: str) -> None:
    with pytest.raises(InvalidInputError, match="embedding_cache"):
        CachedEmbedder(Counting(), url)


def test_a_folder_stays_a_folder() -> None:
    assert MemoryConfig.build(embedding_cache="some/where").embedding_cache == Path("some/where")
    assert MemoryConfig.build(embedding_cache="redis://a").embedding_cache == "redis://a"
