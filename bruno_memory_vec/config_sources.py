"""Where settings come from besides arguments: the environment, and one TOML file."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, TomlConfigSettingsSource

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.plugins import nearest
from bruno_memory_vec.rows import arguments

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_log = get_logger(__name__)

PREFIX = "BRUNO_MEMORY_"
#: Read in the current directory, where ``BRUNO_MEMORY_CONFIG`` names no other file.
FILE = "bruno-memory.toml"
FILE_VARIABLE = f"{PREFIX}CONFIG"

# The file's own name, and what bruno-core reads for its MemoryConfig.
_OTHERS = ("config", "backend", "connection_string")
# The parser's time grows with the square of the size, and a file of all settings has two kilobytes.
_LARGEST = 64 * 1024
_warned: set[str] = set()


def unknown(
    field: str, problem: str, known: Collection[str], named: str = "{}"
) -> InvalidInputError:
    """The error for a setting that there is not; it names the nearest one, and all of them."""
    meant = arguments.meant(field, known)
    fix = "" if meant is None else f"Did you mean {named.format(meant)}? "
    return InvalidInputError(field, problem, fix=f"{fix}The fields are {', '.join(known)}.")


def check_environment(fields: Collection[str]) -> None:
    """Look for variables ``BRUNO_MEMORY_...`` that are no setting.

    One that is much like a setting's is a typing error. Any other may be another program's, so it
    is only logged as a warning, once for each process.

    Raises:
        InvalidInputError: a variable is probably misspelt; it names the right one.
    """
    for variable in os.environ:
        if not variable.upper().startswith(PREFIX):
            continue
        name = variable[len(PREFIX) :].lower()
        if name in fields or name in _OTHERS:
            continue
        meant = nearest(name, (*fields, *_OTHERS))
        if meant is not None:
            raise InvalidInputError(
                variable,
                "there is no such setting",
                fix=f"Did you mean {PREFIX}{meant.upper()}? Rename the variable, or unset it.",
            )
        if variable not in _warned:
            _warned.add(variable)
            _log.warning("unknown_variable", variable=variable, settings=", ".join(fields))


def file_in_use() -> Path | None:
    """The absolute path of the file that settings are read from; None where there is none.

    Raises:
        InvalidInputError: ``BRUNO_MEMORY_CONFIG`` names a file that there is not.
    """
    named = os.environ.get(FILE_VARIABLE)
    if named is not None and not named.strip():
        return None
    try:
        path = Path(FILE if named is None else named).expanduser().absolute()
        path.lstat()
    except (OSError, RuntimeError, ValueError) as error:  # also: no current directory, no such home
        if named is None:
            return None
        raise InvalidInputError(
            FILE_VARIABLE,
            f"there is no file {named!r}",
            fix="Name a file, unset the variable, or set it to nothing to read no file.",
            cause=error,
        ) from error
    return path


class FileSettings(TomlConfigSettingsSource):
    """The settings in the file that is in use; none where there is no file.

    Raises:
        InvalidInputError: it cannot be read, is no TOML, or has a key that is no setting.
    """

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        self._fields = tuple(settings_cls.model_fields)
        path = file_in_use()
        if path is not None:
            # pydantic-settings passes over what is no file.
            self._read_file(path)
        super().__init__(settings_cls, toml_file=path)

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        found = _read(file_path)
        for key in found:
            if key not in self._fields:
                raise unknown(key, f"{file_path} has no such setting", self._fields)
        return dict(found)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise ValueError("it is no file")
        # Read again only if it was changed: a library may be opened many times.
        return _parsed(path, about.st_mtime_ns, about.st_size, about.st_ino)
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise InvalidInputError(
            "config",
            f"the settings in {path} cannot be read: {why}",
            fix=f"Mend the file. It is TOML: one setting a line, such as url = {'./memory'!r}.",
            cause=error,
        ) from error


@lru_cache(maxsize=8)
def _parsed(path: Path, modified_ns: int, size: int, inode: int) -> Mapping[str, Any]:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"it has more than {_LARGEST:,} bytes")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
