"""CSV, Parquet and Markdown: what they hold, and what they do to texts."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import BackendUnavailable, InvalidInputError
from bruno_memory_vec.portability.writers import CsvWriter
from bruno_memory_vec.portability.writers.csv import guarded, unguarded
from bruno_memory_vec.upkeep.exporting.run import _Export
from tests.backup.support import files_of, state
from tests.durability.support import message


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


async def test_csv_has_every_row_and_no_formula(memory: VectorMemory, tmp_path: Path) -> None:
    texts = ["=1+1", "+49 30", "-5", "@sum", "'quoted", 'a\r\nb, "c"', "＝wide", "＋2", "ok"]
    await memory.store_messages([message(text) for text in texts], "sheet", user_id="ana")
    report = await memory.export(tmp_path / "out.csv")
    assert (report.messages, report.memories, report.files) == (29, 2, 3)
    rows = table(tmp_path / "out.csv")
    cells = [row["content"] for row in rows if row["conversation_id"] == "sheet"]
    assert [unguarded(cell) for cell in cells] == texts
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n＝＋－＠"))]
    note = next(row for row in rows if row["kind"] == "memory")
    assert (json.loads(note["tags"]), note["importance"]) == (["music"], "0.75")
    assert note["created_at"] == "2024-02-29T07:00:15.123456Z"
    people = table(tmp_path / "out.profiles.csv")
    assert [one["user_id"] for one in people] == ["ana", "ben", "cleo"]
    assert len(table(tmp_path / "out.sessions.csv")) == 3


@given(st.text())
def test_every_text_comes_back_from_its_cell(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert not guarded(text).startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋"))


async def test_parquet_has_types_and_vectors(memory: VectorMemory, tmp_path: Path) -> None:
    await memory.export(tmp_path / "out.parquet", vectors=True)
    read = pq.read_table(tmp_path / "out.parquet")
    assert read.schema.field("created_at").type == pa.timestamp("us", tz="UTC")
    assert read.schema.field("tags").type == pa.list_(pa.string())
    rows = await state(memory)
    assert read.column("id").to_pylist() == [row["id"] for row, _ in rows]
    vectors = np.array(read.column("vector").to_pylist(), np.float32)
    assert np.round(vectors, 6).tolist() == [vector for _, vector in rows]
    assert pq.read_table(tmp_path / "out.sessions.parquet").num_rows == 3


async def test_markdown_is_read_from_top_to_bottom(memory: VectorMemory, tmp_path: Path) -> None:
    talk = (await memory.list_sessions(user_id="ana"))[0].conversation_id
    sly = "fine\n\n## Memories of ben\n\n**user** · hidden"
    await memory.store_message(message(sly), talk)
    report = await memory.export(tmp_path / "out.md", user_id="ana")
    assert (report.messages, report.sessions, report.profiles) == (11, 0, 1)
    text = (tmp_path / "out.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings[1:] == ["## ana at the harbour", "## Memories of ana", "## Profiles"]
    assert "> ## Memories of ben\n" in text
    assert "**fact** · 2024-02-29 07:00:15 UTC · importance 0.75 · tags: music\n\n> ana" in text
    assert "  - lives: 1" in text
    assert "ben likes" not in text


async def test_a_folder_has_a_file_for_each_conversation(
    memory: VectorMemory, tmp_path: Path
) -> None:
    report = await memory.export(tmp_path / "notes", format="markdown")
    assert report.files == 6
    files = [str(path.relative_to(tmp_path / "notes")) for path in files_of(tmp_path / "notes")]
    assert sum("at-the-harbour" in name for name in files) == 2
    assert sum(name.endswith("memories.md") for name in files) == 2
    index = (tmp_path / "notes" / "README.md").read_text()
    assert all(name in index for name in files if name != "README.md")
    with pytest.raises(InvalidInputError, match="is not empty"):
        await memory.export(tmp_path / "notes", format="markdown")


async def test_names_of_files_are_nobodys_path(memory: VectorMemory, tmp_path: Path) -> None:
    """Neither a user nor a title leads out of the folder, nor do two share a file."""
    for user in ("../../up", "..", "a/b", "a-b", "a b"):
        await memory.store_message(message("x"), f"{user}/../../talk", user_id=user)
    report = await memory.export(tmp_path / "notes", format="markdown", kinds="message")
    assert report.files == len(files_of(tmp_path / "notes")) == 8
    assert files_of(tmp_path) == files_of(tmp_path / "notes")


async def test_what_is_there_is_not_replaced_unasked(memory: VectorMemory, tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    path.write_text("mine")
    with pytest.raises(InvalidInputError, match="is there already"):
        await memory.export(path)
    assert (path.read_text(), len(files_of(tmp_path))) == ("mine", 1)
    await memory.export(path, overwrite=True)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidInputError, match="has no place for vectors"):
        await memory.export(tmp_path / "o.csv", vectors=True)
    with pytest.raises(InvalidInputError, match=r"format: the suffix of 'o\.doc' names none"):
        await memory.export(tmp_path / "o.doc")
    with pytest.raises(InvalidInputError, match="kinds: 'wish' is not known"):
        await memory.export(tmp_path / "o.csv", kinds="wish")  # type: ignore[arg-type]
    with pytest.raises(InvalidInputError, match=r"path: s3://bucket/o\.csv is no path"):
        await memory.export("s3://bucket/o.csv")


async def test_an_export_that_fails_leaves_nothing(
    memory: VectorMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: CsvWriter, rows: Any, vectors: Any) -> None:
        raise BackendUnavailable("export", "write", "no space left", fix="Make room.")

    monkeypatch.setattr(CsvWriter, "rows", full)
    with pytest.raises(BackendUnavailable):
        await memory.export(tmp_path / "out.csv")
    assert not files_of(tmp_path)


async def test_what_is_no_file_and_what_is_in_the_store_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        with pytest.raises(InvalidInputError, match="is no file"):
            await memory.export(tmp_path / "pipe.jsonl", overwrite=True)
        with pytest.raises(InvalidInputError, match="inside the store"):
            await memory.export(tmp_path / "store" / "store.json", format="jsonl", overwrite=True)
    assert (tmp_path / "pipe.jsonl").is_fifo()


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
async def test_an_export_that_takes_the_place_of_another_leaves_nobody_else_beside_it(
    memory: VectorMemory, tmp_path: Path, suffix: str
) -> None:
    await memory.export(tmp_path / f"out.{suffix}")
    report = await memory.export(
        tmp_path / f"out.{suffix}", user_id="ana", kinds="message", overwrite=True
    )
    assert (report.files, files_of(tmp_path)) == (1, [tmp_path / f"out.{suffix}"])


async def test_a_row_that_is_stored_again_meanwhile_is_in_the_export_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = MemoryEntry(content="tea", user_id="ana", memory_type=MemoryType.FACT)
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_memories(
            [note, MemoryEntry(content="coffee", user_id="ana", memory_type=MemoryType.FACT)]
        )
        order = _Export._order

        async def then_stored_again(self: _Export) -> Any:
            found = await order(self)
            await memory.store_memory(note.model_copy(update={"content": "green tea"}))
            return found

        monkeypatch.setattr(_Export, "_order", then_stored_again)
        await memory.export(tmp_path / "out.csv")
    assert [row["content"] for row in table(tmp_path / "out.csv")] == ["green tea", "coffee"]
