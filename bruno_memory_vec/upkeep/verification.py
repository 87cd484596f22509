"""Verification of a store: one pass over its rows, with which the projections are compared."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from bruno_core.utils.exceptions import BrunoError
from numpy.typing import NDArray

from bruno_memory_vec.embedders.protocol import Fingerprint
from bruno_memory_vec.errors import problem_and_fix
from bruno_memory_vec.indexers.checked import note_damaged, unchecked
from bruno_memory_vec.indexers.checksum import changed
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.protocols import ChecksIndexes
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import KEY_COLUMNS, MESSAGE, key_of
from bruno_memory_vec.indexers.snapshot import LOADED
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.upkeep.losses import (
    DamagedRow,
    damage_problem,
    damaged_in,
    ledger_problems,
)
from bruno_memory_vec.upkeep.ownership import SeenOwners
from bruno_memory_vec.wording import counted
from bruno_memory_vec.writing.known_ids import hash_ids
from bruno_memory_vec.writing.projections import Problem, Progress, Projection, RowFacts, Standing
from bruno_memory_vec.writing.reconcile import differences, note

WORK = "verifying the rows"

# Rounding and half precision stay well below it.
_NORM_TOLERANCE = 2e-3
# At most so many rows are named for each problem.
_NAMED = 5
_LOOKED_AT_AGAIN = 1000
_ODD = np.uint64(0x9E3779B97F4A7C15)


async def verify(store: Store, progress: Progress | None = None) -> list[Problem]:
    """Read every row once and compare the projections with the rows. Empty if all is sound.

    It checks that every row is as it was stored, and that none of those that were acknowledged is
    missing; what is missing is noted in the ledger, and leaves the contexts. It checks that no key
    and no ``seq`` occurs twice; that each message has a turn, and no other message of its
    conversation has the same; that no conversation has rows of several users, and each belongs to
    the user of its rows; that vectors are finite and, if the embedder says so, of unit length or
    zero. Each projection checks itself: the lexical index has as many rows and none newer; the
    sessions have applied every row, and would give no turn twice.

    Writes may go on: it sees the store as it was when it began. It keeps 24 bytes for each row,
    and the last turn and the owner of each conversation.

    Args:
        store: a store that is open for writing.
        progress: called with the number of rows that were read.

    Raises:
        EngineError: an engine failed, so nothing could be verified.
    """
    assert store.writer is not None
    async with store.writer.exclusive:
        rows, fingerprint = unchecked(store.rows), store.embedder.fingerprint
        stood: list[tuple[Projection, Standing]] = []
        silent: list[Problem] = []
        for one in store.projections:
            try:
                stood.append((one, await one.standing()))
            except BrunoError as error:
                silent.append(Problem(one.name, *problem_and_fix(error)))
        try:
            known = await store.sessions.ledger.read()
        except BrunoError as error:
            known = None
            silent.append(Problem("sessions", *problem_and_fix(error)))
        newest = await rows.last_seq()
        total = int((await rows.health())["rows"])
        # The first batch is read under the lock; from then on the pass reads one version.
        batches = rows.after(-1, LOADED)
        first = await anext(batches, None)
    seen, owners = _Seen(fingerprint), SeenOwners()
    last_turns: dict[str, int] = {}
    done = 0
    async for batch in _with(first, batches):
        whole = await asyncio.to_thread(seen.undamaged, batch)
        for conversation, turn in (await asyncio.to_thread(seen.take, whole)).items():
            last_turns[conversation] = max(turn, last_turns.get(conversation, turn))
        await asyncio.to_thread(owners.take, whole)
        done += batch.num_rows
        if progress is not None and batch.num_rows:
            progress(WORK, done, total)
    facts = RowFacts(done, newest, last_turns)
    problems = [*silent, *damage_problem(seen.damaged)]
    note_damaged(store.rows, [row.seq for row in seen.damaged])
    if known is not None:
        found = differences(known, seen.seqs).without(row.seq for row in seen.damaged)
        async with store.writer.exclusive:
            # What has changed since the pass began is no loss.
            now = await store.sessions.ledger.read()
            await note(store.sessions, rows, found.still(now))
        problems.extend(ledger_problems(await store.sessions.ledger.read()))
    indexed = capability(rows, ChecksIndexes)
    if indexed is not None:
        try:
            await indexed.check_indexes()
        except BrunoError as error:
            problems.append(Problem("indexes", *problem_and_fix(error)))
    for projection, standing in stood:
        try:
            problems.extend(await projection.compare(facts, standing))
        except BrunoError as error:
            problems.append(Problem(projection.name, *problem_and_fix(error)))
    twice, shared = await asyncio.to_thread(seen.suspects)
    if len(twice) or len(shared):
        suspects = np.concatenate([twice[:_LOOKED_AT_AGAIN], shared[:_LOOKED_AT_AGAIN]])
        columns = (*KEY_COLUMNS, "seq", "turn")
        again = await rows.read(Scope.all_users(), RowFilter(), columns, seqs=suspects.tolist())
        problems.extend(_twice(again.to_pylist()))
    problems.extend(seen.problems())
    problems.extend(owners.problems())
    try:
        problems.extend(await owners.compare(store.sessions))
    except BrunoError as error:
        problems.append(Problem("sessions", *problem_and_fix(error)))
    return problems


async def _with(
    first: pa.RecordBatch | None, rest: AsyncIterator[pa.RecordBatch]
) -> AsyncIterator[pa.RecordBatch]:
    if first is not None:
        yield first
        async for batch in rest:
            yield batch


class _Seen:
    """What a pass keeps of the rows: their ``seq``, and hashes of their key and their turn."""

    def __init__(self, fingerprint: Fingerprint) -> None:
        self._fingerprint = fingerprint
        self.damaged: list[DamagedRow] = []
        self._damaged_seqs: list[NDArray[np.int64]] = []
        self._seqs = [np.empty(0, np.int64)]
        self._keys = [np.empty(0, np.uint64)]
        # The seq of messages with a turn, and hashes of their conversation and turn.
        self._placed = [np.empty(0, np.int64)]
        self._turns = [np.empty(0, np.uint64)]
        self._without_turn: list[int] = []
        self._bad_vectors: list[int] = []

    @property
    def seqs(self) -> NDArray[np.int64]:
        """The ``seq`` of all rows, also of damaged ones."""
        return np.concatenate([*self._seqs, *self._damaged_seqs])

    def undamaged(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows that are as they were stored; of the others no more than that is noted."""
        table = pa.Table.from_batches([batch])
        damaged = damaged_in(table)
        if damaged:
            self.damaged.extend(damaged)
            whole = ~changed(table)
            self._damaged_seqs.append(table.column("seq").to_numpy()[~whole])
            batch = batch.filter(pa.array(whole))
        return batch

    def take(self, batch: pa.RecordBatch) -> Mapping[str, int]:
        """Add rows; returns the last turn of each conversation in them."""
        if not batch.num_rows:
            return {}
        seq = batch.column("seq").to_numpy()
        self._seqs.append(seq.copy())
        self._keys.append(_key_hashes(batch))
        self._check_vectors(batch.column("vector"), seq)
        said = pc.equal(batch.column("kind"), MESSAGE)
        whole = pc.and_(batch.column("turn").is_valid(), batch.column("conversation_id").is_valid())
        self._without_turn.extend(seq[_mask(pc.and_not(said, whole))].tolist())
        placed = batch.filter(pc.and_(said, whole))
        turns = placed.column("turn").to_numpy().astype(np.uint64)
        self._placed.append(placed.column("seq").to_numpy().copy())
        self._turns.append(_text_hashes(placed.column("conversation_id")) + (turns + 1) * _ODD)
        latest = (
            pa.Table.from_batches([placed]).group_by("conversation_id").aggregate([("turn", "max")])
        )
        names = latest.column("conversation_id").to_pylist()
        return dict(zip(names, latest.column("turn_max").to_pylist(), strict=True))

    def _check_vectors(self, vectors: pa.FixedSizeListArray, seq: NDArray[np.int64]) -> None:
        # A null vector counts as bad; flatten() would skip it.
        missing = _mask(vectors.is_null())
        if missing.any():
            self._bad_vectors.extend(seq[missing].tolist())
            vectors, seq = vectors.drop_null(), seq[~missing]
        values = vectors.flatten().to_numpy(zero_copy_only=False)
        values = values.reshape(len(seq), self._fingerprint.dimension)
        with np.errstate(over="ignore", invalid="ignore"):
            norms = np.sqrt(np.einsum("ij,ij->i", values, values))
        good = np.isfinite(norms)
        if self._fingerprint.normalized:
            # A text without a known token has a zero vector.
            good &= (np.abs(norms - 1.0) <= _NORM_TOLERANCE) | (norms == 0.0)
        self._bad_vectors.extend(seq[~good].tolist())

    def suspects(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ``seq`` of rows that may share their key or ``seq``, and that may share their turn.

        Equal hashes are no proof, so these rows have to be read again.
        """
        seqs = np.concatenate(self._seqs)
        keys, turns = np.concatenate(self._keys), np.concatenate(self._turns)
        twice = np.concatenate([seqs[_repeated(keys)], seqs[_repeated(seqs)]])
        return np.unique(twice), np.unique(np.concatenate(self._placed)[_repeated(turns)])

    def problems(self) -> list[Problem]:
        """The problems of single rows."""
        problems = []
        if self._without_turn:
            problems.append(
                Problem(
                    "rows",
                    f"{counted(len(self._without_turn), 'message')} without a place in a "
                    f"conversation: seq {_some(self._without_turn)}",
                    "Run: bruno-memory-vec doctor --repair, which gives them a turn. One without a "
                    "conversation has to be stored again: the same id replaces the row.",
                )
            )
        if self._bad_vectors:
            problems.append(
                Problem(
                    "vectors",
                    f"{counted(len(self._bad_vectors), 'row')} whose vector is missing, not finite "
                    f"or not of unit length: seq {_some(self._bad_vectors)}",
                    "Store these rows again: the same id replaces the row and its vector.",
                )
            )
        return problems


def _twice(rows: list[dict[str, Any]]) -> list[Problem]:
    """The problems of rows that share their key, ``seq`` or turn."""
    problems = []
    keys = Counter(map(key_of, rows))
    double = [key for key, count in keys.items() if count > 1]
    if double:
        kind, user, _, id_ = double[0]
        problems.append(
            Problem(
                "rows",
                f"{counted(len(double), 'id is', 'ids are')} there more than once, such as the "
                f"{kind} {id_} of {user!r}",
                "Delete them and store them again.",
            )
        )
    seqs = [seq for seq, count in Counter(row["seq"] for row in rows).items() if count > 1]
    if seqs and not double:
        problems.append(
            Problem("rows", f"several rows have the seq {_some(seqs)}", "Store these rows again.")
        )
    messages = [row for row in rows if row["kind"] == MESSAGE and row["turn"] is not None]
    turns = Counter((row["conversation_id"], row["turn"]) for row in messages)
    shared = [turn for turn, count in turns.items() if count > 1]
    if shared and not double:
        conversation, turn = shared[0]
        problems.append(
            Problem(
                "rows",
                f"{counted(len(shared), 'turn is', 'turns are')} there more than once, such as "
                f"{turn} of {conversation!r}",
                "Clear these conversations and store them again.",
            )
        )
    return problems


def _key_hashes(batch: pa.RecordBatch) -> NDArray[np.uint64]:
    ids = batch.column("id")
    try:
        hashes = hash_ids(ids)
    except pa.ArrowInvalid:
        # Some id is no UUID. It should not be in a store, but is verified like any other.
        hashes = _text_hashes(ids)
    users, kinds = _text_hashes(batch.column("user_id")), _text_hashes(batch.column("kind"))
    said = pc.equal(batch.column("kind"), MESSAGE)
    conversations = pc.if_else(said, batch.column("conversation_id"), None).fill_null("")
    return hashes * _ODD + users * np.uint64(3) + kinds + _text_hashes(conversations) * np.uint64(5)


def _text_hashes(texts: pa.StringArray) -> NDArray[np.uint64]:
    """A 64-bit hash of each text; of texts that repeat, each is hashed once."""
    encoded = texts.dictionary_encode()
    hashes = np.array(
        [
            int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
            for text in encoded.dictionary.to_pylist()
        ],
        np.uint64,
    )
    found: NDArray[np.uint64] = hashes[encoded.indices.to_numpy()]
    return found


def _repeated(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """The indices of values that occur more than once."""
    order = np.argsort(values, kind="stable")
    same = values[order][1:] == values[order][:-1]
    return np.unique(np.concatenate([order[1:][same], order[:-1][same]]))


def _mask(values: pa.BooleanArray) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return mask


def _some(seqs: list[int]) -> str:
    shown = ", ".join(str(seq) for seq in sorted(seqs)[:_NAMED])
    return shown if len(seqs) <= _NAMED else f"{shown} and {len(seqs) - _NAMED:,} more"
