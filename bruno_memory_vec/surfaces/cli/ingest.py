"""``ingest``: take exports of chats into a store, all of them or none."""

from __future__ import annotations

import time
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Optional, cast

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
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec import IngestReport
    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.portability import DayOrder
    from bruno_memory_vec.upkeep.intake.reading import How
    from bruno_memory_vec.upkeep.intake.report import BadLinesError
    from bruno_memory_vec.upkeep.intake.sources import Source

# Optional[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP045

#: More bad lines than this are only counted: one wrong export can have a million.
_SHOWN_BAD = 20
_SHOWN_USERS = 5


def ingest(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help='Files and folders; "-" for standard input.'),
    ],
    format: Annotated[  # noqa: A002 - the option's name
        str,
        typer.Option(
            "--format",
            "-f",
            metavar="NAME",
            callback=file_format,
            help="What the files are: auto, or one of those of docs/importing.md.",
        ),
    ] = "auto",
    user: Annotated[
        Optional[str],
        typer.Option("--user", "-u", metavar="USER", help="Whose messages are that name no user."),
    ] = None,
    replace_user: Annotated[
        bool,
        typer.Option("--replace-user", help="--user counts more than users that the files name."),
    ] = False,
    conversation: Annotated[
        Optional[str],
        typer.Option(
            "--conversation",
            "-c",
            metavar="ID",
            help="Where messages go that name no conversation.",
        ),
    ] = None,
    dates: Annotated[
        Optional[str],
        typer.Option(
            "--dates",
            metavar="ORDER",
            help="What comes first in dates such as 3/4/2024, where no date of the file shows it: "
            "day-first or month-first.",
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Store the good lines of files with bad ones.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be stored, and store nothing.")
    ] = False,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=100_000, help="How many messages at a time.")
    ] = 2000,
    store: Store = None,
    sessions: Sessions = None,
    embedder: Embedder = None,
    json: Json = False,
) -> None:
    """Store the conversations of files.

    All of them are checked first. If any line is bad, each is reported by its number and nothing
    is stored, unless --skip-bad is given. What is stored already is known again: only what is new
    or was edited is stored, and what is gone from a file stays.

    The SQLite file of bruno-memory is read, too: its messages, memories, sessions and profiles.
    What export has written as JSON lines comes back exactly.
    """

    def work(out: Out) -> Coroutine[Any, Any, int]:
        from bruno_memory_vec.portability.bruno_memory import is_sqlite
        from bruno_memory_vec.portability.exported import is_export_file
        from bruno_memory_vec.surfaces.cli.opening import configuration
        from bruno_memory_vec.upkeep.intake.reading import How
        from bruno_memory_vec.upkeep.intake.sources import opened

        config = configuration(store, embedder, sessions=sessions)
        if config.url == "memory://" and not dry_run:
            raise CliError("memory:// keeps nothing", "Name a folder with --store", code=MISUSED)
        alone = files[0] if len(files) == 1 else "-"
        if format == BRUNO_MEMORY or (format == "auto" and alone != "-" and is_sqlite(alone)):
            return _import(out, files, config, user, skip_bad, dry_run)
        if format == "auto" and alone != "-" and is_export_file(alone):
            if conversation is not None or skip_bad:
                option = "--skip-bad" if skip_bad else "--conversation"
                raise CliError(f"{option} is not for an export", "Leave it out", code=MISUSED)
            return _take_in(out, alone, config, user, dry_run)
        # Outside the event loop, which would not let Ctrl-C end a wait for standard input.
        plain = config.key is None and config.key_file is None
        sources = stack.enter_context(opened(files, on_disk=plain))
        order = cast("DayOrder | None", dates)
        how = How(format, user, conversation, replace_user, order)
        return _ingest(out, sources, how, config, skip_bad, dry_run, batch)

    with ExitStack() as stack:
        execute(json, work)


async def _take_in(
    out: Out, file: str, config: MemoryConfig, user: str | None, dry_run: bool
) -> int:
    """Take in what ``export`` has written."""
    from bruno_memory_vec.memory import VectorMemory
    from bruno_memory_vec.store.deployment import is_there
    from bruno_memory_vec.store.manifest import IN_MEMORY
    from bruno_memory_vec.surfaces.cli.copy import tell
    from bruno_memory_vec.surfaces.cli.opening import bars

    settings = config.model_copy(update={"read_only": True}) if dry_run else config
    if dry_run and not await is_there(config):
        # It is compared with a store that is empty.
        plain = {"url": IN_MEMORY, "key": None, "key_file": None}
        settings = config.model_copy(update=plain)
    with bars(out) as progress:
        memory = VectorMemory(config=settings, progress=progress)
        try:
            report = await memory.import_export(
                file, user_id=user, dry_run=dry_run, progress=progress
            )
        finally:
            await memory.close()
    tell(out, report)
    return 0 if report.ok or dry_run else FAILED


async def _import(
    out: Out,
    files: Sequence[str],
    config: MemoryConfig,
    user: str | None,
    skip_bad: bool,
    dry_run: bool,
) -> int:
    """Store what files of bruno-memory hold."""
    from bruno_memory_vec.surfaces.cli.copy import tell
    from bruno_memory_vec.surfaces.cli.opening import bars
    from bruno_memory_vec.upkeep.copying.incoming import import_bruno_memory

    settings = config.model_dump(exclude={"url", "read_only"})
    whole = True
    for file in files:
        with bars(out) as progress:
            report = await import_bruno_memory(
                file,
                config.url,
                unnamed=user,
                skip_bad=skip_bad,
                dry_run=dry_run,
                progress=progress,
                **settings,
            )
        tell(out, report)
        # What --skip-bad leaves out is told, and no failure.
        whole = whole and (dry_run or report.verified == report.rows)
    return 0 if whole else FAILED


async def _ingest(
    out: Out,
    sources: Sequence[Source],
    how: How,
    config: MemoryConfig,
    skip_bad: bool,
    dry_run: bool,
    batch: int,
) -> int:
    from bruno_memory_vec.config import masked
    from bruno_memory_vec.memory import VectorMemory
    from bruno_memory_vec.store import manifest
    from bruno_memory_vec.store.manifest import folder_of
    from bruno_memory_vec.surfaces.cli.opening import bars
    from bruno_memory_vec.upkeep.intake.report import BadLinesError

    folder = folder_of(config.url)
    started = time.perf_counter()
    with bars(out) as progress:
        settings = config.model_copy(update={"read_only": True}) if dry_run else config
        memory = VectorMemory(config=settings, progress=progress)
        try:
            # A store that is there is opened, and locked, before the files are read; a new one is
            # made only when the files turn out to be good.
            if not dry_run and (folder is None or manifest.read(folder) is not None):
                await memory.connect()
            report = await memory.ingest(
                sources,
                format=how.format,
                user_id=how.user_id,
                conversation_id=how.conversation_id,
                replace_user=how.replace_user,
                dates=how.dates,
                skip_bad=skip_bad,
                dry_run=dry_run,
                progress=progress,
                batch=batch,
            )
        except BadLinesError as error:
            raise _refusal(error) from error
        finally:
            await memory.close()
    _report(out, report, masked(memory.config.url), started)
    # Nothing but bad lines is no success, whatever was asked for.
    return FAILED if report.bad and not report.messages and not report.memories else 0


def _refusal(error: BadLinesError) -> CliError:
    from bruno_memory_vec.upkeep.intake.report import in_words, plain

    lines = [in_words(bad) for bad in error.first_bad[:_SHOWN_BAD]]
    if error.bad > len(lines):
        lines.append(f"... and {error.bad - len(lines):,} more")
    return CliError(
        error.summary,
        "Mend them, or store the rest with --skip-bad",
        listing=lines,
        details={"bad": error.bad, "first_bad": [plain(bad) for bad in error.first_bad]},
    )


def _report(out: Out, report: IngestReport, store: str, started: float) -> None:
    from bruno_memory_vec.upkeep.intake.report import in_words

    seconds = time.perf_counter() - started
    stored = report.added + report.edited
    rate = stored / report.storing_seconds if report.storing_seconds else 0.0
    if out.as_json:
        told = report.to_dict()
        told |= {
            "file": report.sources[0] if len(report.sources) == 1 else None,
            "store": store,
            "users": len(report.users),
            "user_names": list(report.users),
            "seconds": round(seconds, 3),
            "messages_per_second": round(rate, 1),
        }
        out.result(told)
        return
    for bad in report.first_bad[:_SHOWN_BAD]:
        out.say(f"skipped {in_words(bad)}")
    if report.bad > _SHOWN_BAD:
        out.say(f"skipped {report.bad - _SHOWN_BAD:,} more")
    out.lines("\n".join(_lines(report, store, seconds, rate)))


def _lines(report: IngestReport, store: str, seconds: float, rate: float) -> list[str]:
    """What is told of an ingest, in lines that are short where names are."""
    from bruno_memory_vec.prompts.hidden_characters import marked
    from bruno_memory_vec.store.record import readable_size

    lines = []
    if report.messages or report.memories:
        verb = "would store" if report.dry_run else "stored"
        lines.append(
            f"{verb} {counted(report.added, 'message')} of "
            f"{counted(report.conversations, 'conversation')} and "
            f"{counted(len(report.users), 'user')} in {marked(store)}"
        )
        more = [
            (report.unchanged, "was", "were", "there already"),
            (report.edited, "was", "were", "edited, and replaced"),
            (report.gone, "is", "are", "gone from the export, and kept"),
            (report.untimed, "has", "have", "no time in the export"),
        ]
        lines += [
            f"  {count:,} {one if count == 1 else many} {what}"
            for count, one, many, what in more
            if count
        ]
        if report.memories:
            lines.append(f"  {counted(report.memories, 'memory')} about users")
        shown = ", ".join(marked(user) for user in report.users[:_SHOWN_USERS])
        others = len(report.users) - _SHOWN_USERS
        lines.append(f"users: {shown}{f' and {others:,} more' if others > 0 else ''}")
        if report.first is not None and report.last is not None:
            lines.append(f"from {report.first:%Y-%m-%d %H:%M} to {report.last:%Y-%m-%d %H:%M} UTC")
    else:
        named = marked(", ".join(report.sources[:3]))
        lines.append(f"{named} holds no message: nothing was stored")
    if report.left_out:
        parts = [f"{marked(what)} ({count:,})" for what, count in report.left_out.items()]
        lines.append(f"left out: {', '.join(parts)}")
    lines += [
        f"{marked(name)} is another chat than the one of that name: {marked(other)}"
        for name, other in report.renamed.items()
    ]
    if report.bad:
        lines.append(f"{counted(report.bad, 'bad place')} skipped")
    if report.messages or report.memories:
        if report.bytes_after is not None and not report.dry_run:
            before = report.bytes_before or 0
            lines.append(
                f"{readable_size(report.bytes_after)} on disk, {readable_size(before)} before"
            )
        lines.append(f"{seconds:.1f} s in all, {rate:,.0f} messages/s while storing")
    return lines
