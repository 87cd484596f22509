"""From candidates to hits: the candidates of both sides, the turns around them, pool, ranking."""

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
from bruno_memory_vec.prompts.notes import is_notes
from bruno_memory_vec.rankers import Pool, Question, Ranking, rank
from bruno_memory_vec.rankers.pool import ASSISTANT, NO_ROLE, OTHER_ROLE, USER
from bruno_memory_vec.recall import copies
from bruno_memory_vec.recall.cross_encoder import cross_score
from bruno_memory_vec.recall.hits import Hits, columns_of, make_hits
from bruno_memory_vec.recall.request import RecallRequest
from bruno_memory_vec.recall.sources import CandidateSource, Loaded, aligned, best_of, texts_of
from bruno_memory_vec.recall.word_matches import word_matches
from bruno_memory_vec.rows.models import Row

_ROLES = {None: NO_ROLE, "user": USER, "assistant": ASSISTANT}
# float32 rounding: identical texts may come to 0.9999999.
_ROUNDING = 1e-6


class ReadQuestion(NamedTuple):
    """A question.

    Attributes:
        vector: what the rows are searched by, float32 (d,); rare words may count more in it.
        plain: its vector as a text, which `min_similarity` refers to, float32 (d,).
        lexical: its lexical candidates.
        question: its cues.
    """

    vector: NDArray[np.float32]
    plain: NDArray[np.float32]
    lexical: Candidates
    question: Question


class Proposed(NamedTuple):
    """The candidates of both sides, without older copies, and rows in memory that hold them."""

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

    If too few are left without copies, both sides are asked again for more.

    Args:
        source: proposes candidates by vector, and has the rows.
        request: the question.
        lexical: the candidates of the lexical index.
        find_words: asks the lexical index for a number of candidates.
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
            # Loaded again, because the turns around the remaining candidates are others.
            return Proposed(*fewer, await source.load(*fewer))
        times *= copies.MORE
        if words_limit:
            lexical = find_words(words_limit * times)


def _older_copies(
    loaded: Loaded, lexical: Candidates, semantic: Candidates
) -> NDArray[np.int64] | None:
    """The ``seq`` of candidates with a newer copy among the candidates; None without copies."""
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
    """Rank the candidates; returns the best hits, best first, and their ``seq``.

    Args:
        proposed: the candidates, and their rows in memory.
        request: the request.
        read: the question's vector and cues.
        uses: by ``seq``, uses that are counted and not yet written.
    """
    profile, (snapshot, matching) = request.profile, proposed.loaded
    lexical_rows, lexical_score = _located(proposed.loaded, proposed.lexical)
    semantic_rows, semantic_score = _located(proposed.loaded, proposed.semantic)
    rows = np.union1d(lexical_rows, semantic_rows)
    if not len(rows):
        return Hits(), rows
    lexical = aligned(rows, lexical_rows, lexical_score)
    semantic = aligned(rows, semantic_rows, semantic_score)
    if profile.candidates.neighbours_of and profile.candidates.neighbour_distance:
        best = rows[best_of(rows, lexical, semantic, profile)]
        beside = snapshot.beside(best.tolist(), profile.candidates.neighbour_distance)
        if matching is not None:
            beside = {row for row in beside if matching[row]}
        whole = np.union1d(rows, np.fromiter(beside, np.int64, len(beside)))
        lexical, semantic = aligned(whole, rows, lexical), aligned(whole, rows, semantic)
        rows = whole
    if request.min_similarity > 0:
        alike = snapshot.vectors[rows] @ read.plain >= request.min_similarity - _ROUNDING
        rows, lexical, semantic = rows[alike], lexical[alike], semantic[alike]
    ranked = _ranked(snapshot, rows, lexical, semantic, uses, request, read)
    if any(is_notes(row["content"]) for row in ranked[2]):
        # Our own notes, which older versions stored when they were given back; they repeat what
        # others say. It is looked for only where they are found, as it takes all the texts.
        said = [not is_notes(text) for text in texts_of(snapshot, rows)]
        rows, lexical, semantic = rows[said], lexical[said], semantic[said]
        if not len(rows):
            return Hits(), rows
        ranked = _ranked(snapshot, rows, lexical, semantic, uses, request, read)
    pool, ranking, shown = ranked
    return make_hits(shown, ranking, ranking.order), pool.seq[ranking.order]


def _ranked(
    snapshot: Snapshot,
    rows: NDArray[np.int64],
    lexical: NDArray[np.float32],
    semantic: NDArray[np.float32],
    uses: Mapping[int, int],
    request: RecallRequest,
    read: ReadQuestion,
) -> tuple[Pool, Ranking, list[Row]]:
    """The pool of some rows, their ranking, and the best; arguments as of :func:`make_pool`."""
    pool = make_pool(snapshot, rows, lexical, semantic, uses, request)
    ranking = rank(
        pool,
        request.profile.rank,
        k=request.k,
        now=micros(request.now),
        question=read.question,
        cross_score=cross_score(lambda indices: texts_of(snapshot, rows[indices]), request),
    )
    best = snapshot.rows(rows[ranking.order], columns_of(pool, ranking.order))
    return pool, ranking, list(best)


def _located(
    loaded: Loaded, candidates: Candidates
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The indices of candidates into the rows in memory, and their scores.

    Candidates that do not exist any more are dropped.
    """
    rows, found = loaded.snapshot.find(candidates.seq)
    score = candidates.score[found]
    if loaded.matching is None:
        return rows, score
    kept = loaded.matching[rows]
    return rows[kept], score[kept]


def make_pool(
    snapshot: Snapshot,
    rows: NDArray[np.int64],
    lexical: NDArray[np.float32],
    semantic: NDArray[np.float32],
    uses: Mapping[int, int],
    request: RecallRequest,
) -> Pool:
    """The pool for the rankers.

    Args:
        snapshot: rows in memory.
        rows: int64 (n,), which of them are in the pool, ascending.
        lexical: float32 (n,), BM25, NaN where the lexical index did not propose the row.
        semantic: float32 (n,), cosine, NaN where the vector search did not propose it.
        uses: by ``seq``, uses that are counted and not yet written.
        request: the question and the profile.
    """
    columns, needs = snapshot.columns, request.profile.rank.needs
    seq = columns["seq"][rows]
    count = columns["access_count"][rows]
    if request.then:
        # Only how often it was used up to now is stored, so a use since then voids the count.
        count = np.where(columns["last_accessed"][rows] <= micros(request.now), count, 0)
    elif uses:
        count = count + np.fromiter(map(uses.get, seq.tolist(), repeat(0)), np.int64, len(seq))
    # Numbered anew, because the pool lists only its own speakers.
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
        lexical=lexical,
        semantic=semantic,
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
