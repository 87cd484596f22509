"""Looks for words in everything that a store has on disk, also where an engine packs it.

Raw bytes, in three encodings. Every row of every version that LanceDB can still open, and the
files that no version names. Every term and every stored document of every Tantivy segment, also
of removed rows. Every value of every SQLite table. Whatever is compressed as a whole.
"""

from __future__ import annotations

import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import lancedb
import pyarrow as pa
import tantivy

from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS, row_schema

#: What a word looks like that can be looked for.
WORD = re.compile("zq[a-z0-9]{14}")

_FORMS = {
    "utf-8": re.compile(rb"zq[a-z0-9]{14}"),
    "utf-16-le": re.compile(rb"z\0q\0(?:[a-z0-9]\0){14}"),
    "utf-16-be": re.compile(rb"\0z\0q(?:\0[a-z0-9]){14}"),
}
_CODECS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4", b"\x1f\x8b\x08": "gzip"}


async def found(folder: Path, words: Iterable[str]) -> dict[str, list[str]]:
    """Where each of these words is. Words that are nowhere are left out.

    Args:
        folder: of a closed store.
        words: each as :data:`WORD` says.
    """
    texts = [*_raw(folder), *_sqlite(folder), *_tantivy(folder / "lexical")]
    for table in sorted(folder.glob("**/rows.lance")):  # noqa: ASYNC240  # a test
        texts += await _lance(table)
    asked, places = set(words), dict[str, list[str]]()
    for place, data in texts:
        for encoding, form in _FORMS.items():
            for word in {match.decode(encoding) for match in form.findall(data)} & asked:
                places.setdefault(word, []).append(place)
    return places


def unnamed(folder: Path) -> list[str]:
    """What LanceDB keeps beside its newest version: older ones, marked rows, files of none."""
    left = []
    for table in folder.glob("**/rows.lance"):
        manifests = list((table / "_versions").glob("*.manifest"))
        newest = min(manifests).read_bytes()
        left += [str(path.relative_to(folder)) for path in manifests if path != min(manifests)]
        left += [str(path.relative_to(folder)) for path in (table / "_deletions").glob("*")]
        left += [
            str(path.relative_to(folder))
            for path in (table / "data").glob("*")
            if path.name.encode() not in newest
        ]
        left += [
            str(path.relative_to(folder))
            for path in (table / "_indices").glob("*")
            if bytes.fromhex(path.name.replace("-", "")) not in newest
        ]
    return left


def _raw(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        place = str(path.relative_to(folder))
        yield f"{place} (its name)", place.encode()
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield place, data
        for magic, codec in _CODECS.items():
            start = data.find(magic)
            while start >= 0:
                yield f"{place} ({codec})", _unpacked(data[start:], codec)
                start = data.find(magic, start + 1)


def _unpacked(data: bytes, codec: str) -> bytes:
    """What begins with a frame of this codec holds; nothing where it only looks like one."""
    try:
        if codec == "gzip":
            return zlib.decompressobj(31).decompress(data)
        with pa.CompressedInputStream(pa.BufferReader(data), codec) as stream:
            return bytes(stream.read())
    except (OSError, zlib.error):
        return b""


def _sqlite(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.glob("*.sqlite"):
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                rows = database.execute(f"SELECT * FROM {table}").fetchall()
                yield f"{path.name}: {table}", repr(rows).encode()
        finally:
            database.close()


def _tantivy(folder: Path) -> Iterator[tuple[str, bytes]]:
    index = tantivy.Index.open(str(folder))
    searcher = index.searcher()
    segments = json.loads((folder / "meta.json").read_text())["segments"]
    assert searcher.num_segments == len(segments)
    for number, segment in enumerate(segments):
        # Also of removed rows.
        stored = [
            searcher.doc(tantivy.DocAddress(number, doc)).to_dict()
            for doc in range(segment["max_doc"])
        ]
        yield f"lexical: stored in segment {number}", repr(stored).encode()
    for name in LEXICAL_COLUMNS:
        if pa.types.is_string(row_schema(1).field(name).type) or name == "tags":
            terms: list[Any] = searcher.terms_with_prefix(name, "")
            yield f"lexical: terms of {name}", repr(terms).encode()


async def _lance(table: Path) -> list[tuple[str, bytes]]:
    database = await lancedb.connect_async(str(table.parent))
    opened = await database.open_table(table.stem)
    texts = []
    for version in sorted(table.glob("_versions/*.manifest")):  # noqa: ASYNC240
        number = 2**64 - 1 - int(version.stem)
        await opened.checkout(number)
        rows = await opened.query().to_arrow()
        rows = rows.drop_columns(["vector"])
        texts.append((f"{table.parent.name}: version {number}", repr(rows.to_pylist()).encode()))
    opened.close()
    return texts
