"""What a URL of a Redis says, and that its secrets are shown nowhere."""

from __future__ import annotations

import pytest

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.sessions.redis.address import address_of


@pytest.mark.parametrize(
    ("url", "kind", "hosts", "tls", "database"),
    [
        ("redis://one", "server", (("one", 6379),), False, 0),
        ("REDIS://one:7000/3", "server", (("one", 7000),), False, 3),
        ("rediss://[::1]:7000", "server", (("::1", 7000),), True, 0),
        ("redis+cluster://a:1,b,c:3", "cluster", (("a", 1), ("b", 6379), ("c", 3)), False, 0),
        ("rediss+cluster://a/0", "cluster", (("a", 6379),), True, 0),
        ("redis+sentinel://a,b:5/main/2", "sentinel", (("a", 26379), ("b", 5)), False, 2),
        ("unix:///run/some%20where.sock", "unix", (), False, 0),
    ],
)
def test_where_it_is(
    url: str, kind: str, hosts: tuple[tuple[str, int], ...], tls: bool, database: int
) -> None:
    found = address_of(url)
    assert (found.kind, found.hosts, found.tls, found.database) == (kind, hosts, tls, database)


def test_who_asks() -> None:
    found = address_of("redis+sentinel://us%40er:p%3Aa%2Fss@a,b/main?sentinel_password=s%26p")
    assert (found.user, found.password, found.service) == ("us@er", "p:a/ss", "main")
    assert found.settings.sentinel_password == "s&p"
    assert address_of("redis://:secret@one").user is None
    shown = found.masked
    for secret in ("p%3Aa%2Fss", "p:a/ss", "s%26p"):
        assert secret not in shown
        assert secret not in repr(found)
    assert "a,b/main" in shown


def test_settings() -> None:
    found = address_of("redis://one?timeout=0.5&retries=0&pool=7&check_hostname=no&hot_ttl=0")
    settings = found.settings
    assert (settings.timeout, settings.retries, settings.pool) == (0.5, 0, 7)
    assert (settings.check_hostname, settings.hot_ttl, settings.session_idle) == (False, 0, 0)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://", "names no host"),
        ("redis://a,b", "a cluster is redis\\+cluster://"),
        ("redis://a:b", "has the host 'a:b'"),
        ("redis://a/x", "database 'x'"),
        ("redis+cluster://a/1", "has only one"),
        ("redis+sentinel://a", "does not name the service"),
        ("unix://relative", "absolute path"),
        ("redis://a?timeuot=1", "Did you mean timeout"),
        ("redis://a?colour=1", "There are timeout"),
        ("redis://a?retries=many", "Give a int from 0 to 100"),
        ("redis://a?heartbeat=0", "from 0.5 to 3600"),
        ("redis://a?check_hostname=maybe", "Give a bool"),
        ("http://a", "no scheme of a Redis"),
    ],
)
def test_what_is_refused_is_told(url: str, told: str) -> None:
    with pytest.raises(InvalidInputError, match=f"sessions: .*{told}"):
        address_of(url)


def test_a_refusal_shows_no_secret() -> None:
    with pytest.raises(InvalidInputError) as raised:
        address_of("redis://user:hidden@a:b?colour=1")
    assert "hidden" not in str(raised.value)
