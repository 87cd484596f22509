"""What another package adds by an entry point, and no file of this one changes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message

import bruno_memory_vec
from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import Turn, formats, read
from bruno_memory_vec.sessions.choice import session_store_of
from bruno_memory_vec.store.deployment import deployment_of
from tests.extending.conftest import Install

ROOT = Path(bruno_memory_vec.__file__).parent.parent

DEPLOYMENT = '''
"""Stores of which a session store of one's own counts what it is told."""
from bruno_memory_vec.indexers.reference import ReferenceIndex, ReferenceLexicalIndex
from bruno_memory_vec.sessions.sqlite import SQLiteSessionStore
from bruno_memory_vec.store.deployment import Parts, analyser_for, language_of
from bruno_memory_vec.store.lease import LocalLease

applied = []


class Counting(SQLiteSessionStore):
    async def apply(self, turns, last_seq, noted, **ledger):
        applied.append((len(turns), last_seq))
        await super().apply(turns, last_seq, noted, **ledger)


class Mine:
    schemes = ("mine",)

    async def open(self, config, made_by, progress):
        sessions = await Counting.open(":memory:", config.max_messages)
        lexical = ReferenceLexicalIndex(analyser_for(language_of(config)))
        return Parts(ReferenceIndex(made_by.dimension), lexical, sessions, LocalLease(sessions))
'''

READER = '''
"""One message a line: who says it, a tab, and what."""
from bruno_core.models.message import Message
from bruno_memory_vec.portability import Turn


def turns(lines, defaults):
    for line in lines:
        role, _, text = line.data.decode().strip().partition("\\t")
        yield Turn("tabs", defaults.user_id, Message(role=role, content=text), line.number)
'''

READER_OBJECT = """
from bruno_memory_vec.portability import Reader

READER = Reader("objects", "lines with tabs", (), lambda head: "\\t" in head.text, turns)
"""

COMMAND = '''
import typer


def greet(name: str = "nobody") -> None:
    """Greet somebody."""
    typer.echo(f"hello {name}")
'''

BROKEN = "raise RuntimeError('no such thing')"


async def test_a_deployment_with_a_session_store_of_its_own(install: Install) -> None:
    with pytest.raises(InvalidInputError, match="'mine' is not known"):
        await open_memory("mine://anything", embedder="hash")
    install(DEPLOYMENT, {"bruno_memory_vec.deployments": "mine = plugin:Mine"})
    async with open_memory("mine://anything", embedder="hash") as memory:
        await memory.store_message(
            Message(role="user", content="the red boat"), "talk", user_id="ana"
        )
        assert [hit.content for hit in await memory.recall("boat", user_id="ana")] == [
            "the red boat"
        ]
        assert (await memory.health())["status"] == "ok"
        assert (await memory.maintain()).ok
    assert sys.modules["plugin"].applied == [(1, 0)]


def test_a_reader_of_another_format(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "talk.tabs"
    file.write_text("user\tWhere is the boat?\nassistant\tIn the harbour.\n", encoding="utf-8")
    with pytest.raises(InvalidInputError, match="'tabs' is unknown"):
        read(file, format="tabs")
    install(READER, {"bruno_memory_vec.readers": "tabs = plugin:turns"})
    assert formats()[-1] == "tabs"
    found = list(read(file, format="tabs", user_id="ana"))
    assert [(one.user_id, one.message.content) for one in found if isinstance(one, Turn)] == [
        ("ana", "Where is the boat?"),
        ("ana", "In the harbour."),
    ]


def test_a_reader_may_be_an_object(install: Install, tmp_path: Path) -> None:
    file = tmp_path / "talk.tabs"
    file.write_text("user\tWhere is the boat?\n", encoding="utf-8")
    install(READER + READER_OBJECT, {"bruno_memory_vec.readers": "objects = plugin:READER"})
    (turn,) = read(file, format="objects")
    assert isinstance(turn, Turn)
    # Its message has no time of its own, and is marked.
    assert (turn.message.content, turn.timed) == ("Where is the boat?", False)


def test_a_command(install: Install) -> None:
    site = install(COMMAND, {"bruno_memory_vec.commands": "greet = plugin:greet"})
    done = subprocess.run(
        [sys.executable, "-m", "bruno_memory_vec", "greet", "--name", "Ana"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("hello Ana\n", 0), done.stderr


def test_a_command_that_cannot_be_loaded_leaves_the_others(install: Install) -> None:
    site = install(
        "raise RuntimeError('no such thing')", {"bruno_memory_vec.commands": "greet = plugin:greet"}
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(site), str(ROOT)))}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "bruno_memory_vec", *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    broken = run("greet")
    assert broken.returncode == 1
    for part in ("'greet'", "plugin:greet", "package 'plugin'", "RuntimeError", "no such thing"):
        assert part in " ".join(broken.stderr.split()), broken.stderr
    assert run("--version").returncode == 0


@pytest.mark.parametrize(
    ("group", "name", "use"),
    [
        ("deployments", "url", lambda: deployment_of("mine://x")),
        ("session_stores", "sessions", lambda: session_store_of("mine://x")),
        ("readers", "format", lambda: list(read(__file__, format="mine"))),
    ],
)
def test_a_broken_plug_in_names_itself(
    install: Install, group: str, name: str, use: Callable[[], Any]
) -> None:
    install(BROKEN, {f"bruno_memory_vec.{group}": "mine = plugin:Mine"})
    with pytest.raises(InvalidInputError) as refusal:
        use()
    assert refusal.value.field == name
    for part in ("'mine'", "plugin:Mine", "package 'plugin'", "RuntimeError: no such thing"):
        assert part in str(refusal.value)
    assert "reinstall" in refusal.value.fix


async def test_another_package_s_comes_before_ours(install: Install) -> None:
    install(DEPLOYMENT, {"bruno_memory_vec.deployments": "memory = plugin:Mine"})
    async with open_memory("memory://", embedder="hash") as memory:
        assert type((await memory._lazy.get()).sessions).__name__ == "Counting"
