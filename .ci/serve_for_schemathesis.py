"""Serve a small store for schemathesis, with the ids that the API's own examples name.

Usage: serve_for_schemathesis.py FOLDER PORT; an administrator's token is written to FOLDER/token.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from uuid import UUID

from bruno_core.models.memory import MemoryEntry, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec.memory import VectorMemory, open_memory
from bruno_memory_vec.surfaces.http import make_app
from bruno_memory_vec.surfaces.http.running import Server, listening
from bruno_memory_vec.surfaces.http.tokens import Tokens

EXAMPLE = UUID("8f3f0b8c-3f5e-4a53-8a50-1d1f4f1c3f0a")


async def main(folder: Path, port: int) -> None:
    """Fill the store and serve it until a signal comes."""
    tokens = Tokens(folder / "tokens.json")
    text, _ = tokens.create("ana", role="admin")
    url = str(folder / "store")
    async with open_memory(url) as memory:
        said = ("We stayed at the Casa do Mar in Lisbon.", "It was by the sea.", "I like tea.")
        for number, content in enumerate(said):
            role = MessageRole.ASSISTANT if number == 1 else MessageRole.USER
            message = Message(role=role, content=content)
            if number == 0:
                message.id = EXAMPLE
            await memory.store_message(message, "trip-planning", user_id="ana")
        entry = MemoryEntry(
            id=EXAMPLE, content="Ana likes the sea.", memory_type=MemoryType.FACT, user_id="ana"
        )
        await memory.store_memory(entry)

    def listens() -> None:
        (folder / "token").write_text(text, encoding="utf-8")

    with listening("127.0.0.1", port) as sock:
        app = make_app(VectorMemory(url, audit=True), tokens=tokens)
        server = Server(app, listens)
        await server.serve([sock])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
