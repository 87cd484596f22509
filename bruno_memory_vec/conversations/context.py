"""The context that an assistant gets, and the recalled memories put into it.

``BaseAssistant`` asks for a context before it has a question, and never asks again. So the memory
keeps a weak reference to the context. When the user's message is stored a moment later, one system
message with the recalled memories is put into that same context (docs/architecture.md).
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from bruno_core.models.context import ConversationContext, SessionContext, UserContext
from bruno_core.models.memory import MemoryEntry
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.conversations.window import last_messages, without_cut_results
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.events import Events
from bruno_memory_vec.indexers.aio import yielding_gil
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.prompts.notes import HINT, Note, is_notes, notes_block, without_notes
from bruno_memory_vec.prompts.token_bound import Counter, counter, most_tokens
from bruno_memory_vec.recall import RecallRequest, Retriever
from bruno_memory_vec.recall.hits import Hit
from bruno_memory_vec.rows.checks import local_moment
from bruno_memory_vec.writing.commit import in_thread_if_many

if TYPE_CHECKING:
    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.rankers import Profile

_log = get_logger(__name__)

#: Key in the metadata of a message that was put into a context. Such a message is never stored.
RECALLED = "bruno_memory_vec.recalled"
#: Key in the metadata of a context whose prompt is built for the question: nothing is recalled
#: into it.
PROMPT_IS_BUILT = "bruno_memory_vec.prompt_is_built"
# A recall returns k hits if it can. Hits below this share of the best score are left out.
_LEAST_SHARE = 0.35


def build_context(
    conversation_id: str,
    user: UserContext,
    session: SessionContext,
    messages: Sequence[Message],
    config: MemoryConfig,
) -> ConversationContext:
    """A context of the last messages that fit, oldest first (:func:`.window.last_messages`).

    Raises:
        InvalidInputError: ``config.count_tokens`` failed.
    """
    most = config.max_messages
    return ConversationContext(
        conversation_id=conversation_id,
        user=user,
        session=session,
        messages=last_messages(messages, most, config.context_tokens, counter(config.count_tokens)),
        max_messages=most,
    )


def hits_for_prompt(hits: Iterable[Hit], k: int) -> list[Hit]:
    """The first ``k`` hits for a prompt: those near the best score, each text once.

    System messages are left out: they instruct the assistant, and say nothing about the user.
    """
    chosen: dict[str, Hit] = {}
    best = 0.0
    for hit in hits:
        if hit.speaker == MessageRole.SYSTEM.value:
            continue
        best = max(best, hit.score)
        if hit.score >= best * _LEAST_SHARE:
            chosen.setdefault(hit.content, hit)
    return list(chosen.values())[:k]


def recalled_message(
    hits: Iterable[Hit], budget: int, count: Counter = most_tokens
) -> Message | None:
    """One system message of the best hits that fit into ``budget`` tokens; None where none fits."""
    notes = (Note(hit.created_at, hit.speaker, _told(hit)) for hit in hits)
    block = notes_block(notes, budget, count)
    if block is None:
        return None
    text, told = block
    return Message(role=MessageRole.SYSTEM, content=text, metadata={RECALLED: told})


def _told(hit: Hit) -> str:
    """Of a long text the passage that answers, so that more of the budget is left for others.

    Not of a text that may hold older notes: they are known by their beginning, which may be cut
    away from a passage of them.
    """
    return hit.content if HINT in hit.content else hit.excerpt


async def to_store(messages: Any) -> Any:
    """The messages that a memory stores: all but what it put into a context itself.

    A message of ours is left out, also where only its text is left of it; from one that somebody
    joined it to, the part that is ours is taken out. The same holds for memories. What is no list
    is returned as it is, for the checks that follow.
    """
    if not isinstance(messages, Sequence) or isinstance(messages, (str, bytes)):
        return messages
    given = list(messages)
    kept = await in_thread_if_many(
        len(given),
        lambda: [left for message in yielding_gil(given) for left in without_ours(message)],
    )
    if len(kept) < len(given):
        _log.debug("recalled_notes_not_stored", messages=len(given) - len(kept))
    return kept


def without_ours(message: Any) -> list[Any]:
    """What is left of a message: it, as it is or shorter, or nothing."""
    if not isinstance(message, (Message, MemoryEntry)) or not isinstance(message.content, str):
        return [message]
    ours = isinstance(message, Message) and _marked_as_ours(message)
    text = without_notes(message.content)
    if text is message.content and not ours:
        return [message]
    if not text or text is message.content:
        return []
    changed: dict[str, Any] = {"content": text}
    if ours:
        kept = {key: value for key, value in message.metadata.items() if key != RECALLED}
        changed["metadata"] = kept
    return [message.model_copy(update=changed)]


def _marked_as_ours(message: Message) -> bool:
    return (
        message.role == MessageRole.SYSTEM
        and isinstance(message.metadata, dict)
        and RECALLED in message.metadata
    )


class ContextRecall:
    """Recalls for a user's message, and puts the result into the context given out before.

    Args:
        config: whether to do this, and how much text to add.
        profile: how to recall.
        events: told of each context that something was recalled into.
    """

    def __init__(self, config: MemoryConfig, profile: Profile, events: Events) -> None:
        self._config = config
        self._events = events
        self._profile = profile
        self._count = counter(config.count_tokens)
        self._live = LiveContexts()
        #: Why the last recall failed; None where it did not.
        self.problem: str | None = None

    def remember(self, context: ConversationContext) -> None:
        """Keep a weak reference to a context that was given out."""
        self._live.remember(context)

    def handed_out(self, conversation_id: str, message: Message) -> list[HandedOut]:
        """The contexts that were given out and now end with this message."""
        return self._live.waiting_for(conversation_id, message)

    def asked_by(self, conversation_id: str, message: Message) -> set[str]:
        """The users of the contexts that were given out and now end with this message."""
        return {one.user_id for one in self.handed_out(conversation_id, message)}

    def waiting(
        self, handed_out: Iterable[HandedOut], user_id: str, message: Message
    ) -> list[ConversationContext]:
        """Those of the user that are to get what is recalled for this message."""
        if message.role is not MessageRole.USER or not self._config.recall_in_context:
            return []
        return [
            one.context
            for one in handed_out
            if one.user_id == user_id and PROMPT_IS_BUILT not in one.context.metadata
        ]

    async def fill(
        self,
        retriever: Retriever,
        contexts: Sequence[ConversationContext],
        user_id: str,
        message: Message,
    ) -> None:
        """Recall for a user's message, and put the best hits into contexts.

        If the recall fails, the contexts stay as they are, and :attr:`problem` says why: the
        assistant can still answer without recalled memories.
        """
        shown = {str(seen.id) for context in contexts for seen in context.messages}
        # A message with an offset tells where its author is, and so which day "yesterday" was.
        here = local_moment("message.timestamp", message.timestamp).tzinfo
        now = datetime.now(here)
        at = now.astimezone(timezone.utc)
        request = RecallRequest(
            query=message.content,
            scope=Scope.user(user_id),
            where=RowFilter(alive_at=at, unarchived_at=at),
            k=2 * self._config.recall_k + len(shown),
            profile=self._profile,
            now=now,
            min_confidence_of_answer=self._config.recall_confidence,
            seen=frozenset(shown),
        )
        try:
            hits = await retriever.recall(request, count_use=False)
        except BrunoError as error:
            self.problem = str(error)
            _log.warning("recall_into_context_failed", error=str(error))
            return
        self.problem = None
        fresh = hits_for_prompt((hit for hit in hits if hit.id not in shown), self._config.recall_k)
        try:
            recalled = recalled_message(fresh, self._config.recall_tokens, self._count)
        except InvalidInputError as error:  # of the user's count_tokens
            self.problem = str(error)
            _log.warning("recall_into_context_failed", error=str(error))
            return
        for context in contexts:
            put_recalled(context, recalled)
            if recalled is not None:
                self._events.context_updated(
                    "recalled",
                    user_id,
                    context.conversation_id,
                    session_id=context.session.session_id,
                    messages=len(context.messages),
                    recalled=recalled.metadata[RECALLED],
                )


class HandedOut(NamedTuple):
    """A context that was given to an assistant, and the user it was made for."""

    context: ConversationContext
    user_id: str


class LiveContexts:
    """The contexts given to assistants that are still alive, by conversation."""

    def __init__(self) -> None:
        self._contexts: dict[str, list[tuple[weakref.ref[ConversationContext], str]]] = {}

    def remember(self, context: ConversationContext) -> None:
        """Keep a weak reference to a context."""
        conversation_id = context.conversation_id
        alive = self._alive(conversation_id)
        reference = weakref.ref(context, lambda _: self._forget(conversation_id))
        # Its user is noted: the assistant may change the context's own.
        alive.append((reference, context.user.user_id))
        self._contexts[conversation_id] = alive

    def waiting_for(self, conversation_id: str, message: Message) -> list[HandedOut]:
        """The contexts whose last message is this one: they are about to be sent to a model."""
        return [
            HandedOut(context, user_id)
            for reference, user_id in self._alive(conversation_id)
            if (context := reference()) is not None
            and context.messages
            and context.messages[-1].id == message.id
        ]

    def _alive(self, conversation_id: str) -> list[tuple[weakref.ref[ConversationContext], str]]:
        known = self._contexts.get(conversation_id, [])
        return [(reference, user) for reference, user in known if reference() is not None]

    def _forget(self, conversation_id: str) -> None:
        alive = self._alive(conversation_id)
        if alive:
            self._contexts[conversation_id] = alive
        else:
            self._contexts.pop(conversation_id, None)


def put_recalled(context: ConversationContext, recalled: Message | None) -> None:
    """Put recalled memories after the leading system messages, replacing earlier ones."""
    messages = [m for m in context.messages if not (_marked_as_ours(m) or is_notes(m.content))]
    if len(context.messages) >= context.max_messages:
        # The message that was just added may have pushed out a call of tools.
        messages = without_cut_results(messages)
    if recalled is not None:
        place = 0
        while place < len(messages) - 1 and messages[place].role is MessageRole.SYSTEM:
            place += 1
        messages.insert(place, recalled)
    # In place: the assistant may hold the list rather than the context.
    context.messages[:] = messages
