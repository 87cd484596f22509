"""Named ways to recall: TOML files, in this folder or a user's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rankers import (
    STEPS,
    CandidateSettings,
    Fusion,
    Profile,
    QuerySettings,
    RankSettings,
)

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

_SUFFIX = ".toml"
_REQUIRED: dict[str, type] = {
    "candidates": CandidateSettings,
    "query": QuerySettings,
    "fusion": Fusion,
}


def list_profiles() -> list[str]:
    """The names of the profiles in the package."""
    files = (entry.name for entry in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in files if name.endswith(_SUFFIX))


def load_profile(profile: str | Path | Profile) -> Profile:
    """A profile by its name, from a TOML file (a path that ends in ``.toml``), or as it is.

    Raises:
        InvalidInputError: there is no such profile, or a value in it is not usable; it names which.
    """
    if isinstance(profile, Profile):
        return profile
    if not isinstance(profile, (str, Path)):
        raise _refused(f"expected a name, not {type(profile).__name__}", "Give a profile's name.")
    if str(profile).endswith(_SUFFIX):
        return _load_file(Path(profile))
    return _load_shipped(str(profile))


@lru_cache(maxsize=32)
def _load_shipped(name: str) -> Profile:
    known = list_profiles()
    if name not in known:
        raise _refused(
            f"{name!r} is not known",
            f"Choose from {', '.join(known)}, or give the path of a {_SUFFIX} file.",
        )
    folder = resources.files(__name__)
    text = folder.joinpath(name + _SUFFIX).read_text(encoding="utf-8")
    return _parse(name, text, folder)


def _load_file(path: Path) -> Profile:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(f"{path} cannot be read: {error}", "Give a readable file.", error) from error
    return _parse(path.stem, text, path.parent)


def _parse(name: str, text: str, folder: Traversable) -> Profile:
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # also one of Python's own, where a number has too many digits
        raise _refused(f"{name} is not TOML: {error}", "Mend the file.", error) from error
    # A step that has no table is off.
    tables = {**_REQUIRED, **STEPS}
    unknown = sorted(set(data) - set(tables) - {"description"})
    if unknown:
        raise _refused(
            f"{name} has an unknown key {unknown[0]!r}",
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


def _with_factors(name: str, table: dict[str, Any], folder: Traversable) -> dict[str, Any]:
    """The table [learned] with the factors from the file that it names, beside the profile."""
    file = table["file"]
    fix = "Name a file beside the profile, as scripts/train_ranker.py writes it."
    if not isinstance(file, str) or not file.endswith(".json"):
        raise _refused(f"{name}: [learned] file must end in .json, not {file!r}", fix)
    try:
        factors = json.loads(folder.joinpath(file).read_text(encoding="utf-8"))["factors"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _refused(f"{name}: [learned] file {file} has no factors: {error}", fix, error) from (
            error
        )
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
        problem = f"does not know {unknown[0]!r}" if unknown else f"lacks {missing[0]!r}"
        raise _refused(f"{name}: [{table}] {problem}", f"Its keys are {', '.join(known)}.")
    try:
        return kind(**values)
    except ValueError as error:
        raise _refused(f"{name}: [{table}] {error}", "Mend the value.", error) from error


def _refused(problem: str, fix: str, cause: Exception | None = None) -> InvalidInputError:
    return InvalidInputError("profile", problem, fix=fix, cause=cause)
