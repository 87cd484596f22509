"""An anonymised copy or export: no name, address or id of the source is left in its files."""

from __future__ import annotations

import json
import os
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bruno_core.models.context import UserContext
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole
from typer.testing import CliRunner

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError, StoreError
from bruno_memory_vec.privacy.anonymise.anonymiser import Anonymiser
from bruno_memory_vec.privacy.anonymise.copying import AnonymisedCopy
from bruno_memory_vec.sessions.protocol import ConversationNote
from bruno_memory_vec.surfaces.cli.app import app

WHEN = datetime(2024, 5, 3, 10, 0, tzinfo=timezone(timedelta(hours=9)))
#: What tells who somebody is, in all places of a store.
PERSONAL = (
    "marisol quintero oksana tamsin fergus casimir ordoñez 7781234455 marisol.q@example.com "
    "203.0.113.77 lindenstraße gustavsson".split()
)


async def fill(memory: VectorMemory) -> str:
    """Two people, with what tells who they are in each place that a store has. Returns an id."""
    session = await memory.create_session("marisol.quintero", {"device": "Tamsin's phone"})
    talk = session.conversation_id
    said = [
        ("user", "Hi, I'm Marisol Quintero, mail me at marisol.q@example.com"),
        ("assistant", "Hello Marisol! We spoke on May 3, 2024 about Casimir's visit."),
        ("user", "casimir is my brother. Ring him: +49 30 7781234455, Lindenstraße 27, 50674 Köln"),
        ("user", "The server 203.0.113.77 is Oksana's, her user is oksana_77"),
    ]
    messages = [
        Message(
            role=MessageRole(role),
            content=text,
            timestamp=WHEN + timedelta(days=n),
            metadata={"sender": "Fergus Ordoñez", "sent": WHEN, "ts": 1_714_700_000 + n},
        )
        for n, (role, text) in enumerate(said)
    ]
    await memory.store_messages(messages, talk, user_id="marisol.quintero")
    await memory.store_memory(
        MemoryEntry(
            content="Oksana likes the violin",
            memory_type=MemoryType.FACT,
            user_id="oksana_77",
            metadata=MemoryMetadata(
                tags=["oksana", "music"],
                category="Fergus",
                related_memories=[messages[0].id],
                embedding=[0.5, 0.25],
                custom_fields={
                    "about": ["Tamsin", {"author": "tamsin"}],
                    "id": str(messages[1].id),
                },
            ),
        )
    )
    await memory.save_user(
        UserContext(user_id="oksana_77", name="Oksana Gustavsson", profile={"friend": "Tamsin"})
    )
    sessions = (await memory._lazy.get()).sessions
    await sessions.save_note(
        ConversationNote(talk, "marisol.quintero", WHEN, "Marisol and Casimir", "given")
    )
    return str(messages[0].id)


@pytest.fixture
async def source(tmp_path: Path) -> Any:
    async with open_memory(tmp_path / "source", embedder="hash") as memory:
        memory.one_id = await fill(memory)  # type: ignore[attr-defined]
        yield memory


async def anonymised(source: VectorMemory, folder: Path | str, **asked: Any) -> AnonymisedCopy:
    report = await source.copy_to(
        folder, embedder="hash", anonymise=asked.pop("anonymise", True), **asked
    )
    assert isinstance(report, AnonymisedCopy)
    assert report.ok, report.problems
    return report


def bytes_of(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def everything(memory: VectorMemory) -> str:
    """All that a memory tells, as one text."""
    told: list[Any] = []
    for user in await memory.list_users():
        told += [user, await memory.get_user(user.user_id)]
        told += await memory.list_sessions(user_id=user.user_id)
        for talk in await memory.list_conversations(user_id=user.user_id):
            told.append(talk)
            told += await memory.retrieve_messages(talk.conversation_id)
        told += await memory.list_memories(user_id=user.user_id)
    return repr(told)


async def test_nothing_personal_is_in_any_file_or_answer(
    source: VectorMemory, tmp_path: Path
) -> None:
    report = await anonymised(source, tmp_path / "copy")
    assert report.rows == report.copied == 5
    async with open_memory(tmp_path / "copy", embedder="hash") as copy:
        told = (await everything(copy)).lower()
        await copy.maintain()
    held = bytes_of(tmp_path / "copy").lower()
    for word in (*PERSONAL, source.one_id):  # type: ignore[attr-defined]
        assert word not in told, word
        assert word.encode() not in held, word


async def test_a_person_is_the_same_everywhere_and_references_still_lead_there(
    source: VectorMemory, tmp_path: Path
) -> None:
    anonymiser = Anonymiser(b"s" * 32)
    await anonymised(source, tmp_path / "copy", anonymise=anonymiser)
    async with open_memory(tmp_path / "copy", embedder="hash") as copy:
        (oksana,) = [
            one.user_id
            for one in await copy.list_users()
            if one.user_id == anonymiser.user_id("oksana_77")
        ]
        (fact,) = await copy.list_memories(user_id=oksana)
        name = fact.content.split()[0]
        assert (await copy.get_user(oksana)).name.split()[0] == name  # type: ignore[union-attr]
        assert fact.metadata.tags == [name.lower(), "music"]
        assert fact.metadata.embedding is None
        (talk,) = await copy.list_conversations(ALL_USERS)
        messages = await copy.retrieve_messages(talk.conversation_id)
        assert f"{name}'s, her user is {oksana}" in messages[0].content
        ids = {one.id for one in messages}
        assert set(fact.metadata.related_memories) <= ids
        assert UUID(fact.metadata.custom_fields["id"]) in ids


async def test_dates_move_by_whole_weeks_in_times_texts_and_metadata_alike(
    source: VectorMemory, tmp_path: Path
) -> None:
    await anonymised(source, tmp_path / "copy")
    async with open_memory(tmp_path / "copy", embedder="hash") as copy:
        (talk,) = await copy.list_conversations(ALL_USERS)
        newest_first = await copy.retrieve_messages(talk.conversation_id)
    second = newest_first[-2]
    moved = (WHEN + timedelta(days=1)).astimezone(timezone.utc).replace(
        tzinfo=None
    ) - second.timestamp
    assert moved > timedelta(weeks=25)
    assert moved % timedelta(weeks=1) == timedelta()
    assert WHEN - second.metadata["sent"] == moved
    assert 1_714_700_001 - second.metadata["ts"] == moved.total_seconds()
    there = (WHEN.replace(tzinfo=None) - moved).strftime("%B %-d, %Y")
    assert f"We spoke on {there} about" in second.content


async def test_two_copies_cannot_be_linked_but_by_their_secret(
    source: VectorMemory, tmp_path: Path
) -> None:
    users = []
    for anonymise in (True, True, Anonymiser(b"s" * 32), Anonymiser(b"s" * 32)):
        report = await anonymised(source, "memory://", anonymise=anonymise)
        users.append(set(report.rows_by_user))
    assert not users[0] & users[1]
    assert users[2] == users[3]


async def test_the_copy_is_recalled_by_its_own_words(source: VectorMemory, tmp_path: Path) -> None:
    await anonymised(source, tmp_path / "copy")
    async with open_memory(tmp_path / "copy", embedder="hash") as copy:
        (hit,) = await copy.recall("who likes the violin", k=1, user_id=ALL_USERS)
        assert hit.content.endswith("likes the violin")


async def test_only_a_new_place_is_copied_to(source: VectorMemory, tmp_path: Path) -> None:
    await anonymised(source, tmp_path / "copy")
    before = bytes_of(tmp_path / "copy")
    with pytest.raises(StoreError, match="new folder"):
        await anonymised(source, tmp_path / "copy")
    assert bytes_of(tmp_path / "copy") == before
    with pytest.raises(InvalidInputError, match="does not go together"):
        await anonymised(source, tmp_path / "other", dry_run=True)
    assert not (tmp_path / "other").exists()


async def test_a_copy_that_fails_leaves_no_store(source: VectorMemory, tmp_path: Path) -> None:
    class Failing(Anonymiser):
        def row(self, row: dict[str, Any]) -> dict[str, Any]:
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        await anonymised(source, tmp_path / "copy", anonymise=Failing())
    assert os.listdir(tmp_path) == ["source"]


async def test_the_command_counts_and_keeps_the_mapping_for_its_owner(
    source: VectorMemory, tmp_path: Path
) -> None:
    import asyncio

    mapping = tmp_path / "mapping.json"
    asked = ["copy", str(tmp_path / "source"), str(tmp_path / "copy"), "--anonymise"]
    asked += ["--embedder", "hash", "--mapping", str(mapping), "--json"]
    done = await asyncio.to_thread(CliRunner().invoke, app, asked)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["anonymised"]["places"]["person"] >= 5
    assert not [word for word in PERSONAL if word in done.output.lower()]
    assert stat.S_IMODE(mapping.stat().st_mode) == 0o600
    assert "oksana" in json.loads(mapping.read_text())["person"]
    again = await asyncio.to_thread(CliRunner().invoke, app, asked[:-1])
    assert again.exit_code == 1
    assert "mapping" in again.output
    assert "Traceback" not in again.output


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet", "out"])
async def test_nothing_personal_is_in_an_export(
    source: VectorMemory, tmp_path: Path, name: str
) -> None:
    format_ = None if "." in name else "markdown"
    place = tmp_path / "outside" / name
    place.parent.mkdir()
    report = await source.export(place, format=format_, anonymise=True)  # type: ignore[arg-type]
    assert report.messages == 4
    assert report.anonymised is not None
    held = bytes_of(place.parent).lower() + repr(list(place.parent.rglob("*"))).encode()
    for word in (*PERSONAL, source.one_id, str(tmp_path / "source")):  # type: ignore[attr-defined]
        assert word.encode() not in held.replace(str(tmp_path).encode(), b""), word


async def test_an_anonymised_export_comes_back_like_a_copy(
    source: VectorMemory, tmp_path: Path
) -> None:
    anonymiser = Anonymiser(b"s" * 32)
    await source.export(tmp_path / "out.jsonl", anonymise=anonymiser)
    await anonymised(source, tmp_path / "copy", anonymise=Anonymiser(b"s" * 32))
    async with open_memory(tmp_path / "back", embedder="hash") as back:
        assert (await back.import_export(tmp_path / "out.jsonl")).ok
        came = await back.list_conversations(ALL_USERS)
        said = [one.content for one in await back.retrieve_messages(came[0].conversation_id)]
        user = await back.get_user(anonymiser.user_id("oksana_77"))
    async with open_memory(tmp_path / "copy", embedder="hash") as copy:
        assert [one.conversation_id for one in await copy.list_conversations(ALL_USERS)] == [
            one.conversation_id for one in came
        ]
        there = await copy.retrieve_messages(came[0].conversation_id)
        assert [one.content for one in there] == said
        assert (await copy.get_user(user.user_id)).profile == user.profile


async def test_vectors_of_the_originals_are_not_exported(
    source: VectorMemory, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match="vectors"):
        await source.export(tmp_path / "out.jsonl", anonymise=True, vectors=True)
    assert not (tmp_path / "out.jsonl").exists()


async def test_the_command_exports(source: VectorMemory, tmp_path: Path) -> None:
    import asyncio

    asked = ["export", str(tmp_path / "out.jsonl"), "--store", str(tmp_path / "source")]
    asked += ["--anonymise", "--mapping", str(tmp_path / "mapping.json"), "--json"]
    done = await asyncio.to_thread(CliRunner().invoke, app, asked)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["anonymised"]["users"] == 2
    assert "oksana" in json.loads((tmp_path / "mapping.json").read_text())["person"]


async def test_groups_and_shared_spaces_are_whole_in_the_copy(tmp_path: Path) -> None:
    anonymiser = Anonymiser(b"s" * 32)
    async with open_memory(tmp_path / "source", embedder="hash") as memory:
        oksana = memory.for_user("oksana", spaces={"boats": "write"})
        group = await oksana.conversations.create(members=["fergus"])
        said = Message(role=MessageRole.USER, content="the boat leaks")
        await oksana.store_message(said, group.conversation_id)
        await anonymised(memory, tmp_path / "copy", anonymise=anonymiser)
    async with open_memory(tmp_path / "copy", embedder="hash") as copy:
        fergus = copy.for_user(anonymiser.user_id("fergus"))
        talk = anonymiser.conversation_id(group.conversation_id)
        (kept,) = await fergus.retrieve_messages(talk)
        assert kept.content == "the boat leaks"
        assert kept.metadata["author"] == anonymiser.user_id("oksana")
        assert await copy.for_user("somebody").retrieve_messages(talk) == []
    held = bytes_of(tmp_path / "copy").lower()
    assert b"oksana" not in held
    assert b"fergus" not in held
