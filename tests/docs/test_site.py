"""What the documentation site is made from, without building it; .ci/run does that."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
# Made when the site is built.
MADE = {"index.md", "changelog.md", "results.md"}


def test_every_page_has_its_place_in_the_site() -> None:
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r"^ *- .*: ([\w/-]+\.md)$", nav, re.MULTILINE)
    docs = ROOT / "docs"
    pages = {str(path.relative_to(docs)) for path in docs.rglob("*.md")}
    assert len(listed) == len(set(listed))
    assert set(listed) == pages | MADE


def test_results_are_tables_of_what_the_files_say(tmp_path: Path) -> None:
    (tmp_path / "retrieval").mkdir()
    run = {
        "command": "python -m benchmarks.thing",
        "commit": "abc",
        "cores": 2,
        "rows": 10,
        "figures": {"store": {"p50_ms": 1.25, "p95_ms": 3}, "recall": {"p50_ms": 2, "p95_ms": 4.5}},
        "name": "a|b <script>",
    }
    (tmp_path / "a-thing.json").write_text(json.dumps(run), encoding="utf-8")
    page = _results().page(tmp_path)
    assert "## A thing\n\n`python -m benchmarks.thing`, commit abc, 2 cores\n" in page
    assert "| rows | 10 |" in page
    assert "|  | p50 ms | p95 ms |\n| --- | --- | --- |\n| store | 1.25 | 3 |" in page
    assert "| recall | 2 | 4.5 |" in page
    assert "| name | a\\|b &lt;script> |" in page


def test_results_of_this_repository_are_all_on_the_page() -> None:
    folder = ROOT / "benchmarks" / "results"
    page = _results().page(folder)
    for path in folder.glob("*.json"):
        command = json.loads(path.read_text(encoding="utf-8")).get("command", "")
        assert command in page, path.name
    for path in (folder / "retrieval").glob("*.json"):
        run = json.loads(path.read_text(encoding="utf-8"))
        assert f"{run['figures']['headline']['recall@10'][0]:.3f}" in page


def _results() -> ModuleType:
    path = ROOT / "scripts" / "site" / "results.py"
    spec = importlib.util.spec_from_file_location("results", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
