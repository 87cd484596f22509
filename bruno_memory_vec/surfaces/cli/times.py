"""Times of options: 2026-03-01, yesterday, "last monday", "2 weeks ago"."""

from __future__ import annotations

from datetime import datetime

import typer

from bruno_memory_vec.surfaces.cli.running import say


def moment(text: str) -> datetime:
    """The time that a text says; how words were read is told on standard error."""
    from bruno_memory_vec.typed_time import read_time  # not for --help

    try:
        at, worded = read_time(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if worded:
        say(f"{' '.join(text.split())!r} is {at:%a %Y-%m-%d %H:%M %z}")
    return at
