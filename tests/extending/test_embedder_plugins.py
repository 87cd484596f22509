"""Embedders that another package adds by an entry point."""

from __future__ import annotations

from pathlib import Path

import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory
from bruno_memory_vec.embedders import BrunoEmbedder, resolve_embedder
from bruno_memory_vec.errors import InvalidInputError
from tests.extending.conftest import Install

GROUP = "bruno_memory_vec.embedders"
CODE = '''
import numpy as np
from bruno_core.interfaces import EmbeddingInterface
from bruno_memory_vec.embedders import Fingerprint
from bruno_memory_vec.errors import InvalidInputError


class Letters:
    """How often each letter occurs."""

    def __init__(self, letters):
        self.letters = letters
        self.fingerprint = Fingerprint("letters", letters, len(letters), normalized=False)

    def embed(self, texts, *, kind="document"):
        counts = [[text.count(letter) for letter in self.letters] for text in texts]
        return np.array(counts, dtype=np.float32).reshape(len(texts), len(self.letters))


def letters(argument):
    if argument == "wrong":
        raise InvalidInputError("embedder", "wrong letters", fix="Give others.")
    return Letters(argument or "abcde")


class Provider(EmbeddingInterface):
    async def embed_text(self, text):
        return [float(len(text)), 1.0]

    async def embed_texts(self, texts):
        return [await self.embed_text(text) for text in texts]

    async def embed_message(self, message):
        return await self.embed_text(message.content)

    def get_dimension(self):
        return 2

    def get_model_name(self):
        return "lengths"

    def calculate_similarity(self, one, other):
        return 0.0

    async def check_connection(self):
        return True

    def supports_batch(self):
        return True

    def get_max_batch_size(self):
        return 10


def lengths(argument):
    return Provider()


def broken(argument):
    return {"no": "embedder"}
'''


@pytest.fixture
def installed(install: Install) -> None:
    names = ("letters = plugin:letters", "lengths = plugin:lengths", "broken = plugin:broken")
    install(CODE, {GROUP: "\n".join((*names, "missing = plugin:missing"))})


async def test_it_is_found_by_what_stands_before_the_colon(installed: None, tmp_path: Path) -> None:
    async with open_memory(tmp_path / "store", embedder="letters:xyz") as memory:
        await memory.store_message(Message(role="user", content="xxy"), "talk", user_id="ana")
        hits = await memory.recall("xx", user_id="ana", profile="semantic")
        assert [hit.content for hit in hits] == ["xxy"]
        assert (await memory.health())["embedder"] == "letters xyz, 3 dimensions, not normalized"
    assert resolve_embedder("Letters").fingerprint.dimension == 5
    assert isinstance(resolve_embedder("lengths"), BrunoEmbedder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("letters:wrong", "embedder: wrong letters"),
        ("broken", "'broken', 'plugin:broken' of the package 'plugin'.*it gave a dict"),
        ("missing", "'missing', 'plugin:missing' of the package 'plugin'.*AttributeError"),
        ("leters:x", 'Did you mean letters.*"lengths:...", "letters:...", '),
    ],
)
def test_what_is_wrong_with_it_is_said(installed: None, name: str, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as refusal:
        resolve_embedder(name)
    assert refusal.value.field == "embedder"
