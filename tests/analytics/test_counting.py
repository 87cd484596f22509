"""Growth, patterns of conversations, use, repeats, cost: figures that are known beforehand."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.analytics.duplicates import led
from bruno_memory_vec.analytics.periods import all_between, begins, label, local, numbered, zone_of
from bruno_memory_vec.analytics.reading import normalised
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.schema import micros
from tests.analytics.filling import BEGIN, fact, message, talk


async def test_growth_counts_what_there_is() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        await memory.store_messages([message("Ünï"), message("ab")], "one", user_id="ana")
        await memory.store_message(message("later", minutes=60 * 24 * 40), "two", user_id="bo")
        await memory.store_memory(fact("tea", days=40))
        found = await memory.analytics.growth(ALL_USERS, by="month")
        assert [point.label for point in found.points] == ["2026-03", "2026-04"]
        first, second = found.points
        assert (first.messages, first.memories, first.users, first.conversations) == (2, 0, 1, 1)
        assert (second.messages, second.memories, second.active_users) == (1, 1, 2)
        assert (second.users, second.total_users, second.total_rows) == (1, 2, 4)
        assert (first.characters, found.characters) == (5, 13)
        dimension = (await memory.health())["embedder"]
        assert dimension
        assert first.bytes > 7 + 2 * 4 * 16
        assert second.total_bytes == found.bytes
        # Nothing on disk, and of a user nobody asks.
        assert found.disk_bytes is None
        assert (found.rows, found.conversations, found.users) == (4, 2, 2)
        # A memory of a conversation whose messages are gone.
        fields = {"conversation_id": "gone", "user_id": "cy"}
        await memory.store_memory(fact("coffee").model_copy(update=fields))
        told = await memory.analytics.growth("cy")
        assert (told.memories, told.conversations) == (1, 0)
        days = await memory.analytics.growth("ana", by="day")
        assert len(days.points) == 41
        assert sum(point.rows for point in days.points) == days.rows == 3
        bounded = await memory.analytics.growth(ALL_USERS, since=BEGIN + timedelta(days=1))
        assert bounded.rows == 2
        assert (await memory.analytics.growth(ALL_USERS, until=BEGIN)).points == ()


async def test_a_day_is_one_of_the_time_zone() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        late = datetime(2026, 3, 2, 23, 30, tzinfo=timezone.utc)
        await memory.store_message(message("late", at=late), "one", user_id="ana")
        for zone, day in (("UTC", "2026-03-02"), ("Europe/Berlin", "2026-03-03")):
            found = await memory.analytics.growth("ana", by="day", zone=zone)
            assert [point.label for point in found.points] == [day]
            hours = (await memory.analytics.conversations("ana", zone=zone)).hours
            assert hours.index(1) == (23 if zone == "UTC" else 0)


def test_periods() -> None:
    days = np.array([0, 3, 4, 31, 364, 365, -1], np.int64) * 86_400_000_000
    for by, names in {
        "day": ("1970-01-01", "1969-12-31"),
        "week": ("1970-W01", "1970-W01"),
        "month": ("1970-01", "1969-12"),
        "year": ("1970", "1969"),
    }.items():
        numbers = numbered(days, by)  # type: ignore[arg-type]
        told = [label(begins(int(one), by), by) for one in numbers]  # type: ignore[arg-type]
        assert (told[0], told[-1]) == names
    assert begins(int(numbered(days[2:3], "week")[0]), "week") == date(1970, 1, 5)
    # The clock goes back: 01:30 UTC is 03:30 before, and 02:30 after.
    berlin = zone_of("Europe/Berlin")
    moments = [datetime(2026, 10, 25, hour, 30, tzinfo=timezone.utc) for hour in (0, 1)]
    here = local(np.array([micros(one) for one in moments], np.int64), berlin)
    assert [int(one) // 3_600_000_000 % 24 for one in here] == [2, 2]
    # Two rows that are ages apart are no million periods.
    assert all_between(np.array([-700_000, 2_900_000], np.int64)) == [-700_000, 2_900_000]
    edges = np.array([micros(datetime(year, 1, 1, tzinfo=timezone.utc)) for year in (1, 9999)])
    assert len(local(edges, berlin)) == 2
    for wrong in ("Mars/Olympus", 7, "", "../../etc/passwd"):
        with pytest.raises(InvalidInputError, match="zone"):
            zone_of(wrong)


async def test_patterns_of_conversations() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        said = [
            ("system", "be kind", 0.0),
            ("user", "one two three four", 0.0),
            ("user", "five", 1.0),
            ("assistant", "six seven eight nine ten", 3.0),
            ("user", "eleven", 10.0),
        ]
        await talk(memory, "a", said)
        await talk(memory, "b", [("assistant", "hello", 100.0)])
        await memory.store_memory(fact("not a message"))
        found = await memory.analytics.conversations("ana")
        assert (found.conversations, found.messages, found.system_messages) == (2, 5, 1)
        assert (found.lengths.smallest, found.lengths.largest, found.lengths.mean) == (1, 4, 2.5)
        assert [one.label for one in found.length_bins if one.conversations] == ["1", "3-4"]
        user, assistant = found.speakers
        assert (user.name, user.messages, user.words, user.begins) == ("user", 3, 6, 1)
        assert (assistant.begin_share, assistant.words) == (0.5, 6)
        assert user.run == 1.5
        assert assistant.answer_seconds.median == 120
        assert user.answer_seconds.median == 420
        assert found.gap_seconds.count == 3
        assert found.pause_seconds.median == 90 * 60
        assert found.weekdays == (5, 0, 0, 0, 0, 0, 0)
        assert sum(map(sum, found.week)) == 5
        none = await memory.analytics.conversations("nobody")
        assert (none.conversations, none.lengths.median, none.speakers) == (0, None, ())


async def test_speakers_by_their_names() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        names = [f"Person{letter}" for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
        said = [("user", f"{name}: hello to you", float(at)) for at, name in enumerate(names)]
        await talk(memory, "a", [*said, ("user", "PersonA: again", 30.0)])
        told = (await memory.analytics.conversations("ana", by="speaker")).speakers
        assert (told[0].name, told[0].messages) == ("others", 7)
        assert told[1].name == "PersonA"
        assert len(told) == 20
        assert sum(one.messages for one in told) == 27
        assert len((await memory.analytics.conversations("ana")).speakers) == 1


async def test_what_is_recalled_and_what_is_not() -> None:
    async with open_memory("memory://") as memory:
        await memory.store_memories(
            [fact("Bo has a red kayak"), fact("The dentist is in Lisbon"), fact("Tea, no sugar")]
        )
        for _ in range(3):
            await memory.recall("kayak", user_id="ana", k=1)
        await memory.recall("dentist in Lisbon", user_id="ana", k=1)
        now = datetime.now(timezone.utc)
        for _ in range(2):  # as gathered in memory, and as written
            found = await memory.analytics.usage("ana", now=now + timedelta(seconds=1))
            assert [row.recalls for row in found.most] == [3, 1]
            assert found.most[0].text == "Bo has a red kayak"
            assert found.least[0].text == "The dentist is in Lisbon"
            assert [row.text for row in found.never] == ["Tea, no sugar"]
            assert found.never[0].last_recalled is None
            assert found.most[0].last_recalled is not None
            assert (found.rows, found.recalls, found.never_recalled) == (3, 4, 1)
            assert [one.rows for one in found.bins] == [1, 1, 0, 1, 0, 0, 0]
            assert found.top_share == 0.75
            await memory.maintain()
        later = now + timedelta(days=100)
        stale = await memory.analytics.usage("ana", now=later, stale_days=90)
        assert stale.stale_rows == 3
        assert stale.stale[0].text == "Tea, no sugar"
        (row,) = await memory.list_memories("ana", limit=1)
        await memory.forget(row.id, user_id="ana")
        assert (await memory.analytics.usage("ana")).rows == 2


async def test_repeats_word_for_word_and_nearly() -> None:
    async with open_memory("memory://") as memory:
        for at, text in enumerate(
            ("The meeting is on Monday at ten", "the meeting is  on MONDAY at ten",
             "The meeting is on Monday at 10", "Bo has a red kayak", "👍", "👍", "🙈")
        ):  # fmt: skip
            await memory.store_memory(fact(text, days=at))
        await memory.store_memory(fact("The meeting is on Monday at ten", "bo"))
        copied = message("a copied message of the system")
        await memory.store_message(copied, "one", user_id="ana")
        await memory.store_message(copied, "two", user_id="ana")
        found = await memory.analytics.duplicates("ana", bound=0.9)
        assert found.examined == 8
        assert [group.size for group in found.largest] == [3, 2]
        meeting, thumbs = found.largest
        assert meeting.exact == 2
        assert [row.exact for row in meeting.rows] == [True, True, False]
        assert 0.9 <= meeting.rows[2].similarity < 1
        assert thumbs.rows[0].text == "👍"
        assert (found.extra, found.exact_extra, found.groups) == (3, 2, 2)
        everyone = await memory.analytics.duplicates(ALL_USERS, bound=0.9, limit=1)
        assert (everyone.groups, len(everyone.largest), everyone.examined) == (2, 1, 9)
        exact = await memory.analytics.duplicates("ana", bound=1)
        assert exact.extra == 2


@pytest.mark.parametrize("bound", [0.6, 0.9, 0.99])
@pytest.mark.parametrize("d", [8, 64])
def test_no_near_vector_is_missed(bound: float, d: int) -> None:
    random = np.random.default_rng(round(100 * bound) + d)
    middles = random.normal(size=(30, d))
    near = middles[random.integers(0, 30, 400)] + random.normal(size=(400, d)) * 0.2
    vectors = normalised(np.concatenate([near, near[:20], np.zeros((5, d))]))
    lead, _ = led(vectors, bound)
    # The plain way: the first one that nobody leads leads all that come later and are near.
    expected = np.arange(len(vectors))
    cosine = vectors @ vectors.T
    for row in range(len(vectors)):
        if expected[row] == row:
            theirs = (cosine[row] >= bound) & (expected == np.arange(len(vectors)))
            theirs[: row + 1] = False
            expected[theirs] = row
    close = np.abs(cosine - bound).min() < 1e-6
    assert close or lead.tolist() == expected.tolist()
    assert (lead != np.arange(len(lead))).sum() >= 20


class _Model:
    """A client whose tracker is bruno-llm's own."""

    def __init__(self) -> None:
        from bruno_llm.base.cost_tracker import CostTracker

        prices = {"small": {"input": 0.001, "output": 0.002}}
        self.cost_tracker = CostTracker("acme", prices)

    async def generate(self, messages: Any, **_: Any) -> str:
        self.cost_tracker.track_request("small", 1_000, 500)
        return "a title"


async def test_costs_are_those_of_the_tracker() -> None:
    model: Any = _Model()
    async with open_memory("memory://", embedder="hash", llm=model) as memory:
        await memory.store_message(message("The boat sinks"), "talk", user_id="ana")
        await memory.conversations.make_title("talk")
        found = await memory.analytics.costs()
        (line,) = found.lines
        assert (line.provider, line.model, line.requests, line.currency) == (
            *("acme", "small", 1, "USD"),
        )
        assert line.cost == pytest.approx(0.002)
        assert found.totals == {"USD": pytest.approx(0.002)}
        assert ["embedding" in one for one in found.untracked] == [True]
        assert (await memory.analytics.costs(until=BEGIN)).lines == ()
        assert "0.0020 USD" in str(found)
        # A tracker of somebody else may keep anything.
        model.cost_tracker.usage_history += [None, "x", object()]
        odd = await memory.analytics.costs()
        assert odd.lines == found.lines
        assert any("3 records" in one for one in odd.untracked)
    async with open_memory("memory://", embedder="hash") as memory:
        assert (await memory.analytics.costs()).lines == ()


async def test_performance_is_what_was_measured() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        off = await memory.analytics.performance()
        assert (off.measured, off.operations) == (False, ())
        assert "metrics" in str(off)
    async with open_memory("memory://", embedder="hash", metrics="process") as memory:
        await memory.store_message(message("The boat sinks"), "talk", user_id="ana")
        for _ in range(3):
            await memory.recall("boat", user_id="ana")
        with pytest.raises(InvalidInputError):
            await memory.recall("boat")
        found = await memory.analytics.performance()
        by_name = {one.operation: one for one in found.operations}
        assert (by_name["recall"].calls, by_name["recall"].failed) == (4, 1)
        assert 0 < by_name["recall"].p50 <= by_name["recall"].longest * 1.2
        assert found.operations[0].seconds == max(one.seconds for one in found.operations)


@pytest.mark.parametrize(
    ("method", "wrong"),
    [
        ("growth", {"by": "century"}),
        ("growth", {"since": BEGIN, "until": BEGIN}),
        ("conversations", {"by": "shoe size"}),
        ("topics", {"k": 0}),
        ("topics", {"seed": -1}),
        ("topics", {"kinds": "fact"}),
        ("usage", {"limit": 0}),
        ("usage", {"stale_days": float("nan")}),
        ("duplicates", {"bound": 0.2}),
        ("report", {"sections": ["weather"]}),
        ("report", {"user_id": None}),
    ],
)
async def test_what_cannot_be_asked(method: str, wrong: dict[str, Any]) -> None:
    memory = VectorMemory("memory://", embedder="hash")
    with pytest.raises(InvalidInputError) as refused:
        await getattr(memory.analytics, method)(**{"user_id": "ana", **wrong})
    assert "Give" in str(refused.value) or "Choose" in str(refused.value)
    await memory.close()
