"""What ``doctor --repair`` mends, seen in the store afterwards and not in what it says."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.indexers.lance.index import LanceIndex
from bruno_memory_vec.indexers.query import LexicalQuery, RowFilter, Scope
from bruno_memory_vec.indexers.tantivy.index import TantivyReader
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.testing import HashEmbedder
from bruno_memory_vec.upkeep import diagnosis
from tests.cli.conftest import said
from tests.durability.support import turns_of

Run = Callable[..., Any]
SAID = [
    "We found a guesthouse in Alfama",
    "Did you book it?",
    "Yes, three nights with breakfast",
]


@pytest.fixture
def folder(store: list[str]) -> Path:
    return Path(store[1])


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_BETWEEN_LOOKS", 0.0)


def ask(folder: Path, question: Callable[[VectorMemory], Awaitable[Any]]) -> Any:
    """What a store that is opened to read answers."""

    async def work() -> Any:
        async with open_memory(str(folder), embedder="hash", read_only=True) as memory:
            return await question(memory)

    return asyncio.run(work())


def shown(folder: Path, conversation: str = "trip") -> list[str]:
    """The texts of a context."""

    async def texts(memory: VectorMemory) -> list[str]:
        return [m.content for m in (await memory.get_context("ana", conversation)).messages]

    return list(ask(folder, texts))


def take_turns(folder: Path, *seqs: int) -> None:
    """Do to rows what only a hand does: take their turn away."""

    async def work() -> None:
        rows = await LanceIndex.open(str(folder / "rows"), HashEmbedder().fingerprint.dimension)
        fields = [rows.schema.field(name) for name in ("seq", "turn")]
        none = [{"seq": seq, "turn": None} for seq in seqs]
        await rows.update(pa.Table.from_pylist(none, schema=pa.schema(fields)))
        await rows.close()

    asyncio.run(work())


def test_messages_without_a_turn(run: Run, store: list[str], folder: Path) -> None:
    take_turns(folder, 0, 1)
    assert ask(folder, lambda memory: turns_of(memory, "trip")) == [(2, SAID[2])]
    report = run("doctor", "--repair", "--json", *store)
    assert report.code == 0, report.out
    assert report.json["repaired"] == {"turns_given": 2, "rows": 4, "lexical": 4}
    placed = list(enumerate([SAID[2], SAID[0], SAID[1]], start=2))
    assert ask(folder, lambda memory: turns_of(memory, "trip")) == placed
    # The lexical index, the contexts and the next turn know of it.
    lexical = run("recall", "guesthouse", "--user", "ana", "--profile", "lexical", "--json", *store)
    assert [(hit["turn"], hit["content"]) for hit in lexical.json["hits"]][:1] == [(3, SAID[0])]
    words = TantivyReader(folder / "lexical", analyser("english"))
    found = words.search(LexicalQuery("guesthouse"), Scope.user("ana"), RowFilter(), 1)
    assert found.turn.tolist() == [3]
    assert shown(folder) == [text for _, text in placed]
    run("ingest", "-", *store, stdin=_line(said("More")))
    assert ask(folder, lambda memory: turns_of(memory, "trip")) == [*placed, (5, "More")]
    # Nothing of it happens twice, and nothing is said that did not happen.
    again = run("doctor", "--repair", "--json", *store)
    assert again.json["repaired"] == {"rows": 5, "lexical": 5}


def test_it_says_how_many_had_no_turn(run: Run, store: list[str], folder: Path) -> None:
    take_turns(folder, 1)
    done = run("doctor", "--repair", *store)
    assert "messages that had no turn, and have one now: 1" in done.out
    assert "no turn" not in run("doctor", "--repair", *store).out


def test_the_rows_are_compacted(run: Run, store: list[str], folder: Path) -> None:
    for number in range(3):
        run("ingest", "-", *store, stdin=_line(said(f"More of it, {number}")))

    async def fragments(memory: VectorMemory) -> int:
        return int((await memory.health())["rows"]["fragments"])

    assert ask(folder, fragments) == 4
    assert run("doctor", *store).code == 0
    assert ask(folder, fragments) == 4, "it mends nothing unless it is asked to"
    assert run("doctor", "--repair", *store).code == 0
    assert ask(folder, fragments) == 1


def test_what_was_put_aside_is_in_no_context(run: Run, store: list[str], folder: Path) -> None:
    run("ingest", "-", *store, stdin=_line(said("Cut short")))
    assert shown(folder)[-1] == "Cut short"
    # LanceDB names them so that the newest comes first.
    newest = min((folder / "rows" / "rows.lance" / "_versions").glob("*.manifest"))
    newest.write_bytes(b"")
    report = run("doctor", "--repair", "--json", *store)
    assert report.code == 0, report.out
    assert report.json["repaired"]["stepped_back"]["rows"] == 4
    assert report.json["repaired"]["rows"] == 4
    assert shown(folder) == SAID
    assert list((folder / "rows" / "set-aside").rglob(newest.name))
    # Its turn is not given again, nor is anything that is there.
    run("ingest", "-", *store, stdin=_line(said("And on")))
    assert shown(folder) == [*SAID, "And on"]
    turns = ask(folder, lambda memory: turns_of(memory, "trip"))
    assert [turn for turn, _ in turns[:3]] == [0, 1, 2]
    assert turns[3][0] > 2


@pytest.mark.parametrize("lost", ["lexical", "sessions.sqlite"])
def test_what_is_derived_is_made_anew(run: Run, store: list[str], folder: Path, lost: str) -> None:
    path = folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert run("doctor", *store).code == 4
    assert not path.exists(), "it mends nothing unless it is asked to"
    assert run("doctor", "--repair", *store).code == 0
    assert run("doctor", *store).code == 0
    assert shown(folder) == SAID
    found = run("recall", "guesthouse", "--user", "ana", "--profile", "lexical", "--json", *store)
    assert found.json["hits"][0]["content"] == SAID[0]


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row) + "\n"
