"""The commands, put together."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from bruno_memory_vec._version import __version__
from bruno_memory_vec.surfaces.cli import (
    add,
    analytics,
    audit,
    backup,
    compress,
    copy,
    demo,
    doctor,
    encryption,
    export,
    forget,
    health,
    ingest,
    listing,
    maintain,
    mcp,
    migrate,
    pin,
    recall,
    reembed,
    restore,
    retention,
    running,
    serve,
    show,
    snapshot,
    stats,
    timeline,
    token,
)
from bruno_memory_vec.surfaces.cli.keys import with_key_file
from bruno_memory_vec.surfaces.cli.parsing import Command, Commands

if TYPE_CHECKING:
    from bruno_memory_vec.errors import InvalidInputError

_HELP = """The memory of an AI assistant, in a folder.

Begin with: bruno-memory-vec demo
"""

_EPILOG = """Exit codes: 0 all is well; 1 an error, told on stderr with what to do about it;
2 the command was not typed right; 3 nothing was found; 4 doctor or health found a problem;
130 Ctrl-C.

Every option can be asked of a command: bruno-memory-vec recall --help. Settings come from
BRUNO_MEMORY_ variables too, such as BRUNO_MEMORY_URL. With --install-completion a shell completes
commands, options, users and conversations."""

#: The commands of other packages: a typer function each, by the command's name.
COMMANDS = "bruno_memory_vec.commands"

app = typer.Typer(
    name="bruno-memory-vec",
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    cls=Commands,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"bruno-memory-vec {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        # Optional and not a union: typer reads the annotation, and on Python 3.10 too.
        Optional[bool],  # noqa: UP045
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and end."
        ),
    ] = None,
) -> None:
    running.quieten_logs()


for command in (
    demo.demo,
    ingest.ingest,
    recall.recall,
    add.add,
    listing.list_,
    show.show,
    timeline.timeline,
    stats.stats,
    mcp.mcp,
    analytics.analytics,
    doctor.doctor,
    health.health,
    maintain.maintain,
    pin.pin,
    pin.unpin,
    forget.forget,
    retention.retention,
    export.export,
    snapshot.snapshot,
    backup.backup,
    restore.restore,
    migrate.migrate,
    compress.compress,
    audit.audit,
    copy.copy,
    reembed.reembed,
    encryption.encrypt,
    encryption.decrypt,
    encryption.rotate_key,
    serve.serve,
    token.token,
):
    name = command.__name__.rstrip("_").replace("_", "-")
    app.command(name, cls=Command, epilog=_EPILOG.partition("\n\n")[0])(with_key_file(command))


def run() -> None:
    """Run the command that ``sys.argv`` names."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            # Characters that the terminal cannot show are replaced.
            reconfigure(errors="replace")
    if entry_points(group=COMMANDS):
        _add_others()
    app()


def _add_others() -> None:
    from bruno_memory_vec.errors import InvalidInputError  # these take too long for --help
    from bruno_memory_vec.plugins import Plugins

    commands = Plugins(COMMANDS, field="command", what="command")
    for name in commands.names():
        try:
            app.command(name)(commands.load(name))
        except InvalidInputError as error:
            # The other commands work all the same.
            app.command(name)(_broken(error))


def _broken(error: InvalidInputError) -> Callable[[], None]:
    async def fail(out: running.Out) -> int:
        raise error

    def broken() -> None:
        """It cannot be loaded."""
        running.execute(False, fail)

    return broken
