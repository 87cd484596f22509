"""Sessions and hot context in Redis: the store."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta, timezone
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from bruno_core.models.context import SessionContext, UserContext

from bruno_memory_vec.errors import BackendUnavailable, EngineError
from bruno_memory_vec.indexers.protocols import RowIndex, Stays
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.indexers.schema import Key, micros
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows.models import message_from_json, message_to_json, utc
from bruno_memory_vec.sessions.arrivals import Queue
from bruno_memory_vec.sessions.cache import HotCache, Parts
from bruno_memory_vec.sessions.lost import SessionsLost
from bruno_memory_vec.sessions.payloads import (
    from_texts,
    note_from_text,
    note_to_text,
    to_text,
)
from bruno_memory_vec.sessions.protocol import (
    NOTHING,
    ContextRecord,
    Conversation,
    ConversationNote,
    HotTurn,
    UnderWay,
)
from bruno_memory_vec.sessions.redis import scripts
from bruno_memory_vec.sessions.redis.access import Access, flat
from bruno_memory_vec.sessions.redis.changes import Changes
from bruno_memory_vec.sessions.redis.connection import ENGINE, Command, command
from bruno_memory_vec.sessions.redis.following import Followers
from bruno_memory_vec.sessions.redis.ledger import Recorded, RedisLedger
from bruno_memory_vec.sessions.redis.versions import RedisUserVersions

_log = get_logger(__name__)
T = TypeVar("T")

# A stream has this many entries for each message that is to be hot: some come twice.
_ENTRIES = 2
# Above this, hot messages are read in a thread.
_CHARACTERS_ON_THE_LOOP = 50_000
_SESSIONS_A_PAGE = 200
# Of so many rows in one call it is looked whether another process has stored the same at the same
# time; milliseconds for which that is remembered.
_FEW_ROWS, _STORED_FOR = 200, 60_000
_STATES_A_PAGE = 500
_SEQS_A_READ = 10_000
# Of the lifetime of a heartbeat: how often others' broken changes are looked for.
_MENDS = 3


class _Kept(NamedTuple):
    """A session as it is kept."""

    session: SessionContext
    started: int


class RedisSessionStore:
    """A :class:`~bruno_memory_vec.sessions.protocol.SessionStore` in Redis, for many processes.

    Args:
        access: the store in Redis.
        changes: the changes under way.
        max_messages: how many hot turns it keeps of each conversation.
        rows_alone: answer from the rows alone where Redis does not answer, as far as they go.
        read_only: change nothing.
    """

    def __init__(
        self,
        access: Access,
        changes: Changes,
        max_messages: int,
        *,
        rows_alone: bool = False,
        read_only: bool = False,
    ) -> None:
        self._access = access
        self._changes = changes
        self._run = access.connections.run
        self._run_all = access.connections.run_all
        self._keys = access.keys
        self.max_messages = max_messages
        self._rows_alone = rows_alone
        self._read_only = read_only
        self._ledger = RedisLedger(access)
        self._followers = Followers(access)
        self._distrusted = False
        self._doubtful = False
        # Messages by their stored text. Contexts are not kept: another process may change them.
        self._hot = HotCache(keeps=False)
        settings = access.connections.address.settings
        self._hot_ttl = int(settings.hot_ttl * 1000)
        self._idle = timedelta(seconds=settings.session_idle)
        self._lifetime = settings.heartbeat

    # Rows that are applied

    async def last_seq(self) -> int:
        await self._access.connect()
        found = await self._run(
            "read the last row", command("HMGET", self._keys.own("meta"), "whole", "last_seq")
        )
        whole, last_seq = (None if one is None else one.decode() for one in found)
        # After a restart of the server: it has the ledger of some moment before.
        self._doubtful = whole != self._access.version()
        return -1 if last_seq is None else int(last_seq)

    def distrust(self) -> None:
        self._distrusted = True

    @property
    def ledger(self) -> RedisLedger:
        return self._ledger

    async def apply(
        self,
        turns: Sequence[HotTurn],
        last_seq: int,
        noted: Mapping[str, str] = NOTHING,
        *,
        added: Iterable[int] = (),
        removed: Iterable[int] = (),
    ) -> None:
        await self._access.connect()
        token, version = self._changes.token, self._access.version()
        commands: list[Command] = []
        ordered = sorted(turns, key=attrgetter("conversation_id", "turn"))
        for conversation, group in groupby(ordered, key=attrgetter("conversation_id")):
            said = list(group)[-self.max_messages :]
            commands.append(self._applying(conversation, said[-1].user_id, said, token))
        begun = {turn.conversation_id for turn in turns}
        self._access.from_rows.forget_absent(begun.union(noted))
        for conversation, user in noted.items():
            if conversation not in begun:
                commands.append(self._applying(conversation, user, [], token))
        await self._run_all("follow the rows", commands)
        added = list(added)
        recorded = await self._ledger.record(
            added,
            removed,
            last_seq=last_seq,
            token=token,
            # Without a change of its own, nobody numbers rows in Redis.
            version=version if token else "",
        )
        if not recorded or (token and self._access.version() != version):
            raise self._access.lost("follow the rows")
        if recorded is Recorded.CHANGE_ENDED:
            await self._record_late(added)
        self._changes.ended()

    async def _record_late(self, added: Sequence[int]) -> None:
        """Note rows that have come after others took their change for one that had ended, or after
        Redis was emptied and made anew.

        Another process may have deleted some of them meanwhile. So they are noted first and looked
        for afterwards: who deletes one from here on notes that later than this does.
        """
        rows = self._access.from_rows.rows
        if rows is None or not added:
            return
        await self._ledger.record(added)
        for start in range(0, len(added), _SEQS_A_READ):
            part = added[start : start + _SEQS_A_READ]
            found = await rows.read(EVERYONE, RowFilter(), ["seq"], seqs=part)
            gone = set(part).difference(found.column("seq").to_pylist())
            if gone:
                await self._ledger.record((), gone)

    def _applying(
        self, conversation: str, user: str, said: Sequence[HotTurn], token: str
    ) -> Command:
        first, after = (said[0].turn, said[-1].turn + 1) if said else (0, 0)
        values: list[Any] = []
        for turn in said:
            kind = "again" if turn.again else "new"
            values += [turn.turn, turn.row["seq"], message_to_json(turn.row), kind]
        return scripts.APPLY(
            self._access.state(conversation),
            self._access.version(self._access.state(conversation)[0]),
            self._access.turn_gap if token else 0,
            user,
            after,
            first,
            _ENTRIES * self.max_messages,
            self._hot_ttl,
            token,
            # A message that replaces itself, as where rows are archived, is no sign of life.
            # Rounded up: it is not older than what is stored.
            "" if all(turn.again for turn in said) else int(time.time() * 1000) + 1,
            *values,
        )

    def _now(self) -> int | str:
        """The time in milliseconds, where idle sessions are ended; else nothing."""
        return int(time.time() * 1000) if self._idle and not self._read_only else ""

    async def restore(
        self,
        conversations: Sequence[tuple[str, str, int]],
        last_seq: int,
        *,
        added: Iterable[int] = (),
    ) -> None:
        await self._access.connect()
        await self._restore(conversations)
        await self._ledger.record(added, last_seq=last_seq)

    async def _restore(
        self, conversations: Iterable[tuple[str, str, int]], *, force: bool = False, token: str = ""
    ) -> None:
        commands = [
            scripts.RESTORE(
                self._access.state(conversation),
                self._access.version(self._access.state(conversation)[0]),
                self._access.turn_gap,
                owner,
                next_turn,
                int(force),
                token,
            )
            for conversation, owner, next_turn in conversations
        ]
        await self._run_all("follow the rows", commands)

    async def give(self, conversations: Sequence[tuple[str, str, int]]) -> None:
        await self._access.connect()
        await self._restore(conversations, force=True)

    # Changes that others see

    @property
    def mend_every(self) -> float:
        """As of ``SharesChanges``."""
        return self._lifetime / _MENDS

    @property
    def doubtful(self) -> bool:
        """As of ``SharesChanges``, since :meth:`last_seq` was asked."""
        return self._doubtful

    def rebuild_from(self, rows: RowIndex) -> None:
        """As of ``SharesChanges``."""
        self._access.from_rows.rows = rows

    async def begin(
        self, conversations: Collection[str], users: Collection[str], removed: Iterable[int]
    ) -> None:
        """As of ``SharesChanges``."""
        await self._changes.go_on()
        await self._changes.add(conversations, users, removed)

    async def end(self) -> None:
        """As of ``SharesChanges``."""
        await self._changes.end()

    async def stored_twice(self, stored: Mapping[Key, int], replaced: Collection[int]) -> list[int]:
        """As of ``SharesChanges``. Of a large call nothing is told."""
        if self._access.alone or len(stored) > _FEW_ROWS:
            return []
        answers = await self._run_all(
            "note what is stored",
            [
                scripts.STORED([self._keys.stored(key)], seq, _STORED_FOR)
                for key, seq in stored.items()
            ],
        )
        gone = []
        for seq, answer in zip(stored.values(), answers, strict=True):
            other = seq if answer is None else int(answer)
            if other != seq and other not in replaced:
                gone.append(min(seq, other))  # of two rows of one key the newer stays
        return gone

    async def under_way(self) -> list[UnderWay]:
        """As of ``SharesChanges``."""
        return await self._changes.all()

    async def broken_off(self) -> list[UnderWay]:
        """As of ``SharesChanges``."""
        self._changes.broke_off()
        return await self._changes.broken_off()

    async def mend(
        self, change: UnderWay, found: Mapping[str, tuple[str, int]], *, added: Collection[int]
    ) -> None:
        """As of ``SharesChanges``."""
        await self._access.connect()
        restored = [(talk, user, next_turn) for talk, (user, next_turn) in found.items()]
        await self._restore(restored, token=change.token)
        # Those of a change that removes rows may still show them.
        stale = int(bool(change.removed))
        others = [talk for talk in change.conversations if talk not in found]
        await self._run_all(
            "mend a change",
            [scripts.RELEASE(self._access.state(talk), change.token, stale) for talk in others],
        )
        # Not the last row: where all is made anew, it would hide the rows before.
        await self._ledger.record(added, token=change.token)
        # Rows that were deleted are some users', and the note does not say whose.
        known = not change.removed or change.users
        await RedisUserVersions(self._access).changed(change.users if known else None)
        await self._changes.forget(change.token)
        _log.warning("change_mended", change=change.token, rows=len(added))

    async def made_whole(self) -> None:
        """As of ``SharesChanges``."""
        await self._access.connect()
        meta = [self._keys.own("meta")]
        await self._run(
            "note that all is there",
            scripts.WHOLE(meta, self._access.version(), self._access.seq_gap),
        )
        self._doubtful = False

    # Conversations

    async def conversation(self, conversation_id: str) -> Conversation | None:
        states = await self._or_rows(self._states_of([conversation_id]), lambda: None)
        if states is None:
            return await self._from_rows(conversation_id)
        state = states.get(conversation_id)
        return None if state is None else self._conversation(state)

    def _states_of(self, names: Collection[str]) -> Awaitable[dict[str, dict[str, str]]]:
        return self._again(lambda: self._access.states(names))

    def _conversation(self, state: Mapping[str, str], *, hot: bool = True) -> Conversation | None:
        """A conversation by its state. ``hot``: whether its hot messages are all there."""
        if "owner" not in state:
            return None
        epoch = int(state.get("epoch", 0))
        stale = 0
        if int(state.get("clean", 0)) != epoch:
            stale = epoch
        elif not hot or self._distrusted:
            # Refilled as of this epoch, whatever was lost since.
            stale = epoch
        if any(name.startswith("w:") for name in state):
            stale = -1
        return Conversation(state["owner"], int(state.get("next_turn", 0)), stale)

    async def owners(self, conversations: Collection[str]) -> dict[str, str]:
        states = await self._or_rows(self._states_of(conversations), lambda: None)
        if states is None:
            places = {name: await self._access.from_rows.place(name) for name in conversations}
            return {name: place[0] for name, place in places.items() if place is not None}
        # What is only claimed may be nobody's again.
        return {name: its["owner"] for name, its in states.items() if "claim" not in its}

    def listen(self, conversation_id: str) -> AbstractAsyncContextManager[Queue]:
        """As of :class:`~bruno_memory_vec.sessions.protocol.Listens`."""
        return self._followers.listen(conversation_id)

    async def askers(self, conversation_id: str) -> list[str]:
        key = self._keys.conversation(conversation_id, "askers")
        found = await self._run("read who has asked", command("SMEMBERS", key))
        return sorted(user.decode() for user in found)[:2]

    async def context(self, user_id: str, conversation_id: str, limit: int) -> ContextRecord:
        parts: Parts | None = await self._or_rows(
            self._again(lambda: self._context(user_id, conversation_id, limit)), lambda: None
        )
        if parts is None:
            known, current = await asyncio.gather(
                self._from_rows(conversation_id), self._access.from_rows.current(user_id)
            )
            return ContextRecord(known, None, current, None, [])
        if parts.characters > _CHARACTERS_ON_THE_LOOP:
            return await asyncio.to_thread(parts.record)
        return parts.record()

    async def _context(self, user_id: str, conversation_id: str, limit: int) -> Parts:
        await self._access.connect()
        keys = [
            *self._access.state(conversation_id),
            self._keys.conversation(conversation_id, "active"),
        ]
        rest = (user_id, limit, self._now())
        about = command("HMGET", self._keys.user(user_id, "about"), "profile", "current")
        answer, (profile, current) = await self._run_all(
            "read a context",
            [scripts.CONTEXT(keys, *self._access.told(conversation_id), *rest), about],
        )
        if not answer[0]:
            told = await self._access.looked_up(conversation_id)
            answer = await self._run("read a context", scripts.CONTEXT(keys, *told, *rest))
        _, state_words, entries, turns, shown, active = answer
        state = flat(state_words)
        complete = turns >= limit or int(state.get("floor", -1)) < 0
        conversation = self._conversation(
            state, hot=complete and entries == int(state.get("length", 0))
        )
        session = await self._newest(user_id, flat(active), state)
        payloads = [message.decode() for message in shown[1::2]]
        user = None if profile is None else profile.decode()
        characters = sum(map(len, (*payloads, user or "", session or "")))
        if characters > _CHARACTERS_ON_THE_LOOP:
            made = await asyncio.to_thread(lambda: tuple(map(message_from_json, payloads)))
        else:
            made = self._hot.messages(payloads)
        at = None if current is None else current.decode()
        return Parts(conversation, user, at, session, made, characters, _touched(state))

    async def _newest(
        self, user_id: str, active: Mapping[str, str], state: Mapping[str, str]
    ) -> str | None:
        """The payload of a user's newest active session, of those of a conversation."""
        kept = [json.loads(text) for text in active.values()]
        theirs = sorted(one for one in kept if one[1] == user_id)
        if not theirs:
            return None
        payload: str = theirs[-1][2]
        if not self._idle:
            return payload
        session = (await from_texts(SessionContext, [payload]))[0]
        return payload if await self._is_going_on(session, state.get("touched")) else None

    async def _is_going_on(self, session: SessionContext, touched: str | None) -> bool:
        """Whether an active session is not idle; one that is, is ended."""
        last = _utc(session.last_activity)
        if touched is not None:
            last = max(last, datetime.fromtimestamp(int(touched) / 1000, timezone.utc))
        if datetime.now(timezone.utc) - last < self._idle:
            return True
        session.is_active = False
        session.ended_at = (last + self._idle).replace(tzinfo=None)
        if not self._read_only:
            await self.save_session(session)
        return False

    async def mark_stale(self, conversation_id: str) -> None:
        await self._run(
            "mark a conversation", scripts.MARK_STALE(self._access.state(conversation_id))
        )

    async def refill(
        self, conversation_id: str, turns: Sequence[HotTurn], seen: Conversation
    ) -> None:
        if seen.stale <= 0:
            return
        ordered = sorted(turns, key=attrgetter("turn"))[-self.max_messages :]
        values: list[Any] = []
        for turn in ordered:
            values += [turn.turn, turn.row["seq"], message_to_json(turn.row)]
        whole = int(len(turns) < self.max_messages)
        await self._run(
            "refill the hot context",
            scripts.REFILL(
                self._access.state(conversation_id),
                seen.stale,
                seen.next_turn,
                seen.user_id,
                whole,
                self._hot_ttl,
                *values,
            ),
        )

    # Conversations as a whole

    async def touched(self, conversations: Collection[str]) -> dict[str, datetime]:
        states = await self._or_rows(self._states_of(conversations), dict)
        found = {name: _touched(state) for name, state in states.items()}
        return {name: at for name, at in found.items() if at is not None}

    async def touch(self, times: Mapping[str, datetime]) -> None:
        begun = await self._states_of(times)
        await self._run_all(
            "note the last message",
            [
                command("HSET", self._access.state(name)[0], "touched", micros(at) // 1000)
                for name, at in times.items()
                if name in begun
            ],
        )

    async def note(self, user_id: str, conversation_id: str) -> ConversationNote | None:
        key = self._keys.user(user_id, "notes")
        # What is noted is in Redis alone.
        read = self._run("read a note", command("HGET", key, conversation_id))
        found = await self._or_rows(read, lambda: None)
        return None if found is None else note_from_text(found.decode())

    async def notes(self, user_id: str) -> list[ConversationNote]:
        key = self._keys.user(user_id, "notes")
        found = await self._or_rows(self._run("read notes", command("HVALS", key)), list)
        return [note_from_text(payload.decode()) for payload in found]

    async def save_note(self, note: ConversationNote) -> None:
        key = self._keys.user(note.user_id, "notes")
        text = note_to_text(note)
        if not await self._run("save a note", command("HSET", key, note.conversation_id, text)):
            await self._note_replaced()

    async def drop_note(self, user_id: str, conversation_id: str) -> None:
        key = self._keys.user(user_id, "notes")
        if await self._run("forget a note", command("HDEL", key, conversation_id)):
            await self._note_replaced()

    async def _note_replaced(self) -> None:
        """The append-only file, if there is one, holds something that is to be erased."""
        await self._run("note a change", command("HSET", self._keys.own("meta"), "replaced", 1))

    # Users

    async def current_conversation(self, user_id: str) -> str | None:
        key = self._keys.user(user_id, "about")
        read = self._run("read a user", command("HGET", key, "current"))
        found: bytes | str | None = await self._or_rows(read, lambda: "")
        if found == "":
            return await self._access.from_rows.current(user_id)
        return found.decode() if isinstance(found, bytes) else None

    async def set_current_conversation(self, user_id: str, conversation_id: str) -> None:
        key = self._keys.user(user_id, "about")
        await self._run("remember a conversation", command("HSET", key, "current", conversation_id))

    async def leave(self, conversation_id: str, user_id: str) -> None:
        await self._run(
            "leave a conversation",
            scripts.LEAVE([self._keys.user(user_id, "about")], conversation_id),
        )

    async def save_user(self, user: UserContext) -> None:
        text = await to_text(user)
        key = self._keys.user(user.user_id, "about")
        if not await self._run("save a user", command("HSET", key, "profile", text)):
            await self._note_replaced()

    async def change_user(
        self, user_id: str, change: Callable[[UserContext | None], UserContext | None]
    ) -> UserContext | None:
        """As of :class:`~bruno_memory_vec.sessions.protocol.ChangesUsers`."""
        key = self._keys.user(user_id, "about")
        while True:
            found = await self._run("read a user", command("HGET", key, "profile"))
            seen = "" if found is None else found.decode()
            saved = (await from_texts(UserContext, [seen]))[0] if seen else None
            changed = change(saved)
            if changed is None:
                return saved
            text = await to_text(changed)
            if await self._run("save a user", scripts.REPLACE_PROFILE([key], seen, text)):
                if seen:
                    await self._note_replaced()
                return changed

    async def user(self, user_id: str) -> UserContext | None:
        key = self._keys.user(user_id, "about")
        found = await self._run("read a user", command("HGET", key, "profile"))
        return None if found is None else (await from_texts(UserContext, [found.decode()]))[0]

    async def users(self) -> AsyncIterator[str]:
        """As of :class:`~bruno_memory_vec.sessions.protocol.Enumerates`."""
        seen: set[str] = set()
        async for key in self._access.connections.scan("list users", self._keys.users()):
            if key not in seen:
                seen.add(key)
                yield self._keys.named(key)

    async def conversations(self) -> AsyncIterator[tuple[str, str, int]]:
        """As of :class:`~bruno_memory_vec.sessions.protocol.Enumerates`."""
        names: dict[str, None] = {}
        async for key in self._access.connections.scan("list conversations", self._keys.states()):
            names[self._keys.named(key)] = None
        known = list(names)
        for start in range(0, len(known), _STATES_A_PAGE):
            states = await self._states_of(known[start : start + _STATES_A_PAGE])
            for name, state in states.items():
                if "claim" not in state:
                    yield name, state["owner"], int(state["next_turn"])

    # Sessions

    async def save_session(self, session: SessionContext) -> None:
        payload = await to_text(session)
        sid, conversation, user = session.session_id, session.conversation_id, session.user_id
        key, all_sessions = self._keys.session(sid), self._keys.own("sessions")
        known, started = await self._run_all(
            "save a session",
            [command("EXISTS", key), scripts.STARTED([all_sessions], sid)],
        )
        if not known:
            await self._access.states([conversation])  # so that its owner is known
        kept = json.dumps([int(started), user, payload])
        whose = [self._keys.conversation(conversation, what) for what in ("active", "askers")]
        await self._run(
            "save a session",
            scripts.SAVE_SESSION(
                [*self._access.state(conversation), *whose],
                sid,
                user,
                int(session.is_active),
                kept,
                int(not known),
            ),
        )
        await self._run_all(
            "save a session",
            [
                command("ZADD", self._keys.user(user, "sessions"), int(started), sid),
                command("SET", key, json.dumps([int(started), conversation, payload])),
            ],
        )

    async def drop_session(self, session_id: str) -> None:
        found = await self._sessions_of([session_id])
        if not found:
            return
        session = found[0].session
        active = self._keys.conversation(session.conversation_id, "active")
        # Its own key goes last: until then the call can be repeated.
        for gone in (
            command("HDEL", active, session_id),
            command("ZREM", self._keys.user(session.user_id, "sessions"), session_id),
            command("ZREM", self._keys.own("sessions"), session_id),
            command("DEL", self._keys.session(session_id)),
        ):
            await self._run("forget a session", gone)
        await self._note_replaced()

    async def begin_session(self, session: SessionContext) -> None:
        await self._access.connect()
        conversation, user = session.conversation_id, session.user_id
        state = self._access.state(conversation)[:1]
        await self._run(
            "begin a session", scripts.BEGIN(state, self._access.version(state[0]), user)
        )
        await self.save_session(session)
        await self.set_current_conversation(user, conversation)

    async def session(self, session_id: str) -> SessionContext | None:
        found = await self._sessions_of([session_id])
        return found[0].session if found else None

    async def sessions(
        self, user_id: str | None, *, active: bool | None, limit: int | None, after: str | None
    ) -> list[SessionContext]:
        key = self._keys.own("sessions")
        if user_id is not None:
            key = self._keys.user(user_id, "sessions")
        before = "+inf"
        if after is not None:
            score = await self._run(
                "list sessions", command("ZSCORE", self._keys.own("sessions"), after)
            )
            if score is None:
                return []
            before = f"({float(score):.0f}"
        shown: list[SessionContext] = []
        while limit is None or len(shown) < limit:
            names = await self._run(
                "list sessions",
                command("ZREVRANGEBYSCORE", key, before, "-inf", "LIMIT", 0, _SESSIONS_A_PAGE),
            )
            page = await self._sessions_of([name.decode() for name in names])
            shown += [
                one.session for one in page if active is None or one.session.is_active == active
            ]
            if len(names) < _SESSIONS_A_PAGE or not page:
                break
            before = f"({page[-1].started}"
        return shown[:limit]

    async def _sessions_of(self, names: Sequence[str]) -> list[_Kept]:
        """Those of these sessions that there are, in the same order."""
        answers = await self._run_all(
            "read sessions", [command("GET", self._keys.session(name)) for name in names]
        )
        kept = [json.loads(answer) for answer in answers if answer is not None]
        found = await from_texts(SessionContext, [payload for _, _, payload in kept])
        if self._idle:
            await self._end_idle([one for one in found if one.is_active])
        return [_Kept(one, its[0]) for one, its in zip(found, kept, strict=True)]

    async def _end_idle(self, sessions: Sequence[SessionContext]) -> None:
        commands = [
            command("HGET", self._access.state(one.conversation_id)[0], "touched")
            for one in sessions
        ]
        touched = await self._run_all("read sessions", commands)
        for session, at in zip(sessions, touched, strict=True):
            await self._is_going_on(session, None if at is None else at.decode())

    # A user who is forgotten

    async def forget_user(
        self, user_id: str, conversations: Collection[str], heirs: Mapping[str, str]
    ) -> dict[str, int]:
        """As of :class:`~bruno_memory_vec.sessions.protocol.ForgetsUsers`.

        The key of the version of the user's rows stays: it tells other processes that they changed.
        """
        counts = await self.kept_of(user_id)
        for session in await self.sessions(user_id, active=None, limit=None, after=None):
            await self.drop_session(session.session_id)
        talks = {one async for one, owner, _ in self.conversations() if owner == user_id}
        talks = (talks | set(conversations)) - heirs.keys()
        owners = await self.owners(talks)
        gone = [self._keys.user(user_id, what) for what in ("about", "sessions", "notes")]
        for talk in talks:
            if owners.get(talk, user_id) == user_id:
                names = ("state", "hot", "active", "askers")
                gone += [self._keys.conversation(talk, name) for name in names]
        await self._run_all("forget a user", [command("DEL", key) for key in gone])
        if heirs:
            known = await self._states_of(heirs)
            nexts = {talk: int(known[talk].get("next_turn", 0)) for talk in heirs if talk in known}
            await self.give([(talk, heirs[talk], turn) for talk, turn in nexts.items()])
            for talk in heirs:
                await self.mark_stale(talk)
        await self._ledger.forget_places(user_id)
        await self._note_replaced()
        return counts

    async def kept_of(self, user_id: str) -> dict[str, int]:
        """As of :class:`~bruno_memory_vec.sessions.protocol.ForgetsUsers`."""
        about, sessions, notes = await self._run_all(
            "read what is kept of a user",
            [
                command("EXISTS", self._keys.user(user_id, "about")),
                command("ZCARD", self._keys.user(user_id, "sessions")),
                command("HLEN", self._keys.user(user_id, "notes")),
            ],
        )
        talks = [one async for one, owner, _ in self.conversations() if owner == user_id]
        marks = await self._ledger.places_of(user_id)
        counts = {
            "profiles": int(about),
            "sessions": int(sessions),
            "notes": int(notes),
            "conversations": len(talks),
            "marks": len(marks),
        }
        return {name: count for name, count in counts.items() if count}

    async def kept_text(self, name: str) -> str | None:
        """As of :class:`~bruno_memory_vec.sessions.protocol.KeepsTexts`."""
        found = await self._run("read a text", command("HGET", self._keys.own("texts"), name))
        return None if found is None else found.decode()

    async def keep_text(self, name: str, text: str | None) -> None:
        """As of :class:`~bruno_memory_vec.sessions.protocol.KeepsTexts`."""
        key = self._keys.own("texts")
        if text is None:
            await self._run("remove a text", command("HDEL", key, name))
            await self._note_replaced()
        else:
            await self._run("keep a text", command("HSET", key, name, text))

    def what_stays(self) -> Sequence[Stays]:
        """As of :class:`~bruno_memory_vec.indexers.protocols.TellsWhatStays`."""
        return (
            Stays(
                "the files of Redis: its dump (RDB) and its append-only file",
                "an append-only file is being written anew; a dump holds what was there until the "
                "next one",
                "Run BGSAVE, if the server keeps dumps, and prune copies of its files.",
            ),
            Stays(
                "the version of the user's rows in Redis, whose key has the user's id",
                "it tells other processes that the rows have changed",
                "Delete the key {u:USER}:version when every process was started anew.",
            ),
        )

    # Erasing

    async def has_replaced(self) -> bool:
        meta = self._keys.own("meta")
        return bool(await self._run("read what is replaced", command("HEXISTS", meta, "replaced")))

    async def erase(self, *, deleted: bool) -> None:
        # Stale messages went from Redis when they became stale. Its append-only file, if it has
        # one, holds every change until it is written anew.
        if not deleted and not await self.has_replaced():
            return
        files = await self._access.connections.about("persistence")
        if any(int(one.get("aof_enabled", 0)) for one in files):
            try:
                await self._access.connections.on_each("erase what was deleted", "BGREWRITEAOF")
            except EngineError as error:
                if "in progress" not in str(error):  # then it is written anew right now
                    raise
        await self._run("note what is erased", command("HDEL", self._keys.own("meta"), "replaced"))

    # The whole

    @property
    def lookups(self) -> tuple[int, int]:
        """How often the hot context of a conversation was in memory, and how often not."""
        return self._hot.lookups

    async def health(self) -> dict[str, Any]:
        report: dict[str, Any] = {
            "engine": ENGINE,
            "url": self._access.connections.address.masked,
            "name": self._keys.prefix,
            "without_redis": "rows" if self._rows_alone else "refused",
        }
        try:
            report.update(await self._figures())
        except BackendUnavailable as error:
            if not self._rows_alone:
                raise
            report["problem"] = (
                f"{error} Until then contexts come from the rows alone; writes, profiles and "
                "sessions are refused."
            )
        report["cache"] = self._hot.health()
        return report

    async def _figures(self) -> dict[str, Any]:
        began = time.perf_counter()
        await self._run("answer", command("PING"))
        answered = time.perf_counter() - began
        meta, changes = self._keys.own("meta"), self._keys.own("changes")
        rows, last_seq, sessions, fields = await self._run_all(
            "tell of itself",
            [
                command("HGET", meta, "rows"),
                command("HGET", meta, "last_seq"),
                command("ZCARD", self._keys.own("sessions")),
                command("HLEN", changes),
            ],
        )
        server = (await self._access.connections.about("server"))[0]
        memory = (await self._access.connections.about("memory"))[0]
        return {
            "version": server.get("redis_version"),
            "mode": self._access.connections.address.kind,
            "ping_ms": round(answered * 1000, 3),
            "memory_bytes": memory.get("used_memory"),
            # What it evicts is made anew from the rows; sessions and profiles are not in them.
            "evicts": memory.get("maxmemory_policy", "unknown") != "noeviction",
            "rows": int(rows or 0),
            "last_seq": -1 if last_seq is None else int(last_seq),
            "sessions": sessions,
            "changes_under_way": fields,
            "followers": self._followers.count,
        }

    async def close(self) -> None:
        await self._followers.close()
        await self._changes.stop()
        await self._access.connections.close()
        self._hot = HotCache(keeps=False)

    # Where Redis has lost something, or is away

    async def _again(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read once more where Redis was restarted meanwhile."""
        await self._access.connect()
        before = self._access.connections.identity
        found = await read()
        return found if self._access.connections.identity == before else await read()

    async def _or_rows(self, read: Awaitable[T], instead: Callable[[], Any]) -> Any:
        """What a read gives; ``instead()`` where Redis is away, and the rows are to do."""
        try:
            return await read
        except SessionsLost:
            raise
        except BackendUnavailable:
            if not self._rows_alone or self._access.from_rows.rows is None:
                raise
            return instead()

    async def _from_rows(self, conversation_id: str) -> Conversation | None:
        place = await self._access.from_rows.place(conversation_id)
        return None if place is None else Conversation(*place, stale=-1)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at.astimezone(timezone.utc)


def _touched(state: Mapping[str, str]) -> datetime | None:
    """When a message was last stored in a conversation, by its state."""
    at = state.get("touched")
    return None if at is None else utc(int(at) * 1000)
