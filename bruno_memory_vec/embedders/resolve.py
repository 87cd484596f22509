"""From what a user writes in a configuration to an embedder."""

from __future__ import annotations

from typing import Any, cast

from bruno_core.interfaces import EmbeddingInterface

from bruno_memory_vec.embedders.bruno import BrunoEmbedder
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.sentence_transformers import SentenceTransformerEmbedder
from bruno_memory_vec.embedders.static import StaticEmbedder
from bruno_memory_vec.errors import InvalidInputError

_CHOICES = (
    'Use "static", "static:FOLDER", "sentence-transformers:NAME_OR_PATH", "hash" (for tests), '
    "an object with a `fingerprint` and an `embed` method, or a bruno_core EmbeddingInterface."
)


def resolve_embedder(spec: Any = "static") -> Embedder:
    """The embedder that `spec` names or is.

    Loads no model, so it is cheap; a model that cannot be loaded is reported by the
    first `fingerprint_of` or `embed_texts`.

    Args:
        spec: "static" (the weights in the package), "static:FOLDER", "hash" (the test
            embedder), "sentence-transformers:NAME_OR_PATH", an `Embedder`, or an
            `EmbeddingInterface`.

    Raises:
        InvalidInputError: it is none of these; the message lists them.
    """
    if isinstance(spec, str):
        return _named(spec)
    if isinstance(spec, EmbeddingInterface):
        return BrunoEmbedder(spec)
    # Looked up on the class, so that no property is run: reading a fingerprint may load a model.
    if (
        not isinstance(spec, type)
        and callable(getattr(spec, "embed", None))
        and (hasattr(type(spec), "fingerprint") or "fingerprint" in getattr(spec, "__dict__", {}))
    ):
        return cast("Embedder", spec)
    what = f"the class {spec.__name__}" if isinstance(spec, type) else f"a {type(spec).__name__}"
    raise InvalidInputError("embedder", f"{what} is not an embedder", fix=_CHOICES)


def _named(spec: str) -> Embedder:
    name, _, argument = spec.strip().partition(":")
    name, argument = name.strip().lower(), argument.strip()
    if name == "static":
        return StaticEmbedder(argument or None)
    if name == "hash" and not argument:
        from bruno_memory_vec.testing.embedder import HashEmbedder  # only tests want it

        return HashEmbedder()
    if name == "sentence-transformers" and argument:
        return SentenceTransformerEmbedder(argument)
    raise InvalidInputError("embedder", f"{spec!r} is not known", fix=_CHOICES)
