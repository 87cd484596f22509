"""How what was typed is read, and how help and mistakes are shown on a terminal of any width."""

from __future__ import annotations

import re
import shutil
import sys
from difflib import get_close_matches
from functools import partial
from typing import Any

from typer.core import TyperCommand, TyperGroup

from bruno_memory_vec.surfaces.cli.running import INTERRUPTED, say

# click itself knows no width below 50, and leaves the second column what the first has left.
_NARROW, _WIDEST = 60, 80
_FIRST_COLUMN = 10
_LONG = 30
#: Fewer signs than this hold few sentences.
_SHORT_HELP = 45
_CHOICES = re.compile(r"(.*) <(?:list\[)?([\w-]+(?:\|[\w-]+)+)\]?>")


def _fit(formatter: Any) -> None:
    """Let help be written within the width of the terminal."""
    columns = shutil.get_terminal_size().columns
    formatter.width = max(min(columns, _WIDEST) - (1 if columns < _NARROW else 2), 20)
    write = formatter.write_dl
    if columns < _NARROW:
        write = partial(write, col_max=_FIRST_COLUMN)

    def write_dl(rows: Any, *given: Any, **named: Any) -> None:
        write([_told(*row) for row in rows], *given, **named)

    formatter.write_dl = write_dl


def _told(name: str, text: str) -> tuple[str, str]:
    """An option and its help; many choices stand in the help."""
    choices = _CHOICES.fullmatch(name)
    if choices is None or len(name) <= _LONG:
        return name, text
    before, names = choices[1], choices[2].replace("|", ", ")
    return f"{before} NAME" if before.startswith("-") else before, f"{text}  [{names}]"


class Command(TyperCommand):
    """A command."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Its help, within the width of the terminal."""
        _fit(formatter)
        super().format_help(ctx, formatter)

    def get_short_help_str(self, limit: int = 45) -> str:
        """What the list of commands says of it: its first sentence, or a part of it that is whole.

        On a narrow terminal the part before a colon, which is broken into lines.
        """
        sentence = " ".join((self.help or "").split()).partition(". ")[0].rstrip(".")
        if sentence and limit < _SHORT_HELP:
            return f"{re.split('[:;] ', sentence)[0]}."
        if len(sentence) >= limit:
            for marks in (": ", "; "), (", ",):
                end = max(sentence.rfind(mark, 0, limit) for mark in marks)
                if end > 0:
                    return f"{sentence[:end]}."
        return super().get_short_help_str(limit)


class Commands(TyperGroup):
    """All commands."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The list of them, within the width of the terminal."""
        _fit(formatter)
        super().format_help(ctx, formatter)

    def main(self, args: Any = None, *more: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        """Run the command that the arguments name; what cannot be read is told as other errors."""
        run = partial(super().main, args, *more, **{**extra, "standalone_mode": False})
        if not standalone_mode:
            return run()
        try:
            code = run()
        except Exception as error:
            sys.exit(_tell(error))
        sys.exit(code if isinstance(code, int) else 0)


def _tell(error: Exception) -> int:
    """Tell an error of the parser, and return its exit code; any other one is raised again."""
    if type(error).__name__ == "Abort":
        say("interrupted")
        return INTERRUPTED
    # By what it has and not by its class, which lies elsewhere in earlier releases of typer.
    message = getattr(error, "format_message", None)
    if message is None:
        raise error
    code: int = getattr(error, "exit_code", 2)
    context = getattr(error, "ctx", None)
    said = message()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(said, file=sys.stderr)  # noqa: T201 - the help, which has its width
        return code
    unknown = re.fullmatch(r"No such command '(.*)'\.", said)
    if unknown is not None and context is not None:
        # Later releases of typer say it themselves.
        close = get_close_matches(unknown[1], list(getattr(context.command, "commands", ())))
        said += f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    say(f"error: {said[:1].lower()}{said[1:]}")
    if context is not None:
        say(f"See: {context.command_path} --help")
    return code
