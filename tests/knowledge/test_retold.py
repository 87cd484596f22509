"""A memory with another text does not go on to be what its old text said."""

from __future__ import annotations

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import open_memory


async def test_a_fact_with_another_text_is_no_fact() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        ana = memory.for_user("ana")
        await ana.store_message(Message(role=MessageRole.USER, content="I live in Lisbon"), "talk")
        await ana.facts.extract("talk")
        (fact,) = await ana.facts.list()
        await ana.semantic.update(fact.id, importance=0.9, content=fact.text)
        assert [one.value for one in await ana.facts.list()] == ["Lisbon"]
        changed = await ana.semantic.update(fact.id, content="The user lives in Porto.")
        assert await ana.facts.list() == []
        assert "home" not in (await ana.users.refresh()).profile
        assert (await ana.semantic.list())[0].content == changed.content
        told = {"attribute": "home", "value": "Faro"}
        await ana.semantic.update(fact.id, content="The user lives in Faro.", metadata=told)
        assert [one.value for one in await ana.facts.list()] == ["Faro"]
        assert (await ana.users.refresh()).profile["home"].value == "Faro"


async def test_a_statement_with_another_text_is_another_statement() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        ana = memory.for_user("ana")
        first = await ana.semantic.add("I love figs")
        await ana.semantic.update(first.id, content="I love tea")
        await ana.semantic.add("I love figs")
        again = await ana.semantic.add("I love tea")
        assert again.id == first.id
        assert sorted(one.content for one in await ana.semantic.list()) == [
            "I love figs",
            "I love tea",
        ]
