"""``timeline``: what a store holds of a user, by time."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import (
    After,
    Archived,
    Conversation,
    Json,
    Kinds,
    Limit,
    Order,
    Sessions,
    Since,
    Store,
    Until,
    User,
)
from bruno_memory_vec.surfaces.cli.running import NOTHING_FOUND, Out, execute
from bruno_memory_vec.surfaces.cli.times import moment
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec import Hit, Page

# Optional[X]: typer evaluates it on Python 3.10 too.
# ruff: noqa: UP045


def timeline(
    user: User = None,
    conversation: Conversation = None,
    kind: Kinds = None,
    since: Since = None,
    until: Until = None,
    around: Annotated[
        Optional[datetime],
        typer.Option("--around", parser=moment, metavar="TIME", help="Nearest to this time first."),
    ] = None,
    order: Annotated[
        Optional[Order], typer.Option("--order", help="Which first.  [default: newest]")
    ] = None,
    limit: Limit = 20,
    archived: Archived = False,
    after: After = None,
    store: Store = None,
    sessions: Sessions = None,
    json: Json = False,
) -> None:
    """Show what was said and noted, by time, without a question.

    Without --user, a store of one user is shown; of several, say whose. TIME is 2026-03-01
    (UTC), yesterday, "last monday" or "2 weeks ago".
    """

    async def work(out: Out) -> int:
        from bruno_memory_vec.surfaces.cli.opening import (
            choose_user,
            configuration,
            reading,
            somebody,
        )

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
            if not page and user is not None and not out.as_json:
                await somebody(memory, user)
        if out.as_json:
            rows = [hit.to_dict() for hit in page]
            out.result({"user_id": whose, "rows": rows, "next": page.next})
        else:
            _print(out, whose, page)
        return 0 if page else NOTHING_FOUND

    execute(json, work)


def _print(out: Out, user: str, page: Page[Hit]) -> None:
    from bruno_memory_vec.surfaces.cli.display import row_lines

    if not page:
        out.say(f"nothing found of {user!r}")
        return
    for hit in page:
        out.console.print(row_lines(hit, out.console.width, ids=False))
    out.lines(f"{counted(len(page), 'row')} of user {user}, times in UTC", style="dim")
    if page.next is not None:
        out.following(page.next)
