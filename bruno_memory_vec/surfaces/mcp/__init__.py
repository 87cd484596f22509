"""The memory as an MCP server: tools, resources and a prompt. Importing this loads none of it.

The parts: :mod:`.server` answers the protocol's requests, :mod:`.tools` has the tools,
:mod:`.arguments` and :mod:`.answers` what they take and give, :mod:`.resources` and
:mod:`.prompts` what their names say, :mod:`.opened` the store that is opened meanwhile,
:mod:`.sharing` what servers on one folder pass to each other, :mod:`.quoted` stored text as a model
may read it, :mod:`.transports` stdio and HTTP.

Whose memory it is, the configuration or a token says; no request can name a user.
"""

from __future__ import annotations

from bruno_memory_vec.errors import MissingDependencyError


def require_mcp() -> None:
    """Import what the server needs.

    Raises:
        MissingDependencyError: the package ``mcp`` is not installed, or is an older one.
    """
    try:
        import mcp_types  # noqa: F401
        from mcp.server.lowlevel.server import Server  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("mcp>=2", "mcp", cause=error) from error
