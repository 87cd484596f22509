"""The command, end to end, on a set of a few lines: files, resuming, failures, tables, plots."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.compare import main as compare
from benchmarks.retrieval import results
from benchmarks.retrieval.__main__ import main
from benchmarks.retrieval.datasets import load
from benchmarks.retrieval.matrix import Entry, Outcome, ReusingEmbedder, named_embedder, run_matrix
from benchmarks.retrieval.paired import summary
from benchmarks.retrieval.tables import markdown
from bruno_memory_vec.embedders import StaticEmbedder
from bruno_memory_vec.embedders.hashing import HashEmbedder
from bruno_memory_vec.embedders.sentence_transformers import SentenceTransformerEmbedder
from bruno_memory_vec.errors import InvalidInputError
from tests.benchmarks.fixed import Fixed

pytestmark = pytest.mark.slow

Run = Callable[..., int]


@pytest.fixture
def run(tiny: Path) -> Run:
    def command(*options: str) -> int:
        return main(["--data", f"jsonl={tiny}", "--embedder", "hash", *options])

    return command


# The matrix


def test_the_command_writes_a_file_a_run_and_goes_on_where_it_was(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--profile", "balanced", "--profile", "lexical", "--out", str(out)]
    assert run(*options) == 0
    table = capsys.readouterr().out
    files = sorted(path.name for path in out.iterdir())
    embedder = HashEmbedder().fingerprint.name
    assert files == [
        "retrieval.md",
        f"tiny-all-balanced-{embedder}.json",
        f"tiny-all-lexical-{embedder}.json",
    ]
    assert re.search(r"\| balanced +\| .* 3 \|", table)
    assert "updates@10" in table
    assert table.strip() in (out / "retrieval.md").read_text(encoding="utf-8")

    report = results.read(out / files[1])
    assert report["data"]["questions"] == 3
    assert report["settings"]["profile"]["name"] == "balanced"
    assert report["embedder"] == embedder
    assert report["versions"]["lancedb"]
    assert report["commit"]
    # The folders of the machine are not in it.
    assert str(tmp_path) not in (out / files[1]).read_text(encoding="utf-8")

    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.json")}
    assert run(*options) == 0
    again = capsys.readouterr()
    assert again.out == table
    assert again.err.count("kept: ") == 2
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("*.json")} == times

    # Another setting under the same name, or a file that is no report, is measured anew.
    changed = {**report, "settings": {}}
    results.write(changed, out / files[1])
    (out / files[2]).write_text("{", encoding="utf-8")
    assert run(*options) == 0
    assert "kept" not in capsys.readouterr().err
    assert results.read(out / files[1])["settings"] == report["settings"]

    assert run(*options, "--again") == 0
    assert "kept" not in capsys.readouterr().err
    assert compare([str(out / files[1]), str(out / files[1])]) == 0


def test_two_sets_of_one_name_are_two_files(run: Run, tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / tiny.name
    other.parent.mkdir()
    other.write_text(tiny.read_text(encoding="utf-8"), encoding="utf-8")
    out = tmp_path / "out"
    assert run("--data", f"jsonl={other}", "--profile", "lexical", "--out", str(out)) == 0
    embedder = HashEmbedder().fingerprint.name
    assert {path.name for path in out.glob("*.json")} == {
        f"tiny-all-lexical-{embedder}.json",
        f"tiny-2-all-lexical-{embedder}.json",
    }


def test_a_profile_may_be_a_file(run: Run, tmp_path: Path) -> None:
    shipped = (
        Path(results.__file__).parents[2]
        / "bruno_memory_vec"
        / "recall"
        / "profiles"
        / "lexical.toml"
    )
    own = tmp_path / "mine.toml"
    own.write_text(shipped.read_text(encoding="utf-8"), encoding="utf-8")
    assert run("--profile", str(own), "--json", str(tmp_path / "one.json")) == 0
    report = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    assert report["system"] == "mine"


def test_json_on_standard_output_is_nothing_but_json(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--profile", "lexical", "--split", "test", "--json", "-") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["data"]["questions"] == 1
    assert "## tiny (test)" in shown.err
    assert run("--profile", "lexical", "--profile", "semantic", "--json", "-") == 0
    assert len(json.loads(capsys.readouterr().out)["runs"]) == 2


def test_one_data_set_by_kind_and_path(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--dataset", "jsonl", "--path", str(tiny), "--embedder", "hash"]
    assert main([*options, "--profile", "balanced", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["system"] == "balanced"


def test_without_data_it_takes_what_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BRUNO_EVAL_DATA", str(tmp_path))
    options = ["--profile", "lexical", "--embedder", "hash", "--json", "-"]
    assert main(options) == 0
    assert json.loads(capsys.readouterr().out)["data"]["name"] == "samples"


def test_a_data_set_without_the_part_is_left_out(
    run: Run, write_lines: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_lines(
        "whole.jsonl",
        {"type": "turn", "id": "t", "user_id": "ana", "content": "Hello."},
        {"type": "question", "id": "q", "user_id": "ana", "question": "Hello?", "gold": ["t"]},
    )
    options = ["--data", f"jsonl={whole}", "--profile", "lexical", "--split", "dev"]
    assert run(*options) == 0
    shown = capsys.readouterr()
    assert "left out: split:" in shown.err
    assert "whole.jsonl has no part 'dev'" in shown.err
    assert "## tiny (dev)" in shown.out
    assert main([*options, "--embedder", "hash"]) == 1
    assert "nothing to run" in capsys.readouterr().err


async def test_a_run_that_fails_does_not_end_the_others(tiny: Path, tmp_path: Path) -> None:
    broken, said = Fixed(broken=True), list[str]()
    rows = [
        Entry("peer broken", lambda: broken, None),
        Entry("peer fixed", Fixed, None),
    ]
    out = tmp_path / "out"
    outcome = await run_matrix([("jsonl", tiny)], rows, out=out, say=said.append)
    assert [report["system"] for report in outcome.reports] == ["peer fixed"]
    assert outcome.failed == ["tiny, peer broken, -: ValueError: out of paper"]
    assert said == [f"failed: {outcome.failed[0]}"]
    assert broken.closed
    assert [path.name for path in out.iterdir()] == ["tiny-all-peer-fixed.json"]
    assert outcome.reports[0]["versions"]["fixed"] == "1"
    assert outcome.reports[0]["embedder"] is None
    assert "peer fixed: questions seen 3" in markdown(outcome.reports)


def test_a_failure_shows_in_the_exit_status(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def failing(*_: Any, **__: Any) -> Outcome:
        return Outcome(failed=["tiny, peer chroma, -: no"])

    monkeypatch.setattr("benchmarks.retrieval.__main__.run_matrix", failing)
    assert run("--profile", "lexical") == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--profile", "nobody"], "'nobody' is not known"),
        (["--embedder", "nobody"], "'nobody' is not known"),
        (["--profile", "lexical", "--plots"], "Name it with --out"),
        (["--data", "jsonl=/no/such/file"], "is not there"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_runs(
    run: Run, options: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*options) == 1
    assert problem in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "options", [["--data", "locomo"], ["--data", "trec=x"], ["--peer", "nobody"], ["--split", "x"]]
)
def test_wrong_options_end_with_2(options: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(options)
    assert ended.value.code == 2


def test_kept_stores_stand_in_folders_of_their_own(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "stores"
    assert run("--profile", "lexical", "--store", str(store)) == 0
    (folder,) = store.iterdir()
    assert (folder / "store" / "store.json").is_file()
    # Filling it a second time would measure another store.
    assert run("--profile", "lexical", "--store", str(store)) == 1
    assert "is not empty" in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_plots_are_the_same_for_the_same_runs(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason='needs pip install "bruno-memory-vec[plots]"')
    out = tmp_path / "out"
    options = ["--profile", "balanced", "--profile", "lexical", "--out", str(out), "--plots"]
    assert run(*options) == 0
    drawn = {path.name: path.read_bytes() for path in out.glob("*.svg")}
    assert set(drawn) == {"tiny-all-latency.svg", "tiny-all-quality.svg"}
    assert all(image.startswith(b"<?xml") for image in drawn.values())
    assert run(*options) == 0
    assert {path.name: path.read_bytes() for path in out.glob("*.svg")} == drawn


def test_peers_that_use_no_embedder_run_once(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("bm25s", "Stemmer"):
        pytest.importorskip(module, reason='needs pip install "bruno-memory-vec[peer-bm25]"')
    options = ["--peer", "bm25", "--peer", "vectors", "--embedder", "static", "--profile", "none"]
    assert run(*options, "--json", "-") == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [(one["system"], one["embedder"]) for one in runs] == [
        ("peer bm25", None),
        ("peer vectors", HashEmbedder().fingerprint.name),
        ("peer vectors", StaticEmbedder().fingerprint.name),
    ]
    assert runs[0]["settings"]["depth"] == 20


# Parts


def test_vectors_are_reused_for_texts_and_never_for_questions() -> None:
    calls: list[tuple[str, int]] = []

    class Counting(HashEmbedder):
        def embed(self, texts: Sequence[str], *, kind: Any = "document") -> Any:
            calls.append((kind, len(texts)))
            return super().embed(texts, kind=kind)

    embedder = ReusingEmbedder(Counting())
    first = embedder.embed(["a", "b", "a"])
    second = embedder.embed(["b", "c"])
    embedder.embed(["a"], kind="query")
    embedder.embed(["a"], kind="query")
    assert calls == [("document", 2), ("document", 1), ("query", 1), ("query", 1)]
    assert embedder.reused == 2
    assert (first == HashEmbedder().embed(["a", "b", "a"])).all()
    assert (second == HashEmbedder().embed(["b", "c"])).all()


def test_reused_vectors_are_in_the_report(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--profile", "semantic", "--profile", "balanced", "--reuse-vectors", "--json", "-"]
    assert run(*options) == 0
    first, second = json.loads(capsys.readouterr().out)["runs"]
    assert "vectors_reused" not in first["store"]
    assert second["store"]["vectors_reused"] == 5


def test_an_embedder_is_a_name_or_a_folder_with_or_without_a_name(tmp_path: Path) -> None:
    assert isinstance(named_embedder("static"), StaticEmbedder)
    assert isinstance(named_embedder(str(tmp_path)), SentenceTransformerEmbedder)
    assert isinstance(named_embedder(f"minilm={tmp_path}"), SentenceTransformerEmbedder)
    with pytest.raises(InvalidInputError, match="is not known"):
        named_embedder("minilm=/no/such/folder")


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    report = {
        "format": results.FORMAT,
        "text": "kept [  as\n it, is ]",
        "figures": {"recall@5": [0.5, None, 1.0], "empty": [], "names": ["a", "b"]},
        "questions": {"ids": ["ä", "b"], "gold": [[1, 0], [3]]},
    }
    path = tmp_path / "deep" / "report.json"
    results.write(report, path)
    assert results.read(path) == report
    text = path.read_text(encoding="utf-8")
    assert '"recall@5": [0.5, null, 1.0]' in text
    assert '"gold": [[1,0],[3]]' in text
    assert [one.name for one in path.parent.iterdir()] == ["report.json"]


def test_a_digest_changes_with_texts_and_gold(tiny: Path) -> None:
    whole = results.digest(load("jsonl", tiny))
    assert whole == results.digest(load("jsonl", tiny))
    changed = tiny.read_text(encoding="utf-8").replace('["t3"]', '["t2"]')
    tiny.write_text(changed, encoding="utf-8")
    assert results.digest(load("jsonl", tiny)) != whole


@pytest.mark.slow
def test_locomo_runs_where_it_is(eval_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = eval_data / "locomo"
    if not folder.is_dir():
        pytest.skip(f"no LoCoMo in {eval_data}")
    options = ["--dataset", "locomo", "--path", str(folder), "--split", "dev"]
    assert main([*options, "--profile", "lexical", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    found = summary(report, "turns")
    assert (found["questions"], found["groups"]) == (760, 5)
    # BM25 alone: far from both chance and the fused profiles.
    assert 0.55 < found["recall@10"][0] < 0.75
    assert set(report["figures"]["apart"]) == {"5"}
    assert report["figures"]["second_gold"]["questions"] == 760


def test_the_console_takes_paths_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    # rich reads "[...]" as markup unless it is told not to.
    from benchmarks.retrieval.__main__ import _say

    _say(Console(stderr=True), "left out: [0].haystack[1]")
    assert "[0].haystack[1]" in capsys.readouterr().err
