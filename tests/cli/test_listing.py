"""list, add, pin and forget by id: what they show, store, refuse, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.support import Done, run_here

Run = Callable[..., Done]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The options that name a store that tests of this file only read, or add to."""
    folder = tmp_path_factory.mktemp("kept")
    options = ["--store", str(folder / "store"), "--embedder", "hash"]
    rows = [
        {"conversation_id": f"talk-{n}", "role": role, "content": text, "user_id": user}
        | {"timestamp": f"2026-0{n + 1}-10T08:00:00Z"}
        for n, user in enumerate(["ana", "ana", "ben"])
        for role, text in (("user", f"question {n}"), ("assistant", "an answer"))
    ]
    file = folder / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert run_here("ingest", str(file), *options).code == 0
    for text, *more in (
        ("She is allergic to peanuts", "--tag", "health", "--importance", "0.9", "--pin"),
        ("She likes the sea", "--type", "semantic", "--category", "taste"),
    ):
        assert run_here("add", text, "-u", "ana", *more, *options).code == 0
    return options


def test_users(run: Run, kept: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    place = kept[:2]
    for width in ("40", "80"):
        monkeypatch.setenv("COLUMNS", width)
        shown = run("list", *place)
        assert shown.code == 0
        assert all(len(line) <= int(width) for line in shown.out.splitlines())
        assert "ana" in shown.out
        assert "ben" in shown.out
    first = run("list", "users", "-n", "1", "--json", *place).json
    assert [one["user_id"] for one in first["users"]] == ["ana"]
    rest = run("list", "users", "--after", first["next"], "--json", *place).json
    assert [one["user_id"] for one in rest["users"]] == ["ben"]
    assert rest["next"] is None
    assert run("list", "users", "--since", "2026-03-01", "--json", *place).json["users"][0][
        "user_id"
    ] == ("ben")


def test_conversations_page_by_page(run: Run, kept: list[str]) -> None:
    place = kept[:2]
    ids, after = [], None
    while True:
        more = [] if after is None else ["--after", after]
        page = run("list", "conversations", "-n", "2", "--json", *more, *place).json
        ids += [one["conversation_id"] for one in page["conversations"]]
        after = page["next"]
        if after is None:
            break
    assert ids == ["talk-2", "talk-1", "talk-0"]
    timed = ("list", "conversations", "--since", "2026-02-01", "--until", "2026-03-01", *place)
    assert [one["conversation_id"] for one in run(*timed, "--json").json["conversations"]] == [
        "talk-1"
    ]
    assert run(*timed, "--after", "x").code == 2
    assert run("list", "conversations", "--since", "2027-01-01", *place).code == 3
    assert "talk-0  2 messages" in run("list", "conversations", "-u", "ana", *place).out


def test_messages_and_memories_by_what_they_have(run: Run, kept: list[str]) -> None:
    place = kept[:2]

    def contents(what: str, *more: str) -> list[str]:
        return [row["content"] for row in run("list", what, *more, "--json", *place).json[what]]

    assert contents("memories") == ["She likes the sea", "She is allergic to peanuts"]
    assert contents("memories", "--tag", "health") == ["She is allergic to peanuts"]
    assert contents("memories", "--pinned") == ["She is allergic to peanuts"]
    assert contents("memories", "--type", "semantic") == ["She likes the sea"]
    assert contents("memories", "--category", "taste", "-u", "ana") == ["She likes the sea"]
    assert contents("messages", "--role", "user", "-c", "talk-2") == ["question 2"]
    assert contents("messages", "--until", "2026-02-01", "--role", "user") == ["question 0"]
    shown = run("list", "memories", "--tag", "health", *place).out
    assert "pinned  importance=0.9  #health" in " ".join(shown.split("\n")).replace("   ", "  ")
    for wrong in (
        ["users", "--tag", "x"],
        ["messages", "--tag", "x"],
        ["memories", "--role", "user"],
    ):
        refused = run("list", *wrong, *place)
        assert refused.code == 2
        assert "is not for" in refused.err


def test_who_is_there_is_told_where_somebody_is_not(run: Run, kept: list[str]) -> None:
    place = kept[:2]
    for command in (
        ["list", "memories", "-u", "Anna"],
        ["recall", "peanuts", "-u", "Anna", "--embedder", "hash"],
        ["timeline", "-u", "Anna"],
        ["show", "talk-0", "-u", "Anna"],
        ["forget", "Anna", "--dry-run"],
        ["export", "unwritten.jsonl", "-u", "Anna"],
    ):
        done = run(*command, *place)
        assert done.code == 3, command
        assert "there is nothing of the user 'Anna'" in done.err
        assert "Did you mean 'ana'? It holds 'ana', 'ben'." in done.err
    assert not Path("unwritten.jsonl").exists()
    assert "Did you mean 'talk-0'" in run("show", "tlk-0", *place).err


def test_a_wrong_path_is_told_what_is_beside_it(run: Run, kept: list[str]) -> None:
    near = str(Path(kept[1]).with_name("stroe"))
    done = run("list", "--store", near)
    assert done.code == 1
    assert f"There is one in {kept[1]}" in done.err
    inside = run("list", "--store", str(Path(kept[1]).parent))
    assert f"There is one in {kept[1]}" in inside.err


def test_a_text_from_an_argument_a_file_or_standard_input(
    run: Run, kept: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "said.txt"
    file.write_bytes(b"\xef\xbb\xbf  from a file\n")
    at = ["--time", "2026-09-01T10:00:00Z", "-u", "cleo", "-c", "new", *kept]
    told = [
        run("add", "from an argument", *at, "--json").json,
        run("add", "--file", str(file), "--role", "assistant", *at, "--json").json,
        run("add", *at, "--json", "-m", "mood=calm", stdin="from a pipe").json,
        run("add", "-", *at, "--json", stdin="from a dash").json,
    ]
    assert [one["turn"] for one in told] == [0, 1, 2, 3]
    assert told[0]["created_at"] == "2026-09-01T10:00:00+00:00"
    turns = run("show", "new", "--json", *kept[:2]).json["turns"]
    assert [turn["content"] for turn in turns] == [
        "from an argument",
        "from a file",
        "from a pipe",
        "from a dash",
    ]
    assert turns[1]["role"] == "assistant"
    assert turns[2]["metadata"]["mood"] == "calm"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["hi"], "nothing says whose it is"),
        (["hi", "-u", "ana", "--tag", "x", "-c", "talk-0"], "--tag is for a memory"),
        (["hi", "-u", "ana", "--role", "user"], "--role is for a message"),
        (["hi", "-u", "ana", "--file", "x"], "both given"),
        (["--file", "no such file", "-u", "ana"], "cannot be read"),
        (["  ", "-u", "ana"], "TEXT is empty"),
        (["hi", "-u", "ana", "--importance", "7"], "--importance"),
        (["hi", "-u", "ana", "--time", "whenever"], "'whenever' is no time"),
        (["hi", "-u", "ben", "-c", "talk-0"], "does not belong to the user 'ben'"),
    ],
)
def test_what_is_not_added(run: Run, kept: list[str], arguments: list[str], said: str) -> None:
    before = run("stats", "--json", *kept[:2]).json["totals"]
    done = run("add", *arguments, *kept)
    assert done.code in (1, 2)
    assert said in " ".join(done.err.split())
    assert run("stats", "--json", *kept[:2]).json["totals"] == before


def test_bytes_that_are_no_text_are_refused(run: Run, kept: list[str]) -> None:
    done = run("add", "-u", "ana", *kept, stdin=b"\xff\xfe\x00")
    assert done.code == 1
    assert "standard input is no text in UTF-8" in done.err


def test_pin_and_unpin(run: Run, kept: list[str]) -> None:
    place = kept[:2]
    added = run("add", "Her tea is green", "-u", "ana", "--json", *kept).json["id"]
    assert run("pin", added, *place).out == "pinned 1 row\n"
    pinned = run("list", "memories", "--pinned", "--json", *place).json["memories"]
    assert added in {row["id"] for row in pinned}
    assert run("unpin", added, "--json", *place).json == {"ids": [added], "pinned": False}
    assert run("pin", added, "-u", "ben", *place).code == 1
    assert "is no UUID" in run("pin", "nonsense", *place).err


def test_forget_by_id(run: Run, kept: list[str]) -> None:
    place = kept[:2]
    added = run("add", "Only for now", "-u", "ana", "--json", *kept).json["id"]
    assert run("forget", "--id", added, *place).code == 2
    planned = run("forget", "--id", added, "--dry-run", *place)
    assert "Only for now" in planned.out
    assert planned.out.endswith("1 row would be deleted\n")
    assert run("forget", "ben", "--id", added, "--yes", *place).code == 3
    assert run("forget", "--id", added, "--archive", "--yes", *place).code == 0
    assert run("list", "memories", "--archived", "--json", *place).json["memories"][0]["archived"]
    assert run("forget", "ana", "--id", added, "--yes", "--json", *place).json["rows"] == [
        {"id": added, "kind": "memory", "content": "Only for now"}
    ]
    gone = run("forget", "--id", added, "--yes", *place)
    assert (gone.code, "there is no message or memory" in gone.err) == (3, True)


def test_forget_a_conversation(run: Run, kept: list[str]) -> None:
    place = kept[:2]
    run("add", "gone soon", "-u", "ana", "-c", "short", *kept)
    assert (
        "would delete 1 message of 'short'" in run("forget", "-c", "short", "--dry-run", *place).out
    )
    assert run("forget", "-c", "short", *place).code == 2
    assert run("forget", "ben", "-c", "short", "--yes", *place).code == 3
    assert run("forget", "-c", "short", "--yes", *place).code == 0
    assert run("show", "short", *place).code == 3
    for wrong in (["--id", "x", "-c", "short"], ["ana", "--archive"], ["-c", "short", "--archive"]):
        refused = run("forget", *wrong, "--yes", *place)
        assert refused.code == 2, wrong
        assert "nothing was" in refused.err
