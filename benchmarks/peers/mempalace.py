"""MemPalace: each text a verbatim drawer, the user as its wing, `search_memories` as it is.

MemPalace calls "raw" what it publishes figures for: verbatim texts and vectors, without its
heuristics and without a language model. Two peers:

* ``mempalace`` is its search with the settings it comes with: the vectors' four times `k` best,
  ordered anew by 0.6 times the cosine and 0.4 times BM25 over those.
* ``mempalace_raw`` is the same with the weights 1 and 0 in its configuration: vectors alone.

A drawer a message is what its `sweep` command makes of a transcript, and drawers go in through the
collection that `sweep` writes to, with the same fields. What its other commands file
(closets, which point to drawers, and the knowledge graph) is made from files of projects and left
out: closets only lift drawers of files whose topics match.

Its default embedder is Chroma's all-MiniLM-L6-v2 in ONNX, which it downloads. So the run's embedder
is put in place of it, as with the other peers that take vectors; everything after it
is its own: Chroma's HNSW index by cosine, opened through its own backend. Its configuration stands
in the folder. Its lock against a second process that writes would be a file in the user's home,
and is left out.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.peers.base import BATCH, OneThread, RunEmbedder, batches, load, versions
from benchmarks.retrieval.datasets.base import Turn
from bruno_memory_vec.embedders import Embedder, EmbedKind

_EXTRA = "peer-mempalace"
_PACKAGE = "mempalace"


class MemPalace:
    """One palace in a folder.

    Args:
        embedder: the run's embedder.
        raw: order by vectors alone.
    """

    def __init__(self, embedder: Embedder, *, raw: bool = False) -> None:
        self.name = "mempalace_raw" if raw else "mempalace"
        self._weights = (1.0, 0.0) if raw else (0.6, 0.4)
        self._embedder = RunEmbedder(embedder)
        self.settings: dict[str, Any] = {
            "embedder": self._embedder.about,
            "backend": "default (Chroma, HNSW, cosine)",
            "weights": dict(zip(("vectors", "bm25"), self._weights, strict=True)),
            "filter": "wing",
            "closets_and_knowledge_graph": "none (made from files)",
        }
        self.versions = versions("mempalace", "chromadb")
        self.counts: dict[str, int] = {"refused_questions": 0}
        self.filters_time = False
        self._thread = OneThread()
        self._palace = ""
        self._collection: Any = None
        self._search: Any = None

    async def open(self, folder: Path) -> None:
        """Open the palace in the folder, or make it.

        Raises:
            MissingDependencyError: mempalace is not installed.
        """
        embed = self._embedder.from_thread(asyncio.get_running_loop())
        await self._thread.run(self._open, folder, _Embedding(embed))

    async def store(self, turns: Sequence[Turn]) -> None:
        """File each turn as a drawer in its user's wing."""
        for batch in batches(turns, BATCH):
            vectors = await self._embedder.documents(batch)
            await self._thread.run(
                self._collection.upsert,
                # Ids are unique in a palace; a turn's are so within its user.
                ids=[json.dumps([turn.user_id, turn.id]) for turn in batch],
                documents=[turn.content for turn in batch],
                metadatas=[_filed(turn) for turn in batch],
                embeddings=vectors.tolist(),
            )

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        """The ids of at most `k` turns of the user's wing.

        A question that its search answers with an error finds nothing, and is counted.
        """
        found = await self._thread.run(self._search, text, self._palace, wing=user_id, n_results=k)
        if "error" in found:
            self.counts["refused_questions"] += 1
            return []
        return [json.loads(hit["drawer_id"])[1] for hit in found["results"]]

    async def close(self) -> None:
        """Let the palace go."""
        if self._collection is not None:
            await self._thread.run(self._close)
        await self._thread.close()

    def _open(self, folder: Path, embedding: _Embedding) -> None:
        home = folder / "config"
        home.mkdir(exist_ok=True)
        vectors, words = self._weights
        (home / "config.json").write_text(
            json.dumps({"hybrid_rank_vector_weight": vectors, "hybrid_rank_bm25_weight": words}),
            encoding="utf-8",
        )
        # Read at each search.
        os.environ["MEMPALACE_CONFIG_DIR"] = str(home)
        load(_PACKAGE, package=_PACKAGE, extra=_EXTRA)
        embeddings = load("mempalace.embedding", package=_PACKAGE, extra=_EXTRA)
        palace = load("mempalace.palace", package=_PACKAGE, extra=_EXTRA)
        searcher = load("mempalace.searcher", package=_PACKAGE, extra=_EXTRA)
        embeddings.get_embedding_function = lambda *_, **__: embedding
        palace.mine_palace_lock = lambda _: nullcontext()
        self._palace = str(folder / "palace")
        self._collection = palace.get_collection(self._palace)
        self._search = searcher.search_memories

    def _close(self) -> None:
        palace = load("mempalace.palace", package=_PACKAGE, extra=_EXTRA)
        backend = palace.get_backend_for_palace(self._palace)
        # The backend is one for all palaces of a process.
        backend.close_palace(palace.PalaceRef(id=self._palace, local_path=self._palace))


class _Embedding:
    """The run's embedder with the methods of the function that MemPalace gives to Chroma."""

    def __init__(self, embed: Callable[[str, EmbedKind], Any]) -> None:
        self._embed = embed

    @staticmethod
    def name() -> str:
        return "run"

    @staticmethod
    def is_legacy() -> bool:
        return True  # Chroma keeps nothing of it with the collection

    def __call__(self, input: Sequence[str]) -> list[Any]:  # noqa: A002  # Chroma names it
        return [self._embed(text, "document") for text in input]

    def embed_query(self, input: Sequence[str]) -> list[Any]:  # noqa: A002
        return [self._embed(text, "query") for text in input]


def raw(embedder: Embedder) -> MemPalace:
    """MemPalace by vectors alone."""
    return MemPalace(embedder, raw=True)


def _filed(turn: Turn) -> dict[str, str]:
    at = (turn.at or datetime.now(timezone.utc)).isoformat()
    return {
        "wing": turn.user_id,
        "room": "conversations",
        "role": turn.role,
        "source_file": turn.conversation_id or "",
        "timestamp": at,
        "filed_at": at,
        "ingest_mode": "sweep",
    }
