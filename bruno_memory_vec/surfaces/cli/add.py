"""``add``: store one message or memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, List, Optional  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli import completing
from bruno_memory_vec.surfaces.cli.options import (
    Embedder,
    Json,
    MemoryType,
    Metadata,
    Role,
    Sessions,
    Store,
    metadata,
)
from bruno_memory_vec.surfaces.cli.running import MISUSED, CliError, Out, execute
from bruno_memory_vec.surfaces.cli.times import moment

if TYPE_CHECKING:
    from bruno_core.models.memory import MemoryEntry
    from bruno_core.models.message import Message

# Optional[X] and List[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP006, UP045


def add(
    text: Annotated[
        Optional[str],
        typer.Argument(metavar="TEXT", help='What to store; "-" for standard input.'),
    ] = None,
    file: Annotated[
        Optional[Path],
        typer.Option("--file", metavar="FILE", help="Store what is in this file, as one text."),
    ] = None,
    user: Annotated[
        Optional[str],
        typer.Option(
            "--user",
            "-u",
            metavar="USER",
            help="Whose it is.",
            autocompletion=completing.users,
        ),
    ] = None,
    conversation: Annotated[
        Optional[str],
        typer.Option(
            "--conversation",
            "-c",
            metavar="ID",
            help="Add it as a message of this conversation.",
            autocompletion=completing.conversations,
        ),
    ] = None,
    role: Annotated[
        Optional[Role],
        typer.Option(
            "--role",
            metavar="ROLE",
            help="Who said the message: user, assistant, system, function, tool.  [default: user]",
        ),
    ] = None,
    type_: Annotated[
        Optional[MemoryType],
        typer.Option(
            "--type",
            metavar="TYPE",
            help="What kind of memory: short_term, long_term, episodic, semantic, procedural, "
            "fact.  [default: fact]",
        ),
    ] = None,
    tags: Annotated[
        Optional[List[str]],
        typer.Option("--tag", metavar="TAG", help="A tag of the memory; several may be given."),
    ] = None,
    category: Annotated[
        Optional[str], typer.Option("--category", metavar="NAME", help="Of the memory.")
    ] = None,
    importance: Annotated[
        Optional[float],
        typer.Option(
            "--importance",
            min=0.0,
            max=1.0,
            metavar="0..1",
            help="How much it counts, of 1.",
        ),
    ] = None,
    at: Annotated[
        Optional[datetime],
        typer.Option(
            "--time", parser=moment, metavar="TIME", help="When it was said.  [default: now]"
        ),
    ] = None,
    pairs: Metadata = None,
    pin: Annotated[bool, typer.Option("--pin", help="Pin it: it is in every context.")] = False,
    store: Store = None,
    sessions: Sessions = None,
    embedder: Embedder = None,
    json: Json = False,
) -> None:
    """Store one text: a memory of a user, or with --conversation the next message of it.

    Without --user, a store of one user is meant. A store that is not there is made. ingest takes
    whole conversations.
    """
    custom = metadata(pairs or ())

    def work(out: Out) -> Coroutine[Any, Any, int]:
        unfit = {"--role": role} if conversation is None else {
            "--type": type_, "--tag": tags, "--category": category
        }  # fmt: skip
        for option, given in unfit.items():
            if given:
                what = "a message: name its --conversation" if conversation is None else "a memory"
                raise CliError(f"{option} is for {what}", code=MISUSED)
        # Outside the event loop, which would not let Ctrl-C end a wait for standard input.
        content = _content(text, file)
        created = datetime.now(timezone.utc) if at is None else at.astimezone(timezone.utc)
        # bruno-core's times are naive UTC.
        created = created.replace(tzinfo=None)

        def make(whose: str) -> Message | MemoryEntry:
            if conversation is not None:
                return _message(content, role or Role.user, created, importance, custom)
            kind = (type_ or MemoryType.fact).value
            return _memory(content, whose, kind, created, importance, tags, category, custom)

        place = (store, embedder, sessions)
        return _add(out, place, user, conversation, make, pin)

    execute(json, work)


async def _add(
    out: Out,
    place: tuple[str | None, str | None, str | None],
    user: str | None,
    conversation: str | None,
    make: Callable[[str], Message | MemoryEntry],
    pin: bool,
) -> int:
    from bruno_core.models.message import Message

    from bruno_memory_vec.config import masked
    from bruno_memory_vec.store.deployment import is_there
    from bruno_memory_vec.store.manifest import IN_MEMORY
    from bruno_memory_vec.surfaces.cli.opening import choose_user, configuration, writing

    store, embedder, sessions = place
    config = configuration(store, embedder, sessions=sessions)
    if config.url == IN_MEMORY:
        raise CliError(f"{IN_MEMORY} keeps nothing", "Name a folder with --store", code=MISUSED)
    new = not await is_there(config)
    if new and user is None:
        raise CliError("nothing says whose it is", "Add --user NAME", code=MISUSED)
    async with writing(config, out, creates=True) as memory:
        whose = choose_user(await memory.list_users(), "whose it is") if user is None else user
        item, turn = make(whose), None
        if isinstance(item, Message):
            assert conversation is not None
            await memory.store_message(item, conversation, user_id=whose)
            last = await memory.read_turns(conversation, limit=1, newest_first=True)
            turn = last[0].turn if last else None
        else:
            await memory.store_memory(item)
        if pin:
            await memory.pin(item.id, user_id=whose)
    if new and not out.as_json:
        out.say(f"made a new store in {masked(config.url)}")
    kind = "message" if isinstance(item, Message) else "memory"
    created = item.timestamp if isinstance(item, Message) else item.created_at
    told = {
        "kind": kind,
        "id": str(item.id),
        "user_id": whose,
        "conversation_id": conversation,
        "turn": turn,
        "created_at": created.replace(tzinfo=timezone.utc).isoformat(),
        "pinned": pin,
        "store": masked(config.url),
    }
    if out.as_json:
        out.result(told)
        return 0
    where = "" if conversation is None else f", {conversation} #{turn}"
    out.lines(f"stored a {kind} of {whose}{where}{', pinned' if pin else ''}")
    out.lines(f"  {item.id}", style="dim")
    return 0


def _content(text: str | None, file: Path | None) -> str:
    """The text of the argument, the file or standard input, without blanks around it."""
    if text is not None and file is not None:
        raise CliError("TEXT and --file are both given", "Give one of the two", code=MISUSED)
    if file is not None:
        try:
            given = file.read_bytes()
        except OSError as error:
            raise CliError(
                f"{file} cannot be read: {error.strerror}", "Name a text file with --file"
            ) from error
        name = str(file)
    elif text is None and sys.stdin.isatty():
        raise CliError(
            "there is nothing to store",
            'Give the text, "-" for standard input, or --file FILE',
            code=MISUSED,
        )
    elif text is None or text == "-":
        given, name = sys.stdin.buffer.read(), "standard input"
    else:
        given, name = text.encode("utf-8", "surrogateescape"), "TEXT"
    try:
        said = given.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise CliError(
            f"{name} is no text in UTF-8: byte {error.start + 1:,} is none of one",
            "Save it as UTF-8; ingest reads exports of chats in other forms",
        ) from error
    if not said:
        raise CliError(f"{name} is empty: there is nothing to store", code=MISUSED)
    return said


def _message(
    content: str, role: Role, created: datetime, importance: float | None, custom: dict[str, Any]
) -> Message:
    from bruno_core.models.message import Message, MessageRole

    more = {} if importance is None else {"importance": importance}
    return Message(
        role=MessageRole(role.value),
        content=content,
        timestamp=created,
        metadata={**custom, **more},
    )


def _memory(
    content: str,
    user: str,
    kind: str,
    created: datetime,
    importance: float | None,
    tags: list[str] | None,
    category: str | None,
    custom: dict[str, Any],
) -> MemoryEntry:
    from bruno_core.models.memory import MemoryEntry, MemoryMetadata
    from bruno_core.models.memory import MemoryType as Type

    about = {"category": category, "importance": importance}
    given = {name: value for name, value in about.items() if value is not None}
    return MemoryEntry(
        user_id=user,
        content=content,
        memory_type=Type(kind),
        metadata=MemoryMetadata(
            source="command line", tags=tags or [], custom_fields=custom, **given
        ),
        created_at=created,
        updated_at=created,
        last_accessed=created,
    )
