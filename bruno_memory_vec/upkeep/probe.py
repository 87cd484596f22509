"""Whether a memory works, in one word: for probes of the command line and of the HTTP server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.indexers.urls import masked

#: "ok"; "degraded": it answers, and something is wrong; "unavailable": it does not answer;
#: "closed": it is not open, or being closed.
Status = Literal["ok", "degraded", "unavailable", "closed"]

_EXIT: Final[Mapping[str, int]] = {"ok": 0, "degraded": 4}
_HTTP: Final[Mapping[str, int]] = {"ok": 200, "degraded": 200}


class Healthy(Protocol):
    """A memory that tells its health."""

    async def health(self) -> dict[str, Any]:
        """The report; "status" is "ok" or "degraded"."""
        ...


@dataclass(frozen=True, slots=True)
class Probe:
    """What a probe has found.

    Attributes:
        status: in one word.
        problems: what is wrong, by the part; may name ids of rows.
        seconds: how long the answer took.
        report: what ``health()`` gave; empty where it failed.
    """

    status: Status
    problems: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    report: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 ok, 4 degraded, 1 where it does not answer."""
        return _EXIT.get(self.status, 1)

    @property
    def http_status(self) -> int:
        """200 where it answers, also degraded: it serves all the same; else 503."""
        return _HTTP.get(self.status, 503)


#: Of a memory that is not open.
CLOSED: Final = Probe("closed")


async def probe(memory: Healthy, timeout: float | None = None) -> Probe:
    """Ask a memory for its health. What fails is the answer, and is not raised.

    Args:
        memory: an open memory.
        timeout: after so many seconds it counts as unavailable; None waits.
    """
    began = time.perf_counter()
    report: Mapping[str, Any] = {}
    problems: Mapping[str, str] = {}
    status: Status = "unavailable"
    try:
        report = await asyncio.wait_for(memory.health(), timeout)
    except BrunoError as error:
        problems = {"store": masked(str(error))}
    except asyncio.TimeoutError:
        problems = {"store": f"gave no answer in {timeout:g} s"}
    else:
        status = "ok" if report["status"] == "ok" else "degraded"
        problems = report.get("problems", {})
    return Probe(status, problems, time.perf_counter() - began, report)
