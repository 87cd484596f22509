"""Settings: from arguments, the environment, and bruno-core's own configuration."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.config import MemoryConfig as BrunoMemoryConfig

from bruno_memory_vec import MemoryConfig, VectorMemory
from bruno_memory_vec.errors import InvalidInputError

LITTLE: dict[str, Any] = {"backend": "lancedb", "connection_string": "memory://"}


def test_defaults() -> None:
    config = MemoryConfig.build()
    assert (config.url, config.embedder, config.profile) == ("./bruno-memory", "static", "balanced")
    assert (config.max_messages, config.read_only, config.short_term_ttl) == (20, False, None)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("url", "/tmp/elsewhere", "/tmp/elsewhere"),
        ("embedder", "hash", "hash"),
        ("read_only", "true", True),
        ("max_messages", "7", 7),
        ("short_term_ttl", "01:00:00", timedelta(hours=1)),
        ("short_term_ttl", "P1D", timedelta(days=1)),
        ("recall_in_context", "0", False),
        ("language", "german", "german"),
    ],
)
def test_the_environment(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: Any) -> None:
    monkeypatch.setenv(f"BRUNO_MEMORY_{name.upper()}", text)
    assert getattr(MemoryConfig.build(), name) == value


def test_arguments_come_before_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BRUNO_MEMORY_URL", "from-environment")
    monkeypatch.setenv("BRUNO_MEMORY_EMBEDDER", "hash")
    assert VectorMemory().config.url == str(tmp_path / "from-environment")
    assert VectorMemory("from-argument").config.url == str(tmp_path / "from-argument")
    assert VectorMemory("x").config.embedder == "hash"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"max_messages": 0}, "max_messages"),
        ({"max_messages": 1001}, "max_messages"),
        ({"url": ""}, "url"),
        ({"short_term_ttl": timedelta(0)}, "short_term_ttl"),
        ({"recall_tokens": 1}, "recall_tokens"),
        ({"recall_k": "many"}, "recall_k"),
        ({"recall_confidence": 1.5}, "recall_confidence"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_wrong_values_are_named(values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        MemoryConfig.build(**values)
    assert refusal.value.field == field
    with pytest.raises(InvalidInputError, match=field):
        VectorMemory(**{"url": "memory://", **values})


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"extract": "magic"}, "extract: has to be 'off', 'patterns' or 'llm'."),
        ({"extract_pause": "soon"}, "extract_pause: has to be a number."),
        ({"extract_timeout": 1e9}, "extract_timeout: has to be at most 86,400."),
        ({"context_tokens": "x"}, "context_tokens: has to be a whole number."),
        ({"event_content": "perhaps"}, "event_content: has to be true or false."),
        ({"keep_expired": "x"}, "keep_expired: has to be a duration"),
        ({"session_idle_after": -1}, "session_idle_after: has to be more than 0 seconds."),
        ({"count_tokens": 3}, "count_tokens: counts no tokens: give a function"),
        ({"compression": "x"}, "compression: has to be a CompressionPolicy, or an object"),
        ({"compression": {"method": "magic"}}, "policy.method: has to be 'auto', 'llm' or"),
        ({"url": ""}, "url: is empty."),
    ],
    ids=str,
)
def test_a_refusal_is_in_plain_words(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidInputError) as refusal:
        MemoryConfig.build(**values)
    assert told in str(refusal.value)
    for words in ("Input should", "Value error", "valid", "parse", "magic", ".."):
        assert words not in str(refusal.value)


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRUNO_MEMORY_MAX_MESSAGES", "twenty")
    with pytest.raises(InvalidInputError, match=r"max_messages.*BRUNO_MEMORY_"):
        VectorMemory()


def test_an_unknown_field_names_the_known_ones() -> None:
    with pytest.raises(InvalidInputError, match=r"The fields are url, embedder"):
        MemoryConfig.build(colour="red")


def test_a_config_or_settings_not_both() -> None:
    config = MemoryConfig.build(url="memory://", embedder="hash")
    assert VectorMemory(config=config).config is config
    with pytest.raises(InvalidInputError, match="url"):
        VectorMemory("elsewhere", config=config)


def test_a_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        MemoryConfig.build().url = "x"  # type: ignore[misc]


def test_a_path_is_a_url(tmp_path: Path) -> None:
    assert VectorMemory(tmp_path, embedder="hash").config.url == str(tmp_path)  # type: ignore[arg-type]


async def test_from_bruno_cores_configuration(tmp_path: Path) -> None:
    theirs = BrunoMemoryConfig(
        backend="lancedb",
        connection_string=str(tmp_path / "store"),
        max_messages=7,
        embedding_model="hash",
        additional_params={"recall_k": 3, "short_term_ttl": 60},
    )
    memory = VectorMemory.from_config(theirs)
    config = memory.config
    assert (config.max_messages, config.embedder, config.recall_k) == (7, "hash", 3)
    assert config.short_term_ttl == timedelta(minutes=1)
    async with memory:
        assert (await memory.get_context("ana")).max_messages == 7
    with pytest.raises(InvalidInputError, match="colour"):
        VectorMemory.from_config(BrunoMemoryConfig(**LITTLE, additional_params={"colour": 1}))


def test_little_given_is_enough() -> None:
    assert MemoryConfig.from_bruno(BrunoMemoryConfig(**LITTLE)).embedder
