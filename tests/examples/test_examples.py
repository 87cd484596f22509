"""Every example runs, offline and with a provider, and says what it promises."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
MODULES = ("llm", "terminal", "chat", "ask_notes", "several_users", "long_conversation")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an empty folder, without settings of the environment; nothing stays imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for name in ("BRUNO_LLM", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


def example(name: str) -> Any:
    module = importlib.import_module(name)
    # Tests run in one process, whose logs are as others want them.
    importlib.import_module("llm").quiet = lambda: None
    return module


def typed(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, without the lines that bruno-core logs here."""
    out = capsys.readouterr().out
    return re.sub(r"(?m)^.*\[(?:info|debug|warning|error) *\].*\n", "", out)


def test_the_readme_lists_every_script_and_options_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert len(scripts) > 6
    assert not [name for name in scripts if name not in text]
    shown = re.findall(r"python examples/(\w+)\.py(.*)", text)
    assert len(shown) > 5
    for script, options in shown:
        with pytest.raises(SystemExit):
            example(script).options(["--help"])
        told = capsys.readouterr().out
        assert not [one for one in re.findall(r"--\w+", options) if one not in told]


def test_chat_as_a_program_with_piped_lines(tmp_path: Path) -> None:
    lines = "My bike is a red Koga, bought in Utrecht.\n\n/new\nWhere did I buy my bike?\n/why\n"
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "chat.py"), "--store", str(tmp_path / "m")],
        input=lines, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "60"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    out = done.stdout
    assert "me> Where did I buy my bike?" in out
    assert 'From what I know: "My bike is a red Koga' in out
    assert "of 1000 tokens" in out
    assert "recalled" in out.split("/why")[-1]
    assert max(map(len, out.splitlines())) <= 60
    assert "me> \n" not in out, "an empty line is no question"


def test_chat_remembers_the_next_time_and_survives_a_model_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = example("chat")
    typed(monkeypatch, "/why", "/help", "My dentist is Dr. Petrova.")
    assert chat.main(["--store", "m"]) == 0
    out = said(capsys)
    assert "0 messages remembered" in out
    assert "Nothing yet." in out
    assert out.count("/quit") == 2

    stub = importlib.import_module("llm").Stub
    real = stub.generate

    async def fails_once(self: Any, messages: list[Message], **options: Any) -> str:
        monkeypatch.setattr(stub, "generate", real)
        raise ConnectionError("the model is away")

    monkeypatch.setattr(stub, "generate", fails_once)
    typed(monkeypatch, "Hello?", "Who is my dentist?", "/quit", "not read any more")
    assert chat.main(["--store", "m", "--strategy", "semantic"]) == 0
    out = said(capsys)
    assert "2 messages remembered" in out
    assert "! the model is away" in out
    assert "Petrova" in out
    assert "not read" not in out


def test_chat_ends_with_the_end_of_its_input_and_tells_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = example("chat")
    typed(monkeypatch)
    assert chat.main(["--store", "m"]) == 0
    (tmp_path / "taken").write_text("a file")
    assert chat.main(["--store", "taken"]) == 1
    assert "chat: " in capsys.readouterr().err


def test_notes_are_cited_with_their_sources(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = example("ask_notes")
    typed(monkeypatch, "Where did we stay in Lisbon?", "", "How long does the rye bread bake?")
    assert notes.main(["--store", "m"]) == 0
    out = said(capsys)
    assert "11 paragraphs of 4 notes: 11 new, 0 gone." in out
    first, second = out.split("ask> ")[1:]
    assert "Casa do Jasmim" in first
    assert "[1] trips.md:5  Trips > Lisbon, May 2024" in first
    assert "for an hour at 220 degrees" in " ".join(second.split())
    assert "[1] recipes.txt:1" in second
    assert max(map(len, out.splitlines())) <= 60
    # The line is the one where the paragraph stands.
    trips = (EXAMPLES / "notes" / "trips.md").read_text(encoding="utf-8").splitlines()
    assert trips[4].startswith("We stayed in the Casa do Jasmim")


def test_the_readmes_own_question_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    asked = re.search(r'ask_notes.py --ask "(.*)"', text)
    assert asked is not None
    assert example("ask_notes").main(["--store", "m", "--ask", asked[1]]) == 0
    assert "14 May 2025" in " ".join(said(capsys).split())


def test_notes_that_change_are_stored_and_those_that_go_are_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes, folder = example("ask_notes"), tmp_path / "notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Tea\n\nThe tin of Assam is green.\n\nThe cups are blue.\n")
    (folder / "b.txt").write_text("The key hangs behind the clock.\n")
    ask = ["--store", "m", str(folder), "--ask"]
    assert notes.main([*ask, "Which colour has the tin of Assam?"]) == 0
    assert "3 new, 0 gone" in said(capsys)
    assert notes.main([*ask, "Where does the key hang?"]) == 0
    out = said(capsys)
    assert "0 new, 0 gone" in out
    assert "behind the clock" in out
    (folder / "b.txt").unlink()
    (folder / "a.md").write_text("# Tea\n\nThe tin of Assam is yellow.\n\nThe cups are blue.\n")
    assert notes.main([*ask, "Which colour has the tin of Assam?"]) == 0
    out = said(capsys)
    assert "1 new, 2 gone" in out
    assert "yellow" in out
    assert notes.main([*ask, "Where does the key hang?"]) == 0
    assert "behind the clock" not in said(capsys)
    with pytest.raises(SystemExit, match="is no folder"):
        notes.main([str(tmp_path / "none")])


async def test_numbers_stand_for_marks_that_there_are() -> None:
    from bruno_memory_vec.context import ContextItem, ContextReport

    notes = example("ask_notes")
    items = tuple(
        ContextItem("recalled", kind, f"id{mark}", mark, "text", 5)
        for mark, kind in (("m1", "memory"), ("m2", "message"), ("m3", "memory"))
    )
    report = ContextReport("hybrid", 100, 15, items)
    text, sources = notes.numbered("B [m3], A [m1], B [m3], no note [m2], made up [m9].", report)
    assert text == "B [1], A [2], B [1], no note , made up ."
    assert [item.cite for item in sources] == ["m3", "m1"]


def test_several_users(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    users = example("several_users")
    assert users.main(["--store", "m"]) == 0
    out = said(capsys)
    assert "Everybody got their own, and nothing of another." in " ".join(out.split())
    assert "refused: the conversation 'ana-1'" in out
    assert max(map(len, out.splitlines())) <= 60
    # It would notice: here all are one user.
    real = users.say

    async def as_one(assistant: Any, user: str, text: str, conversation: str) -> str:
        return str(await real(assistant, "ana", text, conversation))

    monkeypatch.setattr(users, "say", as_one)
    assert users.main(["--store", "m2"]) == 1
    assert "FAILED: ben was shown 318" in said(capsys)


def test_a_long_conversation_is_compressed_and_nothing_is_lost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = example("long_conversation")
    assert long.main(["--store", "m"]) == 0
    out = " ".join(said(capsys).split())
    assert "220 turns are" in out
    assert "All 240 turns are in the history." in out
    assert "220 turns are recalled again" in out
    before, after = out.split("The same questions:")
    for wanted in long.QUESTIONS.values():
        assert f"{wanted} is in it" in before
        assert f"{wanted} is in it" in after


# The model


class Service(BaseHTTPRequestHandler):
    """What a provider's server answers, as far as the providers of bruno-llm ask."""

    asked: list[dict[str, Any]]

    def _send(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self._send({"models": [{"name": "small"}], "object": "list", "data": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append(body)
        message = {"role": "assistant", "content": "In Utrecht."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        self._send({
            "message": message, "done": True, "id": "1", "object": "chat.completion",
            "created": 1, "model": "small", "choices": [choice], "usage": usage,
        })  # fmt: skip

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    """A server of models on loopback; gives its host and port."""
    Service.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("name", ["ollama:small", "openai:gpt-4o-mini"])
def test_one_setting_asks_a_provider_of_bruno_llm(
    name: str, service: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("bruno_llm")
    chat = example("chat")
    monkeypatch.setenv("OLLAMA_HOST", service)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://{service}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    monkeypatch.setenv("BRUNO_LLM", name)
    typed(monkeypatch, "My bike is red.", "Where did I buy my bike?")
    assert chat.main(["--store", "m"]) == 0
    assert "In Utrecht." in said(capsys)
    sent = Service.asked[-1]
    assert sent["model"] == name.partition(":")[2]
    assert sent["messages"][-1] == {"role": "user", "content": "Where did I buy my bike?"}
    assert "My bike is red." in str(sent["messages"])


def test_a_model_that_cannot_be_asked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = example("chat")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    for name, problem in (
        ("ollama:small", "does not answer. Start it with: ollama run small"),
        ("openai:gpt", "OPENAI_API_KEY"),
        ("claude", "write stub, ollama:MODEL or openai:MODEL"),
        ("ollama", "write stub"),
    ):
        with pytest.raises(SystemExit, match=problem):
            chat.main(["--store", "m", "--llm", name])


def test_the_stub_knows_nothing_that_is_not_in_its_prompt() -> None:
    llm = example("llm")
    quoted = '<notes>\n2026-01-02:\n[m1] user: "The boiler cost 386 euros. It hums."\n'
    quoted += (
        '[m2] assistant: "The boiler is large."\n[m3] user: "What about the boiler?"\n</notes>'
    )
    prompt = [Message(role=MessageRole.SYSTEM, content=quoted)]

    def ask(text: str) -> str:
        question = Message(role=MessageRole.USER, content=text)
        return asyncio.run(llm.Stub().generate([*prompt, question]))

    assert (
        ask("What was the cost of the boiler?")
        == 'From what I know: "The boiler cost 386 euros." [m1]'
    )
    assert ask("Who is the king of Norway?").startswith("I do not know")
    # Who asks when is told when, where the same text says so.
    paragraph = '[m1] fact: "A boiler of 2019. It was serviced on 14 May 2025. It is blue."'
    prompt[0] = Message(role=MessageRole.SYSTEM, content=paragraph)
    assert "14 May 2025" in ask("When was the boiler seen to?")
    assert "of 2019" in ask("What of the boiler?")
    assert ask("The boiler hums.") == "Noted."
