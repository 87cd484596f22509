"""From candidates to hits: what both sides propose, the turns around, the pool, the ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import repeat
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.query import Candidates
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.indexers.snapshot import Snapshot
from bruno_memory_vec.rankers import Pool, Question, rank
from bruno_memory_vec.rankers.pool import ASSISTANT, NO_ROLE, OTHER_ROLE, USER
from bruno_memory_vec.recall import copies
from bruno_memory_vec.recall.cross_encoder import cross_score
from bruno_memory_vec.recall.hits import Hits, columns_of, make_hits
from bruno_memory_vec.recall.request import RecallRequest
from bruno_memory_vec.recall.sources import CandidateSource, Loaded, aligned, best_of, texts_of
from bruno_memory_vec.recall.word_matches import word_matches

_ROLES = {None: NO_ROLE, "user": USER, "assistant": ASSISTANT}
# float32 rounding: identical texts may come to 0.9999999.
_ROUNDING = 1e-6


class ReadQuestion(NamedTuple):
    """A question, read: its vector (float32 (d,)), what its words find, and what they ask for."""

    vector: NDArray[np.float32]
    lexical: Candidates
    question: Question


class Proposed(NamedTuple):
    """What both sides propose, of copies the newest, and rows in memory that hold it."""

    lexical: Candidates
    semantic: Candidates
    loaded: Loaded


async def propose(
    source: CandidateSource,
    request: RecallRequest,
    lexical: Candidates,
    find_words: Callable[[int], Candidates],
) -> Proposed | None:
    """Candidates of both sides; None where there is none.

    Where copies of messages leave too few, both sides are asked again for more.

    Args:
        source: proposes by vectors, and has the rows.
        request: the question.
        lexical: what the lexical index proposes.
        find_words: asks the lexical index for so many rows.
    """
    words_limit, meaning_limit = request.lexical_limit, request.semantic_limit
    times = 1
    while True:
        semantic = Candidates.empty()
        if meaning_limit:
            semantic = await source.nearest(meaning_limit * times)
        if not len(lexical) and not len(semantic):
            return None
        loaded = await source.load(lexical, semantic)
        older = _older_copies(loaded, lexical, semantic)
        if older is None:
            return Proposed(lexical, semantic, loaded)
        cut = (
            len(lexical) == words_limit * times > 0,
            len(semantic) == meaning_limit * times > 0,
        )
        fewer = lexical.without(older, words_limit), semantic.without(older, meaning_limit)
        missing = (
            cut[0] and len(fewer[0]) < words_limit,
            cut[1] and len(fewer[1]) < meaning_limit,
        )
        if not any(missing) or times == copies.MOST:
            # Again: other turns stand around the candidates that are left.
            return Proposed(*fewer, await source.load(*fewer))
        times *= copies.MORE
        if words_limit:
            lexical = find_words(words_limit * times)


def _older_copies(
    loaded: Loaded, lexical: Candidates, semantic: Candidates
) -> NDArray[np.int64] | None:
    """The ``seq`` of candidates of which a newer copy is one too; None where none is a copy."""
    snapshot = loaded.snapshot
    if not snapshot.repeated:
        return None
    rows, _ = snapshot.find(np.union1d(lexical.seq, semantic.seq))
    if loaded.matching is not None:
        rows = rows[loaded.matching[rows]]
    number = _copy_numbers(snapshot, rows)
    return None if number is None else copies.older_copies(snapshot.columns["seq"][rows], number)


def _copy_numbers(snapshot: Snapshot, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    if not snapshot.repeated:
        return None
    return copies.numbered(snapshot.table.select(copies.COLUMNS).take(pa.array(rows)))


def finish(
    proposed: Proposed, request: RecallRequest, read: ReadQuestion, uses: Mapping[int, int]
) -> tuple[Hits, NDArray[np.int64]]:
    """Rank what is proposed; the best hits, best first, and their ``seq``.

    Args:
        proposed: the candidates, and their rows in memory.
        request: what is asked.
        read: the question, read.
        uses: by ``seq``, uses that are counted and not yet written.
    """
    profile, (snapshot, matching) = request.profile, proposed.loaded
    by_words, word_score = _located(proposed.loaded, proposed.lexical)
    by_meaning, meaning_score = _located(proposed.loaded, proposed.semantic)
    rows = np.union1d(by_words, by_meaning)
    if not len(rows):
        return Hits(), rows
    words = aligned(rows, by_words, word_score)
    meaning = aligned(rows, by_meaning, meaning_score)
    if profile.candidates.neighbours_of and profile.candidates.neighbour_distance:
        best = rows[best_of(rows, words, meaning, profile)]
        beside = snapshot.beside(best.tolist(), profile.candidates.neighbour_distance)
        if matching is not None:
            beside = {row for row in beside if matching[row]}
        whole = np.union1d(rows, np.fromiter(beside, np.int64, len(beside)))
        words, meaning = aligned(whole, rows, words), aligned(whole, rows, meaning)
        rows = whole
    if request.min_similarity > 0:
        alike = snapshot.vectors[rows] @ read.vector >= request.min_similarity - _ROUNDING
        rows, words, meaning = rows[alike], words[alike], meaning[alike]
    pool = make_pool(snapshot, rows, words, meaning, uses, request)
    ranking = rank(
        pool,
        profile.rank,
        k=request.k,
        now=micros(request.now),
        question=read.question,
        cross_score=cross_score(lambda places: texts_of(snapshot, rows[places]), request),
    )
    shown = snapshot.rows(rows[ranking.order], columns_of(pool, ranking.order))
    return make_hits(shown, ranking, ranking.order), pool.seq[ranking.order]


def _located(
    loaded: Loaded, candidates: Candidates
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Where candidates stand among rows in memory, and their scores; what is gone is dropped."""
    rows, found = loaded.snapshot.find(candidates.seq)
    score = candidates.score[found]
    if loaded.matching is None:
        return rows, score
    kept = loaded.matching[rows]
    return rows[kept], score[kept]


def make_pool(
    snapshot: Snapshot,
    rows: NDArray[np.int64],
    words: NDArray[np.float32],
    meaning: NDArray[np.float32],
    uses: Mapping[int, int],
    request: RecallRequest,
) -> Pool:
    """The pool that the rankers are given.

    Args:
        snapshot: rows in memory.
        rows: int64 (n,), which of them are in the pool, ascending.
        words: float32 (n,), BM25, NaN where the lexical index did not propose the row.
        meaning: float32 (n,), cosine, NaN where the vectors did not propose it.
        uses: by ``seq``, uses that are counted and not yet written.
        request: the question, and the profile whose rankers it is for.
    """
    columns, needs = snapshot.columns, request.profile.rank.needs
    seq = columns["seq"][rows]
    count = columns["access_count"][rows]
    if uses:
        count = count + np.fromiter(map(uses.get, seq.tolist(), repeat(0)), np.int64, len(seq))
    # Numbered anew: the rankers are told of the speakers in the pool only.
    speakers, speaker = np.unique(columns["speaker"][rows], return_inverse=True)
    if len(speakers) and speakers[0] < 0:
        speakers, speaker = speakers[1:], speaker - 1
    names = (*snapshot.names["role"], None)
    roles = np.array([_ROLES.get(name, OTHER_ROLE) for name in names], np.int64)
    matches = term_weight = None
    if "matches" in needs:
        matches, term_weight = word_matches(request.query, texts_of(snapshot, rows))
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
        texts=texts_of(snapshot, rows) if "texts" in needs else None,
        matches=matches,
        term_weight=term_weight,
        copy_of=_copy_numbers(snapshot, rows),
    )
