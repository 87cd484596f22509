"""Where settings come from: arguments, the environment, one TOML file, defaults, in this order."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import MemoryConfig, VectorMemory, config_sources
from bruno_memory_vec.errors import InvalidInputError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, without a file, and an environment without settings."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("BRUNO_MEMORY_"):
            monkeypatch.delenv(name)
    return tmp_path


def write(folder: Path, text: str, name: str = "bruno-memory.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_the_first_that_names_a_setting_counts(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, 'url = "of-file"\nembedder = "hash"\nmax_messages = 7\nshort_term_ttl = "P1D"\n')
    monkeypatch.setenv("BRUNO_MEMORY_URL", "of-environment")
    monkeypatch.setenv("BRUNO_MEMORY_EMBEDDER", "static")
    config = MemoryConfig.build(url="of-argument")
    assert (config.url, config.embedder, config.max_messages) == ("of-argument", "static", 7)
    assert config.short_term_ttl is not None
    assert config.short_term_ttl.days == 1
    assert config.recall_k == 6
    origins = MemoryConfig.origins(url="of-argument")
    assert origins["url"] == "argument"
    assert origins["embedder"] == "environment (BRUNO_MEMORY_EMBEDDER)"
    assert origins["max_messages"] == f"file ({here / 'bruno-memory.toml'})"
    assert origins["recall_k"] == "default"
    assert list(origins) == list(MemoryConfig.model_fields)
    assert VectorMemory(read_only=True).config.url == str(here / "of-environment")


def test_another_file_is_named(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, "max_messages = 7")
    other = write(here, "recall_k = 3", "other.toml")
    monkeypatch.setenv("BRUNO_MEMORY_CONFIG", str(other))
    config = MemoryConfig.build()
    assert (config.max_messages, config.recall_k) == (20, 3)
    monkeypatch.setenv("BRUNO_MEMORY_CONFIG", "")
    config = MemoryConfig.build()
    assert (config.max_messages, config.recall_k) == (20, 6)
    monkeypatch.setenv("BRUNO_MEMORY_CONFIG", "missing.toml")
    with pytest.raises(InvalidInputError, match=r"there is no file 'missing.toml'") as refusal:
        MemoryConfig.build()
    assert refusal.value.field == "BRUNO_MEMORY_CONFIG"


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(here, "recall_k = 3")
    assert MemoryConfig.build().recall_k == 3
    read = config_sources._parsed.cache_info().misses
    for _ in range(5):
        MemoryConfig.build()
    assert config_sources._parsed.cache_info().misses == read
    path.write_text("recall_k = 40")
    assert MemoryConfig.build().recall_k == 40


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("recal_k = 3", "recal_k", ("no such setting", "Did you mean recall_k?")),
        ("[recall]\nk = 3", "recall", ("no such setting", "The fields are url")),
        ("recall_k = 'many'", "recall_k", ("Mend the file (", "whole number")),
        ("urls = 3", "urls", ("Mend the file (", "has to be a list")),
        ("\nrecall_k = = 3", "config", ("line 2", "Mend the file")),
        ("recall_k = 3\nrecall_k = 4", "config", ("Cannot overwrite a value",)),
        ("# " + "a" * 70_000, "config", ("more than 65,536 bytes",)),
        ("a = " + "[" * 20_000, "config", ("bruno-memory.toml",)),
    ],
)
def test_nonsense_in_the_file_is_named(
    here: Path, text: str, field: str, told: tuple[str, ...]
) -> None:
    path = write(here, text)
    with pytest.raises(InvalidInputError) as refusal:
        VectorMemory()
    assert refusal.value.field == field
    for part in (*told, str(path)):
        assert part in str(refusal.value)


@pytest.mark.parametrize("kind", ["folder", "latin", "pipe"])
def test_what_is_no_text_file_is_refused(here: Path, kind: str) -> None:
    path = here / "bruno-memory.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "latin":
        path.write_bytes("url = 'é'".encode("latin-1"))
    elif hasattr(os, "mkfifo"):
        os.mkfifo(path)
    else:
        pytest.skip("no named pipes here")
    with pytest.raises(InvalidInputError, match=r"bruno-memory.toml cannot be read") as refusal:
        MemoryConfig.build()
    assert refusal.value.field == "config"


def test_a_wrong_value_is_mended_where_it_stands(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here, "recall_k = 'many'")
    monkeypatch.setenv("BRUNO_MEMORY_MAX_MESSAGES", "many")
    with pytest.raises(InvalidInputError, match=r"environment \(BRUNO_MEMORY_MAX_MESSAGES\)"):
        MemoryConfig.build(recall_k=3)
    with pytest.raises(InvalidInputError, match=r"recall_k: .*Mend the argument"):
        MemoryConfig.build(recall_k=0, max_messages=3)


@pytest.mark.parametrize(
    "variable", ["BRUNO_MEMORY_URI", "BRUNO_MEMORY_MAX_MESSAGE", "bruno_memory_urll"]
)
def test_a_misspelt_variable_is_refused(
    here: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    right = "MAX_MESSAGES" if "MESSAGE" in variable else "URL"
    with pytest.raises(InvalidInputError, match=rf"Did you mean BRUNO_MEMORY_{right}\?") as refusal:
        VectorMemory("memory://")
    assert refusal.value.field == variable


def test_another_program_s_variable_is_told_once(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BRUNO_MEMORY_XYZZY", "1")
    monkeypatch.setattr(config_sources, "_warned", set())
    with caplog.at_level(logging.WARNING):
        MemoryConfig.build()
        MemoryConfig.build()
    assert [record.getMessage().count("BRUNO_MEMORY_XYZZY") for record in caplog.records] == [1]


def test_bruno_core_s_variables_are_its_own(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``bruno_core.utils.config`` reads them for its own MemoryConfig."""
    monkeypatch.setenv("BRUNO_MEMORY_BACKEND", "lancedb")
    monkeypatch.setenv("BRUNO_MEMORY_CONNECTION_STRING", "elsewhere")
    with caplog.at_level(logging.WARNING):
        assert MemoryConfig.build().url == "./bruno-memory"
    assert not caplog.records


def test_several_urls(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = MemoryConfig.build(urls=["one", "memory://"])
    assert (config.url, config.urls) == ("one", ("one", "memory://"))
    assert MemoryConfig.build(**config.model_dump()) == config
    monkeypatch.setenv("BRUNO_MEMORY_URLS", "one two")
    assert MemoryConfig.build().urls == ("one", "two")
    monkeypatch.setenv("BRUNO_MEMORY_URLS", '["a b", "two"]')
    assert MemoryConfig.build().urls == ("a b", "two")
    assert VectorMemory(embedder="hash").config.urls == (str(here / "a b"), str(here / "two"))
    with pytest.raises(InvalidInputError, match="none of them"):
        VectorMemory("three", urls=["one", "two"])
    monkeypatch.setenv("BRUNO_MEMORY_URLS", '["a b"')
    with pytest.raises(InvalidInputError, match="no JSON list") as refusal:
        MemoryConfig.build()
    assert refusal.value.field == "urls"
    for wrong in ([""], [3], {"a": 1}):
        with pytest.raises(InvalidInputError) as refusal:
            MemoryConfig.build(urls=wrong)
        assert refusal.value.field == "urls"


def test_url_and_urls_overrule_each_other(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, 'urls = ["one", "two"]')
    assert MemoryConfig.build().url == "one"
    assert MemoryConfig.build(url="three").urls == ()
    monkeypatch.setenv("BRUNO_MEMORY_URL", "four")
    assert (MemoryConfig.build().url, MemoryConfig.build().urls) == ("four", ())
    assert MemoryConfig.origins()["urls"] == "default"
    assert MemoryConfig.build(urls=["five"]).url == "five"
    write(here, 'urls = ["one", "two"]\nurl = "three"')
    monkeypatch.delenv("BRUNO_MEMORY_URL")
    with pytest.raises(InvalidInputError, match="beside urls"):
        MemoryConfig.build()


def test_a_printed_config_and_its_errors_hide_secrets(here: Path) -> None:
    values: dict[str, Any] = {
        "url": "qdrants://host:6333/rows?api_key=hunter2",
        "sessions": "rediss://:hunter2@host:6379/0",
        "embedder": "bruno-llm:openai/small?api_key=hunter2",
    }
    config = MemoryConfig.build(**values)
    several = MemoryConfig.build(urls=[values["url"], values["sessions"]])
    assert config.url == values["url"]
    for text in (repr(config), str(config), repr(several)):
        assert "hunter2" not in text
        assert "***" in text
    shown = MemoryConfig.build(**values, qdrant_api_key="hunter2").shown()
    assert list(shown) == list(MemoryConfig.model_fields)
    assert shown["sessions"] == "rediss://:***@host:6379/0"
    assert (shown["qdrant_api_key"], shown["recall_k"]) == ("***", 6)
    assert "hunter2" not in str(shown)
    assert several.shown()["urls"] == [config.shown()["url"], shown["sessions"]]
    with pytest.raises(InvalidInputError) as refusal:
        MemoryConfig.build(**values, read_only="hunter2")
    assert "hunter2" not in f"{refusal.value!r} {refusal.value} {refusal.value.__cause__!r}"


def test_settings_are_had_in_little_time(here: Path) -> None:
    write(here, "\n".join(f"# {n}" for n in range(2_000)) + "\nrecall_k = 3")
    MemoryConfig.build()
    began = time.perf_counter()
    for _ in range(50):
        MemoryConfig.build()
    assert time.perf_counter() - began < 2.0  # some milliseconds each; parsing takes ten times that
