"""The protocol of an embedder: one method, and a fingerprint of its vector space."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.errors import InvalidInputError

#: What a text is for. Some models put a different prompt before questions and documents.
EmbedKind = Literal["document", "query"]

EMBED_KINDS: tuple[str, ...] = get_args(EmbedKind)

_MOST_DIMENSIONS = 1_000_000


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Identifies the vector space of an embedder.

    The vectors of embedders with equal fingerprints can be compared. A store records its
    embedder's fingerprint and refuses any other.

    Attributes:
        name: a readable name of the model.
        version: changes whenever the vectors of the same text change.
        dimension: length of a vector.
        normalized: whether vectors have unit norm.
        query_prompt: text put before every query.
        document_prompt: text put before every document.
    """

    name: str
    version: str
    dimension: int
    normalized: bool = True
    query_prompt: str = ""
    document_prompt: str = ""

    def __post_init__(self) -> None:
        # A wrong type is refused here, because it would make a store that cannot be opened again.
        for field, kind in _KINDS.items():
            value = getattr(self, field)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise InvalidInputError(
                    f"fingerprint.{field}",
                    f"expected {kind.__name__}, got {value!r}",
                    fix=f"Give the embedder's fingerprint a {field} of type {kind.__name__}.",
                )
        if not self.name or not 1 <= self.dimension <= _MOST_DIMENSIONS:
            raise InvalidInputError(
                "fingerprint",
                f"name {self.name!r} and dimension {self.dimension} do not identify a model",
                fix=f"Give a name that is not empty and a dimension of 1 to {_MOST_DIMENSIONS:,}.",
            )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Fingerprint:
        """The inverse of `to_dict`. Unknown keys are ignored: a newer version may add some.

        Raises:
            InvalidInputError: a field is missing or has the wrong type.
        """
        known = {field.name for field in fields(cls)}
        missing = {"name", "version", "dimension"} - data.keys()
        if missing:
            raise InvalidInputError(
                "fingerprint",
                f"{', '.join(sorted(missing))} missing in {dict(data)!r}",
                fix="Pass a dictionary made by Fingerprint.to_dict().",
            )
        return cls(**{key: value for key, value in data.items() if key in known})

    def __str__(self) -> str:
        parts = [f"{self.name} {self.version}".strip(), f"{self.dimension} dimensions"]
        if not self.normalized:
            parts.append("not normalized")
        if self.query_prompt:
            parts.append(f"query prompt {self.query_prompt!r}")
        if self.document_prompt:
            parts.append(f"document prompt {self.document_prompt!r}")
        return ", ".join(parts)


_KINDS: dict[str, type] = {
    "name": str,
    "version": str,
    "dimension": int,
    "normalized": bool,
    "query_prompt": str,
    "document_prompt": str,
}


class Embedder(Protocol):
    """Turns texts into vectors.

    `embed` may be a plain method or ``async def``: the store calls it through
    `bruno_memory_vec.embedders.embed_texts`, which runs the first in a thread and
    awaits the second. A plain one may be called from several threads at once.
    """

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint of its vectors. It never changes during the life of the object."""
        ...

    def embed(
        self, texts: Sequence[str], *, kind: EmbedKind = "document"
    ) -> NDArray[np.float32] | Awaitable[NDArray[np.float32]]:
        """One vector a text.

        Args:
            texts: any number of texts, of any length, in any script.
            kind: whether they are stored text or a question.

        Returns:
            Shape (len(texts), fingerprint.dimension), float32, rows of unit norm. A row
            of zeros means that the model knows no token of the text.
        """
        ...


#: From words to how much each counts, float64 (n,), none below 0.
WordWeights: TypeAlias = Callable[[Sequence[str]], NDArray[np.float64]]


@runtime_checkable
class WeighsWords(Protocol):
    """An `Embedder` whose vector of a text is a sum over its words, which can be weighted."""

    def embed_weighted(self, text: str, weigh: WordWeights) -> NDArray[np.float32]:
        """The vector of a text in which each word counts as much as ``weigh`` says.

        Args:
            text: a question.
            weigh: called once, with the different words of the text as the embedder cuts it, in
                lower case where that is all the embedder knows of them.

        Returns:
            Shape (fingerprint.dimension,), float32, of unit norm; zeros where no word is known or
            each has the weight 0. With equal weights it is the vector of `embed`.
        """
        ...


@runtime_checkable
class KnowsShare(Protocol):
    """An `Embedder` that can tell how much of a text it knows.

    An embedder without it is taken to know all.
    """

    def known_share(self, text: str) -> float:
        """The share of a text that the vectors have learned something of, 0..1.

        A question's vector counts that much in a ranking. It must be quick: microseconds.
        """
        ...
