"""What a re-embedding did; and what opens a store without its embedder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import EmbedKind, Fingerprint
from bruno_memory_vec.errors import EmbeddingError


@dataclass(frozen=True, slots=True)
class ReembedReport:
    """What a re-embedding did.

    Attributes:
        before: the embedder of the store's vectors until now.
        after: their embedder from now on; equal to ``before`` where there was nothing to do.
        rows: how many rows the store has.
        embedded: how many rows were embedded by this call.
        resumed: how many an earlier, stopped call had embedded.
        discarded: the embedder of a move that had begun and was given up, None for none.
        seconds: how long it took.
        switch_seconds: for how long of it writes had to wait.
    """

    before: Fingerprint
    after: Fingerprint
    rows: int
    embedded: int = 0
    resumed: int = 0
    discarded: Fingerprint | None = None
    seconds: float = 0.0
    switch_seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold; times rounded to milliseconds."""
        times = {name: round(getattr(self, name), 3) for name in ("seconds", "switch_seconds")}
        return {**asdict(self), **times}


class Unembedding:
    """Stands in for a store's own embedder where nothing will be embedded."""

    def __init__(self, fingerprint: Fingerprint) -> None:
        self.fingerprint = fingerprint

    def embed(self, texts: Sequence[str], *, kind: EmbedKind = "document") -> NDArray[np.float32]:
        """Always refuse."""
        raise EmbeddingError("the store was opened without its embedder", fix="Name --embedder.")
