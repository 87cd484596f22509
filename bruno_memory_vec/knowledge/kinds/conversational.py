"""``memory.conversational``: what matters for a while, and then expires or becomes lasting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, Final

from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec.acts import acts
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.knowledge.kinds.consolidation import (
    ConsolidationPolicy,
    ConsolidationReport,
    consolidate,
)
from bruno_memory_vec.knowledge.kinds.semantic import SemanticMemory
from bruno_memory_vec.knowledge.kinds.view import Given, TypedView
from bruno_memory_vec.rows import checks

#: How long a memory lives where neither the call nor the setting ``short_term_ttl`` says it.
DEFAULT_TTL: Final = timedelta(days=1)
_LONGEST: Final = timedelta(days=36_525)


class ConversationalMemory(TypedView):
    """What matters for a while: SHORT_TERM memories, which expire.

    :meth:`consolidate` makes lasting ones of those that were used, or are important.
    """

    types: ClassVar = (MemoryType.SHORT_TERM,)
    default_type: ClassVar = MemoryType.SHORT_TERM
    name: ClassVar = "conversational"

    @acts("write")
    async def add(
        self,
        content: str | MemoryEntry,
        *,
        user_id: str | None = None,
        conversation_id: str | None = None,
        ttl: timedelta | None = None,
        category: str | None = None,
        tags: Sequence[str] = (),
        importance: float = 0.5,
        confidence: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
        origin: Given = "given",
    ) -> MemoryEntry:
        """Store a memory that expires.

        Args:
            content: its text, or a whole entry of the type SHORT_TERM.
            user_id: whose; a view knows its user.
            conversation_id: where it is from.
            ttl: how long it lives. Default: the setting ``short_term_ttl``, else a day. An entry
                with ``expires_at`` has it already.
            category: a name to find it by.
            tags: names to find it by.
            importance: 0..1.
            confidence: 0..1.
            metadata: its ``custom_fields``.
            origin: who it comes from.

        Returns:
            The memory as it is stored.

        Raises:
            InvalidInputError: a value is not usable. Nothing was written.
            ForeignUserError: the view or the conversation is another user's.
            ReadOnlyError, EmbeddingError, EngineError: it was not stored.
        """
        entry = self._entry(
            content,
            user_id,
            conversation_id=conversation_id,
            category=category,
            tags=tags,
            importance=importance,
            confidence=confidence,
            metadata=metadata,
        )
        if entry.expires_at is None or ttl is not None:
            lives = ttl if ttl is not None else self._handle.config.short_term_ttl or DEFAULT_TTL
            if not isinstance(lives, timedelta) or not timedelta(0) < lives <= _LONGEST:
                raise InvalidInputError(
                    "ttl",
                    f"{checks.shown(lives)} is no time that a memory can live",
                    fix="Give a timedelta of more than nothing and at most 100 years.",
                )
            entry.expires_at = datetime.now(timezone.utc).replace(tzinfo=None) + lives
        await self._memory.store_memory(entry, origin=origin)
        return entry

    @acts("write")
    async def consolidate(
        self,
        policy: ConsolidationPolicy | None = None,
        *,
        user_id: str | None = None,
        dry_run: bool = False,
    ) -> ConsolidationReport:
        """Make lasting memories of those that a policy chooses.

        A lasting one says the same, and links to the short-term ones that it is from; these are
        archived, expire no more, and say in ``custom_fields["consolidated_into"]`` what they have
        become. A statement that is known already is strengthened. It can be stopped at any moment
        and done again: nothing is lost, nothing doubled.

        Args:
            policy: which; default :class:`ConsolidationPolicy`.
            user_id: whose; a view knows its user.
            dry_run: only say which.

        Raises:
            ReadOnlyError: the store was opened read-only.
            EngineError: it was stopped by a failure; call it again.
        """
        user = self._user(user_id)
        chosen = ConsolidationPolicy() if policy is None else policy
        lasting = SemanticMemory(self._memory, self._handle, self._turns)
        if checks.flag("dry_run", dry_run):
            return await consolidate(self._handle, lasting, user, chosen, dry_run=True)
        await self._handle.writer()
        return await consolidate(self._handle, lasting, user, chosen, dry_run=False)
