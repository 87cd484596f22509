"""Running commands: in this process, and as a stranger would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Done, as_found, run_here

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _as_found(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from as_found(monkeypatch)


@pytest.fixture
def run() -> Callable[..., Done]:
    """Run a command in this process."""
    return run_here


@pytest.fixture
def spawn() -> Callable[..., Done]:
    """Run a command in a process of its own."""

    def call(*arguments: str, stdin: str = "") -> Done:
        env = {name: value for name, value in os.environ.items() if name != "LANCEDB_LOG"}
        done = subprocess.run(
            command(arguments),
            input=stdin, capture_output=True, text=True, timeout=120, cwd=ROOT, env=env,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    return call


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "bruno_memory_vec", *arguments]


@pytest.fixture
def lines(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as JSONL; a string is written as it is."""

    def write(*rows: dict[str, Any] | str, name: str = "talk.jsonl") -> Path:
        path = tmp_path / name
        texts = (row if isinstance(row, str) else json.dumps(row) for row in rows)
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        return path

    return write


def said(
    content: str, conversation: str = "trip", user: str | None = "ana", **more: Any
) -> dict[str, Any]:
    row = {"conversation_id": conversation, "role": "user", "content": content, **more}
    return row if user is None else {**row, "user_id": user}


@pytest.fixture
def store(tmp_path: Path, run: Callable[..., Done], lines: Callable[..., Path]) -> list[str]:
    """The options that name a small store of two users."""
    options = ["--store", str(tmp_path / "store"), "--embedder", "hash"]
    file = lines(
        said(
            "We found a guesthouse in Alfama",
            timestamp="2025-10-03T18:50:00Z",
            metadata={"project": "trip", "year": 2025, "by": "a=b"},
        ),
        said("Did you book it?", role="assistant", timestamp="2025-10-03T18:51:00Z"),
        said("Yes, three nights with breakfast", timestamp="2025-10-03T18:52:00Z"),
        said("The dentist moved to Gloucester Road", "teeth", "ben", timestamp="2026-05-09"),
        name="small.jsonl",
    )
    assert run("ingest", str(file), *options).code == 0
    return options
