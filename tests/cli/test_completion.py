"""What a shell proposes while a command is typed, and mistakes of typing."""

from __future__ import annotations

import inspect
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated, get_origin

import pytest
from typer import Exit
from typer.testing import CliRunner

from bruno_memory_vec.errors import MissingDependencyError, StoreError
from bruno_memory_vec.store.quick_names import quick_conversations, quick_users
from bruno_memory_vec.surfaces.cli.app import app
from bruno_memory_vec.surfaces.cli.running import Out, execute
from tests.cli.support import run_here

PROGRAM = "bruno-memory-vec"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    rows = [
        {"conversation_id": talk, "role": "user", "content": "x", "user_id": user}
        for user, talk in (("ana", "trip"), ("ana", "teeth"), ("ana\nb", "odd"), ("ben", "tea"))
    ]
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    place = folder / "store"
    file = str(folder / "rows.jsonl")
    assert run_here("ingest", file, "--store", str(place), "--embedder", "hash").code == 0
    return place


def proposed(*words: str) -> list[str]:
    """What bash is told for the last word."""
    line = " ".join((PROGRAM, *words))
    env = {
        "_BRUNO_MEMORY_VEC_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
    }
    return CliRunner().invoke(app, [], env=env, prog_name=PROGRAM).stdout.split()


def test_users_and_conversations_of_the_store_that_is_named(store: Path) -> None:
    place = ("--store", str(store))
    # A name that would be typed as two lines is proposed to nobody.
    assert proposed("recall", "x", *place, "--user", "a") == ["ana"]
    assert proposed("forget", *place, "b") == ["ben"]
    assert sorted(proposed("show", *place, "t")) == ["tea", "teeth", "trip"]
    assert sorted(proposed("list", "messages", *place, "-u", "ana", "-c", "t")) == ["teeth", "trip"]


def test_commands_profiles_and_what_a_list_is_of() -> None:
    assert {"recall", "restore", "retention"} <= set(proposed("re"))
    assert proposed("list", "me") == ["messages", "memories"]
    assert proposed("recall", "x", "--profile", "b") == ["balanced"]


def test_no_store_and_no_sense_is_no_error(tmp_path: Path) -> None:
    assert proposed("recall", "x", "--store", str(tmp_path / "none"), "--user", "a") == []
    assert proposed("recall", "x", "--store", "nonsense://x", "--user", "a") == []
    assert not (tmp_path / "none").exists()
    (tmp_path / "sessions.sqlite").write_bytes(b"this is no database, but it is long enough")
    assert quick_users(tmp_path, "") == []


def test_names_are_compared_as_they_are(store: Path) -> None:
    assert quick_users(store, "a") == ["ana", "ana\nb"]
    for mark in ("%", "_", "A", "ana'"):
        assert quick_users(store, mark) == []
    assert quick_conversations(store, "t", "ben") == ["tea"]
    with closing(sqlite3.connect(store / "sessions.sqlite")) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert quick_users(store, "b", most=1) in ([], ["ben"])
        writer.rollback()


@pytest.mark.parametrize(
    ("typed", "said", "see"),
    [
        (["recal", "x"], "no such command 'recal'. Did you mean 'recall'?", PROGRAM),
        (["recall", "x", "--usr", "a"], "--user", f"{PROGRAM} recall"),
        (["recall", "x", "-k", "0"], "'-k'", f"{PROGRAM} recall"),
        (["recall"], "QUERY", f"{PROGRAM} recall"),
        (["list", "memry"], "Did you mean 'memories'?", f"{PROGRAM} list"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_was_meant(
    typed: list[str], said: str, see: str
) -> None:
    done = CliRunner().invoke(app, typed, prog_name=PROGRAM)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.endswith(f"See: {see} --help\n")


def test_no_command_is_the_help() -> None:
    done = CliRunner().invoke(app, [], prog_name=PROGRAM)
    assert done.exit_code == 2
    assert "Begin with: bruno-memory-vec demo" in done.stderr


def test_a_command_to_copy_has_no_full_stop_behind_it(capsys: pytest.CaptureFixture[str]) -> None:
    missing = MissingDependencyError("fastapi", "server")
    for error, last in (
        (missing, 'Run: pip install "bruno-memory-vec[server]"\n'),
        (
            StoreError("it is old", fix="Run: bruno-memory-vec doctor"),
            "Run: bruno-memory-vec doctor\n",
        ),
        (StoreError("it is old", fix="Look at it"), "Look at it.\n"),
    ):

        async def fail(out: Out, error: StoreError | MissingDependencyError = error) -> int:
            raise error

        with pytest.raises(Exit):
            execute(False, fail)
        assert capsys.readouterr().err.endswith(last)


def test_encrypt_says_where_the_key_is_given(store: Path) -> None:
    done = run_here("encrypt", "--store", str(store))
    assert done.code == 1
    assert "Give key=... or key_file=...; on the command line --key-file FILE." in done.err


def test_every_option_has_the_name_that_it_was_given() -> None:
    """On Python 3.10, too, where typing puts Optional around what has a default of None."""
    for command in app.registered_commands:
        assert command.callback is not None
        for one in inspect.signature(command.callback).parameters.values():
            assert get_origin(one.annotation) is Annotated, (command.name, one.name)
    add = CliRunner().invoke(app, ["add", "--help"], prog_name=PROGRAM).stdout
    assert "[TEXT]" in add
    assert "-u, --user USER" in add


@pytest.mark.parametrize("width", [40, 60])
def test_help_keeps_to_the_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for command in app.registered_commands:
        assert command.name is not None
        text = CliRunner().invoke(app, [command.name, "--help"], prog_name="x").stdout
        wide = [line for line in text.splitlines() if len(line) > width and "http" not in line]

        assert not wide, (command.name, wide)
