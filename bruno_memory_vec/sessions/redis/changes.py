"""The changes under way, which every process that writes to a store can see.

A change is noted before its first number is given, and ends when the sessions have applied it. What
a process leaves that has ended in between, others find here, and mend it from the rows. A process
shows that it goes on by a key with a lifetime, its heartbeat.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import weakref
from collections.abc import Collection, Iterable

from bruno_memory_vec.errors import BackendUnavailable, EngineError
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.sessions.protocol import UnderWay
from bruno_memory_vec.sessions.redis.access import Access, ranges, texts
from bruno_memory_vec.sessions.redis.connection import ENGINE, Command, command

_log = get_logger(__name__)

# A heartbeat is renewed this often in its lifetime, and no longer trusted after half of it.
_BEATS, _TRUSTED = 6, 0.5


class Changes:
    """The changes that this process makes, and a look at all others'.

    Calls about changes of this process come one at a time, as the writer's do.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        #: How the others know this process.
        self.process = secrets.token_hex(8)
        #: The change under way of this process; "" for none.
        self.token = ""
        self._conversations: set[str] = set()
        self._users: set[str] = set()
        # Changes of this process whose end is not known.
        self._broken: set[str] = set()
        self._lifetime = access.connections.address.settings.heartbeat
        self._beat_at = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._closed = False

    # The heartbeat

    @property
    def trusted(self) -> bool:
        """Whether others take this process for one that goes on."""
        return time.monotonic() - self._beat_at < self._lifetime * _TRUSTED

    async def go_on(self) -> None:
        """Refuse to write what others may be mending already; else live on.

        Raises:
            BackendUnavailable: since the change under way has begun, Redis has not heard of this
                process for so long that others may take it for one that has ended.
        """
        if self.token and not self.trusted:
            raise BackendUnavailable(
                ENGINE,
                "keep its heartbeat",
                f"{self._access.connections.address.masked} has not heard of this process for "
                f"{time.monotonic() - self._beat_at:.0f} s, so that others may be mending what it "
                "writes",
                fix="Try again when this Redis answers.",
            )
        await self.live()

    async def live(self) -> None:
        """Show that this process goes on, now and from now on."""
        if not self._beats_here():
            self._loop = weakref.ref(asyncio.get_running_loop())
            self._task = asyncio.create_task(self._go_on(), name="bruno-memory-heartbeat")
        if not self.trusted:
            await self._beat()

    def _beats_here(self) -> bool:
        loop = None if self._loop is None else self._loop()
        task = self._task
        return loop is asyncio.get_running_loop() and task is not None and not task.done()

    async def _go_on(self) -> None:
        while not self._closed:
            await asyncio.sleep(self._lifetime / _BEATS)
            try:
                await self._beat()
            except EngineError as error:
                _log.warning("no_heartbeat", error=str(error))

    async def _beat(self) -> None:
        at, key = time.monotonic(), self._access.keys.process(self.process)
        lifetime = int(self._lifetime * 1000)
        await self._access.connections.run(
            "keep its heartbeat", command("SET", key, 1, "PX", lifetime)
        )
        self._beat_at = at

    async def stop(self) -> None:
        """The process writes no more; its heartbeat ends at once."""
        self._closed = True
        beats, self._beat_at = self._beat_at > float("-inf"), float("-inf")
        if self._beats_here():
            assert self._task is not None
            self._task.cancel()
            await asyncio.wait([self._task])
        if beats and self._access.connections.away is None:
            try:
                key = self._access.keys.process(self.process)
                await self._access.connections.run("end its heartbeat", command("DEL", key))
            except EngineError as error:
                _log.warning("heartbeat_left", error=str(error))

    # Changes of this process

    def opening(self, conversations: Collection[str], users: Collection[str]) -> Command:
        """The command that notes a new change; run it before anything of the change."""
        if self.token:
            self._broken.add(self.token)
        self.token = secrets.token_hex(8)
        self._conversations, self._users = set(conversations), set(users)
        return self._noting()

    async def add(
        self, conversations: Collection[str], users: Collection[str], removed: Iterable[int]
    ) -> None:
        """Note what else the change under way touches; it begins with this if there is none."""
        gone = ranges(removed)
        commands = []
        if not self.token:
            commands.append(self.opening(conversations, users))
        elif not (self._conversations >= set(conversations) and self._users >= set(users)):
            self._conversations |= set(conversations)
            self._users |= set(users)
            commands.append(self._noting())
        if gone:
            field, key = f"{self.token}|removed", self._access.keys.own("changes")
            commands.append(command("HSET", key, field, json.dumps(gone)))
        if commands:
            await self._access.connections.run_all("note a change", commands)

    def _noting(self) -> Command:
        about = [self.process, sorted(self._conversations), sorted(self._users)]
        return command("HSET", self._access.keys.own("changes"), self.token, json.dumps(about))

    def ended(self) -> None:
        """The change under way was applied, and its note removed."""
        self.token = ""

    async def end(self) -> None:
        """The change under way was applied: remove its note."""
        if self.token:
            await self.forget(self.token)
            self.token = ""

    def broke_off(self) -> None:
        """Nobody knows how the change under way has ended."""
        if self.token:
            self._broken.add(self.token)
            self.token = ""

    # Everybody's

    async def all(self) -> list[UnderWay]:
        """All changes that are noted."""
        key = self._access.keys.own("changes")
        fields = texts(
            await self._access.connections.run("read the changes", command("HGETALL", key))
        )
        found = []
        for token, text in fields.items():
            if "|" in token:
                continue
            process, conversations, users = json.loads(text)
            first, _, last = fields.get(f"{token}|seqs", "0--1").partition("-")
            removed = json.loads(fields.get(f"{token}|removed", "[]"))
            found.append(
                UnderWay(
                    token,
                    process,
                    tuple(conversations),
                    tuple(users),
                    (int(first), int(last)),
                    tuple(tuple(one) for one in removed),
                )
            )
        return found

    async def broken_off(self) -> list[UnderWay]:
        """Those of processes that have ended, and those of this one that have failed."""
        found = await self.all()
        others = sorted({one.process for one in found} - {self.process})
        alive = await self.alive(others)
        mine = self._broken - ({self.token} if self.token else set())
        self._broken &= {one.token for one in found}
        return [
            one
            for one in found
            if one.token in mine or (one.process != self.process and one.process not in alive)
        ]

    async def alive(self, processes: Collection[str]) -> set[str]:
        """Those of these processes that go on."""
        names = list(processes)
        commands = [command("EXISTS", self._access.keys.process(name)) for name in names]
        answers = await self._access.connections.run_all("look for processes", commands)
        return {name for name, there in zip(names, answers, strict=True) if there}

    async def forget(self, token: str) -> None:
        """A change has ended: remove its note."""
        fields = (token, f"{token}|seqs", f"{token}|removed")
        await self._access.connections.run(
            "end a change", command("HDEL", self._access.keys.own("changes"), *fields)
        )
        self._broken.discard(token)
