"""What a command imports, on which the time until its answer depends, and what it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bruno_memory_vec.indexers.lance.rest_client import REST_CLIENT
from tests.cli.support import run_here

ROOT = Path(__file__).resolve().parents[2]

# Commands one after the other in one process, each with what has been imported when it has ended.
_SCRIPT = """
import json, sys
from bruno_memory_vec.surfaces.cli.app import app
from typer.testing import CliRunner
for arguments in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    print("MODULES", json.dumps(sorted(sys.modules)))

import lance_namespace_urllib3_client as client
assert not hasattr(client, "__wrapped__") and type(client) is not type(sys)
assert client.ApiClient.__name__ == "ApiClient" and type(client) is type(sys)
assert not hasattr(client, "nonsense")
print("MODULES", json.dumps(sorted(sys.modules)))
"""

#: What takes long, and what may import it.
_ENGINES = {"lancedb", "tantivy", "pyarrow", "numpy"}
_NEVER = {
    "bruno_memory_vec.privacy.anonymise.names",
    "bruno_memory_vec.portability.readers",
    "bruno_memory_vec.upkeep.migrations.run",
    "lance_namespace_urllib3_client.api",
    "qdrant_client",
    "redis",
    "sentence_transformers",
    "torch",
    "sklearn",
    "matplotlib",
    "fastapi",
    "uvicorn",
    "mcp",
    "cryptography",
    "IPython",
}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    store = str(tmp_path_factory.mktemp("starting") / "store")
    options = ["--store", store, "--embedder", "hash"]
    assert run_here("add", "She likes the sea", "-u", "ana", "-c", "talk", *options).code == 0
    commands = {
        "--help": ["recall", "--help"],
        "list": ["list", "--store", store],
        "recall": ["recall", "sea", "-u", "ana", *options],
        "recall of a day": ["recall", "sea", "-u", "ana", "--since", "2 weeks ago", *options],
        "stats": ["stats", "--store", store],
        "add": ["add", "And the dunes", "-u", "ana", "-c", "talk", *options],
    }
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps(list(commands.values()))],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [line[8:] for line in done.stdout.splitlines() if line.startswith("MODULES ")]
    return {
        name: set(json.loads(line))
        for name, line in zip((*commands, "asked for"), told, strict=True)
    }


def test_help_imports_no_engine(imported: dict[str, set[str]]) -> None:
    heavy = _ENGINES | {"bruno_core", "dateparser", "bruno_memory_vec.memory"}
    assert not imported["--help"] & heavy


def test_a_list_imports_no_embedder(imported: dict[str, set[str]]) -> None:
    # Of LanceDB nothing can be spared: it holds the rows.
    assert {"lancedb", "pyarrow"} <= imported["list"]
    assert not imported["list"] & {"tokenizers", "dateparser"}


@pytest.mark.parametrize("command", ["list", "recall", "recall of a day", "stats", "add"])
def test_no_command_imports_what_it_does_not_use(
    imported: dict[str, set[str]], command: str
) -> None:
    assert not imported[command] & _NEVER


def test_words_for_a_time_import_what_reads_dates_only_where_they_need_it(
    imported: dict[str, set[str]],
) -> None:
    assert "bruno_memory_vec.typed_time" not in imported["recall"]
    assert "dateparser" not in imported["recall of a day"]


def test_the_rest_client_is_loaded_when_it_is_asked_for(imported: dict[str, set[str]]) -> None:
    assert REST_CLIENT in imported["recall"]
    assert f"{REST_CLIENT}.models" in imported["recall"]
    assert f"{REST_CLIENT}.api" not in imported["recall"]
    assert f"{REST_CLIENT}.api" in imported["asked for"]
