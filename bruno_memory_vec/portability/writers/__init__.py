"""Writing what a store holds to files: what ``bruno-memory-vec export`` makes.

=========  ==================  ===================================================================
format     suffix              what it is
=========  ==================  ===================================================================
jsonl      .jsonl, .ndjson     everything, exactly; see :mod:`bruno_memory_vec.portability.exported`
csv        .csv                a table of rows, for spreadsheets; sessions and profiles beside it
parquet    .parquet            a table of rows with types; sessions and profiles beside it
markdown   .md, .markdown      to be read; or a folder with a file for each conversation
=========  ==================  ===================================================================

Each writer is a module with a class: it is given rows, in some order, and what is kept of users. It
writes to files beside those that are asked for, which take their place in :meth:`Writer.finish`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability.writers.csv import CsvWriter
from bruno_memory_vec.portability.writers.jsonl import JsonlWriter
from bruno_memory_vec.portability.writers.markdown import MarkdownWriter
from bruno_memory_vec.portability.writers.parquet import ParquetWriter
from bruno_memory_vec.portability.writers.writer import About, Writer

__all__ = ["WRITERS", "About", "ExportFormat", "Writer", "format_of"]

ExportFormat = Literal["jsonl", "csv", "parquet", "markdown"]
WRITERS: dict[str, type[Writer]] = {
    "jsonl": JsonlWriter,
    "csv": CsvWriter,
    "parquet": ParquetWriter,
    "markdown": MarkdownWriter,
}
_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".parquet": "parquet",
    ".md": "markdown",
    ".markdown": "markdown",
}


def format_of(path: Path, chosen: str | None) -> str:
    """The format of an export: the chosen one, else that of the suffix; a folder is Markdown.

    Raises:
        InvalidInputError: neither says it.
    """
    if chosen is not None:
        if chosen not in get_args(ExportFormat):
            raise InvalidInputError(
                "format",
                f"{chosen!r} is unknown",
                fix=f"Use one of: {', '.join(get_args(ExportFormat))}.",
            )
        return chosen
    found = "markdown" if path.is_dir() else _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise InvalidInputError(
            "format",
            f"the suffix of {path.name!r} names none",
            fix=f"Name one of {', '.join(get_args(ExportFormat))}, or a file that ends with "
            ".jsonl, .csv, .parquet or .md.",
        )
    return found
