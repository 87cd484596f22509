"""Writes the types of ``bruno_memory_vec.sync``: ``bruno_memory_vec/sync/api.pyi``.

python scripts/sync_types.py

The blocking classes are made when they are imported, which no editor and no type-checker sees. This
reads the asynchronous classes and writes down what comes of them: every method with its parameters,
its docstring, and the type that it gives. A test fails while the file is not what this would write.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import bruno_memory_vec
from bruno_memory_vec import memory as asynchronous
from bruno_memory_vec.sync import api
from bruno_memory_vec.sync.background import Stream
from bruno_memory_vec.sync.blocking import BLOCKING, public

TARGET = Path(__file__).resolve().parent.parent / "bruno_memory_vec" / "sync" / "api.pyi"
HEADER = '''\
# Made from the asynchronous classes by `python scripts/sync_types.py`: change those, and run it.
"""{doc}"""

from __future__ import annotations

'''
WIDTH = 100
#: Written by hand, as they differ from the asynchronous ones.
OWN = {"close", "shutdown", "from_config"}


def main() -> None:
    """Write the file."""
    text = stub()
    before = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    TARGET.write_text(text, encoding="utf-8")
    print(f"{TARGET.name}: {'as it was' if text == before else 'written'}")


def stub() -> str:
    """What the file should hold."""
    names = _Names()
    made = [made for made in BLOCKING.values() if made is not api.Memory]
    parts = [
        *(_class(kind, names) for kind in sorted(made, key=lambda one: one.__name__)),
        _memory(names),
        _opening(names),
        *_functions(names),
    ]
    listed = "".join(f'    "{name}",\n' for name in sorted(api.__all__))
    doc = (api.__doc__ or "").split(";")[0] + "."
    head = HEADER.format(doc=doc) + names.imports()
    return head + f"\n__all__ = [\n{listed}]\n\n" + "\n".join(parts)


@dataclass
class _Names:
    """The names that annotations use, and where each is from."""

    wanted: dict[str, tuple[str, str]] = field(default_factory=dict)

    def annotation(self, text: Any, module: ModuleType) -> str:
        """An annotation as it stands in the module, whose names are imported from now on."""
        written = text if isinstance(text, str) else getattr(text, "__name__", repr(text))
        tree = ast.parse(written, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = self.name(node.id, module)
        return ast.unparse(tree).replace("'", '"')

    def name(self, name: str, module: ModuleType) -> str:
        """What to write for a name of a module."""
        if name == "VectorMemory":
            return "Memory"
        if hasattr(builtins, name):
            return name
        place = _imported(module).get(name, (module.__name__, name))
        if place == (Stream.__module__, Stream.__name__):
            place = ("bruno_memory_vec.sync.background", "Stream")
        return self.add(name, place)

    def add(self, name: str, place: tuple[str, str]) -> str:
        taken = self.wanted.setdefault(name, place)
        return name if taken == place else self.add(f"{name}_", place)

    def imports(self) -> str:
        """The import statements, as isort orders them."""
        groups: dict[int, dict[str, list[str]]] = {0: {}, 1: {}, 2: {}}
        for name, (module, original) in sorted(self.wanted.items()):
            top = module.split(".")[0]
            group = 2 if top == "bruno_memory_vec" else 0 if top in sys.stdlib_module_names else 1
            both = original if name == original else f"{original} as {name}"
            # Without "as", a name in a stub is not given on.
            if name in api.__all__:
                both = f"{original} as {name}"
            groups[group].setdefault(module, []).append(both)
        blocks = []
        for modules in groups.values():
            lines = []
            for module, found in sorted(modules.items()):
                line = f"from {module} import {', '.join(sorted(found))}"
                if len(line) > WIDTH:
                    inside = "".join(f"    {one},\n" for one in sorted(found))
                    line = f"from {module} import (\n{inside})"
                lines.append(line)
            if lines:
                blocks.append("\n".join(lines) + "\n")
        return "\n".join(blocks)


def _class(made: type, names: _Names) -> str:
    kind = next(kind for kind, one in BLOCKING.items() if one is made)
    members = [_member(name, member, names, kind) for name, member in public(kind)]
    return f"class {made.__name__}:\n{_doc(kind, 1)}\n" + "\n".join(members)


def _memory(names: _Names) -> str:
    kind = api.Memory
    settings = inspect.signature(asynchronous.VectorMemory.__init__)
    module = sys.modules[asynchronous.__name__]
    own = [
        _function("__init__", settings, module, names, given="None", level=1),
        f"    @classmethod\n    def from_config(cls, config: "
        f"{names.add('BrunoMemoryConfig', ('bruno_core.models.config', 'MemoryConfig'))}"
        f") -> Memory:\n{_doc(kind.from_config, 2)}",
        f"    def close(self) -> None:\n{_doc(kind.close, 2)}",
        f"    def shutdown(self) -> None:\n{_doc(kind.shutdown, 2)}",
        "    def __enter__(self) -> Memory: ...\n    def __exit__(\n        self,\n"
        "        kind: type[BaseException] | None,\n        error: BaseException | None,\n"
        f"        trace: {names.add('TracebackType', ('types', 'TracebackType'))} | None,\n"
        "    ) -> None: ...\n",
    ]
    members = [
        _member(name, member, names, asynchronous.VectorMemory)
        for name, member in public(asynchronous.VectorMemory)
        if name not in OWN
    ]
    return f"class Memory:\n{_doc(kind, 1)}\n" + "\n".join([*own, *members])


def _opening(names: _Names) -> str:
    signature = inspect.signature(asynchronous.open_memory)
    module = sys.modules[asynchronous.__name__]
    return _function(
        "open_memory", signature, module, names, given="Memory", level=0, doc=api.open_memory
    )


def _functions(names: _Names) -> Iterator[str]:
    for name in sorted(api.__all__):
        if name != "open_memory" and inspect.isfunction(found := getattr(api, name)):
            of = getattr(bruno_memory_vec, name)
            module = sys.modules[of.__module__]
            yield _function(name, inspect.signature(of), module, names, level=0, doc=found)


def _member(name: str, member: Any, names: _Names, kind: type) -> str:
    if isinstance(member, property):
        assert member.fget is not None
        module = sys.modules[member.fget.__module__]
        given = str(member.fget.__annotations__["return"])
        found = getattr(module, given, None)
        if not (isinstance(found, type) and found in BLOCKING):
            given = names.annotation(given, module)
        return f"    @property\n    def {name}(self) -> {given}:\n{_doc(member, 2)}"
    if not callable(member):
        # The class that declares it says the type; those that set it say only `ClassVar`.
        told = ((one, inspect.get_annotations(one).get(name, "")) for one in kind.__mro__)
        declared, text = next((one, text) for one, text in told if "[" in text)
        return f"    {name}: {names.annotation(text, sys.modules[declared.__module__])}\n"
    return _function(
        name, inspect.signature(member), _module_of(member), names, level=1, doc=member,
        stream=inspect.isasyncgenfunction(member),
    )  # fmt: skip


def _module_of(function: Callable[..., Any]) -> ModuleType:
    return sys.modules[inspect.unwrap(function).__module__]


def _function(
    name: str,
    signature: inspect.Signature,
    module: ModuleType,
    names: _Names,
    *,
    level: int,
    given: str | None = None,
    doc: Any = None,
    stream: bool = False,
) -> str:
    parameters = list(_parameters(signature, module, names))
    if given is None:
        given = names.annotation(signature.return_annotation, module)
    if stream:
        given = given.removeprefix("AsyncGenerator[").removesuffix(", None]")
        given = f"{names.add('Stream', (Stream.__module__, 'Stream'))}[{given}]"
        names.wanted.pop("AsyncGenerator", None)
    indent = "    " * level
    line = f"{indent}def {name}({', '.join(parameters)}) -> {given}:"
    if len(line) > WIDTH:
        inside = "".join(f"{indent}    {one},\n" for one in parameters)
        # What takes the rest has no comma in stubs of older Pythons' grammar; it may have one now.
        line = f"{indent}def {name}(\n{inside}{indent}) -> {given}:"
    text = "" if doc is None else _doc(doc, level + 1)
    return f"{line}\n{text}" if text else f"{line} ...\n"


def _parameters(signature: inspect.Signature, module: ModuleType, names: _Names) -> Iterator[str]:
    starred = False
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        starred = starred or one.kind is one.VAR_POSITIONAL
        mark = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        text = f"{mark}{one.name}"
        if one.annotation is not one.empty:
            text += f": {names.annotation(one.annotation, module)}"
        if one.default is not one.empty:
            text += f" = {_default(one.default)}"
        yield text


def _default(value: Any) -> str:
    if value is None or isinstance(value, (bool, int, float)) or value == ():
        return repr(value)
    return f'"{value}"' if type(value) is str and value.isprintable() else "..."


def _doc(of: Any, level: int) -> str:
    text = inspect.getdoc(of)
    if not text:
        return ""
    escaped = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    lines = f'"""{escaped}' + ('\n"""' if "\n" in escaped else '"""')
    return textwrap.indent(lines, "    " * level, lambda line: bool(line.strip())) + "\n"


@cache
def _imported(module: ModuleType) -> dict[str, tuple[str, str]]:
    """Where the names are from that a module imports, also for types only."""
    found = {}
    tree = ast.parse(inspect.getsource(module))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            base = node.module
            if node.level:
                here = module.__name__.split(".")
                package = hasattr(module, "__path__")
                here = here[: len(here) - node.level + package]
                base = ".".join([*here, base])
            for alias in node.names:
                found[alias.asname or alias.name] = (base, alias.name)
    return found


if __name__ == "__main__":
    main()
