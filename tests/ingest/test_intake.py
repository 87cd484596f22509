"""An export that is made and taken in again and again: what changed is told, nothing is doubled."""

from __future__ import annotations

import io
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from bruno_memory_vec.memory import VectorMemory
from tests.ingest.intake_support import chat, contents, export, said, stored

WORDS = ["We leave for Lisbon", "ok", "The guesthouse is in Alfama", "ok", "Breakfast is at eight"]


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return export(tmp_path / "trip.jsonl", map(said, WORDS))


def timed(texts: list[str]) -> list[dict[str, object]]:
    return [said(text, timestamp=f"2025-03-01T10:{at:02}:00Z") for at, text in enumerate(texts)]


async def test_once_and_again(memory: VectorMemory, file: Path) -> None:
    first = await memory.ingest(file)
    assert (first.added, first.messages, first.conversations, first.users) == (5, 5, 1, ("ana",))
    again = await memory.ingest(file)
    assert (again.added, again.unchanged, again.edited, again.gone) == (0, 5, 0, 0)
    assert await contents(memory) == WORDS


@pytest.mark.parametrize("with_times", [True, False])
async def test_growth_in_the_middle(memory: VectorMemory, file: Path, with_times: bool) -> None:
    rows = timed(WORDS) if with_times else list(map(said, WORDS))
    await memory.ingest(export(file, rows))
    more = said(
        "Who has the keys?", **({"timestamp": "2025-03-01T10:01:30Z"} if with_times else {})
    )
    report = await memory.ingest(export(file, [*rows[:2], more, *rows[2:]]))
    assert (report.added, report.unchanged) == (1, 5)
    assert await contents(memory) == [*WORDS[:2], "Who has the keys?", *WORDS[2:]]
    context = await memory.get_context("ana", "trip")
    shown = [one.content for one in context.messages if one.content in [*WORDS, more["content"]]]
    assert shown == await contents(memory)


async def test_growth_in_the_middle_of_many(memory: VectorMemory, file: Path) -> None:
    talks = [f"talk {at}" for at in range(70)]
    rows = [said(f"{word} of {talk}", talk) for talk in talks for word in ("one", "three")]
    await memory.ingest(export(file, rows))
    grown = [said(f"{word} of {talk}", talk) for talk in talks for word in ("one", "two", "three")]
    report = await memory.ingest(export(file, grown))
    assert (report.added, report.unchanged) == (70, 140)
    for talk in talks[::23]:
        assert await contents(memory, talk) == [
            f"{one} of {talk}" for one in ("one", "two", "three")
        ]


@pytest.mark.parametrize("with_times", [True, False])
async def test_what_is_lost_stays_and_is_told(
    memory: VectorMemory, file: Path, with_times: bool
) -> None:
    rows = timed(WORDS) if with_times else list(map(said, WORDS))
    await memory.ingest(export(file, rows))
    report = await memory.ingest(export(file, [*rows[:2], *rows[3:]]))
    assert (report.added, report.unchanged, report.gone) == (0, 4, 1)
    assert await contents(memory) == WORDS


@pytest.mark.parametrize("with_times", [True, False])
async def test_an_edit_replaces_the_text_under_its_id(
    memory: VectorMemory, file: Path, with_times: bool
) -> None:
    rows = timed(WORDS) if with_times else list(map(said, WORDS))
    await memory.ingest(export(file, rows))
    before = await stored(memory)
    rows[2]["content"] = "The guesthouse is in Graça"
    report = await memory.ingest(export(file, rows))
    assert (report.added, report.unchanged, report.edited, report.gone) == (0, 4, 1, 0)
    after = await stored(memory)
    assert [one.id for one in after] == [one.id for one in before]
    assert [one.timestamp for one in after] == [one.timestamp for one in before]
    assert after[2].content == "The guesthouse is in Graça"


async def test_another_text_without_time_is_no_edit(memory: VectorMemory, file: Path) -> None:
    await memory.ingest(file)
    rows = list(map(said, [*WORDS[:4], "Something else entirely was said there"]))
    report = await memory.ingest(export(file, rows))
    assert (report.added, report.edited, report.gone) == (1, 0, 1)


async def test_an_edit_is_known_by_the_source_s_id(memory: VectorMemory, file: Path) -> None:
    ids = [f"00000000-0000-4000-8000-00000000000{at}" for at in range(3)]
    rows = [said(f"text {at}", id=id_) for at, id_ in enumerate(ids)]
    await memory.ingest(export(file, rows))
    rows[1]["content"] = "wholly other words"
    report = await memory.ingest(export(file, [rows[2], rows[1], rows[0]]))
    assert (report.unchanged, report.edited, report.added) == (2, 1, 0)
    assert await contents(memory) == ["text 2", "wholly other words", "text 0"]
    assert [str(one.id) for one in await stored(memory)] == ids[::-1]


async def test_the_same_words_five_times(memory: VectorMemory, file: Path) -> None:
    await memory.ingest(export(file, [said("ok")] * 5))
    assert await contents(memory) == ["ok"] * 5
    assert (await memory.ingest(export(file, [said("ok")] * 4))).gone == 1
    report = await memory.ingest(export(file, [said("ok")] * 7))
    assert (report.added, report.unchanged) == (2, 5)
    assert await contents(memory) == ["ok"] * 7


async def test_another_order_doubles_nothing(memory: VectorMemory, file: Path) -> None:
    await memory.ingest(file)
    report = await memory.ingest(export(file, map(said, WORDS[::-1])))
    assert (report.added, report.unchanged, report.gone) == (0, 5, 0)
    assert await contents(memory) == WORDS[::-1]


async def test_another_time_zone_doubles_nothing(memory: VectorMemory, file: Path) -> None:
    await memory.ingest(export(file, timed(WORDS)))
    moved = [
        {**row, "timestamp": str(row["timestamp"]).replace("T10", "T12")} for row in timed(WORDS)
    ]
    report = await memory.ingest(export(file, moved))
    assert (report.added, report.edited) == (0, 5)
    assert (await stored(memory))[0].timestamp.hour == 12


async def test_a_time_that_is_not_there_does_not_move(memory: VectorMemory, file: Path) -> None:
    rows = timed(WORDS)
    del rows[1]["timestamp"], rows[4]["timestamp"]
    report = await memory.ingest(export(file, rows))
    assert report.untimed == 2
    before = [one.timestamp for one in await stored(memory)]
    assert before == sorted(before)
    os.utime(file, (2e9, 2e9))
    await memory.ingest(file)
    grown = await memory.ingest(export(file, [*rows, said("and more", timestamp="2025-03-02")]))
    assert (grown.added, grown.edited) == (1, 0)
    after = await stored(memory)
    assert [one.timestamp for one in after][:5] == before
    assert [one.metadata.get("time_inferred") for one in after] == [
        None,
        True,
        None,
        None,
        True,
        None,
    ]


async def test_without_any_time_it_is_the_file_s(memory: VectorMemory, file: Path) -> None:
    os.utime(file, (1.6e9, 1.6e9))
    report = await memory.ingest(file)
    assert report.last is not None
    assert report.last.year == 2020
    assert [one.timestamp.second for one in await stored(memory)] == [*range(36, 41)]


async def test_a_time_that_comes_later_is_taken(memory: VectorMemory, file: Path) -> None:
    await memory.ingest(file)
    report = await memory.ingest(export(file, timed(WORDS)))
    assert (report.added, report.edited, report.gone) == (0, 5, 0)
    first = (await stored(memory))[0]
    assert (first.timestamp.year, first.metadata) == (2025, {})


async def test_several_files(memory: VectorMemory, tmp_path: Path) -> None:
    older = export(tmp_path / "older.jsonl", timed(WORDS[:3]))
    newer = export(tmp_path / "newer.jsonl", timed(WORDS))
    other = export(tmp_path / "other.jsonl", [said("Another talk", "work")])
    report = await memory.ingest([older, newer, other])
    assert (report.added, report.unchanged, report.conversations) == (6, 3, 2)
    assert await contents(memory) == WORDS


async def test_two_chats_of_one_file_name_stay_apart(memory: VectorMemory, tmp_path: Path) -> None:
    one = chat(tmp_path / "a" / "x" / "chat.json", "Hello", "Hi, what is it?", "My bike is broken")
    two = chat(tmp_path / "b" / "x" / "chat.json", "Hello", "Yes?", "Which bread is best?")
    first = await memory.ingest(one, user_id="ana")
    second = await memory.ingest(two, user_id="ana")
    assert (first.renamed, list(second.renamed.values())) == ({}, ["x/chat (2)"])
    assert (await contents(memory, "x/chat"))[2] == "My bike is broken"
    assert (await contents(memory, "x/chat (2)"))[2] == "Which bread is best?"
    again = await memory.ingest([two, one], user_id="ana")
    assert (again.added, again.unchanged, again.gone) == (0, 6, 0)


async def test_two_new_chats_of_one_file_name(memory: VectorMemory, tmp_path: Path) -> None:
    one = chat(tmp_path / "a" / "x" / "chat.json", "Hello", "My bike is broken")
    two = chat(tmp_path / "b" / "x" / "chat.json", "Good morning", "Which bread is best?")
    report = await memory.ingest([one, two], user_id="ana")
    assert (report.added, report.conversations) == (4, 2)


async def test_a_chat_that_was_called_without_its_folder(
    memory: VectorMemory, tmp_path: Path
) -> None:
    file = chat(tmp_path / "x" / "chat.json", "Hello", "Hi, what is it?", "My bike is broken")
    await memory.ingest(file, user_id="ana", conversation_id="chat")
    report = await memory.ingest(file, user_id="ana")
    assert (report.added, report.unchanged, report.conversations) == (0, 3, 1)


async def test_chats_without_names_are_known_by_what_was_said(
    memory: VectorMemory, tmp_path: Path
) -> None:
    def chats(*numbers: int) -> Path:
        several = [
            [{"role": "user", "content": text} for text in ("Be kind.", f"Question {at}", f"{at}")]
            for at in numbers
        ]
        path = tmp_path / "chats.jsonl"
        path.write_text("".join(json.dumps({"messages": one}) + "\n" for one in several))
        return path

    assert (await memory.ingest(chats(1, 2, 3), user_id="ana")).conversations == 3
    report = await memory.ingest(chats(9, 1, 3), user_id="ana")
    assert (report.added, report.unchanged, report.gone) == (3, 6, 0)
    report = await memory.ingest(chats(3, 9, 2, 1), user_id="ana")
    assert (report.added, report.unchanged) == (0, 12)
    assert len(await memory.list_conversations(user_id="ana")) == 4


async def test_what_was_said_here_is_not_gone(memory: VectorMemory, file: Path) -> None:
    from bruno_core.models.message import Message, MessageRole

    await memory.ingest(file)
    await memory.store_message(
        Message(role=MessageRole.USER, content="Said here"), "trip", user_id="ana"
    )
    report = await memory.ingest(export(file, map(said, [*WORDS, "And on"])))
    assert (report.added, report.gone) == (1, 0)
    assert sorted(await contents(memory)) == sorted([*WORDS, "And on", "Said here"])


async def test_a_dry_run_stores_nothing(tmp_path: Path, file: Path) -> None:
    memory = VectorMemory(str(tmp_path / "store"), embedder="hash")
    report = await memory.ingest(file, dry_run=True)
    assert (report.added, report.dry_run) == (5, True)
    assert not (tmp_path / "store").exists()
    await memory.close()


async def test_bad_lines_keep_everything_out(memory: VectorMemory, file: Path) -> None:
    export(file, map(said, WORDS), "no json\n")
    with pytest.raises(InvalidInputError, match="line 6: not JSON"):
        await memory.ingest(file)
    assert not await contents(memory)
    report = await memory.ingest(file, skip_bad=True)
    assert (report.added, report.bad) == (5, 1)


async def test_a_stream(memory: VectorMemory) -> None:
    text = "".join(f"{json.dumps(said(word))}\n" for word in WORDS)
    assert (await memory.ingest(io.BytesIO(text.encode()))).added == 5
    assert (await memory.ingest(io.StringIO(text))).unchanged == 5


# Whose it is


async def test_another_user_than_the_file_names(memory: VectorMemory, file: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"the user 'ana', and 'zoe' was.*replace-user"):
        await memory.ingest(file, user_id="zoe")
    report = await memory.ingest(file, user_id="zoe", replace_user=True)
    assert report.users == ("zoe",)


async def test_a_view_takes_its_user_s(memory: VectorMemory, file: Path) -> None:
    zoe = memory.for_user("zoe")
    with pytest.raises(InvalidInputError, match="names the user 'ana'"):
        await zoe.ingest(file)
    with pytest.raises(ForeignUserError):
        await zoe.ingest(file, user_id="ana")
    unnamed = file.parent / "mine.jsonl"
    unnamed.write_text(json.dumps({"conversation_id": "z", "role": "user", "content": "me"}))
    assert (await zoe.ingest(unnamed)).users == ("zoe",)
    assert await memory.conversation_owner("z") == "zoe"


async def test_a_conversation_of_another_user(memory: VectorMemory, file: Path) -> None:
    await memory.ingest(file)
    stolen = export(file, [said("mine", user_id="ben"), said("own", "bens", user_id="ben")])
    with pytest.raises(InvalidInputError, match="line 1: user_id: the conversation 'trip'"):
        await memory.ingest(stolen)
    report = await memory.ingest(stolen, skip_bad=True)
    assert (report.added, report.bad) == (1, 1)
    assert await contents(memory) == WORDS


async def test_two_users_with_the_same_words(memory: VectorMemory, file: Path) -> None:
    rows = [said("ok", f"of {name}", user_id=name) for name in ("ana", "ben")]
    await memory.ingest(export(file, rows))
    report = await memory.ingest(file)
    assert (report.unchanged, report.users) == (2, ("ana", "ben"))


async def test_sizes_on_disk(tmp_path: Path, file: Path) -> None:
    async with open_memory(str(tmp_path / "store"), embedder="hash") as memory:
        report = await memory.ingest(file)
    assert report.bytes_before is not None
    assert report.bytes_after is not None
    assert report.bytes_after > report.bytes_before > 0
    assert json.loads(json.dumps(report.to_dict()))["added"] == 5


async def test_an_encrypted_store(tmp_path: Path, file: Path) -> None:
    pytest.importorskip("sqlcipher3", reason="needs the extra 'encryption'")
    settings = {"embedder": "hash", "key": b"k" * 32}
    async with open_memory(str(tmp_path / "store"), **settings) as memory:
        await memory.ingest(file)
        report = await memory.ingest(export(file, map(said, [*WORDS[:2], "Keys?", *WORDS[2:]])))
        assert (report.added, report.unchanged) == (1, 5)
        assert (await contents(memory))[2] == "Keys?"
    held = b"".join(one.read_bytes() for one in (tmp_path / "store").rglob("*") if one.is_file())
    assert b"guesthouse" not in held


@pytest.mark.parametrize("with_times", [True, False])
async def test_what_is_said_next_is_no_edit(
    memory: VectorMemory, file: Path, with_times: bool
) -> None:
    """Messages may come in one by one, each in a file of its own, alike and in one minute."""
    texts = [f"Reading {at} of the meter in the cellar" for at in range(4)]
    time = {"timestamp": "2025-03-01T10:00:00Z"} if with_times else {}
    for text in texts:
        report = await memory.ingest(export(file, [said(text, **time)]))
        assert (report.added, report.edited) == (1, 0)
    assert sorted(await contents(memory)) == texts
