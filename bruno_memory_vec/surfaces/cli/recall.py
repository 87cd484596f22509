"""``recall``: ask a store, and see why each hit was found."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import (
    Conversation,
    Embedder,
    Json,
    Kinds,
    Metadata,
    Profile,
    Roles,
    Sessions,
    Since,
    Store,
    Strategy,
    Until,
    User,
    metadata,
)
from bruno_memory_vec.surfaces.cli.running import MISUSED, NOTHING_FOUND, CliError, Out, execute
from bruno_memory_vec.surfaces.cli.times import moment
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec.memory import AllUsers
    from bruno_memory_vec.recall.hits import Hits

# Optional[X] and List[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP045


def recall(
    query: Annotated[str, typer.Argument(metavar="QUERY", help="A question, or any words.")],
    k: Annotated[int, typer.Option("-k", min=1, max=1000, help="How many hits.")] = 5,
    user: User = None,
    all_users: Annotated[
        bool, typer.Option("--all-users", help="Search everybody's rows, not one user's.")
    ] = False,
    conversation: Conversation = None,
    kind: Kinds = None,
    role: Roles = None,
    pairs: Metadata = None,
    since: Since = None,
    until: Until = None,
    as_of: Annotated[
        Optional[datetime],
        typer.Option(
            "--as-of", parser=moment, metavar="TIME", help="Answer as at this time, not as now."
        ),
    ] = None,
    exact: Annotated[
        Optional[str],
        typer.Option(
            "--exact",
            metavar="PHRASE",
            help="Only what holds this phrase as it stands; QUERY may be empty then.",
        ),
    ] = None,
    match_case: Annotated[
        bool, typer.Option("--match-case", help="Compare the phrase letter for letter.")
    ] = False,
    strategy: Annotated[
        Optional[Strategy],
        typer.Option(
            "--strategy",
            metavar="NAME",
            help="How to find: hybrid, fulltext, semantic, exact (QUERY is a phrase) or temporal.  "
            "[default: hybrid]",
        ),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(
            "--min-confidence-of-answer",
            min=0.0,
            max=1.0,
            metavar="0..1",
            help="Nothing, where the hits are less likely to hold an answer.",
        ),
    ] = 0.0,
    why: Annotated[
        bool, typer.Option("--why", help="Say in plain words what each hit was found for.")
    ] = False,
    store: Store = None,
    sessions: Sessions = None,
    embedder: Embedder = None,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Find what was said before, and see why it was found.

    Without --user, a store of one user is searched; of several, say whose. TIME is 2026-03-01
    (UTC), 2026-03-01T18:30:00Z, yesterday, "last monday" or "2 weeks ago". VALUE is JSON where it
    can be read as a text, a number, true or false, else the text as it stands: year=2026 is a
    number, and year='"2026"' a text. Days named in QUERY, such as "yesterday", are those of this
    machine's time zone.
    """
    wanted = metadata(pairs or ())

    async def work(out: Out) -> int:
        from bruno_memory_vec import ALL_USERS
        from bruno_memory_vec.recall import strategies
        from bruno_memory_vec.rows.checks import question
        from bruno_memory_vec.surfaces.cli.opening import (
            choose_user,
            configuration,
            reading,
            somebody,
        )

        if user is not None and all_users:
            raise CliError("--user and --all-users contradict each other", code=MISUSED)
        by: Any = None if strategy is None else strategy.value
        # What is wrong is said before a store is opened.
        strategies.strategy(by, profile)
        strategies.phrase(exact, match_case, query, by or "")
        question("query", query, blank=exact is not None or by == "temporal")
        config = configuration(store, embedder, profile, sessions)
        async with reading(config, out) as memory:
            whose: str | AllUsers
            if all_users:
                whose = ALL_USERS
            elif user is not None:
                whose = user
            else:
                whose = choose_user(await memory.list_users())
            started = time.perf_counter()
            hits = await memory.recall(
                query,
                user_id=whose,
                k=k,
                conversation_id=conversation,
                kinds=[one.value for one in kind or ()],
                roles=[one.value for one in role or ()],
                metadata=wanted,
                since=since,
                until=until,
                min_confidence_of_answer=confidence,
                exact=exact,
                match_case=match_case,
                strategy=by,
                # "Yesterday" is one of whoever types it.
                now=datetime.now().astimezone() if as_of is None else None,
                as_of=None if as_of is None else _here(as_of),
            )
            seconds = time.perf_counter() - started
            if not hits and user is not None and not out.as_json:
                await somebody(memory, user)
        shown_user = None if all_users else str(whose)
        if out.as_json:
            out.result(
                {
                    "query": query,
                    "user_id": shown_user,
                    "profile": config.profile,
                    "strategy": by,
                    "milliseconds": round(1000 * seconds, 2),
                    "confidence": None if hits.evidence is None else hits.confidence,
                    "hits": [hit.to_dict() for hit in hits],
                }
            )
        else:
            _print(
                out, query if exact is None else f"{query} {exact}", hits, shown_user, seconds, why
            )
        return 0 if hits else NOTHING_FOUND

    execute(json, work)


def _here(moment: datetime) -> datetime:
    """A time in this machine's zone, where that is in the calendar."""
    try:
        return moment.astimezone()
    except (OverflowError, ValueError, OSError):
        return moment


def _print(out: Out, query: str, hits: Hits, user: str | None, seconds: float, why: bool) -> None:
    from rich.text import Text

    from bruno_memory_vec.prompts.hidden_characters import marked
    from bruno_memory_vec.surfaces.cli.display import hit_table, words_of

    if not hits:
        whose = "any user's memory" if user is None else f"the memory of {user!r}"
        least = f": {_likely(hits)}" if hits.evidence is not None else ""
        out.say(f"nothing found in {whose}{least}")
        return
    console = out.console
    console.print(hit_table(hits, words_of(query), plain=why, width=console.width))
    whose = "all users" if user is None else f"user {marked(user)}"
    about = f"{counted(len(hits), 'hit')} for {whose} in {1000 * seconds:.0f} ms"
    # Of hits that were not ranked nothing says how likely they answer.
    likely = "" if hits.evidence is None else f"; {_likely(hits)}"
    console.print(Text(about + likely, style="dim"))


def _likely(hits: Hits) -> str:
    return f"an answer is {100 * hits.confidence:.0f} % likely"
