"""``doctor``: whether a store is sound, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bruno_memory_vec.surfaces.cli.options import Embedder, Json, Sessions, Store, named
from bruno_memory_vec.surfaces.cli.running import UNSOUND, Out, execute
from bruno_memory_vec.wording import counted

# Settings that have a line each, also where they are the defaults.
_ALWAYS = ("url", "sessions", "embedder")
# What a default is that asks for nothing.
_OFF: tuple[object, ...] = (None, False, [], "", "off", "none")

if TYPE_CHECKING:
    from bruno_memory_vec import Check
    from bruno_memory_vec.config import MemoryConfig


def doctor(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Step back from rows that a power cut tore, rebuild what is derived, and compact.",
        ),
    ] = False,
    store: Store = None,
    sessions: Sessions = None,
    embedder: Embedder = None,
    json: Json = False,
) -> None:
    """Check a store, and mend it with --repair.

    It looks at the folder, lock, embedder, rows, lexical index, sessions and disk; of a store on a
    server also at what the server lacks. It tells each setting, and where it comes from. It changes
    nothing unless --repair is given, and may run beside a writer.
    """
    given = named(url=store, sessions=sessions, embedder=embedder)
    execute(json, lambda out: _doctor(out, repair, given))


async def _doctor(out: Out, repair: bool, given: dict[str, str]) -> int:
    from bruno_core.utils.exceptions import BrunoError

    from bruno_memory_vec import Check, diagnose_store, repair_store
    from bruno_memory_vec.config import MemoryConfig, masked
    from bruno_memory_vec.errors import StoreLockedError, problem_and_fix
    from bruno_memory_vec.surfaces.cli.opening import bars, existing
    from bruno_memory_vec.upkeep.check import PROBLEM, RESTORE

    config = MemoryConfig.build(**given)
    origins, values = MemoryConfig.origins(**given), config.shown()
    settings = {name: {"value": values[name], "from": origins[name]} for name in origins}
    if not out.as_json:
        # First, because they may be why there is no store.
        _print_settings(out, settings)
    await existing(config)
    checks = await diagnose_store(config=config)
    repaired: dict[str, Any] = {}
    # Opening a store whose rows are gone would make an empty one in its place.
    if repair and all(check.fix != RESTORE for check in checks):
        failed = []
        try:
            with bars(out) as progress:
                report = await repair_store(config=config, progress=progress)
        except StoreLockedError:
            raise
        except BrunoError as error:
            # The checks show more of the cause.
            failed = [Check("repair", PROBLEM, *problem_and_fix(error))]
            stepped = (error.details or {}).get("stepped_back")
        else:
            stepped, after = report.stepped_back, report.maintenance.after
            repaired = {"rows": after.rows, "lexical": after.lexical}
            if report.rebuilt:
                repaired["rebuilt"] = list(report.rebuilt)
            if report.losses:
                repaired["losses"] = {**report.losses.to_dict(), "note": str(report.losses)}
            if report.turns_given:
                repaired["turns_given"] = report.turns_given
            if report.owners_given:
                repaired["owners_given"] = report.owners_given
        if stepped is not None:
            repaired["stepped_back"] = {**asdict(stepped), "note": str(stepped)}
        checks = failed + await diagnose_store(config=config)
    sound = all(check.state != PROBLEM for check in checks)
    if out.as_json:
        data: dict[str, Any] = {
            "store": masked(config.url),
            "ok": sound,
            "settings": settings,
            "checks": [asdict(check) for check in checks],
        }
        if repaired:
            data["repaired"] = repaired
        out.result(data)
    else:
        _print(out, config, checks, repaired, sound)
    return 0 if sound else UNSOUND


def _print_settings(out: Out, settings: dict[str, dict[str, Any]]) -> None:
    from rich.table import Table
    from rich.text import Text

    from bruno_memory_vec.prompts.hidden_characters import marked

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    defaults = []
    for name, one in settings.items():
        value, place = one["value"], one["from"]
        if place == "default" and value is None and name in _ALWAYS:
            grid.add_row(name, "not given")
        elif place != "default" or name in _ALWAYS:
            grid.add_row(name, Text(marked(f"{value}, from: {place}")))
        elif value not in _OFF:
            defaults.append(f"{name}={value}")
    out.console.print(grid)
    told = f"by default: {', '.join(defaults)}; all else is off, and listed by --json"
    out.console.print(Text(marked(told), style="dim"))


def _print(
    out: Out,
    config: MemoryConfig,
    checks: list[Check],
    repaired: dict[str, Any],
    sound: bool,
) -> None:
    from rich.table import Table
    from rich.text import Text

    from bruno_memory_vec.config import masked
    from bruno_memory_vec.prompts.hidden_characters import marked
    from bruno_memory_vec.upkeep.check import NOTE, OK

    console = out.console
    if len(config.urls) < 2:  # else the checks say which is used
        console.print(Text(marked(masked(config.url)), style="bold"), soft_wrap=True)
    if "stepped_back" in repaired:
        console.print(Text(marked(repaired["stepped_back"]["note"])), soft_wrap=True)
    if "losses" in repaired:
        console.print(Text(marked(repaired["losses"]["note"])), soft_wrap=True)
    if "turns_given" in repaired:
        console.print(f"messages that had no turn, and have one now: {repaired['turns_given']:,}")
    if "owners_given" in repaired:
        console.print(
            f"conversations that have the owner of their rows again: {repaired['owners_given']:,}"
        )
    for anew in repaired.get("rebuilt", ()):
        console.print(Text(f"made anew: {marked(anew)}"), soft_wrap=True)
    if "rows" in repaired:
        console.print(
            f"repaired: {counted(repaired['rows'], 'row')} compacted, "
            f"{repaired['lexical']:,} in the lexical index"
        )
    marks = {OK: Text("ok", style="green"), NOTE: Text("note", style="yellow")}
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for check in checks:
        found = Text(marked(check.found))
        if check.fix:
            found.append(f"\n{marked(check.fix)}", style="bold")
        grid.add_row(marks.get(check.state, Text("BAD", style="bold red")), check.name, found)
    console.print(grid)
    console.print("the store is sound" if sound else "the store has a problem, see above")
