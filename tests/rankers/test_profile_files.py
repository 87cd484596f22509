"""Files of profiles that were not written to be read: nested, huge, no files, or elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rankers import Learned
from bruno_memory_vec.recall.profiles import load_profile
from tests.rankers.test_profiles import GOOD

FACTORS = '{"factors": {"lexical": 1.0}}'
LEARNED = '[learned]\nfile = "mine.json"\n'
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such file")


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: str | Path, said: str) -> None:
    """It is refused at once, in a message that can be read, and names the profile."""
    begun = time.monotonic()
    with pytest.raises(InvalidInputError, match=said) as caught:
        load_profile(path)
    assert caught.value.field == "profile"
    assert len(str(caught.value)) < 1_000
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    "text",
    [
        f"a = {'[' * 5_000}{']' * 5_000}",
        f"a = {'{a=' * 4_000}1{'}' * 4_000}",
        f"a{'.a' * 7_000} = 1",
        f"[{'.'.join('a' * 7_000)}]",
        f"description = {'[' * 300}1{']' * 300}\n{GOOD}",
        GOOD.replace("lexical = 10", f"lexical = {'[' * 300}1{']' * 300}"),
        GOOD.replace('"convex"', f"{'[' * 300}1{']' * 300}"),
        f"{GOOD}[learned.factors]\nx{'.a' * 400} = 1",
    ],
)
def test_nested(tmp_path: Path, text: str) -> None:
    refused(write(tmp_path, text), "mine")


@pytest.mark.parametrize(
    "text",
    [
        "#" * 17_000 + "\n" + GOOD,
        GOOD.replace('"mine"', f'"{"x" * 17_000}"'),
        "".join(f"k{number} = 1\n" for number in range(100_000)),
        f"a{'.a' * 100_000} = 1",
        GOOD + "\n" * 10_000_000,
    ],
)
def test_huge(tmp_path: Path, text: str) -> None:
    refused(write(tmp_path, text), r"mine\.toml' cannot be read: it has more than 16,384 bytes")


def test_a_long_key_is_not_repeated_whole(tmp_path: Path) -> None:
    refused(write(tmp_path, f"{GOOD}\n[{'k' * 9_000}]"), "unknown key")
    refused(write(tmp_path, GOOD.replace("[query]", f"[query]\n{'k' * 9_000} = 1")), "query")


@POSIX
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "mine.toml")
    refused(tmp_path / "mine.toml", r"mine\.toml' cannot be read")


@POSIX
def test_a_name_that_steers_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "mine\x1b[2J\u202e.toml"
    path.write_text("[")
    with pytest.raises(InvalidInputError, match="is not TOML") as caught:
        load_profile(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a\0", "a\0.toml", "\0.toml", "a\0/b.toml"])
def test_a_name_with_nul(name: str) -> None:
    refused(name, "NUL")
    refused(Path(name), "NUL")


def test_names_that_no_file_has() -> None:
    refused("a\ud800.toml", "cannot be read")
    refused("a" * 100_000 + ".toml", "cannot be read")
    refused("a" * 100_000, "is not known")


def test_factors_from_the_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text(FACTORS)
    learned = load_profile(write(tmp_path, GOOD + LEARNED)).rank.get(Learned)
    assert learned == Learned({"lexical": 1.0}, "mine.json")


def test_factors_from_elsewhere(tmp_path: Path) -> None:
    profile = tmp_path / "profiles"
    for folder in (profile, profile / "sub"):
        folder.mkdir()
        (folder / "mine.json").write_text(FACTORS)
    (tmp_path / "mine.json").write_text(FACTORS)
    for name in (
        str(tmp_path / "mine.json"),
        str(profile / "mine.json"),
        "../mine.json",
        "sub/../mine.json",
        "sub/mine.json",
        "./mine.json",
        "..\\\\mine.json",
        "C:mine.json",
        "C:\\\\mine.json",
        "//server/mine.json",
        "mine.json\\u0000.json",
        "mine\\n.json",
        ".json",
        "",
    ):
        path = write(profile, GOOD + LEARNED.replace("mine.json", name))
        refused(path, r"\[learned\] file must be a name that ends in \.json")


@POSIX
def test_a_planted_link_to_factors(tmp_path: Path) -> None:
    profile = tmp_path / "profiles"
    profile.mkdir()
    (tmp_path / "other.json").write_text(FACTORS)
    (profile / "mine.json").symlink_to(tmp_path / "other.json")
    refused(write(profile, GOOD + LEARNED), r"mine\.json has no factors: it is a link")


@POSIX
def test_a_pipe_in_place_of_factors_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mine.json")
    refused(write(tmp_path, GOOD + LEARNED), "it is no file")


@pytest.mark.parametrize(
    "data",
    [
        b" " * 300_000 + FACTORS.encode(),
        b"[" * 200_000,
        b'{"factors": ' + b'{"a": ' * 30_000,
        os.urandom(1_000),
        b"\xff\xfe{}",
        b"[1]",
        b"1",
        b"",
        b'{"factors": {"lexical": NaN}}',
        b'{"factors": {"lexical": ' + b"9" * 10_000 + b"}}",
        b'{"factors": {"lexical": 1e999}}',
        b'{"factors": {"' + b"x" * 100_000 + b'": 1}}',
        b'{"factors": [' + b"[" * 300 + b"]" * 300 + b"]}",
        b'{"factors": {}}',
    ],
)
def test_garbage_in_place_of_factors(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "mine.json").write_bytes(data)
    refused(write(tmp_path, GOOD + LEARNED), "mine")
