"""recall, show and stats: reading a store, and saying so when there is nothing to read."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import typer
from bruno_core.models.message import MessageRole

from bruno_memory_vec.prompts.hidden_characters import marked
from bruno_memory_vec.surfaces.cli import options

Run = Callable[..., Any]


def test_a_hit_and_why(run: Run, store: list[str]) -> None:
    done = run("recall", "guesthouse in Alfama", "--user", "ana", "-k", "1", *store)
    assert done.code == 0
    assert "2025-10-03  user  trip #0" in done.out
    assert "We found a guesthouse in Alfama" in done.out
    assert "lexical +" in done.out
    assert "1 hit for user ana" in done.out
    assert all(line == line.rstrip() for line in done.out.splitlines())
    assert max(len(line) for line in done.out.splitlines()) <= 80


def test_json(run: Run, store: list[str]) -> None:
    done = run("recall", "guesthouse", "--user", "ana", "--json", *store)
    assert done.code == 0
    assert done.err == ""
    hit = done.json["hits"][0]
    assert hit["conversation_id"] == "trip"
    assert sum(hit["signals"].values()) == pytest.approx(hit["score"], abs=1e-5)


def test_of_a_long_message_the_passage_is_shown(run: Run, lines: Run, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "s")]
    filler = "The ferry to the guesthouse was late again and smelled of tar. " * 20
    text = f"{filler}Leonie marries in Ghent in June. {filler}"
    row = {"conversation_id": "trip", "role": "user", "content": text, "user_id": "ana"}
    run("ingest", str(lines(row)), *store)
    # The excerpt shows most of the question's words, which the beginning has as well.
    done = run("recall", "late ferry to Leonie's guesthouse in Ghent", *store)
    assert "Leonie marries in Ghent" in " ".join(done.out.split())
    found = run("recall", "where does Leonie marry", "--json", *store).json["hits"][0]
    passage = found["passage"]
    assert "Leonie marries" in found["content"][passage["start"] : passage["end"]]


def test_json_holds_nothing_that_controls_a_terminal(run: Run, lines: Run, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "s")]
    text = "lámp \x1b[2J\x9b31m\u202egnp\u200b\U000e0041 \x07\n👍"
    row = {"conversation_id": "c\u2066", "role": "user", "content": text, "user_id": "z\x9b"}
    run("ingest", str(lines(row)), *store, "--embedder", "hash")
    for command in (("recall", "lamp", "--embedder", "hash"), ("show", "c\u2066"), ("stats",)):
        done = run(*command, "--json", *store)
        assert done.code == 0
        assert marked(done.out) == done.out
    hit = run("recall", "lamp", "--embedder", "hash", "--json", *store).json["hits"][0]
    assert (hit["content"], hit["conversation_id"]) == (text, "c\u2066")


def test_whose_rows_has_to_be_said(run: Run, store: list[str]) -> None:
    done = run("recall", "guesthouse", *store)
    assert done.code == 2
    assert "--user NAME" in done.err
    assert "'ana', 'ben'" in done.err
    both = run("recall", "guesthouse dentist", "--all-users", "--json", *store)
    assert {hit["conversation_id"] for hit in both.json["hits"]} == {"trip", "teeth"}
    assert run("recall", "x", "--all-users", "--user", "ana", *store).code == 2


def test_the_only_user_is_taken(run: Run, lines: Run, tmp_path: Path) -> None:
    options = ["--store", str(tmp_path / "s"), "--embedder", "hash"]
    row = {"conversation_id": "c", "role": "user", "content": "hazelnuts", "user_id": "zoe"}
    run("ingest", str(lines(row)), *options)
    done = run("recall", "hazelnuts", *options)
    assert done.code == 0
    assert "user zoe" in done.out


def test_one_user_never_sees_anothers(run: Run, store: list[str]) -> None:
    done = run("recall", "guesthouse dentist", "--user", "ben", "--json", *store)
    assert {hit["conversation_id"] for hit in done.json["hits"]} == {"teeth"}
    foreign = run("recall", "guesthouse", "-u", "ben", "-c", "trip", *store)
    assert foreign.code == 1
    assert "does not belong" in foreign.err
    hidden = run("show", "trip", "--user", "ben", *store[:2])
    assert hidden.code == 3
    assert "Alfama" not in hidden.out + hidden.err


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--role", "assistant"], ["Did you book it?"]),
        (["--since", "2025-10-03T18:52:00Z"], ["Yes, three nights with breakfast"]),
        (["--until", "2025-10-03T18:51"], ["We found a guesthouse in Alfama"]),
        (["--kind", "memory"], []),
        (["--metadata", "project=trip"], ["We found a guesthouse in Alfama"]),
        (["-m", "project=trip", "-m", "year=2025.0"], ["We found a guesthouse in Alfama"]),
        (["--metadata", 'year="2025"'], []),
        (["--metadata", "by=a=b"], ["We found a guesthouse in Alfama"]),
        (["--conversation", "trip", "--role", "assistant"], ["Did you book it?"]),
    ],
)
def test_filters(run: Run, store: list[str], more: list[str], expected: list[str]) -> None:
    query = "guesthouse book nights breakfast"
    done = run("recall", query, "--user", "ana", "--json", *more, *store)
    assert [hit["content"] for hit in done.json["hits"]] == expected
    assert done.code == (0 if expected else 3)


def test_metadata_is_json_where_it_can_be() -> None:
    for text, value in {
        "x": "x",
        "1": 1,
        "1.0": 1.0,
        "true": True,
        '"true"': "true",
        "": "",
        "null": "null",
        "[1]": "[1]",
        "NaN": "NaN",
        "9" * 5_000: "9" * 5_000,
        "[" * 100_000: "[" * 100_000,
    }.items():
        assert options.metadata([f"k={text}"]) == {"k": value}
    assert options.metadata([]) == {}


def test_metadata_that_cannot_be_read(run: Run, store: list[str]) -> None:
    done = run("recall", "x", "--user", "ana", "--metadata", "project", *store)
    assert done.code == 2
    assert "KEY=VALUE" in done.err
    twice = run("recall", "x", "--user", "ana", "-m", "a=1", "-m", "a=2", *store)
    assert twice.code == 2
    assert "twice" in twice.err


def test_nothing_found(run: Run, store: list[str]) -> None:
    done = run("recall", "guesthouse", "--user", "nobody", *store)
    assert (done.code, done.out) == (3, "")
    assert "there is nothing of the user 'nobody'" in done.err


@pytest.mark.parametrize("query", ["", "   ", "\t"])
def test_an_empty_query(run: Run, store: list[str], query: str) -> None:
    done = run("recall", query, "--user", "ana", *store)
    assert done.code == 1
    assert "query: is empty" in done.err


@pytest.mark.parametrize(
    "arguments",
    [["-k", "0"], ["-k", "x"], ["--since", "lately"], ["--kind", "x"], ["--role", "boss"]],
)
def test_bad_usage(run: Run, store: list[str], arguments: list[str]) -> None:
    assert run("recall", "guesthouse", "--user", "ana", *arguments, *store).code == 2


@pytest.mark.parametrize(
    "query", ["what's up?", "c++", 'a "b', "AND OR (", "-k", "\x1b[31m", "[red]"]
)
def test_any_text_is_a_query(run: Run, store: list[str], query: str) -> None:
    assert run("recall", "--user", "ana", *store, "--", query).code in (0, 3)


def test_text_does_not_steer_the_terminal(run: Run, lines: Run, store: list[str]) -> None:
    evil = "hazelnut \x1b[2J [bold]marked[/bold] :smile: \u202e"
    row = {"conversation_id": "c", "role": "user", "content": evil, "user_id": "ana"}
    assert run("ingest", str(lines(row)), *store).code == 0
    for arguments in (["recall", "hazelnut", "-u", "ana", *store], ["show", "c", *store[:2]]):
        out = run(*arguments).out
        assert "[bold]marked[/bold] :smile:" in out
        assert "\x1b" not in out
        assert "\u202e" not in out


def test_show(run: Run, store: list[str]) -> None:
    done = run("show", "trip", *store[:2])
    assert done.code == 0
    assert "user ana, 3 turns" in done.out
    assert done.out.index("Alfama") < done.out.index("book it") < done.out.index("breakfast")
    last = run("show", "trip", "--limit", "1", "--user", "ana", "--json", *store[:2]).json
    assert (last["total_turns"], [turn["turn"] for turn in last["turns"]]) == (3, [2])
    assert "the last 1 shown" in run("show", "trip", "-n", "1", *store[:2]).out
    unknown = run("show", "nope", *store[:2])
    assert unknown.code == 3
    assert "no conversation 'nope'" in unknown.err


def test_stats(run: Run, store: list[str]) -> None:
    data = run("stats", "--json", *store[:2]).json
    assert data["totals"] == {"users": 2, "conversations": 2, "messages": 4, "memories": 0}
    ana = data["users"][0]
    assert (ana["user_id"], ana["messages"], ana["conversations"]) == ("ana", 3, 1)
    assert ana["first"] == "2025-10-03T18:50:00+00:00"
    text = run("stats", *store[:2]).out
    assert "4 messages, 0 memories, 2 conversations, 2 users" in text
    assert "2026-05-09" in text
    only = run("stats", "--user", "ben", "--json", *store[:2]).json
    assert only["totals"]["messages"] == 1
    assert run("stats", "--user", "nobody", *store[:2]).code == 3


@pytest.mark.parametrize("command", [["recall", "x"], ["show", "x"], ["stats"], ["doctor"]])
def test_no_store(run: Run, tmp_path: Path, command: list[str]) -> None:
    absent = tmp_path / "absent"
    done = run(*command, "--store", str(absent))
    assert done.code == 1
    assert "there is no store" in done.err
    assert "--store" in done.err
    assert not absent.exists()
    (tmp_path / "photo.jpg").touch()
    assert "is not a store" in run(*command, "--store", str(tmp_path)).err
    assert "is a file" in run(*command, "--store", str(tmp_path / "photo.jpg")).err
    broken = run(*command, "--json", "--store", str(absent))
    assert (broken.code, broken.json["error"]["type"]) == (1, "CliError")


def test_the_environment_names_the_store(
    run: Run, store: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRUNO_MEMORY_URL", store[1])
    monkeypatch.setenv("BRUNO_MEMORY_EMBEDDER", "hash")
    assert run("recall", "guesthouse", "--user", "ana").code == 0


def test_another_embedder(run: Run, store: list[str]) -> None:
    done = run("recall", "guesthouse", "--user", "ana", *store[:2])
    assert done.code == 1
    assert "--embedder" in done.err


def test_roles_are_bruno_cores() -> None:
    assert [role.value for role in options.Role] == [role.value for role in MessageRole]


def test_moments() -> None:
    assert options.moment("2026-03-01") == datetime(2026, 3, 1, tzinfo=timezone.utc)
    assert options.moment("2026-03-01T10:00+02:00").astimezone(timezone.utc).hour == 8
    with pytest.raises(typer.BadParameter):
        options.moment("soon")


def test_as_of(run: Run, lines: Run, tmp_path: Path) -> None:
    store = ["--store", str(tmp_path / "s"), "--embedder", "hash"]
    rows = [
        {"conversation_id": month, "role": "user", "user_id": "zoe", "content": f"hazel {month}"}
        | {"timestamp": f"2025-{month}-01T12:00:00Z"}
        for month in ("03", "05")
    ]
    run("ingest", str(lines(*rows)), *store)
    then = run("recall", "hazel", "--as-of", "2025-04-01", "--json", *store)
    assert [hit["content"] for hit in then.json["hits"]] == ["hazel 03"]
    assert run("recall", "hazel", "--as-of", "9999-12-31T23:59:59Z", *store).code == 0
    assert run("recall", "hazel", "--as-of", "then", *store).code == 2


def test_how_likely_an_answer_is(run: Run, store: list[str]) -> None:
    known = run("recall", "guesthouse in Alfama", "--user", "ana", *store)
    assert re.search(r"an answer is \d+ % likely", known.out)
    least = ("--min-confidence-of-answer", "0.5", "--user", "ana")
    sure = run("recall", "guesthouse in Alfama", *least, "--json", *store)
    assert sure.json["confidence"] > 0.5
    assert sure.json["hits"]
    unsure = run("recall", "the rent of a garage in Graz", *least, "--json", *store)
    assert unsure.code == 3
    assert unsure.json["hits"] == []
    assert 0 < unsure.json["confidence"] < 0.3
    told = run("recall", "the rent of a garage in Graz", *least, *store)
    assert told.code == 3
    assert re.search(r"nothing found in the memory of 'ana': an answer is \d+ % likely", told.err)
    assert run("recall", "tea", "--min-confidence-of-answer", "2", *store).code == 2
