"""``analytics``: what a store holds, counted."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, List, Optional  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli.options import Json, Sessions, Since, Store, Until, User
from bruno_memory_vec.surfaces.cli.running import NOTHING_FOUND, Out, execute

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bruno_memory_vec.analytics.result import Shown

# Optional[X] and List[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP006, UP045


class Section(str, Enum):
    """What is counted."""

    growth = "growth"
    conversations = "conversations"
    topics = "topics"
    usage = "usage"
    duplicates = "duplicates"


class Period(str, Enum):
    """How long a period is."""

    day = "day"
    week = "week"
    month = "month"
    year = "year"


def analytics(
    section: Annotated[
        Optional[List[Section]],
        typer.Option("--section", help="Only this; may be given again.  [default: all]"),
    ] = None,
    user: User = None,
    since: Since = None,
    until: Until = None,
    zone: Annotated[
        str, typer.Option("--zone", metavar="ZONE", help="Of days and hours: Europe/Berlin.")
    ] = "UTC",
    by: Annotated[
        Optional[Period],
        typer.Option("--by", help="How long a period is.  [default: as fits]"),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, help="How many rows a list has.")
    ] = 5,
    store: Store = None,
    sessions: Sessions = None,
    json: Json = False,
) -> None:
    """Show how a store grows, what is talked about, and what is recalled or repeated.

    Without --user it is about all users. Topics need scikit-learn: pip install
    'bruno-memory-vec[analytics]'.
    """

    async def work(out: Out) -> int:
        from bruno_memory_vec.memory import ALL_USERS
        from bruno_memory_vec.surfaces.cli.opening import configuration, nobody, reading

        config = configuration(store, sessions=sessions)
        async with reading(config, out, embeds=False) as memory:
            if user is not None:
                users = await memory.list_users()
                if user not in {one.user_id for one in users}:
                    nobody(user, users)
            report = await memory.analytics.report(
                ALL_USERS if user is None else user,
                sections=[one.value for one in section] if section else None,
                since=since,
                until=until,
                zone=zone,
                by=None if by is None else by.value,
                limit=limit,
            )
        if out.as_json:
            out.result({"user_id": user, **report.to_dict()})
        else:
            _print(out, report.shown())
        counted = [result for _, result in report.sections()]
        return 0 if any(map(_has_rows, counted)) else NOTHING_FOUND

    execute(json, work)


def _has_rows(result: object) -> bool:
    return any(getattr(result, name, 0) for name in ("rows", "messages", "examined"))


def _print(out: Out, tables: Iterable[Shown]) -> None:
    from rich.table import Table
    from rich.text import Text

    console = out.console
    for place, table in enumerate(tables):
        if place:
            console.print()
        console.print(Text(table.title, style="bold"))
        if table.rows:
            grid = Table.grid(padding=(0, 2, 0, 0))
            last = len(table.rows[0]) - 1
            for column in range(last + 1):
                right = column in table.numbers
                # The last column takes what is left; the others are short.
                grid.add_column(
                    justify="right" if right else "left",
                    no_wrap=column != last or right,
                    overflow="fold" if column == last else "ellipsis",
                )
            if table.heads:
                grid.add_row(*(Text(head, style="dim") for head in table.heads))
            for row in table.rows:
                grid.add_row(*map(Text, row))
            console.print(grid)
        for note in table.notes:
            console.print(Text(note, style="dim"))
