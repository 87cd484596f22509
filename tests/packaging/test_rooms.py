"""The rooms of the package: no circles, imports only downwards, few names at the top."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "bruno_memory_vec"
#: From the top down: a room imports what stands below it, and nothing above.
ROOMS = [
    "surfaces",
    "testing",
    "adapters",
    "sync",
    "assistant",
    "memory",
    "analytics",
    "privacy",
    "upkeep",
    "compression",
    "knowledge",
    "context",
    "conversations",
    "observing",
    "store",
    "access",
    "writing",
    "recall",
    "sessions",
    "acts",
    "portability",
    "embedders",
    "config",
    "compression_policy",
    "retention_policy",
    "typed_time",
    "config_sources",
    "config_words",
    "bruno_backends",
    "llm",
    "prompts",
    "rows",
    "plugins",
    "events",
    "observability",
    "errors",
    "rankers",
    "indexers",
    "logs",
    "wording",
]
# They name what is public, and start the command line.
_DOORS = {"__init__", "__main__", "_version"}


def modules() -> dict[str, Path]:
    """Every module of the three folders, by its dotted name; links are not followed."""
    found = {}
    for top in (PACKAGE, "indexers", "rankers"):
        for path in sorted((ROOT / top).rglob("*.py")):
            inside = path.relative_to(ROOT)
            if top == PACKAGE and inside.parts[1] in ("indexers", "rankers"):
                continue
            parts = list(inside.with_suffix("").parts)
            parts = parts if top == PACKAGE else [PACKAGE, *parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def only_for_types(tree: ast.Module) -> set[ast.AST]:
    """What stands under ``if TYPE_CHECKING``."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }


def imports() -> dict[str, set[str]]:
    """For each module, the modules that it imports at run time, also within functions."""
    known = modules()
    graph = {}
    for name, path in known.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        skipped, wanted = only_for_types(tree), set()
        for node in ast.walk(tree):
            if not isinstance(node, ast.ImportFrom) or node in skipped:
                continue
            base = node.module or ""
            if node.level:
                here = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
                here = here[: len(here) - node.level + 1]
                base = ".".join([*here, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                wanted.add(whole if whole in known else base)
        graph[name] = {one for one in wanted if one in known and one != name}
    return graph


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def test_imports_point_downwards() -> None:
    wrong = []
    for module, wanted in imports().items():
        if room(module) in _DOORS:
            continue
        for other in wanted:
            above, below = room(module), room(other)
            if below in _DOORS or above == below:
                continue
            if ROOMS.index(below) < ROOMS.index(above):
                wrong.append(f"{module} imports {other}, which stands above it")
    assert not wrong, "\n".join(wrong)


def test_every_name_at_the_top_is_a_room() -> None:
    names = {room(module) for module in modules()} - _DOORS
    assert names == set(ROOMS)


def test_no_module_imports_itself_by_a_detour() -> None:
    graph = imports()
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in graph[module]:
                walk(other, (*way, module))
            done.add(module)

    for module in graph:
        walk(module, ())
