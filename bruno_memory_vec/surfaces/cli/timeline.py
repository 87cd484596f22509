"""``timeline``: what a store holds of a user, by time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, List, Optional  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli.options import (
    Json,
    Kind,
    Order,
    Sessions,
    Since,
    Store,
    Until,
    User,
    moment,
)
from bruno_memory_vec.surfaces.cli.running import NOTHING_FOUND, Out, execute

if TYPE_CHECKING:
    from bruno_memory_vec import Hit, Page

# Optional[X] and List[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP006, UP045

# Characters of a text.
_SHOWN = 300


def timeline(
    user: User = None,
    conversation: Annotated[
        Optional[str],
        typer.Option("--conversation", "-c", metavar="ID", help="Only this conversation."),
    ] = None,
    kind: Annotated[
        Optional[List[Kind]], typer.Option("--kind", help="Only messages, or only memories.")
    ] = None,
    since: Since = None,
    until: Until = None,
    around: Annotated[
        Optional[datetime],
        typer.Option("--around", parser=moment, metavar="TIME", help="Nearest to this time first."),
    ] = None,
    order: Annotated[
        Optional[Order], typer.Option("--order", help="Which first.  [default: newest]")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 20,
    archived: Annotated[bool, typer.Option("--archived", help="Also what was archived.")] = False,
    after: Annotated[
        Optional[str],
        typer.Option("--after", metavar="NEXT", help="The next page: `next` of the one before."),
    ] = None,
    store: Store = None,
    sessions: Sessions = None,
    json: Json = False,
) -> None:
    """Show what was said and noted, by time, without a question.

    Without --user, a store of one user is shown; of several, say whose. TIME is ISO 8601, such as
    2026-03-01, in UTC unless it names an offset.
    """

    async def work(out: Out) -> int:
        from bruno_memory_vec.surfaces.cli.opening import choose_user, configuration, reading

        config = configuration(store, sessions=sessions)
        async with reading(config, out, embeds=False) as memory:
            whose = choose_user(await memory.list_users()) if user is None else user
            page = await memory.timeline(
                whose,
                since=since,
                until=until,
                around=around,
                order=None if order is None else order.value,
                limit=limit,
                after=after,
                conversation_id=conversation,
                kinds=[one.value for one in kind or ()],
                include_archived=archived,
            )
        if out.as_json:
            rows = [hit.to_dict() for hit in page]
            out.result({"user_id": whose, "rows": rows, "next": page.next})
        else:
            _print(out, whose, page)
        return 0 if page else NOTHING_FOUND

    execute(json, work)


def _print(out: Out, user: str, page: Page[Hit]) -> None:
    from rich.table import Table
    from rich.text import Text

    from bruno_memory_vec.prompts.hidden_characters import marked
    from bruno_memory_vec.surfaces.cli.display import ROLE_STYLES, counted, excerpt, place

    if not page:
        out.say(f"nothing found of {user!r}")
        return
    grid = Table.grid(padding=(0, 1))
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for hit in page:
        at = Text(f"{hit.created_at:%Y-%m-%d %H:%M}", style="dim")
        who = Text(hit.speaker, style=ROLE_STYLES.get(hit.speaker, "magenta"))
        grid.add_row(at, who, Text(place(hit)), Text(excerpt(hit.content, set(), _SHOWN)))
    out.console.print(grid)
    more = "" if page.next is None else f"; go on with --after '{page.next}'"
    about = f"{counted(len(page), 'row')} of user {marked(user)}, times in UTC{more}"
    out.console.print(Text(about, style="dim"))
