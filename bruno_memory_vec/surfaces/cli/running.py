"""Running, printing and failing, common to all commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

import typer

if TYPE_CHECKING:
    from rich.console import Console

FAILED = 1
MISUSED = 2
NOTHING_FOUND = 3
UNSOUND = 4
INTERRUPTED = 130

#: Advice for the command line, where an error's own advice is about Python.
_FIXES = {
    "StoreLockedError": "Wait for it, or stop it. recall, list, timeline, show, stats, doctor and "
    "what has --dry-run work beside it",
    "FingerprintError": "Name the store's own embedder with --embedder, or move the store to this "
    "one with: bruno-memory-vec reembed --embedder NAME",
}
#: Wider lines are hard to read.
_WIDEST = 100


class CliError(Exception):
    """A command cannot go on.

    Args:
        problem: what is wrong.
        fix: what to type or mend.
        listing: lines to show between the two.
        code: the exit code.
        details: more for ``--json``.
    """

    def __init__(
        self,
        problem: str,
        fix: str = "",
        *,
        listing: Sequence[str] = (),
        code: int = FAILED,
        details: Any = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.fix = fix
        self.listing = listing
        self.code = code
        self.details = details


class Report(Protocol):
    """What a call did."""

    def to_dict(self) -> dict[str, Any]:
        """It as data."""
        ...


class Out:
    """Where a command's result goes: a terminal, a file or, with ``--json``, a program."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    @property
    def console(self) -> Console:
        """Standard output, for people."""
        from bruno_memory_vec.surfaces.cli.display import Page

        # A file gets 80 columns, unless COLUMNS says otherwise, and no blanks at the end of lines.
        file = sys.stdout if sys.stdout.isatty() else cast("IO[str]", _Trimmed(sys.stdout))
        console = Page(file=file, highlight=False, emoji=False, markup=False)
        console.width = min(console.width, _WIDEST)
        return console

    @property
    def live(self) -> bool:
        """Whether output goes to a terminal, so that a progress bar makes sense."""
        return not self.as_json and sys.stdout.isatty() and sys.stderr.isatty()

    def result(self, data: Any) -> None:
        """Print the one JSON document of a command."""
        from bruno_memory_vec.prompts.hidden_characters import escaped

        encoding = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "")
        document = json.dumps(data, indent=2, ensure_ascii=encoding != "utf8", default=str)
        print(escaped(document))  # noqa: T201 - the result itself

    def report(self, report: Report, **more: Any) -> None:
        """Print what a command did: its data with ``--json``, else what it says of itself.

        Args:
            report: as most of our calls return one.
            more: what stands before it in the data.
        """
        if self.as_json:
            self.result({**more, **report.to_dict()})
        else:
            self.lines(str(report))

    def lines(self, text: str, style: str = "") -> None:
        """Print lines for people.

        They break between words on a terminal, and where ``COLUMNS`` asks for it; in a file or a
        pipe each is one line.
        """
        from rich.text import Text

        from bruno_memory_vec.prompts.hidden_characters import marked
        from bruno_memory_vec.surfaces.cli.display import wrapped

        console, narrow = self.console, sys.stdout.isatty() or "COLUMNS" in os.environ
        for line in marked(text).split("\n"):
            for part in wrapped(line, console.width) if narrow else [line]:
                console.print(Text(part, style=style), soft_wrap=True)

    def following(self, after: str) -> None:
        """Tell how to get the next page of a list: on a line of its own, to be copied."""
        from rich.text import Text

        self.lines("the next page: add to the command", style="dim")
        self.console.print(Text(f"--after {shlex.quote(after)}", style="dim"), soft_wrap=True)

    def say(self, text: str) -> None:
        """Print something for people that is not the result."""
        say(text)


def say(text: str) -> None:
    """Print something for people on standard error; on a terminal it breaks between words."""
    from bruno_memory_vec.prompts.hidden_characters import marked

    said = marked(text)
    if sys.stderr.isatty():
        from bruno_memory_vec.surfaces.cli.display import wrapped

        width = min(shutil.get_terminal_size().columns, _WIDEST)
        said = "\n".join(part for line in said.split("\n") for part in wrapped(line, width))
    print(said, file=sys.stderr)  # noqa: T201 - a command line speaks through it


class _Trimmed:
    """A text stream whose lines do not end in blanks; each write has whole lines."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write("\n".join(line.rstrip(" ") for line in text.split("\n")))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def execute(as_json: bool, work: Callable[[Out], Coroutine[Any, Any, int]]) -> None:
    """Run a command and end with its exit code; our errors become a message, not a traceback."""
    from bruno_core.utils.exceptions import BrunoError

    from bruno_memory_vec.config import masked
    from bruno_memory_vec.errors import problem_and_fix

    out = Out(as_json)
    try:
        code = asyncio.run(work(out))
        sys.stdout.flush()
    except CliError as error:
        code = error.code
        details = {} if error.details is None else {"details": error.details}
        _fail(out, type(error).__name__, error.problem, error.fix, details, error.listing)
    except BrunoError as error:
        code = FAILED
        name = type(error).__name__
        # Errors hide secrets themselves; another package's engine may not.
        problem, fix = map(masked, problem_and_fix(error))
        _fail(out, name, problem, _FIXES.get(name, fix), {})
    except KeyboardInterrupt:
        code = INTERRUPTED
        out.say("interrupted")
    except BrokenPipeError:
        # The reader, such as `head`, has closed the pipe.
        _let_go_of_stdout()
        code = 0
    except OSError as error:
        code = FAILED
        _let_go_of_stdout()
        _fail(Out(as_json=False), "OSError", str(error), "", {})
    raise typer.Exit(code)


def _let_go_of_stdout() -> None:
    # Stdout cannot be written any more, and Python would report that again at exit.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(
    out: Out,
    kind: str,
    problem: str,
    fix: str,
    details: dict[str, Any],
    listing: Sequence[str] = (),
) -> None:
    out.say(f"error: {problem}.")
    for line in listing:
        out.say(f"  {line}")
    if fix:
        # No full stop behind a command, which would be copied with it.
        command = ": bruno-memory-vec " in fix or ": pip install " in fix
        ends = fix.endswith((".", ")")) or "\n" in fix or command
        out.say(fix if ends else f"{fix}.")
    if out.as_json:
        # With --json the error also goes to standard output.
        out.result({"error": {"type": kind, "message": problem, "fix": fix, **details}})


def quieten_logs() -> None:
    """Send bruno-core's logs to stderr, from WARNING on; its default is stdout, and everything."""
    import structlog

    # LanceDB's own log goes to stderr, and warns of harmless things such as a new table.
    os.environ.setdefault("LANCEDB_LOG", "error")

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )
