"""mem0's open-source `Memory` with ``infer=False``: texts stored as they are, no language model.

Its default vector store, Qdrant in local mode, in the folder. `search` keeps its defaults
(threshold 0.1 on the cosine) but for ``top_k``. Two peers:

* ``mem0`` is what ``pip install mem0ai`` gives: vectors only.
* ``mem0_hybrid`` adds the keyword search that mem0 turns on where fastembed is installed: BM25
  as sparse vectors in the same store, its score added to the cosine by mem0's own formula.

mem0 has no way to be given a file of stop words or an embedder as an object, and its parts look
for what they lack on the network. So four things are set from outside:

* The embedder is the run's, put in place of the constructed one.
* The language model is the OpenAI client with a made-up key and an address on this machine where
  nothing listens. It is never called: with ``infer=False`` mem0 does not use it.
* fastembed's BM25 gets its English stop words from bm25s, which carries NLTK's list; it would
  download them. Everything else of it is as mem0 has it.
* spaCy's lemmatizer and entities (``mem0ai[nlp]``) are off, because their model is a
  download. mem0 then gives BM25 the text itself, which fastembed stems. Entities would change
  nothing: they are linked only with ``infer=True``.

Telemetry is off. One `add` a text, because metadata belongs to the call; with ``infer=False`` mem0
embeds and writes text by text in any case. A "system" turn is stored as a user's: mem0
drops that role.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.peers.base import OneThread, RunEmbedder, load, versions
from benchmarks.retrieval.datasets.base import Turn
from bruno_memory_vec.embedders import Embedder, EmbedKind

_EXTRA = "peer-mem0"
# The discard port: should mem0 ever call, the call fails and is seen.
_NOWHERE = {"api_key": "never-used", "openai_base_url": "http://127.0.0.1:9"}


class Mem0:
    """One mem0 store in a folder.

    Args:
        embedder: the run's embedder.
        keywords: search by BM25 too.
    """

    def __init__(self, embedder: Embedder, *, keywords: bool = False) -> None:
        self.name = "mem0_hybrid" if keywords else "mem0"
        self._keywords = keywords
        self._embedder = RunEmbedder(embedder)
        self.settings: dict[str, Any] = {
            "embedder": self._embedder.about,
            "infer": False,
            "vector_store": "qdrant, local",
            "threshold": "default (0.1)",
            "keyword_search": "fastembed BM25, stop words of bm25s" if keywords else "off",
            "lemmatizer_and_entities": "off (spaCy's model is a download)",
        }
        packages = ("mem0ai", "qdrant-client", *(("fastembed",) if keywords else ()))
        self.versions = versions(*packages)
        self.counts: dict[str, int] = {"refused_questions": 0}
        self.filters_time = False
        self._thread = OneThread()
        self._memory: Any = None

    async def open(self, folder: Path) -> None:
        """Open the store in the folder, or make it.

        Raises:
            MissingDependencyError: mem0ai, or for keywords fastembed or bm25s, is not installed.
        """
        embed = self._embedder.from_thread(asyncio.get_running_loop())
        await self._thread.run(self._open, folder, _Embedding(embed))

    async def store(self, turns: Sequence[Turn]) -> None:
        """Add the turns, one by one."""
        await self._thread.run(self._store, turns)

    async def ask(
        self, text: str, user_id: str, k: int, now: datetime, until: datetime | None = None
    ) -> list[str]:
        """The ids of at most `k` turns whose cosine is over mem0's threshold.

        mem0 refuses an empty question: it finds nothing, and is counted.
        """
        if not text.strip():
            self.counts["refused_questions"] += 1
            return []
        found = await self._thread.run(
            self._memory.search, text, top_k=k, filters={"user_id": user_id}
        )
        return [entry["metadata"]["turn_id"] for entry in found["results"]]

    async def close(self) -> None:
        """Close the store and free its folder."""
        if self._memory is not None:
            # Memory.close leaves Qdrant's lock on the folder.
            await self._thread.run(self._memory.vector_store.client.close)
            await self._thread.run(self._memory.close)
        await self._thread.close()

    def _open(self, folder: Path, embedding: _Embedding) -> None:
        # Read when mem0 is imported. Its home would else be made in the user's.
        os.environ["MEM0_TELEMETRY"] = "False"
        os.environ.setdefault("MEM0_DIR", str(folder / "home"))
        mem0 = load("mem0", package="mem0ai", extra=_EXTRA)
        spacy_models = load("mem0.utils.spacy_models", package="mem0ai", extra=_EXTRA)
        spacy_models._load_failed_full = spacy_models._load_failed_lemma = True
        dimension = self._embedder.dimension
        self._memory = mem0.Memory.from_config(
            {
                "vector_store": {
                    "provider": "qdrant",
                    "config": {
                        "path": str(folder / "qdrant"),
                        "on_disk": True,
                        "embedding_model_dims": dimension,
                    },
                },
                "llm": {"provider": "openai", "config": dict(_NOWHERE)},
                "embedder": {
                    "provider": "openai",
                    "config": {**_NOWHERE, "embedding_dims": dimension},
                },
                "history_db_path": str(folder / "history.db"),
            }
        )
        self._memory.embedding_model = embedding
        # False is mem0's own mark for "tried, and not there".
        self._memory.vector_store._bm25_encoder = _bm25(folder) if self._keywords else False

    def _store(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            role = "assistant" if turn.role == "assistant" else "user"
            self._memory.add(
                [{"role": role, "content": turn.content}],
                user_id=turn.user_id,
                metadata={"turn_id": turn.id},
                infer=False,
            )


class _Embedding:
    """The run's embedder with the two methods of mem0's `EmbeddingBase`."""

    def __init__(self, embed: Callable[[str, EmbedKind], Any]) -> None:
        self._embed = embed

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        vector = self._embed(text, "query" if memory_action == "search" else "document")
        values: list[float] = vector.tolist()
        return values

    def embed_batch(self, texts: Sequence[str], memory_action: str = "add") -> list[list[float]]:
        return [self.embed(text, memory_action) for text in texts]


def hybrid(embedder: Embedder) -> Mem0:
    """mem0 with its keyword search."""
    return Mem0(embedder, keywords=True)


def _bm25(folder: Path) -> Any:
    fastembed = load("fastembed", package="fastembed", extra=_EXTRA)
    stopwords = load("bm25s.stopwords", package="bm25s", extra=_EXTRA)
    return fastembed.SparseTextEmbedding(
        "Qdrant/bm25",
        specific_model_path=str(folder),
        stopwords=set(stopwords.STOPWORDS_EN_PLUS),
    )
