from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.profiles import list_profiles, load_profile
from bruno_memory_vec.rankers import Profile, rank
from tests.rankers.pools import NOW, make_pool

GOOD = """
description = "mine"
[candidates]
lexical = 10
semantic = 10
neighbours_of = 0
neighbour_distance = 0
[query]
drop_stopwords = true
phrase_weight = 0.0
[fusion]
method = "convex"
semantic_weight = 0.5
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_ones() -> None:
    assert list_profiles() == ["balanced", "lexical", "rrf", "semantic"]


@pytest.mark.parametrize("name", list_profiles())
def test_every_shipped_profile_loads_and_ranks(name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.description
    pool = make_pool(3, lexical=[1.0, 2.0, 3.0], semantic=[0.1, 0.2, 0.3])
    assert rank(pool, profile.rank, k=2, now=NOW).order.tolist() == [2, 1]


@pytest.mark.parametrize("name", list_profiles())
def test_neighbours_that_count_are_fetched(name: str) -> None:
    profile = load_profile(name)
    neighbours = profile.rank.neighbours
    wanted = 0 if neighbours is None else neighbours.distance
    assert profile.candidates.neighbour_distance == wanted


def test_a_shipped_profile_is_read_once() -> None:
    assert load_profile("balanced") is load_profile("balanced")


def test_a_profile_is_taken_as_it_is() -> None:
    profile = load_profile("rrf")
    assert load_profile(profile) is profile


@pytest.mark.parametrize("kind", [str, Path])
def test_from_a_file(tmp_path: Path, kind: type[Any]) -> None:
    profile = load_profile(kind(write(tmp_path, GOOD)))
    assert isinstance(profile, Profile)
    assert (profile.name, profile.description) == ("mine", "mine")
    assert profile.rank.fusion.semantic_weight == 0.5
    assert profile.rank.neighbours is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lexical = 10", "lexcal = 10", "lexcal"),
        ("lexical = 10\n", "", "lexical"),
        ("lexical = 10", 'lexical = "10"', "lexical"),
        ("lexical = 10", "lexical = 10.5", "lexical"),
        ("lexical = 10", "lexical = -1", "lexical"),
        ("phrase_weight = 0.0", "phrase_weight = nan", "phrase_weight"),
        ("drop_stopwords = true", "drop_stopwords = 1", "drop_stopwords"),
        ('method = "convex"', 'method = "sum"', "method"),
        ('description = "mine"', "description = 3", "description"),
        ('description = "mine"', "use = 3", "use is not a table"),
        ("[fusion]", "[fusoin]", "fusoin"),
        ("[query]", "[query", "TOML"),
        ('[fusion]\nmethod = "convex"\nsemantic_weight = 0.5', "", "fusion"),
        ("[fusion]", "[recency]\nstrength = 9\nhalf_life_days = 1\n[fusion]", "strength"),
        ('method = "convex"', 'method = ["convex"]', "method"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidInputError, match=said) as caught:
        load_profile(write(tmp_path, GOOD.replace(old, new)))
    assert caught.value.field == "profile"
    assert caught.value.fix


@pytest.mark.parametrize("name", ["nope", "", "../balanced", "missing.toml", 3, None])
def test_an_unknown_profile(name: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_profile(name)
    assert caught.value.field == "profile"


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        load_profile(path)
