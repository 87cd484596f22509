"""docs/configuration.md says what is true of every field, scheme and variable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bruno_memory_vec import MemoryConfig, config_sources
from bruno_memory_vec.embedders.resolve import EMBEDDERS
from bruno_memory_vec.store.deployment import _DEPLOYMENTS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("## Every field")[2]
#: What stands as the default of each field.
FIELDS = dict(re.findall(r"^\| `(\w+)` \| ?(.*?) ?\| .* \|$", TABLE, re.MULTILINE))


def test_every_field_is_there_in_order() -> None:
    named = [name for name in FIELDS if name in MemoryConfig.model_fields]
    assert sorted(named) == sorted(MemoryConfig.model_fields)


def test_defaults_are_those_of_the_code() -> None:
    compared = 0
    for name, field in MemoryConfig.model_fields.items():
        told = FIELDS[name].strip("`").replace(",", "")
        if isinstance(field.default, bool):
            assert told == str(field.default).lower(), name
        elif isinstance(field.default, (int, float)) and "MiB" not in told:
            assert float(told) == field.default, name
        elif isinstance(field.default, str):
            assert told == field.default, name
        else:
            continue
        compared += 1
    assert compared > 15


def test_the_file_that_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    file = tmp_path / "shown.toml"
    file.write_text(block)
    monkeypatch.setenv(config_sources.FILE_VARIABLE, str(file))
    config = MemoryConfig.build()
    assert (config.url, config.max_messages) == ("qdrant://127.0.0.1:6333/memory", 30)
    assert config.short_term_ttl is not None
    assert config.short_term_ttl.days == 7


def test_every_name_of_ours_is_there() -> None:
    for name in EMBEDDERS.names():
        assert f"`{name}" in PAGE
    for scheme in _DEPLOYMENTS.names():
        assert scheme == "folder" or f"`{scheme}:" in PAGE


def test_every_extra_for_users_is_there_and_no_other() -> None:
    table = PAGE.partition("## Extras")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    named = re.findall(r"`([\w-]+)`", " ".join(cells))
    extras = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = extras.partition("[project.optional-dependencies]\n")[2].partition("\n[")[0]
    declared = set(re.findall(r"^([\w-]+) = \[", extras, re.MULTILINE))
    ours = {"bench", "dev", "mutants", "peers", "test"}
    assert len(declared) > len(ours) + 10
    assert sorted(named) == sorted(one for one in declared - ours if not one.startswith("peer-"))
