"""The examples of README and docs run, and say what the text around them says."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A block with a file's name above it is that file, which the blocks below it may import.
BLOCK = re.compile(r"(?:<!-- (\w+\.py) -->\n)?```python\n(.*?)```", re.DOTALL)
PAGES = {
    str(path.relative_to(ROOT)): blocks
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if (blocks := BLOCK.findall(path.read_text(encoding="utf-8")))
}
# What an example says that it prints.
PRINTED = re.compile(r"print\(.*\)  # (.+)")
# What a loop says that it prints: comments below it, further to the left, one for each line.
BELOW_A_LOOP = re.compile(r"\n( *)    print\(.*\)\n((?:\1# .*\n)+)")
# A fragment names what its reader has; here it is given that.
FRAGMENT_NEEDS = "from types import SimpleNamespace\nllm = SimpleNamespace()\n"


Run = Callable[[Path, Path], tuple[int, str, str]]

# Pages about a package that the suite does not install; a step of .ci/run of its own runs these.
PACKAGES = {
    "docs/buddy.md": "buddy",
    "docs/crewai.md": "crewai",
    "docs/langchain.md": "langchain_core",
    "docs/langgraph.md": "langgraph",
    "docs/llama-index.md": "llama_index",
    "docs/openai-agents.md": "agents",
    "docs/pydantic-ai.md": "pydantic_ai",
}


def is_script(block: str) -> bool:
    return "asyncio.run(" in block


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """Runs a script in a folder; its exit code, and what it prints and says of failures.

    Each script is a process of its own. They are forked from one that has imported everything,
    which takes longer than most examples.
    """
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(Path(__file__).with_name("child_examples.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    ) as parent:

        def script_in(script: Path, folder: Path) -> tuple[int, str, str]:
            assert parent.stdin is not None
            assert parent.stdout is not None
            out, err = (
                folder.with_name(f"{folder.name}.out"),
                folder.with_name(f"{folder.name}.err"),
            )
            for path in (out, err):
                path.unlink(missing_ok=True)
            order = {
                "script": str(script), "folder": str(folder), "out": str(out), "err": str(err)
            }  # fmt: skip
            parent.stdin.write(json.dumps(order) + "\n")
            parent.stdin.flush()
            code = int(parent.stdout.readline())
            return code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8")

        yield script_in
        assert parent.stdin is not None
        parent.stdin.close()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_examples_run_from_top_to_bottom_in_one_folder(page: str, tmp_path: Path, run: Run) -> None:
    if page in PACKAGES and find_spec(PACKAGES[page]) is None:
        pytest.skip(f"{PACKAGES[page]} is not installed")
    for number, (name, block) in enumerate(PAGES[page]):
        ast.parse(block)
        script = tmp_path / (name or "example.py")
        script.write_text(
            block if name or is_script(block) else FRAGMENT_NEEDS + block, encoding="utf-8"
        )
        code, said, failed = run(script, tmp_path)
        assert code == 0, f"example {number}: {failed}"
        if (page, number) == ("README.md", 0):
            assert "120 euros" in said
            assert "neighbours" in said
        for printed in PRINTED.findall(block):
            for line in re.split(r", then: |\.\.\.", printed):
                assert line.strip() in said, f"example {number} does not print {line}"
        for _, below in BELOW_A_LOOP.findall(block):
            lines = [one.strip()[2:] for one in below.splitlines() if not one.endswith(":")]
            loop = "\n".join(lines) + "\n"
            assert loop in said, f"example {number} does not print {loop}"


def test_every_public_method_is_on_a_page() -> None:
    from bruno_memory_vec import VectorMemory

    text = "".join(
        path.read_text(encoding="utf-8")
        for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    )
    methods = [name for name in vars(VectorMemory) if not name.startswith("_")]
    assert len(methods) > 20
    missing = [name for name in methods if not re.search(rf"\b{name}\b", text)]
    assert not missing


def test_readme_shows_what_its_first_example_prints() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- output of the example -->\n```\n(.*?)```", text, re.DOTALL)
    assert shown is not None
    for name in ("lexical", "semantic", "neighbours", "conversation"):
        assert name in shown.group(1)


def test_every_command_is_in_the_readme() -> None:
    from bruno_memory_vec.surfaces.cli.app import app

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    assert commands
    for command in commands:
        assert f"`{command}`" in text or f"bruno-memory-vec {command}" in text


def test_the_error_page_names_every_error() -> None:
    from bruno_memory_vec import errors

    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for name in errors.__all__:
        if name != "StoreError":
            assert f"`{name}`" in page
