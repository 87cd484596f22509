"""Static models that the library model2vec has made or that it knows by name."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import EmbedKind, Fingerprint
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError, MissingDependencyError

# The files of a model that decide its vectors.
_HASHED = ("config.json", "model.safetensors", "tokenizer.json")


class Model2VecEmbedder:
    """A static model of the library model2vec, loaded at first use.

    Questions and documents are embedded alike.

    Args:
        model: the path of a folder that ``StaticModel.save_pretrained`` has written, or a model's
            name on the Hugging Face hub.

    Raises:
        InvalidInputError: no model is named.
    """

    def __init__(self, model: str | Path) -> None:
        if not str(model).strip():
            raise InvalidInputError(
                "model", "is empty", fix='Name a folder or a model, as in "model2vec:my-model".'
            )
        self._name = str(model)
        self._loaded: tuple[Any, Fingerprint] | None = None
        self._loading = Lock()

    @property
    def fingerprint(self) -> Fingerprint:
        """Model, version and dimension. Loads the model.

        The version is a hash of the vectors, and of a folder's files; so it is the same on every
        machine.

        Raises:
            MissingDependencyError: model2vec is not installed.
            EmbeddingError: the model cannot be loaded.
        """
        return self._load()[1]

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        """One unit vector a text; zeros where the model knows no token of it.

        Returns:
            Shape (len(texts), dimension), float32.

        Raises:
            As of `fingerprint`.
        """
        model, fingerprint = self._load()
        if not texts:
            return np.zeros((0, fingerprint.dimension), np.float32)
        # Lone surrogates are no text to the tokenizer. Other processes would each load the model.
        readable = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        out = np.array(model.encode(readable, use_multiprocessing=False), np.float32)
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        np.divide(out, norms, out=out, where=norms > 0)
        return out

    def __repr__(self) -> str:
        return f"Model2VecEmbedder({self._name!r})"

    def _load(self) -> tuple[Any, Fingerprint]:
        with self._loading:
            if self._loaded is None:
                model = self._open()
                vectors = np.ascontiguousarray(model.embedding)
                folder = Path(self._name)
                fingerprint = Fingerprint(
                    name=folder.resolve().name if folder.is_dir() else self._name,
                    version=_version(vectors, folder),
                    dimension=int(vectors.shape[1]),
                )
                self._loaded = model, fingerprint
            return self._loaded

    def _open(self) -> Any:
        try:
            package = importlib.import_module("model2vec")
        except ImportError as error:
            raise MissingDependencyError("model2vec", "model2vec", cause=error) from error
        try:
            return package.StaticModel.from_pretrained(self._name)
        except Exception as error:  # the hub's client, safetensors and tokenizers have their own
            raise EmbeddingError(
                f"model2vec cannot load {self._name!r}: {error}",
                fix="Give a folder that model2vec's save_pretrained has written, or a model's name "
                'on the Hugging Face hub (as "model2vec:NAME_OR_PATH"); a hub model needs the '
                "network once.",
                cause=error,
            ) from error


def _version(vectors: NDArray[Any], folder: Path) -> str:
    """Twelve hex digits of what decides the vectors of texts."""
    digest = hashlib.sha256(vectors.tobytes())
    for name in _HASHED:
        if (folder / name).is_file():
            digest.update(name.encode() + b"\0" + (folder / name).read_bytes())
    return digest.hexdigest()[:12]
