"""A benchmark's object in a process of its own, and what is told where that process ends."""

from __future__ import annotations

import os

import pytest

from benchmarks.apart import Apart, ApartError


class Served:
    """Answers, or ends its process."""

    async def twice(self, number: int) -> int:
        return 2 * number

    async def end(self) -> None:
        os._exit(7)


def test_a_process_that_has_ended_is_told_at_each_call() -> None:
    with Apart(Served) as served:
        assert served.call("twice", 4) == 8
        for call in ("end", "twice", "end"):
            with pytest.raises(ApartError, match="ended with 7"):
                served.call(call)
