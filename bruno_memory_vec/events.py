"""What happens in a memory, as events on bruno-core's bus.

An event is told after what it tells of has happened, and in that order. Nobody waits for a handler:
events wait in a bounded queue, and one task publishes them. Where the queue is full, an event is
dropped and counted, so that a slow handler costs neither a write nor memory.

bruno-core's ``EventType`` is a closed list, so each event has the type in it that fits:

=========================  =======================  ============================================
what happened              type                     ``data``
=========================  =======================  ============================================
a message was stored       MESSAGE_PROCESSED        turn, again (whether it replaced one)
a session began            SESSION_STARTED
a session was resumed      SESSION_RESUMED
a session ended            SESSION_ENDED
a context was given        CONTEXT_UPDATED          reason "given", "recalled" or "built"; ids
a compression began        COMPRESSION_TRIGGERED    whose, which conversation, why
=========================  =======================  ============================================

MESSAGE_RECEIVED and MESSAGE_SENT are left to the program: it knows when a message came and went.
An event holds ids and numbers. The text of a message is in it where ``event_content`` is set.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from bruno_core.events import Event, EventBus, EventType, MessageEvent, SessionEvent
from bruno_core.models.context import SessionContext

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.logs import get_logger

_log = get_logger(__name__)

#: How many events may wait for the handlers before more of them.
LONGEST_QUEUE: Final = 4_096
#: How long the handlers of one event may take, in seconds. Then they are stopped, and the next
#: event is published.
LONGEST_HANDLER: Final = 30.0
#: How long closing waits for the handlers, in seconds.
LONGEST_CLOSING: Final = 5.0

_Make = Callable[[], Event]


def checked_bus(events: Any) -> EventBus | None:
    """A bus that events can be published on; None for None.

    Raises:
        InvalidInputError: it has no coroutine ``publish``.
    """
    if events is not None and not asyncio.iscoroutinefunction(getattr(events, "publish", None)):
        raise InvalidInputError(
            "events",
            f"a {type(events).__name__} has no coroutine 'publish'",
            fix="Give a bruno_core.events.EventBus.",
        )
    bus: EventBus | None = events
    return bus


class Events:
    """Tells a bus what happens in a memory. Its methods neither wait nor raise.

    Args:
        bus: bruno-core's bus; None: nothing is told.
        content: whether the events of messages have their texts.
    """

    def __init__(self, bus: EventBus | None = None, *, content: bool = False) -> None:
        self.bus = checked_bus(bus)
        self.content = content
        self._queue: deque[_Make] = deque()
        self._task: asyncio.Task[None] | None = None
        self._published = self._dropped = self._failed = 0
        self._problem: str | None = None

    def __bool__(self) -> bool:
        return self.bus is not None

    def messages_stored(self, rows: Iterable[Mapping[str, Any]], again: frozenset[int]) -> None:
        """Messages were stored: their rows, in the order of their ``seq``.

        Args:
            rows: of messages.
            again: the ``seq`` of those that replaced one.
        """
        for row in rows:
            self._add(
                MessageEvent,
                EventType.MESSAGE_PROCESSED,
                message_id=row["id"],
                user_id=row["user_id"],
                conversation_id=row["conversation_id"],
                role=row["role"],
                content=row["content"] if self.content else None,
                data={"turn": row["turn"], "again": row["seq"] in again},
            )

    def session_started(self, session: SessionContext) -> None:
        """A session began."""
        self._session(EventType.SESSION_STARTED, session)

    def session_resumed(self, session: SessionContext) -> None:
        """A session that had ended, or in which nothing was said for long, goes on."""
        self._session(EventType.SESSION_RESUMED, session)

    def session_ended(self, session: SessionContext) -> None:
        """A session ended."""
        self._session(EventType.SESSION_ENDED, session)

    def context_updated(
        self, reason: str, user_id: str, conversation_id: str | None, **more: Any
    ) -> None:
        """A context was given to somebody, or changed.

        Args:
            reason: "given" (by ``get_context``), "recalled" (something was recalled into one), or
                "built" (by ``build_context``).
            user_id: whose.
            conversation_id: of which conversation; None where it is of none.
            more: further entries of ``data``: ids and numbers, no texts.
        """
        data = {"reason": reason, "user_id": user_id, "conversation_id": conversation_id, **more}
        self._add(Event, EventType.CONTEXT_UPDATED, data=data)

    def compression_triggered(self, user_id: str, conversation_id: str | None, **more: Any) -> None:
        """A compression is about to begin. Arguments as of :meth:`context_updated`."""
        data = {"user_id": user_id, "conversation_id": conversation_id, **more}
        self._add(Event, EventType.COMPRESSION_TRIGGERED, data=data)

    def health(self) -> dict[str, Any]:
        """How many events were published, wait, were dropped, and failed; the last failure."""
        return {
            "published": self._published,
            "waiting": len(self._queue),
            "dropped": self._dropped,
            "failed": self._failed,
            "problem": self._problem,
        }

    async def published(self, timeout: float = LONGEST_CLOSING) -> bool:
        """Wait until everything that was told is published; whether that took less than
        ``timeout`` seconds."""
        task = self._task
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            return not self._queue
        await asyncio.wait([task], timeout=timeout)
        return not self._queue and task.done()

    async def close(self) -> None:
        """Publish what waits, for 5 seconds at most. What is left then is dropped."""
        if not await self.published():
            self._dropped += len(self._queue)
            self._queue.clear()
            task = self._task
            if task is not None and task.get_loop() is asyncio.get_running_loop():
                task.cancel()
                await asyncio.wait([task])

    def _session(self, kind: EventType, session: SessionContext) -> None:
        self._add(
            SessionEvent,
            kind,
            session_id=session.session_id,
            user_id=session.user_id,
            conversation_id=session.conversation_id,
        )

    def _add(self, make: type[Event], kind: EventType, **fields: Any) -> None:
        if self.bus is None:
            return
        if len(self._queue) >= LONGEST_QUEUE:
            self._dropped += 1
            return
        # bruno-core's times of events are UTC without a zone.
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        # Made when it is published: a large commit makes no events that are dropped.
        self._queue.append(lambda: make(event_type=kind, timestamp=now, **fields))
        task, loop = self._task, asyncio.get_running_loop()
        # A task of a loop that has ended never goes on.
        if task is None or task.done() or task.get_loop() is not loop:
            self._task = loop.create_task(self._publish_all(), name="bruno-memory: events")

    async def _publish_all(self) -> None:
        while self._queue:
            make = self._queue.popleft()
            # A task of its own, so that what a handler raises, be it a CancelledError, is its own.
            one = asyncio.ensure_future(self._publish(make))
            try:
                done, _ = await asyncio.wait([one], timeout=LONGEST_HANDLER)
            except asyncio.CancelledError:
                # The memory is closed, or the program ends. Some handlers may have had it already.
                one.cancel()
                self._dropped += 1
                raise
            if not done:
                one.cancel()
                self._fail(f"a handler took longer than {LONGEST_HANDLER:g} s and was stopped")
            elif one.cancelled():
                self._fail("a handler cancelled itself")
            elif (error := one.exception()) is not None:
                self._fail(str(error) or type(error).__name__)
            else:
                self._published += 1

    async def _publish(self, make: _Make) -> None:
        assert self.bus is not None
        await self.bus.publish(make())

    def _fail(self, problem: str) -> None:
        self._failed += 1
        self._problem = problem
        _log.warning("event_not_handled", problem=problem)
