"""``store.json``: written whole, read with care."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bruno_memory_vec import Fingerprint
from bruno_memory_vec.errors import (
    BackendUnavailable,
    FingerprintError,
    NotAStoreError,
    StoreVersionError,
)
from bruno_memory_vec.store import manifest
from bruno_memory_vec.store.manifest import Manifest

OURS = Fingerprint(name="hash", version="1", dimension=8, query_prompt="q: ")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    for language in ("english", None):
        written = Manifest(OURS, language)
        written.write(tmp_path)
        assert manifest.read(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == ["store.json"]


def test_nothing_yet(tmp_path: Path) -> None:
    assert manifest.read(tmp_path / "none") is None
    assert manifest.read(tmp_path) is None
    for debris in ("writer.lock", "writer.json", "store.json.new"):
        (tmp_path / debris).touch()
    assert manifest.read(tmp_path) is None, "a process killed while it made a store"


def test_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.docx").touch()
    with pytest.raises(NotAStoreError, match=r"thesis\.docx"):
        manifest.read(tmp_path)
    with pytest.raises(NotAStoreError, match="is a file"):
        manifest.read(tmp_path / "thesis.docx")


def test_another_embedder_is_refused_by_name(tmp_path: Path) -> None:
    Manifest(OURS, None).check(OURS, tmp_path)
    for other in (
        Fingerprint(name="hash", version="2", dimension=8, query_prompt="q: "),
        Fingerprint(name="hash", version="1", dimension=8),
        Fingerprint(name="hash", version="1", dimension=9, query_prompt="q: "),
    ):
        with pytest.raises(FingerprintError) as refusal:
            Manifest(OURS, None).check(other, tmp_path)
        assert str(OURS) in str(refusal.value)
        assert str(other) in str(refusal.value)


def test_a_newer_version_says_who_wrote_it(tmp_path: Path) -> None:
    Manifest(OURS, None, schema=7).write(tmp_path)
    with pytest.raises(StoreVersionError, match=r"format 7.*pip install -U bruno-memory-vec"):
        manifest.read(tmp_path)


def test_unknown_fields_of_a_later_version_do_no_harm(tmp_path: Path) -> None:
    Manifest(OURS, "german").write(tmp_path)
    path = tmp_path / "store.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, "later": 1}), encoding="utf-8")
    assert manifest.read(tmp_path) == Manifest(OURS, "german")


def test_where_it_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="free space"):
        Manifest(OURS, None).write(tmp_path / "none")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_where_it_cannot_be_read(tmp_path: Path) -> None:
    Manifest(OURS, None).write(tmp_path)
    (tmp_path / "store.json").chmod(0)
    with pytest.raises(BackendUnavailable, match="may be read"):
        manifest.read(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": ' + "9" * 5000 + "}", "\ufeff{}"])
def test_what_json_cannot_read_is_no_store(text: str, tmp_path: Path) -> None:
    (tmp_path / "store.json").write_text(text, encoding="utf-8")
    with pytest.raises(NotAStoreError, match="cannot be read"):
        manifest.read(tmp_path)
