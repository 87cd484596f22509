"""The numbers of rows and turns, which Redis gives to all processes: each one once, ever.

A number is reserved; where its row is never stored, it is left out. Redis is not believed that it
has given none: a counter that it does not have begins behind what the rows have.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.sessions.owners import foreign_conversation
from bruno_memory_vec.sessions.redis.access import Access
from bruno_memory_vec.sessions.redis.changes import Changes
from bruno_memory_vec.sessions.redis.connection import ENGINE, Command
from bruno_memory_vec.sessions.redis.scripts import CLAIM, RELEASE, SEQS

# Seconds between two looks whether another process has stored the first row of a conversation.
_PAUSE = 0.02


class _Claimed(NamedTuple):
    """A conversation that another change has claimed for another user."""

    conversation_id: str
    user_id: str
    change: str


class Numbers:
    """Gives this process the numbers of what it is about to write.

    Calls come one at a time, as the writer's do.
    """

    def __init__(self, access: Access, changes: Changes) -> None:
        self._access = access
        self._changes = changes
        # The smallest seq that may be given next.
        self._least = 0

    def start_after(self, seq: int) -> None:
        """Give only numbers greater than ``seq``."""
        self._least = max(self._least, seq + 1)

    async def turns(self, wanted: Mapping[str, tuple[str, int]]) -> dict[str, int]:
        """As of ``WriterLease.next_turns``, by conversation: a user and how many turns.

        Raises:
            SessionsLost: a process has ended that was beginning one of them. It has to be mended.
            BackendUnavailable: another process does not come to an end of that.
        """
        await self._access.connect()
        until = time.monotonic() + 2 * self._access.connections.address.settings.timeout
        while True:
            before = self._access.connections.identity
            turns, claimed = await self._claim(wanted)
            if self._access.connections.identity != before:
                continue  # another server, which may have given these before
            owned = [one for one in claimed if not one.change]
            if owned:
                raise foreign_conversation(owned[0].conversation_id, owned[0].user_id)
            if not claimed:
                return turns
            # Another process is about to store its first row. If that fails, the conversation is
            # nobody's again; if the process has ended, that has to be found out.
            broken = {change.token for change in await self._changes.broken_off()}
            if any(one.change in broken for one in claimed):
                raise self._access.lost("begin a conversation")
            if time.monotonic() > until:
                raise BackendUnavailable(
                    ENGINE,
                    "begin a conversation",
                    f"another process has been beginning {claimed[0].conversation_id!r} for "
                    "another user for some seconds",
                    fix="Try again.",
                )
            await asyncio.sleep(_PAUSE * (1 + random.random()))  # noqa: S311  # no secret

    async def _claim(
        self, wanted: Mapping[str, tuple[str, int]]
    ) -> tuple[dict[str, int], list[_Claimed]]:
        """Reserve turns in all conversations; or in none, where others have claimed some."""
        users = {user for user, _ in wanted.values()}
        noting = self._changes.opening(wanted, users)
        token = self._changes.token

        def asked(name: str, told: tuple[Any, ...]) -> Command:
            user, count = wanted[name]
            return CLAIM(self._access.state(name), *told, user, count, token, self._changes.process)

        run_all = self._access.connections.run_all
        # The note first: of a process that ends here others know what it has claimed.
        await run_all("note a change", [noting])
        answers = await run_all(
            "number messages", [asked(name, self._access.told(name)) for name in wanted]
        )
        found = dict(zip(wanted, answers, strict=True))
        missing = [name for name, answer in found.items() if answer[0] == 0]
        if missing:
            looked = await self._access.all_looked_up(missing)
            again = [asked(name, told) for name, told in looked.items()]
            found.update(zip(looked, await run_all("number messages", again), strict=True))
        claimed = [
            _Claimed(name, wanted[name][0], answer[2].decode())
            for name, answer in found.items()
            if answer[0] == 2
        ]
        if claimed:
            # So two that wait for each other's conversation do not wait forever.
            releases = [RELEASE(self._access.state(name), token, 0) for name in wanted]
            await run_all("release conversations", releases)
            await self._changes.end()
            return {}, claimed
        turns = {name: int(answer[1]) for name, answer in found.items() if wanted[name][1]}
        return turns, []

    async def seqs(self, count: int) -> int:
        """As of ``WriterLease.next_seqs``.

        Raises:
            SessionsLost: the store has to be made anew from the rows first.
        """
        if not self._changes.token:  # rows that have their turns
            await self._changes.live()
            await self._access.connections.run("note a change", self._changes.opening((), ()))
        keys = [self._access.keys.own("meta"), self._access.keys.own("changes")]
        values = (count, self._least, self._changes.token, self._access.seq_gap)
        await self._access.connect()
        version = self._access.version()
        first = int(await self._access.connections.run("number rows", SEQS(keys, version, *values)))
        if first < 0 or self._access.version() != version:
            rows = self._access.from_rows.rows
            if rows is not None:
                self.start_after(await rows.last_seq())
            raise self._access.lost("number rows")
        self._least = max(self._least, first + count)
        return first
