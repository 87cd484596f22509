"""What all parts of one open store in Redis share: connections, keys, a look into the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from bruno_memory_vec.sessions.lost import FromRows, SessionsLost
from bruno_memory_vec.sessions.redis.connection import ENGINE, Command, Connections
from bruno_memory_vec.sessions.redis.keys import Keys
from bruno_memory_vec.sessions.redis.scripts import STATE

#: Numbers that are left out where Redis may have lost those that it gave last. More than all
#: processes together can have under way.
SEQ_GAP, TURN_GAP = 2**24, 2**20


class Access:
    """One open store in Redis.

    Args:
        connections: to where it is.
        name: the store's name.
    """

    def __init__(self, connections: Connections, name: str) -> None:
        self.connections = connections
        self.keys = Keys(name)
        self.from_rows = FromRows()
        #: Whether this process is the only one that writes: then none of its numbers is given by
        #: another, and none needs to be left out.
        self.alone = False
        connections.restarted = self._restarted

    async def _restarted(self) -> None:
        # The versions are others now: each state is compared with the rows again.
        self.from_rows.forget_absent()

    def version(self, key: str | None = None) -> str:
        """The server process that has a key, by default the store's own.

        What was written at another one may be lost in part. Await :meth:`connect` before.
        """
        process = self.connections.process_of(key or self.keys.own("meta"))
        return hashlib.sha256(process.encode()).hexdigest()[:12]

    async def connect(self) -> None:
        """Find out who answers, so that :meth:`version` is known.

        Raises:
            EngineError: nobody does.
        """
        await self.connections.ready()

    @property
    def turn_gap(self) -> int:
        """How many turns are left out where some may have been lost."""
        return 0 if self.alone else TURN_GAP

    @property
    def seq_gap(self) -> int:
        """How many ``seq`` are left out where some may have been lost."""
        return 0 if self.alone else SEQ_GAP

    def lost(self, operation: str) -> SessionsLost:
        """The error for a store that has to be made anew from the rows first."""
        return SessionsLost(
            ENGINE,
            operation,
            f"{self.connections.address.masked} has lost data of this store, or may have",
            fix="Try again: it is made anew from the rows before the next write.",
        )

    def state(self, conversation_id: str) -> list[str]:
        """The keys of a conversation's state and of its hot messages."""
        return [self.keys.conversation(conversation_id, what) for what in ("state", "hot")]

    def told(
        self, conversation_id: str, place: tuple[str, int] | None = None, known: str = ""
    ) -> tuple[Any, ...]:
        """What scripts on a conversation take first: version, what the rows have, the gap."""
        owner, turn = place or ("", 0)
        version = self.version(self.state(conversation_id)[0])
        return version, known, owner, turn, self.turn_gap

    async def all_looked_up(self, conversations: Collection[str]) -> dict[str, tuple[Any, ...]]:
        """As :meth:`looked_up`, of several."""
        places = await self.from_rows.places(conversations)
        return {
            name: self.told(name, place, "none" if place is None else "rows")
            for name, place in places.items()
        }

    async def looked_up(self, conversation_id: str) -> tuple[Any, ...]:
        """As :meth:`told`, after a look into the rows."""
        place = await self.from_rows.place(conversation_id)
        return self.told(conversation_id, place, "none" if place is None else "rows")

    async def states(self, conversations: Collection[str]) -> dict[str, dict[str, str]]:
        """The state of each conversation, compared with the rows where something may be lost.

        Those that nobody owns are left out.
        """
        await self.connect()
        names = list(dict.fromkeys(conversations))

        def asked(name: str, told: tuple[Any, ...]) -> Command:
            return STATE(self.state(name)[:1], *told)

        answers = await self.connections.run_all(
            "read a conversation", [asked(name, self.told(name)) for name in names]
        )
        found = {name: answer for name, answer in zip(names, answers, strict=True) if answer[0]}
        missing = [name for name in names if name not in found]
        if missing:
            looked = await self.all_looked_up(missing)
            commands = [asked(name, told) for name, told in looked.items()]
            answers = await self.connections.run_all("read a conversation", commands)
            found.update(zip(looked, answers, strict=True))
        states = {name: flat(answer[1]) for name, answer in found.items()}
        return {name: state for name, state in states.items() if "owner" in state}


def flat(words: Sequence[bytes]) -> dict[str, str]:
    """A flat list of names and values, as Redis gives a hash to a script."""
    texts = [word.decode() for word in words]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def texts(answer: Mapping[bytes, bytes] | Sequence[bytes]) -> dict[str, str]:
    """A hash, however the client gives it."""
    if isinstance(answer, Mapping):
        return {name.decode(): value.decode() for name, value in answer.items()}
    return flat(answer)


def ranges(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as ranges, both ends included, ascending."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
