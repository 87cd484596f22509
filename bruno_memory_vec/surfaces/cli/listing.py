"""``list``: the users, conversations, messages or memories of a store, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bruno_memory_vec.surfaces.cli.options import (
    After,
    Archived,
    Categories,
    Conversation,
    Json,
    Limit,
    MemoryTypes,
    Metadata,
    Roles,
    Sessions,
    Since,
    Store,
    Tags,
    Until,
    User,
    metadata,
)
from bruno_memory_vec.surfaces.cli.running import MISUSED, NOTHING_FOUND, CliError, Out, execute
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec import ConversationSummary, Hit, UserSummary, VectorMemory
    from bruno_memory_vec.memory import Kind

# Optional[X] and List[X]: typer evaluates these on Python 3.10 too.


class What(str, Enum):
    """What is listed."""

    users = "users"
    conversations = "conversations"
    messages = "messages"
    memories = "memories"


def _whats(incomplete: str) -> list[str]:
    return [one.value for one in What if one.value.startswith(incomplete)]


def list_(
    named: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="users, conversations, messages or memories.",
            autocompletion=_whats,
        ),
    ] = "users",
    user: User = None,
    conversation: Conversation = None,
    role: Roles = None,
    types: MemoryTypes = None,
    tags: Tags = None,
    categories: Categories = None,
    pairs: Metadata = None,
    pinned: Annotated[
        bool, typer.Option("--pinned", help="Only what is pinned; --user says whose.")
    ] = False,
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
    after: After = None,
    archived: Archived = False,
    store: Store = None,
    sessions: Sessions = None,
    json: Json = False,
) -> None:
    """List what a store holds, the newest first: its users, or what they said.

    Without --user, everybody's. Messages and memories are shown with their ids, which show, pin
    and forget take. TIME is 2026-03-01 (UTC), yesterday, "last monday" or "2 weeks ago".
    """
    if named not in list(What):
        close = get_close_matches(named, _whats(""), n=1)
        meant = f". Did you mean {close[0]!r}?" if close else ""
        raise typer.BadParameter(
            f"{named!r} is none of {', '.join(_whats(''))}{meant}", param_hint="WHAT"
        )
    what = What(named)
    wanted = metadata(pairs or ())
    given = {
        "--conversation": conversation,
        "--role": role,
        "--type": types,
        "--tag": tags,
        "--category": categories,
        "--metadata": pairs,
        "--archived": archived,
        "--pinned": pinned,
    }

    async def work(out: Out) -> int:
        from bruno_memory_vec.surfaces.cli.opening import configuration, reading

        _refuse_unfit(what, given)
        async with reading(configuration(store, sessions=sessions), out, embeds=False) as memory:
            users = await memory.list_users() if what is What.users or user is not None else []
            if user is not None:
                _known(user, users)
            if what is What.users:
                chosen = [one for one in users if user in (None, one.user_id)]
                return _show_users(out, chosen, since, until, limit, after)
            if what is What.conversations:
                return await _conversations(out, memory, user, since, until, limit, after)
            return await _rows(
                out,
                memory,
                what,
                user,
                pinned=pinned,
                limit=limit,
                since=since,
                until=until,
                after=after,
                conversation_id=conversation,
                roles=[one.value for one in role or ()],
                memory_types=[one.value for one in types or ()],
                tags=tags,
                categories=categories,
                metadata=wanted,
                include_archived=archived,
            )

    execute(json, work)


def _refuse_unfit(what: What, given: dict[str, Any]) -> None:
    """Refuse options that say nothing of what is listed."""
    fit = {
        What.users: (),
        What.conversations: (),
        What.messages: ("--conversation", "--role", "--metadata", "--archived", "--pinned"),
        What.memories: tuple(name for name in given if name != "--role"),
    }[what]
    for option, value in given.items():
        if value and option not in fit:
            raise CliError(
                f"{option} is not for {what.value}",
                "Leave it out, or list messages or memories",
                code=MISUSED,
            )


def _known(user: str, users: Sequence[UserSummary]) -> None:
    from bruno_memory_vec.surfaces.cli.opening import nobody

    if user not in {one.user_id for one in users}:
        nobody(user, users)


# Users


def _show_users(
    out: Out,
    users: Sequence[UserSummary],
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: str | None,
) -> int:
    found = [one for one in users if _during(one.first, one.last, since, until)]
    if after is not None:
        ids = [one.user_id for one in found]
        if after not in ids:
            raise CliError(f"--after {after!r} is no user of the list", code=MISUSED)
        found = found[ids.index(after) + 1 :]
    page = found[:limit]
    following = page[-1].user_id if len(found) > limit else None
    if out.as_json:
        out.result({"users": [_plain(one) for one in page], "next": following})
    elif page:
        from bruno_memory_vec.surfaces.cli.display import user_lines

        out.console.print(user_lines(page, out.console.width))
        _footer(out, len(page), "user", None, following)
    else:
        out.say("no users" if not users else "no users of that time")
    return 0 if page else NOTHING_FOUND


def _during(
    first: datetime | None, last: datetime | None, since: datetime | None, until: datetime | None
) -> bool:
    """Whether some time from ``first`` to ``last`` may be in a period."""
    if first is None or last is None:
        return since is None and until is None
    return (since is None or last >= since) and (until is None or first < until)


# Conversations


async def _conversations(
    out: Out,
    memory: VectorMemory,
    user: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: str | None,
) -> int:
    from bruno_memory_vec import ALL_USERS

    whose = ALL_USERS if user is None else user
    timed = since is not None or until is not None
    if timed and after is not None:
        raise CliError(
            "--after does not go together with --since and --until",
            "Raise --limit, or shorten the period",
            code=MISUSED,
        )
    page = await memory.list_conversations(whose, limit=None if timed else limit, after=after)
    found: list[ConversationSummary] = [
        one for one in page if _during(one.first, one.last, since, until)
    ]
    shown = found[:limit]
    if out.as_json:
        out.result({"conversations": [_plain(one) for one in shown], "next": page.next})
    elif shown:
        for one in shown:
            _print_conversation(out, one, whose=user is None)
        _footer(out, len(shown), "conversation", user, page.next, left=len(found) - len(shown))
    else:
        out.say("no conversations" + ("" if user is None else f" of user {user!r}"))
    return 0 if shown else NOTHING_FOUND


def _print_conversation(out: Out, one: ConversationSummary, *, whose: bool) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from bruno_memory_vec.prompts.hidden_characters import marked
    from bruno_memory_vec.surfaces.cli.display import excerpt

    console = out.console
    head = Text(f"{one.last:%Y-%m-%d}  ", style="dim")
    head.append(excerpt(one.title, set(), 2 * console.width - 12), style="not dim")
    console.print(head)
    about = f"{marked(one.conversation_id)}  {counted(one.messages, 'message')}"
    of = f" of {marked(one.user_id)}" if whose else ""
    console.print(Padding(Text(about + of, style="dim", overflow="fold"), (0, 0, 0, 2)))


# Messages and memories


async def _rows(
    out: Out,
    memory: VectorMemory,
    what: What,
    user: str | None,
    *,
    pinned: bool,
    limit: int,
    **asked: Any,
) -> int:
    from bruno_memory_vec import ALL_USERS

    kind: Kind = "message" if what is What.messages else "memory"
    whose = ALL_USERS if user is None else user
    page = await memory.timeline(whose, kinds=kind, limit=None if pinned else limit, **asked)
    # Of pinned rows there are few.
    found: list[Hit] = [hit for hit in page if hit.pinned or not pinned]
    shown = found[:limit]
    if out.as_json:
        rows = [{**hit.to_dict(), "user_id": hit.user_id or user} for hit in shown]
        out.result({what.value: rows, "next": page.next})
    elif shown:
        from bruno_memory_vec.surfaces.cli.display import row_lines

        for hit in shown:
            out.console.print(row_lines(hit, out.console.width, whose=user is None))
        _footer(out, len(shown), kind, user, page.next, left=len(found) - len(shown))
    else:
        out.say(f"no {what.value}" + ("" if user is None else f" of user {user!r}"))
    return 0 if shown else NOTHING_FOUND


def _footer(
    out: Out, shown: int, thing: str, user: str | None, following: str | None, left: int = 0
) -> None:

    of = "" if user is None else f" of user {user}"
    more = f", and {left:,} more: raise --limit" if left > 0 else ""
    out.lines(f"{counted(shown, thing)}{of}, times in UTC{more}", style="dim")
    if following is not None:
        out.following(following)


def _plain(one: UserSummary | ConversationSummary) -> dict[str, Any]:
    times = {"first": one.first, "last": one.last}
    return {
        **asdict(one),
        **{name: None if at is None else at.isoformat() for name, at in times.items()},
    }
