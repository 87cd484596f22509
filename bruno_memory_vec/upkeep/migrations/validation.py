"""What shows that a copy has the rows of its store: counts, checksums and sample recalls."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.errors import StoreError
from bruno_memory_vec.upkeep.migrations.formats import checksums_of, schema_of, vectors_of
from bruno_memory_vec.upkeep.migrations.steps.step import Step

#: How many rows are asked for, and how many hits are compared.
SAMPLES, HITS = 8, 10
_WORD = re.compile(r"\w+")
_WHOLE = 2**64


@dataclass(slots=True)
class Digest:
    """The number of rows and their checksums added up, in whatever order they come."""

    rows: int = 0
    total: int = 0
    mixed: int = 0
    seqs: list[int] = field(default_factory=list)

    def take(self, rows: pa.Table, number: int) -> None:
        """Add rows of a format."""
        sums = checksums_of(rows, number).astype(np.uint64)
        self.rows += rows.num_rows
        self.total = (self.total + int(sum(map(int, sums)))) % _WHOLE
        self.mixed ^= int(np.bitwise_xor.reduce(sums)) if len(sums) else 0
        self.seqs.extend(rows.column("seq").to_pylist())

    def same(self, other: Digest) -> bool:
        """Whether another one is of the same rows."""
        return (self.rows, self.total, self.mixed) == (other.rows, other.total, other.mixed)


@dataclass(slots=True)
class Sample:
    """A row that is asked for by its vector and by its words, among the rows of its user.

    Attributes:
        seq: the row.
        user: whose it is.
        vector: its vector, float64 (d,).
        words: those of its text.
        nearest: the rows nearest to it, best first: minus the score, and ``seq``.
        worded: the rows with most of its words, best first, in the same way.
    """

    seq: int
    user: str
    vector: NDArray[np.float64]
    words: frozenset[str]
    nearest: list[tuple[float, int]] = field(default_factory=list)
    worded: list[tuple[float, int]] = field(default_factory=list)

    def again(self) -> Sample:
        """The same question, not yet asked."""
        return Sample(self.seq, self.user, self.vector, self.words)

    def same_hits(self, other: Sample) -> bool:
        """Whether another recall of it found the same rows in the same order."""
        return self.nearest == other.nearest and self.worded == other.worded


def chosen(samples: dict[int, Sample], rows: pa.Table) -> None:
    """Keep the :data:`SAMPLES` rows, of all that are given, whose numbers have the least hashes."""
    seqs = rows.column("seq").to_pylist()
    ranked = sorted((_rank(seq), at) for at, seq in enumerate(seqs))[:SAMPLES]
    most = max(map(_rank, samples), default=0) if len(samples) >= SAMPLES else None
    hidden = [name for name in ("archived_at", "expires_at") if name in rows.column_names]
    for rank, at in ranked:
        if most is not None and rank >= most:
            break
        row = rows.slice(at, 1)
        if any(row.column(name)[0].as_py() is not None for name in hidden):
            continue
        text = row.column("content")[0].as_py()
        samples[seqs[at]] = Sample(
            seqs[at],
            row.column("user_id")[0].as_py(),
            vectors_of(row)[0].astype(np.float64),
            frozenset(_words(text)),
        )
    for seq in sorted(samples, key=_rank)[SAMPLES:]:
        del samples[seq]


def ask(samples: list[Sample], rows: pa.Table) -> None:
    """Bring the hits of each sample up to these rows, too."""
    users = np.array(rows.column("user_id").to_pylist(), dtype=object)
    for user in {one.user for one in samples}:
        own = np.flatnonzero(users == user)
        if not len(own):
            continue
        held = rows.take(pa.array(own))
        vectors = vectors_of(held).astype(np.float64)
        seqs = held.column("seq").to_pylist()
        texts = [frozenset(_words(text)) for text in held.column("content").to_pylist()]
        for one in samples:
            if one.user != user:
                continue
            # Row by row, so that a sum does not depend on what is summed beside it.
            scores = (vectors * one.vector).sum(axis=1)
            near = [(-float(score), seq) for score, seq in zip(scores, seqs, strict=True)]
            one.nearest = sorted([*one.nearest, *near])[:HITS]
            shared = [
                (-float(len(one.words & words)), seq)
                for words, seq in zip(texts, seqs, strict=True)
                if one.words & words
            ]
            one.worded = sorted([*one.worded, *shared])[:HITS]


def check_step(step: Step, before: pa.Table, after: pa.Table) -> None:
    """Refuse rows in which a step has changed what it should not.

    Raises:
        StoreError: naming the column.
    """
    name = step.__name__.rpartition(".")[2] if hasattr(step, "__name__") else str(step)
    if before.num_rows != after.num_rows:
        raise _wrong(f"the step {name} made {after.num_rows:,} rows of {before.num_rows:,}")
    for column in before.column_names:
        if column in after.column_names and column not in step.CHANGES:
            unlike = before.column(column).combine_chunks() != after.column(column).combine_chunks()
            # NaN in a vector or a number differs from itself.
            if unlike and not _same_bytes(before.column(column), after.column(column)):
                raise _wrong(f"the step {name} changed the column {column!r}")


def check_format(rows: pa.Table, number: int) -> None:
    """Refuse rows that a format cannot hold.

    Raises:
        StoreError: naming the column.
    """
    dimension = rows.schema.field("vector").type.list_size
    for one in schema_of(number, dimension):
        if not one.nullable and rows.column(one.name).null_count:
            raise _wrong(f"the column {one.name!r} has no value in some rows")


def damaged(rows: pa.Table, number: int) -> Counter[int]:
    """Of rows with checksums those that are not as they were stored, by ``seq``.

    A message without a turn is not checked, as its turn is still to come.
    """
    found: Counter[int] = Counter()
    kept = rows.column("checksum").to_pylist()
    made = checksums_of(rows, number).tolist()
    seqs, kinds = rows.column("seq").to_pylist(), rows.column("kind").to_pylist()
    turns = rows.column("turn").to_pylist()
    for at, seq in enumerate(seqs):
        if kept[at] != made[at] and not (kinds[at] == "message" and turns[at] is None):
            found[seq] += 1
    return found


def _same_bytes(one: pa.ChunkedArray, other: pa.ChunkedArray) -> bool:
    def packed(column: pa.ChunkedArray) -> bytes:
        schema = pa.schema([("column", column.type)])
        batch = pa.record_batch([column.combine_chunks()], schema=schema)
        data: bytes = batch.serialize().to_pybytes()
        return data

    return packed(one) == packed(other)


def _words(text: str) -> list[str]:
    return _WORD.findall(text[:20_000].lower())


def _rank(seq: int) -> int:
    return zlib.crc32(str(seq).encode())


def _wrong(what: str) -> StoreError:
    return StoreError(
        f"the migration was given up: {what}",
        fix="The store is as it was. Please report this, with the version that wrote the store.",
    )
