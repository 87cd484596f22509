"""What errors say is whole sentences: what happened, then what to do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from bruno_memory_vec.errors import BackendUnavailable, EmbeddingError, problem_and_fix

ROOT = Path(__file__).parents[2]
FOLDERS = ("bruno_memory_vec", "indexers", "rankers")


def test_what_is_quoted_may_end_with_a_full_stop() -> None:
    for problem, told in (
        ("no such file", "no such file. Look."),
        ("'NAME' is wrong.", "'NAME' is wrong. Look."),
        ("it says and so on...", "it says and so on... Look."),
    ):
        assert str(EmbeddingError(problem, fix="Look.")) == told
        assert problem_and_fix(EmbeddingError(problem, fix="Look."))[1] == "Look."
        engine = BackendUnavailable("redis", "open", problem, fix="Look.")
        assert str(engine) == f"redis failed to open: {told}"


def _fixes() -> Iterator[tuple[str, str]]:
    """Where each advice is, and its end, where that is written out."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if path.parent.is_symlink() or path.is_relative_to(ROOT / "bruno_memory_vec/indexers"):
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    for keyword in node.keywords:
                        if keyword.arg == "fix":
                            yield from (
                                (f"{path.relative_to(ROOT)}:{keyword.value.lineno}", text)
                                for text in _ends(keyword.value)
                            )


def _ends(value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.JoinedStr) and isinstance(value.values[-1], ast.Constant):
        # With what stands before the last value, which may be a command.
        yield "".join(
            str(part.value) if isinstance(part, ast.Constant) else "..." for part in value.values
        )
    elif isinstance(value, ast.BinOp):
        yield from _ends(value.right)
    elif isinstance(value, ast.IfExp):
        yield from _ends(value.body)
        yield from _ends(value.orelse)


def test_advice_ends_with_a_full_stop_or_a_command_to_copy() -> None:
    found = list(_fixes())
    assert len(found) > 300
    for place, text in found:
        command = text.rpartition(": ")[2].rpartition("; see ")[2]
        copied = command.startswith(("bruno-memory-vec ", "pip install ")) or "--resume" in command
        assert text.rstrip().endswith((".", "?")) or copied or "[" in command, (place, text)
