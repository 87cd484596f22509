"""Which conversations are compressed, and what of a conversation was left halfway."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bruno_memory_vec.compression.blocks import Turn, may_be_compressed
from bruno_memory_vec.compression.reading import Place, digest_of_summaries, outlines
from bruno_memory_vec.compression_policy import CompressionPolicy
from bruno_memory_vec.indexers.query import Scope
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.rows.checks import moment
from bruno_memory_vec.rows.models import utc
from bruno_memory_vec.rows.summaries import Summary
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.writing.dependants.summaries import stored_summaries


@dataclass(frozen=True, slots=True)
class Planned:
    """A conversation in which there is something to do.

    Attributes:
        place: its user and its id.
        groups: the turns that may be compressed, without texts, as of :func:`may_be_compressed`;
            none where they are too few.
    """

    place: Place
    groups: Sequence[Sequence[Turn]]

    @property
    def turns(self) -> int:
        """How many turns may be compressed."""
        return sum(map(len, self.groups))


async def planned(
    store: Store, scope: Scope, policy: CompressionPolicy, now: datetime
) -> list[Planned]:
    """The conversations of a scope in which there is something to do, the oldest first."""
    said = await outlines(store.rows, scope)
    if not said:
        return []
    users = {user for user, _ in said}
    summaries = await stored_summaries(store.rows, users, scope.conversation_id)
    halfway = _halfway(said, summaries, policy)
    meant = await _meant(store, said, policy, now)
    found = []
    for place, turns in said.items():
        groups = may_be_compressed(turns, policy, now) if place in meant else []
        if sum(map(len, groups)) < policy.min_turns:
            groups = []
        if groups or place in halfway:
            found.append(Planned(place, groups))
    return sorted(found, key=lambda one: said[one.place][0].at)


def _halfway(
    said: Mapping[Place, Sequence[Turn]], summaries: Sequence[Summary], policy: CompressionPolicy
) -> set[Place]:
    """The conversations in which a run has ended between two steps."""
    found: set[Place] = set()
    parts: dict[Place, list[Summary]] = {}
    whole: dict[Place, str] = {}
    for one in summaries:
        if one.conversation_id is not None:
            place = (one.user_id, one.conversation_id)
            if one.level == "block":
                parts.setdefault(place, []).append(one)
            else:
                whole[place] = one.digest
    for place, some in parts.items():
        ids = [id_ for one in some for id_ in one.sources]
        turns = {turn.id: turn for turn in said.get(place, ())}
        done = len(set(ids)) == len(ids) and all(
            id_ in turns and (turns[id_].archived or turns[id_].pinned) for id_ in ids
        )
        outdated = len(some) > 1 and whole.get(place) != digest_of_summaries(some)
        if not done or (policy.sessions and outdated):
            found.add(place)
    return found


async def _meant(
    store: Store, said: Mapping[Place, Sequence[Turn]], policy: CompressionPolicy, now: datetime
) -> Collection[Place]:
    """The conversations that the policy means."""
    if policy.conversations == "idle":
        least = micros(now) - int(policy.idle_after.total_seconds() * 1_000_000)
        return {place for place, turns in said.items() if max(t.at for t in turns) < least}
    if policy.conversations == "ended":
        ended = {user: await _ended(store, user) for user in {user for user, _ in said}}
        return {
            place
            for place, turns in said.items()
            if place[1] in ended[place[0]]
            # It goes on where something was stored in it later.
            and utc(turns[-1].at) <= ended[place[0]][place[1]]
        }
    return said.keys()


async def _ended(store: Store, user_id: str) -> dict[str, datetime]:
    """When conversations of a user ended: by their note, or with the last of their sessions."""
    notes = await store.sessions.notes(user_id)
    found = {note.conversation_id: note.ended_at for note in notes if note.ended_at is not None}
    sessions = await store.sessions.sessions(user_id, active=None, limit=None, after=None)
    active = {one.conversation_id for one in sessions if one.is_active}
    for session in sessions:
        if session.conversation_id not in active and session.ended_at is not None:
            at = moment("session.ended_at", session.ended_at)
            known = found.get(session.conversation_id)
            found[session.conversation_id] = at if known is None else max(at, known)
    return found
