"""One measurement in a process of its own: ``python -m benchmarks.scale.child PHASE``.

`run` starts it. It reads a `Work` from standard input and writes JSON lines: how far it has come,
and last the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.environment import quiet_logs
from benchmarks.scale.building import build, prepare
from benchmarks.scale.endurance import endurance
from benchmarks.scale.opening import opening
from benchmarks.scale.reading import reading
from benchmarks.scale.work import Tell, Work
from benchmarks.scale.writing import writing

PHASES: dict[str, Callable[[Work, Tell], Awaitable[dict[str, Any]]]] = {
    "build": build,
    "prepare": prepare,
    "opening": opening,
    "reading": reading,
    "writing": writing,
    "endurance": endurance,
}
_ROOT = Path(__file__).resolve().parents[2]


class ChildError(Exception):
    """A measuring process failed; its traceback is on standard error."""


def run(phase: str, work: Work, tell: Tell = lambda done, total: None) -> dict[str, Any]:
    """Run a phase in a new process, so that nothing is warm or counted by accident.

    Raises:
        ChildError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.scale.child", phase]
    figures: dict[str, Any] | None = None
    with subprocess.Popen(
        command, cwd=_ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(work.to_dict()))
        process.stdin.close()
        for line in process.stdout:
            said = json.loads(line)
            if "figures" in said:
                figures = said["figures"]
            else:
                tell(*said["done"])
    if process.returncode or figures is None:
        raise ChildError(f"{phase} of {work.rows} rows ended with {process.returncode}")
    return figures


def main() -> int:
    """Run the phase that the command line names."""
    # Standard output is for the lines alone, whatever a library prints.
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    quiet_logs()

    def say(**what: Any) -> None:
        lines.write(json.dumps(what) + "\n")
        lines.flush()

    work = Work(**json.load(sys.stdin))
    figures = asyncio.run(_main(sys.argv[1], work, lambda done, total: say(done=[done, total])))
    say(figures=figures)
    return 0


async def _main(phase: str, work: Work, tell: Tell) -> dict[str, Any]:
    return await PHASES[phase](work, tell)


if __name__ == "__main__":
    sys.exit(main())
