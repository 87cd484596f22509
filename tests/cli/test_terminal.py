"""Commands on a terminal of 40, 60, 80 and 120 columns: nothing is wider, cut, or leaks.

``python -m tests.cli.terminal WIDTH COMMAND...`` shows one.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("a pseudo-terminal is of POSIX", allow_module_level=True)

from tests.cli.support import run_here
from tests.cli.terminal import on_terminal

pytestmark = pytest.mark.slow

WIDTHS = (40, 60, 80, 120)
# The first commands, which show rows, at all of them; the others at every second one.
_ALL_WIDTHS = 4
SAID = (
    "日本語のとても長い文章です。" * 12,
    "مرحبا بالعالم هذا نص طويل من اليمين إلى اليسار " * 5,
    "emoji 👩‍🍳👨‍👩‍👧‍👦 " * 20,
    "x" * 300,
    "control \x1b[2J\x1b[31mred\x07 \u202eevil\u202c tab\there",
    "[bold]markup[/bold] :smile: {x}",
)
COMMANDS = (
    ["recall", "日本 emoji", "-u", "odd"],
    ["recall", "emoji", "-u", "odd", "--why"],
    ["recall", "x", "-u", "od"],
    ["list"],
    ["list", "conversations"],
    ["list", "messages", "-n", "4"],
    ["list", "memories"],
    ["list", "messages", "--since", "whenever"],
    ["list", "things"],
    ["timeline", "-u", "odd"],
    ["show", "odd-talk"],
    ["show", "od-talk"],
    ["stats"],
    ["analytics", "-u", "odd"],
    ["doctor"],
    ["maintain"],
    ["audit"],
    ["compress", "--dry-run"],
    ["retention", "--days", "9999", "--dry-run"],
    ["forget", "odd", "--dry-run"],
    ["forget", "-c", "odd-talk", "--dry-run"],
    ["export", "{folder}/out-{width}.jsonl"],
    ["snapshot", "{folder}/snapshot-{width}"],
    ["backup", "{folder}/backup-{width}"],
    ["ingest", "{folder}/bad.jsonl", "--dry-run"],
)
WITHOUT_STORE = (
    ["--help"],
    ["recal", "x"],
    ["recall", "x", "--usr", "a"],
    ["demo", "--embedder", "hash"],
    ["list", "--store", "{folder}/stroe"],
    ["migrate", "{folder}/store", "--list"],
    ["copy", "{folder}/store", "{folder}/copy-{width}", "--dry-run"],
    # test_completion.py looks at the help of all.
    ["recall", "--help"],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("t")
    rows = [
        {"conversation_id": "odd-talk", "role": "user", "content": text, "user_id": "odd"}
        | {"timestamp": f"2026-11-0{n + 1}T10:00:00Z"}
        for n, text in enumerate(SAID)
    ]
    (made / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (made / "bad.jsonl").write_text('{"nope": 1}\n')
    options = ["--store", str(made / "store"), "--embedder", "hash"]
    assert run_here("ingest", str(made / "rows.jsonl"), *options).code == 0
    assert run_here("add", SAID[0], "-u", "odd", "--tag", "ä" * 60, *options).code == 0
    return made


@pytest.mark.parametrize("command", [*COMMANDS, *WITHOUT_STORE], ids=" ".join)
def test_nothing_is_wider_than_the_terminal(folder: Path, command: list[str]) -> None:
    env = {"BRUNO_MEMORY_URL": str(folder / "store"), "BRUNO_MEMORY_EMBEDDER": "hash"}
    wrong = []
    for width in WIDTHS if command in COMMANDS[:_ALL_WIDTHS] else WIDTHS[::2]:
        arguments = [part.format(folder=folder, width=width) for part in command]
        shown = on_terminal(width, arguments, env)
        assert shown.code in (0, 1, 2, 3), shown.raw
        wrong += [f"{width}: {problem}" for problem in shown.wrong(width)]
    assert not wrong, "\n".join(wrong)


def test_colours_are_there_unless_they_are_unwanted(folder: Path) -> None:
    env = {"BRUNO_MEMORY_URL": str(folder / "store"), "BRUNO_MEMORY_EMBEDDER": "hash"}
    command = ["show", "odd-talk"]
    assert "\x1b[36m" in on_terminal(80, command, env).raw
    plain = on_terminal(80, command, {**env, "NO_COLOR": "1"})
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", plain.raw)


def test_a_person_is_asked_before_something_goes(folder: Path) -> None:
    env = {"BRUNO_MEMORY_URL": str(folder / "store"), "BRUNO_MEMORY_EMBEDDER": "hash"}
    asked = on_terminal(60, ["forget", "-c", "odd-talk"], env, stdin="no\n")
    assert asked.code == 2
    assert "Type the conversation's id to go on:" in " ".join(asked.lines)
    assert "nothing was erased" in " ".join(asked.lines)
    assert "6 messages" in on_terminal(60, ["stats"], env).raw
