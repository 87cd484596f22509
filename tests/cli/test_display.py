"""How hits are shown."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bruno_memory_vec.prompts.hidden_characters import marked
from bruno_memory_vec.surfaces.cli.display import (
    REASONS,
    Page,
    Reasons,
    Signals,
    counted,
    excerpt,
    words_of,
    wrapped,
)
from bruno_memory_vec.surfaces.cli.opening import bars
from bruno_memory_vec.surfaces.cli.running import Out


def shown(signals: dict[str, float], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(Signals(signals))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


def test_signals_break_between_and_the_largest_is_first() -> None:
    signals = {"recency": -0.02, "lexical": 0.6, "use": 0.0, "semantic": 0.3}
    assert shown(signals, 80) == ["▪▪▪▪▪▪▪ lexical +0.600  ▪▪▪ semantic +0.300  recency -0.020"]
    assert shown(signals, 30) == [
        "▪▪▪▪▪▪▪ lexical +0.600",
        "▪▪▪ semantic +0.300",
        "recency -0.020",
    ]
    assert shown({"use": 0.0}, 80) == [""]


def test_excerpt() -> None:
    text = " ".join(f"word{n}" for n in range(100)) + " the starter is called Clotilde indeed"
    assert excerpt("short   text", set(), 40) == "short text"
    found = excerpt(text, words_of("What is the starter called?"), 60)
    assert "starter is called Clotilde" in found
    assert found.startswith("… ")
    assert len(found) <= 60
    apart = f"cake {'filling ' * 40} cake {'filling ' * 90}"
    assert "cake" in excerpt(apart, {"cake"}, 40)
    assert excerpt(text, set(), 30).startswith("word0")
    assert excerpt("x" * 100, {"y"}, 20) == "x" * 19 + "…"


@pytest.mark.parametrize("width", [12, 20, 33, 60])
def test_excerpts_keep_their_width(width: int) -> None:
    text = "日本 " * 30 + "and then some words that follow, ending in cake"
    for words in (set(), words_of("cake"), words_of("words")):
        assert Console().render_str(excerpt(text, words, width)).cell_len <= width


def test_clean() -> None:
    assert marked("two\nlines") == "two\nlines"
    assert marked("a\x1b[0m\tb\r\x00") == "a\ufffd[0m    b\ufffd"
    assert marked("👩\u200d🍳 \u202eevil") == "👩\u200d🍳 \ufffdevil"


def test_counted() -> None:
    assert [counted(1, "memory"), counted(2, "memory"), counted(1234, "turn")] == [
        "1 memory",
        "2 memories",
        "1,234 turns",
    ]


def test_a_gone_reader_is_a_broken_pipe() -> None:
    with pytest.raises(BrokenPipeError):
        Page(file=io.StringIO()).on_broken_pipe()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bars_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with bars(Out(as_json=False)) as progress:
        assert progress is None
    terminal = _Terminal()
    monkeypatch.setattr("sys.stdout", _Terminal())
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with bars(Out(as_json=True)) as progress:
        assert progress is None
    with bars(Out(as_json=False)) as progress:
        assert progress is not None
        progress("indexing text", 1, 3)
        progress("indexing text", 3, 3)
    assert "indexing text" in terminal.getvalue()


def test_lines_break_between_words_and_keep_their_indentation() -> None:
    assert wrapped("  one two three four", 11) == ["  one two", "  three", "  four"]
    assert wrapped("short", 11) == ["short"]
    assert wrapped("", 11) == [""]
    command = "  bruno-memory-vec ingest FILE --store /somewhere/far"
    assert wrapped(command, 20) == [command]
    for width in (5, 8, 20, 41):
        for line in (
            "日本語の文章です。" * 5,
            "x" * 90,
            "  deep " + "y" * 30,
            "👩\u200d🍳 cook " * 9,
        ):
            parts = wrapped(line, width)
            assert all(Console().render_str(part).cell_len <= width for part in parts)
            assert "".join("".join(parts).split()) == "".join(line.split())


def test_reasons_are_in_plain_words_the_largest_first() -> None:
    console = Console(file=io.StringIO(), width=60)
    console.print(Reasons({"recency": -0.1, "lexical": 0.7, "use": 0.001, "another": 0.35}))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split("+")[-1].split("-")[-1].split(maxsplit=1)[1].strip() for line in lines] == [
        "the same words",
        "another",
        "how new it is",
    ]
    assert abs(lines[0].count("█") - 2 * lines[1].count("█")) <= 1


def test_every_signal_has_a_reason() -> None:
    from bruno_memory_vec.rankers.steps import STEPS

    assert {step.name for step in STEPS.values()} - {"learned", "cross_encoder"} <= set(REASONS)
