"""The file of tokens."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec.errors import InvalidInputError, NotFoundError
from bruno_memory_vec.store.file_lock import FileLock
from bruno_memory_vec.surfaces.http.tokens import Tokens


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(tmp_path / "folder" / "tokens.json")


def test_a_token_is_known_again_and_is_not_in_the_file(tokens: Tokens) -> None:
    text, made = tokens.create("ana", role="reader", name="phone", spaces={"team": "read"})
    written = tokens.path.read_text(encoding="utf-8")
    assert text not in written
    assert text.removeprefix("bmv_") not in written
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert tokens.check(text) == Tokens(tokens.path).check(text) == made
    assert tokens.check(text[:-1]) is None
    assert tokens.check("") is None
    assert tokens.check("\ud800") is None
    assert made.sha256 not in repr(made)


def test_another_process_sees_what_was_made_and_revoked(tokens: Tokens) -> None:
    other = Tokens(tokens.path)
    text, made = tokens.create("ana")
    assert other.check(text) == made
    other.revoke(made.name)
    assert tokens.check(text) is None
    with pytest.raises(NotFoundError, match="ana 1"):
        tokens.revoke(made.name)
    tokens.path.unlink()
    assert other.known() == []


def test_while_the_file_is_broken_nobody_is_let_in(tokens: Tokens) -> None:
    text, made = tokens.create("ana")
    whole = tokens.path.read_text("utf-8")
    tokens.path.write_text("{", "utf-8")
    assert tokens.check(text) is None
    # What writes the file anew must not take it for an empty one.
    with pytest.raises(InvalidInputError, match="cannot be read"):
        tokens.create("ben")
    tokens.path.write_text(whole, "utf-8")
    assert tokens.check(text) == made


def test_names_are_given_once(tokens: Tokens) -> None:
    assert [tokens.create("ana")[1].name for _ in range(3)] == ["ana 1", "ana 2", "ana 3"]
    with pytest.raises(InvalidInputError, match="ana 2"):
        tokens.create("ben", name="ana 2")
    assert len(tokens.known()) == 3


def test_changes_at_the_same_instant_are_all_kept(tmp_path: Path) -> None:
    path, together = tmp_path / "tokens.json", threading.Barrier(8)

    def change(number: int) -> str:
        together.wait()
        own = Tokens(path)
        text, _ = own.create(f"user {number}")
        _, second = own.create(f"user {number}")
        own.revoke(second.name)
        return text

    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(change, range(8)))
    kept = Tokens(path)
    assert [one.name for one in kept.known()] == [f"user {number} 1" for number in range(8)]
    assert all(kept.check(text) is not None for text in texts)
    assert [one.name for one in tmp_path.iterdir()] == ["tokens.json"]


def test_a_change_waits_for_another_one_and_says_so_where_that_does_not_end(
    tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens.create("ana")
    lock = FileLock.taken(tokens.path.with_name(".tokens.json.lock"))
    assert lock is not None
    monkeypatch.setattr("bruno_memory_vec.surfaces.http.tokens._WAITS_S", 0.2)
    began = time.monotonic()
    with pytest.raises(InvalidInputError, match="another process changes"):
        tokens.revoke("ana 1")
    assert time.monotonic() - began >= 0.2
    lock.release()
    tokens.revoke("ana 1")
    assert tokens.known() == []


@pytest.mark.skipif(os.name != "posix", reason="rights of a group are POSIX's")
def test_a_file_that_others_may_write_lets_nobody_in(tokens: Tokens) -> None:
    text, made = tokens.create("ana")
    assert not tokens.is_readable_by_others
    tokens.path.chmod(0o640)
    assert tokens.is_readable_by_others
    assert tokens.check(text) == made
    for rights in (0o620, 0o602, 0o666):
        tokens.path.chmod(rights)
        assert tokens.check(text) is None
        with pytest.raises(InvalidInputError, match="chmod 600"):
            Tokens(tokens.path)
    tokens.path.chmod(0o600)
    assert tokens.check(text) == made


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("user_id", {"user_id": ""}),
        ("user_id", {"user_id": "space:team"}),
        ("user_id", {"user_id": None}),
        ("role", {"role": "root"}),
        ("role", {"role": None}),
        ("spaces", {"spaces": ["team"]}),
        ("spaces", {"spaces": {"team": "all"}}),
        ("spaces", {"spaces": {"group:1": "read"}}),
        ("spaces", {"spaces": {"space:": "read"}}),
        ("days", {"days": 0}),
        ("days", {"days": float("nan")}),
        ("days", {"days": True}),
        ("name", {"name": " "}),
    ],
)
def test_what_no_token_can_be_made_of_is_refused(
    tokens: Tokens, field: str, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError, match=f"^{field}"):
        tokens.create(**{"user_id": "ana", **wrong})
    assert not tokens.path.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": 2, "tokens": []}',
        '{"format": 1, "tokens": [{}]}',
        '{"format": 1, "tokens": 5}',
    ],
)
def test_a_file_that_is_none_of_tokens_lets_nobody_in(tmp_path: Path, content: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match="cannot be read as a file of tokens"):
        Tokens(path)


def test_a_file_written_by_hand_grants_no_more_than_it_could(tokens: Tokens) -> None:
    tokens.create("ana")
    document = json.loads(tokens.path.read_text())
    for wrong in ({"role": "root"}, {"user_id": "space:x"}, {"sha256": "00"}, {"name": ""}):
        changed = {**document, "tokens": [{**document["tokens"][0], **wrong}]}
        tokens.path.write_text(json.dumps(changed))
        with pytest.raises(InvalidInputError):
            Tokens(tokens.path)
