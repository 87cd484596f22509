"""Reading the sources: each pass gives the same messages, each with the chat that it belongs to."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Final, TypeAlias
from uuid import UUID

from bruno_core.models.context import SessionContext, UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import MessageRole

from bruno_memory_vec.conversations.context import without_ours
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.schema import MEMORY, micros
from bruno_memory_vec.portability import read
from bruno_memory_vec.portability.bruno_memory import BrunoMemoryFile, is_sqlite
from bruno_memory_vec.portability.records import BadLine, Turn
from bruno_memory_vec.portability.times import DayOrder
from bruno_memory_vec.rows.bounds import Bounds
from bruno_memory_vec.rows.checks import identifier
from bruno_memory_vec.rows.models import Row, memory_row, message_row
from bruno_memory_vec.upkeep.intake.outline import (
    INFERRED,
    NO_ID,
    NO_TIME,
    Outline,
    digest_of,
    id_again,
    id_of_source,
)
from bruno_memory_vec.upkeep.intake.sources import Source

#: The format of the SQLite file of bruno-memory.
BRUNO_MEMORY: Final = "bruno-memory"

_ROLES: Final[dict[str, int]] = {}
_NOTES: Final = "notes of a recall"

Item: TypeAlias = Turn | MemoryEntry | SessionContext | UserContext | BadLine


@dataclass(frozen=True, slots=True)
class How:
    """How the sources are to be read.

    Attributes:
        format: the format of all of them, or "auto".
        user_id: whose messages are that name no user.
        conversation_id: where messages go that name no conversation.
        replace_user: that user counts more than users that a source names.
        dates: what comes first in dates such as 3/4/2024.
        is_view: the caller may see that user only.
        bounds: how much a message may be.
    """

    format: str = "auto"
    user_id: str | None = None
    conversation_id: str | None = None
    replace_user: bool = False
    dates: DayOrder | None = None
    is_view: bool = False
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(slots=True)
class Chat:
    """A conversation of one file, or what one file knows about a user.

    Attributes:
        name: its id in the file; of memories the user.
        is_memory: whether these are memories.
        file_name: the name of its file, where it has no other; see :class:`.records.Turn`.
        source: which source it is of.
        place: in which file of that.
        user: whose it is; None where nothing says so.
        line: the line of its first message, for reports.
        given: its messages.
        target: the conversation of the store that it goes to.
        owner: whose it is in the store.
        states: what each message is: one of the constants below.
        untimed: how many of its messages have no time.
        since: when it began, in microseconds, as far as the source says.
    """

    name: str
    is_memory: bool
    file_name: str | None
    source: int
    place: str
    user: str | None = None
    line: int | None = None
    given: Outline = field(default_factory=Outline)
    target: str = ""
    owner: str = ""
    states: bytearray = field(default_factory=bytearray)
    untimed: int = 0
    since: int | None = None


#: The states of a message of an export.
ADDED, UNCHANGED, EDITED, SKIPPED = range(4)


@dataclass(slots=True)
class Said:
    """One message or memory that is read.

    Attributes:
        chat: where it belongs.
        at: its place there.
        item: what was read.
        digest: of its role and text.
    """

    chat: Chat
    at: int
    item: Turn | MemoryEntry
    digest: int


class Reader:
    """The sources of one ingest. Each pass reads all of them; the first one fills the chats."""

    def __init__(self, sources: Sequence[Source], how: How) -> None:
        self._sources = sources
        self._how = how
        self._began = datetime.now(timezone.utc).replace(tzinfo=None)
        self._now = 0
        self._refused = False
        self.chats: dict[tuple[Any, ...], Chat] = {}
        self.left_out: Counter[str] = Counter()
        self.sessions: list[SessionContext] = []
        self.users: list[UserContext] = []

    @property
    def progress(self) -> tuple[int, int]:
        """How many bytes of all were read, as far as that is known."""
        before = sum(source.size for source in self._sources[: self._now])
        reading = self._sources[self._now].tell() if self._now < len(self._sources) else 0
        return before + reading, sum(source.size for source in self._sources)

    def first(self) -> Generator[Said | BadLine, None, None]:
        """Read everything, and fill :attr:`chats`.

        Raises:
            InvalidInputError: a source cannot be read, or names another user than the caller.
        """
        for number, item in self._items(self.left_out):
            if isinstance(item, (SessionContext, UserContext)):
                self._keep(item)
                continue
            if isinstance(item, BadLine):
                yield item
                continue
            kept = _stored_of(item)
            if kept is None:
                self.left_out[_NOTES] += 1
                continue
            problem = self._checked(kept)
            if problem is not None:
                self._refused = True
                yield problem
                continue
            chat = self._chat(number, kept, make=True)
            assert chat is not None
            user = self._user_of(kept)
            if user is not None and chat.user not in (None, user):
                yield _foreign(kept, user)
                continue
            chat.user = chat.user or user
            yield self._add(chat, kept)
        for chat in self.chats.values():
            _tell_apart(chat.given)

    def again(self) -> Generator[Said, None, None]:
        """Read everything once more: the same messages as :meth:`first` gave, in the same order.

        Raises:
            InvalidInputError: a source has changed since.
        """
        seen: dict[int, int] = {}
        for number, item in self._items(Counter()):
            if isinstance(item, (BadLine, SessionContext, UserContext)):
                continue
            kept = _stored_of(item)
            if kept is None or (self._refused and self._checked(kept) is not None):
                continue
            chat = self._chat(number, kept, make=False)
            if chat is None:
                raise changed()
            user = self._user_of(kept)
            if user is not None and chat.user not in (None, user):
                continue
            at = seen.get(id(chat), 0)
            seen[id(chat)] = at + 1
            digest = _digest(kept)
            if at >= len(chat.given) or chat.given.digests[at] != digest:
                raise changed()
            yield Said(chat, at, kept, digest)
        if any(seen.get(id(chat), 0) != len(chat.given) for chat in self.chats.values()):
            raise changed()

    def _items(self, left_out: Counter[str]) -> Iterator[tuple[int, Item]]:
        how = self._how
        for number, source in enumerate(self._sources):
            self._now = number
            if source.path is not None and _is_bruno_memory(source.path, how.format):
                for one in _of_bruno_memory(source.path):
                    yield number, one
                continue
            for item in read(
                source.again(),
                format=how.format,
                conversation_id=how.conversation_id,
                user_id=how.user_id,
                replace_user=how.replace_user,
                dates=how.dates,
                left_out=left_out,
                on_disk=source.on_disk,
            ):
                yield number, item
        self._now = len(self._sources)

    def _user_of(self, item: Turn | MemoryEntry) -> str | None:
        """Whose it is, as far as it is said.

        Raises:
            InvalidInputError: somebody else's than the caller says.
        """
        named = item.user_id
        if isinstance(item, Turn) and named is None:
            other = item.message.metadata.get("user_id")
            named = other if isinstance(other, str) and other.strip() else None
        if named is None or self._how.replace_user:
            return self._how.user_id or named
        if self._how.user_id not in (None, named):
            # The readers refuse what names its user plainly; this is in a message's metadata.
            raise InvalidInputError(
                "user_id",
                f"the source names the user {named!r}, and {self._how.user_id!r} was to be its "
                "user",
                fix="Leave the user out (--user), or have it replaced: replace_user=True "
                "(--replace-user).",
            )
        return str(named)

    def _checked(self, item: Turn | MemoryEntry) -> BadLine | None:
        """What a store would refuse of it."""
        line = item.line if isinstance(item, Turn) else None
        try:
            if item.user_id is not None:
                identifier("user_id", item.user_id)
            if isinstance(item, Turn) and item.kind != MEMORY:
                identifier("conversation_id", item.conversation_id)
                message_row(item.message, "", item.conversation_id, self._how.bounds)
            else:
                memory_row(_entry(item, item.user_id or "-"), None, self._how.bounds)
        except InvalidInputError as error:
            problem = str(error).removeprefix(f"{error.field}: ").removesuffix(f". {error.fix}")
            place = item.place if isinstance(item, Turn) else ""
            return BadLine(line, error.field, problem, place)
        return None

    def _chat(self, number: int, item: Turn | MemoryEntry, *, make: bool) -> Chat | None:
        if isinstance(item, MemoryEntry) or item.kind == MEMORY:
            user = self._user_of(item)
            key: tuple[Any, ...] = (number, None, user)
            if make and key not in self.chats:
                self.chats[key] = Chat(user or "", True, None, number, "", user)
            return self.chats.get(key)
        key = (number, item.place, item.conversation_id)
        if make and key not in self.chats:
            name, file = item.conversation_id, item.file_name
            self.chats[key] = Chat(name, False, file, number, item.place, line=item.line)
        return self.chats.get(key)

    def _add(self, chat: Chat, item: Turn | MemoryEntry) -> Said:
        digest = _digest(item)
        if isinstance(item, MemoryEntry):
            role, time, id_ = 0, _micros(item.created_at), item.id.bytes
        else:
            role = _ROLES.setdefault(MessageRole(item.message.role).value, len(_ROLES) + 1)
            time = _micros(item.message.timestamp) if item.timed else NO_TIME
            id_ = _own_id(item)
        chat.given.add(id_, digest, role, time)
        if time == NO_TIME:
            chat.untimed += 1
            hint = item.message.timestamp if isinstance(item, Turn) else self._began
            # Readers give the time of reading where they know nothing better.
            if chat.since is None and _naive(hint) < self._began:
                chat.since = _micros(hint)
        return Said(chat, len(chat.given) - 1, item, digest)

    def _keep(self, item: SessionContext | UserContext) -> None:
        if isinstance(item, SessionContext):
            self.sessions.append(item)
        else:
            self.users.append(item)


def row_of(said: Said, bounds: Bounds, ttl: Any) -> Row:
    """The row to store of a message, with the id and the time that it was given."""
    chat, at = said.chat, said.at
    if isinstance(said.item, MemoryEntry):
        return memory_row(said.item, ttl, bounds, "imported")
    message = said.item.message
    changes: dict[str, Any] = {"id": _uuid(chat.given.id(at))}
    time = chat.given.times[at]
    if not said.item.timed:
        changes["timestamp"] = _datetime(time)
        if chat.given.inferred[at]:
            changes["metadata"] = {**message.metadata, INFERRED: True}
    if message.conversation_id is not None:
        changes["conversation_id"] = chat.target
    if chat.is_memory:
        entry = _entry(said.item, chat.owner)
        times = {name: _datetime(time) for name in ("created_at", "updated_at", "last_accessed")}
        return memory_row(
            entry.model_copy(update={"id": changes["id"], **times}), ttl, bounds, "imported"
        )
    changed_message = message.model_copy(update=changes)
    return message_row(changed_message, chat.owner, chat.target, bounds, "imported")


def text_of(said: Said) -> str:
    """What was said."""
    item = said.item
    return str(item.content if isinstance(item, MemoryEntry) else item.message.content)


def changed() -> InvalidInputError:
    """The error that a source is not what it was."""
    return InvalidInputError(
        "source",
        "changed while it was read",
        fix="Run it again: what was stored is known again, and not stored twice.",
    )


def role_number(role: str | None) -> int:
    """The number of a role in an :class:`Outline`; 0 for a memory."""
    return 0 if role is None else _ROLES.setdefault(role, len(_ROLES) + 1)


def _is_bruno_memory(path: str, format_: str) -> bool:
    return format_ == BRUNO_MEMORY or (format_ == "auto" and is_sqlite(path))


def _of_bruno_memory(path: str) -> Iterator[Item]:
    file = BrunoMemoryFile.open(path)
    yield from file.turns()
    yield from file.memories()
    yield from file.sessions()
    yield from file.users()


def _stored_of(item: Turn | MemoryEntry) -> Turn | MemoryEntry | None:
    """It, without what a memory put into a context itself; None where nothing is left."""
    if isinstance(item, MemoryEntry):
        kept = without_ours(item)
        return kept[0] if kept else None
    kept = without_ours(item.message)
    if not kept:
        return None
    if kept[0] is item.message:
        return item
    return replace(item, message=kept[0])


def _entry(item: Turn | MemoryEntry, user: str) -> MemoryEntry:
    if isinstance(item, MemoryEntry):
        return item
    about = item.message.metadata
    kind = about.get("memory_type")
    kinds = {one.value: one for one in MemoryType}
    labels = about.get("categories") or about.get("tags")
    tags = [one for one in labels if isinstance(one, str)] if isinstance(labels, list) else []
    time = item.message.timestamp
    return MemoryEntry(
        id=item.message.id,
        content=item.message.content,
        memory_type=kinds.get(kind, MemoryType.FACT) if isinstance(kind, str) else MemoryType.FACT,
        user_id=user,
        metadata=MemoryMetadata(custom_fields=dict(about), tags=tags),
        created_at=time,
        updated_at=time,
        last_accessed=time,
    )


def _digest(item: Turn | MemoryEntry) -> int:
    if isinstance(item, MemoryEntry):
        return digest_of(MEMORY, item.content)
    role = MEMORY if item.kind == MEMORY else MessageRole(item.message.role).value
    return digest_of(role, item.message.content)


def _own_id(turn: Turn) -> bytes:
    """The id that the source gives a message, as 16 bytes, or :data:`NO_ID`."""
    message = turn.message
    if turn.source_id is None:
        # A reader of another package, which makes its messages itself, or gives make_turn an id.
        given = "id" in message.model_fields_set if turn.position is None else True
        return bytes(message.id.bytes) if given and message.id.version != 5 else NO_ID
    if str(message.id) == turn.source_id.lower():
        return bytes(message.id.bytes)
    return id_of_source(turn.conversation_id, turn.source_id)


def _tell_apart(given: Outline) -> None:
    """Give messages of their own ids that the source gives the same one, unless it restates one.

    Some sources write the parts of a message as messages with one id. Those with another role or
    text are told apart by their place among the parts.
    """
    seen: dict[bytes, int] = {}
    said: set[tuple[bytes, int]] = set()
    for at in range(len(given)):
        id_ = given.id(at)
        if id_ == NO_ID:
            continue
        count = seen.get(id_, 0)
        seen[id_] = count + 1
        if count and (id_, given.digests[at]) not in said and id_[6] >> 4 == 5:
            given.set_id(at, id_again(id_, count))
        said.add((id_, given.digests[at]))


def _foreign(item: Turn | MemoryEntry, user: str) -> BadLine:
    assert isinstance(item, Turn)
    return not_theirs(item.conversation_id, user, item.line, item.place)


def not_theirs(conversation: str, user: str, line: int | None, place: str) -> BadLine:
    """A message of a conversation that is another user's."""
    problem = f"the conversation {conversation!r} does not belong to the user {user!r}"
    return BadLine(line, "user_id", problem, place)


def file_moment(chat: Chat, source: Source) -> int:
    """When the file of a chat was written, in microseconds."""
    if chat.place and chat.place != source.path:
        try:
            return min(os.stat(chat.place).st_mtime_ns // 1000, source.moment)
        except (OSError, ValueError):
            return source.moment
    return source.moment


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment


def _micros(moment: datetime) -> int:
    return micros(moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc))


def _datetime(moment: int) -> datetime:
    return datetime(1970, 1, 1) + timedelta(microseconds=moment)  # noqa: DTZ001 - naive UTC


def _uuid(id_: bytes) -> UUID:
    return UUID(bytes=id_)
