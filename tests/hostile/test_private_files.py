"""A store is its owner's alone, whatever the umask, and a planted link leads to no other file."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable
from tests.amounts import amount
from tests.durability.support import ROOT, environment, message

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="rights and links are other ones there"),
]

# With the widest umask: whatever is not given its rights by us is open to everybody.
_USE = """
import asyncio, os, sys
from bruno_core.models.message import Message
from bruno_memory_vec import open_memory

os.umask(0)
base, keeps_lists = sys.argv[1], sys.argv[2] == "lists"
if not keeps_lists:
    del os.setxattr  # as on a file system, or a system, without access control lists


def wide():
    found = []
    for place, folders, files in os.walk(base):
        for name in [*folders, *files]:
            path = os.path.join(place, name)
            if os.lstat(path).st_mode & 0o077:
                found.append(os.path.relpath(path, base))
    return found


async def main():
    settings = {"embedder": "hash", "embedding_cache": f"{base}/cache"}
    async with open_memory(f"{base}/above/store", **settings) as memory:
        for number in range(3):
            await memory.store_message(
                Message(role="user", content=f"text {number}"), "talk", user_id="ana"
            )
            await asyncio.sleep(0.6)
        await memory.maintain()
        await memory.reembed("hash")
        await memory.clear_history("talk")
        await memory.maintain()
        if keeps_lists:
            assert not wide(), wide()
        kept = ("above/store/rows/", "above/store/lexical/")
        assert all(path.startswith(kept) for path in wide()), wide()
        for folder in ("above", "above/store", "above/store/rows", "above/store/lexical", "cache"):
            assert os.stat(f"{base}/{folder}").st_mode & 0o777 == 0o700, folder
    async with open_memory(f"{base}/above/store", **settings):
        pass
    assert not wide(), wide()

asyncio.run(main())
"""


@pytest.mark.parametrize("lists", ["lists", "no lists"])
def test_everything_is_for_the_owner_only(tmp_path: Path, lists: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _USE, str(tmp_path), lists],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-2000:]


async def test_a_folder_of_the_users_own_keeps_its_rights(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    folder.chmod(0o755)
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.store_message(message("one"), "talk", user_id="ana")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert stat.S_IMODE((folder / "rows").stat().st_mode) == 0o700


async def test_a_copy_with_other_rights_is_tightened(tmp_path: Path) -> None:
    folder, copy = tmp_path / "store", tmp_path / "copy"
    async with open_memory(str(folder), embedder="hash") as memory:
        await memory.store_message(message("one"), "talk", user_id="ana")
    shutil.copytree(folder, copy)
    foreign = tmp_path / "foreign"
    foreign.write_text("x")
    foreign.chmod(0o644)
    (copy / "rows" / "planted").symlink_to(foreign)
    for path in copy.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)
    async with open_memory(str(copy), embedder="hash"):
        pass
    wide = [path for path in copy.rglob("*") if path.lstat().st_mode & 0o077]
    assert wide == [copy / "rows" / "planted"]
    assert stat.S_IMODE(foreign.stat().st_mode) == 0o644


def names_written(folder: Path) -> list[str]:
    """Each name directly in a store, or in its folders of small files, and the temporary ones."""
    fixed = ("store.json", "writer.json", "maintenance.json", "reembed.json")
    names = [f"{name}{new}" for name in fixed for new in ("", ".new")]
    names += ["writer.lock", "rows/index-checksums.json", "rows/index-checksums.json.new"]
    names += [f"sessions.sqlite{ending}" for ending in ("", "-wal", "-shm", "-journal")]
    names += [f"rows/log/{seq:020}.log" for seq in range(12)]
    names += [f"lexical/{name}" for name in ("meta.json", ".managed.json", ".tantivy-writer.lock")]
    names += [
        "rows",
        "rows/rows.lance",
        "rows/to-erase",
        "lexical",
        "rows/log",
        "rows/rows.lance/_versions/latest_version_hint.json",
    ]
    return [*names, "cache/embeddings-1.sqlite", "cache/embeddings-1.sqlite-wal"]


async def test_planted_links_lead_nowhere(tmp_path: Path) -> None:
    """The file or folder that a link names is as it was, whether the store opens or refuses."""
    made, secret = tmp_path / "made", tmp_path / "secret"
    async with open_memory(str(made), embedder="hash") as memory:
        for number in range(3):
            await memory.store_message(message(f"old {number}"), "talk", user_id="ana")
    opened = 0
    targets = ("nothing", "a file", "an empty file")
    for number, name in enumerate(names_written(made)):
        for target in amount((targets[number % 3],), targets):
            folder = tmp_path / f"{number} {target}"
            await asyncio.to_thread(shutil.copytree, made, folder)
            place = folder / name
            if place.is_dir():
                shutil.rmtree(place)
                secret.mkdir()
                (secret / "meta.json").write_text("secret")
            elif target != "nothing":
                secret.write_text("secret" if target == "a file" else "")
            place.parent.mkdir(exist_ok=True)
            place.unlink(missing_ok=True)
            place.symlink_to(secret)
            before = look(secret)
            try:
                async with open_memory(
                    str(folder), embedder="hash", embedding_cache=str(folder / "cache")
                ) as memory:
                    new = message("new")
                    await memory.store_message(new, "talk", user_id="ana")
                    await memory.delete_messages(new.id)
                    await memory.maintain()
                    await memory.reembed("hash")
                    opened += 1
            except BrunoError:
                pass
            else:
                assert (folder / "store.json").is_file()
            assert look(secret) == before, (name, target)
            if secret.is_dir():
                shutil.rmtree(secret)
            else:
                secret.unlink(missing_ok=True)
            await asyncio.to_thread(shutil.rmtree, folder)
    assert opened


async def test_a_deletion_is_noted_through_no_link(tmp_path: Path) -> None:
    store, target, gone = tmp_path / "store", tmp_path / "target", message("gone")
    async with open_memory(str(store), embedder="hash") as memory:
        await memory.store_message(gone, "talk", user_id="ana")
        (store / "rows" / "to-erase").symlink_to(target)
        await memory.delete_messages(gone.id)
        assert not (store / "rows" / "to-erase").is_symlink()
        assert not (await memory.maintain()).problems
    assert not target.exists()


@pytest.mark.parametrize("name", ["rows", "rows/rows.lance"])
async def test_rows_are_written_through_no_link(tmp_path: Path, name: str) -> None:
    store, elsewhere = tmp_path / "store", tmp_path / "elsewhere"
    async with open_memory(str(store), embedder="hash") as memory:
        await memory.store_message(message("one"), "talk", user_id="ana")
    (store / name).rename(elsewhere)
    (store / name).symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    with pytest.raises(BackendUnavailable, match="is a link"):
        await VectorMemory(str(store), embedder="hash").connect()
    assert sorted(elsewhere.rglob("*")) == before
    whole = tmp_path / "whole"
    (store / name).unlink()
    elsewhere.rename(store / name)
    whole.symlink_to(store)
    async with open_memory(str(whole), embedder="hash") as memory:
        assert len(await memory.read_turns("talk")) == 1


def look(path: Path) -> object:
    """What is at a path: nothing, a file's text and rights, or a folder's content."""
    if path.is_dir():
        return {entry.name: look(entry) for entry in path.iterdir()}
    return (path.read_text(), path.stat().st_mode) if path.exists() else None
