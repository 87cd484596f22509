"""Blocking classes made of asynchronous ones, so that no method is written twice.

A class that :func:`blocks` decorates gets each public name of the asynchronous class that it does
not define itself: a coroutine becomes a method that waits, an asynchronous generator one that gives
a :class:`~.background.Stream`, a property stays one. What comes back that has coroutines itself
(a view, a manager) comes back as a blocking one. Types for editors are in ``api.pyi``, which
``scripts/sync_types.py`` writes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any, Final, NoReturn, TypeVar

from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.sync.background import BackgroundMemory, run_once

C = TypeVar("C", bound=type)

#: The blocking class of each asynchronous one.
BLOCKING: Final[dict[type, type[Blocking]]] = {}
# Where the classes are named that are made here.
_API: Final = "bruno_memory_vec.sync.api"
_HAS_COROUTINES: Final[dict[type, bool]] = {}


class Blocking:
    """Something asynchronous of a memory, and where it runs."""

    _background: BackgroundMemory
    _asynchronous: Any

    @classmethod
    def _over(cls, background: BackgroundMemory, asynchronous: Any) -> Any:
        made = object.__new__(cls)
        made._background, made._asynchronous = background, asynchronous
        return made

    def __reduce__(self) -> NoReturn:
        self._background.__reduce__()

    def _given(self, found: Any) -> Any:
        """What a call gives, as a user without an event loop can use it."""
        if found is self._asynchronous:
            return self
        if isinstance(found, VectorMemory):
            return BLOCKING[VectorMemory]._over(self._background, found)
        if has_coroutines(type(found)):
            return blocking(type(found))._over(self._background, found)
        return found


def blocks(asynchronous: type) -> Callable[[C], C]:
    """Give a class what an asynchronous one has, as blocking methods."""

    def decorate(made: C) -> C:
        BLOCKING[asynchronous] = made
        for name, member in public(asynchronous):
            if name not in made.__dict__:
                setattr(made, name, _member(name, member))
        return made

    return decorate


def blocking(asynchronous: type) -> type[Blocking]:
    """The blocking class of an asynchronous one, of the same name; made where there is none."""
    found = BLOCKING.get(asynchronous)
    if found is None:
        about = {"__doc__": inspect.getdoc(asynchronous), "__module__": _API}
        made = type(asynchronous.__name__, (Blocking,), about)
        found = blocks(asynchronous)(made)
    return found


def blocking_function(asynchronous: Callable[..., Any]) -> Callable[..., Any]:
    """A coroutine function that belongs to no memory, as one that waits."""

    def function(*args: Any, **kwargs: Any) -> Any:
        given, named = _as_given(args, kwargs)
        return run_once(lambda: asynchronous(*given, **named))

    return _described(function, asynchronous)


def public(kind: type) -> Iterator[tuple[str, Any]]:
    """The public names of a class, those that it inherits too, each as it is defined."""
    for name in dir(kind):
        if not name.startswith("_"):
            yield name, inspect.getattr_static(kind, name)


def has_coroutines(kind: type) -> bool:
    """Whether a class of ours has public coroutines, so that it has to be made blocking."""
    known = _HAS_COROUTINES.get(kind)  # each result is asked about
    if known is None:
        known = _HAS_COROUTINES[kind] = kind.__module__.startswith("bruno_memory_vec.") and any(
            inspect.iscoroutinefunction(member) or inspect.isasyncgenfunction(member)
            for _, member in public(kind)
        )
    return known


def _member(name: str, member: Any) -> Any:
    if isinstance(member, property):
        return property(
            lambda self: self._given(getattr(self._asynchronous, name)), doc=member.__doc__
        )
    if inspect.isasyncgenfunction(member):

        def stream(self: Blocking, *args: Any, **kwargs: Any) -> Any:
            given, named = _as_given(args, kwargs)

            def begun(_: VectorMemory) -> AsyncGenerator[Any, None]:
                found: AsyncGenerator[Any, None] = getattr(self._asynchronous, name)(
                    *given, **named
                )
                return found

            return self._background.iterate(begun)

        return _described(stream, member)
    if inspect.iscoroutinefunction(member):

        def call(self: Blocking, *args: Any, **kwargs: Any) -> Any:
            given, named = _as_given(args, kwargs)
            method = getattr(self._asynchronous, name)
            return self._given(self._background.run(lambda _: method(*given, **named)))

        return _described(call, member)
    if inspect.isfunction(member):

        def plain(self: Blocking, *args: Any, **kwargs: Any) -> Any:
            given, named = _as_given(args, kwargs)
            return self._given(getattr(self._asynchronous, name)(*given, **named))

        return _described(plain, member)
    return member  # a constant of the class


def _described(made: Callable[..., Any], asynchronous: Callable[..., Any]) -> Callable[..., Any]:
    """With the name, the docstring and the parameters of the asynchronous one."""
    functools.update_wrapper(made, asynchronous)
    signature = inspect.signature(asynchronous)
    given = made.__annotations__ = dict(made.__annotations__)
    if inspect.isasyncgenfunction(asynchronous):
        item = str(given["return"]).removeprefix("AsyncGenerator[").removesuffix(", None]")
        given["return"] = f"Stream[{item}]"
        signature = signature.replace(return_annotation=given["return"])
    made.__signature__ = signature  # type: ignore[attr-defined]  # which every function may have
    return made


def _as_given(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments for the asynchronous one: a blocking memory among them as what it stands for."""
    return tuple(map(_asynchronous, args)), {
        name: _asynchronous(one) for name, one in kwargs.items()
    }


def _asynchronous(argument: Any) -> Any:
    return argument._asynchronous if isinstance(argument, Blocking) else argument
