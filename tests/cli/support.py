"""Commands in the process of the test, where Python and the engines are loaded already."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner

from bruno_memory_vec.surfaces.cli.app import app


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """What was printed, wherever its lines end."""
        return " ".join(self.out.split())

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def as_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside; tests/conftest.py sees to those of the terminal."""
    for name in [name for name in os.environ if name.startswith("BRUNO_MEMORY_")]:
        monkeypatch.delenv(name)
    # The command line sets it, and is not to set it for other tests.
    monkeypatch.setenv("LANCEDB_LOG", "error")
    yield


def run_here(*arguments: str, stdin: str | bytes | None = None) -> Done:
    """Run a command; an exception that it lets out is raised."""
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)
