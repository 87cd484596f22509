"""What editors and type-checkers know of the blocking memory is what it is."""

from __future__ import annotations

import ast
import inspect

from bruno_memory_vec.sync import api
from scripts import sync_types


def test_the_types_are_those_of_the_asynchronous_classes() -> None:
    stored = sync_types.TARGET.read_text(encoding="utf-8")
    assert stored == sync_types.stub(), (
        "a public method has changed: run `python scripts/sync_types.py`, which writes "
        "bruno_memory_vec/sync/api.pyi anew"
    )


def test_the_types_name_what_there_is_when_it_runs() -> None:
    tree = ast.parse(sync_types.TARGET.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert {node.name for node in classes} >= {"Memory", "ConversationManager", "FactManager"}
    for node in classes:
        made = getattr(api, node.name)
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                found = inspect.getattr_static(made, method.name)
                assert isinstance(found, property) == bool(
                    [one for one in method.decorator_list if getattr(one, "id", "") == "property"]
                ), f"{node.name}.{method.name}"
                assert ast.get_docstring(method) == inspect.getdoc(found)
