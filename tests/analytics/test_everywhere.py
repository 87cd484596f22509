"""Every kind of store gives the same figures; a view gives its user's; nothing is changed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.errors import (
    ForeignUserError,
    InvalidInputError,
    NotPermittedError,
    StoreClosedError,
)
from tests.analytics.filling import fact, message, talk

KEY = "a key that only the test knows"
_STORES = ("folder", "sealed", "qdrant+local")
SECTIONS = ("growth", "conversations", "usage", "duplicates", "topics")


async def fill(memory: VectorMemory) -> None:
    for user in ("ana", "bo"):
        for number in range(3):
            said = [
                ("user", f"{user} asks about the boat {number}", 0.0),
                ("assistant", "It sinks.", 1.0),
                ("user", "x\x1b[2J<b>$a_b$</b>\u202e", 2.0),
            ]
            await talk(memory, f"{user} {number}", said, user)
        await memory.store_memories([fact("likes tea", user), fact("likes  TEA", user)])


async def figures(memory: VectorMemory, whose: Any) -> dict[str, Any]:
    report = (await memory.analytics.report(whose)).to_dict()
    report["growth"].pop("disk_bytes")
    for point in report["growth"]["points"]:
        point.pop("disk_bytes")
    return report


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    "engine",
    [
        "memory://",
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in ("folder", "sealed", "qdrant+local")
        ),
    ],
)
async def test_the_same_figures_of_every_engine(
    engine: str, tmp_path: Path, expected: dict[str, Any]
) -> None:
    pytest.importorskip("sklearn", reason="needs pip install 'bruno-memory-vec[analytics]'")
    url, settings = engine, dict[str, Any]()
    if engine in ("folder", "sealed"):
        url = str(tmp_path / "store")
        settings = {"key": KEY} if engine == "sealed" else {}
    elif engine == "qdrant+local":
        url, settings = f"qdrant+local:{tmp_path / 'q'}", {"sessions": str(tmp_path / "s")}
    async with open_memory(url, embedder="hash", **settings) as memory:
        await fill(memory)
        before = await memory.list_memories(ALL_USERS)
        found = await figures(memory, ALL_USERS)
        for one in ("ana", "bo"):
            theirs = await memory.for_user(one).analytics.report()
            assert theirs.growth is not None
            assert (theirs.growth.rows, theirs.growth.users) == (11, 1)
            assert theirs.growth.disk_bytes is None
        size = (await memory.analytics.growth(ALL_USERS)).disk_bytes
        assert (size is None) == (engine in ("memory://", "qdrant+local"))
        assert await memory.list_memories(ALL_USERS) == before
    if url != "memory://":
        async with open_memory(url, embedder="hash", read_only=True, **settings) as memory:
            assert _without_ids(await figures(memory, ALL_USERS)) == _without_ids(found)
    first = expected.setdefault("figures", _without_ids(found))
    assert _without_ids(found) == first
    assert found["growth"]["rows"] == 22


def _without_ids(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _without_ids(one) for name, one in found.items() if name != "id"}
    if isinstance(found, float):
        # The engines give rows in other orders, and so sums are others in the last digits.
        return round(found, 4)
    return [_without_ids(one) for one in found] if isinstance(found, list) else found


@pytest.fixture
async def memory() -> AsyncIterator[VectorMemory]:
    async with open_memory("memory://", embedder="hash") as memory:
        await fill(memory)
        yield memory


async def test_a_view_sees_its_user_only(memory: VectorMemory) -> None:
    view = memory.for_user("ana")
    for name in SECTIONS:
        method = getattr(view.analytics, name)
        told = json.dumps((await method()).to_dict())
        assert "bo" not in told.replace("boat", "").replace("about", "").replace("bound", "")
        for other in ("bo", ALL_USERS):
            with pytest.raises(ForeignUserError):
                await method(other)
        with pytest.raises(InvalidInputError):
            await getattr(memory.analytics, name)()
    for name in ("costs", "performance"):
        with pytest.raises(ForeignUserError):
            await getattr(view.analytics, name)()
        with pytest.raises(NotPermittedError):
            await getattr(memory.for_user("ana", role="reader").analytics, name)()
    shared = memory.for_user("ana", spaces={"team": "read"})
    assert (await shared.analytics.growth("space:team")).rows == 0


async def test_a_space_is_no_user(memory: VectorMemory) -> None:
    await memory.store_memory(fact("the team meets at ten", "space:team"))
    found = await memory.analytics.growth(ALL_USERS)
    assert (found.users, found.rows) == (2, 23)


async def test_every_result_is_shown_safely(memory: VectorMemory) -> None:
    pd = pytest.importorskip("pandas")
    for name in (*SECTIONS, "costs", "performance"):
        whose = () if name in ("costs", "performance") else (ALL_USERS,)
        result = await getattr(memory.analytics, name)(*whose)
        assert "\x1b" not in str(result)
        assert "\u202e" not in str(result)
        page = result._repr_html_()
        assert "<b>$a" not in page
        assert "\x1b" not in page
        json.dumps(result.to_dict(), allow_nan=False)
        table = result.to_arrow()
        assert table.column_names == list(result.columns)
        assert table.num_rows == len(result.records())
        assert isinstance(result.to_pandas(), pd.DataFrame)
        assert result.to_polars().height == table.num_rows
        with pytest.raises(AttributeError):
            setattr(result, fields(result)[0].name, "bo")
    report = await memory.analytics.report(ALL_USERS, sections=["growth", "usage"])
    assert {name for name, _ in report.sections()} == {"growth", "usage"}
    assert "Growth" in str(report)
    assert "<table>" in report._repr_html_()


@pytest.mark.slow
async def test_every_plot_is_drawn(memory: VectorMemory, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs pip install 'bruno-memory-vec[plots]'")
    from matplotlib.figure import Figure

    empty = VectorMemory("memory://", embedder="hash")
    for where in (memory, empty):
        for name in (*SECTIONS, "costs", "performance"):
            whose = () if name in ("costs", "performance") else (ALL_USERS,)
            result = await getattr(where.analytics, name)(*whose)
            for draw in ("plot", "plot_trend") if name == "topics" else ("plot",):
                axes = getattr(result, draw)()
                axes.figure.savefig(tmp_path / "one.png", dpi=30)
                own = Figure().subplots()
                assert getattr(result, draw)(own) is own
                with pytest.raises(InvalidInputError, match="axes"):
                    getattr(result, draw)("a4")
    await empty.close()


async def test_a_closed_memory_says_so() -> None:
    memory = await open_memory("memory://", embedder="hash")
    await memory.close()
    for name in SECTIONS:
        with pytest.raises(StoreClosedError):
            await getattr(memory.analytics, name)("ana")


async def test_messages_in_several_conversations(memory: VectorMemory) -> None:
    copied = message("the same in both")
    for name in ("one", "two"):
        await memory.store_message(copied, name, user_id="cy")
    assert (await memory.analytics.growth("cy")).messages == 2
    assert (await memory.analytics.usage("cy")).rows == 1
    assert (await memory.analytics.duplicates("cy")).examined == 1
