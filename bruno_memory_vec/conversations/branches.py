"""Branches: a conversation that was forked from another one at a turn, and shares its past.

The past is stored in the branch as well: the same messages under the same ids, turns and times, in
one commit, with the vectors that they have. So a branch is a conversation like any other, it stays
where the other one is deleted, and a recall shows what both have once. That it is a branch, and of
which conversation, is in its note.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from types import MappingProxyType
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc

from bruno_memory_vec.conversations.activity import Within, is_archived, last_stored
from bruno_memory_vec.conversations.listing import opening_words
from bruno_memory_vec.conversations.titles import LONGEST
from bruno_memory_vec.conversations.turn_taking import with_results
from bruno_memory_vec.errors import EngineError, InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MESSAGE, micros
from bruno_memory_vec.prompts.hidden_characters import one_line
from bruno_memory_vec.sessions.protocol import ConversationNote
from bruno_memory_vec.store.notes import change_note
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.writing.writer import Writer

# So much of a tree is printed.
_SHOWN_BRANCHES, _SHOWN_DEPTH = 50, 20


@dataclass(frozen=True, slots=True)
class Branch:
    """A conversation in the tree of those that were forked from one another.

    Attributes:
        conversation_id: which.
        parent_id: what it was forked from; None for the first one, or where that was deleted.
        forked_at: the last turn that it shares with its parent; None where ``parent_id`` is.
        title: given, made by a model, or its first words, as in ``ConversationInfo``.
        archived: whether it is archived.
        branches: what was forked from it, the oldest first.
    """

    conversation_id: str
    parent_id: str | None
    forked_at: int | None
    title: str
    archived: bool
    branches: tuple[Branch, ...] = ()

    def __iter__(self) -> Iterator[Branch]:
        """This one and all below it, each before its branches."""
        waiting = [self]
        while waiting:
            branch = waiting.pop()
            yield branch
            waiting += reversed(branch.branches)

    def __str__(self) -> str:
        """A line for each, further to the right the deeper it is; of a large tree the first 50."""
        lines: list[str] = []
        waiting = [(0, self)]
        while waiting and len(lines) < _SHOWN_BRANCHES:
            depth, branch = waiting.pop()
            lines.append("  " * min(depth, _SHOWN_DEPTH) + branch._line())
            waiting += [(depth + 1, below) for below in reversed(branch.branches)]
        if waiting:
            lines.append("…")
        return "\n".join(lines)

    def _line(self) -> str:
        facts = [one_line(self.conversation_id)]
        if self.parent_id is not None:
            facts.append(f"from turn {self.forked_at}")
        if self.archived:
            facts.append("archived")
        return f"{one_line(self.title, LONGEST) or 'no title'}  ({', '.join(facts)})"


async def fork(
    store: Store,
    writer: Writer,
    owner: str,
    conversation_id: str,
    turn: int | None,
    title: str | None,
) -> ConversationNote:
    """Make a branch; returns its note. All of its past is stored, or there is no branch.

    Args:
        store: the open store.
        writer: its writer.
        owner: whose conversation it is.
        conversation_id: what is forked.
        turn: the last turn that the branch has; None for the newest. Where it is a call of tools,
            the results that follow come along.
        title: of the branch; None for none.

    Raises:
        InvalidInputError: there is no such turn.
        EngineError: nothing was stored.
    """
    scope = Scope.user(owner).within(conversation_id)
    turns = await with_results(store.rows, scope, turn)
    if not turns:
        raise await _no_turn(store, scope, turn)
    parent = await store.sessions.note(owner, conversation_id)
    extracted = None if parent is None else parent.extracted_turns
    note = ConversationNote(
        conversation_id=str(uuid4()),
        user_id=owner,
        created_at=datetime.now(timezone.utc),
        title=title,
        title_by=None if title is None else "given",
        parent_id=conversation_id,
        forked_at=turns[-1],
        # The facts of the past are extracted, or will be, where it was said.
        extracted_turns=None if extracted is None else min(extracted, turns[-1] + 1),
    )
    async with writer.exclusive:
        # Begun by this, it is not taken for a conversation of which turns may be lost.
        await store.sessions.apply([], -1, {note.conversation_id: owner})
    archived = None if parent is None else parent.archived_at
    copying: asyncio.Future[int] | None = None
    try:
        # The note first: a branch that has rows is known as one. A note without rows is no branch.
        await store.sessions.save_note(note)
        copying = asyncio.ensure_future(
            writer.branch(
                scope,
                turns,
                note.conversation_id,
                None if archived is None else micros(archived),
            )
        )
        stored = await asyncio.shield(copying)
    except BaseException:
        # Where the caller was cancelled, the copying itself goes on to its end.
        if copying is not None:
            await asyncio.gather(copying, return_exceptions=True)
        with suppress(EngineError):
            made = Scope.user(owner).within(note.conversation_id)
            if not await store.rows.count(made, RowFilter()):
                await store.sessions.drop_note(owner, note.conversation_id)
        raise
    store.owners.remember({note.conversation_id: owner})
    if not stored:
        await store.sessions.drop_note(owner, note.conversation_id)
        raise InvalidInputError(
            "turn", "is of messages that were deleted meanwhile", fix="Give an earlier one."
        )
    return note


async def _no_turn(store: Store, scope: Scope, turn: int | None) -> InvalidInputError:
    there = [] if turn is None else await with_results(store.rows, scope, None)
    if not there:
        problem = "has nothing to fork at: the conversation has no message"
    else:
        problem = (
            f"is {turn}, and the conversation has no such turn: it has {len(there)} from turn "
            f"{there[0]} to {there[-1]}, and those that were deleted left gaps"
        )
    return InvalidInputError(
        "turn", problem, fix="Give the turn of a message of it, as of turns()."
    )


async def tree(store: Store, owner: str, conversation_id: str) -> Branch:
    """The tree that a conversation is in; see :func:`tree_of`.

    Raises:
        EngineError: an engine failed.
    """
    scope, notes = Scope.user(owner), await store.sessions.notes(owner)
    names = {conversation_id}
    for one in notes:
        if one.parent_id is not None:
            names |= {one.conversation_id, one.parent_id}
    said = await _messages(store, scope, names)
    there = set(pc.unique(said.column("conversation_id")).to_pylist())
    words = await opening_words(store.rows, scope, said, there)
    stored = await last_stored(store, there)
    archived = {
        one.conversation_id for one in notes if is_archived(one, stored.get(one.conversation_id))
    }
    return tree_of(conversation_id, notes, there, words, archived)


async def detach(store: Store, owner: str, conversation_id: str) -> None:
    """Let the branches of a conversation that is to be deleted be conversations without a parent.

    So they are no branches of what may be stored under its id later.

    Raises:
        EngineError: an engine failed.
    """
    notes = await store.sessions.notes(owner)
    below = [one.conversation_id for one in notes if one.parent_id == conversation_id]
    if not below:
        return
    said = await _messages(store, Scope.user(owner), below)
    # A note without rows is of a fork that is under way or was never finished: no branch.
    for name in pc.unique(said.column("conversation_id")).to_pylist():
        await change_note(store, owner, name, parent_id=None, forked_at=None)


async def _messages(store: Store, scope: Scope, names: Collection[str]) -> pa.Table:
    """The messages of some conversations: conversation_id, turn, role."""
    where = Within(kinds=(MESSAGE,), conversations=tuple(names))
    return await store.rows.read(scope, where, ("conversation_id", "turn", "role"))


def tree_of(
    conversation_id: str,
    notes: Iterable[ConversationNote],
    existing: Iterable[str],
    words: Mapping[str, str] = MappingProxyType({}),
    archived: Collection[str] = (),
) -> Branch:
    """The tree that a conversation is in, from the first one on.

    Args:
        conversation_id: any conversation of it.
        notes: all notes of its user.
        existing: the conversations that have messages.
        words: by conversation, the title where none was given or made.
        archived: which of them are archived.
    """
    there = {conversation_id, *existing}
    known = {note.conversation_id: note for note in notes if note.conversation_id in there}
    parents = {name: note.parent_id for name, note in known.items() if note.parent_id in there}
    root, seen = conversation_id, {conversation_id}
    while (above := parents.get(root)) is not None and above not in seen:
        root = above
        seen.add(root)
    below: dict[str, list[ConversationNote]] = {}
    for name, above in parents.items():
        if above is not None and name != root:
            below.setdefault(above, []).append(known[name])
    names = [root]
    for name in names:  # it grows: each one before those below it
        children = sorted(
            below.get(name, ()), key=lambda one: (one.created_at, one.conversation_id)
        )
        names += [one.conversation_id for one in children]
    # From the last to the first, so that the branches of each are made before it.
    made: dict[str, list[Branch]] = {name: [] for name in names}
    for name in reversed(names):
        note = known.get(name)
        parent = None if name == root else parents.get(name)
        branch = Branch(
            conversation_id=name,
            parent_id=parent,
            forked_at=None if note is None or parent is None else note.forked_at,
            title=(None if note is None else note.title) or words.get(name, ""),
            archived=name in archived,
            branches=tuple(reversed(made[name])),
        )
        if parent is None:
            return branch
        made[parent].append(branch)
    raise AssertionError("the first one is the last one made")
