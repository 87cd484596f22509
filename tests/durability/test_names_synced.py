"""fsync=True: a file or folder that an acknowledged write needs has its name on the disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import Flushes
from tests.durability.support import message

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows keeps names by itself")


class Folders:
    """What each folder held when it was last synced, seen beside the real calls."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._held: dict[tuple[int, int], set[str]] = {}
        self._sync = os.fsync
        patch.setattr(os, "fsync", self._fsync)

    def _fsync(self, handle: int) -> None:
        # Before the call: what comes while it runs may not be in it.
        names = set(os.listdir(handle)) if os.path.isdir(handle) else None
        self._sync(handle)
        if names is not None:
            stat = os.fstat(handle)
            self._held[stat.st_dev, stat.st_ino] = names

    def holds(self, path: Path) -> bool:
        """Whether a name was on the disk at the last sync of its folder."""
        stat = path.parent.stat()
        return path.name in self._held.get((stat.st_dev, stat.st_ino), set())


async def test_of_the_log_and_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, folder = Folders(monkeypatch), tmp_path / "memory"
    log = folder / "rows" / "log"
    async with open_memory(str(folder), embedder="hash", fsync=True) as memory:
        assert not log.exists(), "made by the first append"
        for number in range(3):
            await memory.store_message(message(f"turn {number}"), "talk", user_id="ana")
            (file,) = log.iterdir()
            for path in (file, log, folder / "rows", folder / "rows" / "rows.lance"):
                assert folders.holds(path), (number, path)
            # What the first rows were in goes, and the next are in another file.
            store = await memory._lazy.get()
            flushes = capability(store.rows, Flushes)
            assert flushes is not None
            await flushes.flush()
            assert not file.exists()


async def test_that_a_file_of_the_log_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is deleted next must not come back with it after a power cut."""
    folders, folder = Folders(monkeypatch), tmp_path / "memory"
    async with open_memory(str(folder), embedder="hash", fsync=True) as memory:
        await memory.store_message(message("gone soon"), "talk", user_id="ana")
        (file,) = (folder / "rows" / "log").iterdir()
        assert folders.holds(file)
        await memory.clear_history("talk")
        assert not file.exists()
        assert not folders.holds(file)


async def test_without_it_nothing_waits_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, folder = Folders(monkeypatch), tmp_path / "memory"
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.store_message(message("hello"), "talk", user_id="ana")
        assert not folders.holds(folder / "rows" / "log")
