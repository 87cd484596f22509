"""Embedders from the sentence-transformers package, which is an optional extra."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import EmbedKind, Fingerprint
from bruno_memory_vec.errors import EmbeddingError, MissingDependencyError

# Where a model names its prompts otherwise, the first of these that it has is taken, in the
# order that sentence-transformers' own encode_query and encode_document look.
_PROMPT_NAMES: dict[EmbedKind, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}
# What decides the vectors. A read-me or a training log may differ between two copies.
_HASHED_SUFFIXES = (".json", ".txt", ".model", ".safetensors", ".bin")


class SentenceTransformerEmbedder:
    """A `sentence_transformers.SentenceTransformer`, loaded at first use.

    Loading takes seconds: `bruno_memory_vec.embedders.fingerprint_of` does it in a thread.

    Args:
        model: a model's name on the Hugging Face hub, or a folder that holds one.
        device: "cpu", "cuda", ...; chosen by the package when None.
        batch_size: texts in one forward pass.
        query_prompt: text put before queries; the model's own "query" prompt when None.
        document_prompt: text put before documents; the model's own when None.
        name: the fingerprint's name, in place of the model's name or its folder's.
        options: more keyword arguments for `SentenceTransformer` (``truncate_dim``,
            ``revision``, ``trust_remote_code``, ...).
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str | None = None,
        batch_size: int = 32,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        name: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._model_name = str(model)
        self._device = device
        self._batch_size = batch_size
        self._prompts: dict[EmbedKind, str | None] = {
            "query": query_prompt,
            "document": document_prompt,
        }
        self._name = name
        self._options = dict(options or {})
        self._loaded: tuple[Any, Fingerprint] | None = None
        # Loading twice wastes a gigabyte, and the tokenizers underneath raise
        # "Already borrowed" when two threads encode at once.
        self._lock = Lock()

    @property
    def fingerprint(self) -> Fingerprint:
        """Model, version and prompts. Loads the model.

        The version of a local folder is a hash of its configuration and weights, so it is the
        same on every machine; that of a hub model is its commit.

        Raises:
            MissingDependencyError: sentence-transformers is not installed.
            EmbeddingError: the model cannot be loaded.
        """
        with self._lock:
            return self._load()[1]

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        """One unit vector a text. A text longer than the model's limit is cut by the model.

        Returns:
            Shape (len(texts), dimension), float32.

        Raises:
            MissingDependencyError: sentence-transformers is not installed.
            EmbeddingError: the model cannot be loaded.
        """
        with self._lock:
            model, fingerprint = self._load()
            if not texts:
                return np.zeros((0, fingerprint.dimension), dtype=np.float32)
            query = kind == "query"
            # The two methods also route models that have a tower for each kind; before
            # sentence-transformers 5 there is only `encode`.
            encode = getattr(model, "encode_query" if query else "encode_document", model.encode)
            vectors = encode(
                # Lone surrogates cannot be turned into the UTF-8 that tokenizers read.
                [text.encode("utf-8", "replace").decode("utf-8") for text in texts],
                # An empty prompt also keeps the model's default prompt from being applied.
                prompt=fingerprint.query_prompt if query else fingerprint.document_prompt,
                batch_size=self._batch_size,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        return np.asarray(vectors, dtype=np.float32)

    def _load(self) -> tuple[Any, Fingerprint]:
        if self._loaded is None:
            model = self._open()
            # Newer releases have the first name, and warn at the second.
            dimension = getattr(model, "get_embedding_dimension", None) or (
                model.get_sentence_embedding_dimension
            )
            folder = Path(self._model_name)
            fingerprint = Fingerprint(
                name=self._name or (folder.resolve().name if folder.is_dir() else str(folder)),
                version=_folder_hash(folder) if folder.is_dir() else _commit(model),
                dimension=int(dimension()),
                query_prompt=self._prompt(model, "query"),
                document_prompt=self._prompt(model, "document"),
            )
            self._loaded = (model, fingerprint)
        return self._loaded

    def _open(self) -> Any:
        try:
            package = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise MissingDependencyError(
                "sentence-transformers", "sentence-transformers", cause=error
            ) from error
        try:
            return package.SentenceTransformer(
                self._model_name, device=self._device, **self._options
            )
        except Exception as error:  # the hub's client, torch and transformers each have their own
            raise EmbeddingError(
                f"sentence-transformers cannot load {self._model_name!r}: {error}",
                fix="Give a model's name on the Hugging Face hub, or the path of a folder with one "
                '(as "sentence-transformers:NAME_OR_PATH"); a hub model needs the network once.',
                cause=error,
            ) from error

    def _prompt(self, model: Any, kind: EmbedKind) -> str:
        given = self._prompts[kind]
        if given is not None:
            return given
        known = getattr(model, "prompts", None) or {}
        return next((known[name] for name in _PROMPT_NAMES[kind] if known.get(name)), "")


def _folder_hash(folder: Path) -> str:
    """Twelve hex digits over the names and contents of the files that decide the vectors."""
    digest = hashlib.sha256()
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    for name in sorted(name for name in names if name.endswith(_HASHED_SUFFIXES)):
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        with (folder / name).open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()[:12]


def _commit(model: Any) -> str:
    """The hub commit a model was loaded from, as far as transformers tells."""
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    commit = getattr(config, "_commit_hash", None)
    return str(commit)[:12] if commit else "unknown"
