"""From the options of a command to an open memory."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bruno_memory_vec.config import MemoryConfig, masked
from bruno_memory_vec.errors import NotAStoreError, problem_and_fix
from bruno_memory_vec.memory import open_memory
from bruno_memory_vec.store import manifest
from bruno_memory_vec.store.deployment import TellsHowMade, deployment_of
from bruno_memory_vec.surfaces.cli.options import named
from bruno_memory_vec.surfaces.cli.running import MISUSED, NOTHING_FOUND, CliError, Out
from bruno_memory_vec.upkeep.reembedding.report import Unembedding
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec import Fingerprint, Progress, UserSummary
    from bruno_memory_vec.memory import VectorMemory


# Of users and stores so many are named.
_SHOWN = 10
_LOOKED_AT = 500
# Columns of a progress bar with its numbers.
_BAR_NEEDS = 60


def configuration(
    store: str | None,
    embedder: str | None = None,
    profile: str | None = None,
    sessions: str | None = None,
) -> MemoryConfig:
    """The settings of options, the environment, the file and the defaults, in this order.

    Raises:
        InvalidInputError: one is not usable.
    """
    given = named(url=store, embedder=embedder, profile=profile, sessions=sessions)
    return MemoryConfig.build(**given)


async def existing(config: MemoryConfig) -> Fingerprint | None:
    """The embedder of the store's vectors; None where that is not known before it is opened.

    Raises:
        CliError: there is no store.
        NotAStoreError: there is something else.
        EngineError: it cannot be reached or read.
    """
    if len(config.urls) > 1:
        return None  # which of them it will be is not known
    deployment = deployment_of(config.url)
    try:
        made = await deployment.made(config) if isinstance(deployment, TellsHowMade) else None
    except NotAStoreError as error:
        problem, fix = problem_and_fix(error)
        place = manifest.folder_of(config.url)
        raise CliError(problem, await _beside(place) + fix) from error
    if made is not None:
        return made.fingerprint
    if config.url == manifest.IN_MEMORY or not isinstance(deployment, TellsHowMade):
        return None
    folder = manifest.folder_of(config.url)
    shown = masked(config.url) if folder is None else str(folder)
    what = "does not exist" if folder is not None and not folder.is_dir() else "is empty"
    raise CliError(
        f"{shown} {what}: there is no store",
        f"{await _beside(folder)}Name one with --store or BRUNO_MEMORY_URL, or make one:\n"
        f"  bruno-memory-vec ingest FILE --store {shlex.quote(shown)}",
    )


async def _beside(folder: Path | None) -> str:
    near = [] if folder is None else await asyncio.to_thread(_stores_near, folder)
    return f"There is one in {' and in '.join(near)}. " if near else ""


def _stores_near(folder: Path) -> list[str]:
    """Stores that may have been meant: in the folder, around it, or beside it by a like name."""
    found: list[Path] = []
    with suppress(OSError):
        inside = list(islice(folder.iterdir(), _LOOKED_AT)) if folder.is_dir() else []
        around = list(islice(folder.parent.iterdir(), _LOOKED_AT))
        stores = [one for one in inside if (one / manifest.FILE).is_file()]
        beside = [one for one in around if (one / manifest.FILE).is_file()]
        close = get_close_matches(folder.name, [one.name for one in beside], n=3, cutoff=0.6)
        found = stores[:3] or [one for one in beside if one.name in close] or beside[:3]
        if (folder.parent / manifest.FILE).is_file():
            found = [folder.parent]
    return [shlex.quote(str(one)) for one in found]


@asynccontextmanager
async def reading(
    config: MemoryConfig, out: Out, *, embeds: bool = True
) -> AsyncIterator[VectorMemory]:
    """A memory that is opened read-only; another process may write it.

    Args:
        config: as from :func:`configuration`.
        out: where a progress bar goes.
        embeds: whether texts will be embedded; if not, the store opens whatever its embedder is.

    Raises:
        CliError, StoreError, EngineError: there is none to read.
    """
    made_by = await existing(config)
    embedder = None if embeds or made_by is None else Unembedding(made_by)
    config = config.model_copy(update={"read_only": True})
    with bars(out) as progress:
        memory = await open_memory(config=config, embedder=embedder, progress=progress)
    try:
        yield memory
    finally:
        await memory.close()


@asynccontextmanager
async def writing(
    config: MemoryConfig, out: Out, *, embeds: bool = True, creates: bool = False
) -> AsyncIterator[VectorMemory]:
    """A memory that is opened to be written, which one process at a time may do.

    Args:
        config: as from :func:`configuration`.
        out: where a progress bar goes.
        embeds: whether texts will be embedded; if not, the store opens whatever its embedder is.
        creates: whether a store that is not there is made.

    Raises:
        CliError, StoreError, EngineError: there is none to write.
    """
    made_by = None if creates else await existing(config)
    embedder = None if embeds or made_by is None else Unembedding(made_by)
    config = config.model_copy(update={"read_only": False})
    with bars(out) as progress:
        memory = await open_memory(config=config, embedder=embedder, progress=progress)
    try:
        yield memory
    finally:
        await memory.close()


@contextmanager
def bars(out: Out) -> Iterator[Progress | None]:
    """Progress bars on a terminal, by the name of the work; None elsewhere."""
    if not out.live:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    console = Console(stderr=True)
    columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
    if console.width >= _BAR_NEEDS:
        columns += [MofNCompleteColumn(), Remaining()]
    shown = Progress(*columns, console=console, transient=True)
    tasks: dict[str, Any] = {}

    def report(work: str, done: int, total: int) -> None:
        if not tasks:
            shown.start()  # not before: most calls have nothing to report
        if work not in tasks:
            tasks[work] = shown.add_task(work, total=total)
        shown.update(tasks[work], completed=done, total=total)

    try:
        yield report
    finally:
        if tasks:
            shown.stop()


# The users of a store


def nobody(user_id: str, users: Sequence[UserSummary]) -> NoReturn:
    """Raise the error that a store has no rows of a user; it says who may have been meant."""
    names = [user.user_id for user in users]
    raise CliError(
        f"there is nothing of the user {user_id!r}",
        f"{meant(user_id, names)}{_known(names)}",
        code=NOTHING_FOUND,
    )


async def somebody(memory: VectorMemory, user_id: str) -> None:
    """Raise the error of :func:`nobody` where a store has no row of a user."""
    users = await memory.list_users()
    if user_id not in {user.user_id for user in users}:
        nobody(user_id, users)


async def no_conversation(
    memory: VectorMemory, conversation_id: str, user_id: str | None = None
) -> NoReturn:
    """Raise the error that there is no such conversation; it says which may have been meant."""
    from bruno_memory_vec.memory import ALL_USERS

    if user_id is not None:
        await somebody(memory, user_id)
    whose = ALL_USERS if user_id is None else user_id
    names = [one.conversation_id for one in await memory.list_conversations(whose, limit=None)]
    raise CliError(
        f"there is no conversation {conversation_id!r}"
        + ("" if user_id is None else f" of the user {user_id!r}"),
        f"{meant(conversation_id, names)}See them with: bruno-memory-vec list conversations",
        code=NOTHING_FOUND,
    )


def meant(typed: str, names: Sequence[str]) -> str:
    """``Did you mean 'ana'? ``, or nothing where no name is like it."""
    folded = {name.casefold(): name for name in reversed(names)}
    close = get_close_matches(typed.casefold(), list(folded), n=3, cutoff=0.6)
    if not close:
        return ""
    return f"Did you mean {' or '.join(repr(folded[name]) for name in close)}? "


def choose_user(users: Sequence[UserSummary], what: str = "whose rows are meant") -> str:
    """The only user of a store.

    Raises:
        CliError: there are several, or none.
    """
    if len(users) == 1:
        return users[0].user_id
    if not users:
        raise CliError(
            "the store is empty",
            "Fill it with: bruno-memory-vec add, or bruno-memory-vec ingest",
            code=NOTHING_FOUND,
        )
    raise CliError(
        f"the store holds {counted(len(users), 'user')}, and nothing says {what}",
        f"Add --user NAME. {_known([user.user_id for user in users])}",
        code=MISUSED,
    )


def _known(names: Sequence[str]) -> str:
    if not names:
        return "The store is empty."
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    if len(names) <= _SHOWN:
        return f"It holds {shown}."
    return f"It holds {shown} and {len(names) - _SHOWN:,} more: bruno-memory-vec list users."
