"""Profiles that another package adds by an entry point."""

from __future__ import annotations

from pathlib import Path

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import list_profiles, load_profile, open_memory
from bruno_memory_vec.errors import InvalidInputError
from tests.extending.conftest import Install

GROUP = "bruno_memory_vec.profiles"
CODE = """
from dataclasses import replace
from pathlib import Path
from bruno_memory_vec.recall.profiles import load_profile

TEXT = (Path(load_profile.__code__.co_filename).parent / "semantic.toml").read_text()
FILE = Path(__file__).parent / "of_a_file.toml"
FILE.write_text(TEXT)
NAME = str(FILE)
MADE = replace(load_profile("fast"), name="made")
FACTORS = TEXT + "\\n[learned]\\nfile = 'factors.json'\\n"
NUMBER = 3
NONSENSE = "nothing = "
GONE = Path(__file__).parent / "gone.toml"
"""


@pytest.fixture
def installed(install: Install) -> None:
    names = ("TEXT", "FILE", "NAME", "MADE", "FACTORS", "NUMBER", "NONSENSE", "GONE")
    install(CODE, {GROUP: "\n".join(f"their-{name.lower()} = plugin:{name}" for name in names)})


@pytest.mark.parametrize("kind", ["text", "file", "name"])
async def test_it_is_found_by_its_name(installed: None, kind: str, tmp_path: Path) -> None:
    name = f"their-{kind}"
    assert name in list_profiles()
    profile = load_profile(name)
    assert profile.name == name
    assert profile.rank == load_profile("semantic").rank
    assert load_profile(name) is profile
    async with open_memory(tmp_path / "store", embedder="hash", profile=name) as memory:
        await memory.store_message(Message(role="user", content="boat"), "talk", user_id="ana")
        assert (await memory.health())["profile"] == name
        assert len(await memory.recall("boat", user_id="ana")) == 1
        assert len(await memory.recall("boat", user_id="ana", profile="their-made")) == 1


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("number", "is a int, and no profile, path or TOML text"),
        ("nonsense", "is not TOML"),
        ("gone", "No such file"),
        ("factors", "lies beside no file"),
    ],
)
def test_what_is_wrong_with_it_is_said(installed: None, kind: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as refusal:
        load_profile(f"their-{kind}")
    assert refusal.value.field == "profile"
    assert f"plugin:{kind.upper()}" in str(refusal.value)
    assert "package 'plugin'" in str(refusal.value)


def test_a_name_that_there_is_not(installed: None) -> None:
    with pytest.raises(InvalidInputError, match=r"Did you mean their-text\?.*their-made"):
        load_profile("their-texts")
