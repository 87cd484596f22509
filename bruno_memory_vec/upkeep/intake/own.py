"""Exports of this library among the sources: these are taken in row by row, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability.exported import is_export_file
from bruno_memory_vec.store.store import Store
from bruno_memory_vec.upkeep.exporting.importing import import_export_into
from bruno_memory_vec.upkeep.intake.reading import How
from bruno_memory_vec.upkeep.intake.report import IngestReport
from bruno_memory_vec.upkeep.intake.sources import Source
from bruno_memory_vec.writing.projections import Progress


def is_own(source: Source) -> bool:
    """Whether a source is an export of this library."""
    return source.path is not None and is_export_file(source.path)


async def take_own(
    store: Store,
    sources: Sequence[Source],
    how: How,
    report: IngestReport,
    *,
    dry_run: bool,
    progress: Progress | None,
) -> IngestReport:
    """Take exports of this library in, and add what that did to a report.

    Raises: as :func:`~bruno_memory_vec.upkeep.exporting.importing.import_export_into`.
    """
    if how.replace_user or how.conversation_id is not None:
        raise InvalidInputError(
            "replace_user" if how.replace_user else "conversation_id",
            f"{sources[0].name} is an export of a store, whose rows are taken in as they are",
            fix="Take it in without.",
        )

    async def opened() -> Store:
        return store

    for source in sources:
        assert source.path is not None
        taken = await import_export_into(
            opened,
            source.path,
            user_id=how.user_id,
            only=how.user_id if how.is_view else None,
            dry_run=dry_run,
            progress=progress,
        )
        if taken.problems:
            raise InvalidInputError(
                "source", "; ".join(taken.problems[:3]), fix="Take it in once more."
            )
        report = replace(
            report,
            users=tuple(dict.fromkeys([*report.users, *taken.rows_by_user])),
            conversations=report.conversations + taken.conversations,
            added=report.added + taken.copied,
            unchanged=report.unchanged + taken.present,
            memories=report.memories
            + sum(kinds.get("memory", 0) for kinds in taken.rows_by_user.values()),
        )
    return report
