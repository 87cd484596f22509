"""docs/importing.md names every format, and its example runs as it stands."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from bruno_memory_vec.portability import times
from bruno_memory_vec.portability.opening import MOST_RATIO, SLACK
from bruno_memory_vec.portability.readers import ALL
from bruno_memory_vec.portability.readers.content import LONGEST_RESULT

PAGE = (Path(__file__).parents[2] / "docs" / "importing.md").read_text(encoding="utf-8")


def test_every_format_is_there() -> None:
    named = re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE)
    assert sorted(named) == sorted([*ALL, "bruno-memory"])


def test_the_example_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (code,) = [block for block in blocks if "portability import read" in block]
    shown = PAGE.partition(code)[2].partition("## Formats")[0]
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "importing.md", "exec"), {})
    assert out.getvalue().split("\n")[:-1] == re.findall(r"^    (\S.*)$", shown, re.MULTILINE)


def test_its_bounds_and_names_are_those_of_the_code() -> None:
    assert f"{MOST_RATIO} times its\nsize and {SLACK // 2**20} MiB" in PAGE
    assert f"Of each {LONGEST_RESULT:,} characters" in PAGE
    for key in ("created_at", "create_time", "date", "time", "ts"):
        assert key in times.KEYS
