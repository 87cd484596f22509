"""``token``: who may call a server."""

from __future__ import annotations

import shlex
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, List, Optional, cast  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli.options import Json, User
from bruno_memory_vec.surfaces.cli.running import MISUSED, CliError, Out, execute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bruno_memory_vec.surfaces.http.tokens import Access, Token, Tokens

# Optional[X] and List[X]: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP006, UP045


class TokenRole(str, Enum):
    """What a token may do: the roles of ``for_user``."""

    reader = "reader"
    member = "member"
    admin = "admin"


def token(
    tokens: Annotated[Path, typer.Option("--tokens", metavar="FILE", help="The file of tokens.")],
    user: User = None,
    role: Annotated[
        TokenRole,
        typer.Option("--role", help="A reader only reads; an admin may act for anybody."),
    ] = TokenRole.member,
    name: Annotated[
        Optional[str],
        typer.Option("--name", metavar="NAME", help="What it is called, such as a program's name."),
    ] = None,
    space: Annotated[
        Optional[List[str]],
        typer.Option(
            "--space", metavar="NAME=read|write", help="A shared space that it may use, too."
        ),
    ] = None,
    days: Annotated[
        Optional[float],
        typer.Option("--days", metavar="DAYS", help="How long it counts.  [default: for ever]"),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="List the tokens of the file.")] = False,
    revoke: Annotated[
        Optional[str],
        typer.Option("--revoke", metavar="NAME", help="End a token at once."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a token for `serve`: whose the calls with it are, and what they may do.

    The token is shown once; the file has only its hash.
    """

    async def work(out: Out) -> int:
        from bruno_memory_vec.surfaces.http.tokens import Tokens

        chosen = [one for one in (user, revoke, show or None) if one is not None]
        if len(chosen) != 1:
            raise CliError(
                "nothing says what to do" if not chosen else "that is several things at once",
                "Give one of --user USER, --list and --revoke NAME",
                code=MISUSED,
            )
        kept = Tokens(tokens)
        if show:
            _list(out, kept.known())
        elif revoke is not None:
            gone = kept.revoke(revoke)
            if out.as_json:
                out.result({"revoked": gone.name})
            else:
                out.say(f"{gone.name} counts no more")
        else:
            assert user is not None
            spaces = _spaces(space or [])
            made = kept.create(user, role=role.value, name=name, spaces=spaces, days=days)
            _make(out, kept, *made)
        return 0

    execute(json, work)


def opened_tokens(out: Out, path: Path) -> Tokens:
    """The tokens of a file that a server is to obey; warns where others may read who has them.

    Raises:
        InvalidInputError: the file cannot be read as one of tokens, or others may write it.
    """
    from bruno_memory_vec.surfaces.http.tokens import Tokens

    kept = Tokens(path)
    if kept.is_readable_by_others:
        out.say(
            f"warning: other users of this machine may read {path}, which names who has tokens. "
            f"Keep it to its owner: chmod 600 {shlex.quote(str(path))}"
        )
    return kept


def _make(out: Out, kept: Tokens, text: str, made: Token) -> None:
    if out.as_json:
        out.result({"token": text, **_plain(made)})
        return
    print(text)  # noqa: T201 - the result itself, for a program that reads it
    out.say(f"It is called {made.name}, and is shown only this once; {kept.path} has its hash.")


def _list(out: Out, tokens: Sequence[Token]) -> None:
    if out.as_json:
        out.result({"tokens": [_plain(token) for token in tokens]})
        return
    from rich.table import Table
    from rich.text import Text

    from bruno_memory_vec.prompts.hidden_characters import marked

    if not tokens:
        out.say("there are no tokens")
        return
    grid = Table.grid(padding=(0, 2))
    for one in tokens:
        until = "" if one.expires_at is None else f"until {one.expires_at:%Y-%m-%d}"
        if not one.is_valid:
            until = f"expired {one.expires_at:%Y-%m-%d}"
        spaces = ", ".join(f"{space}: {access}" for space, access in one.spaces.items())
        cells = (one.name, one.user_id, one.role, spaces, until)
        grid.add_row(*(Text(marked(cell)) for cell in cells))
    out.console.print(grid)


def _plain(token: Token) -> dict[str, object]:
    return {name: value for name, value in token.to_dict().items() if name != "sha256"}


def _spaces(pairs: Sequence[str]) -> dict[str, Access]:
    found: dict[str, Access] = {}
    for pair in pairs:
        name, separator, access = pair.rpartition("=")
        if not separator:
            raise CliError(
                f"--space: {pair!r} is no pair", "Write NAME=read or NAME=write", code=MISUSED
            )
        found[name] = cast("Access", access)  # whatever it is: it is checked with the rest
    return found
