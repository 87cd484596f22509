"""``ingest``: store the conversations of a file, all of them or none."""

from __future__ import annotations

import time
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import (
    BRUNO_MEMORY,
    Embedder,
    Json,
    Sessions,
    Store,
    file_format,
)
from bruno_memory_vec.surfaces.cli.running import FAILED, MISUSED, CliError, Out, execute

if TYPE_CHECKING:
    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.portability import BadLine
    from bruno_memory_vec.surfaces.cli.intake import Reading, Source, Tally

# Optional[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP045

#: More bad lines than this are only counted: one wrong export can have a million.
_SHOWN_BAD = 20


def ingest(
    file: Annotated[str, typer.Argument(metavar="FILE", help='A file; "-" for standard input.')],
    format: Annotated[  # noqa: A002 - the option's name
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            callback=file_format,
            help="What the file is: auto, jsonl, openai, locomo, bruno-memory, or a format of "
            "another package.",
        ),
    ] = "auto",
    user: Annotated[
        Optional[str],
        typer.Option("--user", "-u", metavar="USER", help="Whose messages are that name no user."),
    ] = None,
    conversation: Annotated[
        Optional[str],
        typer.Option(
            "--conversation",
            "-c",
            metavar="ID",
            help="Where messages go that name no conversation.",
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Store the good lines of a file with bad ones.")
    ] = False,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=100_000, help="How many messages at a time.")
    ] = 2000,
    store: Store = None,
    sessions: Sessions = None,
    embedder: Embedder = None,
    json: Json = False,
) -> None:
    """Store the conversations of a file.

    The whole file is checked first. If any line is bad, each is reported by its number and
    nothing is stored, unless --skip-bad is given. Storing a file twice stores it once.

    The SQLite file of bruno-memory is read, too: its messages, memories, sessions and profiles.
    """

    def work(out: Out) -> Coroutine[Any, Any, int]:
        from bruno_memory_vec.portability.bruno_memory import is_sqlite
        from bruno_memory_vec.surfaces.cli.intake import Reading, seekable
        from bruno_memory_vec.surfaces.cli.opening import configuration

        config = configuration(store, embedder, sessions=sessions)
        if config.url == "memory://":
            raise CliError("memory:// keeps nothing", "Name a folder with --store", code=MISUSED)
        if format == BRUNO_MEMORY or (format == "auto" and file != "-" and is_sqlite(file)):
            return _import(out, file, config, user, skip_bad)
        # Outside the event loop, which would not let Ctrl-C end a wait for standard input.
        source = stack.enter_context(seekable(file))
        how = Reading(format, user, conversation, config.default_user)
        return _ingest(out, file, source, how, config, skip_bad, batch)

    with ExitStack() as stack:
        execute(json, work)


async def _import(
    out: Out, file: str, config: MemoryConfig, user: str | None, skip_bad: bool
) -> int:
    """Store what a file of bruno-memory holds."""
    from bruno_memory_vec.surfaces.cli.copy import tell
    from bruno_memory_vec.surfaces.cli.opening import bars
    from bruno_memory_vec.upkeep.copying.incoming import import_bruno_memory

    settings = config.model_dump(exclude={"url", "read_only"})
    with bars(out) as progress:
        report = await import_bruno_memory(
            file, config.url, unnamed=user, skip_bad=skip_bad, progress=progress, **settings
        )
    tell(out, report)
    # What --skip-bad leaves out is told, and no failure.
    return 0 if report.verified == report.rows else FAILED


async def _ingest(
    out: Out,
    file: str,
    source: Source,
    how: Reading,
    config: MemoryConfig,
    skip_bad: bool,
    batch: int,
) -> int:
    from bruno_memory_vec.config import masked
    from bruno_memory_vec.memory import open_memory
    from bruno_memory_vec.store import manifest
    from bruno_memory_vec.store.manifest import folder_of
    from bruno_memory_vec.surfaces.cli.intake import Intake
    from bruno_memory_vec.surfaces.cli.opening import bars

    folder = folder_of(config.url)
    started = time.perf_counter()
    with bars(out) as progress:
        intake = Intake(source, how, progress)
        memory = None
        try:
            # A store that is there is opened, and locked, before the file is read; a new one is
            # made only when the file turns out to be good.
            if folder is None or manifest.read(folder) is not None:
                memory = await open_memory(config=config, progress=progress)
            tally = await intake.check(memory)
            if tally.bad and not skip_bad:
                raise _refusal(tally, file)
            if memory is None and tally.messages:
                memory = await open_memory(config=config, progress=progress)
            if memory is not None and tally.messages:
                await intake.store(memory, tally, batch, skip_bad)
        finally:
            if memory is not None:
                await memory.close()
    used = config if memory is None else memory.config
    _report(out, tally, masked(used.url), file, started)
    return 0


def _refusal(tally: Tally, file: str) -> CliError:
    lines = [described(bad) for bad in tally.first_bad[:_SHOWN_BAD]]
    if tally.bad > len(lines):
        lines.append(f"... and {tally.bad - len(lines):,} more")
    places = "1 place" if tally.bad == 1 else f"{tally.bad:,} places"
    return CliError(
        f"{file} is bad in {places}, so nothing of it was stored",
        "Mend them, or store the rest with --skip-bad",
        listing=lines,
        details={"bad": tally.bad, "first_bad": [plain(bad) for bad in tally.first_bad]},
    )


def described(bad: BadLine) -> str:
    """A bad line in words."""
    from bruno_memory_vec.prompts.hidden_characters import marked

    where = "" if bad.where == "line" else f"{bad.where}: "
    line = "" if bad.line is None else f"line {bad.line}: "
    return marked(f"{line}{where}{bad.problem}")


def plain(bad: BadLine) -> dict[str, Any]:
    """A bad line for JSON."""
    return {"line": bad.line, "where": bad.where, "problem": bad.problem}


def _report(out: Out, tally: Tally, store: str, file: str, started: float) -> None:
    from bruno_memory_vec.surfaces.cli.display import counted

    seconds = time.perf_counter() - started
    rate = tally.messages / tally.storing_seconds if tally.storing_seconds else 0.0
    if out.as_json:
        out.result(
            {
                "file": file,
                "store": store,
                "messages": tally.messages,
                "conversations": len(tally.conversations),
                "users": len(set(tally.conversations.values())),
                "bad": tally.bad,
                "first_bad": [plain(bad) for bad in tally.first_bad],
                "seconds": round(seconds, 3),
                "messages_per_second": round(rate, 1),
            }
        )
        return
    for bad in tally.first_bad[:_SHOWN_BAD]:
        out.say(f"skipped {described(bad)}")
    if tally.bad > _SHOWN_BAD:
        out.say(f"skipped {tally.bad - _SHOWN_BAD:,} more")
    console = out.console
    if not tally.messages:
        console.print(f"{file} holds no message: nothing was stored", soft_wrap=True)
        return
    users = len(set(tally.conversations.values()))
    console.print(
        f"stored {counted(tally.messages, 'message')} of "
        f"{counted(len(tally.conversations), 'conversation')} and {counted(users, 'user')} "
        f"in {store}",
        soft_wrap=True,
    )
    console.print(f"{seconds:.1f} s in all, {rate:,.0f} messages/s while storing")
    if tally.bad:
        console.print(f"{counted(tally.bad, 'bad place')} skipped")
