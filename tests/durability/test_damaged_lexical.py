"""A lexical index that is damaged, or cannot be used: never in the way, and made anew."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from bruno_memory_vec import VectorMemory, diagnose_store, open_memory
from bruno_memory_vec.indexers.tantivy import files
from bruno_memory_vec.writing.projections import lexical
from tests.durability.support import message, rows_of
from tests.durability.test_damaged_indexes import DAMAGES

pytestmark = pytest.mark.slow

WORDS = [f"word{number}x" for number in range(24)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose lexical index has several segments, and files of deletions."""

    async def make(folder: Path) -> None:
        async with open_memory(str(folder), embedder="hash") as memory:
            store = await memory._lazy.get()
            for start in range(0, len(WORDS), 8):
                said = [message(f"{word} at the harbour") for word in WORDS[start : start + 8]]
                gone = message("soon gone")
                await memory.store_messages([*said, gone], "talk", user_id="ana")
                await store.lexical.commit()
                await memory.delete_messages(gone.id)
                await store.lexical.commit()
            # As a killed process leaves it: closing would erase what was deleted.
            shutil.copytree(folder, folder.with_name("copy"))

    folder = tmp_path_factory.mktemp("made") / "store"
    asyncio.run(make(folder))
    return folder.with_name("copy")


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


async def check_words(memory: VectorMemory, *, by_words: bool = True) -> None:
    assert len(await rows_of(memory)) >= len(WORDS)
    for word in WORDS[::7]:
        # By meaning alone the other words are nearly as near.
        hits = await memory.recall(word, user_id="ana", k=1 if by_words else 5)
        (hit,) = (hit for hit in hits if hit.content == f"{word} at the harbour")
        assert (hit.signals.get("lexical", 0) > 0) == by_words


async def check_all(folder: Path) -> None:
    async with open_memory(str(folder), embedder="hash") as memory:
        await check_words(memory)
        kept = message("stored after the damage")
        await memory.store_message(kept, "talk", user_id="ana")
        (hit,) = await memory.recall("damage", user_id="ana", k=1)
        assert hit.content == kept.content
        assert await memory.delete_messages(kept.id) == 1
        assert (await memory.maintain()).ok
        assert (await memory.health())["problems"] == {}
    checks = await diagnose_store(str(folder), embedder="hash")
    assert all(check.state != "problem" for check in checks)


async def test_every_file(store: Path) -> None:
    """Doctor tells it, a reader does without it, opening makes the index anew."""
    kept = store.parent / "kept"
    shutil.copytree(store, kept)
    ways = list(DAMAGES)
    parts = sorted({path.suffix for path in (store / "lexical").iterdir()})
    assert {".del", ".term", ".json"} <= set(parts)
    # The last of each kind.
    chosen = {path.suffix: path for path in sorted((store / "lexical").glob("[!.]*"))}
    for number, path in enumerate(chosen.values()):
        shutil.rmtree(store)
        shutil.copytree(kept, store)
        way = ways[number % len(ways)]
        DAMAGES[way](path)
        checks = {one.name: one for one in await diagnose_store(str(store), embedder="hash")}
        assert checks["lexical"].state == "problem", (path.name, way)
        assert "--repair" in checks["lexical"].fix
        async with open_memory(str(store), embedder="hash", read_only=True) as reader:
            await check_words(reader)
            assert "lexical" in (await reader.health())["problems"]
        async with open_memory(str(store), embedder="hash") as memory:
            await check_words(memory)
            health = await memory.health()
            assert health["lexical"]["rebuilt"], (path.name, way)
            assert health["problems"] == {}
    await check_all(store)


async def test_a_number_in_its_list_of_segments(store: Path) -> None:
    """``meta.json`` has no checksum, so it is compared with the rows."""
    meta = store / "lexical" / "meta.json"
    kept = shutil.copytree(store / "lexical", store.parent / "kept")
    whole = meta.read_text(encoding="utf-8")
    changed = [
        re.sub(r'"max_doc": (\d+)', f'"max_doc": {number}', whole) for number in (4, 12, 1009)
    ]
    changed.append(re.sub(r'"num_deleted_docs": 1', '"num_deleted_docs": 5', whole))
    changed.append(re.sub(r'"segments": \[.*?\n  \]', '"segments": []', whole, flags=re.DOTALL))
    changed.append(whole.replace("bruno", "brumo"))
    for text in changed:
        assert text != whole
        meta.write_text(text, encoding="utf-8")
        async with open_memory(str(store), embedder="hash") as memory:
            await check_words(memory)
            assert (await memory.health())["problems"] == {}
        shutil.rmtree(store / "lexical")
        shutil.copytree(kept, store / "lexical")
    await check_all(store)


@pytest.mark.parametrize("instead", ["a file", "a link to nowhere", "nothing"])
async def test_no_folder(store: Path, instead: str) -> None:
    folder = store / "lexical"
    shutil.rmtree(folder)
    if instead == "a file":
        folder.write_text("not a folder")
    elif instead == "a link to nowhere":
        folder.symlink_to(store.parent / "nowhere")
    async with open_memory(str(store), embedder="hash", read_only=True) as reader:
        await check_words(reader)
    await check_all(store)


async def test_a_folder_that_cannot_be_used(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is in memory then, and ``health()`` says so."""

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    (store / "lexical" / "meta.json").write_text("{")
    with monkeypatch.context() as patch:
        patch.setattr(files, "clear", full)
        async with open_memory(str(store), embedder="hash") as memory:
            await check_words(memory)
            await memory.store_message(message("and more"), "talk", user_id="ana")
            assert (await memory.recall("more", user_id="ana", k=1))[0].signals["lexical"] > 0
            assert "in memory" in (await memory.health())["problems"]["lexical"]
    await check_all(store)


async def test_too_many_rows_for_memory(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in memory is found by words, else by meaning; ``health()`` says what is missing."""

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    async with open_memory(str(store), embedder="hash") as memory:
        with monkeypatch.context() as patch:
            patch.setattr(files, "clear", full)
            patch.setattr(lexical, "_ROWS_IN_MEMORY", 3)
            for path in (store / "lexical").glob("*.term"):
                path.write_bytes(b"")
            report = await memory.maintain()
            assert not report.ok
            (first, *_) = await memory.recall(WORDS[0], user_id="ana")
            assert not first.signals.get("lexical")
            await check_words(memory)
            await memory.store_message(message("and more"), "talk", user_id="ana")
            assert "by its words" in (await memory.health())["problems"]["lexical"]
    await check_all(store)


@pytest.mark.parametrize("damage", DAMAGES)
async def test_damage_while_it_is_open(store: Path, damage: str) -> None:
    """A file is replaced by a damaged one: cut in place, what is mapped of it ends the process."""
    async with open_memory(str(store), embedder="hash") as memory:
        for path in (store / "lexical").iterdir():
            if not path.name.startswith("."):
                other = shutil.copyfile(path, store / "copy")
                DAMAGES[damage](other)
                path.unlink()
                if other.exists():
                    other.rename(path)
        for number in range(4):
            await memory.store_message(message(f"meanwhile {number}"), "talk", user_id="ana")
            await memory.recall("meanwhile", user_id="ana")
        assert (await memory.maintain()).ok
        await check_words(memory)
        assert (await memory.recall("meanwhile", user_id="ana", k=1))[0].signals["lexical"] > 0
        assert (await memory.health())["problems"] == {}
    await check_all(store)
