"""The plug-in for Chroma (examples/plugins/chroma) passes the suites of engines and of memories.

chromadb brings half a gigabyte with it, so it is not among what the suite installs. Where it is
installed these tests run, as in the step ``chroma`` of ``.ci/run``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bruno_memory_vec import VectorMemory, copy_store, open_memory
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import (
    BackendUnavailable,
    FingerprintError,
    InvalidInputError,
    StoreError,
    StoreLockedError,
)
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.testing import (
    FindingConformance,
    ListingConformance,
    MemoryConformance,
    RecallConformance,
    RowIndexConformance,
)
from bruno_memory_vec.testing.rows import message, table
from tests.copying.support import assert_same, fill, made
from tests.durability.support import Child
from tests.durability.support import message as said

if find_spec("chromadb") is None:
    pytest.skip(
        "needs chromadb: pip install chromadb; .ci/run has a step for it", allow_module_level=True
    )

# Of conftest.py: the plug-in is installed.
pytestmark = pytest.mark.usefixtures("plugin")


def url(folder: Path) -> str:
    return f"chroma://{folder / 'store'}"


async def open_index(folder: Path, dimension: int) -> Any:
    """The engine alone."""
    from bruno_memory_vec_chroma.deployment import _opened
    from bruno_memory_vec_chroma.index import ChromaIndex

    fingerprint = HashEmbedder(dimension).fingerprint
    client, collection = await asyncio.to_thread(_opened, folder, fingerprint, None)
    return ChromaIndex(client, collection, folder / "chroma", dimension, lambda: None)


@pytest.fixture
async def index(tmp_path: Path) -> AsyncIterator[Any]:
    opened = await open_index(tmp_path, 32)
    yield opened
    await opened.close()


class TestIndex(RowIndexConformance):
    async def make_index(self) -> Any:
        return await open_index(self.folder, self.dimension)


class InFolder:
    folder: Path

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await open_memory(url(self.folder), embedder="hash", **settings)


class TestMemory(InFolder, RecallConformance):
    pass


class TestListing(InFolder, ListingConformance):
    pass


class TestFinding(InFolder, FindingConformance):
    pass


@pytest.mark.redis_server
class TestMemoryWithRedis(InFolder, MemoryConformance):
    @pytest.fixture(autouse=True)
    def _sessions(self, redis_url: str) -> None:
        self.sessions = redis_url

    async def open_memory(self, **settings: Any) -> VectorMemory:
        return await super().open_memory(sessions=self.sessions, **settings)


async def test_what_the_graph_finds_is_nearly_what_is_nearest(index: Any) -> None:
    rng = np.random.default_rng(7)
    rows = [message(seq, f"row {seq}", user_id="ana" if seq % 2 else "bo") for seq in range(2_000)]
    stored = table(rows, 32)
    vectors = rng.normal(size=(2_000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    at = stored.schema.get_field_index("vector")
    random = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), 32)
    await index.upsert(stored.set_column(at, stored.schema.field(at), random), all_new=True)
    odd = np.arange(1, 2_000, 2)
    found = 0
    for question in vectors[:20]:
        nearest = odd[np.argsort(-(vectors[odd] @ question))[:50]]
        answer = await index.search(question, Scope.user("ana"), RowFilter(), 50)
        found += len(np.intersect1d(answer.seq, nearest))
    assert found >= 995, f"{found} of 1000"


async def test_the_largest_seq_is_found_again(index: Any) -> None:
    assert await index.last_seq() == -1
    for seq in (3, 4_000, 2**40):
        await index.upsert(table([message(seq, "text")], 32), all_new=True)
    assert await index.last_seq() == 2**40
    await index.delete(Scope.all_users(), RowFilter(), seqs=[2**40])
    assert await index.last_seq() == 4_000
    await index.delete(Scope.all_users(), RowFilter(), seqs=[3, 4_000])
    assert await index.last_seq() == -1


async def test_more_rows_than_one_statement_takes(index: Any) -> None:
    rows = [message(seq, f"row {seq}") for seq in range(4_100)]
    await index.upsert(table(rows, 32), all_new=True)
    found = await index.read(Scope.all_users(), RowFilter(), ["seq"], seqs=range(4_100))
    assert sorted(found.column("seq").to_pylist()) == list(range(4_100))
    assert len(await index.delete(Scope.user("ana"), RowFilter(), seqs=range(4_050))) == 4_050
    assert await index.count(Scope.all_users(), RowFilter()) == 50


async def test_a_store_is_one_process_s_and_one_embedder_s(tmp_path: Path) -> None:
    async with open_memory(url(tmp_path), embedder="hash") as memory:
        await memory.store_message(said("kept"), "talk", user_id="ana")
        with pytest.raises(StoreLockedError):
            await open_memory(url(tmp_path), embedder="hash")
    with pytest.raises(InvalidInputError, match="read_only"):
        await open_memory(url(tmp_path), embedder="hash", read_only=True)
    with pytest.raises(FingerprintError, match="bruno-memory-vec copy"):
        await open_memory(url(tmp_path), embedder=HashEmbedder(48))
    with pytest.raises(InvalidInputError, match="names no folder"):
        await open_memory("chroma://", embedder="hash")
    # None of these has left it locked.
    async with open_memory(url(tmp_path), embedder="hash", language="german") as memory:
        assert (await memory.retrieve_messages("talk"))[0].content == "kept"
        assert (await memory.recall("kept", user_id="ana"))[0].content == "kept"
        assert (await memory.maintain()).problems == ()
        assert (await memory.health())["status"] == "ok"


async def test_without_chromadb_the_line_to_install_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "chromadb", None)
    with pytest.raises(StoreError, match=r"pip install 'chromadb"):
        await open_memory(url(tmp_path), embedder="hash")
    monkeypatch.undo()
    async with open_memory(url(tmp_path), embedder="hash"):
        pass


async def test_a_damaged_chroma_says_so(tmp_path: Path) -> None:
    async with open_memory(url(tmp_path), embedder="hash") as memory:
        await memory.store_message(said("kept"), "talk", user_id="ana")
    (tmp_path / "store" / "chroma" / "chroma.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(BackendUnavailable, match="chroma"):
        await open_memory(url(tmp_path), embedder="hash")


async def test_a_lost_lexical_index_is_made_anew(tmp_path: Path) -> None:
    async with open_memory(url(tmp_path), embedder="hash") as memory:
        await memory.store_message(said("the harbour at night"), "talk", user_id="ana")
    for path in (tmp_path / "store" / "lexical").iterdir():
        path.write_bytes(b"damaged")
    async with open_memory(url(tmp_path), embedder="hash") as memory:
        lexical = (await memory._lazy.get()).lexical
        assert lexical is not None
        assert await lexical.count() == 1


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, plugin: Path) -> None:
    script = tmp_path / "writer.py"
    script.write_text(WRITER, encoding="utf-8")
    child = Child(script, url(tmp_path), plugin)
    acknowledged = [child.hear() for _ in range(12)]
    child.kill()
    async with open_memory(url(tmp_path), embedder="hash") as memory:
        stored = [turn.message.content for turn in await memory.read_turns("talk")]
        assert stored[:12] == acknowledged == [f"number {n}" for n in range(12)]
        assert (await memory.maintain()).problems == ()


WRITER = """
import asyncio, sys
sys.path.insert(0, sys.argv[2])
from bruno_core.models.message import Message
from bruno_memory_vec import open_memory

async def main():
    async with open_memory(sys.argv[1], embedder="hash") as memory:
        for n in range(10_000):
            await memory.store_message(Message(role="user", content=f"number {n}"), "talk")
            print(f"number {n}", flush=True)

asyncio.run(main())
"""


async def test_a_copy_from_a_folder_and_back(tmp_path: Path) -> None:
    source = await made(tmp_path / "a")
    report = await copy_store(source, url(tmp_path), dry_run=True)
    assert (report.copied, (tmp_path / "store").exists()) == (22, False)
    for copied in (22, 0):
        report = await copy_store(source, url(tmp_path))
        assert (report.copied, report.verified, report.ok) == (copied, 22, True)
    report = await copy_store(url(tmp_path), tmp_path / "b")
    assert (report.copied, report.verified, report.ok) == (22, 22, True)
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(tmp_path / "b", embedder="hash") as b,
    ):
        await assert_same(a, b)


async def test_everything_survives_a_reopening(tmp_path: Path) -> None:
    async with (
        open_memory(url(tmp_path), embedder="hash") as a,
        open_memory("memory://", embedder="hash") as b,
    ):
        await fill(a)
        await a.copy_to(b)
        before = await a.list_users()
    async with open_memory(url(tmp_path), embedder="hash") as a:
        assert await a.list_users() == before
