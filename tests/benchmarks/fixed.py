"""A system whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.retrieval.datasets.base import Turn


class Fixed:
    """Answers with the first turns of the user, in their order."""

    def __init__(self, *, broken: bool = False) -> None:
        self.name = "fixed"
        self.settings: dict[str, Any] = {"order": "as stored"}
        self.versions: dict[str, str] = {"fixed": "1"}
        self.counts = {"questions seen": 0}
        self.filters_time = False
        self.broken = broken
        self.closed = False
        self.asked_at: list[datetime] = []
        self.turns: list[Turn] = []

    async def open(self, folder: Path) -> None:
        self.closed = False

    async def store(self, turns: Sequence[Turn]) -> None:
        if self.broken:
            raise ValueError("out of paper")
        self.turns = list(turns)

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        self.counts["questions seen"] += 1
        self.asked_at.append(now)
        ids = [turn.id for turn in self.turns if turn.user_id == user_id]
        return ids[:k]

    async def close(self) -> None:
        self.closed = True
