"""What is exported as JSON lines comes back as it was, into any kind of store."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError
from hypothesis import given, settings
from hypothesis import strategies as st

from bruno_memory_vec import VectorMemory, open_memory
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError, StoreError
from bruno_memory_vec.indexers.schema import CHECKSUM
from bruno_memory_vec.portability import opening
from bruno_memory_vec.portability.exported import is_export_file, line_of, row_of
from bruno_memory_vec.rows.models import message_row
from tests.backup.support import files_of, state
from tests.copying.support import assert_same, fill
from tests.durability.support import message


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def rewrite(path: Path, lines: list[dict[str, Any]]) -> None:
    lines[-1]["lines"] = len(lines)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.mark.parametrize("vectors", [False, True])
async def test_it_comes_back_exactly(memory: VectorMemory, tmp_path: Path, vectors: bool) -> None:
    talk = (await memory.list_sessions(user_id="ana"))[0].conversation_id
    first, second, *_ = await memory.read_turns(talk)
    await memory.pin(first.message.id, user_id="ana")
    await memory.set_importance(second.message.id, 0.875, user_id="ana")
    archived = (await memory.list_sessions(user_id="ben"))[0].conversation_id
    await memory.conversations.archive(archived)
    report = await memory.export(tmp_path / "out.jsonl", vectors=vectors)
    assert (report.messages, report.memories, report.ok) == (20, 2, True)
    assert any("archived_at" in row for row in rows_in(tmp_path / "out.jsonl"))
    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600
    async with open_memory(tmp_path / "b", embedder="hash") as other:
        taken = await other.import_export(tmp_path / "out.jsonl")
        assert (taken.copied, taken.embedded) == (22, 0 if vectors else 22)
        assert (taken.verified, taken.ok) == (22, True), taken
        assert await state(other) == await state(memory)
        again = await other.import_export(tmp_path / "out.jsonl")
        assert (again.copied, again.present, again.ok) == (0, 22, True)
        # The same once more, from there.
        await other.export(tmp_path / "again.jsonl", vectors=vectors)
    assert rows_in(tmp_path / "again.jsonl") == rows_in(tmp_path / "out.jsonl")


def rows_in(path: Path) -> list[dict[str, Any]]:
    return [line for line in lines_of(path) if line.get("kind") in ("message", "memory")]


@pytest.mark.slow
async def test_into_another_kind_of_store_with_another_embedder(
    memory: VectorMemory, tmp_path: Path
) -> None:
    await memory.export(tmp_path / "out.jsonl", vectors=True)
    async with open_memory(
        f"qdrant+local:{tmp_path / 'q'}", sessions=str(tmp_path / "s"), embedder="static"
    ) as other:
        taken = await other.import_export(tmp_path / "out.jsonl")
        assert (taken.embedded, taken.verified, taken.ok) == (22, 22, True), taken
        await assert_same(memory, other, "ana", "ben", vectors=False)


async def test_what_differs_becomes_what_the_file_has(memory: VectorMemory, tmp_path: Path) -> None:
    await memory.export(tmp_path / "out.jsonl")
    then = await state(memory)
    talk = (await memory.list_sessions(user_id="ana"))[0].conversation_id
    first = (await memory.read_turns(talk))[0].message
    await memory.store_message(first.model_copy(update={"content": "edited"}), talk)
    await memory.store_message(message("and on"), talk)
    report = await memory.import_export(tmp_path / "out.jsonl", dry_run=True)
    assert (report.copied, report.others) == (1, 1)
    report = await memory.import_export(tmp_path / "out.jsonl")
    assert (report.copied, report.others, report.ok) == (1, 1, True)
    contents = {row["content"] for row, _ in await state(memory)}
    assert contents == {row["content"] for row, _ in then} | {"and on"}


async def test_of_one_user_and_by_a_view(memory: VectorMemory, tmp_path: Path) -> None:
    report = await memory.for_user("ana").export(tmp_path / "ana.jsonl")
    assert (report.messages, report.memories, report.users) == (10, 1, 1)
    assert "ben" not in (tmp_path / "ana.jsonl").read_text()
    await memory.export(tmp_path / "all.jsonl")
    with pytest.raises(BrunoError, match="serves the user 'ana' only"):
        await memory.for_user("ana").export(tmp_path / "x.jsonl", user_id="ben")
    async with open_memory("memory://", embedder="hash") as other:
        view = other.for_user("ana")
        with pytest.raises(ForeignUserError, match="of the user 'ben'"):
            await view.import_export(tmp_path / "all.jsonl")
        assert await state(other) == []
        assert (await view.import_export(tmp_path / "ana.jsonl")).copied == 11
    async with open_memory("memory://", embedder="hash") as other:
        assert (await other.import_export(tmp_path / "all.jsonl", user_id="ben")).copied == 11
        assert {row["user_id"] for row, _ in await state(other)} == {"ben"}


async def test_by_conversation_time_and_kind(memory: VectorMemory, tmp_path: Path) -> None:
    talk = (await memory.list_sessions(user_id="ana"))[0].conversation_id
    await memory.export(tmp_path / "talk.jsonl", conversation_id=talk)
    kinds = [line.get("kind") for line in lines_of(tmp_path / "talk.jsonl")]
    # The memory was noted in it.
    assert [kinds.count(kind) for kind in ("message", "memory", "profile")] == [10, 1, 0]
    times = [turn.message.timestamp for turn in await memory.read_turns(talk)]
    await memory.export(
        tmp_path / "time.jsonl", user_id="ana", since=times[2], until=times[5], kinds="message"
    )
    kept = rows_in(tmp_path / "time.jsonl")
    assert [row["turn"] for row in kept] == [2, 4, 5]
    await memory.export(tmp_path / "people.jsonl", kinds=["session", "profile"])
    kinds = [line.get("kind") for line in lines_of(tmp_path / "people.jsonl")]
    assert not {"message", "memory", "note"} & set(kinds)
    assert [kinds.count(kind) for kind in ("session", "profile")] == [3, 4]
    with pytest.raises(ForeignUserError):
        await memory.export(tmp_path / "x.jsonl", conversation_id=talk, user_id="ben")


async def test_a_view_does_not_tell_where_the_store_is(tmp_path: Path) -> None:
    async with open_memory(str(tmp_path / "store"), embedder="hash") as one:
        view = one.for_user("ana")
        await view.store_message(Message(role=MessageRole.USER, content="hello"), "talk")
        await view.export(tmp_path / "out.jsonl")
    assert str(tmp_path) not in (tmp_path / "out.jsonl").read_text("utf-8")


async def test_a_file_that_was_packed(memory: VectorMemory, tmp_path: Path) -> None:
    await memory.export(tmp_path / "out.jsonl")
    packed = tmp_path / "out.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "out.jsonl").read_bytes()))
    assert is_export_file(packed)
    async with open_memory("memory://", embedder="hash") as other:
        assert (await other.import_export(packed)).ok
        assert await state(other) == await state(memory)


async def test_a_small_file_that_unpacks_to_a_huge_one_fills_no_memory(
    memory: VectorMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "SLACK", 1_000)
    await memory.export(tmp_path / "out.jsonl")
    packed = tmp_path / "out.jsonl.gz"
    header = (tmp_path / "out.jsonl").read_bytes().splitlines(keepends=True)[0]
    for first in (header, b""):
        packed.write_bytes(gzip.compress(first + b" " * 5_000_000))
        with pytest.raises(InvalidInputError, match="unpacks to more than 200 times"):
            await memory.import_export(packed)


async def test_what_cannot_be_taken_in_is_refused_before_anything_is_written(
    memory: VectorMemory, tmp_path: Path
) -> None:
    await memory.export(tmp_path / "out.jsonl", vectors=True)
    good = lines_of(tmp_path / "out.jsonl")
    path = tmp_path / "bad.jsonl"

    def changed(number: int, **fields: Any) -> list[dict[str, Any]]:
        lines = json.loads(json.dumps(good))
        lines[number].update(fields)
        return lines  # type: ignore[no-any-return]

    people = next(n for n, line in enumerate(good) if line.get("kind") == "session")
    cases: list[tuple[list[dict[str, Any]], str]] = [
        (changed(3, importance=1.5), r"line 4 of .*: importance: 1\.5 is out of range"),
        (changed(3, role="butler"), "line 4 of .*: role: expected one of"),
        (changed(3, turn=-1), "line 4 of .*: turn: expected a whole number"),
        (changed(3, created_at="soon"), "line 4 of .*: created_at: expected ISO 8601"),
        (changed(3, id="7"), "line 4 of .*: id: expected a UUID"),
        (changed(3, colour="red"), "line 4 of .*: colour: is no field of an export"),
        (changed(3, metadata={"$": "datetime", "v": 7}), "line 4 of .*: metadata: cannot be read"),
        (changed(3, vector="AAAA"), "line 4 of .*: vector: has 3 bytes, expected 256"),
        (changed(3, user_id="ben"), "line .*: user_id: the conversation .* is 'ana''s"),
        (changed(3, turn=good[2]["turn"]), "two messages of one turn"),
        (changed(people, user_id="zoe"), "user_id: is not that of the session"),
        (changed(people, kind="wish"), "kind: 'wish' is unknown"),
        (good[:-1], r"was cut|: line"),
        ([*good[:3], good[-1]], ""),
        (good[1:], "is no export of bruno-memory-vec"),
        (changed(0, bruno_memory_vec_export=2), "is an export of format 2"),
    ]  # fmt: skip
    async with open_memory("memory://", embedder="hash") as other:
        for number, (lines, said) in enumerate(cases):
            path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
            if number == len(cases) - 3:
                said = "lines: is 36, and this is line 4"
            with pytest.raises(InvalidInputError) as refused:
                await other.import_export(path)
            assert re.search(said, str(refused.value)), (said, str(refused.value))
            assert await state(other) == []
        assert (await other.ingest(tmp_path / "out.jsonl")).added


async def test_a_turn_that_the_store_has_given_to_another_message(
    memory: VectorMemory, tmp_path: Path
) -> None:
    await memory.export(tmp_path / "out.jsonl")
    talk = (await memory.list_sessions(user_id="ana"))[0].conversation_id
    async with open_memory("memory://", embedder="hash") as other:
        await other.store_message(message("was first"), talk, user_id="ana")
        with pytest.raises(StoreError, match="where that has others"):
            await other.import_export(tmp_path / "out.jsonl")
        assert len(await state(other)) == 1


async def test_a_store_is_made_only_for_a_good_file(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("{}\n")
    memory = VectorMemory(str(tmp_path / "new"), embedder="hash")
    with pytest.raises(InvalidInputError, match="is no export"):
        await memory.import_export(tmp_path / "out.jsonl")
    await memory.close()
    assert not files_of(tmp_path / "new")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(codec="utf-8", exclude_characters="\0")), inner,
                      max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(
    st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip),
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")), _JSON, max_size=4
    ),
    st.datetimes(),
    st.uuids(),
)
@settings(max_examples=60, deadline=None)
def test_any_row_is_the_same_line_and_back(
    text: str, metadata: dict[str, Any], when: Any, id_: UUID
) -> None:
    said = message(text, metadata=metadata, timestamp=when, id=id_)
    row = message_row(said, "ana", "talk")
    row["turn"] = 4
    line = line_of(row)
    assert "\n" not in line
    back = row_of(json.loads(line))
    for name, value in row.items():
        if name not in ("seq", CHECKSUM):
            assert back[name] == value or value != value, name


async def test_a_killed_import_goes_on(tmp_path: Path) -> None:
    """What it has written is known again, so the same call ends it."""
    async with open_memory("memory://", embedder="hash") as memory:
        await fill(memory)
        await memory.export(tmp_path / "half.jsonl", user_id="ana")
        await memory.export(tmp_path / "all.jsonl")
        async with open_memory(tmp_path / "b", embedder="hash") as other:
            await other.import_export(tmp_path / "half.jsonl")
            report = await other.import_export(tmp_path / "all.jsonl")
            assert (report.copied, report.present, report.ok) == (11, 11, True)
