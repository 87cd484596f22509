"""The texts on which static token vectors can be trained."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
LICENCE = "  1 WordNet 3.0 Copyright 2006 by Princeton University.  \n"
LINES = {
    "noun": "00001740 03 n 01 entity 0 000 | that which is perceived  \n",
    "verb": "00023473 29 v 02 perk_up 0 pick_up 0 000 01 + 02 00 | gain or regain energy; "
    '"I picked up after a nap"; "perk up"  \n',
    "adj": "00013887 00 s 01 galore(ip) 0 000 | in great numbers; "
    '"daffodils galore grew there"  \n',
    "adv": "00001837 02 r 01 barely 0 000 | by a little  \n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.delitem(sys.modules, "wordnet_texts", raising=False)
    for part, line in LINES.items():
        (tmp_path / f"data.{part}").write_text(LICENCE + line, encoding="latin-1")
    return tmp_path


def test_definitions_and_examples(folder: Path) -> None:
    from wordnet_texts import read_texts

    texts = read_texts(folder, 100)
    assert sorted(texts) == [
        "I picked up after a nap",
        "barely: by a little",
        "daffodils galore grew there",
        "entity: that which is perceived",
        "galore: in great numbers",
        "perk up, pick up: gain or regain energy",
    ]


def test_the_order_is_the_seeds_and_a_beginning_is_a_beginning(folder: Path) -> None:
    from wordnet_texts import read_texts

    texts = read_texts(folder, 100)
    assert read_texts(folder, 4) == texts[:4]
    assert any(read_texts(folder, 100, seed) != texts for seed in range(1, 6))


def test_another_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    from wordnet_texts import read_texts

    (tmp_path / "data.adv").write_text("something else\n", encoding="latin-1")
    with pytest.raises(SystemExit, match=r"data\.adv does not say that it is of WordNet 3\.0"):
        read_texts(folder, 100)
    (tmp_path / "data.adv").unlink()
    with pytest.raises(SystemExit, match=r"data\.adv is not there"):
        read_texts(folder, 100)
