"""``reembed``: move a store to another embedder."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bruno_memory_vec.surfaces.cli.options import Json, Sessions, Store
from bruno_memory_vec.surfaces.cli.running import MISUSED, CliError, Out, execute
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec.upkeep.reembedding.report import ReembedReport


def reembed(
    embedder: Annotated[
        str,
        typer.Option(
            "--embedder",
            metavar="NAME",
            help="The embedder to move to: static, sentence-transformers:NAME_OR_PATH, "
            "bruno-llm:PROVIDER/MODEL, another package's, or hash (for tests).",
        ),
    ],
    store: Store = None,
    sessions: Sessions = None,
    json: Json = False,
) -> None:
    """Move a store to another embedder.

    Every text is embedded anew, beside the vectors that are there. The store may be read
    meanwhile; it changes over at the end, at once, and open readers are told to open it again.

    If the command is stopped, or the embedder fails, the store is as it was, and the same
    command goes on where it stopped. Naming the store's own embedder gives up what was begun.
    """
    execute(json, lambda out: _reembed(out, embedder, store, sessions))


async def _reembed(out: Out, embedder: str, store: str | None, sessions: str | None) -> int:
    from bruno_memory_vec.config import masked
    from bruno_memory_vec.store.manifest import IN_MEMORY, of_one
    from bruno_memory_vec.surfaces.cli.opening import bars, configuration, existing
    from bruno_memory_vec.upkeep.reembedding.run import reembed as move

    config = of_one(configuration(store, sessions=sessions), "a re-embedding")
    if config.url == IN_MEMORY:
        raise CliError(f"{IN_MEMORY} keeps nothing", "Name a folder with --store", code=MISUSED)
    await existing(config)
    given = {} if config.sessions is None else {"sessions": config.sessions}
    with bars(out) as progress:
        try:
            report = await move(config.url, embedder, progress=progress, **given)
        except asyncio.CancelledError:
            out.say("stopped: the store is as it was, and the same command goes on from here")
            raise
    _report(out, masked(config.url), report)
    return 0


def _report(out: Out, url: str, report: ReembedReport) -> None:

    if out.as_json:
        data: dict[str, Any] = {"store": url, **report.to_dict()}
        out.result(data)
        return
    told = []
    if report.discarded is not None:
        told.append(f"gave up a move to {report.discarded} that had begun")
    if report.after == report.before:
        told.append(f"the store has this embedder already: {report.after}")
    else:
        told.append(f"moved {counted(report.rows, 'row')} from {report.before}")
        told.append(f"to {report.after}, in {report.seconds:.1f} s")
    if report.resumed:
        told.append(f"{counted(report.resumed, 'row')} had been embedded before it was stopped")
    out.lines("\n".join(told))
