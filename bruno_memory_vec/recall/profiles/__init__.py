"""Named ways to recall: TOML files, in this folder, a user's own, or another package's.

Another package adds one by an entry point of the group ``bruno_memory_vec.profiles``. The entry
point's name is the profile's, and its object is a :class:`~bruno_memory_vec.rankers.Profile`, a
``Path`` of a TOML file, or a text: the absolute path of such a file, or TOML itself.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.plugins import Plugins, kept_until_forgotten, nearest
from bruno_memory_vec.rankers import (
    STEPS,
    CandidateSettings,
    Fusion,
    Profile,
    QuerySettings,
    RankSettings,
)
from bruno_memory_vec.rows.checks import shown

if TYPE_CHECKING:
    if sys.version_info >= (3, 11):
        from importlib.resources.abc import Traversable
    else:
        from importlib.abc import Traversable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["list_profiles", "load_profile"]

#: The profiles of other packages.
PROFILES = Plugins("bruno_memory_vec.profiles", field="profile", what="profile")

_SUFFIX = ".toml"
# The largest of ours has four kilobytes. The parser's time grows with the square of the size.
_LARGEST_PROFILE = 16 * 1024
_LARGEST_FACTORS = 256 * 1024
# One name, which no system takes for a way to somewhere else.
_BESIDE = re.compile(r"[^/\\:\x00-\x1f]+\.json")
_REQUIRED: dict[str, type] = {
    "candidates": CandidateSettings,
    "query": QuerySettings,
    "fusion": Fusion,
}


def list_profiles() -> list[str]:
    """The names of the profiles in this package and in others."""
    return sorted({*_shipped(), *PROFILES.names()})


def _shipped() -> list[str]:
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX))


def load_profile(profile: str | Path | Profile) -> Profile:
    """A profile by its name, from a TOML file (a path that ends in ``.toml``), or as it is.

    The file has 16 KiB at most, and the factors that it names lie beside it.

    Raises:
        InvalidInputError: there is no such profile, or a value in it is not usable; it names which.
    """
    if isinstance(profile, Profile):
        return profile
    if not isinstance(profile, (str, Path)):
        raise _refused(f"expected a name, not {type(profile).__name__}", "Give a profile's name.")
    name = str(profile)
    if "\0" in name:
        raise _refused(f"{shown(name)} holds a NUL character", "Leave it out.")
    if name.endswith(_SUFFIX):
        return _load_file(Path(profile))
    return _load_named(name)


@kept_until_forgotten
def _load_named(name: str) -> Profile:
    try:
        found = PROFILES.load(name)
    except LookupError:
        return _load_shipped(name)
    try:
        return _of_another_package(name, found)
    except Exception as error:  # whatever its object does
        raise PROFILES.broken(name, error) from error


def _of_another_package(name: str, found: Any) -> Profile:
    if isinstance(found, Profile):
        return found
    if isinstance(found, str) and not found.endswith(_SUFFIX):
        return _parse(name, found, None)
    if isinstance(found, (str, Path)):
        path = Path(found)
        return _parse(name, _read(path, _LARGEST_PROFILE), path.parent)
    raise TypeError(f"it is a {type(found).__name__}, and no profile, path or TOML text")


def _load_shipped(name: str) -> Profile:
    if name not in _shipped():
        near = nearest(name, list_profiles())
        meant = "" if near is None else f"Did you mean {near}? "
        raise _refused(
            f"{shown(name)} is not known",
            f"{meant}Choose from {', '.join(list_profiles())}, or give the path of a {_SUFFIX} "
            "file.",
        )
    folder = resources.files(__name__)
    text = folder.joinpath(name + _SUFFIX).read_text(encoding="utf-8")
    return _parse(name, text, folder)


def _load_file(path: Path) -> Profile:
    try:
        text = _read(path, _LARGEST_PROFILE)
    except (OSError, ValueError) as error:
        raise _refused(
            f"{shown(str(path))} cannot be read: {_why(error)}", "Give a readable file.", error
        ) from error
    return _parse(path.stem, text, path.parent)


def _read(path: Path, largest: int, *, follow: bool = True) -> str:
    """The text of a file that is one, and not larger than ``largest`` bytes.

    Raises:
        OSError: it cannot be read; or it is a link, and ``follow`` is false.
        ValueError: it is a folder, a device or a pipe, too large, or no UTF-8.
    """
    # A pipe would be waited for. Windows has neither of the two.
    flags = getattr(os, "O_NONBLOCK", 0) | (0 if follow else getattr(os, "O_NOFOLLOW", 0))
    if not follow and path.is_symlink():
        raise ValueError("it is a link")
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("it is no file")
        data = file.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"it has more than {largest:,} bytes")
    return data.decode("utf-8")


def _parse(name: str, text: str, folder: Traversable | None) -> Profile:
    try:
        return _made(name, text, folder)
    except RecursionError as error:
        raise _refused(f"{name} is nested too deeply", "Mend the file.", error) from error


def _made(name: str, text: str, folder: Traversable | None) -> Profile:
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # also one of Python's own, where a number has too many digits
        raise _refused(f"{name} is not TOML: {error}", "Mend the file.", error) from error
    # A step that has no table is off.
    tables = {**_REQUIRED, **STEPS}
    unknown = sorted(set(data) - set(tables) - {"description"})
    if unknown:
        raise _refused(
            f"{name} has an unknown key {shown(unknown[0])}",
            f"The keys are description, {', '.join(tables)}.",
        )
    if isinstance(learned := data.get("learned"), dict) and "file" in learned:
        data["learned"] = _with_factors(name, learned, folder)
    try:
        parts = {
            table: _table(name, table, kind, data[table])
            for table, kind in tables.items()
            if table in data or table in _REQUIRED
        }
        steps = tuple(parts[step] for step in STEPS if step in parts)
        return Profile(
            name=name,
            description=data.get("description", ""),
            candidates=parts["candidates"],
            query=parts["query"],
            rank=RankSettings(fusion=parts["fusion"], steps=steps),
        )
    except KeyError as error:
        raise _refused(
            f"{name} lacks the table [{error.args[0]}]", "Copy a shipped profile and change it."
        ) from error
    except ValueError as error:
        raise _refused(f"{name}: {error}", "Mend the value.", error) from error


def _with_factors(name: str, table: dict[str, Any], folder: Traversable | None) -> dict[str, Any]:
    """The table [learned] with the factors from the file that it names, beside the profile."""
    file = table["file"]
    fix = "Name a file beside the profile, as scripts/train_ranker.py writes it."
    if not isinstance(file, str) or not _BESIDE.fullmatch(file):
        raise _refused(
            f"{name}: [learned] file must be a name that ends in .json, not {shown(file)}", fix
        )
    if folder is None:
        raise _refused(f"{name}: [learned] file {file} lies beside no file", fix)
    try:
        place = folder.joinpath(file)
        # A link leads out of the folder, and whoever can plant one there need not own the profile.
        if isinstance(place, Path):
            text = _read(place, _LARGEST_FACTORS, follow=False)
        else:
            text = place.read_text(encoding="utf-8")
        factors = json.loads(text)["factors"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refused(
            f"{name}: [learned] file {file} has no factors: {_why(error)}", fix, error
        ) from (error)
    return {"factors": factors, **table}


def _table(name: str, table: str, kind: type[Any], values: Any) -> Any:
    if not isinstance(values, Mapping):
        raise _refused(f"{name}: {table} is not a table", f"Write it as [{table}].")
    known = {field.name: field for field in fields(kind)}
    unknown = sorted(set(values) - set(known))
    missing = sorted(
        field.name
        for field in known.values()
        if field.default is MISSING and field.name not in values
    )
    if unknown or missing:
        problem = f"does not know {shown(unknown[0])}" if unknown else f"lacks {missing[0]!r}"
        raise _refused(f"{name}: [{table}] {problem}", f"Its keys are {', '.join(known)}.")
    try:
        return kind(**values)
    except ValueError as error:
        raise _refused(f"{name}: [{table}] {error}", "Mend the value.", error) from error


def _why(error: Exception) -> str:
    """What went wrong, without the path, which may be a very long one."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _refused(problem: str, fix: str, cause: Exception | None = None) -> InvalidInputError:
    # A file's name may hold what steers a terminal.
    problem = "".join(c if c.isprintable() else "\ufffd" for c in problem)
    return InvalidInputError("profile", problem, fix=fix, cause=cause)
