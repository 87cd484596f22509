"""URLs as they are shown, in errors, logs and ``health()``: no secret is left in them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bruno_memory_vec.indexers.urls import is_secret, masked


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:s3cret@host:6379/0", "redis://:***@host:6379/0"),
        ("rediss://ana:s3cret@host", "rediss://ana:***@host"),
        ("redis://ana:s3@c/r?e#t@host:1/0", "redis://ana:***@host:1/0"),
        ("redis://ana:s3 cret@host:1/0", "redis://ana:***@host:1/0"),
        ("redis+cluster://ana:s3cret@h1:1,h2:2", "redis+cluster://ana:***@h1:1,h2:2"),
        ("https://s3cret@host/a", "https://***@host/a"),
        ("qdrants://host:6333/rows?api_key=s3cret&grpc=true",
         "qdrants://host:6333/rows?api_key=***&grpc=true"),
        ("qdrants://host?grpc=true&API-KEY=s3;c,ret#x", "qdrants://host?grpc=true&API-KEY=***"),
        ("qdrant://host?api%5Fkey=s3cret", "qdrant://host?api%5Fkey=***"),
        ("bruno-llm:openai/small?api_key=s3cret&dimension=5",
         "bruno-llm:openai/small?api_key=***&dimension=5"),
        ("host=h user=ana password='s3 cret' dbname=d", "host=h user=ana password=*** dbname=d"),
        ("host=h password=s3cret dbname=d", "host=h password=*** dbname=d"),
        ("'redis://:s3cret@h?password=s3cret' is away", "'redis://:***@h?password=***' is away"),
        ("s3://bucket?aws_secret_access_key=s3cret&aws_session_token=s3cret",
         "s3://bucket?aws_secret_access_key=***&aws_session_token=***"),
    ],
)  # fmt: skip
def test_a_secret_is_hidden(url: str, shown: str) -> None:
    assert masked(url) == shown
    assert "s3" not in masked(url).partition("://")[2]


@pytest.mark.parametrize(
    "url",
    [
        "./folder",
        "/home/ana@work/memory",
        "memory://",
        "qdrant://host:6333/rows?grpc=true",
        "redis+sentinel://h1:26379,h2:26379/main",
        "file:///a/b?c=d",
        "cannot reach redis://host:6379/0: ask ana@example.org",
        "recall_tokens=600 context_tokens=4000",
        "Give key=... or key_file=..., or (with password=...) neither, such as token=....",
        "",
    ],
)
def test_what_is_no_secret_is_left(url: str) -> None:
    assert masked(url) == url


@given(
    st.text(st.characters(exclude_characters=" \t\r\n", exclude_categories=["Cs", "Z", "Cc"]),
            min_size=1)
)  # fmt: skip
def test_no_part_of_any_password_is_left(password: str) -> None:
    assert masked(f"redis://ana:{password}@host:6379/0") == "redis://ana:***@host:6379/0"


def test_names_of_secrets() -> None:
    for name in ("api_key", "apikey", "API-KEY", "password", "token", "access_token", "client.key"):
        assert is_secret(name), name
    for name in ("url", "recall_tokens", "keyspace", "monkey", "passage", "author", "user"):
        assert not is_secret(name), name


def test_a_long_text_takes_no_long_time() -> None:
    began = time.perf_counter()
    for text in ("a" * 200_000, "a=" * 100_000, "://a" * 50_000, "://a@" * 40_000):
        masked(text)
    assert time.perf_counter() - began < 5
