"""The ledger in Redis: which rows were acknowledged and not deleted since, by their ``seq``.

A block is a string with a bit for each of 131,072 ``seq``. What is out of the ordinary has a field
in a hash, a mark. Rows that a change under way is about to remove stand with that change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.sessions.protocol import Acknowledged, LostRow
from bruno_memory_vec.sessions.redis.access import Access, flat, ranges
from bruno_memory_vec.sessions.redis.connection import Command, command
from bruno_memory_vec.sessions.redis.scripts import BLOCK, LEDGER, RECORD, TAKE_LOST

_LEAVING, _LOST, _GIVEN_UP, _RETURNED = "leaving", "lost", "given up", "returned"
# A script holds the server for its time: some milliseconds for so many seq.
_SEQS_A_SCRIPT = 10_000
_KEYS_A_SCRIPT = 200


class Recorded(IntEnum):
    """What has become of what was to be noted."""

    #: The store has to be made anew from the rows; nothing was done.
    NOT_WHOLE = 0
    #: All was noted.
    WHOLE = 1
    #: But what was added: the change is not noted, since it has ended or others have mended it.
    CHANGE_ENDED = 2


class RedisLedger:
    """A :class:`~bruno_memory_vec.sessions.protocol.Ledger` in Redis."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def count(self) -> int:
        """As of ``Ledger``."""
        meta = self._access.keys.own("meta")
        found = await self._access.connections.run("read the ledger", command("HGET", meta, "rows"))
        return int(found or 0)

    async def read(self) -> Acknowledged:
        """As of ``Ledger``, as of one moment."""
        keys = self._access.keys
        last_seq, blocks, marks, changes = await self._access.connections.run(
            "read the ledger", LEDGER(self._keys(), keys.own("rows:"))
        )
        marked = {int(seq): json.loads(mark) for seq, mark in flat(marks).items()}
        leaving = {seq for seq, mark in marked.items() if mark[0] == _LEAVING}
        for field, value in flat(changes).items():
            if field.endswith("|removed"):
                for first, last in json.loads(value):
                    leaving.update(range(first, last + 1))

        def of(mark: str) -> NDArray[np.int64]:
            return np.array(sorted(seq for seq, its in marked.items() if its[0] == mark), np.int64)

        lost = sorted((seq, its[1:]) for seq, its in marked.items() if its[0] == _LOST)
        return Acknowledged(
            last_seq=int(last_seq),
            alive=_alive(blocks),
            leaving=np.array(sorted(leaving), np.int64),
            lost=tuple(LostRow(seq, *place) for seq, place in lost),
            given_up=of(_GIVEN_UP),
            returned=of(_RETURNED),
        )

    async def leave(self, seqs: Iterable[int]) -> None:
        """As of ``Ledger``."""
        await self.record(marks={int(seq): [_LEAVING] for seq in seqs})

    async def settle(
        self,
        *,
        alive: Iterable[int] = (),
        gone: Iterable[int] = (),
        lost: Iterable[int] = (),
        given_up: Iterable[int] = (),
        returned: Iterable[int] = (),
    ) -> None:
        """As of ``Ledger``."""
        alive, gone, lost, returned = list(alive), list(gone), list(lost), list(returned)
        marks: dict[int, list[Any]] = {int(seq): [_RETURNED] for seq in returned}
        marks |= {int(seq): [_GIVEN_UP] for seq in given_up}
        if lost:
            places = await self._take_from_contexts(lost)
            marks |= {int(seq): [_LOST, *places.get(int(seq), ())] for seq in lost}
        await self.record([*alive, *returned], [*gone, *lost], marks=marks)

    async def places_of(self, user_id: str) -> list[int]:
        """The ``seq`` of lost rows of which it is noted that they were this user's."""
        return [row.seq for row in (await self.read()).lost if row.user_id == user_id]

    async def forget_places(self, user_id: str) -> None:
        """Note no more whose these rows were, and where; that they are lost stays."""
        lost = await self.places_of(user_id)
        if lost:
            await self.record(marks={seq: [_LOST] for seq in lost})

    async def record(
        self,
        added: Iterable[int] = (),
        removed: Iterable[int] = (),
        *,
        last_seq: int | None = None,
        token: str = "",
        marks: dict[int, list[Any]] | None = None,
        version: str = "",
    ) -> Recorded:
        """Note that rows are acknowledged, and others gone. Both are out of the ordinary no more.

        Args:
            added: the ``seq`` of rows that are there.
            removed: of rows that are not there any more.
            last_seq: the last row that is applied; noted with the last of the steps.
            token: a change that has ended with this. Only while it is noted are its rows added.
            marks: what is out of the ordinary from now on.
            version: only if the store is whole in this version; "" in any case.
        """
        recorded = Recorded.WHOLE
        steps = list(_steps(added, removed)) or [([], [])]
        for number, (more, less) in enumerate(steps):
            last = number == len(steps) - 1
            newest = last_seq if last else None
            fresh = self._recording(more, less, newest, token, last, version)
            done = Recorded(await self._access.connections.run("note what is acknowledged", fresh))
            if done is Recorded.NOT_WHOLE:
                return done
            recorded = max(recorded, done)
        kinds: dict[str, list[int]] = {}
        for seq, mark in (marks or {}).items():
            kinds.setdefault(json.dumps(mark), []).append(seq)
        for text, seqs in kinds.items():
            await self._access.connections.run(
                "mark rows", RECORD(self._keys(), "", "", "", 0, text, 0, 0, *seqs)
            )
        return recorded

    def _recording(
        self,
        added: Sequence[tuple[int, int]],
        removed: Sequence[tuple[int, int]],
        last_seq: int | None,
        token: str,
        ends: bool,
        version: str,
    ) -> Command:
        keys = self._keys()
        places: dict[int, int] = {}
        values: list[int] = []
        for first, last in (*added, *removed):
            block = first // BLOCK
            if block not in places:
                keys.append(self._access.keys.block(block))
                places[block] = len(keys)
            values += [places[block], block, first % BLOCK, last % BLOCK]
        newest = "" if last_seq is None else last_seq
        ended = int(bool(token) and ends)
        return RECORD(keys, version, newest, token, ended, "", len(added), len(removed), *values)

    def _keys(self) -> list[str]:
        return [self._access.keys.own(what) for what in ("meta", "blocks", "marks", "changes")]

    async def _take_from_contexts(self, lost: Sequence[int]) -> dict[int, tuple[str, str, int]]:
        """Remove lost rows from the hot contexts, which know where they were."""
        keys, found = self._access.keys, dict[int, tuple[str, str, int]]()
        hot = {key async for key in self._access.connections.scan("find lost rows", keys.hot())}
        talks = [keys.named(key) for key in sorted(hot)]
        commands = [TAKE_LOST(self._access.state(talk)[::-1], *lost) for talk in talks]
        answers = await self._access.connections.run_all("take lost rows from contexts", commands)
        for talk, answer in zip(talks, answers, strict=True):
            words = [word.decode() for word in answer]
            for seq, user, turn in zip(words[::3], words[1::3], words[2::3], strict=True):
                found[int(seq)] = (talk, user, int(turn))
        return found


def _steps(
    added: Iterable[int], removed: Iterable[int]
) -> Iterator[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """Ranges within one block each, as many as one script takes."""
    more: list[tuple[int, int]] = []
    less: list[tuple[int, int]] = []
    room = _SEQS_A_SCRIPT
    for into, numbers in ((more, added), (less, removed)):
        for first, last in ranges(int(number) for number in numbers):
            at = first
            while at <= last:
                until = min(last, (at // BLOCK + 1) * BLOCK - 1, at + room - 1)
                into.append((at, until))
                room -= until - at + 1
                at = until + 1
                if room <= 0 or len(more) + len(less) >= _KEYS_A_SCRIPT:
                    yield list(more), list(less)
                    more.clear()
                    less.clear()
                    room = _SEQS_A_SCRIPT
    if more or less:
        yield more, less


def _alive(blocks: Sequence[bytes]) -> NDArray[np.int64]:
    """The ``seq`` of each set bit, ascending."""
    parts = [np.empty(0, np.int64)]
    pairs = zip(blocks[::2], blocks[1::2], strict=True)
    for number, bits in sorted((int(block), bits) for block, bits in pairs):
        # SETBIT counts from the highest bit of the first byte, as numpy does.
        set_bits = np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8)))
        parts.append(set_bits.astype(np.int64) + number * BLOCK)
    return np.concatenate(parts)
