"""``export``: what a store holds, as files."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, List, Optional  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli.copy import replacing
from bruno_memory_vec.surfaces.cli.options import (
    Anonymise,
    Conversation,
    Json,
    Mapping,
    Sessions,
    Since,
    Store,
    Until,
    User,
)
from bruno_memory_vec.surfaces.cli.running import FAILED, Out, execute

# Optional[X] and List[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP006, UP045


class ExportAs(str, Enum):
    """The formats of ``portability.writers``, not imported so that --help is fast."""

    jsonl = "jsonl"
    csv = "csv"
    parquet = "parquet"
    markdown = "markdown"


class ExportedKind(str, Enum):
    """What an export can hold."""

    message = "message"
    memory = "memory"
    session = "session"
    profile = "profile"


def export(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="Where to: a file, or a new folder for Markdown with a file a conversation.",
        ),
    ],
    format_: Annotated[
        Optional[ExportAs],
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help="Of the file: jsonl, csv, parquet or markdown.  [default: by its suffix]",
            show_default=False,
        ),
    ] = None,
    user: User = None,
    conversation: Conversation = None,
    kind: Annotated[
        Optional[List[ExportedKind]],
        typer.Option(
            "--kind",
            metavar="KIND",
            help="Only these: message, memory, session, profile; several may be given.",
        ),
    ] = None,
    since: Since = None,
    until: Until = None,
    vectors: Annotated[
        bool, typer.Option("--vectors", help="Also the vectors, in jsonl and parquet.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
    anonymise: Anonymise = False,
    mapping: Mapping = None,
    store: Store = None,
    sessions: Sessions = None,
    json: Json = False,
) -> None:
    """Write what a store holds to a file: JSON lines, CSV, Parquet or Markdown.

    JSON lines (.jsonl) have everything, exactly: ingest takes them in again. The file is for its
    owner only, and appears whole. TIME is 2026-03-01 (UTC),
    yesterday or "2 weeks ago".
    """

    async def work(out: Out) -> int:
        from bruno_memory_vec.surfaces.cli.opening import (
            bars,
            configuration,
            no_conversation,
            reading,
            somebody,
        )

        anonymiser = replacing(anonymise, mapping)
        config = configuration(store, sessions=sessions)
        async with reading(config, out, embeds=False) as memory:
            if user is not None and not kind:
                await somebody(memory, user)
            if conversation is not None and await memory.get_conversation(conversation) is None:
                await no_conversation(memory, conversation)
            with bars(out) as progress:
                report = await memory.export(
                    path,
                    format=None if format_ is None else format_.value,
                    user_id=user,
                    conversation_id=conversation,
                    since=since,
                    until=until,
                    kinds=[one.value for one in kind] if kind else None,
                    vectors=vectors,
                    overwrite=overwrite,
                    anonymise=anonymiser or False,
                    progress=progress,
                )
        if anonymiser is not None and mapping is not None:
            anonymiser.write_mapping(mapping)
        out.report(report)
        return 0 if report.ok else FAILED

    execute(json, work)
