"""From what the engines propose to the pool that the rankers are given."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.query import Candidates
from bruno_memory_vec.indexers.schema import COLUMNS
from bruno_memory_vec.rankers import Pool, Profile
from bruno_memory_vec.rankers.fusion import fuse
from bruno_memory_vec.rankers.pool import ASSISTANT, NO_ROLE, OTHER_ROLE, USER
from bruno_memory_vec.recall import copies
from bruno_memory_vec.recall.word_matches import word_matches

_ROLES = {None: NO_ROLE, "user": USER, "assistant": ASSISTANT}


def role_number(role: str | None) -> int:
    """A role as the rankers have it."""
    return _ROLES.get(role, OTHER_ROLE)


def columns_for(profile: Profile) -> list[str]:
    """The columns that a recall by the profile reads: all but the vector, which few profiles need.

    A hit is made of nearly all of them.
    """
    return [*COLUMNS, "vector"] if profile.rank.needs_vectors else list(COLUMNS)


def places_around(
    lexical: Candidates, semantic: Candidates, profile: Profile
) -> dict[str, list[int]]:
    """The turns next to the best candidates by the profile's fusion, by conversation."""
    settings = profile.candidates
    if settings.neighbours_of == 0 or settings.neighbour_distance == 0:
        return {}
    both = [lexical, semantic]
    seqs, first = np.unique(np.concatenate([side.seq for side in both]), return_index=True)
    conversations = [c for side in both for c in side.conversation_id]
    turns = np.concatenate([side.turn for side in both])[first]
    shares = fuse(_aligned(seqs, lexical), _aligned(seqs, semantic), profile.rank.fusion)
    score = np.sum(list(shares.values()), axis=0)
    places: dict[str, set[int]] = {}
    for i in np.lexsort((-seqs, -score))[: settings.neighbours_of]:
        conversation, turn = conversations[first[i]], int(turns[i])
        if conversation is None or turn < 0:
            continue
        around = range(turn - settings.neighbour_distance, turn + settings.neighbour_distance + 1)
        places.setdefault(conversation, set()).update(t for t in around if t >= 0)
    return {conversation: sorted(turns) for conversation, turns in places.items()}


def make_pool(
    table: pa.Table,
    lexical: Candidates,
    semantic: Candidates,
    uses: Mapping[int, int],
    question: str,
    profile: Profile,
) -> Pool:
    """The pool of the rows in ``table``, which has :func:`columns_for` the profile.

    Args:
        table: the candidates and their neighbours.
        lexical: what the word index proposed.
        semantic: what the vector index proposed.
        uses: by ``seq``, uses that are counted and not yet written.
        question: the question's words.
        profile: whose rankers it is for.
    """
    seq = table.column("seq").to_numpy()
    recent = np.zeros(len(seq), np.int64)
    if uses:
        recent[:] = [uses.get(one, 0) for one in seq.tolist()]
    conversation = table.column("conversation_id").combine_chunks().dictionary_encode()
    speaker = table.column("speaker").combine_chunks().dictionary_encode()
    vector = texts = matches = term_weight = None
    needs = profile.rank.needs
    if "vectors" in needs:
        vector = vectors_of(table)
    if "texts" in needs:
        texts = table.column("content").to_pylist()
    if "matches" in needs:
        matches, term_weight = word_matches(question, table.column("content").to_pylist())
    return Pool(
        seq=seq,
        lexical=_aligned(seq, lexical),
        semantic=_aligned(seq, semantic),
        conversation=conversation.indices.fill_null(-1).to_numpy().astype(np.int64),
        turn=table.column("turn").fill_null(-1).to_numpy(),
        words=table.column("words").to_numpy(),
        created_at=table.column("created_at").cast(pa.int64()).to_numpy(),
        importance=table.column("importance").to_numpy().astype(np.float32),
        access_count=table.column("access_count").to_numpy() + recent,
        role=np.array([role_number(role) for role in table.column("role").to_pylist()], np.int64),
        speaker=speaker.indices.fill_null(-1).to_numpy().astype(np.int64),
        speakers=tuple(speaker.dictionary.to_pylist()),
        vector=vector,
        texts=texts,
        matches=matches,
        term_weight=term_weight,
        # Rows of a store of the first format have no cues until they are read (upgrade.py).
        question_share=table.column("question_share").fill_null(0.0).to_numpy(),
        ends_with_question=table.column("ends_with_question").fill_null(False).to_numpy(),
        names_time=table.column("names_time").fill_null(False).to_numpy(),
        tells_change=table.column("tells_change").fill_null(False).to_numpy(),
        copy_of=copies.numbered(table),
    )


def vectors_of(table: pa.Table) -> NDArray[np.float32]:
    """The column ``vector`` as one array, float32 (n, d)."""
    column = table.column("vector")
    flat: NDArray[np.float32] = column.combine_chunks().flatten().to_numpy()
    return flat.reshape(-1, column.type.list_size)


def _aligned(seqs: NDArray[np.int64], candidates: Candidates) -> NDArray[np.float32]:
    """The candidates' scores in the order of ``seqs``, NaN for what they do not hold."""
    scores = np.full(len(seqs), np.nan, np.float32)
    if len(candidates):
        order = np.argsort(candidates.seq)
        places = np.searchsorted(candidates.seq, seqs, sorter=order).clip(max=len(order) - 1)
        found = order[places]
        held = candidates.seq[found] == seqs
        scores[held] = candidates.score[found[held]]
    return scores
