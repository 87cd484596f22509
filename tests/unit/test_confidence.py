"""``Hits.confidence``: a recall says how likely an answer is among its first hits."""

from __future__ import annotations

import copy
import pickle
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import ALL_USERS, Hits, VectorMemory, open_memory
from bruno_memory_vec.errors import EngineError, InvalidInputError
from bruno_memory_vec.recall.held_words import HeldWords

SAID = (
    "We stayed at Hotel Aurora in Lisbon, it was lovely.",
    "The dentist moved my appointment to Thursday.",
    "My sister Leonie plays the cello in an orchestra.",
    "I am allergic to peanuts.",
    "The boiler was repaired by Mr Novak, he asked for 240 euros.",
    "Our cat Miso sleeps on the radiator all day.",
)
KNOWN = (
    "Which hotel did we stay at in Lisbon?",
    "What does Leonie play?",
    "Who repaired the boiler?",
)
UNKNOWN = ("Which university did Rashid teach at?", "How much is the rent of the garage in Graz?")


@pytest.fixture(params=["memory://", "folder"])
async def memory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorMemory]:
    url = request.param if request.param == "memory://" else str(tmp_path / "store")
    async with open_memory(url) as opened:
        await say(opened, *SAID)
        yield opened


async def say(memory: VectorMemory, *texts: str, user: str = "ana") -> None:
    for text in texts:
        await memory.store_message(Message(role="user", content=text), user, user_id=user)


async def test_it_is_higher_where_an_answer_is(memory: VectorMemory) -> None:
    for asking in (memory, memory.for_user("ana")):
        known = [(await asking.recall(text, user_id="ana")).confidence for text in KNOWN]
        unknown = [(await asking.recall(text, user_id="ana")).confidence for text in UNKNOWN]
        assert 0.5 < min(known) <= max(known) < 1
        assert 0 < min(unknown) <= max(unknown) < 0.2


async def test_in_a_small_memory_an_unknown_word_does_not_outweigh_all(
    memory: VectorMemory,
) -> None:
    await say(memory, "We stayed at Hotel Aurora in Lisbon.", "It cost 120 euros.", user="cy")
    hits = await memory.recall("how much was the hotel in Lisbon?", user_id="cy")
    assert hits.evidence is not None
    assert hits.evidence.known == pytest.approx(2 / 3)
    assert hits.confidence > 0.5


async def test_of_nothing_it_is_nothing(memory: VectorMemory) -> None:
    nothing = await memory.recall(KNOWN[0], user_id="ben")
    assert (len(nothing), nothing.confidence, nothing.evidence) == (0, 0.0, None)
    assert str(nothing) == "no hits"


async def test_too_little_confidence_gives_nothing(memory: VectorMemory) -> None:
    sure = await memory.recall(KNOWN[0], user_id="ana", min_confidence_of_answer=0.5)
    assert sure[0].content == SAID[0]
    for asking in (memory, memory.for_user("ana")):
        unsure = await asking.recall(UNKNOWN[0], user_id="ana", min_confidence_of_answer=0.5)
        assert list(unsure) == []
        assert 0 < unsure.confidence < 0.2, "how sure it was"
    assert len(await memory.recall(UNKNOWN[0], user_id="ana")) == len(SAID)
    for value in (-0.1, 1.1, float("nan"), "much"):
        with pytest.raises(InvalidInputError, match="min_confidence_of_answer"):
            await memory.recall("tea", user_id="ana", min_confidence_of_answer=value)  # type: ignore[arg-type]


async def test_what_was_kept_back_was_not_recalled(memory: VectorMemory) -> None:
    store = await memory._lazy.get()
    assert store.writer is not None
    await memory.recall(UNKNOWN[0], user_id="ana", min_confidence_of_answer=0.9)
    assert not store.writer.pending_uses
    await memory.recall(KNOWN[0], user_id="ana", min_confidence_of_answer=0.3)
    assert store.writer.pending_uses


async def test_repeating_a_question_does_not_answer_it(memory: VectorMemory) -> None:
    before = (await memory.recall(UNKNOWN[0], user_id="ana")).confidence
    await say(memory, *[UNKNOWN[0]] * 3)
    after = (await memory.recall(UNKNOWN[0], user_id="ana")).confidence
    assert after < 0.5
    assert before < 0.2
    await say(memory, "Rashid did teach at the university of Bergen.")
    assert (await memory.recall(UNKNOWN[0], user_id="ana")).confidence > 0.8


async def test_other_users_rows_do_not_answer(memory: VectorMemory) -> None:
    await say(memory, "Rashid did teach at the university of Bergen.", user="ben")
    assert (await memory.recall(UNKNOWN[0], user_id="ana")).confidence < 0.2
    assert (await memory.recall(UNKNOWN[0], user_id=ALL_USERS)).confidence > 0.6


async def test_every_profile_has_one(memory: VectorMemory) -> None:
    for profile in ("balanced", "lexical", "semantic"):
        known = (await memory.recall(KNOWN[0], user_id="ana", profile=profile)).confidence
        unknown = (await memory.recall(UNKNOWN[1], user_id="ana", profile=profile)).confidence
        assert 0 <= unknown < known < 1, profile


async def test_no_word_at_all(memory: VectorMemory) -> None:
    hits = await memory.recall("?!", user_id="ana")
    assert 0 <= hits.confidence < 0.5
    assert hits.evidence is None or not hits.evidence.by_words


async def test_it_goes_with_parts_copies_and_pickles(memory: VectorMemory) -> None:
    hits = await memory.recall(KNOWN[1], user_id="ana")
    for same in (hits[:2], hits[1:], copy.copy(hits), pickle.loads(pickle.dumps(hits))):
        assert isinstance(same, Hits)
        assert same.confidence == hits.confidence > 0
        assert same.evidence == hits.evidence
    assert Hits(list(hits)).confidence == 0.0


async def test_it_is_shown(memory: VectorMemory) -> None:
    hits = await memory.recall(KNOWN[1], user_id="ana")
    shown = f"confidence {hits.confidence:.2f}"
    assert str(hits).splitlines()[-1] == shown
    assert shown in hits._repr_html_()
    kept_back = await memory.recall(UNKNOWN[0], user_id="ana", min_confidence_of_answer=0.9)
    assert str(kept_back) == f"no hits\nconfidence {kept_back.confidence:.2f}"


async def test_memory_and_folder_are_equally_sure(tmp_path: Path) -> None:
    found = []
    for url in ("memory://", str(tmp_path / "store")):
        async with open_memory(url) as opened:
            await say(opened, *SAID)
            await say(opened, "Leonie is a nurse.", user="ben")
            asked = [(text, user) for text in (*KNOWN, *UNKNOWN) for user in ("ana", ALL_USERS)]
            # Asked twice: of an engine, and of rows in memory.
            for _ in range(2):
                found.append(
                    [(await opened.recall(text, user_id=user)).confidence for text, user in asked]
                )
    for other in found[1:]:
        assert other == pytest.approx(found[0], abs=1e-4)


async def test_an_assistant_gets_nothing_where_nothing_answers() -> None:
    for least, wanted in ((0.0, 1), (0.5, 0)):
        async with open_memory("memory://", recall_confidence=least) as memory:
            await say(memory, *SAID)
            assert await notes(memory, UNKNOWN[0], "unknown") == wanted
            assert await notes(memory, KNOWN[0], "known") == 1
            # The question itself, which is stored by then, is no answer.
            assert await notes(memory, UNKNOWN[0], "again") == wanted


async def notes(memory: VectorMemory, question: str, talk: str) -> int:
    """How many messages of recalled notes the context has when its model is asked."""
    context = await memory.get_context("ana", talk)
    message = Message(role="user", content=question)
    context.add_message(message)
    await memory.store_message(message, talk, user_id="ana")
    return sum(one.role.value == "system" for one in context.messages)


async def test_without_the_lexical_index_the_likeness_decides(
    memory: VectorMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = (await memory._lazy.get()).lexical
    await memory.recall(KNOWN[0], user_id="ana")

    def fail(*arguments: object, **more: object) -> None:
        raise EngineError("tantivy", "search", "the disk is gone", fix="Look at the disk.")

    # Of rows whose words are in memory the index is asked nothing.
    monkeypatch.setattr(HeldWords, "ready", lambda *_: False)
    monkeypatch.setattr(index, "search", fail)
    monkeypatch.setattr(index, "asked_terms", fail)
    hits = await memory.recall(KNOWN[0], user_id="ana")
    assert hits.evidence is not None
    assert not hits.evidence.by_words
    assert hits.evidence.likeness > 0.3
    assert (await memory.health())["status"] == "degraded"
