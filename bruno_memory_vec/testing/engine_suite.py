"""What the suites of engines share: rows of each sort, and conditions on them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.indexers.query import Candidates, RowFilter, Scope
from bruno_memory_vec.testing.rows import START, memory, message, table

ANA, EVERYONE, ANY = Scope.user("ana"), Scope.all_users(), RowFilter()

#: One row of each sort, told apart by ``seq``.
ROWS: tuple[dict[str, Any], ...] = (
    message(0, "We stayed at the Hotel Aurora in Lisbon"),
    message(1, "Which hotel was it, and was the hotel good?", role="assistant"),
    message(2, "The hotel had a pool", conversation_id="pool", turn=0, role="system"),
    memory(3, "Ana likes a quiet hotel", tags=["travel", "it's"], category="taste"),
    memory(4, "The hotel key is 4711", memory_type="short_term", importance=0.9, confidence=0.2),
    memory(5, "Hotel bill was paid", expires_at=START + timedelta(days=1), tags=["travel"]),
    message(6, "Bo was in a hotel too", user_id="bo", conversation_id="bo's", turn=0),
    memory(7, "Bo hates the hotel", user_id="bo", tags=["travel"]),
    # Bo's message with the id of one of Ana's.
    message(8, "Bo saw a hotel", user_id="bo", conversation_id="bo's", turn=1, id=str(UUID(int=0))),
)

#: A scope and a filter, and which of ``ROWS`` they let through.
CONDITIONS: tuple[tuple[str, Scope, RowFilter, set[int]], ...] = (
    ("everything", EVERYONE, ANY, set(range(9))),
    ("one user", ANA, ANY, {0, 1, 2, 3, 4, 5}),
    ("nobody", Scope.user("nobody"), ANY, set()),
    ("one conversation", ANA.within("talk"), ANY, {0, 1}),
    ("another's conversation", ANA.within("bo's"), ANY, set()),
    ("a quote in an id", EVERYONE.within("bo's"), ANY, {6, 8}),
    ("an injection", Scope.user("x' OR '1'='1"), ANY, set()),
    ("messages", ANA, RowFilter(kinds=("message",)), {0, 1, 2}),
    ("both kinds", ANA, RowFilter(kinds=("message", "memory")), {0, 1, 2, 3, 4, 5}),
    ("roles", ANA, RowFilter(roles=("user", "system")), {0, 2}),
    ("memory types", EVERYONE, RowFilter(memory_types=("short_term",)), {4}),
    ("any of two tags", EVERYONE, RowFilter(tags=("travel", "none")), {3, 5, 7}),
    ("a tag with a quote", ANA, RowFilter(tags=("it's",)), {3}),
    ("categories", ANA, RowFilter(categories=("taste",)), {3}),
    ("since, inclusive", ANA, RowFilter(since=START + timedelta(minutes=3)), {3, 4, 5}),
    ("until, exclusive", ANA, RowFilter(until=START + timedelta(minutes=3)), {0, 1, 2}),
    ("importance, inclusive", ANA, RowFilter(min_importance=0.9), {4}),
    ("confidence", ANA, RowFilter(kinds=("memory",), min_confidence=0.5), {3, 5}),
    ("alive", ANA, RowFilter(alive_at=START + timedelta(days=1)), {0, 1, 2, 3, 4}),
    ("alive a moment before", ANA, RowFilter(alive_at=START + timedelta(hours=23)), set(range(6))),
    ("ids", ANA, RowFilter(ids=(str(UUID(int=0)), str(UUID(int=6)))), {0}),
    ("several", ANA, RowFilter(kinds=("memory",), tags=("travel",), categories=("taste",)), {3}),
    ("a contradiction", ANA, RowFilter(kinds=("memory",), roles=("user",)), set()),
)
CONDITION_IDS = [name for name, *_ in CONDITIONS]


class EngineSuite:
    """What the suites of engines share."""

    pytestmark = pytest.mark.asyncio

    #: Length of the vectors that the tests store.
    dimension: ClassVar[int] = 32
    #: Whether what was closed can be opened again in the same folder.
    persistent: ClassVar[bool] = True

    folder: Path

    @pytest.fixture(autouse=True)
    def _give_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def vector(self, text: str) -> Any:
        """The vector of a text, as the rows of the tests have it."""
        return HashEmbedder(self.dimension).embed([text])[0]

    def rows(self, *rows: dict[str, Any]) -> pa.Table:
        """Rows as an Arrow table."""
        return table(rows, self.dimension)


def check_shape(found: Candidates) -> None:
    dtypes = [str(array.dtype) for array in (found.seq, found.score, found.turn)]
    assert dtypes == ["int64", "float32", "int64"]
    assert len(found.seq) == len(found.score) == len(found.conversation_id) == len(found.turn)
    assert np.all(np.diff(found.score) <= 0), "not best first"


def by_seq(found: pa.Table) -> dict[int, dict[str, Any]]:
    """The rows of a table by their ``seq``."""
    rows = found.to_pylist()
    by = {row["seq"]: row for row in rows}
    assert len(by) == len(rows), "a row came twice"
    return by
