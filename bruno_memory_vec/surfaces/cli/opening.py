"""From the options of a command to an open memory."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from bruno_memory_vec.config import MemoryConfig, masked
from bruno_memory_vec.memory import open_memory
from bruno_memory_vec.store import manifest
from bruno_memory_vec.store.deployment import TellsHowMade, deployment_of
from bruno_memory_vec.surfaces.cli.options import named
from bruno_memory_vec.surfaces.cli.running import NOTHING_FOUND, CliError, Out
from bruno_memory_vec.upkeep.reembedding.report import Unembedding

if TYPE_CHECKING:
    from bruno_memory_vec import Fingerprint, Progress, UserSummary
    from bruno_memory_vec.memory import VectorMemory


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
    made = await deployment.made(config) if isinstance(deployment, TellsHowMade) else None
    if made is not None:
        return made.fingerprint
    if config.url == manifest.IN_MEMORY or not isinstance(deployment, TellsHowMade):
        return None
    folder = manifest.folder_of(config.url)
    shown = masked(config.url) if folder is None else str(folder)
    what = "does not exist" if folder is not None and not folder.is_dir() else "is empty"
    raise CliError(
        f"{shown} {what}: there is no store",
        "Name one with --store or BRUNO_MEMORY_URL, or make one:\n"
        f"  bruno-memory-vec ingest FILE --store {shlex.quote(shown)}",
    )


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


@contextmanager
def bars(out: Out) -> Iterator[Progress | None]:
    """Progress bars on a terminal, by the name of the work; None elsewhere."""
    if not out.live:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        tasks: dict[str, Any] = {}

        def report(work: str, done: int, total: int) -> None:
            if work not in tasks:
                tasks[work] = shown.add_task(work, total=total)
            shown.update(tasks[work], completed=done, total=total)

        yield report


# The users of a store


def nobody(user_id: str, users: Sequence[UserSummary]) -> NoReturn:
    """Raise the error that a store has no rows of a user; it names the users that it has."""
    raise CliError(f"there is nothing of the user {user_id!r}", _known(users), code=NOTHING_FOUND)


def choose_user(users: Sequence[UserSummary]) -> str:
    """The only user of a store.

    Raises:
        CliError: there are several, or none.
    """
    from bruno_memory_vec.surfaces.cli.running import MISUSED

    if len(users) == 1:
        return users[0].user_id
    if not users:
        raise CliError(
            "the store is empty", "Fill it with: bruno-memory-vec ingest", code=NOTHING_FOUND
        )
    raise CliError(
        f"the store holds {len(users)} users, and nothing says whose rows to search",
        f"Add --user NAME, or --all-users to search everybody's. {_known(users)}",
        code=MISUSED,
    )


def _known(users: Sequence[UserSummary]) -> str:
    if not users:
        return "The store is empty."
    names = ", ".join(repr(user.user_id) for user in users[:10])
    more = f" and {len(users) - 10} more" if len(users) > 10 else ""
    return f"It holds {names}{more}."
