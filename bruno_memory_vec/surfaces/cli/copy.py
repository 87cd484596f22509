"""``copy``: copy a store, or a bruno-memory file, into another store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from bruno_memory_vec.surfaces.cli.options import (
    Anonymise,
    DryRun,
    Json,
    Mapping,
    Merge,
    Mirror,
    NewEmbedder,
    TargetSessions,
    others,
)
from bruno_memory_vec.surfaces.cli.running import FAILED, MISUSED, CliError, Out, execute
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec.privacy.anonymise.anonymiser import Anonymiser
    from bruno_memory_vec.upkeep.copying.report import CopyReport

# Optional[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP045

# More users than these are only counted.
_SHOWN_USERS = 20


def copy(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC", help="The store to copy, by its folder or URL; or bruno-memory:FILE."
        ),
    ],
    target: Annotated[
        str, typer.Argument(metavar="DST", help="Where to: a folder, or the URL of a store.")
    ],
    user: Annotated[
        Optional[str], typer.Option("--user", "-u", metavar="USER", help="Copy only this user.")
    ] = None,
    embedder: NewEmbedder = None,
    merge: Merge = False,
    mirror: Mirror = False,
    dry_run: DryRun = False,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Of a bruno-memory file, leave out what cannot be stored."),
    ] = False,
    anonymise: Anonymise = False,
    mapping: Mapping = None,
    sessions: TargetSessions = None,
    source_sessions: Annotated[
        Optional[str],
        typer.Option(
            "--source-sessions",
            metavar="URL",
            help="The source's sessions.  [default: its own place]",
            show_default=False,
        ),
    ] = None,
    source_key_file: Annotated[
        Optional[Path],
        typer.Option(
            "--source-key-file",
            metavar="FILE",
            help="The key of an encrypted source, if it is not that of the target, --key-file.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Copy a store into another one of any kind: a folder, a Qdrant server, a plug-in's.

    Rows are copied with their vectors, turns, times and counts, and so are sessions, profiles and
    owners. Afterwards every row is read from both and compared by its checksum. A copy that was
    stopped goes on with the same command. The source may be in use meanwhile.
    """

    async def work(out: Out) -> int:
        asked: dict[str, Any] = {
            "user_id": user,
            "embedder": embedder,
            "others": others(merge, mirror),
            "dry_run": dry_run,
            "skip_bad": skip_bad,
            "source_sessions": source_sessions,
            **_key_of(source_key_file),
            **({} if sessions is None else {"sessions": sessions}),
        }
        anonymiser = replacing(anonymise, mapping)
        if anonymiser is not None:
            return await _anonymised(out, source, target, asked, anonymiser, mapping)
        return await _copy(out, source, target, asked)

    execute(json, work)


def _key_of(source_key_file: Path | None) -> dict[str, Any]:
    from bruno_memory_vec.store.keys.master import read_key_file

    return {} if source_key_file is None else {"source_key": read_key_file(source_key_file)}


async def _copy(out: Out, source: str, target: str, asked: dict[str, Any]) -> int:
    from bruno_memory_vec.errors import FingerprintError, problem_and_fix
    from bruno_memory_vec.surfaces.cli.opening import bars
    from bruno_memory_vec.upkeep.copying.run import copy_store

    with bars(out) as progress:
        try:
            report = await copy_store(source, target, progress=progress, **asked)
        except FingerprintError as error:
            problem, _ = problem_and_fix(error)
            raise CliError(
                problem,
                "Make the vectors anew with the target's embedder: --embedder NAME. Or copy into a "
                "new store, and nothing is embedded",
            ) from error
    tell(out, report)
    return 0 if report.ok else FAILED


def replacing(anonymise: bool, mapping: str | None) -> Anonymiser | None:
    """The anonymiser that ``--anonymise`` asks for, whose mapping can be written."""
    if mapping is not None and not anonymise:
        raise CliError("--mapping needs --anonymise", "Give both, or none", code=MISUSED)
    if not anonymise:
        return None
    from bruno_memory_vec.privacy.anonymise.anonymiser import Anonymiser, check_mapping

    if mapping is not None:
        check_mapping(mapping)
    return Anonymiser()


async def _anonymised(
    out: Out,
    source: str,
    target: str,
    asked: dict[str, Any],
    anonymiser: Anonymiser,
    mapping: str | None,
) -> int:
    from bruno_memory_vec.portability.bruno_memory import SCHEME
    from bruno_memory_vec.privacy.anonymise.copying import anonymised_copy_of
    from bruno_memory_vec.surfaces.cli.opening import bars

    unfit = {"--merge or --mirror": asked.pop("others") != "refuse"}
    unfit |= {"--dry-run": asked.pop("dry_run"), "--skip-bad": asked.pop("skip_bad")}
    for option, given in unfit.items():
        if given:
            raise CliError(
                f"{option} does not go together with --anonymise", "Leave one out", code=MISUSED
            )
    if source.startswith(SCHEME):
        raise CliError(
            "--anonymise copies a store, not a bruno-memory file",
            "Copy the file into a store first, then that one with --anonymise",
            code=MISUSED,
        )
    with bars(out) as progress:
        report = await anonymised_copy_of(source, target, anonymiser, progress=progress, **asked)
    if mapping is not None:
        anonymiser.write_mapping(mapping)
    tell(out, report)
    return 0 if report.ok else FAILED


def tell(out: Out, report: CopyReport) -> None:
    """Print the report of a copy, or of an import."""
    if out.as_json:
        out.result(report.to_dict())
        return
    lines = str(report).splitlines()
    users = sorted(report.rows_by_user.items(), key=lambda one: (-sum(one[1].values()), one[0]))
    for name, kinds in users[:_SHOWN_USERS]:
        counts = ", ".join(counted(number, kind) for kind, number in kinds.items())
        lines.append(f"  {name}: {counts}")
    if len(users) > _SHOWN_USERS:
        lines.append(f"  ... and {counted(len(users) - _SHOWN_USERS, 'more user')}")
    out.lines("\n".join(lines))
