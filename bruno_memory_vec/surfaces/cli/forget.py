"""``forget``: erase everything of a user, with a receipt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import Json, Sessions, Store
from bruno_memory_vec.surfaces.cli.running import (
    FAILED,
    MISUSED,
    NOTHING_FOUND,
    CliError,
    Out,
    execute,
)

if TYPE_CHECKING:
    from bruno_memory_vec.privacy.erasure.receipt import ErasureReceipt


def forget(
    user: Annotated[
        Optional[str],  # noqa: UP045
        typer.Argument(metavar="USER", help="Who is to be forgotten."),
    ] = None,
    store: Store = None,
    sessions: Sessions = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be erased.")] = False,
    receipt: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--receipt", metavar="FILE", help="Write the receipt there: a new file."),
    ] = None,
    verify: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--verify", metavar="FILE", help="Verify a receipt, and erase nothing."),
    ] = None,
    json: Json = False,
) -> None:
    """Erase everything of a user, and look for what remains.

    Messages, memories, summaries, facts, sessions, the profile, every file that has something of
    them, and the snapshots that were made of the store. It cannot be undone. The receipt names
    the user by a salted hash only, says what was erased, and what is left for you to do.
    """
    execute(json, lambda out: _forget(out, user, store, sessions, yes, dry_run, receipt, verify))


async def _forget(
    out: Out,
    user: str | None,
    store: str | None,
    sessions: str | None,
    yes: bool,
    dry_run: bool,
    file: Path | None,
    verify: Path | None,
) -> int:
    from bruno_memory_vec.memory import open_memory
    from bruno_memory_vec.store.manifest import IN_MEMORY
    from bruno_memory_vec.surfaces.cli.opening import bars, configuration, existing, reading
    from bruno_memory_vec.upkeep.reembedding.report import Unembedding

    config = configuration(store, sessions=sessions)
    if config.url == IN_MEMORY:
        raise CliError(f"{IN_MEMORY} keeps nothing", "Name a folder with --store", code=MISUSED)
    if verify is not None:
        if dry_run or yes or file is not None:
            raise CliError(
                "--verify erases nothing, and goes with USER alone", "Leave the others out",
                code=MISUSED,
            )  # fmt: skip
        async with reading(config, out, embeds=False) as memory:
            verdict = await memory.verify_receipt(verify, user)
        if out.as_json:
            out.result({"ok": verdict.ok, "problems": list(verdict.problems)})
        else:
            out.console.print(f"{verify}: {verdict}")
        return 0 if verdict.ok else FAILED
    if user is None:
        raise CliError("nothing says who is to be forgotten", "Name the user", code=MISUSED)
    if file is not None and file.exists():  # noqa: ASYNC240  # one look at a local file
        raise CliError(f"{file} exists", "Name a new file for the receipt", code=MISUSED)
    made_by = await existing(config)
    async with reading(config, out, embeds=False) as memory:
        planned = await memory.forget_user(user, dry_run=True)
    if dry_run:
        _report(out, planned)
        return 0 if any(planned.counts.values()) else NOTHING_FOUND
    if not yes:
        _confirm(out, user, planned)
    embedder = None if made_by is None else Unembedding(made_by)
    config = config.model_copy(update={"read_only": False})
    with bars(out) as progress:
        async with open_memory(config=config, embedder=embedder, progress=progress) as memory:
            done = await memory.forget_user(user)
    if file is not None:
        _write(file, done)
    _report(out, done)
    return 0 if not done.check["found"] else FAILED


def _confirm(out: Out, user: str, planned: ErasureReceipt) -> None:
    if out.as_json or not sys.stdin.isatty():
        raise CliError(
            f"nobody was asked whether {user!r} is to be forgotten, and nothing was erased",
            "Add --yes, or see with --dry-run what would be erased",
            code=MISUSED,
        )
    _report(out, planned)
    out.say(f"Forget {user!r}? It cannot be undone. Type the user's id to go on:")
    if sys.stdin.readline().rstrip("\n") != user:
        raise CliError("that is not the user's id: nothing was erased", code=MISUSED)


def _write(file: Path, done: ErasureReceipt) -> None:
    from bruno_memory_vec.store.files import replace_file

    try:
        replace_file(file, f"{done.to_json()}\n".encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise CliError(
            f"the user was forgotten, and {file} cannot be written: {error.strerror or error}",
            "The store keeps the receipt: memory.erasure_receipts()",
        ) from error


def _report(out: Out, done: ErasureReceipt) -> None:
    from bruno_memory_vec.prompts.hidden_characters import marked

    if out.as_json:
        out.result(done.to_dict())
    else:
        out.console.print(marked(str(done)), highlight=False, markup=False)
