"""Runs a notebook from its own folder and fails on the first cell that raises; writes nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

path = Path(sys.argv[1])
client = NotebookClient(
    nbformat.read(path, as_version=4),
    timeout=900,
    kernel_name="python3",
    resources={"metadata": {"path": str(path.parent)}},
)
try:
    client.execute()
except CellExecutionError as error:
    raise SystemExit(f"{path}: {error}") from None
