"""What waits, by user: each user's in order, and users take turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Generic, Protocol, TypeVar


class Owned(Protocol):
    """What can wait in :class:`Lanes`: it names the users whose it is, at least one."""

    @property
    def users(self) -> Collection[str]:
        """Whose it is."""
        ...


T = TypeVar("T", bound=Owned)


class Lanes(Generic[T]):
    """A lane for each user. What is several users' waits in the lane of each.

    So any two that have a user in common keep their order, and the others have none.
    """

    def __init__(self) -> None:
        # In the order in which users are served: who was served last is last.
        self._lanes: dict[str, deque[T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[T]:
        """Everything that waits, lane by lane."""
        for user, lane in self._lanes.items():
            yield from (one for one in lane if _first(one) == user)

    def any_of(self, users: Iterable[str]) -> bool:
        """Whether something of these users waits."""
        return bool(self._lanes) and any(user in self._lanes for user in users)

    def add(self, one: T) -> None:
        """Put something at the end of its users' lanes."""
        for user in one.users:
            self._lanes.setdefault(user, deque()).append(one)
        self._count += 1

    def heads(self, users: Iterable[str] | None = None) -> Iterator[T]:
        """What is at the head of all its lanes, those first whose user was served longest ago.

        Args:
            users: only of these lanes. Default: of all.

        What was given may be taken out by :meth:`served` or :meth:`remove` at once.
        """
        for user in list(self._lanes if users is None else users):
            lane = self._lanes.get(user)
            if lane is None:
                continue
            one = lane[0]
            if len(one.users) == 1 or (
                _first(one) == user and all(self._lanes[other][0] is one for other in one.users)
            ):
                yield one

    def served(self, one: T) -> None:
        """Take out what is at the head of its lanes; its users are the last to be served again."""
        for user in one.users:
            lane = self._lanes.pop(user)
            lane.popleft()
            if lane:
                self._lanes[user] = lane
        self._count -= 1

    def remove(self, one: T) -> None:
        """Take something out, wherever it stands."""
        for user in one.users:
            lane = self._lanes[user]
            lane.remove(one)
            if not lane:
                del self._lanes[user]
        self._count -= 1


def _first(one: Owned) -> str:
    return next(iter(one.users))
