"""``export``: what a store holds, as files."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, List, Optional  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli.copy import replacing
from bruno_memory_vec.surfaces.cli.options import (
    Json,
    Sessions,
    Since,
    Store,
    Until,
    User,
)
from bruno_memory_vec.surfaces.cli.running import FAILED, NOTHING_FOUND, CliError, Out, execute

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
            "--format", "-f", help="Of the file.  [default: by its suffix]", show_default=False
        ),
    ] = None,
    user: User = None,
    conversation: Annotated[
        Optional[str],
        typer.Option("--conversation", "-c", metavar="ID", help="Only this conversation."),
    ] = None,
    kind: Annotated[
        Optional[List[ExportedKind]],
        typer.Option("--kind", help="Only these; may be given several times."),
    ] = None,
    since: Since = None,
    until: Until = None,
    vectors: Annotated[
        bool, typer.Option("--vectors", help="Also the vectors, in jsonl and parquet.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there.")
    ] = False,
    anonymise: Annotated[
        bool,
        typer.Option("--anonymise", help="Replace names, addresses, numbers and dates."),
    ] = False,
    mapping: Annotated[
        Optional[str],
        typer.Option(
            "--mapping", metavar="FILE", help="With --anonymise: write there what became what."
        ),
    ] = None,
    store: Store = None,
    sessions: Sessions = None,
    json: Json = False,
) -> None:
    """Write what a store holds to a file: JSON lines, CSV, Parquet or Markdown.

    JSON lines (.jsonl) have everything, exactly: ingest takes them in again. The file is for its
    owner only, and appears whole. TIME is ISO 8601, in UTC unless it names an offset.
    """

    async def work(out: Out) -> int:
        from bruno_memory_vec.prompts.hidden_characters import marked
        from bruno_memory_vec.surfaces.cli.opening import bars, configuration, nobody, reading

        anonymiser = replacing(anonymise, mapping)
        config = configuration(store, sessions=sessions)
        async with reading(config, out, embeds=False) as memory:
            if user is not None:
                users = await memory.list_users()
                if user not in {one.user_id for one in users} and not kind:
                    nobody(user, users)
            if conversation is not None and await memory.get_conversation(conversation) is None:
                raise CliError(
                    f"there is no conversation {conversation!r}",
                    "See bruno-memory-vec show",
                    code=NOTHING_FOUND,
                )
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
        if out.as_json:
            out.result(report.to_dict())
        else:
            for line in str(report).splitlines():
                out.console.print(marked(line), soft_wrap=True, markup=False, highlight=False)
        return 0 if report.ok else FAILED

    execute(json, work)
