"""``show``: a conversation's turns in order."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bruno_memory_vec.surfaces.cli import completing
from bruno_memory_vec.surfaces.cli.options import Json, Sessions, Store, User
from bruno_memory_vec.surfaces.cli.running import Out, execute
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_core.models.message import Message

    from bruno_memory_vec import ConversationTurn, VectorMemory


# On a narrower page each turn has its text below who says it.
_NARROW = 60


def show(
    conversation: Annotated[
        str,
        typer.Argument(
            metavar="CONVERSATION",
            help="The conversation's id.",
            autocompletion=completing.conversations,
        ),
    ],
    limit: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--limit", "-n", min=1, help="Only this many turns, the last ones."),
    ] = None,
    store: Store = None,
    sessions: Sessions = None,
    user: User = None,
    json: Json = False,
) -> None:
    """Show a conversation, oldest turn first."""
    execute(json, lambda out: _show(out, conversation, limit, store, sessions, user))


async def _show(
    out: Out,
    conversation: str,
    limit: int | None,
    store: str | None,
    sessions: str | None,
    user: str | None,
) -> int:
    from bruno_memory_vec.surfaces.cli.opening import configuration, no_conversation, reading

    async with reading(configuration(store, sessions=sessions), out, embeds=False) as memory:
        turns, total = await _turns(memory, conversation, limit, user)
        if not turns:
            await no_conversation(memory, conversation, user)
    if out.as_json:
        out.result(
            {
                "conversation_id": conversation,
                "user_id": turns[0].user_id,
                "total_turns": total,
                "turns": [_plain(turn) for turn in turns],
            }
        )
    else:
        _print(out, conversation, turns, total)
    return 0


async def _turns(
    memory: VectorMemory, conversation: str, limit: int | None, user: str | None
) -> tuple[list[ConversationTurn], int]:
    """The turns to show, oldest first, and how many there are in all."""
    view = memory if user is None else memory.for_user(user)
    about = await view.get_conversation(conversation)
    if about is None:
        return [], 0
    last = await view.read_turns(conversation, limit=limit, newest_first=True)
    return last[::-1], about.messages


def _plain(turn: ConversationTurn) -> dict[str, Any]:
    message = turn.message
    return {
        "turn": turn.turn,
        "id": str(message.id),
        "role": message.role.value,
        "content": message.content,
        "created_at": _utc(message).isoformat(),
        "metadata": message.metadata,
    }


def _utc(message: Message) -> datetime:
    at: datetime = message.timestamp
    # bruno-core's times are naive UTC.
    return at.replace(tzinfo=timezone.utc) if at.tzinfo is None else at.astimezone(timezone.utc)


def _print(out: Out, conversation: str, turns: list[ConversationTurn], total: int) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from bruno_memory_vec.prompts.hidden_characters import marked
    from bruno_memory_vec.surfaces.cli.display import ROLE_STYLES

    console = out.console
    shown = "" if len(turns) == total else f", the last {len(turns)} shown"
    console.print(Text(marked(conversation), style="bold"))
    about = f"user {marked(turns[0].user_id)}, {counted(total, 'turn')}{shown}, times in UTC"
    console.print(Text(about, style="dim"))
    narrow = console.width < _NARROW
    grid = Table.grid(padding=(0, 1))
    for _ in range(0 if narrow else 2):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    day = ""
    for turn in turns:
        message, role = turn.message, turn.message.role.value
        date, clock = f"{_utc(message):%Y-%m-%d}", f"{_utc(message):%H:%M}"
        if date != day:
            grid.add_row(*([] if narrow else ["", ""]), Text(date, style="dim"))
            day = date
        spoke = role if turn.author is None else f"{role} {marked(turn.author)}"
        number, who = Text(f"#{turn.turn}", style="dim"), Text(spoke, ROLE_STYLES.get(role, ""))
        content = Text(marked(message.content))
        if narrow:
            at = Text(clock, style="dim")
            grid.add_row(Text.assemble(number, " ", who, " ", at))
            grid.add_row(Padding(content, (0, 0, 0, 2)))
        else:
            grid.add_row(number, who, Text.assemble((f"{clock}  ", "dim"), content))
    console.print(grid)
