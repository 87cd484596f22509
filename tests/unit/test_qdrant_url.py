"""What the URL of a store in Qdrant may say, and how an unusable one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec import MemoryConfig
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.qdrant.settings import QdrantSettings
from bruno_memory_vec.store.manifest import folder_of, pinned, scheme_of
from bruno_memory_vec.store.qdrant_url import settings_of, takes_over


def test_a_server() -> None:
    url = "qdrant://db.example:7000/mine"
    assert settings_of(url, "secret") == QdrantSettings(
        "mine", url, address="http://db.example:7000", api_key="secret"
    )
    assert settings_of("qdrants://db.example", None) == QdrantSettings(
        "bruno-memory", "qdrants://db.example", address="https://db.example:6333"
    )
    proxied = settings_of("QDRANTS://h:443/a/b/mine", None)
    assert (proxied.address, proxied.prefix, proxied.collection) == ("https://h:443", "a/b", "mine")
    assert settings_of("qdrant://[::1]:1/x", None).address == "http://[::1]:1"


def test_local_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url, path in (
        ("qdrant+local:here", str(tmp_path / "here")),
        ("qdrant+local:/a b/c", "/a b/c"),
        ("qdrant+local:///a", "/a"),
        ("QDRANT+LOCAL::memory:", ":memory:"),
    ):
        assert scheme_of(url) == "qdrant+local"
        assert folder_of(url) is None
        assert settings_of(url, "unused").path == path
        assert settings_of(url, "unused").is_local
    assert settings_of("qdrant+local:x?collection=other", None).collection == "other"


def test_a_later_directory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = pinned(MemoryConfig.build(url="qdrant+local:here?exact=5"))
    assert config.url == f"qdrant+local:{tmp_path / 'here'}?exact=5"


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("shards=3", "shards", 3),
        ("replicas=2", "replicas", 2),
        ("write_consistency=2", "write_consistency", 2),
        ("on_disk=true", "on_disk", True),
        ("quantization=scalar", "quantization", "scalar"),
        ("quantization=BINARY", "quantization", "binary"),
        ("oversampling=3.5", "oversampling", 3.5),
        ("exact=0", "exact", 0),
        ("average_length=12.5", "average_length", 12.5),
        ("timeout=60", "timeout", 60),
        ("grpc=true", "grpc", True),
        ("grpc_port=7001", "grpc_port", 7001),
        ("consistency=quorum", "consistency", "quorum"),
        ("consistency=2", "consistency", 2),
        ("ordering=strong", "ordering", "strong"),
    ],
)
def test_settings(query: str, field: str, value: Any) -> None:
    found = settings_of(f"qdrant://h/x?{query}", None)
    assert getattr(found, field) == value
    assert getattr(settings_of("qdrant://h/x", None), field) != value


def test_take_over_is_no_setting_of_the_engine() -> None:
    assert takes_over("qdrant://h/x?take_over=true")
    assert takes_over("qdrant+local:x?take_over=true")
    assert not takes_over("qdrant://h/x?take_over=false")
    assert not takes_over("qdrant://h/x")
    assert settings_of("qdrant://h/x?take_over=true", None).collection == "x"


@pytest.mark.parametrize(
    "url",
    [
        "qdrant://",
        "qdrant:///x",
        "qdrant://h:port/x",
        "qdrant://h:99999/x",
        "qdrant://h/a%20b",
        "qdrant://h/x#part",
        "qdrant://h/x?shards=0",
        "qdrant://h/x?shards=many",
        "qdrant://h/x?on_disk=maybe",
        "qdrant://h/x?quantization=product",
        "qdrant://h/x?timeout=0",
        "qdrant://h/x?consistency=0",
        "qdrant://h/x?exact=1&exact=2",
        "qdrant://h/x?take_over=perhaps",
        "qdrant+local:",
        "qdrant+local:x?collection=a/b",
    ],
)
def test_what_is_not_usable_is_refused(url: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        settings_of(url, None)
    assert refused.value.field == "url"
    assert url in str(refused.value)
    assert "qdrant" in refused.value.fix


def test_an_unknown_setting_is_named_with_those_that_are_known() -> None:
    with pytest.raises(InvalidInputError, match=r"'shard' is not known.*shards, replicas"):
        settings_of("qdrant://h/x?shard=3", None)
    with pytest.raises(InvalidInputError, match="'collection' is not known"):
        settings_of("qdrant://h/x?collection=y", None)


@pytest.mark.parametrize(
    "url", ["qdrant://h/x?api_key=S3CRET", "qdrant://:S3CRET@h/x", "qdrant://u:S3CRET@h/x"]
)
def test_a_key_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInputError, match="BRUNO_MEMORY_QDRANT_API_KEY") as refused:
        settings_of(url, None)
    assert "S3CRET" not in str(refused.value)


def test_a_key_is_printed_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRUNO_MEMORY_QDRANT_API_KEY", "S3CRET")
    config = MemoryConfig.build(url="qdrant://h/x")
    assert config.qdrant_api_key is not None
    assert config.qdrant_api_key.get_secret_value() == "S3CRET"
    settings = settings_of(config.url, config.qdrant_api_key.get_secret_value())
    for shown in (repr(config), str(config.model_dump()), repr(settings), settings.shown):
        assert "S3CRET" not in shown
