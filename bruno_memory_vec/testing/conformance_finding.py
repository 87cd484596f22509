# ruff: noqa: DTZ001 - bruno-core's times are naive UTC
"""Finding without a question, or beside one: by a phrase, by a time, by a strategy's name.

::

    from bruno_memory_vec.testing import FindingConformance

    class TestMyMemory(FindingConformance):
        async def open_memory(self, **settings):
            return MyMemory(self.folder, **settings)
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from bruno_memory_vec.memory import ALL_USERS
from bruno_memory_vec.testing.memory_suite import MemorySuite, noted, said

JUNE = datetime(2024, 6, 1)

#: Texts with what a pattern, a query or SQL might take for something else.
ODD = {
    "wild": "a.*b [x] (y) \\d+ ^$ 100% under_score",
    "wide": "aXXb",
    "quotes": 'it\'s "so"; -- DROP',
    "emoji": "party \U0001f389\U0001f3fd tonight",
    "lines": "first line\nsecond\tline",
    "accents": "Caf\u00e9 Stra\u00dfe \uff21\uff22\uff23",
    "han": "\u6211\u5728\u5317\u4eac\u5de5\u4f5c",
    "code": "call getUserById(42) in src/app/main.py",
    "nul": "be\x00fore",
}
#: Phrases, and which of these texts hold each.
PHRASES: tuple[tuple[str, set[str]], ...] = (
    ("a.*b", {"wild"}),
    ("[x] (y)", {"wild"}),
    ("\\d+ ^$", {"wild"}),
    ("100%", {"wild"}),
    ("r_s", {"wild"}),
    ('it\'s "so"; --', {"quotes"}),
    ("\U0001f389\U0001f3fd", {"emoji"}),
    ("line\nsec", {"lines"}),
    ("line second", set()),
    ("second\tl", {"lines"}),
    ("cafe strasse abc", {"accents"}),
    ("CAF\u00c9", {"accents"}),
    ("\uff43\uff41\uff46e", {"accents"}),
    ("\u5317\u4eac", {"han"}),
    ("\u4eac\u5317", set()),
    ("userbyid(", {"code"}),
    ("app/main.py", {"code"}),
    ("be\x00f", {"nul"}),
    ("XX", {"wide"}),
    (" ", {"wild", "quotes", "emoji", "lines", "accents", "code"}),
)

#: Ways to write one thing, which find each other.
WRITTEN: tuple[tuple[str, ...], ...] = (
    ("getUserById", "get user by id", "get_user_by_id", "get-user-by-id", "GET_USER_BY_ID"),
    ("parseXMLFile", "parse xml file", "parse_xml_file"),
    ("PROJ1234", "PROJ-1234", "proj 1234"),
    ("USA", "U.S.A.", "U.S.A"),
    ("v1.2.3", "V1.2.3", "(v1.2.3)"),
    ("src/app/main.py", "src\\app\\main.py", "`src/app/main.py:42`"),
    ("ana.blum@example.org", "<ana.blum@example.org>"),
    ("kebab-case-name", "kebabCaseName", "kebab case name"),
)

#: Arguments of a recall that are refused, and the field that the error names.
REFUSED: tuple[tuple[dict[str, Any], str], ...] = (
    ({"strategy": "fuzzy"}, "strategy"),
    ({"strategy": 7}, "strategy"),
    ({"strategy": "hybrid", "profile": "fast"}, "strategy"),
    ({"strategy": "exact", "exact": "zebra"}, "exact"),
    ({"exact": ""}, "exact"),
    ({"exact": 7}, "exact"),
    ({"exact": "x" * 20_001}, "exact"),
    ({"match_case": True}, "match_case"),
    ({"exact": "x", "match_case": "no"}, "match_case"),
    ({"query": " "}, "query"),
    ({"query": " ", "strategy": "fulltext"}, "query"),
    ({"query": "", "strategy": "exact"}, "query"),
    ({"query": "", "exact": "x", "min_similarity": 0.5}, "query"),
    ({"query": "", "exact": "x", "min_confidence_of_answer": 0.5}, "query"),
)

#: Arguments of a timeline that are refused, and the field that the error names.
REFUSED_TIMELINES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"order": "nearest"}, "order"),
    ({"order": "newest", "around": JUNE}, "order"),
    ({"around": "June"}, "around"),
    ({"limit": 0}, "limit"),
    ({"after": "x"}, "after"),
    ({"after": '[1, "a", 2]'}, "after"),
    ({"after": '[1, "a", "b", "c", "d"]'}, "after"),
    ({"kinds": "thought"}, "kinds"),
)

#: Arguments of a timeline of :meth:`FindingConformance.days`, and what it shows.
TIMELINES: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "day 8, day 7, day 6, day 5, a note, day 4, day 3, day 2, day 1"),
    ({"order": "oldest", "limit": 3}, "day 1, day 2, day 3"),
    ({"since": JUNE + timedelta(days=5)}, "day 8, day 7, day 6"),
    ({"until": JUNE + timedelta(days=2), "order": "oldest"}, "day 1, day 2"),
    (
        {"around": JUNE + timedelta(days=3, hours=10), "limit": 4},
        "a note, day 4, day 5, day 3",
    ),
    ({"around": datetime(2030, 1, 1), "limit": 2}, "day 8, day 7"),
    ({"around": JUNE - timedelta(days=400), "limit": 2}, "day 1, day 2"),
    ({"kinds": "memory"}, "a note"),
    ({"conversation_id": "odd"}, "day 7, day 5, day 3, day 1"),
    ({"tags": "notes"}, "a note"),
    ({"roles": "assistant"}, ""),
)


class FindingConformance(MemorySuite):
    """Tests of exact phrases, of timelines and of strategies by name."""

    async def fill(self, memory: Any) -> dict[str, Message]:
        """Ana's odd texts, a day apart, the first one first; and one of Bo's like each."""
        stored = {
            name: said(text, timestamp=JUNE + timedelta(days=day))
            for day, (name, text) in enumerate(ODD.items())
        }
        await memory.store_messages(list(stored.values()), "odd", user_id="ana")
        bos = [said(text, timestamp=JUNE) for text in ODD.values()]
        await memory.store_messages(bos, "of bo", user_id="bo")
        return stored

    # Exact

    async def test_a_phrase_as_it_stands(self, memory: Any) -> None:
        stored = await self.fill(memory)
        names = {str(message.id): name for name, message in stored.items()}
        # The first time from an engine, then from rows in memory, where they are held there.
        for phrase, wanted in (*PHRASES, PHRASES[0]):
            hits = await memory.recall("", user_id="ana", exact=phrase)
            found = [names[hit.id] for hit in hits]
            assert found == [name for name in reversed(ODD) if name in wanted], phrase
            assert all((hit.score, dict(hit.signals)) == (0.0, {}) for hit in hits)
            ranked = await memory.recall("party in the cafe", user_id="ana", exact=phrase)
            assert {names[hit.id] for hit in ranked} == wanted, phrase
            everyone = await memory.recall("", user_id=ALL_USERS, exact=phrase, k=50)
            assert len(everyone) == 2 * len(wanted), phrase

    async def test_a_phrase_letter_for_letter(self, memory: Any) -> None:
        await self.fill(memory)

        async def found(phrase: str) -> int:
            return len(await memory.recall("", user_id="ana", exact=phrase, match_case=True))

        assert [await found(p) for p in ("Caf\u00e9", "caf\u00e9", "Cafe", "ABC")] == [1, 0, 0, 0]
        assert [await found(p) for p in ("getUserById", "getuserbyid")] == [1, 0]

    async def test_a_question_ranks_what_holds_a_phrase(self, memory: Any) -> None:
        texts = [
            "zebra: the weather was fine",
            "the zebra eats grass",
            "grass is green",
            "nothing about it",
            "ZEBRAS like to eat grass and hay",
        ]
        await memory.store_messages([said(text) for text in texts], "zoo", user_id="ana")
        await memory.store_message(said("Bo's zebra eats grass"), "of bo", user_id="bo")
        hits = await memory.recall("what does it eat?", user_id="ana", exact="zebra")
        assert {hit.content for hit in hits} == {texts[0], texts[1], texts[4]}
        assert hits[0].content in (texts[1], texts[4])
        assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
        assert await memory.recall("grass", user_id="ana", exact="zebra grass") == []
        one = await memory.recall("grass", user_id="ana", exact="zebra", k=1)
        assert [hit.id for hit in one] == [
            hit.id for hit in await memory.recall("grass", user_id="ana", exact="zebra")
        ][:1]

    async def test_of_many_that_hold_it_the_best(self, memory: Any) -> None:
        """More of them than the engines are asked for, and others that answer better."""
        told = [said(f"alpha entry number {i}") for i in range(150)]
        others = [said(f"beta entry about melons {i}") for i in range(150)]
        await memory.store_messages([*told, *others], "talk", user_id="ana")
        await memory.store_message(said("alpha: melons ripen late"), "talk", user_id="ana")
        hits = await memory.recall("melons", user_id="ana", exact="ALPHA", k=120)
        assert len(hits) == 120
        assert hits[0].content == "alpha: melons ripen late"
        assert all("alpha" in hit.content for hit in hits)

    async def test_a_phrase_within_a_filter(self, memory: Any) -> None:
        await memory.store_messages(
            [
                said("the zebra", timestamp=JUNE),
                said("a zebra?", MessageRole.ASSISTANT, timestamp=JUNE + timedelta(days=1)),
            ],
            "zoo",
            user_id="ana",
        )
        await memory.store_message(said("zebra crossing"), "street", user_id="ana")
        await memory.store_memories(
            [noted("a zebra fact", tags=["animals"]), noted("old zebra", expires_at=JUNE)]
        )

        async def found(**filters: Any) -> set[str]:
            for query in ("", "zebra"):
                hits = await memory.recall(query, user_id="ana", exact="zebra", **filters)
                if not query:
                    unranked = {hit.content for hit in hits}
            assert {hit.content for hit in hits} == unranked
            return unranked

        assert await found(kinds="memory") == {"a zebra fact"}
        assert await found(kinds="memory", include_expired=True) == {"a zebra fact", "old zebra"}
        assert await found(conversation_id="zoo") == {"the zebra", "a zebra?"}
        assert await found(roles="assistant") == {"a zebra?"}
        assert await found(tags="animals") == {"a zebra fact"}
        assert await found(until=JUNE + timedelta(days=1)) == {"the zebra"}
        assert await found(as_of=JUNE + timedelta(hours=1)) == {"the zebra"}

    async def test_what_is_archived_is_left_out_unless_asked(self, memory: Any) -> None:
        fact = noted("the zebra is old")
        await memory.store_memories([fact, noted("a young zebra")])
        await memory.forget(fact.id, archive=True)

        async def found(**more: Any) -> list[set[str]]:
            hits = (
                await memory.recall("", user_id="ana", exact="zebra", **more),
                await memory.recall("zebra", user_id="ana", exact="zebra", **more),
                await memory.recall("", user_id="ana", strategy="temporal", **more),
                await memory.timeline("ana", **more),
            )
            return [{hit.content for hit in some} for some in hits]

        assert await found() == 4 * [{"a young zebra"}]
        both = {"a young zebra", "the zebra is old"}
        assert await found(include_archived=True) == 4 * [both]
        assert await found(origins="user") == 4 * [set()]

    async def test_what_is_stored_and_deleted_is_seen_at_once(self, memory: Any) -> None:
        message = said("the first zebra")
        await memory.store_message(message, "zoo", user_id="ana")
        assert len(await memory.recall("", user_id="ana", exact="zebra")) == 1
        await memory.store_message(said("another zebra"), "zoo", user_id="ana")
        hits = await memory.recall("", user_id="ana", exact="zebra")
        assert [hit.content for hit in hits] == ["another zebra", "the first zebra"]
        await memory.delete_messages(message.id)
        hits = await memory.recall("first", user_id="ana", exact="zebra")
        assert [hit.content for hit in hits] == ["another zebra"]

    async def test_a_message_of_two_conversations_holds_it_once(self, memory: Any) -> None:
        message = said("a shared zebra")
        await memory.store_message(message, "one", user_id="ana")
        await memory.store_message(message, "two", user_id="ana")
        for query in ("", "zebra"):
            (hit,) = await memory.recall(query, user_id="ana", exact="zebra")
            assert hit.conversation_id == "two"

    async def test_a_view_finds_its_own(self, memory: Any) -> None:
        await self.fill(memory)
        view = memory.for_user("bo")
        hits = await view.recall("", exact="user")
        assert {hit.conversation_id for hit in hits} == {"of bo"}
        with pytest.raises(ForeignUserError):
            await view.recall("", user_id="ana", exact="user")

    # Strategies

    async def test_strategies_by_name(self, memory: Any) -> None:
        await memory.store_messages(
            [
                said("The zebra eats grass.", timestamp=JUNE),
                said("We went to Rome.", timestamp=JUNE + timedelta(days=40)),
            ],
            "talk",
            user_id="ana",
        )

        async def found(query: str, strategy: str | None, **more: Any) -> list[tuple[str, float]]:
            hits = await memory.recall(query, user_id="ana", strategy=strategy, **more)
            return [(hit.content, hit.score) for hit in hits]

        async def by_profile(query: str, **more: Any) -> list[tuple[str, float]]:
            hits = await memory.recall(query, user_id="ana", **more)
            return [(hit.content, hit.score) for hit in hits]

        now = {"now": JUNE + timedelta(days=90)}
        query = "What does the zebra eat?"
        hybrid, ranked = await found(query, "hybrid", **now), await by_profile(query, **now)
        assert [text for text, _ in hybrid] == [text for text, _ in ranked]
        # Uses are counted in between, which moves the scores a little.
        for (_, score), (_, other) in zip(hybrid, ranked, strict=True):
            assert score == pytest.approx(other, abs=0.05)
        assert await found(query, "fulltext", **now) == await by_profile(
            query, profile="lexical", **now
        )
        assert await found(query, "semantic", **now) == await by_profile(
            query, profile="semantic", **now
        )
        assert await found("ZEBRA EATS", "exact") == [("The zebra eats grass.", 0.0)]
        assert await found("eats zebra", "exact") == []
        in_july = await found("What did we do in July 2024?", "temporal", **now)
        assert [text for text, _ in in_july] == ["We went to Rome."]
        newest = await found("", "temporal", **now)
        assert newest == [("We went to Rome.", 0.0), ("The zebra eats grass.", 0.0)]
        assert await found("", "temporal", until=JUNE + timedelta(days=1)) == newest[1:]

    async def test_what_cannot_be_asked(self, memory: Any) -> None:
        for arguments, field in REFUSED:
            with pytest.raises(InvalidInputError) as refused:
                await memory.recall(**{"query": "zebra", "user_id": "ana", **arguments})
            assert refused.value.field == field, arguments

    async def test_an_unknown_strategy_names_the_known(self, memory: Any) -> None:
        names = "Did you mean fulltext.*hybrid, fulltext, semantic, exact, temporal"
        with pytest.raises(InvalidInputError, match=names):
            await memory.recall("zebra", user_id="ana", strategy="full_text")

    async def test_identifiers_find_each_other(self, memory: Any) -> None:
        rows = [f"we talked about {form} once" for forms in WRITTEN for form in forms]
        await memory.store_messages([said(text) for text in rows], "code", user_id="ana")
        await memory.store_messages(
            [said(f"the {word} was green") for word in ("user", "case", "id", "path", "file")],
            "noise",
            user_id="ana",
        )
        for forms in WRITTEN:
            wanted = {f"we talked about {form} once" for form in forms}
            for form in forms:
                for query in (form, f"where is {form} used?"):
                    hits = await memory.recall(
                        query, user_id="ana", strategy="fulltext", k=len(forms)
                    )
                    assert {hit.content for hit in hits} == wanted, query

    # Timelines

    async def days(self, memory: Any) -> None:
        """Ana's messages of June 1 to 8 in two conversations, and a memory of June 4, at noon."""
        for day in range(8):
            await memory.store_message(
                said(f"day {day + 1}", timestamp=JUNE + timedelta(days=day)),
                "even" if day % 2 else "odd",
                user_id="ana",
            )
        noon = JUNE + timedelta(days=3, hours=12)
        await memory.store_memory(noted("a note", created_at=noon, tags=["notes"]))
        await memory.store_message(said("of bo", timestamp=JUNE), "bo's", user_id="bo")

    async def test_a_timeline(self, memory: Any) -> None:
        await self.days(memory)
        for arguments, wanted in TIMELINES:
            page = await memory.timeline("ana", **arguments)
            assert ", ".join(hit.content for hit in page) == wanted, arguments
            assert all((hit.score, dict(hit.signals)) == (0.0, {}) for hit in page)
            everything = await memory.timeline("ana", **{**arguments, "limit": None})
            assert everything.next is None
            for size in (1, 4):
                found: list[str] = []
                after: str | None = None
                while True:
                    paged = {**arguments, "limit": size, "after": after}
                    page = await memory.timeline("ana", **paged)
                    found += [hit.content for hit in page]
                    after = page.next
                    if after is None:
                        break
                assert found == [hit.content for hit in everything], (arguments, size)

    async def test_rows_of_one_time_are_by_conversation_and_turn(self, memory: Any) -> None:
        for name in ("b", "a"):
            texts = [said(f"{name}{turn}", timestamp=JUNE) for turn in range(12)]
            await memory.store_messages(texts, name, user_id="ana")
        await memory.store_memory(noted("m", created_at=JUNE))
        oldest = [hit.content for hit in await memory.timeline("ana", order="oldest")]
        assert oldest == ["m", *(f"{name}{turn}" for name in "ab" for turn in range(12))]
        assert [hit.content for hit in await memory.timeline("ana")] == oldest[::-1]
        near = [hit.content for hit in await memory.timeline("ana", around=JUNE)]
        assert near == oldest[::-1]
        for order, wanted in (("oldest", oldest), (None, oldest[::-1])):
            found: list[str] = []
            after: str | None = None
            while True:
                page = await memory.timeline("ana", order=order, limit=4, after=after)
                found += [hit.content for hit in page]
                after = page.next
                if after is None:
                    break
                if len(found) == 8:
                    # A row that is stored again has another `seq` and the same place.
                    again = page[0].record
                    await memory.store_message(again, page[0].conversation_id, user_id="ana")
            assert found == wanted

    async def test_a_page_goes_on_where_its_last_row_is_gone(self, memory: Any) -> None:
        await self.days(memory)
        first = await memory.timeline("ana", limit=3)
        await memory.delete_messages(first[-1].id)
        second = await memory.timeline("ana", limit=3, after=first.next)
        assert [hit.content for hit in second] == ["day 5", "a note", "day 4"]

    async def test_timelines_of_whom(self, memory: Any) -> None:
        await self.days(memory)
        assert len(await memory.timeline(ALL_USERS)) == 10
        view = memory.for_user("bo")
        (hit,) = await view.timeline()
        assert (hit.content, hit.created_at) == ("of bo", JUNE.replace(tzinfo=timezone.utc))
        with pytest.raises(ForeignUserError):
            await view.timeline("ana")
        with pytest.raises(InvalidInputError):
            await memory.timeline()
        assert await view.timeline(conversation_id="odd") == []

    async def test_a_timeline_shows_what_is_expired_when_asked(self, memory: Any) -> None:
        await memory.store_memory(noted("gone", expires_at=JUNE))
        assert await memory.timeline("ana") == []
        assert len(await memory.timeline("ana", include_expired=True)) == 1

    async def test_no_timeline_of(self, memory: Any) -> None:
        for arguments, field in REFUSED_TIMELINES:
            with pytest.raises(InvalidInputError) as refused:
                await memory.timeline("ana", **arguments)
            assert refused.value.field == field, arguments
