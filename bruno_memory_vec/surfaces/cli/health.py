"""``health``: whether a store or a server works, for a probe: by the exit code."""

from __future__ import annotations

import asyncio
import json as json_format
import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from bruno_memory_vec.surfaces.cli.options import Json, Sessions, Store
from bruno_memory_vec.surfaces.cli.running import Out, execute
from bruno_memory_vec.wording import counted

if TYPE_CHECKING:
    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.upkeep.probe import Probe

_SERVER: Final = ("http://", "https://")
# An answer of a server is a line; more is not what answers here.
_LONGEST_ANSWER: Final = 65_536


def health(
    store: Store = None,
    sessions: Sessions = None,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.1, help="Seconds after which it counts as unavailable."),
    ] = 10.0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing: the exit code says it.")
    ] = False,
    json: Json = False,
) -> None:
    """Say whether a store works: exit code 0 ok, 4 degraded, 1 it does not answer.

    It only reads, and works beside a process that writes. --store may also be the address of a
    server (bruno-memory-vec serve), such as http://127.0.0.1:8420: it is asked at /readyz, which
    needs no token. doctor looks closer, and says what to do.
    """
    execute(json, lambda out: _health(out, store, sessions, timeout, quiet))


async def _health(
    out: Out, store: str | None, sessions: str | None, timeout: float, quiet: bool
) -> int:
    from bruno_memory_vec.upkeep.probe import Probe

    began = time.perf_counter()
    if store is not None and store.startswith(_SERVER):
        shown, found = _shown(store), await _of_server(store, timeout)
    else:
        from bruno_memory_vec.surfaces.cli.opening import configuration

        config = configuration(store, sessions=sessions)
        shown, found = _shown(config.url), await _of_store(out, config, timeout)
    found = Probe(found.status, found.problems, time.perf_counter() - began, found.report)
    if out.as_json:
        out.result(
            {
                "store": shown,
                "status": found.status,
                "problems": dict(found.problems),
                "seconds": round(found.seconds, 4),
                "rows": found.report.get("rows", {}).get("rows"),
                "embedder": found.report.get("embedder"),
            }
        )
    elif not quiet:
        _print(out, shown, found)
    return found.exit_code


def _shown(url: str) -> str:
    from bruno_memory_vec.config import masked

    return masked(url)


async def _of_store(out: Out, config: MemoryConfig, timeout: float) -> Probe:
    from bruno_core.utils.exceptions import BrunoError

    from bruno_memory_vec.surfaces.cli.opening import reading
    from bruno_memory_vec.upkeep.probe import Probe, probe

    async def ask() -> Probe:
        async with reading(config, out, embeds=False) as memory:
            return await probe(memory)

    try:
        return await asyncio.wait_for(ask(), timeout)
    except asyncio.TimeoutError:
        return Probe("unavailable", {"store": f"gave no answer in {timeout:g} s"})
    except BrunoError as error:
        return Probe("unavailable", {"store": _shown(str(error))})


async def _of_server(url: str, timeout: float) -> Probe:
    """As the server at an address says; it is asked in a thread."""
    from bruno_memory_vec.upkeep.probe import Probe

    try:
        status = await asyncio.to_thread(_asked, url, timeout)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        return Probe("unavailable", {"server": f"does not answer: {_shown(str(reason))}"})
    if status == "ok":
        return Probe("ok")
    if status == "degraded":
        return Probe("degraded", {"store": "is degraded: /v1/health of the server says why"})
    if status in ("closed", "unavailable"):
        return Probe("unavailable", {"store": f"the server says that it is {status}"})
    return Probe("unavailable", {"server": "what answers there is no bruno-memory-vec"})


def _asked(url: str, timeout: float) -> str:
    from urllib.error import HTTPError
    from urllib.parse import urlsplit
    from urllib.request import ProxyHandler, Request, build_opener

    parts = urlsplit(url)
    # Without a name and a password, which a probe needs none of, and past any proxy.
    base = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    request = Request(f"{base}/readyz", headers={"Accept": "application/json"})  # noqa: S310 - http
    try:
        with build_opener(ProxyHandler({})).open(request, timeout=timeout) as answer:
            body = answer.read(_LONGEST_ANSWER)
    except HTTPError as refused:
        with refused:
            body = refused.read(_LONGEST_ANSWER)
    try:
        told = json_format.loads(body)
    except ValueError:
        return ""
    status = told.get("status") if isinstance(told, dict) else None
    return status if isinstance(status, str) else ""


def _print(out: Out, shown: str, found: Probe) -> None:
    from rich.text import Text

    from bruno_memory_vec.prompts.hidden_characters import marked

    style = {"ok": "green", "degraded": "yellow"}.get(found.status, "bold red")
    line = Text(found.status, style=style)
    rows = found.report.get("rows", {}).get("rows")
    held = "" if rows is None else f"  {counted(rows, 'row')}"
    line.append(f"  {marked(shown)}{held}  {found.seconds * 1000:.0f} ms", style="default")
    out.console.print(line, soft_wrap=True)
    for part, problem in found.problems.items():
        out.console.print(Text(f"{marked(part)}: {marked(problem)}"), soft_wrap=True)
