"""Odd rows: times at the ends of the calendar, huge texts, no conversation; cancelled calls."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import ALL_USERS, open_memory
from bruno_memory_vec.analytics import topics
from bruno_memory_vec.analytics.clusters import fit
from tests.analytics.filling import BEGIN, fact, message, talk

pytest.importorskip("sklearn", reason="needs pip install 'bruno-memory-vec[analytics]'")


async def test_times_at_both_ends_of_the_calendar() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        for year in (1, 2026, 9999):
            at = datetime(year, 1, 1, 12, tzinfo=timezone.utc)
            await memory.store_message(message("then", at=at), f"talk {year}", user_id="ana")
        for zone in ("UTC", "Pacific/Kiritimati", "America/Los_Angeles"):
            for by in (None, "day", "week", "month", "year"):
                found = await memory.analytics.growth("ana", zone=zone, by=by)  # type: ignore[arg-type]
                assert found.points[-1].total_rows == 3
                assert sum(point.rows for point in found.points) == 3
            report = await memory.analytics.report("ana", zone=zone)
            assert report.usage is not None
            assert report.usage.rows == 3
            assert str(report)


async def test_a_huge_text_and_what_is_no_word() -> None:
    async with open_memory("memory://", embedder="hash", max_content_chars=3_000_000) as memory:
        texts = [
            "word " * 400_000,
            "\u0301" * 5_000,
            "\x1b]0;title\x07",
            "$\\frac{1}{2}$",
            "🙈" * 99,
        ]
        await memory.store_memories([fact(text) for text in texts])
        found = await memory.analytics.report("ana")
        assert found.growth is not None
        assert found.growth.characters == sum(map(len, texts))
        assert found.topics is not None
        assert found.topics.rows + found.topics.without == 5
        assert max(map(len, str(found).splitlines())) < 400
        assert "\x1b" not in str(found)


async def test_conversations_whose_times_run_backwards() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        said = [("user", "later", 10.0), ("assistant", "earlier", 0.0), ("user", "now", 20.0)]
        await talk(memory, "a", said)
        found = await memory.analytics.conversations("ana")
        by_name = {one.name: one for one in found.speakers}
        assert by_name["assistant"].answer_seconds.count == 0
        assert by_name["user"].answer_seconds.median == 20 * 60
        assert (found.gap_seconds.count, found.seconds.median) == (1, 20 * 60)


async def test_what_expired_or_is_archived_is_no_topic() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        expired, kept = fact("was true once"), fact("is true")
        expired.expires_at = datetime.now(timezone.utc) + timedelta(seconds=1)
        archived = fact("was put away")
        await memory.store_memories([expired, kept, archived])
        await memory.forget(archived.id, user_id="ana", archive=True)
        await asyncio.sleep(1.05)
        assert (await memory.analytics.growth("ana")).rows == 3
        assert (await memory.analytics.topics("ana")).rows == 1
        assert (await memory.analytics.usage("ana")).rows == 1
        assert (await memory.analytics.duplicates("ana")).examined == 1


async def test_a_cancelled_call_leaves_the_memory_whole() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_memories([fact(f"number {number}") for number in range(300)])
        for name in ("topics", "duplicates", "growth"):
            call = asyncio.ensure_future(getattr(memory.analytics, name)(ALL_USERS))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert (await memory.analytics.growth(ALL_USERS)).rows == 300


async def test_rows_that_come_meanwhile(tmp_path: Path) -> None:
    url = str(tmp_path / "store")
    async with open_memory(url, embedder="hash") as memory:
        await memory.store_memories([fact(f"number {number}") for number in range(50)])
        async with open_memory(url, embedder="hash", read_only=True) as reader:

            async def write() -> None:
                for number in range(50, 80):
                    await memory.store_memory(fact(f"number {number}"))
                    await memory.delete_memory(str(fact(f"number {number - 50}").id))

            async def count() -> None:
                for _ in range(3):
                    report = await reader.analytics.report(ALL_USERS, since=BEGIN)
                    assert report.growth is not None
                    assert 20 <= report.growth.rows <= 80

            await asyncio.gather(write(), count())
        assert (await memory.analytics.growth(ALL_USERS)).rows == 50


async def test_rows_that_are_deleted_between_two_readings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_memory("memory://") as memory:
        await memory.store_messages([message(f"kayak {n}") for n in range(9)], "a", user_id="ana")
        loop = asyncio.get_running_loop()

        def fit_late(*given: Any) -> Any:
            gone = memory.forget_user("ana")
            asyncio.run_coroutine_threadsafe(gone, loop).result(30)
            return fit(*given)

        monkeypatch.setattr(topics, "fit", fit_late)
        found = await memory.analytics.topics("ana")
        assert (found.topics, found.rows) == ((), 0)
