"""An adapter whose framework is not installed names what installs it."""

from __future__ import annotations

import importlib
import sys

import pytest

from bruno_memory_vec.errors import MissingDependencyError
from tests.cli.support import run_here

ADAPTERS = (
    ("openai_agents", "agents", "openai-agents"),
    ("pydantic_ai", "pydantic_ai", "pydantic-ai"),
    ("crewai", "crewai", "crewai"),
    ("langchain", "langchain_core", "langchain"),
    ("llama_index", "llama_index", "llama-index"),
    ("buddy", "buddy", "buddy"),
)


@pytest.mark.parametrize(("adapter", "package", "extra"), ADAPTERS)
def test_importing_it_names_the_extra(
    adapter: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"bruno_memory_vec.adapters.{adapter}"
    # As where it is not installed: Python raises ImportError for what is None there.
    for known in [one for one in sys.modules if one == package or one.startswith(f"{package}.")]:
        monkeypatch.setitem(sys.modules, known, None)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(MissingDependencyError) as missing:
        importlib.import_module(name)
    assert missing.value.extra == extra
    assert f'pip install "bruno-memory-vec[{extra}]"' in str(missing.value)
    assert name not in sys.modules


def test_langgraph_without_anything_of_langchain(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its embedder is LangChain's, which comes with langgraph.
    for package in ("langgraph", "langchain_core"):
        for known in [one for one in sys.modules if one.startswith(f"{package}.")]:
            monkeypatch.setitem(sys.modules, known, None)
        monkeypatch.setitem(sys.modules, package, None)
    for name in ("langgraph", "langchain_embeddings"):
        monkeypatch.delitem(sys.modules, f"bruno_memory_vec.adapters.{name}", raising=False)
    with pytest.raises(MissingDependencyError) as missing:
        importlib.import_module("bruno_memory_vec.adapters.langgraph")
    assert missing.value.extra == "langgraph"


def test_the_mcp_command_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    # Version 1 of the package has no mcp_types.
    monkeypatch.setitem(sys.modules, "mcp_types", None)
    done = run_here("mcp", "--store", "memory://", "--user", "ana")
    assert done.code == 1
    assert 'pip install "bruno-memory-vec[mcp]"' in done.err
    assert done.out == ""
