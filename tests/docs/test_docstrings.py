"""Every public name says what it is."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import bruno_memory_vec

ROOT = Path(__file__).parents[2]
FOLDERS = ("bruno_memory_vec", "indexers", "rankers")
# Their methods are those of a protocol, whose docstrings they keep.
ENGINES = {"LanceIndex", "TantivyIndex", "ReferenceIndex", "ReferenceLexicalIndex"}
ENGINES |= {"SQLiteSessionStore", "CachedIndex", "LoggedIndex"}


def modules() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT).parts
            if "testing" not in inside and not path.resolve().is_relative_to(ROOT / "tests"):
                yield path


def public(body: list[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if isinstance(
            node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        ) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", list(modules()), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_public_name_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    missing = []
    if tree.body and ast.get_docstring(tree) is None:
        missing.append("the module")
    for node in public(tree.body):
        if ast.get_docstring(node) is None:
            missing.append(node.name)
        if isinstance(node, ast.ClassDef) and node.name not in ENGINES:
            missing.extend(
                f"{node.name}.{method.name}"
                for method in public(node.body)
                if ast.get_docstring(method) is None
            )
    assert not missing


def test_every_exported_name_has_a_docstring() -> None:
    for name in bruno_memory_vec.__all__:
        value = getattr(bruno_memory_vec, name)
        if name not in ("__version__", "ALL_USERS"):
            assert inspect.getdoc(value), name
