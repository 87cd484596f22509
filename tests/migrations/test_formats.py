"""What is frozen of the formats is what the package writes, and what older ones have written."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pyarrow as pa
import pytest

from bruno_memory_vec.indexers.checksum import checksums
from bruno_memory_vec.indexers.schema import SCHEMA_VERSION, row_schema
from bruno_memory_vec.sessions.sqlite import SCHEMA_VERSION as SESSIONS
from bruno_memory_vec.upkeep.migrations.formats import FORMATS, NEWEST, checksums_of, schema_of
from bruno_memory_vec.upkeep.migrations.reading import rows_of, stored_in
from bruno_memory_vec.upkeep.migrations.sessions import _SCHEMAS
from bruno_memory_vec.upkeep.migrations.steps import STEPS, steps_between

Unpack = Callable[[int], Path]


def test_the_newest_format_is_what_the_package_writes() -> None:
    assert NEWEST == SCHEMA_VERSION, "a new format needs a step, a fixture and its columns here"
    assert schema_of(NEWEST, 7).equals(row_schema(7))
    assert FORMATS[NEWEST].sessions == SESSIONS


def test_the_sessions_of_the_newest_format_are_those_of_schema_sql() -> None:
    script = resources.files("bruno_memory_vec.sessions").joinpath("schema.sql").read_text()

    def statements(text: str) -> set[str]:
        bare = re.sub(r"--[^\n]*", "", text)
        parts = (re.sub(r"\s+", "", part) for part in bare.split(";"))
        return {part for part in parts if part.startswith("CREATE")}

    assert statements(_SCHEMAS[SESSIONS]) == statements(script)


def test_there_is_a_step_between_each_two_formats() -> None:
    assert sorted(STEPS) == list(range(1, NEWEST))
    assert [step.BELOW for step in steps_between(2, 5)] == [2, 3, 4]
    assert [step.BELOW for step in steps_between(5, 2)] == [4, 3, 2]


@pytest.mark.parametrize("number", [5, 6])
def test_the_checksums_are_those_that_were_written(store_of: Unpack, number: int) -> None:
    async def read() -> pa.Table:
        return pa.concat_tables([part async for part in rows_of(stored_in(store_of(number)))])

    rows = asyncio.run(read())
    assert checksums_of(rows, number).tolist() == rows.column("checksum").to_pylist()
    if number == NEWEST:
        assert checksums_of(rows, number).tolist() == checksums(rows).tolist()
