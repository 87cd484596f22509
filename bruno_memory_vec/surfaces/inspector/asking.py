"""Pages about a question: its hits and why, profiles side by side, and the prompt it makes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup
from starlette.responses import Response

from bruno_memory_vec.context import STRATEGIES, BuiltContext, ContextReport
from bruno_memory_vec.recall.profiles import list_profiles, load_profile
from bruno_memory_vec.surfaces.inspector.looking import Look
from bruno_memory_vec.surfaces.inspector.pages import page
from bruno_memory_vec.surfaces.inspector.rows import importance_of, rows_of
from bruno_memory_vec.surfaces.inspector.text import excerpt, with_passage

if TYPE_CHECKING:
    from bruno_memory_vec.recall.hits import Hit, Hits

_KINDS: Final = ("all", "message", "memory")
_COUNTS: Final = (5, 10, 20, 50)
_MOST_COLUMNS: Final = 3
# Of so many rows that did not go into a prompt the text is shown.
_READ: Final = 12
_COMPARED_BY_DEFAULT: Final = ("balanced", "lexical", "semantic")
#: The colours of a context's parts, as those of the signals.
PARTS: Final = {
    "system": 16,
    "profile": 5,
    "pinned": 9,
    "summary": 4,
    "recalled": 1,
    "neighbour": 3,
    "recent": 2,
    "question": 10,
    "frame": 13,
}


async def ask(look: Look) -> Response:
    """``/ask``: a question with its hits, each signal's share, and how likely they answer it."""
    asked, k = look.question(), look.number("k", 10, 1, 100)
    kind = look.choice("kind", _KINDS, "all")
    profile = _profile(look)
    hits: Hits | None = None
    took = 0.0
    if asked:
        began = time.perf_counter()
        hits = await _recall(look, asked, k, profile, kind)
        took = 1000 * (time.perf_counter() - began)
    return page(
        look,
        "ask.html",
        asked=asked,
        k=k,
        kind=kind,
        profile=profile,
        profiles=list_profiles(),
        counts=_COUNTS,
        kinds=_KINDS,
        hits=hits,
        took=took,
        archived=_flag(look, "archived"),
        importance_of=importance_of,
        passage_of=_passage_of,
        user=look.user,
    )


async def compare(look: Look) -> Response:
    """``/compare``: one question by two or three profiles, the same hit marked in each."""
    asked, k = look.question(), look.number("k", 10, 1, 50)
    known = list_profiles()
    named = list(dict.fromkeys(look.words("profile")))[:_MOST_COLUMNS]
    chosen = [load_profile(name).name for name in named if name in known] or [
        name for name in _COMPARED_BY_DEFAULT if name in known
    ]
    columns: list[Column] = []
    if asked:
        for name in chosen:
            began = time.perf_counter()
            hits = await _recall(look, asked, k, name, "all")
            columns.append(Column(name, hits, 1000 * (time.perf_counter() - began)))
        _number(columns)
    return page(
        look,
        "compare.html",
        asked=asked,
        k=k,
        profiles=known,
        chosen=[*chosen, *[""] * (_MOST_COLUMNS - len(chosen))],
        columns=columns,
        counts=_COUNTS,
        user=look.user,
    )


@dataclass(slots=True)
class Column:
    """The hits of one profile.

    Attributes:
        profile: its name.
        hits: its hits.
        took: how many milliseconds they took.
        letters: a letter for each hit, the same in every column.
        moved: for each hit how many ranks it stands higher than in the first column; None where
            that column does not have it.
        joined: for each hit in how many columns it is.
    """

    profile: str
    hits: Hits
    took: float
    letters: list[str] | None = None
    moved: list[int | None] | None = None
    joined: list[int] | None = None


async def context(look: Look) -> Response:
    """``/context``: what would stand in a prompt, what went in and what did not."""
    asked = look.question()
    budget = look.number("budget", 800, 20, 200_000)
    strategy = look.choice("strategy", tuple(STRATEGIES), "hybrid")
    profile, talk = _profile(look), look.word("conversation")
    user = look.user
    built = None
    if asked:
        built = await look.memory.build_context(
            asked,
            user_id=user,
            conversation_id=talk or None,
            budget=budget,
            strategy=strategy,
            profile=profile or None,
        )
    return page(
        look,
        "context.html",
        asked=asked,
        budget=budget,
        strategy=strategy,
        strategies=[(name, one.description) for name, one in STRATEGIES.items()],
        profile=profile,
        profiles=list_profiles(),
        talk=talk,
        built=built,
        parts=PARTS,
        parts_of=_parts_of,
        texts=await _texts(look, built),
        talks=await look.memory.conversations.list(user, limit=30),
        user=user,
    )


async def _recall(look: Look, asked: str, k: int, profile: str, kind: str) -> Hits:
    wanted: Any = None if kind == "all" else kind
    # As of now: so a look is no use, which would change what the next recall finds.
    return await look.memory.recall(
        asked,
        user_id=look.user,
        k=k,
        kinds=wanted,
        profile=profile or None,
        include_archived=_flag(look, "archived"),
        as_of=datetime.now(timezone.utc),
    )


def _passage_of(hit: Hit) -> Markup:
    """The part of a long text that answers, marked, with some of what is around it."""
    assert hit.passage is not None
    return with_passage(*excerpt(hit.content, hit.passage.start, hit.passage.end))


def _parts_of(report: ContextReport) -> list[tuple[str, float, int]]:
    sums = {**report.by_source, **({"frame": report.frame} if report.frame else {})}
    return [(name, tokens, PARTS.get(name, PARTS["system"])) for name, tokens in sums.items()]


async def _texts(look: Look, built: BuiltContext | None) -> dict[str, str]:
    """The texts of the first rows that did not go in, which the report names by their ids."""
    if built is None:
        return {}
    ids = [one.id for one in built.report.left_out if one.id is not None and not one.text]
    return {hit.id: hit.content for hit in await rows_of(look.memory, look.user, ids[:_READ])}


def _profile(look: Look) -> str:
    """The profile that is asked for; blank for the memory's own."""
    return look.choice("profile", ("", *list_profiles()), "")


def _flag(look: Look, name: str) -> bool:
    return look.word(name) == "1"


def _number(columns: list[Column]) -> None:
    letters: dict[str, str] = {}
    counts: dict[str, int] = {}
    for column in columns:
        for hit in column.hits:
            letters.setdefault(hit.id, _letter(len(letters)))
            counts[hit.id] = counts.get(hit.id, 0) + 1
    first = {hit.id: rank for rank, hit in enumerate(columns[0].hits)}
    for column in columns:
        column.letters = [letters[hit.id] for hit in column.hits]
        column.joined = [counts[hit.id] for hit in column.hits]
        column.moved = [_moved(first, hit, rank) for rank, hit in enumerate(column.hits)]


def _moved(first: dict[str, int], hit: Hit, rank: int) -> int | None:
    return first[hit.id] - rank if hit.id in first else None


def _letter(number: int) -> str:
    """A, B, ..., Z, AA, ..."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(65 + rest) + name
    return name
