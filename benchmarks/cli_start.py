"""How long a command takes from its name in a shell to its answer, and where the time goes.

``python -m benchmarks.cli_start --json -``

Each command runs in a process of its own, several times, in turns with the others, so that a busy
machine disturbs all alike: the time on the wall, and the processor's time (user and system), which
a busy machine changes less. ``python -X importtime`` then tells, of one run each, which packages
the time of its imports went to. Byte code is compiled first, as an installation does.
"""

from __future__ import annotations

import argparse
import compileall
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, write_json

_ROOT = Path(__file__).resolve().parents[1]
_LINE = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|\s+(\S+)")
_MOST_PACKAGES = 8


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cli_start", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="of each command")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    arguments = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if "BRUNO" not in name}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    for folder in ("bruno_memory_vec", "indexers", "rankers"):
        compileall.compile_dir(_ROOT / folder, quiet=2)
    with tempfile.TemporaryDirectory() as folder:
        commands = _commands(folder)
        _run([*commands["demo"], "--store", f"{folder}/store"], environment)
        times = _measure(commands, arguments.runs, environment)
        imports = {name: _imports(command, environment) for name, command in commands.items()}
    report = {
        **describe(),
        "runs": arguments.runs,
        "commands": {
            name: {
                "seconds": _summary([wall for wall, _ in found]),
                "cpu_seconds": _summary([cpu for _, cpu in found]),
                "imports_ms": imports[name],
            }
            for name, found in times.items()
        },
    }
    _show(report)
    write_json(report, arguments.json)
    return 0


def _commands(folder: str) -> dict[str, list[str]]:
    store = ["--store", f"{folder}/store"]
    return {
        "python -c pass": [],
        "--version": ["--version"],
        "--help": ["--help"],
        "recall": ["recall", "who teaches photography?", "-u", "ana", *store],
        "list": ["list", *store],
        "stats": ["stats", *store],
        "add": ["add", "The tea is green", "-u", "ana", *store],
        "demo": ["demo"],
    }


def _measure(
    commands: dict[str, list[str]], runs: int, environment: dict[str, str]
) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            before, started = os.times(), time.perf_counter()
            _run(command, environment)
            wall, after = time.perf_counter() - started, os.times()
            cpu = after.children_user + after.children_system
            found[name].append((wall, cpu - before.children_user - before.children_system))
    return found


def _run(command: list[str], environment: dict[str, str], *options: str) -> str:
    arguments = ["-m", "bruno_memory_vec", *command] if command else ["-c", "pass"]
    with tempfile.TemporaryDirectory() as folder:
        # The demo makes its store where temporary files go.
        done = subprocess.run(
            [sys.executable, *options, *arguments],
            cwd=_ROOT, capture_output=True, text=True, env={**environment, "TMPDIR": folder},
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stderr}")
    return done.stderr


def _imports(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Milliseconds by package, the largest first, of a run that measures them."""
    by_package: Counter[str] = Counter()
    for microseconds, _, module in _LINE.findall(_run(command, environment, "-X", "importtime")):
        by_package[module.partition(".")[0]] += int(microseconds)
    largest = by_package.most_common(_MOST_PACKAGES)
    shown = {name: round(spent / 1000, 1) for name, spent in largest}
    return {**shown, "all": round(by_package.total() / 1000, 1)}


def _summary(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }


def _show(report: dict[str, Any]) -> None:
    table = Table("command", "seconds, median", "least", "most", "processor", "imports, most first")
    for name, found in report["commands"].items():
        wall, imports = found["seconds"], found["imports_ms"]
        most = ", ".join(f"{one} {spent:.0f}" for one, spent in list(imports.items())[:5])
        cpu = found["cpu_seconds"]["median"]
        figures = (wall["median"], wall["least"], wall["most"], cpu)
        table.add_row(name, *(f"{figure:.2f}" for figure in figures), most)
    Console(stderr=True).print(table)


if __name__ == "__main__":
    raise SystemExit(main())
