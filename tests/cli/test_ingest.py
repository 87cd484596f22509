"""ingest: all of a file or nothing, and every bad line by its number."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec.upkeep.intake.report import in_words
from bruno_memory_vec.upkeep.intake.sources import opened

Run = Callable[..., Any]
HASH = ["--embedder", "hash"]


def said(content: str, conversation: str = "trip", user: str | None = "ana") -> dict[str, Any]:
    row: dict[str, Any] = {"conversation_id": conversation, "role": "user", "content": content}
    return row if user is None else {**row, "user_id": user}


def test_counts_and_rate(run: Run, lines: Run, tmp_path: Path) -> None:
    file = lines(said("one"), said("two"), said("three", "other", "ben"))
    done = run("ingest", str(file), "--store", str(tmp_path / "s"), *HASH)
    assert done.code == 0
    assert "stored 3 messages of 2 conversations and 2 users" in done.out
    assert "messages/s" in done.out
    assert done.err == ""


def test_a_bad_line_keeps_everything_out(run: Run, lines: Run, tmp_path: Path) -> None:
    file = lines(said("fine"), "no json", said("fine, too"), {"conversation_id": "trip"})
    store = tmp_path / "s"
    done = run("ingest", str(file), "--store", str(store), *HASH)
    assert done.code == 1
    assert "bad in 2 places, so nothing of it was stored" in done.err
    assert "line 2: not JSON" in done.err
    assert "line 4: role: is missing" in done.err
    assert "--skip-bad" in done.err
    assert done.out == ""
    assert not store.exists()


def test_a_bad_line_leaves_a_store_as_it_was(run: Run, lines: Run, store: list[str]) -> None:
    before = run("stats", *store[:2], "--json").json["totals"]
    assert run("ingest", str(lines(said("new"), "no json")), *store).code == 1
    assert run("stats", *store[:2], "--json").json["totals"] == before


def test_skip_bad_stores_the_rest(run: Run, lines: Run, tmp_path: Path) -> None:
    file = lines(said("one"), "no json", said("two"))
    options = ["--store", str(tmp_path / "s")]
    done = run("ingest", str(file), "--skip-bad", "--json", *options, *HASH)
    assert done.code == 0
    assert (done.json["messages"], done.json["bad"]) == (2, 1)
    assert done.json["first_bad"][0]["line"] == 2
    told = run("ingest", str(file), "--skip-bad", *options, *HASH)
    assert "skipped line 2" in told.err
    # The same file again is stored over itself.
    assert run("stats", *options, "--json").json["totals"]["messages"] == 2


def test_many_bad_lines_are_counted(run: Run, lines: Run, tmp_path: Path) -> None:
    file = lines(*[said("")] * 150)
    done = run("ingest", str(file), "--json", "--store", str(tmp_path / "s"), *HASH)
    assert done.json["error"]["details"]["bad"] == 150
    assert len(done.json["error"]["details"]["first_bad"]) == 100
    assert "... and 130 more" in done.err
    skipped = run("ingest", str(file), "--skip-bad", "--store", str(tmp_path / "s"), *HASH)
    assert "skipped 130 more" in skipped.err
    assert "nothing was stored" in skipped.out


def test_a_conversation_of_another_user_is_a_bad_line(
    run: Run, lines: Run, store: list[str]
) -> None:
    file = lines(said("mine", "new", "zoe"), said("mine, too", "trip", "zoe"))
    done = run("ingest", str(file), *store)
    assert done.code == 1
    assert "line 2: user_id: the conversation 'trip' does not belong to the user 'zoe'" in done.err
    assert run("show", "new", *store[:2]).code == 3


def test_two_users_in_one_conversation(run: Run, lines: Run, tmp_path: Path) -> None:
    file = lines(said("a"), said("b", user="ben"), said("c", user=None))
    options = ["--store", str(tmp_path / "s")]
    assert "line 2: user_id" in run("ingest", str(file), *options, *HASH).err
    assert run("ingest", str(file), "--skip-bad", *options, *HASH).code == 0
    turns = run("show", "trip", *options, "--json").json["turns"]
    assert [turn["content"] for turn in turns] == ["a", "c"]


def test_what_only_the_store_refuses_is_a_bad_line(run: Run, lines: Run, tmp_path: Path) -> None:
    file = lines(said("fine"), said("long", "c" * 2000), said("who", "x", "u" * 2000))
    done = run("ingest", str(file), "--store", str(tmp_path / "s"), *HASH)
    assert "line 2: conversation_id: has 2000 characters" in done.err
    assert "line 3: user_id: has 2000 characters" in done.err
    assert not (tmp_path / "s").exists()


def test_who_owns_what_names_nobody(run: Run, lines: Run, tmp_path: Path) -> None:
    options = ["--store", str(tmp_path / "s")]
    metadata = {**said("m", "c", None), "metadata": {"user_id": "mia"}}
    file = lines(said("a", "a", None), metadata)
    assert run("ingest", str(file), *options, *HASH).code == 0
    assert run("show", "a", *options, "--json").json["user_id"] == "default"
    assert run("show", "c", *options, "--json").json["user_id"] == "mia"
    named = lines({"role": "user", "content": "b"}, name="b.jsonl")
    assert run("ingest", str(named), "-u", "zoe", "-c", "zoes", *options, *HASH).code == 0
    assert run("show", "zoes", *options, "--json").json["user_id"] == "zoe"


def test_standard_input(run: Run, tmp_path: Path) -> None:
    rows = "".join(json.dumps(said(f"n{n}")) + "\n" for n in range(7))
    options = ["--store", str(tmp_path / "s")]
    assert run("ingest", "-", "--batch", "3", *options, *HASH, stdin=rows).code == 0
    turns = run("show", "trip", *options, "--json").json["turns"]
    assert [turn["content"] for turn in turns] == [f"n{n}" for n in range(7)]
    assert [turn["turn"] for turn in turns] == list(range(7))


def test_a_chat_document(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "chat.json"
    file.write_text(json.dumps({"messages": [{"role": "user", "content": "hello"}]}))
    options = ["--store", str(tmp_path / "s")]
    assert run("ingest", str(file), "--format", "openai", *options, *HASH).code == 0
    assert run("show", f"{tmp_path.name}/chat", *options).code == 0


def test_an_empty_file(run: Run, lines: Run, tmp_path: Path) -> None:
    done = run("ingest", str(lines()), "--store", str(tmp_path / "s"), *HASH)
    assert done.code == 0
    assert "holds no message" in " ".join(done.out.split())
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("file", ["absent.jsonl", "no/folder"])
def test_no_file(run: Run, tmp_path: Path, file: str) -> None:
    done = run("ingest", str(tmp_path / file), "--store", str(tmp_path / "s"), *HASH)
    assert done.code == 1
    assert done.err.startswith("error: ")


def test_a_folder_with_other_things_is_left_alone(run: Run, lines: Run, tmp_path: Path) -> None:
    file = lines(said("one"))
    before = sorted(tmp_path.iterdir())
    done = run("ingest", str(file), "--store", str(tmp_path), *HASH)
    assert done.code == 1
    assert "not a store" in done.err
    assert sorted(tmp_path.iterdir()) == before


def test_memory_url_is_refused(run: Run, lines: Run) -> None:
    assert run("ingest", str(lines(said("one"))), "--store", "memory://", *HASH).code == 2


def test_a_file_that_changes_in_between(
    run: Run, lines: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bruno_memory_vec.upkeep.intake import run as running

    file = lines(said("one"), said("two"))
    check = running._Ingest._check

    async def check_and_change(self: Any) -> None:
        await check(self)
        file.write_text(json.dumps(said("")) + "\n")

    monkeypatch.setattr(running._Ingest, "_check", check_and_change)
    done = run("ingest", str(file), "--store", str(tmp_path / "s"), *HASH)
    assert done.code == 1
    assert "changed while it was read" in done.err


def test_a_pipe_is_spooled(tmp_path: Path) -> None:
    import os
    import threading

    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b"one\ntwo\n"))
    writer.start()
    with opened(str(path)) as (source,):
        assert source.size == 8
        for _ in range(2):
            assert source.again().read() == b"one\ntwo\n"
    writer.join()


def test_described_does_not_steer_a_terminal() -> None:
    from bruno_memory_vec.portability import BadLine

    assert "\x1b" not in in_words(BadLine(1, "role", "got \x1b[31m"))
