"""What a figure was measured with."""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import structlog

from bruno_memory_vec.indexers.urls import masked

_PACKAGES = (
    "bruno-memory-vec",
    "bruno-core",
    "lancedb",
    "tantivy",
    "qdrant-client",
    "redis",
    "pyarrow",
    "numpy",
    "tokenizers",
)


def describe() -> dict[str, Any]:
    """Command, commit, versions and the size of the machine."""
    return {
        "command": masked(f"python -m {_module()} {' '.join(sys.argv[1:])}"),
        "commit": _commit(),
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "versions": {name: _version(name) for name in _PACKAGES},
    }


def quiet_logs() -> None:
    """Standard output is for the figures: logs go to standard error, from WARNING on."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def write_json(report: dict[str, Any], target: str | None) -> None:
    """Write a report to a file, or to standard output for ``-``; None writes nothing."""
    text = json.dumps(report, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
    elif target:
        Path(target).write_text(text, encoding="utf-8")


def _module() -> str:
    path = Path(sys.argv[0]).resolve().with_suffix("")
    root = Path(__file__).resolve().parents[1]
    if not path.is_relative_to(root):
        return path.name
    parts = path.relative_to(root).parts
    return ".".join(parts[:-1] if parts[-1] == "__main__" else parts)


def _commit() -> str | None:
    # The commit that is measured, with a mark where the tree differs from it.
    try:
        # Without this, files that were only touched count as changed.
        subprocess.run(["git", "update-index", "-q", "--refresh"], cwd=Path(__file__).parent)
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
