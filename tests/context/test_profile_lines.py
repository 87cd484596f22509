"""What is known of the user, where not all of it fits: the name, and what fits the question."""

from __future__ import annotations

import pytest
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import ALL_USERS, VectorMemory, open_memory
from bruno_memory_vec.errors import InvalidInputError

KNOWN = {
    "tea": "green",
    "hobby": "chess with old friends",
    "job": "a nurse at the hospital",
    "home": "Lisbon",
    "sister's name": "Marta",
}


async def lines(memory: VectorMemory, question: str, budget: int) -> tuple[list[str], list[str]]:
    built = await memory.build_context(question, user_id="ana", budget=budget)
    shown = [item.speaker for item in built.report.items if item.source == "profile"]
    left_out = [one.text for one in built.report.left_out if one.source == "profile"]
    return shown, left_out


# Which of them shares a word with the question, or is near to it in meaning.
@pytest.mark.parametrize(
    ("embedder", "allergy"), [("static", "nuts and shellfish"), ("hash", "nuts, cannot eat them")]
)
async def test_the_lines_that_fit_the_question(embedder: str, allergy: str) -> None:
    async with open_memory("memory://", embedder=embedder) as memory:
        await memory.users.set_name("Ana", user_id="ana")
        for key, value in {**KNOWN, "allergy": allergy}.items():
            await memory.users.set_profile(key, value, user_id="ana")
        shown, left_out = await lines(memory, "what may I not eat?", 400)
        assert shown[:2] == ["name", "profile, allergy"]
        assert len(shown) + len(left_out) == 7
        # Each that was dropped is named.
        assert len(left_out) == len(set(left_out)) > 2
        shown, left_out = await lines(memory, "what may I not eat?", 2_000)
        assert shown == ["name", *(f"profile, {key}" for key in (*KNOWN, "allergy"))]
        assert not left_out


async def test_a_context_is_one_users() -> None:
    async with open_memory("memory://") as memory:
        for user_id in (None, ALL_USERS):
            with pytest.raises(InvalidInputError, match="user_id") as refused:
                await memory.build_context("boiler", user_id=user_id)  # type: ignore[arg-type]
            assert "spell out" not in str(refused.value)


async def test_how_the_user_writes_leaves_the_room_to_what_answers() -> None:
    async with open_memory("memory://") as memory:
        turns = [
            Message(role=MessageRole.USER, content=f"The boiler was repaired on day {n}.")
            for n in range(20)
        ]
        await memory.store_messages(turns, "talk", user_id="ana")
        await memory.users.refresh("ana")
        assert (await memory.users.profile("ana")).style is not None
        shown, (left_out,) = await lines(memory, "the boiler?", 500)
        assert not shown
        assert left_out.startswith("writes")
        assert (await lines(memory, "the boiler?", 2_000))[0] == ["writes"]
