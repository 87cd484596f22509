"""The files that the documents for developers name exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("bruno_memory_vec", "indexers", "rankers", "tests", "benchmarks", "scripts")
ROOMS = (ROOT, ROOT / "bruno_memory_vec")


def names_of(folder: Path) -> set[str]:
    """What is in a folder and in the folders of it, by name and by name without its ending."""
    found = [path for path in folder.rglob("*") if "__pycache__" not in path.parts]
    return {path.name for path in found} | {path.stem for path in found}


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_python_files_that_are_named(document: str) -> None:
    files = {
        path.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
    }
    named = set(re.findall(r"[\w/.-]+\.py\b", (ROOT / document).read_text(encoding="utf-8")))
    assert len(named) > 5, "they are not found any more: this shows nothing"
    assert not [one for one in named if not any(f"/{file}".endswith(f"/{one}") for file in files)]


def test_modules_that_the_table_of_rooms_names() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    seen = 0
    for room, holds in re.findall(r"^\| `([\w/]+)/` \| (.*) \|$", text, re.MULTILINE):
        folder = next(top / room for top in ROOMS if (top / room).is_dir())
        for name in re.findall(r"`([a-z_]+)/?`", holds):
            seen += 1
            assert name in names_of(folder), f"{room}/ has no {name}"
    assert seen > 40, "they are not found any more: this shows nothing"
