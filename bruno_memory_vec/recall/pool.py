"""From candidates to hits: the candidates of both sides, the turns around them, pool, ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat as always
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bruno_memory_vec.indexers.query import AskedTerms, Candidates
from bruno_memory_vec.indexers.schema import micros
from bruno_memory_vec.indexers.snapshot import CONTENT_BYTES, Snapshot
from bruno_memory_vec.observability.stages import timed
from bruno_memory_vec.prompts.notes import is_notes
from bruno_memory_vec.rankers import (
    AskedBefore,
    Coverage,
    Pool,
    Question,
    Ranking,
    Repeats,
    rank,
)
from bruno_memory_vec.rankers.pool import ASSISTANT, NO_ROLE, OTHER_ROLE, USER
from bruno_memory_vec.recall import copies, repeats
from bruno_memory_vec.recall.answered import evidence_of
from bruno_memory_vec.recall.cross_encoder import cross_score
from bruno_memory_vec.recall.hits import Hits, columns_of, make_hits
from bruno_memory_vec.recall.in_period import FindWords, InPeriod, propose_in_period
from bruno_memory_vec.recall.passages.scores import BestPassages, Look, long_rows
from bruno_memory_vec.recall.passages.windows import LEAST_BYTES, Passage
from bruno_memory_vec.recall.request import RecallRequest
from bruno_memory_vec.recall.sources import CandidateSource, Loaded, aligned, best_of, texts_of
from bruno_memory_vec.recall.word_matches import word_matches
from bruno_memory_vec.rows.models import Row

_ROLES = {None: NO_ROLE, "user": USER, "assistant": ASSISTANT}
# float32 rounding: identical texts may come to 0.9999999.
_ROUNDING = 1e-6
# So many of the first hits show a passage of theirs even if no question was asked of it.
_SHOW_A_PASSAGE = 20


class ReadQuestion(NamedTuple):
    """A question.

    Attributes:
        vector: what the rows are searched by, float32 (d,); rare words may count more in it.
        plain: its vector as a text, which `min_similarity` refers to, float32 (d,).
        lexical: its lexical candidates.
        question: its cues.
        known: the share of it that the embedder knows, 0..1.
        terms: its terms, counted; None where words were not asked for.
    """

    vector: NDArray[np.float32]
    plain: NDArray[np.float32]
    lexical: Candidates
    question: Question
    known: float = 1.0
    terms: AskedTerms | None = None


class Found(NamedTuple):
    """What the candidates have in common.

    Attributes:
        said: by :func:`.repeats.text_keys`, how many candidates say the same, where several do.
        asked: whether any merely repeats the question.
    """

    said: Mapping[int, int] = {}
    asked: bool = False


_NOTHING = Found()


class Proposed(NamedTuple):
    """The candidates of both sides, without older copies and repeats, and their rows in memory.

    ``behind`` are what the lexical index proposes behind its candidates: only the passages of long
    rows among them are looked at. Rows in memory hold some of these. ``inside`` are those of the
    time that the question names, where it has some of its own.
    """

    lexical: Candidates
    semantic: Candidates
    loaded: Loaded
    behind: Candidates
    found: Found = _NOTHING
    inside: InPeriod | None = None


async def propose(
    source: CandidateSource,
    request: RecallRequest,
    read: ReadQuestion,
    find_words: FindWords,
) -> Proposed | None:
    """Candidates of both sides, and of the named time; None where there is none.

    If too few are left without copies and repeats, both sides are asked again for more.

    Args:
        source: proposes candidates by vector, and has the rows.
        request: the question.
        read: the same, read, with the candidates of the lexical index, ``lexical_reach`` at most.
        find_words: asks the lexical index for a number of candidates.
    """
    lexical, where = read.lexical, request.where
    words_limit, meaning_limit = request.lexical_limit, request.semantic_limit
    inside = await propose_in_period(source, request, read.question, find_words)
    others = seqs_of(*(inside or ()))
    times = 1
    while True:
        reached, lexical = lexical, lexical.first(words_limit * times)
        semantic = Candidates.empty()
        if meaning_limit:
            with timed(request.stages, "semantic"):
                semantic = await source.nearest(meaning_limit * times, where)
        if not len(lexical) and not len(semantic):
            return None
        with timed(request.stages, "fetching"):
            loaded = await source.load(lexical, semantic, others)
        older, found = _older(loaded, lexical, semantic, inside, request, read.question)
        if not len(older):
            behind = reached.after(len(lexical))
            return Proposed(lexical, semantic, loaded, behind, found, inside)
        inside = inside and inside.without(older)
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
            behind = reached.without(np.concatenate([older, fewer[0].seq]), len(reached))
            with timed(request.stages, "fetching"):
                loaded = await source.load(*fewer, others)
            return Proposed(*fewer, loaded, behind, found, inside)
        times *= copies.MORE
        if words_limit:
            lexical = await find_words(request.lexical_reach * times, where)


def seqs_of(*sides: Candidates) -> NDArray[np.int64]:
    """The ``seq`` of all candidates, each once, int64, ascending."""
    return _once(*(side.seq for side in sides))


def _once(*parts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers, each once, int64, ascending. For a few hundred, as here, np.unique takes longer."""
    if not parts:
        return np.empty(0, np.int64)
    ordered = np.sort(np.concatenate(parts))
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def _older(
    loaded: Loaded,
    lexical: Candidates,
    semantic: Candidates,
    inside: InPeriod | None,
    request: RecallRequest,
    question: Question,
) -> tuple[NDArray[np.int64], Found]:
    """The ``seq`` of candidates for which a newer one stands, and what they have in common."""
    snapshot, steps = loaded.snapshot, request.profile.rank
    step, asking = steps.get(Repeats), steps.get(AskedBefore)
    if not snapshot.repeated and step is None and asking is None:
        return np.empty(0, np.int64), Found()
    sides = [_located(loaded, side) for side in (lexical, semantic, *(inside or ()))]
    rows = _once(*(at for at, _ in sides))
    seq, created = snapshot.columns["seq"][rows], snapshot.columns["created_at"][rows]
    older: list[NDArray[np.int64]] = []
    said: dict[int, int] = {}
    again = None
    copied = _copy_numbers(snapshot, rows)
    if copied is not None:
        older.append(copies.older_copies(seq, copied))
        left = ~np.isin(seq, older[0])
        rows, seq, created = rows[left], seq[left], created[left]
    number = None if step is None else repeats.same_words(snapshot, rows, step)
    if number is not None:
        keys, counts = np.unique(number, return_counts=True)
        several = counts > 1
        said = dict(zip(keys[several].tolist(), counts[several].tolist(), strict=True))
        number = repeats.by_period(number, created, question)
        older.append(copies.older_copies(seq, number, created))
    if asking is not None and repeats.may_ask_again(request):
        words, meaning = (_scores(rows, *side) for side in sides[:2])
        again = repeats.asked_before(snapshot, rows, words, meaning, request)
        if again is not None:
            # One of them is enough: it shows that this was asked.
            newest = np.flatnonzero(again.asks)[np.argmax(created[again.asks])]
            older.append(np.delete(seq, newest)[np.delete(again.asks | again.unknown, newest)])
    return _once(*older), Found(said, again is not None)


def _scores(
    rows: NDArray[np.int64], some: NDArray[np.int64], score: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The scores of those of ``rows`` that are among ``some``, NaN of others; float32 (n,)."""
    scores = np.full(len(rows), np.nan, np.float32)
    if len(rows):
        place = np.searchsorted(rows, some)
        np.minimum(place, len(rows) - 1, out=place)
        here = rows[place] == some
        scores[place[here]] = score[here]
    return scores


def _copy_numbers(snapshot: Snapshot, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    if not snapshot.repeated:
        return None
    return copies.numbered(snapshot.table.select(copies.COLUMNS).take(pa.array(rows)))


def finish(
    proposed: Proposed,
    request: RecallRequest,
    read: ReadQuestion,
    uses: Mapping[int, int],
    look: Look | None = None,
) -> tuple[Hits, NDArray[np.int64]]:
    """Rank the candidates; returns the best hits, best first, and their ``seq``.

    None where they are less likely to hold an answer than the request wants.

    Args:
        proposed: the candidates, and their rows in memory.
        request: the request.
        read: the question's vector and cues.
        uses: by ``seq``, uses that are counted and not yet written.
        look: reads the passages of long rows; None where the profile does not want them.
    """
    with timed(request.stages, "ranking"):
        return _finished(proposed, request, read, uses, look)


def _finished(
    proposed: Proposed,
    request: RecallRequest,
    read: ReadQuestion,
    uses: Mapping[int, int],
    look: Look | None,
) -> tuple[Hits, NDArray[np.int64]]:
    profile, (snapshot, matching) = request.profile, proposed.loaded
    located = [
        _located(proposed.loaded, side)
        for side in (proposed.lexical, proposed.semantic, *(proposed.inside or ()))
    ]
    rows = _once(*(at for at, _ in located))
    if not len(rows):
        return Hits(), rows
    sides = [aligned(rows, at, score) for at, score in located]
    if profile.candidates.neighbours_of and profile.candidates.neighbour_distance:
        best = rows[best_of(rows, sides[0], sides[1], profile)]
        beside = snapshot.beside(best.tolist(), profile.candidates.neighbour_distance)
        if matching is not None:
            beside = {row for row in beside if matching[row]}
        whole = _once(rows, np.fromiter(beside, np.int64, len(beside)))
        sides = [aligned(whole, rows, side) for side in sides]
        rows = whole
    passages: BestPassages | None = None
    if look is not None:
        more, less = _located(proposed.loaded, proposed.behind)
        by_words = np.concatenate([located[0][0], more]), np.concatenate([located[0][1], less])
        passages = look(snapshot, long_rows(snapshot, by_words, located[1]))
    if passages is not None:
        whole = _once(rows, passages.rows)
        sides = [aligned(whole, rows, side) for side in sides]
        rows = whole
    if request.min_similarity > 0:
        alike = snapshot.vectors[rows] @ read.plain >= request.min_similarity - _ROUNDING
        rows, sides = rows[alike], [side[alike] for side in sides]
    ranked = _ranked(snapshot, rows, sides, passages, uses, request, read, proposed.found)
    if any(is_notes(row["content"]) for row in ranked[2]):
        # Our own notes, which older versions stored when they were given back; they repeat what
        # others say. It is looked for only where they are found, as it takes all the texts.
        said = [not is_notes(text) for text in texts_of(snapshot, rows)]
        rows, sides = rows[said], [side[said] for side in sides]
        if not len(rows):
            return Hits(), rows
        ranked = _ranked(snapshot, rows, sides, passages, uses, request, read, proposed.found)
    pool, ranking, shown = ranked
    evidence = evidence_of(pool, ranking, shown, request, read.question, read.terms)
    if evidence.confidence() < request.min_confidence_of_answer:
        return Hits((), evidence), np.empty(0, np.int64)
    parts = {} if look is None else _passages_of(snapshot, rows[ranking.order], passages, look)
    places = [parts.get(row) for row in rows[ranking.order].tolist()]
    others = _others(snapshot, rows[ranking.order], proposed.found.said)
    hits = make_hits(shown, ranking, ranking.order, places, others)
    return Hits(hits, evidence), pool.seq[ranking.order]


def _passages_of(
    snapshot: Snapshot, rows: NDArray[np.int64], known: BestPassages | None, look: Look
) -> dict[int, Passage]:
    """The passages of hits, by row: those of the first ones also where none was looked at yet."""
    found = {} if known is None else known.passages()
    first = rows[:_SHOW_A_PASSAGE]
    long = first[snapshot.columns[CONTENT_BYTES][first] >= LEAST_BYTES]
    others = np.array(sorted(set(long.tolist()) - found.keys()), np.int64)
    more = look(snapshot, others) if len(others) else None
    return found if more is None else {**found, **more.passages()}


def _others(snapshot: Snapshot, rows: NDArray[np.int64], said: Mapping[int, int]) -> list[int]:
    """For how many others each of the rows stands."""
    if not said:
        return [0] * len(rows)
    return [said.get(key, 1) - 1 for key in repeats.text_keys(snapshot, rows).tolist()]


def _ranked(
    snapshot: Snapshot,
    rows: NDArray[np.int64],
    sides: Sequence[NDArray[np.float32]],
    passages: BestPassages | None,
    uses: Mapping[int, int],
    request: RecallRequest,
    read: ReadQuestion,
    found: Found,
) -> tuple[Pool, Ranking, list[Row]]:
    """The pool of some rows, their ranking, and the best; arguments as of :func:`make_pool`."""
    pool = make_pool(snapshot, rows, sides, uses, request, passages, found)
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
    sides: Sequence[NDArray[np.float32]],
    uses: Mapping[int, int],
    request: RecallRequest,
    passages: BestPassages | None = None,
    found: Found = _NOTHING,
) -> Pool:
    """The pool for the rankers.

    Args:
        snapshot: rows in memory.
        rows: int64 (n,), which of them are in the pool, ascending.
        sides: float32 (n,) each: BM25, NaN where the lexical index did not propose the row;
            cosine, NaN where the vector search did not propose it; and, where the time that the
            question names has candidates of its own, the same two of these.
        uses: by ``seq``, uses that are counted and not yet written.
        request: the question and the profile.
        passages: the best passages of long rows that were looked into.
        found: what the candidates have in common.
    """
    columns, needs = snapshot.columns, request.profile.rank.needs
    seq = columns["seq"][rows]
    asked = None
    if found.asked:
        again = repeats.asked_before(snapshot, rows, sides[0], sides[1], request)
        if again is not None:
            asked = again.asks | again.unknown
            sides = [_no_better(side, asked) for side in sides]
    count = columns["access_count"][rows]
    if request.then:
        # Only how often it was used up to now is stored, so a use since then voids the count.
        count = np.where(columns["last_accessed"][rows] <= micros(request.now), count, 0)
    elif uses:
        count = count + np.fromiter(map(uses.get, seq.tolist(), always(0)), np.int64, len(seq))
    # Numbered anew, because the pool lists only its own speakers.
    speaker = columns["speaker"][rows]
    speakers = np.empty(0, np.int64)
    if len(speaker) and speaker.max() >= 0:
        speakers, speaker = np.unique(speaker, return_inverse=True)
        if speakers[0] < 0:
            speakers, speaker = speakers[1:], speaker - 1
    names = (*snapshot.names["role"], None)
    roles = np.array([_ROLES.get(name, OTHER_ROLE) for name in names], np.int64)
    matches = term_weight = None
    coverage = request.profile.rank.get(Coverage)
    if coverage is not None and coverage.applies(speaker):
        matches, term_weight = word_matches(request.query, texts_of(snapshot, rows))
    inside = sides[2:] or (None, None)
    return Pool(
        seq=seq,
        lexical=sides[0],
        semantic=sides[1],
        lexical_in_period=inside[0],
        semantic_in_period=inside[1],
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
        copy_of=_alike(snapshot, rows, request.profile.rank.get(Repeats) if found.said else None),
        asked_before=asked,
        passages=None if passages is None else passages.aligned(rows),
    )


def _no_better(score: NDArray[np.float32], again: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A side's scores, in which what repeats the question is not above the best of the others.

    Else the others would be alike in comparison, whatever they answer.
    """
    best = np.fmax.reduce(score[~again], initial=np.float32(-np.inf))
    if not np.isfinite(best):
        return score
    return np.where(again, np.minimum(score, best), score)


def _alike(
    snapshot: Snapshot, rows: NDArray[np.int64], step: Repeats | None
) -> NDArray[np.int64] | None:
    """A number for each row, the same for copies, and for what was said again; None without."""
    copied = _copy_numbers(snapshot, rows)
    number = None if step is None else repeats.same_words(snapshot, rows, step)
    if copied is None or number is None:
        return number if copied is None else copied
    # Copies say the same, as a rule; where one was changed, they are one all the same.
    _, group = np.unique(copied, return_inverse=True)
    first = np.full(int(group.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, group, number)
    return first[group]
