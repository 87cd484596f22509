"""A copy of a store in another one: everything is in it, as it was, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.memory import MemoryEntry, MemoryType

from bruno_memory_vec import VectorMemory, copy_store, open_memory
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.errors import (
    EngineError,
    FingerprintError,
    ForeignUserError,
    InvalidInputError,
    NotAStoreError,
    StoreError,
)
from bruno_memory_vec.indexers.checked import unchecked
from bruno_memory_vec.indexers.query import EVERYONE, RowFilter
from bruno_memory_vec.upkeep.copying import moving, run
from bruno_memory_vec.writing.reconcile import reconcile
from tests.copying.support import assert_same, fill, made, store_of
from tests.durability.support import message, rows_of
from tests.reembed.support import assert_made_by


class Silent(HashEmbedder):
    """Embeds questions, and no row."""

    def embed(self, texts: Any, *, kind: Any = "document") -> Any:
        assert kind == "query", "a vector was made anew"
        return super().embed(texts, kind=kind)


async def test_everything_is_copied_and_nothing_is_embedded(tmp_path: Path) -> None:
    source = await made(tmp_path / "a", language="german")
    report = await copy_store(source, tmp_path / "b")
    assert report.ok, report
    assert (report.rows, report.copied, report.verified) == (22, 22, 22)
    assert report.rows_by_user["ana"] == {"memory": 1, "message": 10}
    assert (report.present, report.embedded, report.others, report.removed) == (0, 0, 0, 0)
    assert (report.sessions, report.users) == (3, 3)
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(tmp_path / "b", embedder="hash") as b,
    ):
        await assert_same(a, b)
        # The language is the source's, too.
        hits = await b.recall("Geigen", user_id="ana")
        assert (await store_of(b)).embedder.fingerprint == HashEmbedder().fingerprint
        assert hits
    assert '"german"' in (tmp_path / "b" / "store.json").read_text(encoding="utf-8")


async def test_again_it_copies_nothing_and_then_what_has_changed(
    source: str, tmp_path: Path
) -> None:
    target = tmp_path / "b"
    await copy_store(source, target)
    report = await copy_store(source, target)
    assert (report.copied, report.present, report.verified, report.ok) == (0, 22, 22, True)
    async with open_memory(source, embedder="hash") as memory:
        page = await memory.list_sessions(user_id="ana")
        talk = page[0].conversation_id
        turns = await memory.read_turns(talk)
        await memory.store_message(message("and now the mountain"), talk)
        # Replaced with the same text: only its metadata differs, which no checksum of its tells.
        again = turns[0].message.model_copy(update={"metadata": {"other": True}})
        await memory.store_message(again, talk)
        await memory.recall("the violin", user_id="ben", k=1)
    report = await copy_store(source, target)
    assert report.ok, report
    assert report.copied in (3, 4)  # the new one, the changed one, and those that were used
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(target, embedder="hash") as b,
    ):
        stored = await b.get_message(again.id)
        assert stored is not None
        assert stored.metadata == {"other": True}
        rows = {row["id"]: row for row in await rows_of(b)}
        for row in await rows_of(a):
            assert {**rows[row["id"]], "seq": 0, "checksum": 0} == {**row, "seq": 0, "checksum": 0}


async def test_into_an_open_memory_and_from_one_that_is_written_to(tmp_path: Path) -> None:
    async with (
        open_memory("memory://", embedder="hash") as a,
        open_memory("memory://", embedder=Silent()) as b,
    ):
        await fill(a)
        assert (await a.copy_to(b)).ok
        await assert_same(a, b)
        assert (await a.copy_to(b)).copied == 0
        # It goes on where the source would: no turn is given twice.
        talk = (await b.list_sessions(user_id="ana"))[0].conversation_id
        before = {turn.turn for turn in await b.read_turns(talk)}
        known = await (await store_of(b)).sessions.conversation(talk)
        assert known is not None
        assert known.next_turn == 12 > max(before)


async def test_one_user(source: str, tmp_path: Path) -> None:
    async with open_memory(tmp_path / "b", embedder="hash") as target:
        await target.store_message(message("of another"), "elsewhere", user_id="eve")
    report = await copy_store(source, tmp_path / "b", user_id="ana")
    assert report.ok, report
    assert (report.rows, report.sessions, report.users, report.others) == (11, 1, 1, 0)
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(tmp_path / "b", embedder="hash") as b,
    ):
        assert {user.user_id for user in await b.list_users()} == {"ana", "eve"}
        await b.delete_messages([turn.message.id for turn in await b.read_turns("elsewhere")])
        await assert_same(a, b, "ana")
        view = a.for_user("ben")
        with pytest.raises(ForeignUserError):
            await view.copy_to(tmp_path / "c", user_id="ana")
        assert (await view.copy_to(tmp_path / "c")).rows_by_user.keys() == {"ben"}


async def test_a_dry_run_counts_and_writes_nothing(source: str, tmp_path: Path) -> None:
    target = tmp_path / "b"
    report = await copy_store(source, target, dry_run=True)
    assert (report.dry_run, report.rows, report.copied, report.verified) == (True, 22, 22, 0)
    assert report.rows_by_user["ben"] == {"memory": 1, "message": 10}
    assert not target.exists()
    await copy_store(source, target)
    async with open_memory(target, embedder="hash") as memory:
        await memory.store_memory(
            MemoryEntry(content="a fact", memory_type=MemoryType.FACT, user_id="eve")
        )
    kept = contents(target)
    with pytest.raises(StoreError, match="1 row that the source does"):
        await copy_store(source, target, dry_run=True)
    report = await copy_store(source, target, dry_run=True, others="remove")
    assert (report.copied, report.present, report.removed) == (0, 22, 1)
    assert contents(target) == kept


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file and what is in it, but SQLite's own that come with a reader."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if "sqlite-" not in path.name}


async def test_other_rows_are_refused_kept_or_removed(source: str, tmp_path: Path) -> None:
    target = tmp_path / "b"
    entry = MemoryEntry(content="a stranger", memory_type=MemoryType.FACT, user_id="ana")
    async with open_memory(target, embedder="hash") as memory:
        await memory.store_memory(entry)
        await memory.store_message(message("elsewhere"), "elsewhere", user_id="eve")
        before = await rows_of(memory)
    with pytest.raises(StoreError, match=r"2 rows that the source does not have.*others=\"keep\""):
        await copy_store(source, target)
    async with open_memory(target, embedder="hash") as memory:
        assert await rows_of(memory) == before
    report = await copy_store(source, target, others="keep")
    assert report.ok, report
    assert (report.copied, report.others, report.removed) == (22, 2, 0)
    report = await copy_store(source, target, others="remove")
    assert report.ok, report
    assert (report.copied, report.others, report.removed) == (0, 0, 2)
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(target, embedder="hash") as b,
    ):
        await assert_same(a, b)
        assert await b.get_memory(entry.id) is None


async def test_turns_that_are_taken_and_conversations_of_others_are_refused(
    source: str, tmp_path: Path
) -> None:
    async with open_memory(source, embedder="hash", read_only=True) as memory:
        talk = (await memory.list_sessions(user_id="ana"))[0].conversation_id
    async with open_memory(tmp_path / "b", embedder="hash") as memory:
        await memory.store_message(message("the same turn"), talk, user_id="ana")
    with pytest.raises(StoreError, match=r"1 message of the target in conversations"):
        await copy_store(source, tmp_path / "b", others="keep")
    async with open_memory(tmp_path / "c", embedder="hash") as memory:
        await memory.store_message(message("taken"), talk, user_id="eve")
    with pytest.raises(ForeignUserError, match=r"'ana'.*'eve'"):
        await copy_store(source, tmp_path / "c", others="keep")
    for name in "bc":
        async with open_memory(tmp_path / name, embedder="hash") as memory:
            assert len(await rows_of(memory)) == 1


async def test_another_embedder_makes_the_vectors_anew(source: str, tmp_path: Path) -> None:
    other = HashEmbedder(48)
    async with open_memory(tmp_path / "b", embedder=other):
        pass
    with pytest.raises(FingerprintError, match=r"--embedder NAME"):
        await copy_store(source, tmp_path / "b")
    for _ in range(2):
        report = await copy_store(source, tmp_path / "b", embedder=other)
        assert report.ok, report
        assert report.verified == 22
    assert (report.copied, report.embedded) == (0, 0)
    async with (
        open_memory(source, embedder="hash") as a,
        open_memory(tmp_path / "b", embedder=other) as b,
    ):
        await assert_made_by(b, other)
        rows = {row["id"]: row for row in await rows_of(b)}
        for row in await rows_of(a):
            assert {**rows[row["id"]], "seq": 0, "checksum": 0} == {**row, "seq": 0, "checksum": 0}
        with pytest.raises(FingerprintError, match="own embedder"):
            await a.copy_to(tmp_path / "b", embedder=HashEmbedder(20))
        with pytest.raises(FingerprintError):
            await a.copy_to(b)
        assert (await a.copy_to(b, embedder=other)).ok


async def test_what_changes_meanwhile_comes_along_and_what_is_deleted_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_memory("memory://", embedder="hash") as a:
        await fill(a)
        talk = (await a.list_sessions(user_id="ana"))[0].conversation_id
        turns = await a.read_turns(talk)
        moved = moving.move
        rounds = 0

        async def beside(*arguments: Any) -> int:
            nonlocal rounds
            copied = await moved(*arguments)
            rounds += 1
            if rounds == 1:
                await a.delete_messages(turns[2].message.id)
                await a.store_message(message("came meanwhile"), talk)
                await a.store_message(message("begun meanwhile"), "fresh", user_id="eve")
            return copied

        monkeypatch.setattr(run, "move", beside)
        report = await a.copy_to(tmp_path / "b")
        assert report.ok, report
        assert rounds == 2
        assert (report.copied, report.removed, report.verified) == (24, 1, 23)
        async with open_memory(tmp_path / "b", embedder="hash") as b:
            await assert_same(a, b)
            assert await b.get_message(turns[2].message.id) is None
            assert await b.conversation_owner("fresh") == "eve"


async def test_a_source_that_never_rests_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_memory("memory://", embedder="hash") as a:
        await a.store_message(message("first"), "talk", user_id="ana")
        moved, count = moving.move, 0

        async def busy(*arguments: Any) -> int:
            nonlocal count
            copied = await moved(*arguments)
            count += 1
            await a.store_message(message(f"more {count}"), "talk")
            return copied

        monkeypatch.setattr(run, "move", busy)
        report = await a.copy_to(tmp_path / "b")
        assert not report.ok
        assert "1 row is missing" in str(report)
        monkeypatch.undo()
        assert (await a.copy_to(tmp_path / "b")).ok


async def test_a_damaged_row_is_not_copied(tmp_path: Path) -> None:
    async with open_memory("memory://", embedder="hash") as a:
        await fill(a)
        rows = unchecked((await store_of(a)).rows)
        table = await rows.read(EVERYONE, RowFilter(), ["seq", "importance"], limit=1)
        harmed = table.set_column(1, "importance", [[0.123]])
        await rows.update(harmed)
        with pytest.raises(EngineError, match="1 row is not as it was stored"):
            await a.copy_to(tmp_path / "b")


async def test_a_copy_that_does_not_keep_what_it_was_given_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every row is read back: one that the target keeps otherwise is written again, and told."""
    async with open_memory("memory://", embedder="hash") as a:
        await fill(a)
        written = moving._commits

        def harmed(table: Any) -> Any:
            at = table.schema.get_field_index("importance")
            for part in written(table):
                values = [[0.25] * part.num_rows]
                yield part.set_column(at, part.schema.field(at), values)

        monkeypatch.setattr(moving, "_commits", harmed)
        report = await a.copy_to(tmp_path / "b")
        assert not report.ok
        assert "22 differ" in report.problems[0]
        assert report.verified == 0
        monkeypatch.undo()
        report = await a.copy_to(tmp_path / "b")
        assert report.ok, report
        assert (report.verified, report.copied) == (22, 22)


async def test_what_is_no_source_and_no_target(source: str, tmp_path: Path) -> None:
    with pytest.raises(NotAStoreError):
        await copy_store(tmp_path / "none", tmp_path / "b")
    assert not (tmp_path / "b").exists()
    for target in (source, tmp_path / "a" / "inside", tmp_path):
        with pytest.raises(InvalidInputError, match="target"):
            await copy_store(source, target)
    with pytest.raises(InvalidInputError, match="others"):
        await copy_store(source, tmp_path / "b", others="perhaps")  # type: ignore[arg-type]
    async with open_memory(source, embedder="hash") as memory:
        with pytest.raises(InvalidInputError, match="target"):
            await memory.copy_to(memory)
        with pytest.raises(InvalidInputError, match="fsync"):
            await memory.copy_to(VectorMemory("memory://", embedder="hash"), fsync=True)
    assert not (tmp_path / "b").exists()


async def test_what_the_source_has_lost_is_told(tmp_path: Path) -> None:
    async with open_memory("memory://", embedder="hash") as a:
        await fill(a)
        store = await store_of(a)
        await store.rows.delete(EVERYONE, RowFilter(), seqs=[0])
        assert store.writer is not None
        await reconcile(store.sessions, store.rows)
        report = await a.copy_to(tmp_path / "b")
        assert "in the source" in report.problems[0]
        async with open_memory(tmp_path / "b", embedder="hash") as b:
            # The copy misses nothing of its own.
            assert not (await (await store_of(b)).sessions.ledger.read()).lost


async def test_a_mirror_keeps_no_title_of_what_is_deleted_at_the_source(tmp_path: Path) -> None:
    async with (
        open_memory(tmp_path / "a", embedder="hash") as source,
        open_memory(tmp_path / "b", embedder="hash") as mirror,
    ):
        for user in ("ana", "ben"):
            await source.store_message(message("a plan"), f"{user}s", user_id=user)
            await source.conversations.rename(f"{user}s", "My secret plan")
        await source.store_message(message("other"), "other", user_id="ana")
        await source.conversations.rename("other", "Other")
        await source.copy_to(mirror)
        for user in ("ana", "ben"):
            await source.conversations.delete(f"{user}s")
        await source.copy_to(mirror, others="keep")
        assert [one.title for one in await mirror.conversations.list("ben")] == ["My secret plan"]
        await source.copy_to(mirror, user_id="ana", others="remove")
        assert [one.title for one in await mirror.conversations.list("ana")] == ["Other"]
        assert len(await (await store_of(mirror)).sessions.notes("ben")) == 1
        assert (await source.copy_to(mirror, others="remove")).ok
        assert await (await store_of(mirror)).sessions.notes("ben") == []
        assert await mirror.conversations.list("ben") == []
