"""Cross-encoders of the sentence-transformers package, which is an optional extra."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.errors import EmbeddingError, MissingDependencyError
from bruno_memory_vec.rankers import CrossEncoder, CrossScore
from bruno_memory_vec.recall.request import RecallRequest


class CrossEncoderModel:
    """A `sentence_transformers.CrossEncoder`, loaded at first use (seconds).

    Args:
        model: a model's name on the Hugging Face hub, or a folder that holds one.
    """

    def __init__(self, model: str) -> None:
        self._name = model
        self._loaded: Any = None
        # Held for the load and for each forward pass, as in the embedder.
        self._lock = Lock()

    def score(self, question: str, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        """The model's score of each text for the question: any real number.

        Blocks for as long as the model computes: call it in a thread.

        Returns:
            float32 (len(texts),).

        Raises:
            MissingDependencyError: sentence-transformers is not installed.
            EmbeddingError: the model cannot be loaded, or gives more than one score a text.
        """
        if not texts:
            return np.zeros(0, np.float32)
        with self._lock:
            if self._loaded is None:
                self._loaded = self._open()
            scores = np.asarray(
                self._loaded.predict(
                    [(_readable(question), _readable(text)) for text in texts],
                    batch_size=batch_size,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                ),
                np.float32,
            )
        if scores.shape != (len(texts),) or not np.isfinite(scores).all():
            raise EmbeddingError(
                f"the cross-encoder {self._name!r} gives scores of shape {scores.shape}, "
                "or some that are no numbers",
                fix="Take a cross-encoder with one output, made for ranking.",
            )
        return scores

    def _open(self) -> Any:
        try:
            package = importlib.import_module("sentence_transformers")
        except ImportError as error:
            raise MissingDependencyError(
                "sentence-transformers", "sentence-transformers", cause=error
            ) from error
        try:
            model = package.CrossEncoder(self._name)
        except Exception as error:  # the hub's client, torch and transformers each have their own
            raise EmbeddingError(
                f"sentence-transformers cannot load the cross-encoder {self._name!r}: {error}",
                fix="Give a cross-encoder's name on the Hugging Face hub, or the path of a folder "
                "with one, as [cross_encoder] model in the profile.",
                cause=error,
            ) from error
        architectures = getattr(getattr(model, "config", None), "architectures", None) or []
        if architectures and not any("SequenceClassification" in one for one in architectures):
            # The package would add an untrained head with random weights.
            raise EmbeddingError(
                f"{self._name!r} is no cross-encoder: its model is {', '.join(architectures)}",
                fix="Take a model made for ranking, with one output, as [cross_encoder] model.",
            )
        return model


@lru_cache(maxsize=2)
def cross_encoder(model: str) -> CrossEncoderModel:
    """The model of that name; loaded once in a process."""
    return CrossEncoderModel(model)


def _readable(text: str) -> str:
    # Lone surrogates cannot be turned into the UTF-8 that tokenizers read.
    return text.encode("utf-8", "replace").decode("utf-8")


def cross_score(
    texts_of: Callable[[NDArray[np.int64]], Sequence[str]], request: RecallRequest
) -> CrossScore | None:
    """A function that scores rows by the profile's cross-encoder; None where it has none.

    Args:
        texts_of: gives the texts of candidates, by their indices into the pool.
        request: the question and its profile.
    """
    settings = request.profile.rank.get(CrossEncoder)
    if settings is None:
        return None
    model = cross_encoder(settings.model)

    def score(rows: NDArray[np.int64]) -> NDArray[np.floating]:
        return model.score(request.query, texts_of(rows), settings.batch_size)

    return score
