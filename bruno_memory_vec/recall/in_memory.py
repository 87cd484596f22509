"""A recall over rows in memory: by arrays, on one thread, without a query to the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import repeat

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.query import Candidates
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.indexers.snapshot import Snapshot
from bruno_memory_vec.rankers import Pool, Question, rank
from bruno_memory_vec.rankers.fusion import fuse
from bruno_memory_vec.recall import copies
from bruno_memory_vec.recall.cross_encoder import cross_score
from bruno_memory_vec.recall.hits import Hits
from bruno_memory_vec.recall.making_hits import columns_of, make_hits
from bruno_memory_vec.recall.pool import role_number
from bruno_memory_vec.recall.request import RecallRequest
from bruno_memory_vec.recall.word_matches import word_matches

Floats = NDArray[np.float32]
#: Rows of a snapshot, and their scores, best first.
Proposal = tuple[NDArray[np.int64], Floats]
#: float32 rounding: identical texts may come to 0.9999999.
ROUNDING = 1e-6


def recall_in_memory(
    snapshot: Snapshot,
    request: RecallRequest,
    vector: Floats,
    lexical: Candidates,
    question: Question,
    uses: Mapping[int, int],
    find_words: Callable[[int], Candidates],
) -> tuple[Hits, NDArray[np.int64]]:
    """The best hits, best first, and their ``seq``.

    Args:
        snapshot: every row of the scope's user.
        request: what is asked.
        vector: the question's vector, float32 (d,).
        lexical: what the word index proposes.
        question: what the question asks for.
        uses: by ``seq``, uses that are counted and not yet written.
        find_words: asks the word index for so many rows.
    """
    profile = request.profile
    matching = snapshot.matching(request.scope, request.where)
    by_words, by_meaning = _proposed(snapshot, request, vector, lexical, matching, find_words)
    rows = np.union1d(by_words[0], by_meaning[0])
    if not len(rows):
        return Hits(), rows
    words = _aligned(rows, *by_words)
    meaning = _aligned(rows, *by_meaning)
    settings = profile.candidates
    if settings.neighbours_of and settings.neighbour_distance:
        shares = fuse(words, meaning, profile.rank.fusion)
        score = np.sum(list(shares.values()), axis=0)
        # Rows are in the order of seq: of equals the newest.
        best = rows[np.lexsort((-rows, -score))[: settings.neighbours_of]]
        beside = snapshot.beside(best.tolist(), settings.neighbour_distance)
        if matching is not None:
            beside = {row for row in beside if matching[row]}
        whole = np.union1d(rows, np.fromiter(beside, np.int64, len(beside)))
        words, meaning = _aligned(whole, rows, words), _aligned(whole, rows, meaning)
        rows = whole
    if request.min_similarity > 0:
        alike = snapshot.vectors[rows] @ vector >= request.min_similarity - ROUNDING
        rows, words, meaning = rows[alike], words[alike], meaning[alike]
    pool = _pool(snapshot, rows, words, meaning, uses, request)
    ranking = rank(
        pool,
        profile.rank,
        k=request.k,
        now=micros(request.now),
        question=question,
        cross_score=cross_score(lambda places: _texts(snapshot, rows[places]), request),
    )
    shown = snapshot.rows(rows[ranking.order], columns_of(pool, ranking.order))
    return make_hits(shown, ranking, ranking.order), pool.seq[ranking.order]


def _proposed(
    snapshot: Snapshot,
    request: RecallRequest,
    vector: Floats,
    lexical: Candidates,
    matching: NDArray[np.bool_] | None,
    find_words: Callable[[int], Candidates],
) -> tuple[Proposal, Proposal]:
    """What both sides propose; of copies the newest."""
    words_limit, meaning_limit = request.lexical_limit, request.semantic_limit
    times = 1
    while True:
        words = _by_words(snapshot, lexical, matching)
        meaning = _by_meaning(snapshot, vector, matching, meaning_limit * times)
        rows = np.union1d(words[0], meaning[0])
        number = _copy_numbers(snapshot, rows)
        if number is None:
            return words, meaning
        cut = (
            len(lexical) == words_limit * times > 0,
            len(meaning[0]) == meaning_limit * times > 0,
        )
        # Rows are in the order of seq.
        older = copies.older_copies(rows, number)
        words = _without(words, older, words_limit)
        meaning = _without(meaning, older, meaning_limit)
        missing = (
            cut[0] and len(words[0]) < words_limit,
            cut[1] and len(meaning[0]) < meaning_limit,
        )
        if not any(missing) or times == copies.MOST:
            return words, meaning
        times *= copies.MORE
        if words_limit:
            lexical = find_words(words_limit * times)


def _by_words(
    snapshot: Snapshot, lexical: Candidates, matching: NDArray[np.bool_] | None
) -> Proposal:
    rows, found = snapshot.find(lexical.seq)
    score = lexical.score[found]
    if matching is None:
        return rows, score
    kept = matching[rows]
    return rows[kept], score[kept]


def _by_meaning(
    snapshot: Snapshot, vector: Floats, matching: NDArray[np.bool_] | None, limit: int
) -> Proposal:
    if not limit:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    return snapshot.nearest(vector, matching, limit)


def _copy_numbers(snapshot: Snapshot, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    if not snapshot.repeated:
        return None
    return copies.numbered(snapshot.table.select(copies.COLUMNS).take(pa.array(rows)))


def _without(proposal: Proposal, rows: NDArray[np.int64], limit: int) -> Proposal:
    kept = ~np.isin(proposal[0], rows)
    return proposal[0][kept][:limit], proposal[1][kept][:limit]


def _pool(
    snapshot: Snapshot,
    rows: NDArray[np.int64],
    words: Floats,
    meaning: Floats,
    uses: Mapping[int, int],
    request: RecallRequest,
) -> Pool:
    columns, needs = snapshot.columns, request.profile.rank.needs
    seq = columns["seq"][rows]
    count = columns["access_count"][rows]
    if uses:
        count = count + np.fromiter(map(uses.get, seq.tolist(), repeat(0)), np.int64, len(seq))
    # Numbered anew: the rankers are told of the speakers in the pool only.
    speakers, speaker = np.unique(columns["speaker"][rows], return_inverse=True)
    if len(speakers) and speakers[0] < 0:
        speakers, speaker = speakers[1:], speaker - 1
    roles = np.array([role_number(name) for name in (*snapshot.names["role"], None)], np.int64)
    matches = term_weight = None
    if "matches" in needs:
        matches, term_weight = word_matches(request.query, _texts(snapshot, rows))
    return Pool(
        seq=seq,
        lexical=words,
        semantic=meaning,
        conversation=columns["conversation_id"][rows],
        turn=columns["turn"][rows],
        words=columns["words"][rows],
        created_at=columns["created_at"][rows],
        importance=columns["importance"][rows].astype(np.float32),
        access_count=count,
        role=roles[columns["role"][rows]],
        speaker=speaker,
        question_share=columns["question_share"][rows],
        ends_with_question=columns["ends_with_question"][rows],
        names_time=columns["names_time"][rows],
        tells_change=columns["tells_change"][rows],
        speakers=tuple(snapshot.names["speaker"][code] for code in speakers.tolist()),
        vector=snapshot.vectors[rows] if "vectors" in needs else None,
        texts=_texts(snapshot, rows) if "texts" in needs else None,
        matches=matches,
        term_weight=term_weight,
        copy_of=_copy_numbers(snapshot, rows),
    )


def _texts(snapshot: Snapshot, rows: NDArray[np.int64]) -> list[str]:
    texts: list[str] = snapshot.table.column("content").take(pa.array(rows)).to_pylist()
    return texts


def _aligned(rows: NDArray[np.int64], some: NDArray[np.int64], score: Floats) -> Floats:
    """The scores of some of the rows, NaN for the others; ``rows`` is in ascending order."""
    scores = np.full(len(rows), np.nan, np.float32)
    scores[np.searchsorted(rows, some)] = score
    return scores
