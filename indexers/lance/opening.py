"""What opening a LanceDB table needs beside LanceDB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import BackendUnavailable


def import_lancedb() -> Any:
    """LanceDB, with the parts of it that are used. The first time takes a second or two."""
    import lancedb
    import lancedb.index
    import lancedb.query

    return lancedb


def unborn(path: str, table: str) -> bool:
    """Whether a table's maker was killed before its first commit, so that it never was one."""
    folder = Path(path) / f"{table}.lance"
    return not any(folder.glob("_versions/*.manifest")) and not any(folder.glob("data/*"))


def no_rows(path: str) -> BackendUnavailable:
    """The error of a reader that finds nothing to read."""
    return BackendUnavailable(
        "lancedb",
        "open",
        f"there are no rows in {path}",
        fix="Open the store once without read_only.",
    )
