"""``--url`` and ``--sessions``: what a run fills in, refuses and keeps out of its report."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from bruno_core.models.message import Message

from benchmarks import speed
from benchmarks.address import Address
from benchmarks.environment import describe
from benchmarks.retrieval.__main__ import main as retrieval
from benchmarks.scale.__main__ import main as scale
from benchmarks.scale.work import Work
from bruno_memory_vec.errors import InvalidInputError


def test_each_run_has_its_own_folder_and_name(tmp_path: Path) -> None:
    asked = Address("qdrant://127.0.0.1:6333/{name}", "sqlite:///{folder}/sessions")
    first, second = asked.filled(tmp_path), asked.filled(tmp_path)
    assert first.url.startswith("qdrant://127.0.0.1:6333/bench_")
    assert first.url != second.url
    assert first.sessions == f"sqlite:///{tmp_path}/sessions"
    assert Address().filled(tmp_path) == Address(f"{tmp_path}/store")
    assert Address().filled(tmp_path).settings == {}
    assert first.settings == {"sessions": first.sessions}


@pytest.mark.parametrize(
    ("url", "folder", "kept", "label"),
    [
        ("./some/store", Path("some/store"), True, "folder"),
        ("qdrant+local:some/store", Path("some/store"), True, "qdrant+local"),
        ("qdrant+local::memory:", None, False, "qdrant+local"),
        ("memory://", None, False, "memory"),
        ("qdrants://host:6333/bench", None, True, "qdrants"),
        ("postgresql://me:secret@host/db", None, True, "postgresql"),
    ],
)
def test_what_a_url_says(url: str, folder: Path | None, kept: bool, label: str) -> None:
    found = Address(url)
    assert (found.folder, found.kept, found.label) == (folder, kept, label)
    assert Address(url, "redis://host:6379/0").label == f"{label}, redis"
    assert Address(url, "./sessions").label == f"{label}, sqlite"


def test_passwords_are_in_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ("postgresql://me:secret@host/db", "redis://:secret@host:6379/0")
    assert Address(*urls).to_dict() == {
        "url": "postgresql://me:***@host/db",
        "sessions": "redis://:***@host:6379/0",
    }
    monkeypatch.setattr(sys, "argv", ["speed.py", "--url", urls[0], "--sessions", urls[1]])
    assert "secret" not in describe()["command"]
    assert "host/db" in describe()["command"]


async def test_a_store_that_holds_rows_is_refused(tmp_path: Path) -> None:
    where = Address().filled(tmp_path)
    async with await where.open_empty(embedder="hash") as memory:
        await memory.store_message(Message(role="user", content="One."), "talk", user_id="ana")
    with pytest.raises(InvalidInputError, match=r"holds rows already.*\{name\}"):
        await where.open_empty(embedder="hash")
    async with await where.open(embedder="hash") as memory:  # it was left closed
        assert len(await memory.list_users()) == 1


def test_retrieval_runs_at_an_address(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--data", f"jsonl={tiny}", "--embedder", "hash", "--json", "-"]
    at = f"{tmp_path}/here"
    assert retrieval([*argv, "--url", at]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["settings"]["address"] == {"url": at, "sessions": None}
    assert report["system"] == "balanced on folder"
    assert (tmp_path / "here" / "store.json").is_file()
    # A second run there would measure the first one's rows.
    assert retrieval([*argv, "--url", at]) == 1


def test_speed_measures_a_store_that_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = tmp_path / "speed.json"
    argv = ["--users", "2", "--messages", "3", "--calls", "4", "--embedder", "hash"]
    argv += ["--bulk", "20", "--url", "memory://", "--json", str(target)]
    monkeypatch.setattr(sys, "argv", ["speed.py", *argv])
    assert speed.main() == 0
    report = json.loads(target.read_text(encoding="utf-8"))
    assert (report["url"], report["sessions"]) == ("memory://", None)
    assert report["figures"]["store_message"]["p50_ms"] > 0
    assert "open_again_ms" not in report["figures"]


@pytest.mark.parametrize(
    "argv",
    [
        ["--url", "memory://"],
        ["--url", "./x", "--endurance"],
        ["--sessions", "x", "--peers", "all"],
    ],
)
def test_scale_refuses_what_it_cannot_measure_elsewhere(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        scale(argv)
    assert ended.value.code == 2


def test_a_store_on_a_server_has_no_files(tmp_path: Path) -> None:
    work = Work(rows=1, users=1, seed=7, embedder="given", corpora="", store="qdrant://host/x")
    assert work.disk() == {}
    (tmp_path / "file").write_bytes(bytes(2**20))
    work = Work(rows=1, users=1, seed=7, embedder="given", corpora="", store=str(tmp_path))
    assert work.disk() == {"files": 1, "disk_mib": 1.0}
