"""``--key-file``, which every command has: the key of an encrypted store, by the name of its file.

The key itself never stands on a command line, which other users of the machine can read.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

#: The variable that names the file, too.
VARIABLE = "BRUNO_MEMORY_KEY_FILE"

# Optional[X]: typer evaluates this on Python 3.10 too.
KeyFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(
        "--key-file",
        metavar="FILE",
        help=f"The file with the key of an encrypted store.  [default: {VARIABLE}]",
        show_default=False,
    ),
]


def with_key_file(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes ``--key-file``, too, which counts as the variable does."""

    @functools.wraps(command)
    def wrapped(*, key_file: Path | None = None, **options: Any) -> None:
        before = os.environ.get(VARIABLE)
        if key_file is not None:
            os.environ[VARIABLE] = str(key_file)
        try:
            command(**options)
        finally:
            if key_file is not None:
                os.environ.pop(VARIABLE)
                if before is not None:
                    os.environ[VARIABLE] = before

    # Not by get_type_hints: on Python 3.10 it puts Optional around what has None for its default,
    # and typer would see no option in it.
    own = inspect.signature(command, eval_str=True)
    parameters = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own.parameters.values()
    ]
    added = inspect.Parameter(
        "key_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=KeyFile
    )
    # Before --json, which is the last of each.
    at = next((i for i, one in enumerate(parameters) if one.name == "json"), len(parameters))
    parameters.insert(at, added)
    wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
    del wrapped.__wrapped__  # or typer would read the signature of what is inside
    return wrapped
