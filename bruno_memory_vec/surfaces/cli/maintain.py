"""``maintain``: all upkeep of a store now, and what it did."""

from __future__ import annotations

from bruno_memory_vec.surfaces.cli.options import Json, Sessions, Store
from bruno_memory_vec.surfaces.cli.running import FAILED, MISUSED, CliError, Out, execute


def maintain(store: Store = None, sessions: Sessions = None, json: Json = False) -> None:
    """Compact a store, clean it up and verify it.

    A process that writes does this by itself as it goes. The command is for a store that was
    filled in haste, for one that doctor says is scattered, and for certainty: it reads every
    row. Nothing that is stored changes, and others may read meanwhile.
    """
    execute(json, lambda out: _maintain(out, store, sessions))


async def _maintain(out: Out, store: str | None, sessions: str | None) -> int:
    from bruno_memory_vec.config import masked
    from bruno_memory_vec.store.manifest import IN_MEMORY
    from bruno_memory_vec.surfaces.cli.opening import bars, configuration, writing

    config = configuration(store, sessions=sessions)
    if config.url == IN_MEMORY:
        raise CliError(f"{IN_MEMORY} keeps nothing", "Name a folder with --store", code=MISUSED)
    # Nothing is embedded, so the store's embedder need not be named or installed.
    async with writing(config, out, embeds=False) as memory:
        with bars(out) as progress:
            report = await memory.maintain(progress)
        url = masked(memory.config.url)
    out.report(report, store=url)
    return 0 if report.ok else FAILED
