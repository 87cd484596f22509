"""demo: what a stranger sees first, and that what it says to type works."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec.surfaces.cli import demo as command

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_its_first_screen_is_one_answer_and_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("demo")
    assert (done.code, done.err) == (0, "")
    told, _, typed = done.out.partition("try next\n")
    assert len(done.out.splitlines()) <= 25
    assert all(len(line) <= 80 for line in told.splitlines())
    assert "What did Ana call her sourdough starter?" in done.words
    assert "named it Clotilde" in done.words
    assert "+0.70 the same words" in told
    # It tells what to type next, and that works.
    name = re.search(r"export BRUNO_MEMORY_URL=(\S+)\n", typed)
    assert name is not None
    monkeypatch.setenv("BRUNO_MEMORY_URL", name[1])
    retyped = [line for line in typed.splitlines() if " -m bruno_memory_vec " in line]
    assert len(retyped) == 4
    for line in retyped:
        arguments = shlex.split(line.partition(" -m bruno_memory_vec ")[2])
        again = run(*(one.replace("$BRUNO_MEMORY_URL", name[1]) for one in arguments))
        assert again.code == 0, line
        assert again.out
        if "--all" in arguments:
            _tells_of_all_questions(again.out, name[1])


def _tells_of_all_questions(out: str, folder: str) -> None:
    lines = out.splitlines()
    assert all(len(line) <= 80 for line in lines if "/" not in line), "wider than a terminal"
    assert "known answer: Clotilde - found at rank 1" in out
    found = re.search(r"(\d+) of (\d+) questions answered in the top 5", out)
    assert found is not None
    assert int(found[1]) >= int(found[2]) // 2
    assert f"folder: {folder}" in lines
    assert Path(folder, "store.json").exists()


def test_json_and_again(run: Run, tmp_path: Path) -> None:
    options = ["--store", str(tmp_path / "kept"), "--embedder", "hash", "--json"]
    first, second = run("demo", *options), run("demo", *options)
    assert first.code == second.code == 0
    assert first.json["stored"]["messages"] == second.json["stored"]["messages"]
    questions = first.json["questions"]
    assert first.json["summary"]["questions"] == len(questions)
    counted = run("stats", "--store", str(tmp_path / "kept"), "--json").json["totals"]
    assert counted["messages"] == first.json["stored"]["messages"]
    assert counted["memories"] == first.json["stored"]["memories"]


def test_it_does_not_mix_with_other_users(run: Run, store: list[str], lines: Run) -> None:
    row = {"conversation_id": "c", "role": "user", "content": "x", "user_id": "zoe"}
    run("ingest", str(lines(row)), *store)
    done = run("demo", *store)
    assert done.code == 2
    assert "'zoe'" in done.err


def test_it_never_takes_the_store_in_use(
    run: Run, store: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRUNO_MEMORY_URL", store[1])
    before = run("stats", "--json").json["totals"]
    assert run("demo", "--embedder", "hash").code == 0
    assert run("stats", "--json").json["totals"] == before


def test_memory_url_is_refused(run: Run) -> None:
    assert run("demo", "--store", "memory://").code == 2


def test_program_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "bruno-memory-vec"
    program.touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [str(program)])
    assert command.program_name() == shlex.quote(str(program))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("bruno-memory-vec") is not None
    assert command.program_name() == "bruno-memory-vec"
    monkeypatch.setattr("sys.argv", ["/x/cli/__main__.py"])
    assert command.program_name().endswith("-m bruno_memory_vec")
