"""Compresses conversations: summaries first, and only then is archived what they stand for.

The order that nothing can be lost in: the summary's row is stored and acknowledged; then, in one
commit, its turns are archived, if they are still as they were read and it is still stored; else the
summary goes again. One that a killed process has left is known by its digest: the next run archives
its turns, or removes it where they have changed.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from typing import Any
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.access import AllUsers
from bruno_memory_vec.compression.asking import lines_of_summaries, lines_of_turns
from bruno_memory_vec.compression.blocks import Turn, blocks, may_be_compressed
from bruno_memory_vec.compression.evidence import evidence_of
from bruno_memory_vec.compression.periods import Span, spans
from bruno_memory_vec.compression.plan import planned
from bruno_memory_vec.compression.rarity import Rarity, Terms, rarity_of
from bruno_memory_vec.compression.reading import (
    Place,
    digest_of,
    digest_of_summaries,
    in_order,
    outlines,
    sources_of,
    whole_turns,
)
from bruno_memory_vec.compression.report import (
    CompressionFailure,
    CompressionReport,
    KeptEvidence,
    RestoreReport,
    SummaryMade,
)
from bruno_memory_vec.compression.said import said_in, said_in_summary
from bruno_memory_vec.compression.summarising import Asked, Made, Summariser
from bruno_memory_vec.compression_policy import CompressionPolicy
from bruno_memory_vec.errors import (
    InvalidInputError,
    NotFoundError,
    StoreClosedError,
    StoreMovedError,
)
from bruno_memory_vec.indexers.aio import LoopLock
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY, MESSAGE, micros
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.prompts.token_bound import counter
from bruno_memory_vec.rows import checks
from bruno_memory_vec.rows.models import Row, memory_row, utc
from bruno_memory_vec.rows.summaries import (
    MOST_SOURCES,
    SUMMARY,
    Level,
    Summary,
    stamp_text,
    summary_id,
    with_dependants,
)
from bruno_memory_vec.store.deployment import analyser_for, language_of
from bruno_memory_vec.store.handle import Handle
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.writing.dependants.summaries import stored_summaries
from bruno_memory_vec.writing.writer import Writer

_log = get_logger(__name__)

# So many blocks are given to a model at the same time.
_AT_ONCE = 4
# So many turns are read at once.
_TURNS_AT_ONCE = 2000
# A prompt quotes at most so many times the tokens of a block of the policy.
_PROMPT = 2
# Whoever brings a path here means a backup.
_NO_SUMMARY = (
    "Give the id of a summary; `conversation_id=` and `user_id=` restore all of theirs. "
    "A backup is brought back by restore_backup(backup, target)."
)
# Made without a model, a summary is as sure as its source.
_CONFIDENCE = {"llm": 0.9, "extractive": 1.0}


class CompressionLocks:
    """One compression at a time of each conversation, by this process."""

    def __init__(self) -> None:
        self._locks: weakref.WeakValueDictionary[Place, LoopLock] = weakref.WeakValueDictionary()
        self._held: ContextVar[frozenset[Place]] = ContextVar("held", default=frozenset())

    @asynccontextmanager
    async def holding(self, places: Collection[Place]) -> AsyncIterator[None]:
        """Hold the locks of some conversations.

        What is called while they are held, such as by a model that is asked for a summary, does
        not wait for itself.
        """
        held = self._held.get()
        async with AsyncExitStack() as stack:
            # Everybody takes them in this order, so that no two wait for each other.
            for place in sorted(set(places) - held):
                await stack.enter_async_context(self._of(place))
            token = self._held.set(held | set(places))
            try:
                yield
            finally:
                self._held.reset(token)

    def _of(self, place: Place) -> LoopLock:
        """The lock of a conversation, or of ``(user, "")``, a user's periods."""
        lock = self._locks.get(place)
        if lock is None:
            lock = self._locks[place] = LoopLock()
        return lock


@dataclass(slots=True)
class _Run:
    """One run: what it uses, and what it has done so far."""

    store: Store
    # None in a dry run, which also a reader may make.
    held: Writer | None
    policy: CompressionPolicy
    summariser: Summariser
    terms: Terms
    now: datetime
    began: float = field(default_factory=time.perf_counter)
    turns: int = 0
    places: set[Place] = field(default_factory=set)
    made: list[SummaryMade] = field(default_factory=list)
    before: int = 0
    after: int = 0
    kept: KeptEvidence = field(default_factory=KeptEvidence)
    failures: list[CompressionFailure] = field(default_factory=list)
    too_short: int = 0

    @property
    def writer(self) -> Writer:
        assert self.held is not None
        return self.held

    def failed(self, place: str | None, what: str, problem: str) -> None:
        self.failures.append(CompressionFailure(place, what, problem))
        _log.warning("not_compressed", conversation=place, what=what, problem=problem)

    def report(self, *, dry_run: bool = False) -> CompressionReport:
        return CompressionReport(
            turns=self.turns,
            conversations=len(self.places),
            summaries=tuple(self.made),
            tokens_before=self.before,
            tokens_after=self.after,
            failures=tuple(self.failures),
            too_short=self.too_short,
            kept=self.kept,
            cost=self.summariser.cost,
            seconds=time.perf_counter() - self.began,
            dry_run=dry_run,
        )


class Compressor:
    """Compresses conversations, and restores them.

    Args:
        handle: the memory.
        locks: shared by all that compress it in this process.
    """

    def __init__(self, handle: Handle, locks: CompressionLocks) -> None:
        self._handle = handle
        self._locks = locks
        self._count = counter(handle.config.count_tokens)

    async def compress(
        self,
        policy: CompressionPolicy,
        *,
        user_id: str | AllUsers | None = None,
        conversation_id: str | None = None,
        dry_run: bool = False,
        why: str = "asked for",
    ) -> CompressionReport:
        """Compress what a policy says, of a scope.

        Raises:
            InvalidInputError: nothing says whose.
            NotFoundError: there is no such conversation for this caller.
            ForeignUserError: the view or the conversation is another user's.
            ReadOnlyError: the memory is read-only, and it is no dry run.
            EngineError: the rows cannot be read. What was archived before has its summaries.
        """
        writer = None if dry_run else await self._handle.writer()
        store = await self._handle.store()
        if conversation_id is not None:
            conversation_id = await self._known(conversation_id)
        if user_id is None and conversation_id is not None and self._handle.caller.user_id is None:
            scope = EVERYONE.within(conversation_id)
        else:
            owners = self._handle.owners
            scope = await self._handle.caller.search_scope(owners, user_id, conversation_id)
        analyser = await asyncio.to_thread(analyser_for, language_of(store.config))

        def terms(text: str) -> Sequence[str]:
            return analyser.question(text, drop_stopwords=True)

        summariser = Summariser(policy, self._handle.llm, self._count)
        run = _Run(store, writer, policy, summariser, terms, datetime.now(timezone.utc))
        plan = await planned(store, scope, policy, run.now)
        if dry_run:
            for one in plan:
                for part in _parts(one.groups, _TURNS_AT_ONCE):
                    await self._outline(run, one.place, part)
            return run.report(dry_run=True)
        await self._remove_left_over(run, scope)
        for one in plan:
            async with self._locks.holding([one.place]):
                await self._one(run, one.place, why)
        if policy.period is not None and scope.conversation_id is None:
            for user in await self._users(store, scope):
                async with self._locks.holding([(user, "")]):
                    await self._periods(run, user)
        return run.report()

    async def _known(self, key: str) -> str:
        """A conversation that has begun, and that the caller may see."""
        found = await self._handle.find(checks.identifier("conversation_id", key))
        owner = await (await self._handle.owners()).owner(found)
        if owner is None or not self._handle.caller.may_see(owner):
            raise NotFoundError(
                f"there is no conversation {checks.shown(key)}",
                fix="Use the id of a conversation that has begun.",
            )
        return found

    async def _remove_left_over(self, run: _Run, scope: Scope) -> None:
        """Delete what runs that were broken off have left of what was deleted meanwhile."""
        try:
            await run.writer.remove_left_over(scope)
        except (StoreClosedError, StoreMovedError):
            raise
        except BrunoError as error:
            run.failed(None, "summaries of what was deleted", error.message)

    async def _one(self, run: _Run, place: Place, why: str) -> None:
        """Compress one conversation. A failure is kept, and the others go on."""
        try:
            await self._conversation(run, place, why)
        except (StoreClosedError, StoreMovedError):
            raise
        except BrunoError as error:
            run.failed(place[1], "the conversation", error.message)

    async def _conversation(self, run: _Run, place: Place, why: str) -> None:
        # Read again: another run may have been at it while this one waited for the lock.
        said = await self._finish(run, place, await self._said(run, place))
        groups = may_be_compressed(said, run.policy, run.now)
        if sum(map(len, groups)) >= run.policy.min_turns:
            await self._blocks(run, place, groups, why)
        if run.policy.sessions:
            await self._session(run, place)

    async def _said(self, run: _Run, place: Place) -> list[Turn]:
        scope = Scope.user(place[0]).within(place[1])
        return (await outlines(run.store.rows, scope)).get(place, [])

    async def _blocks(
        self, run: _Run, place: Place, groups: Sequence[Sequence[Turn]], why: str
    ) -> None:
        for part in _parts(groups, _TURNS_AT_ONCE):
            whole = await self._whole(run, place, part)
            turns = [turn for group in whole for turn in group]
            tokens = sum(turn.tokens for turn in turns)
            if not turns or tokens < run.policy.min_tokens:
                return
            self._handle.events.compression_triggered(
                *place, why=why, turns=len(turns), tokens=tokens
            )
            rarity = await asyncio.to_thread(
                rarity_of,
                [turn.content for turn in turns],
                run.terms,
                run.store.lexical,
                Scope.user(place[0]),
            )
            cut = blocks(whole, run.policy)
            step = _AT_ONCE if run.summariser.asks else 1
            for start in range(0, len(cut), step):
                some = cut[start : start + step]
                made = await asyncio.gather(*(self._summary_of(run, one, rarity) for one in some))
                for block, summary in zip(some, made, strict=True):
                    await self._store_block(run, place, block, summary, rarity)

    async def _whole(
        self, run: _Run, place: Place, groups: Sequence[Sequence[Turn]]
    ) -> list[list[Turn]]:
        """Groups with their texts; one of which a turn is gone meanwhile is left out."""
        seqs = [turn.seq for group in groups for turn in group]
        read = await whole_turns(run.store.rows, place, seqs, self._count)
        return [
            [read[turn.seq] for turn in group]
            for group in groups
            if all(turn.seq in read for turn in group)
        ]

    async def _summary_of(self, run: _Run, block: Sequence[Turn], rarity: Rarity) -> Made:
        room = _PROMPT * run.policy.block_tokens
        return await run.summariser.make(
            Asked(
                level="block",
                said=said_in(block),
                lines=lines_of_turns(block, room, self._count) if run.summariser.asks else (),
                days=sorted({utc(turn.at).date() for turn in block}),
                tokens=sum(turn.tokens for turn in block),
            ),
            rarity,
        )

    async def _store_block(
        self, run: _Run, place: Place, block: Sequence[Turn], made: Made, rarity: Rarity
    ) -> None:
        """Store a block's summary, then archive its turns."""
        first, last = block[0].turn, block[-1].turn
        what = f"turns {first} to {last}"
        if not made.text:
            if made.method == "llm":
                run.failed(place[1], what, made.why or "the model gave no summary")
            else:
                run.too_short += len(block)
            return
        stamp = micros(datetime.now(timezone.utc))
        id_ = summary_id(place[0], "block", place[1], first, last, stamp)
        tokens = sum(turn.tokens for turn in block)
        entry = self._entry(
            "block",
            id_,
            place,
            made,
            [UUID(turn.id) for turn in block],
            span=(first, last),
            times=(min(turn.at for turn in block), max(turn.at for turn in block)),
            digest=digest_of((turn.id, turn.content) for turn in block),
            importance=max(turn.importance for turn in block),
            archived_at=stamp,
        )
        await self._write(run, entry)
        if await self._archive_for(run, place, block, str(id_), stamp) < len(block):
            # It was deleted by itself, or one of them was changed, pinned or deleted meanwhile.
            # What is left of them is recalled again.
            await self._remove(run, place[0], [str(id_)])
            run.failed(place[1], what, "they were changed meanwhile")
            return
        said = "\n".join(turn.content for turn in block)
        run.turns += len(block)
        run.places.add(place)
        run.before += tokens
        run.after += made.tokens
        run.kept += KeptEvidence.of(
            evidence_of(said), evidence_of(made.text), rarity.rare(said), rarity.rare(made.text)
        )
        run.made.append(
            SummaryMade(
                id=str(id_),
                level="block",
                conversation_id=place[1],
                from_turn=first,
                to_turn=last,
                sources=len(block),
                tokens_before=tokens,
                tokens_after=made.tokens,
                method=made.method,
                why=made.why,
            )
        )

    async def _finish(self, run: _Run, place: Place, said: list[Turn]) -> list[Turn]:
        """End what a process has left that was killed between two steps.

        Args:
            run: this run.
            place: the conversation.
            said: its messages.

        Returns:
            Its messages as they are then.
        """
        summaries = await stored_summaries(run.store.rows, {place[0]}, place[1])
        open_ = {turn.id for turn in said if not turn.archived and not turn.pinned}
        known = {turn.id for turn in said}
        halfway, gone, covered = list[Summary](), list[str](), set[str]()
        for one in sorted((one for one in summaries if one.level == "block"), key=_widest_first):
            if one.sources & covered or not one.sources <= known:
                # Two processes have compressed at once, or a source was deleted meanwhile.
                gone.append(one.id)
                continue
            if one.sources & open_:
                sources = await sources_of(run.store.rows, place, one.sources)
                if digest_of((turn.id, turn.content) for turn in sources) != one.digest:
                    gone.append(one.id)
                    continue
                halfway.append(one)
            covered |= one.sources
        if gone:
            await self._remove(run, place[0], gone)
            # Turns that two summaries stood for were archived for either of them.
            said = await self._said(run, place)
            open_ = {turn.id for turn in said if not turn.archived and not turn.pinned}
            halfway = [
                one
                for one in summaries
                if one.level == "block" and one.id not in gone and one.sources & open_
            ]
        for one in halfway:
            await self._archive(run, place, [t for t in said if t.id in one.sources], one)
        return await self._said(run, place) if halfway else said

    async def _archive(
        self, run: _Run, place: Place, turns: Sequence[Turn], summary: Summary
    ) -> None:
        """Archive what is left of the turns of a stored summary."""
        stamp = summary.archived_at
        if stamp is None:
            return
        archived = await self._archive_for(run, place, turns, summary.id, stamp)
        if archived:
            run.turns += archived
            run.places.add(place)

    async def _archive_for(
        self, run: _Run, place: Place, turns: Sequence[Turn], id_: str, stamp: int
    ) -> int:
        """Archive turns, provided that the summary that stands for them is stored.

        Returns:
            How many were archived; fewer where one was changed, pinned or deleted meanwhile.
        """
        scope = Scope.user(place[0]).within(place[1])
        summary = RowFilter(kinds=(MEMORY,), origins=(SUMMARY,), ids=(id_,))

        async def stands() -> bool:
            return await run.store.rows.count(scope, summary) > 0

        archived = await run.writer.rewrite(
            scope,
            RowFilter(kinds=(MESSAGE,)),
            lambda row: _archived(row, stamp),
            seqs=[turn.seq for turn in turns],
            provided=stands,
        )
        if archived and not run.writer.writes_alone and not await stands():
            # Another process has deleted it in between.
            await run.writer.rewrite(
                scope,
                RowFilter(kinds=(MESSAGE,), ids=tuple(turn.id for turn in turns)),
                lambda row: {"archived_at": None} if row["archived_at"] == stamp else None,
            )
            return 0
        return len(archived)

    async def _session(self, run: _Run, place: Place) -> None:
        """The summary of a conversation, made of those of its blocks, where they have changed."""
        summaries = await stored_summaries(run.store.rows, {place[0]}, place[1])
        parts = in_order(one for one in summaries if one.level == "block")
        if len(parts) < 2:
            return
        id_ = summary_id(place[0], "session", place[1])
        span = (parts[0].from_turn or 0, max(one.to_turn or 0 for one in parts))
        await self._over(run, "session", id_, place, parts, summaries, span)

    async def _periods(self, run: _Run, user: str) -> None:
        """A user's summaries of past days, weeks or months."""
        assert run.policy.period is not None
        try:
            summaries = await stored_summaries(run.store.rows, {user})
            for period in spans(in_order(summaries), run.policy.period, run.now):
                id_ = summary_id(user, "period", period.name)
                where = (user, None)
                await self._over(run, "period", id_, where, period.parts, summaries, None, period)
        except (StoreClosedError, StoreMovedError):
            raise
        except BrunoError as error:
            run.failed(None, f"the periods of {user!r}", error.message)

    async def _over(
        self,
        run: _Run,
        level: Level,
        id_: UUID,
        where: tuple[str, str | None],
        parts: Sequence[Summary],
        stored: Sequence[Summary],
        span: tuple[int, int] | None,
        period: Span | None = None,
    ) -> None:
        """Make a summary of summaries, unless the stored one was made of the same."""
        digest = digest_of_summaries(parts)
        if any(one.id == str(id_) and one.digest == digest for one in stored):
            return
        tokens = sum(self._count(one.content) for one in parts)
        said = [
            sentence
            for number, one in enumerate(parts)
            for sentence in said_in_summary(one.content, _day(one), number)
        ]
        texts = [one.content for one in parts]
        scope = Scope.user(where[0])
        rarity = await asyncio.to_thread(rarity_of, texts, run.terms, run.store.lexical, scope)
        room = _PROMPT * run.policy.block_tokens
        asks = run.summariser.asks
        lines = lines_of_summaries(parts, room, self._count) if asks else ()
        days = sorted({one.day for one in said} | {_day(parts[-1])})
        made = await run.summariser.make(Asked(level, said, lines, days, tokens), rarity)
        what = f"the summary of the {level}"
        if not made.text:
            if made.method == "llm":
                run.failed(where[1], what, made.why or "the model gave no summary")
            return
        entry = self._entry(
            level,
            id_,
            where,
            made,
            [UUID(one.id) for one in parts],
            span=span,
            times=(min(map(micros_of, days), default=parts[0].created_at), parts[-1].created_at),
            digest=digest,
            importance=0.5,
            period=None if period is None else period.name,
        )
        await self._write(run, entry)
        present = await stored_summaries(run.store.rows, {where[0]}, where[1])
        if not {one.id for one in parts} <= {one.id for one in present}:
            # What it quotes was deleted meanwhile.
            await self._remove(run, where[0], [str(id_)])
            run.failed(where[1], what, "they were changed meanwhile")
            return
        run.made.append(
            SummaryMade(
                id=str(id_),
                level=level,
                conversation_id=where[1],
                from_turn=None if span is None else span[0],
                to_turn=None if span is None else span[1],
                sources=len(parts),
                tokens_before=tokens,
                tokens_after=made.tokens,
                method=made.method,
                why=made.why,
            )
        )

    def _entry(
        self,
        level: Level,
        id_: UUID,
        where: tuple[str, str | None],
        made: Made,
        sources: Sequence[UUID],
        *,
        span: tuple[int, int] | None,
        times: tuple[int, int],
        digest: str,
        importance: float,
        archived_at: int | None = None,
        period: str | None = None,
    ) -> MemoryEntry:
        """A summary as a memory, by its time the newest of its sources."""
        since, until = (utc(at) for at in times)
        fields: dict[str, Any] = {
            "level": level,
            "since": since.isoformat(),
            "until": until.isoformat(),
            "method": made.method,
            "digest": digest,
        }
        if span is not None:
            fields["from_turn"], fields["to_turn"] = span
        if archived_at is not None:
            fields["archived_at"] = stamp_text(archived_at)
        if period is not None:
            fields["period"] = period
        now = datetime.now(timezone.utc).replace(tzinfo=None)
        return MemoryEntry(
            id=id_,
            content=made.text,
            memory_type=MemoryType.EPISODIC,
            user_id=where[0],
            conversation_id=where[1],
            metadata=MemoryMetadata(
                source="compression",
                category=SUMMARY,
                importance=importance,
                confidence=_CONFIDENCE[made.method],
                related_memories=list(sources) if len(sources) <= MOST_SOURCES else [],
                custom_fields=fields,
            ),
            created_at=until.replace(tzinfo=None),
            updated_at=now,
            last_accessed=now,
        )

    async def _write(self, run: _Run, entry: MemoryEntry) -> None:
        row = memory_row(entry, None, self._handle.config.bounds, SUMMARY)
        await self._handle.throttle.wait(entry.user_id)
        await run.writer.write([row])

    async def _remove(self, run: _Run, user: str, ids: Sequence[str]) -> None:
        if ids:
            where = RowFilter(kinds=(MEMORY,), origins=(SUMMARY,), ids=tuple(ids))
            await run.writer.delete(Scope.user(user), where)

    async def _outline(self, run: _Run, place: Place, groups: Sequence[Sequence[Turn]]) -> None:
        """What a run would do in one conversation."""
        whole = await self._whole(run, place, groups)
        tokens = sum(turn.tokens for group in whole for turn in group)
        if not whole or tokens < run.policy.min_tokens:
            return
        run.places.add(place)
        for block in blocks(whole, run.policy):
            before = sum(turn.tokens for turn in block)
            budget = run.summariser.budget(before)
            first, last = block[0].turn, block[-1].turn
            id_ = summary_id(place[0], "block", place[1], first, last, micros(run.now))
            run.turns += len(block)
            run.before += before
            run.after += budget
            run.made.append(
                SummaryMade(
                    str(id_), "block", place[1], first, last, len(block), before, budget, None
                )
            )

    async def _users(self, store: Store, scope: Scope) -> list[str]:
        if scope.user_id is not None:
            return [scope.user_id]
        found = await store.rows.read(
            EVERYONE, RowFilter(kinds=(MEMORY,), origins=(SUMMARY,)), ["user_id"]
        )
        return sorted(set(found.column("user_id").to_pylist()))

    # Restoring

    async def restore(
        self,
        summary_id: str | UUID | None = None,
        *,
        conversation_id: str | None = None,
        user_id: str | None = None,
    ) -> RestoreReport:
        """Recall turns again, and delete the summaries that stood for them.

        Raises:
            InvalidInputError: none of the three, or a summary and a conversation are given.
            NotFoundError: there is no such summary or conversation for this caller.
            ForeignUserError: the view or the conversation is another user's.
            ReadOnlyError: the memory is read-only.
        """
        writer = await self._handle.writer()
        store = await self._handle.store()
        caller = self._handle.caller
        given = sum(value is not None for value in (summary_id, conversation_id))
        if given > 1 or (not given and user_id is None and caller.user_id is None):
            raise InvalidInputError(
                "summary_id",
                "does not say what is to be restored",
                fix="Give the id of a summary, conversation_id=... or user_id=....",
            )
        if conversation_id is not None:
            conversation_id = await self._known(conversation_id)
        user = caller.acting_for(user_id)
        if conversation_id is not None and user is None:
            user = await store.owners.owner(conversation_id)
        elif user is not None and conversation_id is not None:
            await caller.search_scope(self._handle.owners, user, conversation_id)
        if summary_id is not None:
            user, id_ = await self._named(store, summary_id, user)
        else:
            assert user is not None
            id_ = None

        async def chosen(user: str = user) -> list[Summary]:
            every = await stored_summaries(store.rows, {user})
            first = [
                one
                for one in every
                if (id_ is None or one.id == id_)
                and (conversation_id is None or one.conversation_id == conversation_id)
            ]
            return with_dependants(every, _with_parts(every, first))

        places = {(user, conversation_id or "")}
        places |= {(user, one.conversation_id or "") for one in await chosen()}
        # A compression of one of them is waited for, so that it does not go on afterwards.
        async with self._locks.holding(places):
            going = await chosen()
            if not going:
                return RestoreReport(0, 0)
            turns = await self._archived_for(store, user, going)
            ids = tuple(one.id for one in going)
            await writer.delete(
                Scope.user(user), RowFilter(kinds=(MEMORY,), origins=(SUMMARY,), ids=ids)
            )
            return RestoreReport(turns, len(going))

    async def _named(self, store: Store, given: str | UUID, user: str | None) -> tuple[str, str]:
        """Whose a summary is, and its id."""
        (id_,) = checks.uuids("summary_id", [given], fix=_NO_SUMMARY)
        scope = EVERYONE if user is None else Scope.user(user)
        where = RowFilter(kinds=(MEMORY,), origins=(SUMMARY,), ids=(id_,))
        found = (await store.rows.read(scope, where, ["user_id"])).column("user_id").to_pylist()
        if not found:
            raise NotFoundError(
                f"there is no summary {id_}", fix="Use the id of a memory of category 'summary'."
            )
        return found[0], id_

    async def _archived_for(self, store: Store, user: str, going: Sequence[Summary]) -> int:
        """How many turns are archived for these summaries."""
        turns = 0
        for one in going:
            if one.level == "block" and one.conversation_id is not None:
                place = (user, one.conversation_id)
                found = await sources_of(store.rows, place, one.sources)
                turns += sum(turn.archived_at == one.archived_at for turn in found)
        return turns


def _archived(row: Row, stamp: int) -> Row | None:
    """What archives a row. One that was pinned meanwhile, or is archived already, stays."""
    if row["pinned_at"] is not None or row["archived_at"] is not None:
        return None
    return {"archived_at": stamp}


def _parts(groups: Sequence[Sequence[Turn]], most: int) -> list[list[Sequence[Turn]]]:
    """Groups in parts of about ``most`` turns, so that not all of a long history is in memory."""
    parts: list[list[Sequence[Turn]]] = [[]]
    size = 0
    for group in groups:
        if size >= most:
            parts.append([])
            size = 0
        parts[-1].append(group)
        size += len(group)
    return parts


def _widest_first(one: Summary) -> tuple[int, int, str]:
    return one.from_turn or 0, -(one.to_turn or 0), one.id


def _with_parts(every: Sequence[Summary], first: Sequence[Summary]) -> list[Summary]:
    """Summaries, and those that they are made of."""
    by_id = {one.id: one for one in every}
    found: dict[str, Summary] = {}
    waiting = list(first)
    while waiting:
        one = waiting.pop()
        if one.id not in found:
            found[one.id] = one
            waiting += [by_id[id_] for id_ in one.sources if id_ in by_id]
    return list(found.values())


def _day(one: Summary) -> date:
    return utc(one.created_at).date()


def micros_of(day: date) -> int:
    """The beginning of a day, UTC, in microseconds."""
    return micros(datetime(day.year, day.month, day.day, tzinfo=timezone.utc))
