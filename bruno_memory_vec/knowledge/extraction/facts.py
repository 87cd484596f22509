"""``memory.facts``: extraction by hand, facts by hand, and what is known of a user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias
from uuid import UUID

from bruno_memory_vec.acts import acts
from bruno_memory_vec.errors import InvalidInputError, NotFoundError
from bruno_memory_vec.indexers.query import RowFilter
from bruno_memory_vec.indexers.schema import MESSAGE, micros
from bruno_memory_vec.knowledge.extraction.attributes import USER, same_value
from bruno_memory_vec.knowledge.extraction.background import BackgroundExtraction, reason_of
from bruno_memory_vec.knowledge.extraction.candidate import Candidate, SourceTurn
from bruno_memory_vec.knowledge.extraction.fact import Fact
from bruno_memory_vec.knowledge.extraction.finding import by_model, by_patterns
from bruno_memory_vec.knowledge.extraction.reading import conversations_of, parts, turns_by_id
from bruno_memory_vec.knowledge.extraction.report import ExtractionReport
from bruno_memory_vec.knowledge.extraction.storing import (
    counted,
    planned,
    store_facts,
    stored_facts,
)
from bruno_memory_vec.prompts.quoting import LONGEST_NAME, is_plain_name
from bruno_memory_vec.rows import checks

if TYPE_CHECKING:
    from bruno_memory_vec.store.handle import Handle

_LONGEST_ATTRIBUTE, _LONGEST_VALUE = 60, 1_000
# Within the class, `list` is the method.
_Facts: TypeAlias = list[Fact]


class FactManager:
    """The facts of a memory's users.

    A fact is a memory: recall finds it, ``get_memory`` and ``delete_memory`` know its id. One that
    another one has superseded is archived, and stays in :meth:`history`.

    Args:
        handle: the memory, and whose calls these are.
        background: extraction in the background, whose locks are shared.
        learned: waits until the profiles of users follow what was stored.
    """

    #: As what an observed operation of it is named.
    _part_of_memory: ClassVar = "facts"

    def __init__(
        self,
        handle: Handle,
        background: BackgroundExtraction,
        learned: Callable[[], Awaitable[None]],
    ) -> None:
        self._handle, self._learned = handle, learned
        self._background = background

    @acts("write")
    async def extract(
        self,
        conversation_id: str | None = None,
        *,
        user_id: str | None = None,
        since: datetime | None = None,
        method: Literal["patterns", "llm"] | None = None,
        dry_run: bool = False,
    ) -> ExtractionReport:
        """Extract facts from stored turns now, whatever was read before.

        Turns that were read before change nothing: a fact counts each of its turns once.

        Args:
            conversation_id: only from this conversation; its owner is the user. A session's id
                names its conversation.
            user_id: of which user; a view knows its user.
            since: only from turns of this time or later (naive is UTC).
            method: "patterns", or "llm" for the memory's model. Default: as the setting ``extract``
                says; where that is "off", the model if there is one.
            dry_run: say what would change, and store nothing.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose turns.
            ForeignUserError: the conversation, or the view, is another user's.
            ReadOnlyError, EngineError, EmbeddingError: not all was stored. Call it again.
        """
        method = self._method(method)
        dry_run = checks.flag("dry_run", dry_run)
        from_ = None if since is None else checks.moment("since", since)
        store = await self._handle.store()
        writer = None if dry_run else await self._handle.writer()
        if conversation_id is not None and user_id is None and self._handle.caller.user_id is None:
            found = await self._handle.find(checks.identifier("conversation_id", conversation_id))
            user_id = await store.owners.owner(found)
            if user_id is None:
                raise NotFoundError(
                    f"there is no conversation {checks.shown(conversation_id)}",
                    fix="Use the id of a conversation that has begun.",
                )
        scope = await self._handle.caller.search_scope(
            self._handle.owners, user_id, conversation_id
        )
        if scope.user_id is None:
            raise InvalidInputError(
                "user_id", "stands for all users", fix="Extract the facts of one user at a time."
            )
        where = RowFilter(kinds=(MESSAGE,), since=from_)
        places = await conversations_of(store, scope, where)
        report = ExtractionReport(method, dry_run=dry_run)
        llm = self._handle.llm
        async for turns in parts(store, scope.user_id, places):
            report.turns += sum(turn.role == "user" for turn in turns)
            if method == "llm" and llm is not None:
                found_here = await by_model(llm, turns, self._handle.config.extract_timeout)
            else:
                found_here = await by_patterns(turns)
            report.found += len(found_here.candidates)
            for reason, times in found_here.dropped.items():
                report.dropped[reason] = report.dropped.get(reason, 0) + times
            report.failures += [reason_of(failure) for _, failure in found_here.failed]
            for cost, seconds in found_here.costs:
                report.spent(cost, seconds)
            if not found_here.candidates:
                continue
            async with self._background.lock(scope.user_id):
                if writer is None:
                    plan = await planned(store, scope.user_id, found_here.candidates)
                    done = counted(plan)
                else:
                    done = await store_facts(store, writer, scope.user_id, found_here.candidates)
            report.stored(done)
        return report

    @acts("write")
    async def add(
        self,
        attribute: str,
        value: str,
        *,
        user_id: str | None = None,
        subject: str = USER,
        confidence: float = 1.0,
        sources: Sequence[str | UUID] = (),
        said_at: datetime | None = None,
    ) -> Fact:
        """Add a fact by hand. It strengthens or supersedes others as one that was extracted does.

        Args:
            attribute: such as "home", "likes", "favourite film".
            value: its value.
            user_id: of which user; a view knows its user.
            subject: whom it is about, "user" or a name.
            confidence: 0..1.
            sources: the ids of messages of the user that say it.
            said_at: when it was said (naive is UTC). Default: when its sources were, else now.

        Returns:
            The fact as it is stored; it may be the past of one that was said later, and a name that
            of one that is surer.

        Raises:
            InvalidInputError: an argument is not usable, or a source is no message of the user.
            ForeignUserError: the view is another user's.
            ReadOnlyError, EngineError, EmbeddingError: it was not stored, or not all of what it
                changes. Call it again.
        """
        user = self._user(user_id)
        name = _short("attribute", attribute, _LONGEST_ATTRIBUTE)
        if not is_plain_name(name):
            raise InvalidInputError(
                "attribute",
                f"{checks.shown(name)} is no plain name",
                fix=f"Use letters, digits, spaces, - and _, {LONGEST_NAME} characters at most.",
            )
        told = _short("value", value, _LONGEST_VALUE)
        about = _short("subject", subject, _LONGEST_ATTRIBUTE)
        certain = checks.unit_interval("confidence", confidence)
        ids = checks.uuids("sources", list(sources)) if sources else ()
        at = None if said_at is None else micros(checks.moment("said_at", said_at))
        store, writer = await self._handle.store(), await self._handle.writer()
        turns = await turns_by_id(store, user, ids)
        missing = sorted(set(ids) - {turn.id for turn in turns if turn.role == "user"})
        if missing:
            raise InvalidInputError(
                "sources",
                f"{missing[0]!r} is no stored message that {user!r} has said",
                fix="Name messages of this user.",
            )
        if not turns and at is None:
            at = micros(datetime.now(timezone.utc))
        given = Candidate(name, told, certain, _at(turns, at), "given", about, given_at=at or 0)
        async with self._background.lock(user):
            await store_facts(store, writer, user, [given], origin="given")
            known = await stored_facts(store, user)
        of_it = [
            (row["seq"], fact)
            for fact, row in known
            if (fact.subject, fact.attribute) == (about, name) and _same(fact, given)
        ]
        if not of_it:
            raise InvalidInputError(
                "sources", "were deleted meanwhile", fix="Name messages that are stored."
            )
        return max(of_it, key=lambda one: one[0])[1]

    @acts("read")
    async def list(
        self,
        user_id: str | None = None,
        *,
        attribute: str | None = None,
        subject: str | None = None,
        min_confidence: float = 0.0,
    ) -> _Facts:
        """The facts that hold, the one that was said last first.

        Args:
            user_id: of which user; a view knows its user.
            attribute: only this one.
            subject: only about "user", or a name.
            min_confidence: 0..1, inclusive.

        Raises:
            InvalidInputError: an argument is not usable, or nothing says whose.
            ForeignUserError: the view is another user's.
        """
        least = checks.unit_interval("min_confidence", min_confidence)
        found = await self._facts(user_id, attribute, subject)
        return [
            fact
            for fact in reversed(found)
            if fact.archived_at is None and fact.confidence >= least
        ]

    @acts("read")
    async def history(
        self,
        user_id: str | None = None,
        *,
        attribute: str | None = None,
        subject: str | None = None,
    ) -> _Facts:
        """All facts, also those that hold no more, in the order in which they were said first.

        Raises: as :meth:`list`.
        """
        return await self._facts(user_id, attribute, subject)

    @acts("administer")
    async def wait(self) -> None:
        """Read now what waits to be extracted in the background, and return when that is done.

        The profiles of the users have it then. Extraction that has failed is in ``health()``, and
        is tried again later.

        Raises:
            EngineError: a profile could not be taken from the rows, or not be saved.
        """
        self._handle.caller.whole("extraction in the background")
        await self._background.wait()
        await self._learned()

    async def _facts(
        self, user_id: str | None, attribute: str | None, subject: str | None
    ) -> _Facts:
        user = self._user(user_id)
        name = None if attribute is None else _short("attribute", attribute, _LONGEST_ATTRIBUTE)
        found = [fact for fact, _ in await stored_facts(await self._handle.store(), user)]
        return sorted(
            (
                fact
                for fact in found
                if name in (None, fact.attribute) and subject in (None, fact.subject)
            ),
            key=lambda fact: (fact.said_at, fact.said_last, fact.id),
        )

    def _user(self, user_id: str | None) -> str:
        user = self._handle.caller.acting_for(user_id)
        if user is None:
            raise InvalidInputError(
                "user_id", "is missing", fix="Give user_id=..., or use for_user()."
            )
        return user

    def _method(self, method: Any) -> Literal["patterns", "llm"]:
        if method is None:
            setting = self._handle.config.extract
            method = setting if setting != "off" else "patterns"
            if setting == "off" and self._handle.llm is not None:
                method = "llm"
        if not isinstance(method, str) or method not in ("patterns", "llm"):
            raise InvalidInputError(
                "method", f"{checks.shown(method)} is none", fix="Give 'patterns' or 'llm'."
            )
        if method == "llm" and self._handle.llm is None:
            raise InvalidInputError(
                "method", "is 'llm', and the memory has no model", fix="Open it with llm=..., too."
            )
        named: Literal["patterns", "llm"] = "llm" if method == "llm" else "patterns"
        return named


def _short(field: str, value: Any, longest: int) -> str:
    text = " ".join(checks.storable_text(field, value).split())
    if len(text) > longest:
        raise InvalidInputError(
            field, f"has {len(text):,} characters", fix=f"Give {longest} at most."
        )
    return text


def _at(turns: Sequence[SourceTurn], at: int | None) -> tuple[SourceTurn, ...]:
    """The sources of a fact; said at another time where a caller says so."""
    return tuple(turn if at is None else replace(turn, at=at) for turn in turns)


def _same(fact: Fact, given: Candidate) -> bool:
    return same_value(fact.value) == given.same
