"""``maintain``: all upkeep of a store now, and what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bruno_memory_vec.surfaces.cli.options import Json, Sessions, Store
from bruno_memory_vec.surfaces.cli.running import FAILED, MISUSED, CliError, Out, execute

if TYPE_CHECKING:
    from bruno_memory_vec.upkeep.maintenance import MaintenanceReport


def maintain(store: Store = None, sessions: Sessions = None, json: Json = False) -> None:
    """Compact a store, clean it up and verify it.

    A process that writes does this by itself as it goes. The command is for a store that was
    filled in haste, for one that doctor says is scattered, and for certainty: it reads every
    row. Nothing that is stored changes, and others may read meanwhile.
    """
    execute(json, lambda out: _maintain(out, store, sessions))


async def _maintain(out: Out, store: str | None, sessions: str | None) -> int:
    from bruno_memory_vec.config import masked
    from bruno_memory_vec.memory import open_memory
    from bruno_memory_vec.store.manifest import IN_MEMORY
    from bruno_memory_vec.surfaces.cli.opening import bars, configuration, existing
    from bruno_memory_vec.upkeep.reembedding.report import Unembedding

    config = configuration(store, sessions=sessions).model_copy(update={"read_only": False})
    made_by = await existing(config)
    if config.url == IN_MEMORY:
        raise CliError(f"{IN_MEMORY} keeps nothing", "Name a folder with --store", code=MISUSED)
    # Nothing is embedded, so the store's embedder need not be named or installed.
    embedder = None if made_by is None else Unembedding(made_by)
    with bars(out) as progress:
        async with open_memory(config=config, embedder=embedder, progress=progress) as memory:
            report = await memory.maintain(progress)
            url = masked(memory.config.url)
    _report(out, url, report)
    return 0 if report.ok else FAILED


def _report(out: Out, url: str, report: MaintenanceReport) -> None:
    from bruno_memory_vec.prompts.hidden_characters import marked

    if out.as_json:
        out.result({"store": url, **report.to_dict()})
        return
    out.console.print(marked(str(report)), soft_wrap=True)
