"""From an embedder's name in a configuration to the embedder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from bruno_core.interfaces import EmbeddingInterface

from bruno_memory_vec.embedders.bruno import BrunoEmbedder
from bruno_memory_vec.embedders.cache import MAX_BYTES, CachedEmbedder, cache_folder
from bruno_memory_vec.embedders.model2vec import Model2VecEmbedder
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.sentence_transformers import SentenceTransformerEmbedder
from bruno_memory_vec.embedders.static import StaticEmbedder
from bruno_memory_vec.errors import InvalidInputError

_CHOICES = (
    'Use "static", "static:FOLDER", "model2vec:NAME_OR_PATH", '
    '"sentence-transformers:NAME_OR_PATH", the last also with '
    '"?dim=256&device=cpu&precision=fp32", "hash" (for tests), '
    "an object with a `fingerprint` and an `embed` method, or a bruno_core EmbeddingInterface."
)
# The options after the "?", with the names of the class's arguments.
_OPTIONS: dict[str, type] = {
    "dim": int,
    "device": str,
    "precision": str,
    "batch_size": int,
    "revision": str,
    "query_prompt": str,
    "document_prompt": str,
}


def resolve_embedder(
    spec: Any = "static",
    *,
    cache: str | Path | None = None,
    cache_bytes: int = MAX_BYTES,
) -> Embedder:
    """The embedder that `spec` names or is, behind a cache where one is wanted.

    Loads no model, so it is cheap; a model that cannot be loaded is reported by the
    first `fingerprint_of` or `embed_texts`.

    Args:
        spec: "static" (the weights in the package), "static:FOLDER", "hash" (the test
            embedder), "model2vec:NAME_OR_PATH", "sentence-transformers:NAME_OR_PATH", an
            `Embedder`, or an `EmbeddingInterface`. The last one may be followed by options of
            `SentenceTransformerEmbedder`, as in a URL:
            ``?dim=256&device=cpu&precision=fp16&batch_size=64&revision=main``, also
            ``query_prompt`` and ``document_prompt``, with ``%20`` for a space
            and ``%26`` for an ampersand.
        cache: the folder of a `CachedEmbedder`; no cache when None. The static embedder is
            faster than a cache and gets none.
        cache_bytes: bound of the cache's size.

    Raises:
        InvalidInputError: it is none of these, or an option or the cache's folder is not
            usable; the message says what is allowed.
    """
    if cache is not None:
        cache_folder(cache)  # refuse a bad folder even if the embedder needs no cache
    embedder = _embedder(spec)
    if cache is None or isinstance(embedder, (StaticEmbedder, CachedEmbedder)):
        return embedder
    return CachedEmbedder(embedder, cache, max_bytes=cache_bytes)


def _embedder(spec: Any) -> Embedder:
    if isinstance(spec, str):
        return _named(spec)
    if isinstance(spec, EmbeddingInterface):
        return BrunoEmbedder(spec)
    # Looked up on the class, because reading the property `fingerprint` may load a model.
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
        from bruno_memory_vec.embedders.hashing import HashEmbedder  # only tests want it

        return HashEmbedder()
    if name == "model2vec" and argument:
        return Model2VecEmbedder(argument)
    if name == "sentence-transformers" and argument:
        return _sentence_transformer(argument, spec)
    raise InvalidInputError("embedder", f"{spec!r} is not known", fix=_CHOICES)


def _sentence_transformer(argument: str, spec: str) -> Embedder:
    model, question, query = argument.partition("?")
    # A folder may have a "?" in its name.
    if not question or Path(argument).is_dir():
        return SentenceTransformerEmbedder(argument)
    if not model:
        raise InvalidInputError("embedder", f"{spec!r} names no model", fix=_CHOICES)
    options: dict[str, Any] = {}
    for part in query.split("&"):
        name, equals, text = part.partition("=")
        if name not in _OPTIONS or not equals:
            raise InvalidInputError(
                "embedder",
                f"{part!r} in {spec!r} is no option",
                fix=f"The options are {', '.join(_OPTIONS)}; write them as NAME=VALUE, with & "
                "in between.",
            )
        if name in options:
            raise InvalidInputError(
                name, f"stands twice in {spec!r}", fix="Leave one of the two out."
            )
        # Not parse_qs, which turns "+" into a space; prompts and revisions may have a "+".
        options[name] = _value(name, unquote(text), spec)
    return SentenceTransformerEmbedder(model, **options)


def _value(name: str, text: str, spec: str) -> Any:
    if _OPTIONS[name] is str:
        if not text and not name.endswith("_prompt"):  # an empty prompt switches the model's off
            raise InvalidInputError(name, f"is empty in {spec!r}", fix="Give a value.")
        return text
    # Not int() alone, which takes "1_000" and " 5".
    if not text.isascii() or not text.isdigit():
        raise InvalidInputError(
            name, f"{text!r} in {spec!r} is no whole number", fix=f"Write it as {name}=256."
        )
    return int(text)
