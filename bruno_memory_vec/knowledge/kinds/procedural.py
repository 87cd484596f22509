"""``memory.procedural``: how something is done, in steps, and how often that has worked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec.acts import acts
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.knowledge.kinds.semantic import normal
from bruno_memory_vec.knowledge.kinds.view import Given, TypedView
from bruno_memory_vec.prompts.hidden_characters import one_line
from bruno_memory_vec.rows import checks

#: In ``custom_fields`` of a procedure.
TASK, STEPS, WORKED, FAILED = "task", "steps", "successes", "failures"
_MOST_STEPS: Final = 200
# One that never works loses this share of its score; one that always works loses nothing.
_WEIGHT_OF_RELIABILITY: Final = 0.5
# Asked for more than are wanted, as the order changes by what has worked.
_TIMES_AS_MANY: Final = 3
# So many characters of a text, and so many steps, are printed.
_SHOWN, _SHOWN_STEPS = 100, 20
_STEP: Final = re.compile(r"\s*(?:\d{1,3}[.)]|[-*•])\s+(.+)")


@dataclass(frozen=True, slots=True)
class Procedure:
    """How a task is done.

    Attributes:
        entry: the memory as it is stored.
        task: what it is for.
        steps: what to do, in this order.
        successes: how often it has worked.
        failures: how often it has not.
        score: how well it fits the question, with how reliable it is; 0 without a question.
    """

    entry: MemoryEntry
    task: str
    steps: tuple[str, ...]
    successes: int
    failures: int
    score: float = 0.0

    def __str__(self) -> str:
        used = f"{self.successes:,} of {self.successes + self.failures:,} times it worked"
        lines = [f"{one_line(self.task, _SHOWN)}  ({used})"]
        lines += [
            f"  {number}. {one_line(step, _SHOWN)}"
            for number, step in enumerate(self.steps[:_SHOWN_STEPS], 1)
        ]
        if len(self.steps) > _SHOWN_STEPS:
            lines.append(f"  ... and {len(self.steps) - _SHOWN_STEPS:,} more")
        return "\n".join(lines)

    @property
    def id(self) -> UUID:
        """The memory's id."""
        id_: UUID = self.entry.id
        return id_

    @property
    def reliability(self) -> float:
        """The probability that it works next time, 0..1: (successes + 1) / (uses + 2).

        Laplace's rule of succession; .5 where it was not used.
        """
        return (self.successes + 1) / (self.successes + self.failures + 2)

    @classmethod
    def of(cls, entry: MemoryEntry, score: float = 0.0) -> Procedure:
        """The procedure of a PROCEDURAL memory.

        One that was stored by another call has its task and steps in its text: the steps are the
        lines that begin with a number or a bullet, the task what stands before them.
        """
        fields = entry.metadata.custom_fields
        steps, task = fields.get(STEPS), fields.get(TASK)
        if not isinstance(steps, list) or not isinstance(task, str):
            lines = entry.content.splitlines()
            marked = [found[1].strip() for line in lines if (found := _STEP.fullmatch(line))]
            first = next((line for line in lines if line.strip() and not _STEP.fullmatch(line)), "")
            task, steps = (first.strip() or entry.content.strip()), marked
        return cls(
            entry=entry,
            task=task,
            steps=tuple(map(str, steps)),
            successes=_count(fields.get(WORKED)),
            failures=_count(fields.get(FAILED)),
            score=score,
        )


class ProceduralMemory(TypedView):
    """How things are done: PROCEDURAL memories, each a task with its steps."""

    types: ClassVar = (MemoryType.PROCEDURAL,)
    default_type: ClassVar = MemoryType.PROCEDURAL
    name: ClassVar = "procedural"

    @acts("write")
    async def add(
        self,
        task: str | MemoryEntry,
        steps: Sequence[str] = (),
        *,
        user_id: str | None = None,
        conversation_id: str | None = None,
        category: str | None = None,
        tags: Sequence[str] = (),
        importance: float = 0.5,
        confidence: float = 1.0,
        metadata: Mapping[str, Any] | None = None,
        origin: Given = "given",
    ) -> Procedure:
        """Store how a task is done.

        Args:
            task: what it is for ("reset the router"), or a whole entry of the type PROCEDURAL.
            steps: what to do, in this order. An entry has them in its text.
            user_id: whose; a view knows its user.
            conversation_id: where it is from.
            category: a name to find it by.
            tags: names to find it by.
            importance: 0..1.
            confidence: 0..1.
            metadata: further ``custom_fields``.
            origin: who it comes from.

        Raises:
            InvalidInputError: a value is not usable, or a text has no steps. Nothing was written.
            ForeignUserError: the view or the conversation is another user's.
            ReadOnlyError, EmbeddingError, EngineError: it was not stored.
        """
        if isinstance(task, MemoryEntry):
            entry = self._entry(task, user_id)
        else:
            listed = _steps(steps)
            entry = self._entry(
                _text(checks.storable_text("task", task), listed),
                user_id,
                conversation_id=conversation_id,
                category=category,
                tags=tags,
                importance=importance,
                confidence=confidence,
                metadata={**(metadata or {}), TASK: task, STEPS: listed, WORKED: 0, FAILED: 0},
            )
        await self._memory.store_memory(entry, origin=origin)
        return Procedure.of(entry)

    @acts("read")
    async def find(
        self,
        task: str,
        *,
        user_id: str | None = None,
        k: int = 3,
        tags: str | Sequence[str] | None = None,
    ) -> list[Procedure]:
        """The procedures for a task ("how do I reset the router?"), best first.

        Of those that fit, the ones that have worked come before the ones that have not.

        Raises: as :meth:`recall`.
        """
        k = checks.limit("k", k)
        most = min(checks.LARGEST_LIMIT, _TIMES_AS_MANY * k)
        hits = await self.recall(task, user_id=user_id, k=most, tags=tags)
        found = [
            Procedure.of(hit.record, hit.score)
            for hit in hits
            if isinstance(hit.record, MemoryEntry)
        ]
        # Procedures for one task fit as well as the best of them; their steps make no difference.
        fits: dict[str, float] = {}
        for one in found:
            fits[normal(one.task)] = max(one.score, fits.get(normal(one.task), one.score))
        ranked = [replace(one, score=_ranked(fits[normal(one.task)], one)) for one in found]
        return sorted(ranked, key=lambda one: -one.score)[:k]

    @acts("write")
    async def used(
        self, memory_id: str | UUID, *, worked: bool, user_id: str | None = None
    ) -> Procedure:
        """Count that a procedure was used, and whether it worked.

        Raises:
            NotFoundError: there is no such procedure for this caller.
        """
        key = WORKED if checks.flag("worked", worked) else FAILED

        def counted(entry: MemoryEntry) -> MemoryEntry:
            fields = entry.metadata.custom_fields
            entry.metadata.custom_fields = {**fields, key: _count(fields.get(key)) + 1}
            return entry

        return Procedure.of(await self._changed(memory_id, user_id, counted))

    @acts("write")
    async def change_steps(
        self, memory_id: str | UUID, steps: Sequence[str], *, user_id: str | None = None
    ) -> Procedure:
        """Replace the steps. What has worked is counted anew: it was another procedure.

        Raises:
            NotFoundError: there is no such procedure for this caller.
            InvalidInputError: there are no steps, or one cannot be kept.
        """
        listed = _steps(steps)

        def changed(entry: MemoryEntry) -> MemoryEntry:
            task = Procedure.of(entry).task
            entry.content = _text(task, listed)
            fields = {TASK: task, STEPS: listed, WORKED: 0, FAILED: 0}
            entry.metadata.custom_fields = {**entry.metadata.custom_fields, **fields}
            return entry

        return Procedure.of(await self._changed(memory_id, user_id, changed, embed=True))


def _ranked(fit: float, procedure: Procedure) -> float:
    """How well a procedure fits, with how reliable it is."""
    share = _WEIGHT_OF_RELIABILITY * (1 - procedure.reliability)
    return fit - abs(fit) * share


def _steps(steps: Any) -> list[str]:
    fix = "Give what to do as a list of texts, in their order."
    if isinstance(steps, (str, bytes)) or not isinstance(steps, Sequence):
        raise InvalidInputError("steps", f"expected a list, not {type(steps).__name__}", fix=fix)
    if not 0 < len(steps) <= _MOST_STEPS:
        raise InvalidInputError("steps", f"has {len(steps)} of them", fix=f"{fix} At most 200.")
    return [checks.storable_text("steps", step).strip() for step in steps]


def _text(task: str, steps: Sequence[str]) -> str:
    """Task and steps as one text, in which both are found."""
    lines = [f"{number}. {' '.join(step.split())}" for number, step in enumerate(steps, 1)]
    return "\n".join([" ".join(task.split()), *lines])


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
