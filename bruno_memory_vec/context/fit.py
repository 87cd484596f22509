"""Which lines of what is known of a user fit a question best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bruno_memory_vec.context.found import Found
from bruno_memory_vec.embedders.run import embed_here, is_light
from bruno_memory_vec.indexers.text.analysis import analyser

if TYPE_CHECKING:
    from bruno_memory_vec.store.store import Store

# Of a long question only the beginning is compared.
_CHARACTERS = 2_000
_NAME = "name"


def by_fit(store: Store, question: str, lines: Sequence[Found]) -> list[Found]:
    """Lines of the profile: the name, then those that fit the question best.

    First those that share words with it, then by meaning where the embedder is light: it takes some
    0.1 ms a line. Else they stay as they are.

    Raises:
        EmbeddingError: the embedder failed.
    """
    first = [one for one in lines if one.speaker == _NAME]
    others = [one for one in lines if one.speaker != _NAME]
    if len(others) < 2:
        return [*first, *others]
    question = question[:_CHARACTERS]
    terms = analyser(None if store.config.language == "none" else store.config.language)
    asked = set(terms.question(question, drop_stopwords=True))
    texts = [one.line or one.text for one in others]
    shared = [len(asked.intersection(terms.terms(text))) for text in texts]
    meant = [0.0] * len(texts)
    if is_light(store.embedder):
        vectors = embed_here(store.embedder, texts)
        meant = (vectors @ embed_here(store.embedder, [question], "query")[0]).tolist()
    ranked = sorted(range(len(texts)), key=lambda at: (-shared[at], -meant[at], at))
    return [*first, *(others[at] for at in ranked)]
