"""From an embedder's name in a configuration to the embedder."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from bruno_core.interfaces import EmbeddingInterface
from bruno_core.utils.exceptions import BrunoError

from bruno_memory_vec.embedders.bruno import BrunoEmbedder
from bruno_memory_vec.embedders.cache import MAX_BYTES, CachedEmbedder, cache_folder, is_url
from bruno_memory_vec.embedders.model2vec import Model2VecEmbedder
from bruno_memory_vec.embedders.options import read_options
from bruno_memory_vec.embedders.protocol import Embedder
from bruno_memory_vec.embedders.sentence_transformers import SentenceTransformerEmbedder
from bruno_memory_vec.embedders.static import StaticEmbedder
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.plugins import Plugins, nearest

_CHOICES = (
    'Use "static", "static:FOLDER", "model2vec:NAME_OR_PATH", '
    '"sentence-transformers:NAME_OR_PATH", the last also with '
    '"?dim=256&device=cpu&precision=fp32", "bruno-llm:PROVIDER/MODEL", also with '
    '"?base_url=http://host:11434&dimension=768", "hash" (for tests), {others}'
    "an object with a `fingerprint` and an `embed` method, or a bruno_core EmbeddingInterface."
)
# Of SentenceTransformerEmbedder, with the names of its arguments.
_OPTIONS: dict[str, type] = {
    "dim": int,
    "device": str,
    "precision": str,
    "batch_size": int,
    "revision": str,
    "query_prompt": str,
    "document_prompt": str,
}
_HERE = "bruno_memory_vec.embedders.resolve"
_OURS = {
    "static": f"{_HERE}:static_embedder",
    "hash": f"{_HERE}:hash_embedder",
    "model2vec": f"{_HERE}:model2vec_embedder",
    "sentence-transformers": f"{_HERE}:sentence_transformers_embedder",
    "bruno-llm": "bruno_memory_vec.embedders.bruno_llm:by_name",
}
#: What makes an embedder of a name: a function of what stands behind the colon, which gives an
#: Embedder or an EmbeddingInterface, loads nothing, and raises InvalidInputError where it is wrong.
EMBEDDERS = Plugins("bruno_memory_vec.embedders", field="embedder", what="embedder", ours=_OURS)


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
            embedder), "model2vec:NAME_OR_PATH", "sentence-transformers:NAME_OR_PATH",
            "bruno-llm:PROVIDER/MODEL" (:mod:`bruno_memory_vec.embedders.bruno_llm`), the name of
            another package's embedder (entry points of the group ``bruno_memory_vec.embedders``),
            an `Embedder`, or an `EmbeddingInterface`. Behind "sentence-transformers:..." may stand
            options of `SentenceTransformerEmbedder`, as in a URL:
            ``?dim=256&device=cpu&precision=fp16&batch_size=64&revision=main``, also
            ``query_prompt`` and ``document_prompt``, with ``%20`` for a space
            and ``%26`` for an ampersand.
        cache: the folder or URL of a `CachedEmbedder`; no cache when None. The static embedder is
            faster than a cache and gets none.
        cache_bytes: bound of the cache's size.

    Raises:
        InvalidInputError: it is none of these, or an option or the cache's folder is not
            usable; the message says what is allowed. Or another package's cannot be loaded.
        MissingDependencyError: a package that it needs is not installed.
    """
    if cache is not None and not is_url(cache):
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
    if _embeds(spec):
        return cast("Embedder", spec)
    what = (
        f"the class {spec.__name__}"
        if isinstance(spec, type)
        else f"an object of type {type(spec).__name__}"
    )
    raise InvalidInputError("embedder", f"{what} is not an embedder", fix=_choices())


def _embeds(spec: Any) -> bool:
    # Looked up on the class, because reading the property `fingerprint` may load a model.
    return (
        not isinstance(spec, type)
        and callable(getattr(spec, "embed", None))
        and (hasattr(type(spec), "fingerprint") or "fingerprint" in getattr(spec, "__dict__", {}))
    )


def _named(spec: str) -> Embedder:
    name, _, argument = spec.strip().partition(":")
    name, argument = name.strip().lower(), argument.strip()
    try:
        make = EMBEDDERS.load(name)
    except LookupError:
        raise _unknown(spec, name) from None
    try:
        made = make(argument)
        if isinstance(made, EmbeddingInterface):
            made = BrunoEmbedder(made)
        elif not _embeds(made):
            raise TypeError(f"it gave a {type(made).__name__}, which is no embedder")
    except BrunoError:
        raise
    except Exception as error:  # whatever another package raises
        raise EMBEDDERS.broken(name, error) from error
    return cast("Embedder", made)


def _unknown(spec: str, name: str) -> InvalidInputError:
    near = nearest(name, EMBEDDERS.names())
    meant = "" if near is None or near == name else f"Did you mean {near}? "
    return InvalidInputError(
        "embedder", f"{masked(spec)!r} is not known", fix=f"{meant}{_choices()}"
    )


def _choices() -> str:
    others = [f'"{name}:...", ' for name in EMBEDDERS.names() if name not in _OURS]
    return _CHOICES.format(others="".join(others))


def static_embedder(argument: str) -> Embedder:
    """``static``, whose weights are in the package, or ``static:FOLDER``."""
    return StaticEmbedder(argument or None)


def hash_embedder(argument: str) -> Embedder:
    """``hash``, for tests.

    Raises:
        InvalidInputError: something stands behind it.
    """
    from bruno_memory_vec.embedders.hashing import HashEmbedder  # only tests want it

    if argument:
        raise _unknown(f"hash:{argument}", "hash")
    return HashEmbedder()


def model2vec_embedder(argument: str) -> Embedder:
    """``model2vec:NAME_OR_PATH``.

    Raises:
        InvalidInputError: nothing stands behind the colon.
    """
    if not argument:
        raise _unknown("model2vec", "model2vec")
    return Model2VecEmbedder(argument)


def sentence_transformers_embedder(argument: str) -> Embedder:
    """``sentence-transformers:NAME_OR_PATH?options``.

    Raises:
        InvalidInputError: it names no model, or an option is not usable.
    """
    name = "sentence-transformers"
    spec = f"{name}:{argument}"
    model, question, query = argument.partition("?")
    # A folder may have a "?" in its name.
    if argument and (not question or Path(argument).is_dir()):
        return SentenceTransformerEmbedder(argument)
    if not model:
        raise _unknown(spec, name)
    return SentenceTransformerEmbedder(model, **read_options(query, spec, _OPTIONS))
