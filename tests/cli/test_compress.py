"""compress: a dry run, a compression and its undoing from the shell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]


def test_compressed_and_back(run: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    rows = [
        {
            "conversation_id": conversation,
            "user_id": user,
            "role": "user" if number % 2 == 0 else "assistant",
            "content": f"Visit {number} to Bergen cost {100 + number} crowns, says {user}.",
            "timestamp": f"2025-10-03T18:{number:02}:00Z",
        }
        for user, conversation in (("ana", "trip"), ("ben", "teeth"))
        for number in range(40)
    ]
    store = ["--store", str(tmp_path / "store"), "--embedder", "hash"]
    assert run("ingest", str(lines(*rows)), *store).code == 0
    dry = run("compress", "--dry-run", "--json", *store).json
    assert (dry["turns"], dry["conversations"], dry["dry_run"]) == (40, 2, True)
    done = run("compress", "trip", "--keep-newest", "10", *store)
    assert done.code == 0, done.err
    assert "30 turns of 1 conversations compressed" in done.out
    found = run("recall", "visit 3 to Bergen", "--user", "ana", "--json", *store).json
    assert any(hit["origin"] == "summary" for hit in found["hits"])
    back = run("compress", "trip", "--restore", "--json", *store).json
    assert back["turns"] == 30
    assert run("compress", "--ratio", "7", *store).code == 1
    assert run("compress", "--store", str(tmp_path / "none")).code == 1
