"""``stats``: how much a store holds, and whose."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.surfaces.cli.options import Json, Sessions, Store, User
from bruno_memory_vec.surfaces.cli.running import Out, execute
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec import UserSummary


def stats(
    store: Store = None, sessions: Sessions = None, user: User = None, json: Json = False
) -> None:
    """Count what a store holds, in all and by user."""
    execute(json, lambda out: _stats(out, store, sessions, user))


async def _stats(out: Out, store: str | None, sessions: str | None, user: str | None) -> int:
    from bruno_memory_vec.store.manifest import folder_of
    from bruno_memory_vec.store.record import footprint
    from bruno_memory_vec.surfaces.cli.opening import configuration, nobody, reading

    config = configuration(store, sessions=sessions)
    async with reading(config, out, embeds=False) as memory:
        users = await memory.list_users()
        report = await memory.health()
    if user is not None:
        chosen = [count for count in users if count.user_id == user]
        if not chosen:
            nobody(user, users)
        users = chosen
    folder = folder_of(memory.config.url)
    data = {
        "store": report["url"],
        "embedder": report["embedder"],
        "bytes": None if folder is None else footprint(folder).bytes,
        "totals": {
            "users": len(users),
            "conversations": sum(count.conversations for count in users),
            "messages": sum(count.messages for count in users),
            "memories": sum(count.memories for count in users),
        },
        "users": [_plain(count) for count in users],
    }
    if out.as_json:
        out.result(data)
    else:
        _print(out, data, users)
    return 0


def _plain(count: UserSummary) -> dict[str, Any]:
    return {
        **asdict(count),
        "first": None if count.first is None else count.first.isoformat(),
        "last": None if count.last is None else count.last.isoformat(),
    }


def _print(out: Out, data: dict[str, Any], users: list[UserSummary]) -> None:
    from rich.text import Text

    from bruno_memory_vec.prompts.hidden_characters import marked
    from bruno_memory_vec.store.record import readable_size
    from bruno_memory_vec.surfaces.cli.display import user_lines

    console, totals = out.console, data["totals"]
    console.print(Text(marked(data["store"]), style="bold"), soft_wrap=True)
    parts = [
        counted(totals["messages"], "message"),
        counted(totals["memories"], "memory"),
        counted(totals["conversations"], "conversation"),
        counted(totals["users"], "user"),
    ]
    console.print(", ".join(parts))
    if data["bytes"] is not None:
        console.print(f"{readable_size(data['bytes'])} on disk")
    console.print(f"embedder: {data['embedder']}")
    if not users:
        return
    console.print(user_lines(users, console.width))
