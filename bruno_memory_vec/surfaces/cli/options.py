"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, List, NoReturn, Optional  # noqa: UP035

import typer

from bruno_memory_vec.surfaces.cli import completing
from bruno_memory_vec.surfaces.cli.running import MISUSED, CliError
from bruno_memory_vec.surfaces.cli.times import moment

if TYPE_CHECKING:
    from bruno_memory_vec.upkeep.copying.run import Others

# Optional[X] and List[X] throughout: typer evaluates these on Python 3.10 too.
# ruff: noqa: UP006, UP045


class Kind(str, Enum):
    """What a row is."""

    message = "message"
    memory = "memory"


class Role(str, Enum):
    """Who spoke: bruno-core's ``MessageRole``, not imported so that --help is fast."""

    system = "system"
    user = "user"
    assistant = "assistant"
    function = "function"
    tool = "tool"


class MemoryType(str, Enum):
    """What a memory is: bruno-core's ``MemoryType``."""

    short_term = "short_term"
    long_term = "long_term"
    episodic = "episodic"
    semantic = "semantic"
    procedural = "procedural"
    fact = "fact"


class Strategy(str, Enum):
    """How to find: the names of ``recall.strategies``."""

    hybrid = "hybrid"
    fulltext = "fulltext"
    semantic = "semantic"
    exact = "exact"
    temporal = "temporal"


class Order(str, Enum):
    """Which end of a timeline comes first."""

    newest = "newest"
    oldest = "oldest"


#: The format of a database file of the package bruno-memory, which is imported and not read.
BRUNO_MEMORY = "bruno-memory"


def named(**settings: str | None) -> dict[str, str]:
    """The settings that options name: those that are not None."""
    return {name: value for name, value in settings.items() if value is not None}


def file_format(name: str) -> str:
    """A format that this package reads, or another one."""
    from bruno_memory_vec.portability import formats

    if name not in ("auto", BRUNO_MEMORY) and name not in formats():
        known = (*formats(), BRUNO_MEMORY)
        raise typer.BadParameter(f"{name!r} is none of {', '.join(known)}")
    return name


def metadata(pairs: Iterable[str]) -> dict[str, str | float | bool]:
    """``KEY=VALUE`` texts as a dict. A value that is JSON of a text, a number or a truth value is
    that; any other is the text itself."""
    found: dict[str, str | float | bool] = {}
    for text in pairs:
        key, separator, value = text.partition("=")
        if not separator:
            raise typer.BadParameter(f"{text!r} has no value: write KEY=VALUE, as in project=x")
        if key in found:
            raise typer.BadParameter(f"{key!r} is given twice, and a row has one value of it")
        try:
            parsed: Any = json.loads(value, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            parsed = value
        found[key] = parsed if isinstance(parsed, (str, int, float)) else value
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def others(merge: bool, mirror: bool) -> Others:
    """What becomes of rows that only the target has.

    Raises:
        CliError: both options are given.
    """
    if merge and mirror:
        raise CliError("--merge and --mirror exclude each other", "Give one", code=MISUSED)
    return "keep" if merge else "remove" if mirror else "refuse"


Store = Annotated[
    Optional[str],
    typer.Option(
        "--store",
        "-s",
        metavar="URL",
        help="The store: a folder, or the URL of a server, such as qdrant://host:6333.  "
        "[default: BRUNO_MEMORY_URL, else bruno-memory.toml, else ./bruno-memory]",
        show_default=False,
    ),
]
Sessions = Annotated[
    Optional[str],
    typer.Option(
        "--sessions",
        metavar="URL",
        help="Its sessions, if they are not beside the rows, such as redis://host:6379.  "
        "[default: BRUNO_MEMORY_SESSIONS]",
        show_default=False,
    ),
]
User = Annotated[
    Optional[str],
    typer.Option(
        "--user",
        "-u",
        metavar="USER",
        help="Only this user's.",
        autocompletion=completing.users,
    ),
]
Conversation = Annotated[
    Optional[str],
    typer.Option(
        "--conversation",
        "-c",
        metavar="ID",
        help="Only this conversation.",
        autocompletion=completing.conversations,
    ),
]
Kinds = Annotated[
    Optional[List[Kind]],
    typer.Option("--kind", metavar="KIND", help="Only these: message, or memory."),
]
Roles = Annotated[
    Optional[List[Role]],
    typer.Option(
        "--role",
        metavar="ROLE",
        help="Only what these said: user, assistant, system, function, tool; several may be given.",
    ),
]
Metadata = Annotated[
    Optional[List[str]],
    typer.Option(
        "--metadata",
        "-m",
        metavar="KEY=VALUE",
        help="What stands in its metadata; several may be given.",
    ),
]
MemoryTypes = Annotated[
    Optional[List[MemoryType]],
    typer.Option(
        "--type",
        metavar="TYPE",
        help="Only memories of these types: short_term, long_term, episodic, semantic, procedural, "
        "fact; several may be given.",
    ),
]
Tags = Annotated[
    Optional[List[str]],
    typer.Option("--tag", metavar="TAG", help="Only with any of these tags."),
]
Categories = Annotated[
    Optional[List[str]],
    typer.Option("--category", metavar="NAME", help="Only of any of these categories."),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many.")]
After = Annotated[
    Optional[str],
    typer.Option("--after", metavar="NEXT", help="The next page: `next` of the one before."),
]
Archived = Annotated[bool, typer.Option("--archived", help="Also what was archived.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Merge = Annotated[
    bool, typer.Option("--merge", help="Keep rows that are there and that the source lacks.")
]
Mirror = Annotated[
    bool, typer.Option("--mirror", help="Remove rows that are there and that the source lacks.")
]
NewEmbedder = Annotated[
    Optional[str],
    typer.Option(
        "--embedder",
        metavar="NAME",
        help="Make the vectors anew with this embedder. Without it they are copied.",
    ),
]
TargetSessions = Annotated[
    Optional[str],
    typer.Option(
        "--sessions",
        metavar="URL",
        help="The sessions of the store that is written.  "
        "[default: BRUNO_MEMORY_SESSIONS, else its own place]",
        show_default=False,
    ),
]
Anonymise = Annotated[
    bool,
    typer.Option(
        "--anonymise", help="Replace names, addresses, numbers and dates; not in the store itself."
    ),
]
Mapping = Annotated[
    Optional[str],
    typer.Option(
        "--mapping", metavar="FILE", help="With --anonymise: write there what became what."
    ),
]
Since = Annotated[
    Optional[datetime],
    typer.Option("--since", parser=moment, metavar="TIME", help="Only from this time on."),
]
Until = Annotated[
    Optional[datetime],
    typer.Option("--until", parser=moment, metavar="TIME", help="Only before this time."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Embedder = Annotated[
    Optional[str],
    typer.Option(
        "--embedder",
        metavar="NAME",
        help="static, sentence-transformers:NAME_OR_PATH (also with ?dim=256&device=cpu behind), "
        "bruno-llm:PROVIDER/MODEL (?base_url=http://host:11434), another package's, or hash (for "
        "tests).  "
        "[default: BRUNO_MEMORY_EMBEDDER, else static]",
        show_default=False,
    ),
]
Profile = Annotated[
    Optional[str],
    typer.Option(
        "--profile",
        metavar="NAME",
        help="How to rank: a profile's name, or a TOML file.  "
        "[default: BRUNO_MEMORY_PROFILE, else balanced]",
        autocompletion=completing.profiles,
        show_default=False,
    ),
]
