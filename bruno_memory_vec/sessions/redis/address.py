"""Where a Redis is, and how it is reached: what a URL says.

==============================================  ================================================
``redis://HOST:6379/0``, ``rediss://`` (TLS)      one server
``redis+cluster://H1:P1,H2:P2``                   a cluster, by some of its nodes
``redis+sentinel://H1:P1,H2:P2/SERVICE``          the master of a service, by some of its Sentinels
``unix:///path/to.sock``                          one server on this machine
==============================================  ================================================

``rediss+cluster://`` and ``rediss+sentinel://`` speak TLS. A user and a password stand before the
hosts (``redis://USER:PASSWORD@HOST``), percent-encoded. Settings follow a question mark; their
names are the fields of :class:`Settings`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_type_hints
from urllib.parse import parse_qsl, unquote, urlsplit

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.urls import masked

#: The schemes of such URLs.
SCHEMES = (
    "redis",
    "rediss",
    "redis+cluster",
    "rediss+cluster",
    "redis+sentinel",
    "rediss+sentinel",
    "unix",
)
_PORT, _SENTINEL_PORT = 6379, 26379
_A_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What may follow the question mark. Times are in seconds.

    Attributes:
        timeout: how long one command, or connecting, may take.
        retries: how often a command is tried again after a connection was lost, with growing
            pauses: five take some two seconds. Every command of ours may be repeated.
        pool: connections at the same time, to each server; other calls wait for one.
        heartbeat: a process that writes and has said nothing for so long counts as ended.
        hot_ttl: how long the hot context of a conversation stays after its last change. It is read
            from the rows again where it is asked for later. 0: forever.
        session_idle: a session in whose conversation nothing was asked or said for so long is
            ended. 0: none is.
        ca: a file with the certificates of authorities to trust, for TLS.
        cert: a file with the client's own certificate, for TLS.
        key: a file with its key.
        check_hostname: whether the server's certificate has to name its host.
        sentinel_user: the user at the Sentinels.
        sentinel_password: the password there.
    """

    timeout: float = 5.0
    retries: int = 5
    pool: int = 50
    heartbeat: float = 30.0
    hot_ttl: float = 30 * _A_DAY
    session_idle: float = 0.0
    ca: str = ""
    cert: str = ""
    key: str = ""
    check_hostname: bool = True
    sentinel_user: str = ""
    sentinel_password: str = ""


_LEAST = {"timeout": 0.01, "retries": 0, "pool": 1, "heartbeat": 0.5}
_MOST = {"retries": 100, "pool": 10_000, "heartbeat": 3600.0}


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """What a URL says.

    Attributes:
        url: as it was given, with its secrets.
        kind: "server", "cluster", "sentinel" or "unix".
        hosts: host and port of each server that is named.
        tls: whether TLS is spoken.
        user: the user, None for the default one.
        password: the password, None for none.
        database: the number of the database.
        service: what the Sentinels call the servers.
        path: of the socket.
        settings: what follows the question mark.
    """

    url: str
    kind: str
    hosts: tuple[tuple[str, int], ...]
    tls: bool
    user: str | None
    password: str | None
    database: int
    service: str
    path: str
    settings: Settings

    @property
    def masked(self) -> str:
        """The URL without its secrets, for errors, logs and ``health()``."""
        return masked(self.url)

    def __repr__(self) -> str:
        return f"Address({self.masked!r})"


def address_of(url: str, field: str = "sessions") -> Address:
    """Read a URL.

    Args:
        url: the URL.
        field: the setting that it is the value of, for errors.

    Raises:
        InvalidInputError: it names no Redis, or has a setting that is not known.
    """
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in SCHEMES:
        raise _refused(field, url, "has no scheme of a Redis")
    # A list of hosts is no host of urlsplit's, so only what follows it is left to urlsplit.
    before, _, query = rest.partition("?")
    login, _, place = before.rpartition("@")
    user, password = _login(login)
    kind = {"unix": "unix"}.get(scheme, scheme.partition("+")[2] or "server")
    settings = _settings(field, url, query)
    hosts: tuple[tuple[str, int], ...] = ()
    path = service = database = ""
    if kind == "unix":
        path = unquote(place)
        if not path.startswith("/"):
            raise _refused(field, url, "names no socket by its absolute path")
    else:
        names, _, behind = place.partition("/")
        port = _SENTINEL_PORT if kind == "sentinel" else _PORT
        hosts = tuple(_host(field, url, name, port) for name in names.split(",") if name)
        if not hosts:
            raise _refused(field, url, "names no host")
        if kind == "server" and len(hosts) > 1:
            raise _refused(field, url, "names several hosts; a cluster is redis+cluster://")
        if kind == "sentinel":
            service, _, database = behind.partition("/")
            service = unquote(service)
            if not service:
                raise _refused(field, url, "does not name the service behind the hosts")
        elif kind == "cluster" and behind.strip("/0"):
            raise _refused(field, url, "names a database, and a cluster has only one")
        elif kind == "server":
            database = behind
    number = database.strip("/") or "0"
    if not number.isdecimal():
        raise _refused(field, url, f"has the database {number!r}, which is no number")
    tls = scheme.startswith("rediss")
    return Address(url, kind, hosts, tls, user, password, int(number), service, path, settings)


def _login(login: str) -> tuple[str | None, str | None]:
    if not login:
        return None, None
    user, colon, password = login.partition(":")
    if not colon:  # as redis-py reads it: a user
        return unquote(user) or None, None
    return unquote(user) or None, unquote(password) or None


def _host(field: str, url: str, name: str, port: int) -> tuple[str, int]:
    try:
        found = urlsplit(f"redis://{name}")
        if not found.hostname or found.path or found.username:
            raise ValueError
        return unquote(found.hostname), found.port or port
    except ValueError:
        raise _refused(field, url, f"has the host {name!r}, which is none") from None


def _settings(field: str, url: str, query: str) -> Settings:
    kinds = get_type_hints(Settings)
    given: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        kind = kinds.get(name)
        if kind is None:
            near = get_close_matches(name, kinds, 1)
            raise InvalidInputError(
                field,
                f"the setting {name!r} in {masked(url)} is not known",
                fix=f"Did you mean {near[0]}?" if near else f"There are {', '.join(kinds)}.",
            )
        try:
            given[name] = _YES_NO[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError):
            raise _unfit(field, url, name) from None
        least = _LEAST.get(name, 0)
        if kind in (int, float) and not least <= given[name] <= _MOST.get(name, 1e9):
            raise _unfit(field, url, name)
    return dataclasses.replace(Settings(), **given)


_YES_NO = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _unfit(field: str, url: str, name: str) -> InvalidInputError:
    kind = get_type_hints(Settings)[name].__name__
    bounds = f" from {_LEAST.get(name, 0):g} to {_MOST.get(name, 1e9):g}" if kind != "bool" else ""
    return InvalidInputError(
        field, f"the setting {name} in {masked(url)} is not usable", fix=f"Give a {kind}{bounds}."
    )


def _refused(field: str, url: str, problem: str) -> InvalidInputError:
    return InvalidInputError(
        field,
        f"{masked(url)} {problem}",
        fix="Write redis://HOST:6379/0, redis+cluster://H1:P1,H2:P2, "
        "redis+sentinel://H1:P1,H2:P2/SERVICE or unix:///path/to.sock.",
    )
