"""Whose the rows of a batch are: decided within the commit, where one batch follows the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bruno_memory_vec.sessions.owners import Owners, foreign_conversation
from bruno_memory_vec.writing.queue import Request


class Settled(NamedTuple):
    """The requests of a batch.

    Attributes:
        now: those that agree on whose each conversation is.
        later: those that disagree with a request in ``now``, and those behind them in the same
            conversation. If ``now`` is not stored, the conversation may be theirs.
        begun: by conversation, who owns it if ``now`` is stored.
    """

    now: list[Request]
    later: list[Request]
    begun: dict[str, str]


async def settle(requests: Sequence[Request], owners: Owners) -> Settled:
    """Decide whose the rows of each request are, and refuse those in others' conversations.

    Rows whose caller named nobody are given to the conversation's owner. A request is refused by
    itself: its caller gets a :class:`ForeignUserError`, and the others of the batch go on.

    Args:
        requests: what is about to be committed, in the order of the calls.
        owners: who owns which conversation, by the rows that are committed.

    Raises:
        EngineError: the owners cannot be read.
    """
    named = {talk for request in requests for talk, _ in request.claim if talk is not None}
    known = await owners.of(named) if named else {}
    now, later, begun = Settled([], [], {})
    disputed: set[str] = set()
    for request in requests:
        claim = request.claim
        if request.unnamed is not None:
            ((talk, _),) = claim
            owner = known.get(talk or "") or begun.get(talk or "") or request.unnamed
            claim = frozenset([(talk, owner)])
            if request.rows[0]["user_id"] != owner:
                for row in request.rows:
                    row["user_id"] = owner
        begins: dict[str, str] = {}
        refused = _foreign(claim, known, begins)
        if refused is not None:
            if not request.done.done():
                request.done.set_exception(foreign_conversation(*refused))
        elif _foreign(begins.items(), begun, {}) or not disputed.isdisjoint(begins):
            # Who comes later in the same conversation waits behind this one.
            later.append(request)
            disputed.update(begins)
        else:
            now.append(request)
            begun.update(begins)
    return Settled(now, later, begun)


def _foreign(
    claim: Iterable[tuple[str | None, str]], known: Mapping[str, str], begins: dict[str, str]
) -> tuple[str, str] | None:
    """A conversation in ``claim`` that is another's, with the claim's user; None where none is.

    Those that have no owner are collected in ``begins``; ``claim`` may give each to one user only.
    """
    for talk, user in claim:
        if talk is not None:
            owner = known.get(talk) or begins.setdefault(talk, user)
            if owner != user:
                return talk, user
    return None
