"""Embedders from the sentence-transformers package, which is an optional extra."""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.fair_lock import FairLock
from bruno_memory_vec.embedders.protocol import EmbedKind, Fingerprint
from bruno_memory_vec.errors import EmbeddingError, InvalidInputError, MissingDependencyError
from bruno_memory_vec.logs import get_logger

_log = get_logger(__name__)

# The names of a model's prompts; the first one that it has is used, as in sentence-transformers'
# encode_query and encode_document.
_PROMPT_NAMES: dict[EmbedKind, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
}
# The files that determine the vectors. A read-me or a training log may differ between two copies.
_HASHED_SUFFIXES = (".json", ".txt", ".model", ".safetensors", ".bin")


# The devices of torch that a model can run on.
_DEVICE = re.compile(r"cpu|(cuda|mps|xpu|npu|hpu)(:\d+)?")
# Precision -> the method of a torch module that brings its weights there.
_PRECISIONS = {"fp32": "float", "fp16": "half", "bf16": "bfloat16"}


class SentenceTransformerEmbedder:
    """A `sentence_transformers.SentenceTransformer`, loaded at first use.

    Loading takes seconds: `bruno_memory_vec.embedders.fingerprint_of` does it in a thread.

    `device` and `precision` are not in the fingerprint: they round the same vectors
    differently, so a store may be filled on a GPU and read on a CPU.

    Args:
        model: a model's name on the Hugging Face hub, or a folder that holds one.
        device: "cpu", "cuda", "cuda:1", "mps", "xpu", "npu" or "hpu"; the best there is when None.
        batch_size: texts in one forward pass.
        query_prompt: text put before queries; the model's own "query" prompt when None.
        document_prompt: text put before documents; the model's own when None.
        name: the fingerprint's name, in place of the model's name or its folder's.
        options: more keyword arguments for `SentenceTransformer` (``trust_remote_code``,
            ``cache_folder``, ...).
        dim: cut vectors to their first `dim` numbers and normalise them again, as Matryoshka
            models are trained for (Kusupati et al., 2022, arXiv:2205.13147). Others lose more.
        precision: "fp32", "fp16" or "bf16"; as the package loads the model when None. The half
            ones are for GPUs. On a CPU fp16 takes about twice the time of fp32 and bf16 the
            same at best; both halve the memory.
        revision: branch, tag or commit of a hub model.
        progress: called as ``progress("embedding", done, total)`` while more than one batch of
            texts is embedded, in the thread that embeds.

    Raises:
        InvalidInputError: an argument is not usable. Nothing was loaded.
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
        dim: int | None = None,
        precision: str | None = None,
        revision: str | None = None,
        progress: Callable[[str, int, int], None] | None = None,
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
        self._dim = dim
        self._precision = precision
        self._revision = revision
        self._progress = progress
        self._check_arguments()
        self._loaded: tuple[Any, Fingerprint] | None = None
        # Loading twice would waste a gigabyte, and tokenizers raises "Already borrowed" when two
        # threads encode at the same time. The lock is fair, so that a question waits for one batch
        # of a long list of documents and not for all.
        self._lock = FairLock()

    @property
    def variant(self) -> str:
        """The precision, if one was given, for a cache: it determines the rounding."""
        return self._precision or ""

    @property
    def fingerprint(self) -> Fingerprint:
        """Model, version, dimension and prompts. Loads the model.

        The version of a local folder is a hash of its configuration and weights, so it is the
        same on every machine; that of a hub model is its commit, or the revision asked
        for where the commit is not known.

        Raises:
            MissingDependencyError: sentence-transformers is not installed.
            InvalidInputError: there is no such device, or the model has fewer than `dim` numbers.
            EmbeddingError: the model cannot be loaded.
        """
        # Once loaded, no lock is needed; callers must not wait for a batch of another one.
        if (loaded := self._loaded) is not None:
            return loaded[1]
        with self._lock:
            return self._load()[1]

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        """One unit vector a text. A text longer than the model's limit is cut by the model.

        Texts go through the model in batches of about the same length, since every text of
        a batch costs as much as its longest.

        Returns:
            Shape (len(texts), dimension), float32.

        Raises:
            MissingDependencyError: sentence-transformers is not installed.
            InvalidInputError: there is no such device, or the model has fewer than `dim` numbers.
            EmbeddingError: the model cannot be loaded.
        """
        order = np.argsort([-len(text) for text in texts], kind="stable")
        parts = []
        for start in range(0, len(texts), self._batch_size):
            batch = [texts[index] for index in order[start : start + self._batch_size]]
            parts.append(self._encode(batch, kind))
            if self._progress is not None and len(texts) > self._batch_size:
                self._progress("embedding", start + len(batch), len(texts))
        if not parts:
            return np.zeros((0, self.fingerprint.dimension), dtype=np.float32)
        joined = np.concatenate(parts)
        vectors = np.empty_like(joined)
        vectors[order] = joined
        return vectors

    def __repr__(self) -> str:
        return f"SentenceTransformerEmbedder({self._model_name!r})"

    def _encode(self, texts: list[str], kind: EmbedKind) -> NDArray[np.float32]:
        query = kind == "query"
        with self._lock:
            model, fingerprint = self._load()
            # The two methods also route models that have a tower for each kind; before
            # sentence-transformers 5 there is only `encode`.
            encode = getattr(model, "encode_query" if query else "encode_document", model.encode)
            vectors = encode(
                # Tokenizers read UTF-8, which cannot have lone surrogates.
                [text.encode("utf-8", "replace").decode("utf-8") for text in texts],
                # An empty prompt also keeps the model's default prompt from being applied.
                prompt=fingerprint.query_prompt if query else fingerprint.document_prompt,
                batch_size=self._batch_size,
                normalize_embeddings=True,
                convert_to_numpy=True,
                show_progress_bar=False,
            )
        vectors = np.asarray(vectors, dtype=np.float32)
        if self._precision in ("fp16", "bf16"):
            # Vectors that were normalised in half precision have norms that are off by up to 1 %.
            norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
            np.divide(vectors, norms, out=vectors, where=norms > 0)
        return vectors

    def _check_arguments(self) -> None:
        for field, value in (("batch_size", self._batch_size), ("dim", self._dim)):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and value >= 1):
                raise InvalidInputError(
                    field, f"is {value!r}", fix="Give a whole number of at least 1."
                )
        if self._batch_size is None:
            raise InvalidInputError("batch_size", "is None", fix="Leave it out for 32.")
        if self._device is not None and not _DEVICE.fullmatch(str(self._device)):
            raise InvalidInputError(
                "device",
                f"{self._device!r} is not known",
                fix="Use cpu, cuda, cuda:1, mps, xpu, npu or hpu, or leave it out for the best.",
            )
        if self._precision is not None and self._precision not in _PRECISIONS:
            raise InvalidInputError(
                "precision",
                f"{self._precision!r} is not known",
                fix=f"Use {', '.join(_PRECISIONS)}, or leave it out.",
            )
        if self._revision is not None and Path(self._model_name).is_dir():
            raise InvalidInputError(
                "revision",
                f"{self._model_name} is a folder, which has none",
                fix="Leave it out; a folder's version is a hash of its files.",
            )
        named = {"device": self._device, "truncate_dim": self._dim, "revision": self._revision}
        twice = sorted(name for name in named if name in self._options and named[name] is not None)
        if twice:
            raise InvalidInputError(
                "options", f"{twice[0]} is given twice", fix="Leave it out of the options."
            )

    def _load(self) -> tuple[Any, Fingerprint]:
        if self._loaded is None:
            model = self._open()
            # Newer releases have the first name, and warn at the second.
            dimension = getattr(model, "get_embedding_dimension", None) or (
                model.get_sentence_embedding_dimension
            )
            folder = Path(self._model_name)
            version = _folder_hash(folder) if folder.is_dir() else _commit(model)
            fingerprint = Fingerprint(
                name=self._name or (folder.resolve().name if folder.is_dir() else str(folder)),
                version=version or self._revision or "unknown",
                dimension=int(dimension()),
                query_prompt=self._prompt(model, "query"),
                document_prompt=self._prompt(model, "document"),
            )
            if self._dim is not None and fingerprint.dimension != self._dim:
                raise InvalidInputError(
                    "dim",
                    f"is {self._dim}, but {self._model_name!r} gives {fingerprint.dimension}",
                    fix=f"Give at most {fingerprint.dimension}, or leave it out.",
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
        if self._device not in (None, "cpu"):
            _check_device(str(self._device))
        given = {"device": self._device, "truncate_dim": self._dim, "revision": self._revision}
        options = {name: value for name, value in given.items() if value is not None}
        try:
            model = package.SentenceTransformer(self._model_name, **{**self._options, **options})
            if self._precision is not None:
                getattr(model, _PRECISIONS[self._precision])()
            if self._precision == "fp16" and getattr(model.device, "type", None) == "cpu":
                _log.warning(
                    "half_precision_on_cpu",
                    fix="Leave precision out: fp16 takes about twice the time of fp32 on a CPU.",
                )
        except Exception as error:  # the hub's client, torch and transformers each have their own
            raise EmbeddingError(
                f"sentence-transformers cannot load {self._model_name!r}: {error}",
                fix="Give a model's name on the Hugging Face hub, or the path of a folder with one "
                '(as "sentence-transformers:NAME_OR_PATH"); a hub model needs the network once.',
                cause=error,
            ) from error
        return model

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


def _commit(model: Any) -> str | None:
    """The hub commit a model was loaded from, as far as transformers tells."""
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    commit = getattr(config, "_commit_hash", None)
    return str(commit)[:12] if commit else None


def _check_device(device: str) -> None:
    """Try a device before a model is loaded for it, which takes seconds and may download."""
    torch = importlib.import_module("torch")
    try:
        torch.zeros(1, device=device)
    except Exception as error:  # AssertionError, RuntimeError, ...: one for each kind of device
        raise InvalidInputError(
            "device",
            f"{device!r} cannot be used here: {str(error).splitlines()[0]}",
            fix="Use cpu, or leave it out for the best there is.",
            cause=error,
        ) from error
