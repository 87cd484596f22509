"""``pin`` and ``unpin``: what is in every context of a user, whatever is asked."""

from __future__ import annotations

from typing import Annotated, List  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli.options import Json, Sessions, Store, User
from bruno_memory_vec.surfaces.cli.running import Out, execute
from bruno_memory_vec.wording import counted

# List[X]: typer evaluates it on Python 3.10 too.
Ids = Annotated[
    List[str],  # noqa: UP006
    typer.Argument(metavar="ID...", help="Ids of messages or memories; see list."),
]


def pin(
    ids: Ids,
    user: User = None,
    store: Store = None,
    sessions: Sessions = None,
    json: Json = False,
) -> None:
    """Pin messages or memories: each built context has them, and nothing prunes them.

    Of none of them anything changes if one is not there. list messages --pinned, and list memories
    --pinned, show what is pinned.
    """
    execute(json, lambda out: _mark(out, ids, user, store, sessions, pinned=True))


def unpin(
    ids: Ids,
    user: User = None,
    store: Store = None,
    sessions: Sessions = None,
    json: Json = False,
) -> None:
    """Let messages or memories be pinned no more."""
    execute(json, lambda out: _mark(out, ids, user, store, sessions, pinned=False))


async def _mark(
    out: Out,
    ids: list[str],
    user: str | None,
    store: str | None,
    sessions: str | None,
    *,
    pinned: bool,
) -> int:
    from bruno_memory_vec.surfaces.cli.opening import configuration, writing

    async with writing(configuration(store, sessions=sessions), out, embeds=False) as memory:
        change = memory.pin if pinned else memory.unpin
        await change(ids, user_id=user)
    if out.as_json:
        out.result({"ids": ids, "pinned": pinned})
    else:
        out.lines(f"{'pinned' if pinned else 'unpinned'} {counted(len(set(ids)), 'row')}")
    return 0
