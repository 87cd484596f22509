"""The two passes of ``ingest``: check everything, then store it."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from bruno_memory_vec import check_message
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import BadLine, Format, Turn, read
from bruno_memory_vec.rows.checks import identifier
from bruno_memory_vec.surfaces.cli.running import CliError

if TYPE_CHECKING:
    from bruno_memory_vec import Progress
    from bruno_memory_vec.memory import VectorMemory

_KEPT_BAD = 100
_REPORT_EVERY = 500


@dataclass(slots=True)
class Tally:
    """The counts of a file.

    Attributes:
        messages: how many can be stored.
        bad: how many places cannot.
        first_bad: the first of them.
        conversations: each conversation with its owner.
        storing_seconds: how long storing took.
    """

    messages: int = 0
    bad: int = 0
    first_bad: list[BadLine] = field(default_factory=list)
    conversations: dict[str, str] = field(default_factory=dict)
    storing_seconds: float = 0.0


@dataclass(slots=True)
class Source:
    """An input that can be read twice. The readers use ``name`` to name chats."""

    stream: BinaryIO
    name: str
    size: int

    def read(self, size: int = -1, /) -> bytes:
        """As of a file."""
        return self.stream.read(size)

    def readline(self, size: int = -1, /) -> bytes:
        """As of a file."""
        return self.stream.readline(size)

    def tell(self) -> int:
        """How many bytes were read."""
        return self.stream.tell()


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read an input.

    Attributes:
        format_name: its format, or "auto".
        user: whose messages are that name no user.
        conversation: where messages go that name no conversation.
        default_user: who owns a conversation that nobody claims.
    """

    format_name: str
    user: str | None
    conversation: str | None
    default_user: str


@contextmanager
def seekable(file: str) -> Iterator[Source]:
    """Open a file. Standard input and pipes, which can be read only once, are spooled.

    Raises:
        InvalidInputError: it cannot be read.
    """
    if file != "-":
        read(file)  # checks the path; reads nothing yet
    try:
        if file == "-":
            with _spooled(_stdin()) as stream:
                yield Source(stream, "stdin", _size(stream))
            return
        with open(file, "rb") as stream:
            if stream.seekable():
                yield Source(stream, file, _size(stream))
                return
            with _spooled(stream) as spool:
                yield Source(spool, Path(file).name, _size(spool))
    except OSError as error:
        raise InvalidInputError(
            "source", f"cannot be read: {error}", fix="Check the file's permissions.", cause=error
        ) from error


def _stdin() -> BinaryIO:
    return cast(BinaryIO, getattr(sys.stdin, "buffer", sys.stdin))


@contextmanager
def _spooled(stream: BinaryIO) -> Iterator[BinaryIO]:
    # On disk, because the input may be larger than the memory.
    with tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(stream, spool, 1024 * 1024)
        yield cast(BinaryIO, spool)


def _size(stream: BinaryIO) -> int:
    return stream.seek(0, os.SEEK_END)


class Intake:
    """One file on its way into a store.

    Args:
        source: the file.
        how: how to read it.
        progress: called with the progress of each pass.
    """

    def __init__(self, source: Source, how: Reading, progress: Progress | None) -> None:
        self._source = source
        self._how = how
        self._progress = progress

    async def check(self, memory: VectorMemory | None) -> Tally:
        """Read everything and store nothing. ``memory`` is the store, if there is one already.

        Raises:
            InvalidInputError: the input as a whole cannot be used.
        """
        tally = Tally()
        async for item in self._items(memory, tally.conversations):
            if isinstance(item, BadLine):
                tally.bad += 1
                if len(tally.first_bad) < _KEPT_BAD:
                    tally.first_bad.append(item)
            else:
                tally.messages += 1
            if (tally.messages + tally.bad) % _REPORT_EVERY == 0:
                await asyncio.sleep(0)  # a chance for Ctrl-C
                if self._progress is not None:
                    self._progress("checking bytes", self._source.tell(), self._source.size)
        if self._progress is not None:
            self._progress("checking bytes", self._source.size, self._source.size)
        return tally

    async def store(self, memory: VectorMemory, tally: Tally, batch: int, skip_bad: bool) -> None:
        """Read everything again and store what is good, ``batch`` messages at a time.

        Raises:
            CliError: the file is not what it was when it was checked.
            BrunoError: a batch could not be stored; those before it are.
        """
        started = time.perf_counter()
        waiting: list[Turn] = []
        stored = 0
        async for item in self._items(memory, {}):
            if isinstance(item, BadLine):
                if skip_bad:
                    continue
                raise _changed(stored)
            waiting.append(item)
            if len(waiting) >= batch:
                stored += await self._store_batch(memory, waiting, stored, tally.messages)
                waiting = []
        stored += await self._store_batch(memory, waiting, stored, tally.messages)
        if stored != tally.messages and not skip_bad:
            raise _changed(stored)
        tally.messages = stored
        tally.storing_seconds = time.perf_counter() - started

    async def _store_batch(
        self, memory: VectorMemory, turns: list[Turn], before: int, total: int
    ) -> int:
        groups: dict[str, list[Turn]] = {}
        for turn in turns:
            groups.setdefault(turn.conversation_id, []).append(turn)
        # Concurrently, so that conversations share commits.
        await asyncio.gather(
            *(
                memory.store_messages(
                    [turn.message for turn in group],
                    conversation,
                    user_id=next(
                        (turn.user_id for turn in group if turn.user_id is not None), None
                    ),
                    origin="imported",
                )
                for conversation, group in groups.items()
            )
        )
        if self._progress is not None:
            self._progress("storing messages", min(before + len(turns), total), total)
        return len(turns)

    async def _items(
        self, memory: VectorMemory | None, owners: dict[str, str]
    ) -> AsyncIterator[Turn | BadLine]:
        """The file's messages, with what the store would refuse as bad lines. Fills ``owners``."""
        self._source.stream.seek(0)
        items = read(
            cast(io.BufferedReader, self._source),
            format=cast(Format, self._how.format_name),
            conversation_id=self._how.conversation,
            user_id=self._how.user,
        )
        for item in items:
            if isinstance(item, BadLine):
                yield item
                continue
            try:
                check_message(item.message, item.conversation_id)
                owner = owners.get(item.conversation_id)
                if owner is None:
                    owner = await self._owner(memory, item)
            except InvalidInputError as error:
                problem = str(error).removeprefix(f"{error.field}: ").removesuffix(f". {error.fix}")
                yield BadLine(item.line, error.field, problem)
                continue
            if item.user_id is not None and item.user_id != owner:
                yield BadLine(
                    item.line,
                    "user_id",
                    f"the conversation {item.conversation_id!r} does not belong to the user "
                    f"{item.user_id!r}",
                )
                continue
            owners[item.conversation_id] = owner
            yield item

    async def _owner(self, memory: VectorMemory | None, turn: Turn) -> str:
        """The owner of the turn's conversation, or its future owner if this turn begins it."""
        if memory is not None:
            known = await memory.conversation_owner(turn.conversation_id)
            if known is not None:
                return known
        if turn.user_id is not None:
            return identifier("user_id", turn.user_id)
        named: Any = turn.message.metadata.get("user_id")
        if isinstance(named, str) and named.strip():
            return identifier('message.metadata["user_id"]', named)
        return self._how.default_user


def _changed(stored: int) -> CliError:
    return CliError(
        f"the file changed while it was read; {stored} messages were stored before",
        "Run the command again: what is stored already is replaced by itself",
    )
