"""The lexical index of an encrypted store with the setting ``keyed_index``: no word can be read.

It is Tantivy with the same postings, lengths and positions as those of a plain store, so a row has
the same BM25. But each term is a truncated HMAC of it, the ids are keyed hashes, and what else a
filter or a hit needs is sealed under the user's key, in one stored field. Conditions on what is
sealed are looked at in the hits, best first, until enough fulfil them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from ..aio import yielding_gil
from ..columns import fulfilled
from ..query import Candidates, Condition, RowFilter, Scope
from ..schema import LEXICAL_COLUMNS, row_schema
from ..sealed.rows import HASHED, Keys, OneKey
from ..text.analysis import Analyser
from .documents import MISSING
from .index import TantivyIndex, TantivyReader
from .query import TOKENIZER, QueryBuilder

if TYPE_CHECKING:
    import tantivy

_SEALED = "sealed"
# The columns that a query is narrowed down by in the index: ids as keyed hashes, and what a sealed
# row has in the clear as well.
_PLAIN = ("seq", "kind", "turn")
# Of these the index knows whether there is one.
_MARKED = ("expires_at", "archived_at", "pinned_at")
_INDEXED = frozenset((*_PLAIN, *HASHED))
_HIDDEN = tuple(
    row_schema(1).field(name)
    for name in LEXICAL_COLUMNS
    if name not in ("content", "id", "user_id", *_PLAIN)
)
_NO_TIME, _SOME_TIME = MISSING, 0
# Bytes of a term's HMAC: of a million terms two are the same with a chance of 2**-41.
_TERM = 10
# Of how many terms the HMACs are kept: about 15 MB.
_KNOWN = 2**16
_HEAD = struct.Struct("<16sI")
_NONCE = 12
_BETWEEN_YIELDS = 64
# Where hits do not fulfil the conditions on sealed columns, so many times as many are asked for.
_MORE = 4


class TermKeys(Keys, Protocol):
    """The keys of a store with such an index."""

    @property
    def terms_key(self) -> bytes:
        """The key of the terms' HMACs."""
        ...

    def held(self, user_id: str) -> OneKey | None:
        """As ``sealing``; None where the user has no key, or it is destroyed."""
        ...


class _Terms(dict[str, str]):
    """The HMACs of the terms that were last asked for."""

    def __init__(self, key: bytes) -> None:
        super().__init__()
        self._key = key

    def __missing__(self, term: str) -> str:
        if len(self) >= _KNOWN:
            self.clear()
        said = hmac.digest(self._key, term.encode("utf-8", "surrogatepass"), hashlib.sha256)
        found = self[term] = said[:_TERM].hex()
        return found


class _KeyedQueries(QueryBuilder):
    """Queries of an index whose terms and ids are hashed."""

    def __init__(self, module: Any, analyser: Analyser, keys: Keys, terms: _Terms) -> None:
        super().__init__(module, _schema(module), analyser)
        self._keys = keys
        self._hmacs = terms

    def _as_indexed(self, term: str) -> str:
        return self._hmacs[term]

    def unindexed(self, scope: Scope, where: RowFilter) -> tuple[Condition, ...]:
        return tuple(one for one in where.conditions() if one.column not in _INDEXED)

    def _condition(self, asked: Condition) -> tantivy.Query:
        column, op, value = asked
        if column in HASHED:
            hashed = tuple(self._keys.hashed(column, one) if one else one for one in value)
            asked = Condition(column, op, hashed)
        return super()._condition(asked)


class KeyedTantivyIndex(TantivyIndex):
    """A :class:`TantivyIndex` whose folder tells no word and no name to who has not the keys.

    Args:
        path: as of :class:`TantivyIndex`.
        analyser: as of :class:`TantivyIndex`.
        keys: the keys of the store.

    Raises: as :class:`TantivyIndex`.
    """

    def __init__(self, path: str | Path | None, analyser: Analyser, keys: TermKeys) -> None:
        self._keys = keys
        self._hmacs = _Terms(keys.terms_key)
        super().__init__(path, analyser)

    def _build(self, tantivy: Any) -> QueryBuilder:
        return _KeyedQueries(tantivy, self._analyser, self._keys, self._hmacs)

    @property
    def _tokenizer(self) -> tantivy.TextAnalyzer:
        builder = self._tantivy.TextAnalyzerBuilder(self._tantivy.Tokenizer.whitespace())
        made: tantivy.TextAnalyzer = builder.build()
        return made

    def add(self, rows: pa.Table) -> None:
        """As of :class:`TantivyIndex`."""
        # Here, and not at the commit: who is forgotten in between gets no new key.
        for user in rows.column("user_id").unique().to_pylist():
            self._keys.sealing(user)
        super().add(rows)

    def _documents(self, rows: pa.Table) -> Iterator[str]:
        for name in (*_MARKED, "created_at"):
            place = rows.schema.get_field_index(name)
            rows = rows.set_column(place, name, rows.column(place).cast(pa.int64()))
        hashed, hmacs = self._keys.hashed, self._hmacs
        for row in yielding_gil(rows.to_pylist(), _BETWEEN_YIELDS):
            turn, conversation = row["turn"], row["conversation_id"]
            document = {
                "seq": row["seq"],
                "kind": row["kind"],
                "turn": MISSING if turn is None else turn,
                "id": hashed("id", row["id"]),
                "user_id": hashed("user_id", row["user_id"]),
                "content": " ".join([hmacs[one] for one in self._analyser.terms(row["content"])]),
                _SEALED: base64.b64encode(self._sealed(row)).decode(),
                **{one: _NO_TIME if row[one] is None else _SOME_TIME for one in _MARKED},
            }
            if conversation is not None:
                document["conversation_id"] = hashed("conversation_id", conversation)
            yield json.dumps(document)

    def _committed(
        self,
        searcher: tantivy.Searcher,
        whole: tantivy.Query | None,
        limit: int,
        turns: bool,
        left: Sequence[Condition],
    ) -> Candidates:
        if not left and not turns:
            return super()._committed(searcher, whole, limit, False, ())
        if whole is None or searcher.num_docs == 0:
            return Candidates.empty()
        reach, known = limit, dict[int, dict[str, Any] | None]()
        while True:
            hits = searcher.search(whole, min(reach, searcher.num_docs), count=False).hits
            addresses = [address for _, address in hits]
            seqs: list[int] = []
            if hits:
                seqs = np.array(searcher.fast_field_values("seq", addresses), np.int64).tolist()
            for one, address in zip(seqs, addresses, strict=True):
                if one not in known:
                    known[one] = self._opened(one, searcher.doc(address).get_first(_SEALED))
            kept = _fulfilling([known[one] for one in seqs], left)
            if len(kept) >= limit or len(hits) < reach:
                break
            reach *= _MORE
        kept = kept[:limit]
        if not kept:
            return Candidates.empty()
        seq = np.array([seqs[i] for i in kept], np.int64)
        score = np.array([hits[i][0] for i in kept], np.float32)
        turn = np.array(searcher.fast_field_values("turn", [addresses[i] for i in kept]), np.int64)
        turn[turn == MISSING] = -1
        order = np.lexsort((-seq, -score))
        rows = [known[one] or {} for one in seq[order].tolist()]
        conversations = tuple(row.get("conversation_id") for row in rows)
        return Candidates(seq[order], score[order], conversations, turn[order])

    def _sealed(self, row: dict[str, Any]) -> bytes:
        """What a filter or a hit needs of a row, under its user's key."""
        user = self._keys.hashed("user_id", row["user_id"])
        key, nonce = self._keys.held(row["user_id"]), os.urandom(_NONCE)
        if key is None:
            return b""  # the row is about to go, too
        head = _HEAD.pack(bytes.fromhex(user), key.version)
        said = {one.name: row[one.name] for one in _HIDDEN if row[one.name] not in (None, [])}
        payload = json.dumps(said, separators=(",", ":")).encode()
        return head + nonce + key.cipher.encrypt(nonce, payload, _about(head, row["seq"]))

    def _opened(self, seq: int, sealed: Any) -> dict[str, Any] | None:
        """What was sealed; None where its key is destroyed or it has changed."""
        from cryptography.exceptions import InvalidTag

        data = bytes(sealed or b"")
        begin = _HEAD.size + _NONCE
        if len(data) <= begin:
            return None
        user, version = _HEAD.unpack_from(data)
        key = self._keys.opening(user.hex(), version)
        if key is None:
            return None
        head = data[: _HEAD.size]
        try:
            found = key.cipher.decrypt(data[_HEAD.size : begin], data[begin:], _about(head, seq))
        except InvalidTag:
            return None
        told: dict[str, Any] = json.loads(found)
        return told


class KeyedTantivyReader(KeyedTantivyIndex, TantivyReader):
    """A folder of :class:`KeyedTantivyIndex` that another process may be writing.

    Args:
        path: the folder.
        analyser: the writer's.
        keys: the keys of the store.

    Raises: as :class:`TantivyIndex`.
    """

    _read_only = True


def _about(head: bytes, seq: int) -> bytes:
    return head + b"words" + seq.to_bytes(8, "little", signed=True)


def _fulfilling(rows: Sequence[dict[str, Any] | None], left: Sequence[Condition]) -> list[int]:
    """Which of some opened rows fulfil conditions, ascending."""
    there = [i for i, row in enumerate(rows) if row is not None]
    if not left or not there:
        return there
    keep = np.ones(len(there), np.bool_)
    fields = {one.name: one.type for one in _HIDDEN}
    for asked in left:
        kind = fields[asked.column]
        held = [(rows[i] or {}).get(asked.column) for i in there]
        if pa.types.is_timestamp(kind):
            kind = pa.int64()
        elif pa.types.is_list(kind):
            held = [one or [] for one in held]
        keep &= fulfilled(pa.chunked_array([pa.array(held, kind)]), asked)
    return [i for i, kept in zip(there, keep.tolist(), strict=True) if kept]


def _schema(tantivy: Any) -> Any:
    builder = tantivy.SchemaBuilder()
    for name in ("seq", "turn", *_MARKED):
        builder.add_integer_field(name, indexed=True, fast=True)
    for name in ("kind", *HASHED):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("content", tokenizer_name=TOKENIZER, index_option="position")
    builder.add_bytes_field(_SEALED, stored=True, indexed=False)
    return builder.build()
