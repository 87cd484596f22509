"""What a backup, a check of one and a pruning tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bruno_memory_vec.store.record import readable_size
from bruno_memory_vec.upkeep.backup.points import Point
from bruno_memory_vec.wording import counted


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup did.

    Attributes:
        target: where the backup is.
        point: the new point.
        points: how many points the backup has now.
        written: how many rows were written; the others were there.
        bytes_written: how many bytes were written.
        bytes: how much room the backup takes now.
        seconds: how long it took.
        waited: for how long of these writes had to wait, in seconds.
    """

    target: str
    point: Point
    points: int
    written: int
    bytes_written: int
    bytes: int
    seconds: float
    waited: float

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with the store, as far as was seen."""
        return not self.point.problems

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``ok`` as plain values that JSON can hold."""
        return {
            "target": self.target,
            "point": self.point.to_dict(),
            "points": self.points,
            "written": self.written,
            "bytes_written": self.bytes_written,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "waited": round(self.waited, 3),
            "ok": self.ok,
        }

    def __str__(self) -> str:
        """A few lines for people."""
        point = self.point
        lines = [
            f"point {point.number} of {self.target}: {counted(point.rows, 'row')}",
            f"{point.added:,} added or changed, {point.removed:,} removed or changed since the "
            "point before",
            f"{counted(self.written, 'row')} written, {readable_size(self.bytes_written)}; the "
            f"backup takes {readable_size(self.bytes)} for {counted(self.points, 'point')}",
        ]
        lines.extend(f"PROBLEM: {problem}" for problem in point.problems)
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class BackupCheck:
    """What a check of a backup found.

    Attributes:
        target: where the backup is.
        points: its points, the oldest first.
        pieces: how many pieces were read.
        rows: how many rows these hold.
        erased: how many of them cannot be opened, since their user's key was destroyed.
        bytes: how much room it takes.
        broken: by the number of a point, what of it is missing or damaged.
        problems: all that is wrong, in words; empty is sound.
        seconds: how long it took.
    """

    target: str
    points: tuple[Point, ...]
    pieces: int
    rows: int
    erased: int
    bytes: int
    broken: dict[int, list[str]]
    problems: tuple[str, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every piece is as it was written, and every point whole."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``ok`` as plain values that JSON can hold."""
        return {
            "target": self.target,
            "points": [point.to_dict() for point in self.points],
            "pieces": self.pieces,
            "rows": self.rows,
            "erased": self.erased,
            "bytes": self.bytes,
            "broken": {str(number): found for number, found in self.broken.items()},
            "problems": list(self.problems),
            "seconds": round(self.seconds, 3),
            "ok": self.ok,
        }

    def __str__(self) -> str:
        """A few lines for people."""
        whole = len(self.points) - len(self.broken)
        lines = [
            f"{self.target}: {whole:,} of "
            f"{counted(len(self.points), 'point is', 'points are')} whole",
            f"{counted(self.pieces, 'piece')} read, {counted(self.rows, 'row')}, "
            f"{readable_size(self.bytes)}",
        ]
        if self.erased:
            lines.append(
                f"{counted(self.erased, 'row is', 'rows are')} of users whose key was destroyed"
            )
        lines.extend(f"PROBLEM: {problem}" for problem in self.problems)
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class PruneBackupReport:
    """What a pruning did.

    Attributes:
        target: where the backup is.
        removed: the points that went.
        kept: those that stayed.
        rewritten: how many chunks were written anew, without what no point has any more.
        bytes_before: how much room the backup took.
        bytes: how much it takes now.
        dry_run: nothing was removed.
    """

    target: str
    removed: tuple[Point, ...]
    kept: tuple[Point, ...]
    rewritten: int
    bytes_before: int
    bytes: int
    dry_run: bool

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {
            "target": self.target,
            "removed": [point.to_dict() for point in self.removed],
            "kept": [point.to_dict() for point in self.kept],
            "rewritten": self.rewritten,
            "bytes_before": self.bytes_before,
            "bytes": self.bytes,
            "dry_run": self.dry_run,
        }

    def __str__(self) -> str:
        """A line for people."""
        verb = "would go" if self.dry_run else "went"
        size = f"{readable_size(self.bytes_before)}"
        if not self.dry_run:
            size += f", now {readable_size(self.bytes)}"
        return (
            f"{self.target}: {counted(len(self.removed), 'point')} {verb}, "
            f"{len(self.kept):,} stay; {size}"
        )
