"""The share of the evidence inside a context, and what it is counted by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.context import counting, tables
from benchmarks.context.__main__ import main
from benchmarks.context.counting import COUNTS, by_words
from benchmarks.context.evidence import Shares
from benchmarks.context.ways import Filled, packed, shown_turns
from benchmarks.retrieval.asking import Asked
from benchmarks.retrieval.datasets.base import Question, Turn
from bruno_memory_vec.prompts.quoting import quotable
from tests.benchmarks.conftest import Write, question, turn

pytestmark = pytest.mark.slow

WORDS = COUNTS["words"]


def test_words_are_counted_as_the_prototype_did() -> None:
    assert by_words("") == 0
    assert by_words("one two  three\nfour") == 6  # 4 x 1.35, rounded up
    assert WORDS.turn == counting.A_TURN == 6


def test_a_turn_that_does_not_fit_is_passed_over() -> None:
    texts = [("long", "word " * 100), ("short", "two words")]
    # The question takes 2 + 6 tokens, the short turn 3 + 6.
    assert packed("Why?", texts, 17, WORDS).whole == {"short"}
    assert packed("Why?", texts, 17, WORDS).tokens == 17
    assert packed("Why?", texts, 16, WORDS).whole == set()
    assert packed("Why?", texts, 17, WORDS, gaps=False).whole == set()
    assert packed("Why?", texts, 8 + 135 + 6, WORDS, gaps=False).whole == {"long"}


def said(name: str, content: str) -> Turn:
    return Turn(name, "ana", "c1", "user", content)


def test_evidence_has_to_stand_in_the_text() -> None:
    long = 'I said <b>"go"</b>. ' + "Then we talked of the garden. " * 20 + "The key is blue."
    turns = {"1": said("t1", long), "2": said("t2", "My dog is\nBiscuit."), "3": said("t3", "Yes.")}
    quoted = f'[m1] user: "{quotable(long)}"\n[m2] user: "My dog is Biscuit."'
    assert shown_turns([("1", quotable(long))], quoted, turns) == (frozenset({"t1"}), frozenset())
    assert shown_turns([("2", "My dog is Biscuit.")], quoted, turns) == (
        frozenset({"t2"}),
        frozenset(),
    )
    # Named by the report, but not in the text.
    assert shown_turns([("3", "Yes.")], quoted, turns) == (frozenset(), frozenset())
    # In the text, but not named by the report.
    assert shown_turns([], quoted, turns) == (frozenset(), frozenset())
    assert shown_turns([("9", "Yes."), (None, "My dog is Biscuit.")], quoted, turns)[0] == set()


def test_a_passage_is_a_part() -> None:
    long = "Then we talked of the garden. " * 20 + "The key is blue. " + "And of the cat. " * 20
    turns = {"1": said("t1", long)}
    part = "… garden. The key is blue. And …"
    assert shown_turns([("1", part)], f'[m1] "{part}"', turns) == (frozenset(), frozenset({"t1"}))
    # Words that the turn does not have are no passage of it.
    other = "… garden. The key is red. And …"
    assert shown_turns([("1", other)], f'[m1] "{other}"', turns) == (frozenset(), frozenset())
    assert shown_turns([("1", "…")], "…", turns) == (frozenset(), frozenset())


def test_shares_are_of_each_questions_gold() -> None:
    shares = Shares((10, 20))
    for number, group in enumerate(("c1", "c1", "c2")):
        gold = ("a", "b") if number else ("a", "a")
        one = Question(str(number), "ana", "What?", "x", gold, group)
        some = Filled(frozenset("a"), frozenset("c"), 9)
        asked = Asked(one, None, None, 0)  # type: ignore[arg-type]
        shares.add(asked, [some, Filled(frozenset("a"), frozenset("b"), 25)])
    found = shares.to_dict()
    assert found["10"]["share"][0] == pytest.approx((1 + 0.5 + 0.5) / 3, abs=1e-4)
    assert found["20"]["share"][0] == 1
    assert found["20"]["whole"] == found["10"]["whole"] == found["10"]["share"][0]
    assert (found["10"]["over"], found["20"]["over"]) == (0, 3)
    assert found["10"]["tokens"] == 9


@pytest.fixture
def talk(write_lines: Write) -> Path:
    """Two people's talks, in which the evidence is one of forty turns."""
    lines = []
    for user, fact in (("ana", "The violin is in the attic."), ("ben", "My tractor needs oil.")):
        for number in range(40):
            at = f"2026-03-01T10:{number:02}:00Z"
            filler = "We walked along the river again, and the weather was as fine as ever."
            lines.append(turn(f"t{number}", user, fact if number == 7 else filler, at))
    lines.append(question("q1", "ana", "Where is the violin?", ["t7"]))
    lines.append(question("q2", "ben", "What does the tractor need?", ["t7"]))
    return write_lines("talk.jsonl", *lines)


def test_the_command_measures_every_way(
    talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, drawn = tmp_path / "out.json", tmp_path / "out.svg"
    options = ["--embedder=hash", "--count=words", "--count=bound", f"--json={out}"]
    options += ["--strategy=hybrid", "--strategy=sliding_window"]
    assert main([f"--data=talk={talk}", *options, f"--plot={drawn}"]) == 0
    report = json.loads(out.read_text())
    table = capsys.readouterr().out.strip()
    (corpus,) = report["corpora"]
    assert corpus["data"]["name"] == "talk"
    found = {
        (row["way"], row["count"]): {
            budget: (one["share"][0], one["over"]) for budget, one in row["budgets"].items()
        }
        for row in corpus["rows"]
    }
    for count in ("words", "bound"):
        assert found["build_context, hybrid", count]["500"] == (1, 0)
        assert found["plain top-k", count]["500"] == (1, 0)
    # The fact was said long before the last turns that fit.
    assert found["build_context, sliding_window, within the talk", "words"]["500"] == (0, 0)
    assert found["last turns", "words"]["500"] == (0, 0)
    assert found["last turns", "words"]["4000"] == (1, 0)
    assert corpus["found"]["10"] == 1
    assert str(tmp_path) not in report["command"]
    assert set(report["speed"]["strategies"]) == set(report["settings"]["strategies"])
    assert "MiniLM" in report["left_out"][0]
    # The file gives the same table and the same plot.
    again = tmp_path / "again.svg"
    assert main([f"--from={out}", f"--plot={again}"]) == 0
    assert capsys.readouterr().out.strip() == table == tables.markdown(report)
    assert again.read_bytes() == drawn.read_bytes()
    # Rows that several files have are there once.
    assert main([f"--from={out}", f"--from={out}"]) == 0
    assert capsys.readouterr().out.strip() == table


def test_a_compression_is_measured_before_and_after(talk: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    options = ["--embedder=hash", "--no-evidence", "--no-speed", "--compressed=1"]
    assert main([f"--data=talk={talk}", *options, f"--json={out}"]) == 0
    report = json.loads(out.read_text())
    found = report["compression"]
    assert (found["turns"], found["questions"]) == (40, 1)
    assert found["before"]["500"]["share"][0] == 1
    assert report["corpora"] == []
    for one in found["after"]:
        assert one["turns"] == 40
        assert one["ratio"] <= one["ratio_wanted"]
        # The only sentence that is not like the others is in the summary, which recall finds.
        assert one["budgets"]["2000"]["share"][0] == 1
        assert one["budgets"]["2000"]["whole"] == 0
