"""The transcripts of a page: run again, compared, and written anew.

``python -m tests.cli.transcripts docs/command-line.md`` writes what the commands print today.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from bruno_memory_vec.surfaces.cli.app import app

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_FILE = re.compile(r"<!-- file: (\S+) -->\n```\w*\n(.*?)```", re.DOTALL)
_HOME = "/home/ana"
# What is another one each time, or on each machine.
_CHANGES = (
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"bmv_\w+"), "TOKEN"),
    (
        re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?[+-]\d\d:?\d\d|Z)?)?"),
        "TIME",
    ),
    (re.compile(r"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) TIME"), "TIME"),
    (re.compile(r"[\d,]+(?:\.\d+)? (ms|s|%|KiB|MiB|GiB|B|messages/s)(?!\w)"), r"N \1"),
    (re.compile(r"[+-]?\d\.\d{2,3}\b"), "X"),
    (re.compile(r"[▪█]+"), "▪"),
    (re.compile(r"\s+"), " "),
)


def files_of(page: str) -> dict[str, str]:
    """The files that the page has its reader write first."""
    return dict(_FILE.findall(page))


def steps(page: str) -> Iterator[tuple[str, str]]:
    """Each command of the transcripts, and what the page says that it prints."""
    for block in _BLOCK.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, printed = part.partition("\n")
            yield command, printed


def run(command: str, folder: Path) -> str:
    """What a command prints in a folder, standard error included."""
    words = shlex.split(command)
    if words[0] == "export":
        name, _, value = words[1].partition("=")
        os.environ[name] = value
        return ""
    given = None
    if words[0] == "echo":
        given, words = words[1], words[words.index("|") + 1 :]
    assert words[0] == "bruno-memory-vec", command
    result = CliRunner().invoke(app, words[1:], input=given, prog_name="bruno-memory-vec")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output.replace(str(folder), _HOME)


def plain(printed: str) -> str:
    """Output without what is another each time."""
    for pattern, put in _CHANGES:
        printed = pattern.sub(put, printed)
    return printed.strip()


def _write(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files_of(page).items():
            Path(folder, name).write_text(text, encoding="utf-8")
        os.chdir(folder)
        os.environ.pop("COLUMNS", None)
        printed = [(command, run(command, Path(folder).resolve())) for command, _ in steps(page)]
    outputs = iter(printed)

    def again(block: re.Match[str]) -> str:
        commands = re.findall(r"^\$ (.*)$", block[1], re.MULTILINE)
        parts = []
        for command in commands:
            done, said = next(outputs)
            assert done == command
            lines = [line.rstrip() for line in said.rstrip().split("\n")]
            parts.append("\n".join([f"$ {command}", *(lines if said.strip() else [])]))
        return "```console\n" + "\n".join(parts) + "\n```"

    path.write_text(_BLOCK.sub(again, page), encoding="utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]).resolve())
