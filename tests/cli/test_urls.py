"""Commands on a store that is no folder, and doctor's account of where settings come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.extending.conftest import Install, install

__all__ = ["install"]

Run = Callable[..., Any]

SAID = [
    {"role": "user", "content": "The red boat is in the harbour", "user_id": "ana"},
    {"role": "assistant", "content": "It is a fine boat", "user_id": "ana"},
]


@pytest.fixture(params=["local", pytest.param("server", marks=pytest.mark.qdrant_server)])
def url(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    run: Run,
    lines: Any,
) -> str:
    """The URL of a filled store in Qdrant; the current directory is empty."""
    pytest.importorskip("qdrant_client", reason='needs pip install "bruno-memory-vec[qdrant]"')
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    url = f"qdrant+local:{tmp_path / 'store'}"
    if request.param == "server":
        url = request.getfixturevalue("qdrant_store").url
    file = lines(*({**one, "conversation_id": "talk"} for one in SAID))
    assert run("ingest", str(file), "--store", url, "--embedder", "hash").code == 0
    return url


def states(done: Any) -> dict[str, str]:
    return {check["name"]: check["state"] for check in done.json["checks"]}


def test_every_command_takes_a_url(run: Run, url: str) -> None:
    found = run("recall", "red boat in the harbour", "--store", url, "--embedder", "hash", "--json")
    assert found.code == 0, found.err
    assert found.json["hits"][0]["content"] == "The red boat is in the harbour"
    shown = run("show", "talk", "--store", url, "--json")
    assert [turn["content"] for turn in shown.json["turns"]] == [one["content"] for one in SAID]
    counted = run("stats", "--store", url, "--json").json
    assert (counted["store"], counted["totals"]["messages"]) == (url, 2)
    maintained = run("maintain", "--store", url, "--json")
    assert (maintained.code, maintained.json["store"]) == (0, url)
    repaired = run("doctor", "--repair", "--store", url, "--embedder", "hash", "--json")
    assert (repaired.code, repaired.json["repaired"]["rows"]) == (0, 2), repaired.err


def test_doctor_opens_it(run: Run, url: str) -> None:
    done = run("doctor", "--store", url, "--embedder", "hash", "--json")
    assert done.code == 0, done.out
    names = ("store", "embedder", "server", "rows", "ledger", "owners", "sessions", "health")
    assert states(done) == dict.fromkeys(names, "ok")
    checks = {check["name"]: check["found"] for check in done.json["checks"]}
    assert checks["rows"] == "2 rows can be read"
    assert checks["ledger"].startswith("all 2 rows are as they were stored, of 2")
    assert checks["sessions"].startswith("they answer: 1 conversation")
    other = run("doctor", "--store", url, "--json")
    assert other.code == 4
    assert states(other)["embedder"] == "problem"
    assert states(other)["rows"] == "ok"


def test_doctor_tells_what_is_wrong(run: Run, url: str, tmp_path: Path) -> None:
    """The rows of a conversation belong to another user than the sessions say."""
    import sqlite3

    (file,) = tmp_path.rglob("sessions.sqlite")
    with sqlite3.connect(file) as sessions:
        changed = sessions.execute("UPDATE conversations SET user_id = 'eve'")
        assert changed.rowcount == 1
    sessions.close()
    done = run("doctor", "--store", url, "--embedder", "hash", "--json")
    assert done.code == 4
    assert states(done)["sessions"] == "problem"
    (found,) = (one["found"] for one in done.json["checks"] if one["name"] == "sessions")
    assert "another owner than their rows, such as 'talk'" in found


@pytest.mark.parametrize("command", ["doctor", "stats", "maintain"])
def test_where_there_is_no_store_none_is_made(run: Run, tmp_path: Path, command: str) -> None:
    pytest.importorskip("qdrant_client", reason='needs pip install "bruno-memory-vec[qdrant]"')
    done = run(command, "--store", f"qdrant+local:{tmp_path / 'none'}")
    assert done.code == 1
    assert "there is no store" in done.err
    assert list(tmp_path.rglob("*.sqlite")) == []


def test_a_server_that_is_away(run: Run) -> None:
    pytest.importorskip("qdrant_client", reason='needs pip install "bruno-memory-vec[qdrant]"')
    done = run("doctor", "--store", "qdrant://127.0.0.1:9/rows", "--embedder", "hash")
    assert done.code == 1
    assert "url       qdrant://127.0.0.1:9/rows, from: argument" in done.out
    assert "127.0.0.1:9" in done.err


def test_doctor_tells_where_settings_come_from(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = url.startswith("qdrant+local:")
    # A server may want its own key, and none without TLS.
    key = "qdrant_api_key = 'hunter2'\n" if local else ""
    (tmp_path / "here" / "bruno-memory.toml").write_text(
        f"url = '{url}'\nrecall_k = 3\n{key}sessions = 'redis://ana:hunter2@host'\n"
    )
    monkeypatch.setenv("BRUNO_MEMORY_MAX_MESSAGES", "7")
    (file,) = tmp_path.rglob("sessions.sqlite")
    place = str(file.parents[1])
    arguments = ("doctor", "--embedder", "hash", "--sessions", place)
    settings = run(*arguments, "--json").json["settings"]
    origin = f"file ({tmp_path / 'here' / 'bruno-memory.toml'})"
    assert settings["url"] == {"value": url, "from": origin}
    assert settings["embedder"] == {"value": "hash", "from": "argument"}
    assert settings["sessions"] == {"value": place, "from": "argument"}
    assert settings["max_messages"] == {
        "value": 7, "from": "environment (BRUNO_MEMORY_MAX_MESSAGES)"
    }  # fmt: skip
    if local:
        assert settings["qdrant_api_key"] == {"value": "***", "from": origin}
    assert settings["profile"] == {"value": "balanced", "from": "default"}
    told = run(*arguments)
    assert told.code == 0, told.out
    text = " ".join(told.out.split())
    assert "recall_k 3, from: file (" in text
    assert "by default: " in text
    assert "profile=balanced" in text
    with_secret = run("doctor", "--embedder", "hash")
    assert "redis://ana:***@host" in with_secret.out
    assert "hunter2" not in f"{told.out}{told.err}{with_secret.out}{with_secret.err}"


def test_doctor_of_a_chain(run: Run, url: str, tmp_path: Path) -> None:
    urls = json.dumps(["qdrant://127.0.0.1:9/rows", url])
    (tmp_path / "here" / "bruno-memory.toml").write_text(f"urls = {urls}\nembedder = 'hash'\n")
    done = run("doctor", "--json")
    assert done.code == 0, done.out
    told = [one["found"] for one in done.json["checks"] if one["name"] == "urls"]
    assert told[0].startswith("qdrant://127.0.0.1:9/rows is away")
    assert told[1] == f"{url} is used"
    assert run("stats", "--json").json["totals"]["messages"] == 2
    (file,) = tmp_path.glob("*.jsonl")
    assert run("ingest", str(file), "--json").json["store"] == url


CARELESS = """
from bruno_memory_vec.errors import BackendUnavailable
from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.store.deployment import Made
from bruno_memory_vec.writing.projections import Problem


class Mine:
    async def made(self, config):
        if "away" in config.url:
            raise BackendUnavailable("mine", "connect", config.url, fix=f"Start {config.url}.")
        return Made(Fingerprint("hash", "1", 64), "english")

    async def diagnose(self, config):
        return [Problem("server", f"{config.url} is old", "Upgrade it.")]

    async def open(self, config, made_by, progress):
        raise BackendUnavailable("mine", "open", config.url, fix="Start it.")
"""


def test_another_package_s_errors_and_checks_show_no_secret(run: Run, install: Install) -> None:
    install(CARELESS, {"bruno_memory_vec.deployments": "mine = plugin:Mine"})
    for form in ((), ("--json",)):
        away = run("doctor", "--store", "mine://ana:hunter2@away", "--embedder", "hash", *form)
        there = run("doctor", "--store", "mine://ana:hunter2@there", "--embedder", "hash", *form)
        assert (away.code, there.code) == (1, 4)
        assert "mine://ana:***@away" in away.err
        for done in (away, there):
            assert "hunter2" not in done.out + done.err
    checks = {check["name"]: check for check in there.json["checks"]}
    assert checks["server"]["found"] == "mine://ana:***@there is old"
    assert checks["open"]["state"] == "problem"


READER = """
from bruno_core.models.message import Message
from bruno_memory_vec.portability import Turn


def turns(lines, defaults):
    for line in lines:
        yield Turn("tabs", "ana", Message(role="user", content=line.data.decode().strip()), 1)
"""


def test_ingest_takes_another_package_s_format(run: Run, tmp_path: Path, install: Install) -> None:
    file = tmp_path / "talk.tabs"
    file.write_text("The red boat\n")
    arguments = ("ingest", str(file), "--store", str(tmp_path / "s"), "--embedder", "hash")
    assert run(*arguments, "--format", "tabs").code == 2
    install(READER, {"bruno_memory_vec.readers": "tabs = plugin:turns"})
    done = run(*arguments, "--format", "tabs", "--json")
    assert done.code == 0, done.err
    assert run("stats", "--store", str(tmp_path / "s"), "--json").json["totals"]["messages"] == 1
