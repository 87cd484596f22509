"""What other packages add by entry points: found by group and name, loaded when it is first used.

====================================  ==============================  ============================
group                                 name                            object
====================================  ==============================  ============================
``bruno_memory_vec.deployments``      the scheme of a store's URL     a ``Deployment`` class
``bruno_memory_vec.session_stores``   the scheme of a sessions' URL   a ``SessionDeployment`` class
``bruno_memory_vec.embedders``        what stands before the ``:``    a function of what is after
``bruno_memory_vec.profiles``         the profile's name              a ``Profile``, path or TOML
``bruno_memory_vec.readers``          the format of a file            a function
``bruno_memory_vec.commands``         the command's name              a typer function
====================================  ==============================  ============================

Another package's object of one name comes before ours, so that an engine of one's own may take the
place of one of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, TypeVar

from bruno_memory_vec.errors import InvalidInputError

# By group and name.
_loaded: dict[tuple[str, str], Any] = {}
_made: dict[tuple[str, str], Any] = {}
_Result = TypeVar("_Result")
_kept: list[Callable[[], None]] = []


def kept_until_forgotten(function: Callable[[str], _Result]) -> Callable[[str], _Result]:
    """A function of a name whose results are kept until :func:`forget_loaded`."""
    keeping = lru_cache(maxsize=64)(function)
    _kept.append(keeping.cache_clear)
    return keeping


def forget_loaded() -> None:
    """Load every object anew when it is next used, as after a package was installed."""
    _loaded.clear()
    _made.clear()
    for forget in _kept:
        forget()


class Plugins:
    """The objects of one group of entry points.

    An object is loaded once, and kept. The list of names is read anew each time, so a package that
    is installed meanwhile is found.

    Args:
        group: the group of the entry points.
        field: the setting or argument that names one; errors name it.
        what: what the object is, in the words of an error: "deployment".
        ours: those of this package, which a copy of the sources that nobody has installed has no
            entry points of: object reference (``module:name``) by name. They come last.
    """

    def __init__(
        self, group: str, field: str, what: str, ours: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.group = group
        self._field = field
        self._what = what
        self._ours = tuple(EntryPoint(name, value, group) for name, value in ours.items())

    def names(self) -> list[str]:
        """The names of all that are there, sorted."""
        return sorted({entry.name for entry in self._entries()})

    def load(self, name: str) -> Any:
        """The object of a name.

        Raises:
            LookupError: there is none of this name. The caller says what there is.
            InvalidInputError: it is there, and cannot be loaded; the message names the entry point
                and the package that has it.
        """
        if (self.group, name) not in _loaded:
            entry = next((one for one in self._entries() if one.name == name), None)
            if entry is None:
                raise LookupError(name)
            try:
                _loaded[self.group, name] = entry.load()
            except Exception as error:  # whatever another package raises
                raise self.broken(name, error) from error
        return _loaded[self.group, name]

    def instance(self, name: str) -> Any:
        """The one instance of the class of a name.

        Raises:
            LookupError, InvalidInputError: as :meth:`load`; or the class cannot be called.
        """
        if (self.group, name) not in _made:
            made = self.load(name)
            try:
                _made[self.group, name] = made()
            except Exception as error:  # whatever another package raises
                raise self.broken(name, error) from error
        return _made[self.group, name]

    def broken(self, name: str, error: Exception) -> InvalidInputError:
        """The error for an object that cannot be loaded, or that fails when it is used."""
        entry = next(one for one in self._entries() if one.name == name)
        package = "" if entry.dist is None else f" of the package {entry.dist.name!r}"
        return InvalidInputError(
            self._field,
            f"the {self._what} {name!r}, {entry.value!r}{package}, cannot be loaded: "
            f"{type(error).__name__}: {error}",
            fix="Mend or reinstall the package that has it.",
            cause=error,
        )

    def _entries(self) -> tuple[EntryPoint, ...]:
        ours = {(entry.name, entry.value) for entry in self._ours}
        others = (e for e in entry_points(group=self.group) if (e.name, e.value) not in ours)
        return (*others, *self._ours)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that ``name`` was probably meant to be; None if none is like it."""
    found = difflib.get_close_matches(name.lower(), list(known), n=1)
    return found[0] if found else None
