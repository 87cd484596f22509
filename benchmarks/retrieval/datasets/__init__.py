"""Data sets by kind and path. None of them is part of this project, but for our own samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.retrieval.datasets import beam, beir, jsonl, locomo, longmemeval
from benchmarks.retrieval.datasets.base import Dataset, Question, Turn
from benchmarks.retrieval.datasets.reading import SPLITS, NoSplitError
from bruno_memory_vec.errors import InvalidInputError

__all__ = ["KINDS", "SAMPLES", "SPLITS", "Dataset", "NoSplitError", "Question", "Turn", "load"]

#: The loaders by kind. Each takes a path and one of `SPLITS`.
KINDS: Mapping[str, Callable[[Path, str], Dataset]] = {
    "locomo": locomo.load,
    "beir": beir.load,
    "longmemeval": longmemeval.load,
    "beam": beam.load,
    "jsonl": jsonl.load,
}
#: Texts and questions of our own writing.
SAMPLES = Path(__file__).resolve().parent.parent / "samples"


def load(kind: str, path: str | Path, split: str = "all") -> Dataset:
    """Read a data set, or a part of it.

    Args:
        kind: a key of `KINDS`.
        path: its file or folder; the loader's docstring says which.
        split: "dev" (for choosing settings), "test" (for the check) or "all".

    Raises:
        NoSplitError: the data set has no such part.
        InvalidInputError: the kind is not known, or the data cannot be read.
    """
    if kind not in KINDS:
        raise InvalidInputError("data", f"{kind!r} is not known", fix=f"Use {', '.join(KINDS)}.")
    if split not in SPLITS:
        raise InvalidInputError("split", f"{split!r} is not known", fix=f"Use {', '.join(SPLITS)}.")
    return KINDS[kind](Path(path), split)
