"""What an import costs, and which way imports point."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("bruno_memory_vec", "indexers", "rankers")
ENGINES = (
    "aiosqlite",
    "lancedb",
    "pyarrow",
    "qdrant_client",
    "redis",
    "sentence_transformers",
    "tantivy",
    "tokenizers",
    "torch",
)


def modules(folder: str) -> list[Path]:
    """The Python files of a top-level folder; links are not followed, so each file comes once."""
    return sorted(
        Path(top, name)
        for top, _, names in os.walk(ROOT / folder)
        for name in names
        if name.endswith(".py")
    )


class Imported(NamedTuple):
    """One imported name, absolute as seen from the repository root."""

    where: str
    name: str
    relative: bool

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.where} imports {self.name}"


def imports(folder: str) -> Iterator[Imported]:
    for path in modules(folder):
        inside = path.relative_to(ROOT)
        package = inside.parent.parts
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Imported(f"{inside}:{node.lineno}", alias.name, relative=False)
            elif isinstance(node, ast.ImportFrom):
                base: tuple[str, ...] = ()
                if node.level:
                    kept = len(package) - node.level + 1
                    # Climbing out of the folder reaches, at run time, into bruno_memory_vec.
                    base = package[:kept] if kept > 0 else ("bruno_memory_vec",)
                if node.module:
                    base = (*base, node.module)
                for alias in node.names:
                    name = ".".join((*base, alias.name))
                    yield Imported(f"{inside}:{node.lineno}", name, relative=node.level > 0)


def test_import_loads_no_engine() -> None:
    code = (
        "import sys, bruno_memory_vec; "
        f"print(*sorted(set({ENGINES!r}) & sys.modules.keys()), sep=',')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.strip()
    assert not loaded, f"import bruno_memory_vec loads {loaded}: import engines when opening them"


@pytest.mark.parametrize("folder", ["indexers", "rankers"])
def test_imports_point_one_way(folder: str) -> None:
    """indexers and rankers import neither the package above them nor each other."""
    strangers = set(FOLDERS) - {folder}
    wrong = [str(found) for found in imports(folder) if found.top in strangers]
    assert not wrong, "\n".join(wrong)

    absolute = [
        str(found) for found in imports(folder) if found.top == folder and not found.relative
    ]
    assert not absolute, (
        f"{folder} is installed as bruno_memory_vec.{folder}, so within it imports are relative:\n"
        + "\n".join(absolute)
    )


def test_package_imports_the_folders_by_their_full_names() -> None:
    wrong = [
        f"{found}: say bruno_memory_vec.{found.name}"
        for found in imports("bruno_memory_vec")
        if found.top in {"indexers", "rankers"}
    ]
    assert not wrong, "\n".join(wrong)


def test_the_command_line_uses_what_is_public() -> None:
    """What a command needs of a memory, others need too: it has no private door."""
    internal = (
        "access conversations indexers rankers recall.pool recall.retriever rows.models sessions "
        "store.local store.lock store.store writing"
    ).split()
    wrong = [
        str(found)
        for found in imports("bruno_memory_vec")
        if found.where.startswith("bruno_memory_vec/surfaces/")
        and any(f"{found.name}.".startswith(f"bruno_memory_vec.{name}.") for name in internal)
    ]
    for path in (ROOT / "bruno_memory_vec" / "surfaces" / "cli").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_"):
                owner = node.value.id if isinstance(node.value, ast.Name) else ""
                if owner not in ("self", "cls") and not node.attr.startswith("__"):
                    wrong.append(f"{path.name}:{node.lineno}: .{node.attr}")
    assert not wrong, "\n".join(wrong)
