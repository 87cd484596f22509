"""docs/mcp.md: each configuration of a client in it starts the server, each command is one."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from mcp import Client, StdioServerParameters

from tests.cli.support import run_here

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")


def servers() -> list[dict[str, Any]]:
    """What each block of configuration says of the server."""
    found = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
    found += [tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)]
    roots = ("mcpServers", "servers", "context_servers", "mcp_servers")
    named = [next(one[root] for root in roots if root in one) for one in found]
    assert [list(one) for one in named] == [["memory"]] * len(named)
    return [one["memory"] for one in named]


def commands() -> list[list[str]]:
    """The commands in the blocks of shell, without the comments."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_every_option_on_the_page_is_one_of_the_command() -> None:
    told = run_here("mcp", "--help").out
    ours = [line for line in commands() if line[:2] == ["bruno-memory-vec", "mcp"]]
    claude = [line[line.index("--") + 1 :] for line in commands() if "--" in line]
    stdio = [["bruno-memory-vec", *one["args"]] for one in servers() if "args" in one]
    assert len(ours) >= 2
    assert len(claude) >= 1
    assert len(stdio) >= 4
    for line in (*ours, *claude, *stdio):
        assert line[:2] == ["bruno-memory-vec", "mcp"]
        for option in line:
            if option.startswith("--"):
                assert option in told


def test_what_is_reached_over_http_is_where_the_server_is() -> None:
    from bruno_memory_vec.surfaces.cli.mcp import DEFAULT_PORT

    url = f"http://127.0.0.1:{DEFAULT_PORT}/mcp"
    remote = [one for one in servers() if "url" in one]
    assert remote
    for one in remote:
        assert one["url"] == url
        assert one["headers"]["Authorization"].startswith("Bearer ")
    for line in commands():
        if "--transport" in line:
            assert url in line


@pytest.mark.slow
async def test_the_command_of_every_configuration_starts_a_server(tmp_path: Path) -> None:
    stdio = [one for one in servers() if "command" in one]
    kept = {name: value for name, value in os.environ.items() if "BRUNO" not in name}
    known = {(one["command"], *one["args"]) for one in stdio}
    for command, *given in known:
        assert command == "bruno-memory-vec"
        args = [str(tmp_path) if one == "/home/ana/memory" else one for one in given]
        assert str(tmp_path) in args
        run = StdioServerParameters(
            command=sys.executable,
            args=["-m", "bruno_memory_vec", *args],
            env={**kept, "PYTHONPATH": str(ROOT)},
        )
        async with Client(run) as client:
            tools = [one.name for one in (await client.list_tools()).tools]
            for name in tools:
                assert f"| `{name}` |" in PAGE
            assert not (await client.call_tool("list", {})).is_error
