"""docs/command-line.md: each command is on it, and its transcripts are what is printed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bruno_memory_vec.surfaces.cli.app import app
from tests.cli.support import as_found
from tests.cli.transcripts import files_of, plain, run, steps

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")


def test_every_command_is_on_the_page() -> None:
    headings = set(re.findall(r"^### ([\w-]+)$", PAGE, re.MULTILINE))
    named = set(re.findall(r"`([a-z-]+)`", PAGE))
    for command in app.registered_commands:
        assert command.name in headings | named, command.name
    assert headings <= {command.name for command in app.registered_commands}


@pytest.mark.slow
def test_the_transcripts_are_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in as_found(monkeypatch):
        monkeypatch.chdir(tmp_path)
        for name, text in files_of(PAGE).items():
            Path(name).write_text(text, encoding="utf-8")
        asked = list(steps(PAGE))
        assert len(asked) > 25
        for command, printed in asked:
            if command.startswith("export "):
                name, _, value = command.removeprefix("export ").partition("=")
                monkeypatch.setenv(name, value)
            else:
                assert plain(run(command, tmp_path)) == plain(printed), command
