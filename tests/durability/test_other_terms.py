"""An index whose terms another version of the analysis has made is rebuilt from the rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.text import analysis

WORDS = ("ёлка", "İstanbul", "pass\u00adword")


async def asked(memory: Any) -> list[list[str]]:
    hits = [await memory.recall(text, user_id="ana") for text in ("елка", "istanbul", "password")]
    return [[hit.content for hit in found] for found in hits]


async def store_as_the_first_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of which the words were indexed as they were written."""
    with monkeypatch.context() as older:
        older.setattr(analysis, "VERSION", 1)
        older.setattr(analysis, "folded", lambda text: text)
        async with open_memory(str(folder), embedder="hash", profile="lexical") as memory:
            for word in WORDS:
                said = Message(role=MessageRole.USER, content=word)
                await memory.store_message(said, "c", user_id="ana")
            assert await asked(memory) != [[word] for word in WORDS]
    assert made_by(folder) == "unicode-1/english"


def made_by(folder: Path) -> Any:
    return json.loads((folder / "store.json").read_text(encoding="utf-8"))["analysis"]


@pytest.mark.parametrize("says", ["unicode-1/english", None, 7, "absent"])
async def test_it_is_rebuilt_when_the_store_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: Any
) -> None:
    await store_as_the_first_version(tmp_path, monkeypatch)
    path = tmp_path / "store.json"
    about = json.loads(path.read_text(encoding="utf-8"))
    about = {**about, "analysis": says} if says != "absent" else about
    if says == "absent":
        del about["analysis"]
    path.write_text(json.dumps(about), encoding="utf-8")
    told: list[str] = []

    def progress(what: str, done: int, total: int) -> None:
        told.append(f"{what} {done}/{total}")

    async with open_memory(
        str(tmp_path), embedder="hash", profile="lexical", progress=progress
    ) as memory:
        assert await asked(memory) == [[word] for word in WORDS]
        assert not (await memory.maintain()).problems
    assert told == ["indexing text 3/3"]
    assert made_by(tmp_path) == analysis.analyser("english").name
    told.clear()
    async with open_memory(
        str(tmp_path), embedder="hash", profile="lexical", progress=progress
    ) as memory:
        assert await asked(memory) == [[word] for word in WORDS]
    assert told == []  # once


async def test_a_reader_finds_it_without_changing_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_as_the_first_version(tmp_path, monkeypatch)
    before = sorted(path.name for path in (tmp_path / "lexical").iterdir())
    async with open_memory(
        str(tmp_path), embedder="hash", profile="lexical", read_only=True
    ) as memory:
        assert await asked(memory) == [[word] for word in WORDS]
    assert made_by(tmp_path) == "unicode-1/english"
    assert sorted(path.name for path in (tmp_path / "lexical").iterdir()) == before


async def test_another_language_is_another_analysis(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path), embedder="hash", language="german") as memory:
        said = Message(role=MessageRole.USER, content="Häuser")
        await memory.store_message(said, "c", user_id="ana")
    assert made_by(tmp_path) == f"unicode-{analysis.VERSION}/german"
    async with open_memory(
        str(tmp_path), embedder="hash", language="none", profile="lexical"
    ) as memory:
        assert len(await memory.recall("hauser", user_id="ana")) == 1
        assert not await memory.recall("haus", user_id="ana")
    assert made_by(tmp_path) == f"unicode-{analysis.VERSION}/none"
    async with open_memory(str(tmp_path), embedder="hash") as memory:
        assert memory.config.language is None
    assert made_by(tmp_path) == f"unicode-{analysis.VERSION}/none"
