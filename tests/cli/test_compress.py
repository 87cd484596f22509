"""compress: a dry run, a compression and its undoing from the shell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import open_memory

Run = Callable[..., Any]


@pytest.fixture
def store(run: Run, lines: Callable[..., Path], tmp_path: Path) -> list[str]:
    """Two conversations of 40 turns, of one user each."""
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
    return store


def test_compressed_and_back(run: Run, store: list[str], tmp_path: Path) -> None:
    dry = run("compress", "--dry-run", "--json", *store).json
    assert (dry["turns"], dry["conversations"], dry["dry_run"]) == (40, 2, True)
    done = run("compress", "trip", "--keep-newest", "10", *store)
    assert done.code == 0, done.err
    assert "30 turns of 1 conversation compressed" in done.out
    found = run("recall", "visit 3 to Bergen", "--user", "ana", "--json", *store).json
    assert any(hit["origin"] == "summary" for hit in found["hits"])
    back = run("compress", "trip", "--restore", "--json", *store).json
    assert back["turns"] == 30
    assert run("compress", "--ratio", "7", *store).code == 1
    assert run("compress", "--store", str(tmp_path / "none")).code == 1


def test_a_dry_run_of_a_restoration_is_refused(run: Run, store: list[str]) -> None:
    assert run("compress", "trip", *store).code == 0
    refused = run("compress", "trip", "--restore", "--dry-run", *store)
    assert refused.code == 2
    assert "--restore and --dry-run" in refused.err
    assert run("compress", "trip", "--restore", "--json", *store).json["turns"] == 20


def test_a_conversation_that_is_not_there(run: Run, store: list[str]) -> None:
    for more in ([], ["--dry-run"], ["--restore"], ["--user", "ana"]):
        missing = run("compress", "nope", *more, *store)
        assert missing.code == 1
        assert "there is no conversation 'nope'" in missing.err


async def test_beside_a_writer_a_dry_run_works(run: Run, store: list[str]) -> None:
    async with open_memory(store[1], embedder="hash") as memory:
        await memory.list_users()
        dry = await asyncio.to_thread(run, "compress", "--dry-run", "--json", *store)
        refused = await asyncio.to_thread(run, "compress", *store)
    assert dry.code == 0, dry.err
    assert dry.json["turns"] == 40
    assert refused.code == 1
    assert "timeline" in refused.err


def test_what_is_said_is_readable(
    run: Run, store: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    dry = run("compress", "trip", "--keep-newest", "10", "--dry-run", *store).out
    assert "30 turns of 1 conversation would be compressed" in dry
    assert "at least 3 summaries, of 3 blocks" in dry
    done = run("compress", "trip", "--keep-newest", "10", *store).out
    assert all(len(line) <= 60 for line in done.splitlines())
    assert "30 turns of 1 conversation compressed" in done
    assert "4 summaries, of 3 blocks, 1 conversation" in done
    assert "by the model" not in done
    again = run("compress", "trip", "--keep-newest", "10", *store).out
    assert again == "no turns were compressed\n"
    assert (
        "30 turns are back, 4 summaries are gone"
        in run("compress", "trip", "--restore", *store).out
    )
