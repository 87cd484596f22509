from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rankers import STEPS, Answers, Coverage, Learned, Neighbours, Profile, rank
from bruno_memory_vec.recall.profiles import list_profiles, load_profile
from tests.rankers.pools import EVERYTHING, NOW, make_pool

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
SIMPLE_STEPS = [step for step in STEPS if step != "learned"]


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def table(step: str, **changed: str) -> str:
    """A step's table as TOML, with some of its values (as TOML) changed, or left out by ""."""
    settings: Any = EVERYTHING.get(step)
    values = {field.name: json.dumps(getattr(settings, field.name)) for field in fields(settings)}
    lines = (f"{name} = {value}" for name, value in {**values, **changed}.items() if value)
    return "\n".join([f"[{step}]", *lines, ""])


def refused(path: Path, said: str) -> InvalidInputError:
    with pytest.raises(InvalidInputError, match=said) as caught:
        load_profile(path)
    assert caught.value.field == "profile"
    assert caught.value.fix
    assert "mine" in str(caught.value)
    return caught.value


def test_the_shipped_ones() -> None:
    assert list_profiles() == ["balanced", "fast", "lexical", "rrf", "semantic"]


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
    neighbours = profile.rank.get(Neighbours)
    wanted = max(
        neighbours.distance if neighbours else 0,
        # Coverage looks at the two turns before, and an answer at the question before it.
        2 if profile.rank.get(Coverage) else 0,
        1 if profile.rank.get(Answers) else 0,
    )
    # Some profiles leave the neighbours that are not candidates themselves where they are.
    fetched = profile.candidates.neighbours_of > 0
    assert profile.candidates.neighbour_distance == (wanted if fetched else 0)
    assert wanted or not fetched


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
    assert all(profile.rank.get(step) is None for step in STEPS)


@pytest.mark.parametrize("step", SIMPLE_STEPS)
def test_a_table_switches_its_step_on(tmp_path: Path, step: str) -> None:
    profile = load_profile(write(tmp_path, GOOD + table(step)))
    for other in STEPS:
        expected = EVERYTHING.get(step) if other == step else None
        assert profile.rank.get(other) == expected


def test_all_tables_in_any_order(tmp_path: Path) -> None:
    text = "".join(table(step) for step in reversed(SIMPLE_STEPS))
    rank_ = load_profile(write(tmp_path, GOOD + text)).rank
    assert all(rank_.get(step) == EVERYTHING.get(step) for step in SIMPLE_STEPS)


@pytest.mark.parametrize("step", SIMPLE_STEPS)
def test_what_has_a_default_may_be_left_out(tmp_path: Path, step: str) -> None:
    given = {f.name: "" for f in fields(STEPS[step]) if f.default is not MISSING}
    loaded = load_profile(write(tmp_path, GOOD + table(step, **given))).rank.get(step)
    assert all(getattr(loaded, f.name) == f.default for f in fields(STEPS[step]) if f.name in given)


@pytest.mark.parametrize("bad", ["nan", "inf", "-2", "true", '"1"', "[]", "{}", "1e12"])
def test_a_bad_value_names_table_and_field(tmp_path: Path, bad: str) -> None:
    """Of one field of each step: that each field is checked, test_settings.py says."""
    for step in SIMPLE_STEPS:
        field = next(each.name for each in fields(STEPS[step]) if each.name != "model")
        path = write(tmp_path, GOOD + table(step, **{field: bad}))
        refused(path, rf"\[{step}\] {field} must be")


def test_every_field_is_read_from_its_table(tmp_path: Path) -> None:
    for step in SIMPLE_STEPS:
        for field in fields(STEPS[step]):
            path = write(tmp_path, GOOD + table(step, **{field.name: "{}"}))
            refused(path, rf"\[{step}\] {field.name} must be")


@pytest.mark.parametrize("step", SIMPLE_STEPS)
def test_a_missing_and_an_unknown_key_are_named(tmp_path: Path, step: str) -> None:
    needed = [field.name for field in fields(STEPS[step]) if field.default is MISSING]
    for field in needed:
        refused(write(tmp_path, GOOD + table(step, **{field: ""})), rf"\[{step}\] lacks '{field}'")
    error = refused(
        write(tmp_path, GOOD + table(step, wieght="1")), rf"\[{step}\] does not know 'wieght'"
    )
    assert needed[0] in str(error.fix)


def test_a_value_in_place_of_a_table(tmp_path: Path) -> None:
    for step in STEPS:
        text = GOOD.replace('description = "mine"', f"{step} = 3")
        refused(write(tmp_path, text), f"{step} is not a table")


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
        ("[fusion]", "[fusoin]", "fusoin"),
        ("[query]", "[query", "TOML"),
        ('[fusion]\nmethod = "convex"\nsemantic_weight = 0.5', "", "fusion"),
        ('method = "convex"', 'method = ["convex"]', "method"),
        ("[fusion]", "[[fusion]]", "fusion is not a table"),
        ("lexical = 10", "lexical = 0", r"candidates\.lexical"),
    ],
)
def test_a_bad_file_says_what_is_wrong(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    text = GOOD.replace('"convex"', '"lexical"') if said.startswith("candidates") else GOOD
    refused(write(tmp_path, text.replace(old, new)), said)


def test_a_number_of_400_digits(tmp_path: Path) -> None:
    refused(write(tmp_path, GOOD + table("length", weight="1" + "0" * 400)), r"\[length\] weight")


# learned


@pytest.mark.parametrize(
    "text",
    [
        "[learned]\nfactors = {lexical = 1, length = -0.5}\n",
        "[learned.factors]\nlexical = 1\nlength = -0.5\n",
    ],
)
def test_factors_in_the_profile(tmp_path: Path, text: str) -> None:
    learned = load_profile(write(tmp_path, GOOD + text + table("length"))).rank.get(Learned)
    assert learned == Learned({"lexical": 1, "length": -0.5})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[learned]\n", r"\[learned\] lacks 'factors'"),
        ("[learned]\nfactors = 3\n", r"\[learned\] factors"),
        ("[learned]\nfactors = {}\n", r"\[learned\] factors"),
        ('[learned.factors]\nlexical = "1"\n', r"\[learned\] factors\.lexical"),
        ("[learned.factors]\nlexical = inf\n", r"\[learned\] factors\.lexical"),
        ("[learned]\nlexical = 1\n", r"\[learned\] does not know 'lexical'"),
        ("[learned]\nfile = 3\n", r"\[learned\] file"),
        (
            '[learned]\nfile = "factors.toml"\n',
            r"\[learned\] file must be a name that ends in \.json",
        ),
        ('[learned]\nfile = "missing.json"\n', r"\[learned\] file missing\.json"),
    ],
)
def test_bad_factors_are_named(tmp_path: Path, text: str, said: str) -> None:
    refused(write(tmp_path, GOOD + text), said)


def test_a_factor_whose_step_is_off(tmp_path: Path) -> None:
    refused(write(tmp_path, GOOD + "[learned.factors]\nlength = 1\n"), "learned .* 'length'")


def test_factors_in_a_file_beside_the_profile(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"factors": {"lexical": 2}, "seed": 1}')
    learned = load_profile(write(tmp_path, GOOD + '[learned]\nfile = "mine.json"\n')).rank.get(
        Learned
    )
    assert learned == Learned({"lexical": 2}, "mine.json")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        '{"factors": {}}',
        '{"factors": [1]}',
        '{"factors": {"lexical": NaN}}',
        '{"factors": {"lexical": null}}',
    ],
)
def test_a_bad_file_of_factors(tmp_path: Path, content: str) -> None:
    (tmp_path / "mine.json").write_text(content)
    refused(write(tmp_path, GOOD + '[learned]\nfile = "mine.json"\n'), r"\[learned\]")


def test_a_file_of_factors_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_bytes(b"\xff\xfe")
    refused(write(tmp_path, GOOD + '[learned]\nfile = "mine.json"\n'), r"\[learned\] file")


@pytest.mark.parametrize("name", ["nope", "", "../balanced", "missing.toml", 3, None])
def test_an_unknown_profile(name: Any) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_profile(name)
    assert caught.value.field == "profile"


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe")
    refused(path, "cannot be read")


def test_a_folder_is_no_profile(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.mkdir()
    refused(path, "cannot be read")
