"""``show``: a conversation's turns in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bruno_memory_vec.cli.options import Json, Store, User
from bruno_memory_vec.cli.running import NOTHING_FOUND, CliError, Out, execute

if TYPE_CHECKING:
    from bruno_memory_vec.memory import VectorMemory


def show(
    conversation: Annotated[
        str, typer.Argument(metavar="CONVERSATION", help="The conversation's id.")
    ],
    limit: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--limit", "-n", min=1, help="Only this many turns, the last ones."),
    ] = None,
    store: Store = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Show a conversation, oldest turn first."""
    execute(json, lambda out: _show(out, conversation, limit, store, user))


async def _show(
    out: Out, conversation: str, limit: int | None, store: str | None, user: str | None
) -> int:
    from bruno_memory_vec.cli.opening import configuration, reading

    async with reading(configuration(store), out, embeds=False) as memory:
        turns, total = await _turns(memory, conversation, limit, user)
    if not turns:
        raise CliError(
            f"there is no conversation {conversation!r}"
            + ("" if user is None else f" of the user {user!r}"),
            "A hit of `recall` names its conversation; `stats` counts them",
            code=NOTHING_FOUND,
        )
    if out.as_json:
        out.result(
            {
                "conversation_id": conversation,
                "user_id": turns[0]["user_id"],
                "total_turns": total,
                "turns": [
                    {key: value for key, value in turn.items() if key != "user_id"}
                    for turn in turns
                ],
            }
        )
    else:
        _print(out, conversation, turns, total)
    return 0


async def _turns(
    memory: VectorMemory, conversation: str, limit: int | None, user: str | None
) -> tuple[list[dict[str, Any]], int]:
    """The turns to show, oldest first, and how many there are in all."""
    from bruno_memory_vec.indexers.protocols import RowFilter
    from bruno_memory_vec.indexers.schema import COLUMNS, MESSAGE
    from bruno_memory_vec.rows import from_table, to_message, utc
    from bruno_memory_vec.validation import identifier

    view = memory if user is None else memory.for_user(user)
    # Not retrieve_messages: its messages do not say which turn they are.
    scope = view._door.own_scope(view._user).within(identifier("conversation", conversation))
    where = RowFilter(kinds=(MESSAGE,))
    rows = (await memory._door.store()).rows
    found = await rows.scan(scope, where, COLUMNS, order_by="turn", limit=limit)
    turns = []
    for row in sorted(from_table(found), key=lambda row: row["turn"]):
        message = to_message(row)
        turns.append(
            {
                "turn": row["turn"],
                "user_id": row["user_id"],
                "id": row["id"],
                "role": row["role"],
                "content": row["content"],
                "created_at": utc(row["created_at"]).isoformat(),
                "metadata": message.metadata,
            }
        )
    return turns, await rows.count(scope, where)


def _print(out: Out, conversation: str, turns: list[dict[str, Any]], total: int) -> None:
    from rich.table import Table
    from rich.text import Text

    from bruno_memory_vec.cli.display import ROLE_STYLES, clean, counted

    console = out.console
    shown = "" if len(turns) == total else f", the last {len(turns)} shown"
    console.print(Text(clean(conversation), style="bold"))
    about = f"user {clean(turns[0]['user_id'])}, {counted(total, 'turn')}{shown}, times in UTC"
    console.print(Text(about, style="dim"))
    grid = Table.grid(padding=(0, 1))
    grid.add_column(justify="right", style="dim", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    day = ""
    for turn in turns:
        date, clock = turn["created_at"][:10], turn["created_at"][11:16]
        if date != day:
            grid.add_row("", "", Text(date, style="dim"))
            day = date
        who = Text(turn["role"], style=ROLE_STYLES.get(turn["role"], ""))
        said = Text(f"{clock}  ", style="dim").append(clean(turn["content"]), style="not dim")
        grid.add_row(f"#{turn['turn']}", who, said)
    console.print(grid)
