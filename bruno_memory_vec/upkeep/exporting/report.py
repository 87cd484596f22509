"""What an export wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bruno_memory_vec.store.record import readable_size
from bruno_memory_vec.wording import counted


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        path: the file or folder.
        format: "jsonl", "csv", "parquet" or "markdown".
        files: how many files.
        messages: how many messages; one counts in each conversation that it is in.
        memories: how many memories.
        conversations: how many conversations with a message.
        sessions: how many sessions.
        profiles: how many profiles of users.
        users: how many users have a row in it.
        bytes: the size of the files.
        problems: what could not be exported, in words; empty is all.
        seconds: how long it took.
        anonymised: what was replaced, in counts; None where nothing was to be.
    """

    path: str
    format: str
    files: int
    messages: int
    memories: int
    conversations: int
    sessions: int
    profiles: int
    users: int
    bytes: int
    problems: tuple[str, ...]
    seconds: float
    anonymised: Mapping[str, Any] | None = None

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for is in it."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``ok`` as plain values that JSON can hold."""
        values = {name: getattr(self, name) for name in self.__slots__}
        seconds = round(self.seconds, 3)
        return {**values, "problems": list(self.problems), "seconds": seconds, "ok": self.ok}

    def __str__(self) -> str:
        """A few lines for people."""
        files = "" if self.files == 1 else f" in {self.files:,} files"
        lines = [
            f"{counted(self.messages, 'message')} of "
            f"{counted(self.conversations, 'conversation')} and "
            f"{counted(self.memories, 'memory')}",
            f"{counted(self.sessions, 'session')} and "
            f"{counted(self.profiles, 'profile of a user', 'profiles of users')}",
            f"{self.path}: {self.format}{files}, {readable_size(self.bytes)}",
        ]
        if self.anonymised is not None:
            places = sorted(self.anonymised["places"].items(), key=lambda one: (-one[1], one[0]))
            counts = ", ".join(f"{number:,} {kind.replace('_', ' ')}" for kind, number in places)
            lines.append(f"replaced: {counts or 'nothing'}")
        lines.extend(f"PROBLEM: {problem}" for problem in self.problems)
        return "\n".join(lines)
