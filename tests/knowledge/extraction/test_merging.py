"""What becomes of found facts: stored once, strengthened, superseded, and kept as history."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

from bruno_memory_vec.knowledge.extraction.candidate import Candidate, SourceTurn
from bruno_memory_vec.knowledge.extraction.merging import (
    MOST_SOURCES,
    Held,
    Plan,
    bounded,
    plan_of,
    strengthened,
)
from tests.knowledge.extraction.support import said


def fact(attribute: str, value: str, *turns: int, **more: object) -> Candidate:
    sources: tuple[SourceTurn, ...] = tuple(said(value, turn=turn) for turn in turns)
    candidate = Candidate(attribute, value, 0.8, sources, "patterns")
    return replace(candidate, **more)  # type: ignore[arg-type]


def carried_out(plan: Plan, held: list[Held]) -> list[Held]:
    """The facts as a store has them after a plan."""
    facts = {one.id: one for one in held}
    for new in plan.new.values():
        found = new.candidate
        facts[new.id] = Held(
            new.id,
            found.subject,
            found.attribute,
            found.value,
            tuple(source.id for source in found.sources),
            found.confidence,
            len(found.sources),
            found.at,
            current=new.superseded_by is None,
            supersedes=new.supersedes,
        )
    for again in plan.repeated.values():
        before = facts[again.id]
        facts[again.id] = replace(
            before,
            sources=(*before.sources, *again.sources),
            confidence=again.confidence,
            times_seen=before.times_seen + len(again.sources),
            said=again.said,
        )
    for gone in (*plan.superseded, *plan.ended):
        facts[gone] = replace(facts[gone], current=False)
    return list(facts.values())


def after(*found: Candidate, held: list[Held] | None = None) -> list[Held]:
    facts = held or []
    for one in found:
        facts = carried_out(plan_of("ana", facts, [one]), facts)
    return facts


def current(facts: list[Held]) -> list[tuple[str, str]]:
    return sorted((one.attribute, one.value) for one in facts if one.current)


def test_a_repetition_strengthens_and_makes_no_second_fact() -> None:
    (once,) = after(fact("home", "Porto", 1))
    (twice,) = after(fact("home", "Porto", 1), fact("home", "porto!", 2))
    assert twice.times_seen == 2
    assert twice.confidence > once.confidence
    assert twice.value == "Porto"
    assert len(twice.sources) == 2


def test_the_same_turns_again_change_nothing() -> None:
    found = [fact("home", "Lisbon", 1), fact("home", "Porto", 2), fact("likes", "tea", 3)]
    facts = after(*found)
    assert plan_of("ana", facts, found) == Plan()


def test_another_value_supersedes_where_an_attribute_holds_one() -> None:
    facts = after(fact("home", "Lisbon", 1), fact("home", "Porto", 2))
    assert current(facts) == [("home", "Porto")]
    lisbon, porto = facts
    assert porto.supersedes == lisbon.id


def test_several_values_stand_beside_each_other_where_it_holds_several() -> None:
    facts = after(fact("likes", "tea", 1), fact("likes", "coffee", 2), fact("allergy", "nuts", 3))
    assert len(current(facts)) == 3


def test_opposites_supersede_each_other() -> None:
    facts = after(fact("likes", "coriander", 1), fact("dislikes", "Coriander", 2))
    assert current(facts) == [("dislikes", "Coriander")]
    facts = after(fact("prefers", "tea to coffee", 1), fact("prefers", "coffee over tea", 2))
    assert current(facts) == [("prefers", "coffee over tea")]


def test_a_preference_over_another_supersedes_that_one() -> None:
    for first, second in [("tea", "coffee over tea"), ("tea to coffee", "coffee")]:
        facts = after(fact("prefers", first, 1), fact("prefers", second, 2))
        assert current(facts) == [("prefers", second)], first
    for second in ("tea over coffee", "juice over milk", "to walk"):
        assert len(current(after(fact("prefers", "tea", 1), fact("prefers", second, 2)))) == 2


def test_a_name_is_superseded_only_by_a_statement_as_sure_in_any_order() -> None:
    found = [
        fact("name", "Ana", 1, confidence=0.95),
        fact("name", "Ana", 2, confidence=0.95),
        fact("name", "Late", 3, confidence=0.8),
    ]
    for order in permutations(found):
        assert current(after(*order)) == [("name", "Ana")]
    married = fact("name", "Ana Lopes", 4, confidence=0.95)
    assert current(after(*found, married)) == [("name", "Ana Lopes")]


def test_what_was_said_before_becomes_history_whenever_it_is_found() -> None:
    facts = after(fact("home", "Porto", 2), fact("home", "Lisbon", 1))
    assert current(facts) == [("home", "Porto")]
    plan = plan_of("ana", after(fact("home", "Porto", 2)), [fact("home", "Lisbon", 1)])
    (new,) = plan.new.values()
    assert new.superseded_by is not None


def test_back_again_is_a_fact_of_its_own() -> None:
    facts = after(fact("home", "Lisbon", 1), fact("home", "Porto", 2), fact("home", "Lisbon", 3))
    assert current(facts) == [("home", "Lisbon")]
    assert len(facts) == 3


def test_the_order_within_one_call_does_not_matter() -> None:
    found = [fact("home", "Lisbon", 1), fact("home", "Porto", 2), fact("home", "Porto", 4)]
    for order in (found, found[::-1]):
        facts = carried_out(plan_of("ana", [], order), [])
        assert current(facts) == [("home", "Porto")]
        (porto,) = [one for one in facts if one.current]
        assert porto.times_seen == 2


def test_any_order_of_finding_ends_in_the_same_facts() -> None:
    found = [
        fact("home", "Lisbon", 1),
        fact("home", "Lisbon", 2),
        fact("home", "Porto", 3),
        fact("home", "Porto", 4),
    ]
    for order in permutations(found):
        facts = after(*order)
        state = sorted((one.value, one.current, one.times_seen) for one in facts)
        assert state == [("Lisbon", False, 2), ("Porto", True, 2)], order


def test_an_end_archives_without_another_value() -> None:
    facts = after(fact("home", "Lisbon", 1), fact("home", "Lisbon", 2, holds=False))
    assert current(facts) == []
    assert len(facts) == 1
    # What was said after the end holds.
    assert current(after(fact("home", "Lisbon", 3, holds=True), held=facts)) == [("home", "Lisbon")]


def test_what_is_uncertain_supersedes_nothing() -> None:
    facts = after(fact("home", "Lisbon", 1), fact("home", "Porto", 2, confidence=0.4))
    assert ("home", "Lisbon") in current(facts)


def test_other_subjects_are_others() -> None:
    facts = after(fact("home", "Lisbon", 1), fact("home", "Porto", 2, subject="Ben"))
    assert len(current(facts)) == 2


def test_what_a_killed_process_has_left_is_ended() -> None:
    lisbon, porto = after(fact("home", "Lisbon", 1), fact("home", "Porto", 2))
    left = [replace(lisbon, current=True), porto]
    plan = plan_of("ana", left, [])
    assert plan.superseded == {lisbon.id: porto.id}
    assert current(carried_out(plan, left)) == [("home", "Porto")]


def test_users_have_ids_of_their_own() -> None:
    ids = {next(iter(plan_of(user, [], [fact("home", "Porto", 1)]).new)) for user in ("ana", "ben")}
    assert len(ids) == 2


def test_confidence_grows_and_stays_below_one() -> None:
    confidence = 0.5
    for _ in range(50):
        more = strengthened(confidence, 0.9)
        assert confidence <= more < 1.0
        confidence = more


def test_sources_are_bounded_and_the_first_one_stays() -> None:
    kept = bounded([str(number) for number in range(5 * MOST_SOURCES)])
    assert len(kept) == MOST_SOURCES
    assert kept[0] == "0"
    assert kept[-1] == str(5 * MOST_SOURCES - 1)
