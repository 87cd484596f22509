"""A chat that is a tree, because messages were edited and answers made again, as conversations.

The branch that the site shows is the conversation itself. Each other branch is one of its own, with
what differs only: it begins where it forks off, so that nothing is there twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from bruno_memory_vec.portability.records import BadFieldError


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch.

    Attributes:
        name: "" of the one that is shown; else what tells it from the others, which stays as it is
            when the branch grows: eight digits made of the id of its first node.
        after: the node that it forks off from; None of the one that is shown.
        nodes: oldest first.
    """

    name: str
    after: str | None
    nodes: list[str]


def branches(parents: Mapping[str, str | None], current: str | None, where: str) -> list[Branch]:
    """The branches of a tree, the one that is shown first, the others as they begin.

    Args:
        parents: by node its parent; a node without one is a root. In the order of the source.
        current: the last node of the branch that is shown; None: the last node there is.
        where: the field that names it, for errors.

    Raises:
        BadFieldError: the branch does not lead to a root.
    """
    if not parents:
        return []
    if current is None:
        # Some exports do not say it: what was said last is at the end.
        inner = set(parents.values())
        current = next((node for node in reversed(list(parents)) if node not in inner), None)
        if current is None:
            raise BadFieldError(where, "is missing, and the messages are a loop")
    shown: list[str] = []
    seen: set[str] = set()
    key: str | None = current
    while key is not None:
        if key not in parents:
            raise BadFieldError(where, "does not lead to the root: a node is missing")
        if key in seen:
            raise BadFieldError(where, "does not lead to the root: a loop")
        seen.add(key)
        shown.append(key)
        key = parents[key]
    found = [Branch("", None, shown[::-1])]
    # Children after their parents, whatever the order of the source.
    children: dict[str | None, list[str]] = {}
    for node, parent in parents.items():
        children.setdefault(parent if parent in parents else None, []).append(node)
    at: dict[str, Branch] = dict.fromkeys(shown, found[0])
    waiting = list(reversed(children.get(None, [])))
    while waiting:
        node = waiting.pop()
        waiting.extend(reversed(children.get(node, [])))
        if node in at:
            continue
        parent = parents[node]
        before = None if parent is None else at.get(parent)
        if before is not None and before.name and before.nodes[-1] == parent:
            before.nodes.append(node)
            at[node] = before
        else:
            at[node] = Branch(_digits(node), parent if before is not None else None, [node])
            found.append(at[node])
    return found


def _digits(node: str) -> str:
    # Not the id's own beginning, which ids that are made from the time have in common.
    return hashlib.sha256(node.encode("utf-8", "replace")).hexdigest()[:8]
