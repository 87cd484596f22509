"""Store a few turns in a folder and ask about them: python examples/quickstart.py"""

import asyncio

from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import open_memory


async def main() -> None:
    async with open_memory("./memory") as memory:
        for role, text in [
            (MessageRole.USER, "We found a guesthouse in Alfama, Casa do Jasmim."),
            (MessageRole.ASSISTANT, "Lovely street, steep and quiet. Did you book it?"),
            (MessageRole.USER, "Yes, three nights from the 18th, with breakfast."),
        ]:
            await memory.store_message(Message(role=role, content=text), "lisbon", user_id="ana")
        for hit in await memory.recall("Where do we stay in Lisbon?", user_id="ana", k=2):
            print(hit)


asyncio.run(main())
