"""What a copy did, or would do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bruno_memory_vec.wording import counted


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What a copy did, or, of a dry run, what it would do.

    Attributes:
        source: the store that was copied.
        target: where.
        dry_run: nothing was written.
        rows: how many messages and memories the source has, of the users that were asked for.
        rows_by_user: by user and kind ("message", "memory"), how many of them.
        present: how many of them the target had already, as they are.
        copied: how many were written, those that differed there included.
        embedded: how many of these were embedded anew.
        others: how many rows of the target the source does not have, and were kept.
        removed: how many such rows were removed.
        verified: how many rows were compared with the source by their checksums, and are the same.
        conversations: how many conversations have an owner.
        sessions: how many sessions.
        users: how many users have a profile.
        problems: what is not as it is in the source, in words; empty is a whole copy.
        seconds: how long it took.
    """

    source: str
    target: str
    dry_run: bool
    rows: int
    rows_by_user: dict[str, dict[str, int]]
    present: int = 0
    copied: int = 0
    embedded: int = 0
    others: int = 0
    removed: int = 0
    verified: int = 0
    conversations: int = 0
    sessions: int = 0
    users: int = 0
    problems: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the target has everything, as it is in the source."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``ok`` as plain values that JSON can hold."""
        values = {name: getattr(self, name) for name in CopyReport.__slots__}
        seconds = round(self.seconds, 3)
        return {**values, "problems": list(self.problems), "seconds": seconds, "ok": self.ok}

    def __str__(self) -> str:
        """A few lines for people."""
        what = "would copy" if self.dry_run else "copied"
        lines = [
            f"{what} {self.copied:,} of {counted(self.rows, 'row')} from {self.source} to "
            f"{self.target}"
            + (f", {self.embedded:,} of them embedded anew" if self.embedded else "")
        ]
        if self.present:
            lines.append(f"{counted(self.present, 'row was', 'rows were')} there already")
        if self.others:
            alone = counted(self.others, "row of the target is", "rows of the target are")
            lines.append(
                f"{alone} not in the source, and {'stays' if self.others == 1 else 'stay'}"
            )
        if self.removed:
            lacks = "of the target that the source lacks"
            if self.dry_run:
                lines.append(f"{counted(self.removed, 'row')} {lacks} would be removed")
            else:
                gone = counted(self.removed, f"row {lacks} was", f"rows {lacks} were")
                lines.append(f"{gone} removed")
        lines.append(
            f"{counted(self.conversations, 'conversation')}, {counted(self.sessions, 'session')}, "
            f"{counted(self.users, 'profile of a user', 'profiles of users')}"
        )
        if not self.dry_run:
            lines.append(
                counted(
                    self.verified,
                    "row verified by its checksum",
                    "rows verified by their checksums",
                )
            )
        lines.extend(f"PROBLEM: {problem}" for problem in self.problems)
        return "\n".join(lines)
