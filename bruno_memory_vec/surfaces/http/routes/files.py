"""Whole files: exports in and out."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import Query, Request
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.errors import InvalidInputError, problem_and_fix
from bruno_memory_vec.surfaces.http.caller import Caller
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.problems import Conflict
from bruno_memory_vec.surfaces.http.shapes import When

router = made_router("files")

Format = Literal["jsonl", "csv", "parquet", "markdown"]
ExportedKind = Literal["message", "memory", "session", "profile"]
_SUFFIX: Final = {"jsonl": "jsonl", "csv": "csv", "parquet": "parquet", "markdown": "md"}
_MEDIA: Final = {
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "markdown": "text/markdown; charset=utf-8",
}
# What an encrypted store holds must not lie on a disk; this folder is in memory.
_IN_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - mkdtemp makes a folder of its own there
_UPLOAD: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "The file itself, as it is.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get(
    "/export",
    response_class=FileResponse,
    responses={
        200: {
            "description": "The file.",
            "content": {media: {} for media in _MEDIA.values()},
        }
    },
)
async def export(
    caller: Caller,
    format: Annotated[Format, Query(description="JSON lines come back whole.")] = "jsonl",  # noqa: A002
    conversation_id: Annotated[str | None, Query(min_length=1, max_length=1024)] = None,
    since: Annotated[When | None, Query()] = None,
    until: Annotated[When | None, Query()] = None,
    kinds: Annotated[list[ExportedKind] | None, Query()] = None,
    vectors: Annotated[bool, Query(description="Also the vectors.")] = False,
) -> FileResponse:
    """What the store holds of a user, as a file.

    A server without tokens gives everybody's where nobody is named.
    """
    folder = await asyncio.to_thread(_scratch, caller.memory)
    try:
        path = folder / f"memory.{_SUFFIX[format]}"
        await caller.memory.export(
            path,
            format=format,
            user_id=caller.user_id,
            conversation_id=conversation_id,
            since=since,
            until=until,
            kinds=kinds,
            vectors=vectors,
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return _SentOnce(path, media_type=_MEDIA[format], filename=path.name)


@router.post("/ingest", openapi_extra=_UPLOAD)
async def ingest(
    caller: Caller,
    request: Request,
    filename: Annotated[
        str, Query(max_length=200, description="Its name; the ending tells the format.")
    ] = "upload",
    format: Annotated[str, Query(max_length=50, description="Which format it is.")] = "auto",  # noqa: A002
    conversation_id: Annotated[str | None, Query(min_length=1, max_length=1024)] = None,
    replace_user: Annotated[
        bool, Query(description="The user counts more than those that the file names.")
    ] = False,
    dates: Annotated[
        Literal["day-first", "month-first"] | None, Query(description="Of 3/4/2024.")
    ] = None,
    skip_bad: Annotated[bool, Query(description="Store the rest of a bad file.")] = False,
    dry_run: Annotated[bool, Query(description="Only say what would be stored.")] = False,
) -> dict[str, Any]:
    """Take in an export of chats, or notes: all of it or nothing, and of what is there the changes.

    The answer counts what was `added`, `edited` and `unchanged`.
    """
    async with _uploaded(caller.memory, request, filename) as path:
        report = await caller.memory.ingest(
            path,
            format=format,
            user_id=caller.user_id,
            conversation_id=conversation_id,
            replace_user=replace_user,
            dates=dates,
            skip_bad=skip_bad,
            dry_run=dry_run,
        )
    return _without(report.to_dict(), "sources", "bytes_before", "bytes_after")


@router.post("/import", openapi_extra=_UPLOAD)
async def import_export(
    caller: Caller,
    request: Request,
    dry_run: Annotated[bool, Query(description="Only say what would be written.")] = False,
) -> dict[str, Any]:
    """Take in again what `GET /v1/export` gave as JSON lines: every row as it was."""
    async with _uploaded(caller.memory, request, "export.jsonl") as path:
        report = await caller.memory.import_export(path, user_id=caller.user_id, dry_run=dry_run)
    return _without(report.to_dict(), "source", "target")


class _SentOnce(FileResponse):
    """A file in a folder of its own, which goes when it was sent, or when that was broken off."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            shutil.rmtree(Path(self.path).parent, ignore_errors=True)


@asynccontextmanager
async def _uploaded(memory: VectorMemory, request: Request, filename: str) -> AsyncIterator[Path]:
    """The body of a request in a file, which is gone afterwards."""
    folder = await asyncio.to_thread(_scratch, memory)
    try:
        # Of the name only the end is used, and only letters of it.
        ending = "".join(re.findall(r"\.[A-Za-z0-9]{1,10}", filename)[-2:])
        path = folder / f"upload{ending}"
        with path.open("wb") as file:
            async for chunk in request.stream():
                await asyncio.to_thread(file.write, chunk)
        if not path.stat().st_size:
            raise InvalidInputError("body", "is empty", fix="Send the file as the body.")
        try:
            yield path
        except InvalidInputError as error:
            # Where it lay for a moment says nothing to who sent it.
            problem, fix = problem_and_fix(error)
            told = problem.replace(str(path), "it").replace(path.name, "it").partition(": ")[2]
            raise InvalidInputError("body", told or problem, fix=fix, cause=error) from error
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _scratch(memory: VectorMemory) -> Path:
    """A folder that only this process's user may read.

    Raises:
        Conflict: the store is encrypted, and there is no folder in memory.
    """
    config = memory.config
    if config.key is None and config.key_file is None:
        return Path(tempfile.mkdtemp(prefix="bruno-memory-"))
    if not _IN_MEMORY.is_dir():
        raise Conflict(
            "the store is encrypted, and this server has no folder in memory for the file",
            "Use the command line on the server: bruno-memory-vec export.",
        )
    return Path(tempfile.mkdtemp(prefix="bruno-memory-", dir=_IN_MEMORY))


def _without(report: dict[str, Any], *names: str) -> dict[str, Any]:
    """A report without the names of files on the server."""
    return {name: value for name, value in report.items() if name not in names}
