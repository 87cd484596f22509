"""What the suites of engines share: rows of each sort, and conditions on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, ClassVar
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.indexers.checksum import changed
from bruno_memory_vec.indexers.query import Candidates, On, RowFilter, Scope
from bruno_memory_vec.indexers.schema import CHECKSUM, COLUMNS
from bruno_memory_vec.rows.metadata_pairs import pairs_of
from bruno_memory_vec.testing.rows import START, memory, message, table

ANA, EVERYONE, ANY = Scope.user("ana"), Scope.all_users(), RowFilter()

#: One row of each sort, identified by ``seq``.
ROWS: tuple[dict[str, Any], ...] = (
    message(
        0,
        "We stayed at the Hotel Aurora in Lisbon",
        metadata_pairs=pairs_of({"project": "it's", "year": 2024, "draft": True}),
    ),
    message(
        1,
        "Which hotel was it, and was the hotel good?",
        role="assistant",
        metadata_pairs=pairs_of({"project": "it's", "year": "2024", "draft": 1}),
    ),
    message(
        2,
        "The hotel had a pool",
        conversation_id="pool",
        turn=0,
        role="system",
        origin="system",
        archived_at=START + timedelta(days=2),
    ),
    memory(
        3,
        "Ana likes a quiet hotel",
        tags=["travel", "it's"],
        category="taste",
        origin="extracted",
        pinned_at=START + timedelta(hours=2),
    ),
    memory(4, "The hotel key is 4711", memory_type="short_term", importance=0.9, confidence=0.2),
    memory(5, "Hotel bill was paid", expires_at=START + timedelta(days=1), tags=["travel"]),
    message(6, "Bo was in a hotel too", user_id="bo", conversation_id="bo's", turn=0),
    memory(
        7,
        "Bo hates the hotel",
        user_id="bo",
        tags=["travel"],
        metadata_pairs=pairs_of({"project": "it's", "year": 2024.0, "note": "long " * 100}),
    ),
    # Bo's message with the id of one of Ana's.
    message(8, "Bo saw a hotel", user_id="bo", conversation_id="bo's", turn=1, id=str(UUID(int=0))),
)


def _having(**metadata: Any) -> RowFilter:
    return RowFilter(metadata=tuple(pairs_of(metadata)))


#: A scope and a filter, and which of ``ROWS`` they let through.
CONDITIONS: tuple[tuple[str, Scope, RowFilter, set[int]], ...] = (
    ("everything", EVERYONE, ANY, set(range(9))),
    ("one user", ANA, ANY, {0, 1, 2, 3, 4, 5}),
    ("nobody", Scope.user("nobody"), ANY, set()),
    ("two users", Scope.several(["ana", "bo"]), ANY, set(range(9))),
    ("two, one of them nobody", Scope.several(["nobody", "bo"]), ANY, {6, 7, 8}),
    ("two, in one conversation", Scope.several(["ana", "bo"]).within("bo's"), ANY, {6, 8}),
    ("turns before one", Scope("bo", "bo's", before_turn=1), ANY, {6}),
    ("no turn yet", Scope("bo", before_turn=0), ANY, set()),
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
    ("archived", ANA, RowFilter(unarchived_at=START + timedelta(days=2)), {0, 1, 3, 4, 5}),
    (
        "archived a moment later",
        ANA,
        RowFilter(unarchived_at=START + timedelta(days=2, microseconds=-1)),
        set(range(6)),
    ),
    ("archived, only", EVERYONE, RowFilter(archived_since=START + timedelta(days=2)), {2}),
    ("archived, none", ANA, RowFilter(archived_since=START + timedelta(days=3)), set()),
    ("pinned, only", EVERYONE, RowFilter(pinned_since=START), {3}),
    ("origins", ANA, RowFilter(origins=("extracted", "system")), {2, 3}),
    ("no ids", EVERYONE, RowFilter(ids=()), set()),
    ("ids", ANA, RowFilter(ids=(str(UUID(int=0)), str(UUID(int=6)))), {0}),
    ("several", ANA, RowFilter(kinds=("memory",), tags=("travel",), categories=("taste",)), {3}),
    ("a contradiction", ANA, RowFilter(kinds=("memory",), roles=("user",)), set()),
    ("metadata", EVERYONE, _having(project="it's"), {0, 1, 7}),
    ("metadata, a number", EVERYONE, _having(year=2024), {0, 7}),
    ("metadata, a text of digits", EVERYONE, _having(year="2024"), {1}),
    ("metadata, a truth value", EVERYONE, _having(draft=True), {0}),
    ("metadata, all of it", ANA, _having(project="it's", year=2024.0, draft=True), {0}),
    ("metadata, a long text", EVERYONE, _having(note="long " * 100), {7}),
    ("metadata, part of a text", EVERYONE, _having(note="long " * 99), set()),
    ("metadata, another key", EVERYONE, _having(name="it's"), set()),
    ("metadata, an injection", EVERYONE, _having(project="' OR '1'='1"), set()),
)
CONDITION_IDS = [name for name, *_ in CONDITIONS]


@dataclass(frozen=True, slots=True)
class PlaceFilter(RowFilter):
    """Fields that ``RowFilter`` does not have, on columns that every index has: a line each."""

    turns: Annotated[tuple[int, ...], On("turn", "in")] = ()
    from_turn: Annotated[int | None, On("turn", "ge")] = None
    before_turn: Annotated[int | None, On("turn", "lt")] = None
    places: Annotated[tuple[str, ...], On("conversation_id", "in")] = ()
    written: Annotated[tuple[int, ...], On("seq", "in")] = ()
    max_importance: Annotated[float | None, On("importance", "lt")] = None
    created: Annotated[datetime | None, On("created_at", "alive")] = None


@dataclass(frozen=True, slots=True)
class TextFilter(RowFilter):
    """The same on columns that a lexical index does not need."""

    sources: Annotated[tuple[str, ...], On("source", "in")] = ()
    min_words: Annotated[int, On("words", "ge")] = 0
    lengths: Annotated[tuple[int, ...], On("words", "in")] = ()
    edited_since: Annotated[datetime | None, On("updated_at", "ge")] = None
    edited_before: Annotated[datetime | None, On("updated_at", "lt")] = None
    said_by: Annotated[tuple[str, ...], On("speaker", "in")] = ()
    asks: Annotated[tuple[bool, ...], On("ends_with_question", "in")] = ()
    unused_since: Annotated[datetime | None, On("last_accessed", "lt")] = None


#: As ``CONDITIONS``, with fields that no engine can know.
PLACE_CONDITIONS: tuple[tuple[RowFilter, set[int]], ...] = (
    (PlaceFilter(turns=(1,)), {1, 8}),
    (PlaceFilter(turns=(0, 1)), {0, 1, 2, 6, 8}),
    # A memory has no turn, so no comparison holds.
    (PlaceFilter(from_turn=1), {1, 8}),
    (PlaceFilter(from_turn=-5), {0, 1, 2, 6, 8}),
    (PlaceFilter(before_turn=1), {0, 2, 6}),
    (PlaceFilter(before_turn=2**61), {0, 1, 2, 6, 8}),
    (PlaceFilter(places=("pool", "bo's")), {2, 6, 8}),
    (PlaceFilter(written=(2, 3, 99), kinds=("memory",)), {3}),
    (PlaceFilter(max_importance=0.9), {0, 1, 2, 3, 5, 6, 7, 8}),
    (PlaceFilter(max_importance=1), set(range(9))),
    (PlaceFilter(created=START + timedelta(minutes=6)), {7, 8}),
)
TEXT_CONDITIONS: tuple[tuple[RowFilter, set[int]], ...] = (
    (TextFilter(sources=("test",)), {3, 4, 5, 7}),
    (TextFilter(sources=("x", "it's")), set()),
    (TextFilter(min_words=6), {0, 1, 6}),
    (TextFilter(min_words=5, kinds=("message",)), {0, 1, 2, 6}),
    (TextFilter(lengths=(4, 8)), {0, 5, 7, 8}),
    (TextFilter(edited_since=START + timedelta(minutes=7)), {7, 8}),
    (TextFilter(edited_before=START + timedelta(minutes=1)), {0}),
    (TextFilter(said_by=("nobody",)), set()),
    (TextFilter(asks=(True,)), {1}),
    (TextFilter(unused_since=START + timedelta(minutes=2)), {0, 1}),
)


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
    """The rows of a table by their ``seq``, without their checksums, which are right."""
    if set(COLUMNS) <= set(found.column_names):
        assert not changed(found).any(), "a row is not as it was stored"
        found = found.drop_columns([CHECKSUM])
    rows = found.to_pylist()
    by = {row["seq"]: row for row in rows}
    assert len(by) == len(rows), "a row came twice"
    return by
