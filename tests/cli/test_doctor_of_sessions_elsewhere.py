"""``doctor`` where the sessions are not beside the rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
HASH = ("--embedder", "hash")
ALL = "1 row is as it was stored, of 1 that was acknowledged"


def states(done: Any) -> dict[str, str]:
    return {check["name"]: check["state"] for check in done.json["checks"]}


def found(done: Any, name: str) -> str:
    return " ".join(check["found"] for check in done.json["checks"] if check["name"] == name)


@pytest.fixture
def talk(lines: Any) -> str:
    row = {"role": "user", "content": "boat", "user_id": "ana", "conversation_id": "talk"}
    return str(lines(row))


def test_a_folder_with_sessions_in_another(run: Run, tmp_path: Path, talk: str) -> None:
    at = ("--store", str(tmp_path / "rows"), "--sessions", str(tmp_path / "sessions"))
    assert run("ingest", talk, *at, *HASH).code == 0
    done = run("doctor", *at, *HASH, "--json")
    assert done.code == 0, done.out
    assert found(done, "ledger") == ALL
    assert found(done, "sessions") == "1 conversation, 0 sessions"
    without = run("doctor", *at[:2], *HASH, "--json")
    assert states(without)["sessions"] == "problem"


def test_a_folder_with_sessions_in_redis(
    run: Run, tmp_path: Path, talk: str, redis_url: str
) -> None:
    at = ("--store", str(tmp_path / "rows"), "--sessions", redis_url)
    assert run("ingest", talk, *at, *HASH).code == 0
    assert run("show", "talk", *at).code == 0
    done = run("doctor", *at, *HASH, "--json")
    assert done.code == 0, done.out
    assert found(done, "ledger") == ALL
    away = run("doctor", *at[:3], "redis://ana:hunter2@127.0.0.1:9", *HASH, "--json")
    assert (away.code, states(away)["sessions"]) == (4, "problem")
    assert "hunter2" not in away.out + away.err


def test_qdrant_with_sessions_in_redis(run: Run, tmp_path: Path, talk: str, redis_url: str) -> None:
    pytest.importorskip("qdrant_client", reason='needs pip install "bruno-memory-vec[qdrant]"')
    name = f"doctor-{tmp_path.parent.name}-{tmp_path.name}"
    rows = f"qdrant+local:{tmp_path / 'rows'}?collection={name.replace('_', '-')}"
    at = ("--store", rows, "--sessions", redis_url)
    assert run("ingest", talk, *at, *HASH).code == 0
    done = run("doctor", *at, *HASH, "--json")
    assert done.code == 0, done.out
    assert set(states(done).values()) == {"ok"}
    assert found(done, "ledger") == ALL
    away = run("doctor", *at[:3], "redis://ana:hunter2@127.0.0.1:9", *HASH, "--json")
    assert away.code == 4
    assert states(away)["open"] == "problem"
    assert "hunter2" not in away.out + away.err
