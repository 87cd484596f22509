"""What a call passes before it is answered: whose name it used, its size, its token's limits, time.

It is plain ASGI, around everything that the application serves, pages and other routes among it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from fastapi import HTTPException
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request

from bruno_memory_vec.surfaces.http import problems
from bruno_memory_vec.surfaces.http.problems import NotAuthenticatedError, Refused
from bruno_memory_vec.surfaces.http.settings import LOOPBACK, ServerSettings
from bruno_memory_vec.surfaces.http.tokens import Token, Tokens

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Where uploads go, which may be larger.
UPLOADS: Final = frozenset({"/v1/ingest", "/v1/import"})
#: What may take longer than any other call.
LONG: Final = UPLOADS | frozenset(
    f"/v1/{name}"
    for name in (
        "export",
        "compress",
        "facts/extract",
        "maintain",
        "retention",
        "erasures",
        "remains",
        "audit/verify",
    )
)
#: Asked by whoever looks after the server, by its address; they tell nothing else.
PROBES: Final = frozenset({"/healthz", "/readyz"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With "no-referrer" a browser sends no Origin with a page's own forms.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class Guard:
    """The middleware.

    It leaves a call's token in ``scope["state"]["token"]``, and in ``["use"]`` what counts the use
    of one (a context manager), for those who find theirs elsewhere, as pages do by the visit.

    Args:
        app: what answers.
        settings: the limits.
        tokens: who may call; None for everybody.
    """

    def __init__(self, app: App, settings: ServerSettings, tokens: Tokens | None) -> None:
        self._app, self._settings, self._tokens = app, settings, tokens
        self._hosts = frozenset({*LOOPBACK, *(host.lower() for host in settings.hosts)})
        self._any_host = "*" in settings.hosts
        self._uses: dict[str, _Use] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        started = _Started(send)
        try:
            request = Request(scope)
            self._check_host(request)
            _check_origin(request)
            token = self._token(request)
            scope.setdefault("state", {}).update(token=token, use=self._use)
            if self._tokens is not None and token is None and scope["path"].startswith("/v1/"):
                # Before its body is read, of which strangers might send a lot.
                raise NotAuthenticatedError.of(token_text(request))
            receive = self._bounded(request.headers, scope, receive)
            with self._use(token):
                await self._answer(scope, receive, started)
        except ClientDisconnect:
            return  # who asked has gone, and a stranger may do that any number of times
        except Exception as error:
            if started.yet:
                # Too late for another answer: the connection is cut, so nobody takes it for whole.
                problems.of(error)
                raise _Cut from None
            await problems.of(error)(scope, receive, send)

    # Whose call it is

    def _check_host(self, request: Request) -> None:
        """Refuse a name that is not this server's: a page whose own name leads here uses it."""
        if self._any_host or request.scope["path"] in PROBES:
            return
        if _host_of(request.headers.get("host", "")) not in self._hosts:
            raise Refused(
                403,
                "foreign-host",
                "the Host header names no host of this server",
                "Start it with --allow-host NAME.",
            )

    def _token(self, request: Request) -> Token | None:
        if self._tokens is None:
            return None
        text = token_text(request)
        return None if text is None else self._tokens.check(text)

    # How much

    def _bounded(self, headers: Headers, scope: Scope, receive: Receive) -> Receive:
        upload = scope["path"] in UPLOADS
        most = self._settings.upload_bytes if upload else self._settings.body_bytes
        told = headers.get("content-length", "0")
        if not told.isascii() or not told.isdigit():
            raise HTTPException(400)
        if int(told[:20]) > most:
            raise _too_large(most)
        taken = 0

        async def bounded() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most:
                raise _too_large(most)
            return message

        return bounded

    def _use(self, token: Token | None) -> _Use:
        if token is None and self._tokens is not None:
            return _Use(self._settings)  # it is refused at once, or asks for what all may see
        key = "" if token is None else token.sha256
        if len(self._uses) > 10_000:
            self._uses = {name: use for name, use in self._uses.items() if use.now}
        return self._uses.setdefault(key, _Use(self._settings))

    # How long

    async def _answer(self, scope: Scope, receive: Receive, started: _Started) -> None:
        long = scope["path"] in LONG
        seconds = self._settings.long_timeout_s if long else self._settings.timeout_s
        work = asyncio.ensure_future(self._app(scope, receive, started.send))
        begun = asyncio.ensure_future(started.event.wait())
        try:
            await asyncio.wait({work, begun}, timeout=seconds, return_when="FIRST_COMPLETED")
            if not work.done() and not started.yet:
                work.cancel()
                await asyncio.wait({work})
                if not started.yet:
                    raise Refused(
                        503,
                        "timeout",
                        f"there was no answer within {seconds:g} s",
                        "Ask for less at once. What was to be stored may be stored: send it again "
                        "with the same ids.",
                        {"Retry-After": "5"},
                    )
            await work
        finally:
            begun.cancel()
            if not work.done():
                work.cancel()
                await asyncio.wait({work})


class _Cut(Exception):
    """An answer that had begun cannot go on."""


class _Started:
    """Whether an answer has begun."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.event = asyncio.Event()

    @property
    def yet(self) -> bool:
        return self.event.is_set()

    async def send(self, message: Message) -> None:
        self.event.set()
        await self._send(message)


class _Use:
    """How much a token is used: calls at once, and a minute's allowance that fills up again."""

    def __init__(self, settings: ServerSettings) -> None:
        self._most, self._rate = settings.concurrent, settings.per_minute
        self.now = 0
        self._left, self._at = float(self._rate), time.monotonic()

    def __enter__(self) -> None:
        if self.now >= self._most:
            raise _too_many(f"there are {self._most} calls of this token under way", 1)
        if self._rate:
            now = time.monotonic()
            grown = self._left + (now - self._at) * self._rate / 60
            self._left, self._at = min(float(self._rate), grown), now
            if self._left < 1:
                wait = (1 - self._left) * 60 / self._rate
                raise _too_many(f"this token has {self._rate} calls a minute", int(wait) + 1)
            self._left -= 1
        self.now += 1

    def __exit__(self, *_: object) -> None:
        self.now -= 1


def token_text(request: Request) -> str | None:
    """The text of a request's bearer token; None where it has none.

    A token is in no cookie, which a browser sends by itself, whoever asks.
    """
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() or None if scheme.lower() == "bearer" else None


def _check_origin(request: Request) -> None:
    """Refuse a change that a page of another site has its visitor's browser ask for."""
    if request.method in _SAFE:
        return
    origin = request.headers.get("origin")
    scheme, _, host = (origin or "").partition("://")
    # Behind a proxy that is not trusted this server sees plain HTTP, whatever the browser speaks.
    same_scheme = scheme == "https" or request.url.scheme == "http"
    same = origin is None or (host == request.headers.get("host") and same_scheme)
    if not same or request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        raise Refused(
            403,
            "foreign-origin",
            "the call comes from a page of another site",
            "Call from a program, or from the pages of this server. A proxy in front has to pass "
            "the Host header on.",
        )


def _host_of(given: str) -> str:
    """The host that a ``Host`` header names, without its port; blank where it names none."""
    if not given.isascii() or set(given) & set("/\\@?# \t"):
        return ""
    try:
        parts = urlsplit(f"//{given}")
        # A port that is none is told here.
        return (parts.hostname or "").rstrip(".") if parts.port != 0 else ""
    except ValueError:
        return ""


def _too_large(most: int) -> HTTPException:
    # FastAPI makes a 400 of whatever else is raised while it reads a body.
    return HTTPException(413, f"the body has more than {most:,} bytes", {"Connection": "close"})


def _too_many(problem: str, seconds: int) -> Refused:
    return Refused(
        429,
        "too-many-calls",
        problem,
        f"Wait for {seconds} s, and for answers before you ask on.",
        {"Retry-After": str(seconds)},
    )


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending
