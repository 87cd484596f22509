"""What stands in the folders that people name: it is told or passed over, and never hangs."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.portability import BadLine, opening, read
from bruno_memory_vec.surfaces.cli.app import app

EXPORTS = Path(__file__).parent / "exports"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has none of these files")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good file, of six messages."""
    place = tmp_path / "downloads"
    place.mkdir()
    shutil.copy(EXPORTS / "sharegpt.json", place)
    return place


def seen(source: Path) -> tuple[int, list[BadLine]]:
    """How many messages are read, and what is bad."""
    items = list(read(source))
    bad = [item for item in items if isinstance(item, BadLine)]
    return len(items) - len(bad), bad


def test_pictures_and_empty_files(folder: Path) -> None:
    (folder / "a b.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    for name in ("empty.json", "empty.zip", "empty.txt"):
        (folder / name).touch()
    assert seen(folder) == (6, [])


def test_a_damaged_archive_is_one_bad_place(folder: Path) -> None:
    with zipfile.ZipFile(folder / "claude.zip", "w") as archive:
        archive.write(EXPORTS / "claude.json", "claude.json")
    whole, _ = seen(folder)
    assert whole > 6
    packed = (folder / "claude.zip").read_bytes()
    (folder / "claude.zip").write_bytes(packed[:300])
    count, (bad,) = seen(folder)
    assert (count, bad.place) == (6, str(folder / "claude.zip"))
    assert bad.problem.startswith("is damaged")


@POSIX
def test_links_and_pipes_in_a_folder_are_passed_over(folder: Path) -> None:
    (folder / "me").symlink_to(".")
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "dead").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    assert seen(folder) == (6, [])


@POSIX
@pytest.mark.parametrize("name", ["two words\n\U0001f642.json", "bad\udcff.json"])
async def test_odd_names(tmp_path: Path, name: str) -> None:
    shutil.copy(EXPORTS / "sharegpt.json", tmp_path / name)
    memory = VectorMemory("memory://", embedder="hash")
    report = await memory.ingest(tmp_path / name)
    again = await memory.ingest(tmp_path)
    await memory.close()
    assert (report.added, again.added, again.unchanged) == (6, 0, 6)


@POSIX
def test_a_folder_that_may_not_be_read_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "in").mkdir()
    walk = os.walk

    def refusing(top: Path, onerror: object = None) -> object:
        # Whoever runs the tests may be allowed everything.
        for where, folders, names in walk(top):
            if Path(where).name == "in":
                assert callable(onerror)
                onerror(PermissionError(13, "Permission denied", where))
            else:
                yield where, folders, names

    monkeypatch.setattr(opening.os, "walk", refusing)
    count, (bad,) = seen(folder)
    assert (count, bad.place) == (6, str(folder / "in"))
    assert "Permission denied" in bad.problem
    with pytest.raises(InvalidInputError, match="Permission denied"):
        seen(folder / "in")


@POSIX
def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """What a look at its beginning would take, is gone for whoever reads it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = (EXPORTS / "sharegpt.json").read_bytes()
    writer = threading.Thread(target=pipe.write_bytes, args=(text,), daemon=True)
    writer.start()
    arguments = ["ingest", str(pipe), "--store", str(tmp_path / "store"), "--embedder", "hash"]
    result = CliRunner().invoke(app, arguments)
    writer.join(60)
    assert result.exit_code == 0, result.output
    assert "stored 6 messages" in result.output


def test_a_dry_run_of_an_own_export_without_a_store(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, [*arguments, "--embedder", "hash"])
        assert result.exit_code == 0, result.output
        return result.output

    store, out = tmp_path / "store", tmp_path / "out.jsonl"
    run("ingest", str(EXPORTS / "sharegpt.json"), "--store", str(store))
    result = CliRunner().invoke(app, ["export", str(out), "--store", str(store)])
    assert result.exit_code == 0, result.output
    for files in ([str(out)], [str(out), str(EXPORTS / "claude.json")]):
        run("ingest", *files, "--dry-run", "--store", str(tmp_path / "none"))
        assert not (tmp_path / "none").exists()
