"""What a migration did, or would do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What :func:`bruno_memory_vec.migrate` did, or with ``dry_run`` would do.

    Attributes:
        store: where the store is.
        before: its format until now.
        after: its format from now on.
        steps: what each step brings or takes, in their order.
        rows: how many rows the store has afterwards.
        losses: what a step back loses, in words, and how often.
        checked: what was compared before the switch.
        notes: what else is to be known.
        bytes: how much space the copy takes for a while, about.
        dry_run: whether nothing was changed.
        seconds: how long it took.
    """

    store: str
    before: int
    after: int
    steps: tuple[str, ...] = ()
    rows: int = 0
    losses: Mapping[str, int] = field(default_factory=dict)
    checked: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    bytes: int = 0
    dry_run: bool = False
    seconds: float = 0.0

    @property
    def changed(self) -> bool:
        """Whether the store has another format now."""
        return self.before != self.after and not self.dry_run

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {
            "store": self.store,
            "before": self.before,
            "after": self.after,
            "steps": list(self.steps),
            "rows": self.rows,
            "losses": dict(self.losses),
            "checked": list(self.checked),
            "notes": list(self.notes),
            "bytes": self.bytes,
            "dry_run": self.dry_run,
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        """A few lines for people."""
        if self.before == self.after:
            lines = [f"{self.store} has the format {self.after} already"]
            lines.extend(f"  {step}" for step in self.steps)
        else:
            would = "would go" if self.dry_run else "went"
            lines = [f"{self.store} {would} from format {self.before} to {self.after}"]
            lines.extend(f"  {step}" for step in self.steps)
            lines.append(f"rows: {self.rows:,}")
        lines.extend(f"lost: {count:,} {what}" for what, count in self.losses.items())
        lines.extend(f"checked: {what}" for what in self.checked)
        lines.extend(self.notes)
        if self.dry_run and self.bytes:
            lines.append(f"it takes about {self.bytes / 2**20:,.1f} MiB of space for a while")
        return "\n".join(lines)
