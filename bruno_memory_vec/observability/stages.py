"""When the parts of one operation began and ended."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple


class Stage(NamedTuple):
    """A part of an operation, by the clock of ``time.perf_counter_ns``."""

    name: str
    began: int
    ended: int

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended - self.began) / 1e9


class Stages:
    """Notes the parts of one operation. Parts may overlap, and may be of several threads."""

    __slots__ = ("began", "marked", "stages")

    def __init__(self) -> None:
        self.began = self.marked = time.perf_counter_ns()
        self.stages: list[Stage] = []

    def ended(self, name: str) -> None:
        """A part has ended that began where the one before it ended."""
        now = time.perf_counter_ns()
        self.stages.append(Stage(name, self.marked, now))
        self.marked = now

    def add(self, name: str, began: int) -> None:
        """A part has ended that began then; others may have run meanwhile."""
        self.stages.append(Stage(name, began, time.perf_counter_ns()))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Around a part."""
        began = time.perf_counter_ns()
        try:
            yield
        finally:
            self.add(name, began)


_UNTIMED: AbstractContextManager[None] = nullcontext()


def timed(stages: Stages | None, name: str) -> AbstractContextManager[None]:
    """Around a part of an operation; nothing where nobody observes."""
    return _UNTIMED if stages is None else stages.stage(name)


def wall_clock_offset() -> int:
    """What makes a time of ``perf_counter_ns`` one since 1970, in nanoseconds."""
    return time.time_ns() - time.perf_counter_ns()
