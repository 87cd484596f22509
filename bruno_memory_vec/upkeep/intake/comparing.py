"""What of an export is in the store: the conversation of each chat, and what each message is.

Of what is stored, outlines are read (:mod:`.outline`), and only of the conversations that the
export has. Texts are read of those few messages that may be edits and have no time.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pyarrow as pa

from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from bruno_memory_vec.indexers.aio import yielding_gil
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE
from bruno_memory_vec.portability.records import BadLine
from bruno_memory_vec.rows.models import from_table
from bruno_memory_vec.upkeep.intake.alignment import (
    NEW,
    RESTATED,
    Aligned,
    align,
    is_edited,
    merged_order,
    pair_alike,
)
from bruno_memory_vec.upkeep.intake.dating import dated
from bruno_memory_vec.upkeep.intake.outline import (
    INFERRED,
    NO_ID,
    NO_TIME,
    Outline,
    derived_id,
    digest_of,
)
from bruno_memory_vec.upkeep.intake.reading import (
    ADDED,
    EDITED,
    SKIPPED,
    UNCHANGED,
    Chat,
    not_theirs,
    role_number,
)

if TYPE_CHECKING:
    from bruno_memory_vec.store.store import Store

_COLUMNS = (
    "id", "kind", "user_id", "conversation_id", "turn", "role", "content", "metadata", "origin",
    "created_at", "archived_at", "seq",
)  # fmt: skip
# So many conversations are read by themselves; of more, all rows of their users are looked at.
_READ_ALONE = 64
_USERS_ALONE = 16
_ASKED_AT_ONCE = 500
# Two files with one name are one chat where the shorter one has half of its messages in common.
_SAME_CHAT = 0.5
# So many conversations that have most messages of a chat in common with it are looked at.
_LIKELY = 8
# What more conversations have (a greeting, a system prompt) tells none from the others.
_TOO_COMMON = 200
_AT_ONCE = 64
#: So many messages that may be edits are compared by their words; an export that changes more of
#: its messages, and gives neither ids nor times, is another one.
MOST_COMPARED = 5_000

#: A conversation of the store by its owner and id; of memories the id is None.
Target = tuple[str, "str | None"]


@dataclass(slots=True)
class Place:
    """A conversation of the store while an export is compared with it.

    Attributes:
        known: what is there, and what the chats that were compared add.
        seen: 1 for what the export has.
        in_order: whether what is added stands behind all that is there.
    """

    known: Outline = field(default_factory=Outline)
    seen: bytearray = field(default_factory=bytearray)
    in_order: bool = True

    @property
    def gone(self) -> int:
        """How many imported messages the export does not have any more."""
        if 1 not in self.seen:
            return 0
        pairs = zip(self.seen, self.known.imported, strict=True)
        return sum(not seen and bool(imported) for seen, imported in pairs)


@dataclass(slots=True)
class Comparison:
    """How an export stands to a store.

    Attributes:
        places: the conversations of the store that it goes to.
        bad: chats that are another user's there.
        bad_messages: how many messages these have.
        renamed: see :class:`~.report.IngestReport`.
    """

    places: dict[Target, Place] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)
    bad_messages: int = 0
    renamed: dict[str, str] = field(default_factory=dict)


class Comparing:
    """Compares chats with a store.

    Args:
        store: the store; None where there is none yet.
        default_user: whose a conversation is of which nothing says so.
    """

    def __init__(self, store: Store | None, default_user: str) -> None:
        self._store = store
        self._default_user = default_user
        self._begun: dict[str, str] = {}
        # By the name of a file, the conversations that have no other name, by theirs.
        self._namesakes: dict[str, dict[str, Target]] = {}
        self._looked_up: set[str] = set()
        self._holding: dict[str, dict[int, list[Target]]] = {}
        self._claimed: dict[tuple[int, str], set[Target]] = defaultdict(set)
        self._free: dict[tuple[str, str], int] = {}
        self._texts: dict[tuple[int, int], str] = {}
        self._stored_texts: dict[tuple[Target, str], str] = {}
        self.found = Comparison()

    async def place(self, chats: Sequence[Chat]) -> list[Chat]:
        """Find whose the chats are, and read what is there. Returns those that can be stored.

        Raises:
            EngineError: the store cannot be read.
        """
        owners = await self._owners([chat.name for chat in chats if not chat.is_memory])
        good = []
        for chat in chats:
            if chat.is_memory:
                chat.owner = chat.user or self._default_user
                self._place_of((chat.owner, None))
            elif chat.file_name is not None:
                await self._find_namesakes(chat, owners)
            elif await self._begins_or_continues(chat, owners):
                self._place_of((chat.owner, chat.target))
            else:
                continue
            good.append(chat)
        for several in self._namesakes.values():
            for target in several.values():
                self._place_of(target)
        await self._read()
        self._index_namesakes()
        return good

    def unsure(self, chats: Sequence[Chat]) -> dict[int, list[int]]:
        """Messages whose texts tell whether they are edits, by chat (its place) and place in it."""
        wanted: dict[int, list[int]] = {}
        count = 0
        for number, chat in enumerate(yielding_gil(chats)):
            target = self._known_as(chat)
            if target is None or not len(self.found.places[target].known):
                continue
            for _, here in align(self.found.places[target].known, chat.given).gaps:
                count += len(here)
                if count > MOST_COMPARED:
                    return wanted
                wanted.setdefault(number, []).extend(here)
        return wanted

    async def learn_texts(
        self, chats: Sequence[Chat], texts: Mapping[tuple[int, int], str]
    ) -> None:
        """Take the texts that :meth:`unsure` has asked for, and read those of the store.

        Raises:
            EngineError: the store cannot be read.
        """
        self._texts = dict(texts)
        for number in dict.fromkeys(number for number, _ in texts):
            target = self._known_as(chats[number])
            if target is None or self._store is None:
                continue
            known = self.found.places[target].known
            gaps = align(known, chats[number].given).gaps
            ids = tuple(str(UUID(bytes=known.id(at))) for there, _ in gaps for at in there)
            kinds = (MEMORY if target[1] is None else MESSAGE,)
            scope = Scope.user(target[0]).within(target[1])
            rows = await self._store.rows.read(
                scope, RowFilter(kinds=kinds, ids=ids), ("id", "content")
            )
            for row in rows.to_pylist():
                self._stored_texts[target, row["id"]] = row["content"]

    def compare(self, chats: Sequence[Chat], moments: Sequence[int]) -> None:
        """Say what each message is, and give it its id and its time, one chat after the other.

        Args:
            chats: as :meth:`place` returned them.
            moments: when the file of each was written, in microseconds.
        """
        for number, (chat, moment) in enumerate(zip(yielding_gil(chats), moments, strict=True)):
            if chat.file_name is not None:
                target = self._known_as(chat) or self._begin(chat)
                self._claimed[chat.source, chat.place].add(target)
                chat.owner, chat.target = target[0], target[1] or ""
                if chat.target != chat.name:
                    self.found.renamed[chat.place or chat.name] = chat.target
            target = (chat.owner, None if chat.is_memory else chat.target)
            self._compare(number, chat, target, moment)

    def _compare(self, number: int, chat: Chat, target: Target, moment: int) -> None:
        place, given = self.found.places[target], chat.given
        known = place.known
        aligned = align(known, given)
        if aligned.gaps:
            pair_alike(
                aligned,
                known,
                given,
                lambda at: self._stored_texts.get((target, str(UUID(bytes=known.id(at)))), ""),
                lambda at: self._texts.get((number, at), ""),
            )
        chat.states = _states(known, given, aligned)
        order = merged_order(known, given, aligned.match)
        _give_ids(chat.target or chat.name, known, given, aligned)
        _give_times(known, given, aligned, order, moment, chat.since)
        _merge(place, given, aligned, order)

    async def _owners(self, names: Sequence[str]) -> dict[str, str]:
        if self._store is None:
            return {}
        found: dict[str, str] = {}
        wanted = list(dict.fromkeys(names))
        for start in range(0, len(wanted), _ASKED_AT_ONCE):
            part = wanted[start : start + _ASKED_AT_ONCE]
            found.update(await self._store.sessions.owners(part))
        return found

    async def _begins_or_continues(self, chat: Chat, owners: Mapping[str, str]) -> bool:
        """Decide whose a chat is, and its conversation, by the name that it has."""
        chat.target, owner = chat.name, owners.get(chat.name)
        if owner is None and self._store is not None:
            # A session's id names its conversation, and who has asked for it may be meant.
            try:
                place = await self._store.owners.place(chat.name)
                chat.target = place.conversation_id
                owner = (await self._store.owners.whose(chat.name, place, chat.user)).user_id
            except (ForeignUserError, InvalidInputError):
                return self._refuse(chat)
        if chat.user is not None and owner not in (None, chat.user):
            return self._refuse(chat)
        chat.owner = chat.user or owner or self._default_user
        other = self._begun.setdefault(chat.target, chat.owner)
        return other == chat.owner or self._refuse(chat)

    def _refuse(self, chat: Chat) -> bool:
        self.found.bad_messages += len(chat.given)
        user = chat.user or self._default_user
        self.found.bad.append(not_theirs(chat.name, user, chat.line, chat.place))
        return False

    async def _find_namesakes(self, chat: Chat, owners: Mapping[str, str]) -> None:
        """The conversations of the store that may be a chat with no name but its file's."""
        assert chat.file_name is not None
        several = self._namesakes.setdefault(chat.file_name, {})
        if chat.name not in several and (owner := owners.get(chat.name)) is not None:
            several[chat.name] = (owner, chat.name)
        if chat.file_name in self._looked_up:
            return
        self._looked_up.add(chat.file_name)
        # Those of this name and a number, also of chats that the file had once; and without the
        # folder, as earlier versions called them.
        for base in dict.fromkeys([chat.file_name, chat.file_name.rpartition("/")[2]]):
            found = await self._owners([base])
            several.update((name, (owner, name)) for name, owner in found.items())
            for pattern in ("{} ({})", "{}/{}"):
                first = 1
                while True:
                    part = [pattern.format(base, first + at) for at in range(_AT_ONCE)]
                    found = await self._owners(part)
                    several.update((name, (owner, name)) for name, owner in found.items())
                    if not found:
                        break
                    first += _AT_ONCE

    def _index_namesakes(self) -> None:
        """By the message, the namesakes that have it."""
        for file, several in self._namesakes.items():
            for target in several.values():
                self._index(file, target, self._place_of(target).known)

    def _index(self, file: str, target: Target, known: Outline) -> None:
        index = self._holding.setdefault(file, {})
        for digest in set(known.digests):
            index.setdefault(digest, []).append(target)

    def _known_as(self, chat: Chat) -> Target | None:
        """The conversation that a chat is; None for one that is new.

        Of a chat without a name it is the one that it has most messages in common with. Two chats
        of one file are never the same.
        """
        if chat.file_name is None:
            return chat.owner, None if chat.is_memory else chat.target
        votes: Counter[Target] = Counter()
        index = self._holding.get(chat.file_name, {})
        for digest, count in Counter(chat.given.digests).items():
            holding = index.get(digest, ())
            if len(holding) <= _TOO_COMMON:
                votes.update(dict.fromkeys(holding, count))
        likely = [target for target, _ in votes.most_common(_LIKELY)]
        own = self._namesakes[chat.file_name].get(chat.name)
        if own is not None and own not in likely:
            likely.append(own)
        best, most = None, 0.0
        for target in likely:
            if (
                chat.user not in (None, target[0])
                or target in self._claimed[chat.source, chat.place]
            ):
                continue
            shared = _shared(self.found.places[target].known, chat.given)
            if shared > most or (shared == most > 0 and target == own):
                best, most = target, shared
        return best

    def _begin(self, chat: Chat) -> Target:
        """A new conversation, of a name that is free."""
        assert chat.file_name is not None
        several = self._namesakes[chat.file_name]
        name, number = chat.name, 1
        pattern = "{} ({})" if chat.name == chat.file_name else "{}/{}"
        while name in several:
            number = max(number + 1, self._free.get((chat.file_name, pattern), 0))
            name = pattern.format(chat.file_name, number)
            self._free[chat.file_name, pattern] = number
        target = several[name] = (chat.user or self._default_user, name)
        self._place_of(target)
        self._index(chat.file_name, target, chat.given)
        return target

    def _place_of(self, target: Target) -> Place:
        return self.found.places.setdefault(target, Place())

    async def _read(self) -> None:
        """Read what is stored of the conversations."""
        if self._store is None:
            return
        there = await self._owners([talk for _, talk in self.found.places if talk is not None])
        wanted = {
            (user, talk)
            for user, talk in self.found.places
            if talk is None or there.get(talk) == user
        }
        rows: dict[Target, dict[str, tuple[int, Any]]] = {target: {} for target in wanted}
        async for batch in self._batches(wanted):
            if batch.num_rows:
                await asyncio.to_thread(_outlined, batch, rows)
        for target, found in rows.items():
            place = self.found.places[target]
            for _, message in sorted(found.values(), key=lambda one: one[1][0]):
                place.known.add(*message[1:5], inferred=message[5], imported=message[6])
                place.known.archived |= message[7]
            place.seen = bytearray(len(place.known))

    async def _batches(self, wanted: Collection[Target]) -> AsyncIterator[pa.RecordBatch]:
        assert self._store is not None
        rows = self._store.rows
        users = {user for user, _ in wanted}
        if len(wanted) <= _READ_ALONE:
            for user, talk in wanted:
                kinds = (MEMORY if talk is None else MESSAGE,)
                scope = Scope.user(user).within(talk)
                found = await rows.read(scope, RowFilter(kinds=kinds), _COLUMNS)
                for batch in found.to_batches(max_chunksize=2_048):
                    yield batch
            return
        scopes = [Scope.user(user) for user in users] if len(users) <= _USERS_ALONE else [EVERYONE]
        for scope in scopes:
            async for batch in rows.after(-1, _COLUMNS, scope):
                yield batch


def _outlined(batch: pa.RecordBatch, into: dict[Target, dict[str, tuple[int, Any]]]) -> None:
    for row in yielding_gil(from_table(pa.Table.from_batches([batch]))):
        is_message = row["kind"] == MESSAGE
        found = into.get((row["user_id"], row["conversation_id"] if is_message else None))
        if found is None:
            continue
        before = found.get(row["id"])
        if before is not None and before[0] > row["seq"]:
            continue
        found[row["id"]] = (
            row["seq"],
            (
                row["turn"] if is_message and row["turn"] is not None else row["seq"],
                UUID(row["id"]).bytes,
                digest_of(row["role"] if is_message else MEMORY, row["content"]),
                role_number(row["role"]),
                row["created_at"],
                f'"{INFERRED}":true' in row["metadata"],
                row["origin"] == "imported",
                row["archived_at"] is not None,
            ),
        )


def _states(known: Outline, given: Outline, aligned: Aligned) -> bytearray:
    states = bytearray(len(given))
    for at, there in enumerate(aligned.match):
        if there == RESTATED:
            states[at] = SKIPPED
        elif there == NEW:
            states[at] = ADDED
        else:
            states[at] = EDITED if is_edited(known, given, at, there) else UNCHANGED
    return states


def _give_ids(conversation: str, known: Outline, given: Outline, aligned: Aligned) -> None:
    taken: set[bytes] | None = None
    for at, there in enumerate(aligned.match):
        if there >= 0:
            given.set_id(at, known.id(there))
        elif there == NEW and given.id(at) == NO_ID:
            if taken is None:
                taken = {known.id(one) for one in range(len(known))}
            count = 0
            while True:
                id_ = derived_id(conversation, given.digests[at], given.times[at], count)
                if id_ not in taken:
                    break
                count += 1
            taken.add(id_)
            given.set_id(at, id_)


def _give_times(
    known: Outline,
    given: Outline,
    aligned: Aligned,
    order: Sequence[tuple[bool, int]],
    moment: int,
    since: int | None,
) -> None:
    """The times of messages that have none: as they are stored, else of what stands around them."""
    if NO_TIME not in given.times:
        return
    times, inferred = [], []
    for is_given, at in order:
        source, place = (given, at) if is_given else (known, at)
        if is_given and given.times[at] == NO_TIME and aligned.match[at] >= 0:
            source, place = known, aligned.match[at]
        times.append(source.times[place])
        inferred.append(source.inferred[place])
    for (is_given, at), time, before in zip(
        order, dated(times, inferred, moment, since), inferred, strict=True
    ):
        if is_given and given.times[at] == NO_TIME:
            given.times[at] = time
            given.inferred[at] = before if aligned.match[at] >= 0 else 1


def _merge(
    place: Place, given: Outline, aligned: Aligned, order: Sequence[tuple[bool, int]]
) -> None:
    """What is known of a conversation once the chat is stored."""
    known, seen = place.known, place.seen
    if not len(known) and len(order) == len(given):
        # Nothing was there, and all is new: the outline itself.
        place.known, place.seen = given, bytearray([1]) * len(given)
        return
    merged, also_seen = Outline(archived=known.archived), bytearray()
    last = -1
    for is_given, at in order:
        there = aligned.match[at] if is_given else at
        # What is new has its turn behind all that is there.
        position = there if there >= 0 else len(known) + at
        place.in_order = place.in_order and position > last
        last = position
        if is_given:
            merged.add(
                given.id(at),
                given.digests[at],
                given.roles[at],
                given.times[at],
                inferred=bool(given.inferred[at]),
                imported=there < 0 or bool(known.imported[there]),
            )
        else:
            merged.add(
                known.id(at),
                known.digests[at],
                known.roles[at],
                known.times[at],
                inferred=bool(known.inferred[at]),
                imported=bool(known.imported[at]),
            )
        also_seen.append(1 if is_given else seen[at])
    place.known, place.seen = merged, also_seen


def _shared(known: Outline, given: Outline) -> float:
    """How much of the shorter one the other one has, 0 where that is too little."""
    there = Counter(known.digests)
    here = Counter(given.digests)
    both = sum((there & here).values())
    share = both / max(1, min(len(known), len(given)))
    return share if share >= _SAME_CHAT else 0.0
