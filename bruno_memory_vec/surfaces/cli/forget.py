"""``forget``: erase everything of a user, with a receipt; or single rows, or a conversation."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, List, Optional  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli import completing
from bruno_memory_vec.surfaces.cli.options import DryRun, Json, Sessions, Store, Yes
from bruno_memory_vec.surfaces.cli.running import (
    FAILED,
    MISUSED,
    NOTHING_FOUND,
    CliError,
    Out,
    execute,
)
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_core.models.memory import MemoryEntry
    from bruno_core.models.message import Message

    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.memory import VectorMemory
    from bruno_memory_vec.privacy.erasure.receipt import ErasureReceipt

# Optional[X] and List[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP006, UP045

_SHOWN = 20


def forget(
    user: Annotated[
        Optional[str],
        typer.Argument(
            metavar="USER",
            help="Who is to be forgotten; with --id, whose rows.",
            autocompletion=completing.users,
        ),
    ] = None,
    ids: Annotated[
        Optional[List[str]],
        typer.Option(
            "--id", metavar="ID", help="Only this message or memory; several may be given."
        ),
    ] = None,
    conversation: Annotated[
        Optional[str],
        typer.Option(
            "--conversation",
            "-c",
            metavar="ID",
            help="Only this conversation, with its summaries.",
            autocompletion=completing.conversations,
        ),
    ] = None,
    archive: Annotated[
        bool, typer.Option("--archive", help="With --id: keep them, and recall them no more.")
    ] = False,
    store: Store = None,
    sessions: Sessions = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    receipt: Annotated[
        Optional[Path],
        typer.Option("--receipt", metavar="FILE", help="Write the receipt there: a new file."),
    ] = None,
    verify: Annotated[
        Optional[Path],
        typer.Option("--verify", metavar="FILE", help="Verify a receipt, and erase nothing."),
    ] = None,
    json: Json = False,
) -> None:
    """Erase everything of a user, and look for what remains; or only what is named.

    Of a user: messages, memories, summaries, facts, sessions, the profile, every file that has
    something of them, and the snapshots that were made of the store. The receipt names the user by
    a salted hash only, says what was erased, and what is left for you to do.

    With --id or --conversation only that is deleted; its bytes leave the files with the next
    upkeep (bruno-memory-vec maintain). Nothing of this can be undone. It asks first, unless --yes
    is given.
    """

    def work(out: Out) -> Coroutine[Any, Any, int]:
        from bruno_memory_vec.store.manifest import IN_MEMORY
        from bruno_memory_vec.surfaces.cli.opening import configuration

        config = configuration(store, sessions=sessions)
        if config.url == IN_MEMORY:
            raise CliError(f"{IN_MEMORY} keeps nothing", "Name a folder with --store", code=MISUSED)
        single = bool(ids) or conversation is not None
        _refuse_unfit(
            {"--id": ids, "--conversation": conversation, "--archive": archive, "--yes": yes}
            | {"--dry-run": dry_run, "--receipt": receipt, "--verify": verify},
            single,
        )
        if verify is not None:
            return _verify(out, config, verify, user)
        if ids:
            return _rows(out, config, user, list(dict.fromkeys(ids)), archive, yes, dry_run)
        if conversation is not None:
            return _conversation(out, config, user, conversation, yes, dry_run)
        if user is None:
            raise CliError(
                "nothing says what is to be forgotten",
                "Name the user, a row with --id, or a --conversation",
                code=MISUSED,
            )
        return _user(out, config, user, yes, dry_run, receipt)

    execute(json, work)


def _refuse_unfit(given: dict[str, Any], single: bool) -> None:
    apart = [("--id", "--conversation"), ("--conversation", "--archive")]
    apart += [("--verify", name) for name in given if name != "--verify"]
    apart += [("--receipt", name) for name in ("--id", "--conversation")]
    for one, other in apart:
        if given[one] and given[other]:
            raise CliError(
                f"{one} and {other} do not go together: nothing was erased",
                "Leave one of the two out",
                code=MISUSED,
            )
    if given["--archive"] and not single:
        raise CliError("--archive is for rows: nothing was done", "Name them by --id", code=MISUSED)


async def _verify(out: Out, config: MemoryConfig, file: Path, user: str | None) -> int:
    from bruno_memory_vec.surfaces.cli.opening import reading

    async with reading(config, out, embeds=False) as memory:
        verdict = await memory.verify_receipt(file, user)
    if out.as_json:
        out.result({"ok": verdict.ok, "problems": list(verdict.problems)})
    else:
        out.lines(f"{file}: {verdict}")
    return 0 if verdict.ok else FAILED


# A user


async def _user(
    out: Out, config: MemoryConfig, user: str, yes: bool, dry_run: bool, file: Path | None
) -> int:
    from bruno_memory_vec.surfaces.cli.opening import reading, somebody, writing

    if file is not None and file.exists():  # noqa: ASYNC240  # one look at a local file
        raise CliError(f"{file} exists", "Name a new file for the receipt", code=MISUSED)
    async with reading(config, out, embeds=False) as memory:
        planned = await memory.forget_user(user, dry_run=True)
        if not any(planned.counts.values()) and not out.as_json:
            await somebody(memory, user)
    if dry_run:
        out.report(planned)
        return 0 if any(planned.counts.values()) else NOTHING_FOUND
    if not yes:
        _may_ask(out, f"{user!r} is to be forgotten")
        out.report(planned)
        _ask(out, f"Forget {user!r}? It cannot be undone. Type the user's id to go on:", user)
    async with writing(config, out, embeds=False) as memory:
        done = await memory.forget_user(user)
    if file is not None:
        _write(file, done)
    out.report(done)
    return 0 if not done.check["found"] else FAILED


def _may_ask(out: Out, what: str) -> None:
    if out.as_json or not sys.stdin.isatty():
        raise CliError(
            f"nobody was asked whether {what}, and nothing was erased",
            "Add --yes, or see with --dry-run what would be erased",
            code=MISUSED,
        )


def _ask(out: Out, question: str, answer: str) -> None:
    out.say(question)
    if sys.stdin.readline().rstrip("\n") != answer:
        raise CliError(f"that is not {answer!r}: nothing was erased", code=MISUSED)


def _write(file: Path, done: ErasureReceipt) -> None:
    from bruno_memory_vec.store.files import replace_file

    try:
        replace_file(file, f"{done.to_json()}\n".encode("utf-8", "surrogatepass"))
    except OSError as error:
        raise CliError(
            f"the user was forgotten, and {file} cannot be written: {error.strerror or error}",
            "The store keeps the receipt: memory.erasure_receipts()",
        ) from error


# Rows, and conversations


async def _rows(
    out: Out,
    config: MemoryConfig,
    user: str | None,
    ids: list[str],
    archive: bool,
    yes: bool,
    dry_run: bool,
) -> int:
    from bruno_memory_vec.surfaces.cli.opening import reading, somebody, writing

    async with reading(config, out, embeds=False) as memory:
        if user is not None:
            await somebody(memory, user)
        found = {one: await _row(memory, one, user) for one in ids}
    missing = [one for one, row in found.items() if row is None]
    if missing:
        raise CliError(
            f"there is no message or memory {', '.join(map(repr, missing[:3]))}: nothing was done",
            "See the ids with: bruno-memory-vec list messages, or list memories",
            code=NOTHING_FOUND,
        )
    verb = "archived" if archive else "deleted"
    what = [_told(row) for row in found.values() if row is not None]
    if not dry_run:
        if not yes:
            _may_ask(out, f"{', '.join(map(repr, ids[:3]))} shall be {verb}")
            _tell_rows(out, what, f"would be {verb}")
            _ask(out, f"Are these to be {verb}? Type yes to go on:", "yes")
        async with writing(config, out, embeds=False) as memory:
            await memory.forget(ids, user_id=user, archive=archive)
    if out.as_json:
        out.result({"dry_run": dry_run, "archive": archive, "rows": what})
    else:
        _tell_rows(out, what, f"would be {verb}" if dry_run else verb)
    return 0


async def _row(memory: VectorMemory, id_: str, user: str | None) -> Message | MemoryEntry | None:
    message = await memory.get_message(id_, user_id=user)
    return message if message is not None else await memory.get_memory(id_, user_id=user)


def _told(row: Message | MemoryEntry) -> dict[str, str]:
    from bruno_core.models.message import Message

    kind = "message" if isinstance(row, Message) else "memory"
    return {"id": str(row.id), "kind": kind, "content": row.content}


def _tell_rows(out: Out, rows: list[dict[str, str]], what: str) -> None:
    from bruno_memory_vec.surfaces.cli.display import excerpt

    width = out.console.width
    for row in rows[:_SHOWN]:
        out.lines(f"{row['kind']} {row['id']}", style="dim")
        out.lines(f"  {excerpt(row['content'], set(), 2 * width - 8)}")
    if len(rows) > _SHOWN:
        out.lines(f"... and {len(rows) - _SHOWN:,} more")
    out.lines(f"{counted(len(rows), 'row')} {what}")


async def _conversation(
    out: Out,
    config: MemoryConfig,
    user: str | None,
    conversation: str,
    yes: bool,
    dry_run: bool,
) -> int:
    from bruno_memory_vec.surfaces.cli.opening import no_conversation, reading, writing

    async with reading(config, out, embeds=False) as memory:
        view = memory if user is None else memory.for_user(user)
        about = await view.get_conversation(conversation)
        if about is None:
            await no_conversation(memory, conversation, user)
    what = f"{counted(about.messages, 'message')} of {conversation!r}, of user {about.user_id!r}"
    if not dry_run:
        if not yes:
            _may_ask(out, f"{conversation!r} is to be forgotten")
            out.lines(f"{what}: {about.title}")
            _ask(out, "Delete it? Type the conversation's id to go on:", conversation)
        async with writing(config, out, embeds=False) as memory:
            await memory.for_user(about.user_id).conversations.delete(conversation)
    if out.as_json:
        told = {"conversation_id": conversation, "user_id": about.user_id}
        out.result({"dry_run": dry_run, **told, "messages": about.messages})
    else:
        out.lines(f"{'would delete' if dry_run else 'deleted'} {what}")
    return 0
