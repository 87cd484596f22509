"""Every public name says what it is."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import bruno_memory_vec

ROOT = Path(__file__).parents[2]
FOLDERS = ("bruno_memory_vec", "indexers", "rankers")
# Their methods are those of a protocol, whose docstrings they keep.
ENGINES = {"LanceIndex", "TantivyIndex", "TantivyReader", "ReferenceIndex", "ReferenceLexicalIndex"}
ENGINES |= {"SQLiteSessionStore", "ForwardingRowIndex", "CachedIndex", "WriteAheadLogIndex"}
ENGINES |= {"FolderRepository", "FileRepository", "MemoryRepository", "JsonlWriter", "CsvWriter"}
ENGINES |= {"ParquetWriter", "MarkdownWriter"}
ENGINES |= {"CheckedIndex", "MemoryIndex", "SQLiteLedger", "QdrantIndex", "RedisSessionStore"}
ENGINES |= {"SealedIndex"}


def modules() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT).parts
            if "testing" not in inside and not path.resolve().is_relative_to(ROOT / "tests"):
                yield path


def public(body: list[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        overload = any(getattr(one, "id", "") == "overload" for one in node.decorator_list)
        if not node.name.startswith("_") and not overload:
            yield node


def without_docstring(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if tree.body and ast.get_docstring(tree) is None:
        yield "the module"
    for node in public(tree.body):
        if ast.get_docstring(node) is None:
            yield node.name
        if isinstance(node, ast.ClassDef) and node.name not in ENGINES:
            for method in public(node.body):
                if ast.get_docstring(method) is None:
                    yield f"{node.name}.{method.name}"


def test_every_public_name_has_a_docstring() -> None:
    found = list(modules())
    missing = [f"{path}: {name}" for path in found for name in without_docstring(path)]
    assert not missing
    assert len(found) > 100, "they are not found any more: this shows nothing"


def test_every_exported_name_has_a_docstring() -> None:
    for name in bruno_memory_vec.__all__:
        value = getattr(bruno_memory_vec, name)
        if name not in ("__version__", "ALL_USERS"):
            assert inspect.getdoc(value), name


def test_every_method_of_a_memory_is_in_the_table_of_them() -> None:
    page = (ROOT / "docs/browsing.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_]+)", page.partition("## Every method")[2]))
    public = {name for name in dir(bruno_memory_vec.VectorMemory) if not name.startswith("_")}
    assert public <= named, sorted(public - named)
