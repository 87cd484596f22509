"""Who counts the tokens: a function, an LLM, a tokenizer's file, or the estimate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from bruno_core.interfaces.llm import LLMInterface
from bruno_core.models.message import Message
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from bruno_memory_vec import open_memory
from bruno_memory_vec.context import BuiltContext
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.prompts.token_bound import counter, most_tokens


class Words(LLMInterface):
    """A model that counts three tokens for each word."""

    async def generate(self, messages: list[Message], *_: Any, **__: Any) -> str:
        return ""

    async def stream(self, messages: list[Message], *_: Any, **__: Any) -> AsyncIterator[str]:
        yield ""

    def get_token_count(self, text: str) -> int:
        return 3 * len(text.split())

    async def check_connection(self) -> bool:
        return True

    async def list_models(self) -> list[str]:
        return []

    def get_model_info(self) -> dict[str, Any]:
        return {}

    def set_system_prompt(self, prompt: str) -> None:
        del prompt

    def get_system_prompt(self) -> str | None:
        return None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


async def asked(**options: Any) -> BuiltContext:
    async with open_memory("memory://", embedder="hash", **options.pop("settings", {})) as memory:
        return await memory.build_context("one two three", user_id="ana", **options)


async def test_each_counts(file: Path) -> None:
    assert (await asked()).report.tokens == most_tokens("one two three") + 4
    for given, tokens in ((lambda text: 7, 11), (Words(), 13), (str(file), 7), (file, 7)):
        assert (await asked(count_tokens=given)).report.tokens == tokens
        built = await asked(settings={"count_tokens": given})
        assert built.report.tokens == tokens
    assert (await asked(settings={"count_tokens": Words()}, count_tokens=file)).report.tokens == 7


def test_a_file_is_read_as_it_counts(file: Path) -> None:
    assert counter(file)("a, b") == 3


async def test_what_cannot_count_is_refused(tmp_path: Path) -> None:
    for given in (7, tmp_path / "missing.json", lambda _: "many", lambda _: 1 // 0):
        with pytest.raises(InvalidInputError, match="count_tokens"):
            await asked(count_tokens=given)
    with pytest.raises(InvalidInputError, match="count_tokens"):
        open_memory("memory://", count_tokens=7)
