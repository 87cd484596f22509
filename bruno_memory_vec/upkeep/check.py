"""The result of one check of a store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.errors import BackendUnavailable, problem_and_fix

OK = "ok"
NOTE = "note"
PROBLEM = "problem"

#: The advice where the rows are lost, which cannot be rebuilt.
RESTORE = "The rows are the truth: restore the store from a snapshot or a backup."


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check.

    Attributes:
        name: the part that was checked.
        state: "ok", "note" (information) or "problem".
        found: what was found.
        fix: what to do about it; may be empty.
    """

    name: str
    state: str
    found: str
    fix: str = ""


async def guarded(name: str, look: Callable[[], Awaitable[Check]], fix: str = "") -> Check:
    """A check; where it fails, the problem that made it fail.

    Args:
        name: the part that is checked.
        look: checks it.
        fix: the advice if it fails; without it, the error's own.
    """
    try:
        return await look()
    except BrunoError as error:
        problem, own = problem_and_fix(error)
        # A part that cannot be reached is not repaired by rebuilding it.
        away = isinstance(error, BackendUnavailable)
        return Check(name, PROBLEM, problem, own if away else fix or own)
