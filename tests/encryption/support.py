"""What the tests of encrypted stores share: a store with telling words, and a search for them."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole

from bruno_memory_vec import VectorMemory, open_memory
from tests.durability.support import ROOT, environment

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))

#: Words, names and ids that occur in nothing but what the store is given.
USERS = ("anabelen-quixada", "bodhisattwa-zk")
CONVERSATIONS = ("trip-to-zanzibar", "kitchen-renovation")
WORDS = (
    "cardamom",
    "quarzazate",
    "saffron-tinted",
    "PlectrumGate42",
    "hummingbirds",
    "zimtsterne",
)
TAG, CATEGORY, SOURCE = "tag-ocelot", "category-lynx", "source-caracal"
PROJECT, TITLE, PREFERENCE = "project-wombat", "title-quokka", "prefers-numbat"
IDS = ("5e0fca4e-7c1d-4a51-9a39-1f0d0b1e2a01", "5e0fca4e-7c1d-4a51-9a39-1f0d0b1e2a02")
SECRETS = (
    *USERS,
    *CONVERSATIONS,
    *WORDS,
    TAG,
    CATEGORY,
    SOURCE,
    PROJECT,
    TITLE,
    PREFERENCE,
    *IDS,
)


def message(number: int) -> Message:
    words = f"{WORDS[number % len(WORDS)]} number {number} by {WORDS[(number + 1) % len(WORDS)]}"
    fields: dict[str, Any] = {"id": IDS[number]} if number < len(IDS) else {}
    return Message(
        role=MessageRole.USER, content=words, metadata={"project": PROJECT, "n": number}, **fields
    )


async def fill(memory: VectorMemory, count: int = 12) -> None:
    """Messages of two users, a memory with tags, a profile, sessions, a title, a preference."""
    for first, (user, conversation) in enumerate(zip(USERS, CONVERSATIONS, strict=True)):
        await memory.create_session(user, {"project": PROJECT})
        await memory.get_context(user, conversation)
        for number in range(first * count, (first + 1) * count):
            await memory.store_message(message(number), conversation, user_id=user)
        described = MemoryMetadata(tags=[TAG], category=CATEGORY, source=SOURCE)
        fact = MemoryEntry(
            content=f"likes {WORDS[0]}",
            user_id=user,
            memory_type=MemoryType.FACT,
            metadata=described,
        )
        await memory.store_memory(fact)
    await memory.conversations.rename(CONVERSATIONS[0], TITLE)
    await memory.users.set_preference("animal", PREFERENCE, user_id=USERS[0])


async def opened(folder: Path, **settings: Any) -> VectorMemory:
    return await open_memory(folder, embedder="hash", **settings)


def forms(word: str) -> dict[str, bytes]:
    """The bytes by which a word may stand in a file."""
    plain = word.encode()
    found = {
        "UTF-8": plain,
        "lower": plain.lower(),
        "UTF-16": word.encode("utf-16-le"),
        "UTF-16 BE": word.encode("utf-16-be"),
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
    }
    # Of base64 what does not depend on the bytes around: the word at each of three offsets.
    for offset in range(3):
        said = base64.b64encode(b"\0" * offset + plain)
        found[f"base64 at {offset}"] = said[-(-offset * 8 // 6) : (offset + len(plain)) * 8 // 6]
    return found


def found_in(folder: Path, words: tuple[str, ...] = SECRETS) -> list[str]:
    """Which words are in which file below a folder, or in its name, in any form."""
    told = []
    patterns = [(word, form, data) for word in words for form, data in forms(word).items()]
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            told += [f"{name} is called {word}" for word in words if word in name]
        for name in files:
            held = Path(place, name).read_bytes()
            told += [
                f"{Path(place, name).relative_to(folder)} holds {word} as {form}"
                for word, form, data in patterns
                if data in held
            ]
    return told


def run_child(script: str, *arguments: object) -> int:
    """Run a script in a process of its own; how it ended."""
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment(),
        cwd=ROOT,
        check=False,
        capture_output=True,
    ).returncode
