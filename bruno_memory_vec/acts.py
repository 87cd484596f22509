"""What a public method does: declared once, permitted before it runs, noted after it.

Every public method of the memory and of its managers declares its action with :func:`acts`::

    @acts("read")
    async def recall(self, ...): ...

The decorator asks the caller for permission (:meth:`.access.Caller.permit`), and tells the audit
trail and the observer (:mod:`.observability`), where there is one, what was done. A method that
calls other public methods is noted once.
"""

from __future__ import annotations

import functools
import inspect
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal, Protocol, TypeVar, get_args

from bruno_memory_vec.observability.observer import Observer, Watch
from bruno_memory_vec.rows.arguments import wrong_call

#: What a public method does. Of a method that does several of these, the gravest.
#:
#: ========== ======================================================================
#: open       opens, closes, or tells nothing about rows (``connect``, ``health``)
#: read       gives out rows, or what is known of a user
#: write      stores or changes rows, sessions, profiles
#: delete     deletes rows
#: export     gives out whole users as a file or another store
#: erase      deletes everything of a user
#: administer is about the store as a whole
#: ========== ======================================================================
Action = Literal["open", "read", "write", "delete", "export", "erase", "administer"]
ACTIONS: Final[tuple[str, ...]] = get_args(Action)

#: The user that stands for all users in an act.
EVERY_USER: Final = "*"

F = TypeVar("F", bound=Callable[..., Any])


class Acting(Protocol):
    """Whose call it is (:class:`.access.Caller`)."""

    user_id: str | None
    name: str | None
    purpose: str | None

    def permit(self, action: Action, call: str = "") -> None:
        """Refuse an action that is not granted."""
        ...


class Trail(Protocol):
    """What keeps acts (:mod:`.store.trail`)."""

    def record(self, act: Act) -> None:
        """Keep an act that has ended, or one that gives out rows as they come and begins."""
        ...


class Shared(Protocol):
    """The store that callers share; it knows the trail, and who observes."""

    trail: Trail | None
    observer: Observer | None


class Called(Protocol):
    """A memory or view, or a manager of one: it has a handle."""

    @property
    def _handle(self) -> Any: ...


class Act:
    """One call of a public method.

    Attributes:
        action: what it does.
        call: the method's name.
        caller: whose call it is.
        shared: the store; one without a trail once the call has returned.
        users: whose rows or profiles it is about; :data:`EVERY_USER` for all.
        talks: the conversations that it is about, where it names any.
        counts: by kind of row, how many were given out or changed.
        noted: whether the trail has an entry of it already, of a commit.
        ended: whether the call has returned; what goes on in the background is not its own.
        error: the name of what it raised; None where it succeeded.
        refused: whether that was a refusal.
        watch: what observes it; None where nobody does, and of a call within another one.
    """

    __slots__ = (
        "action",
        "call",
        "caller",
        "counts",
        "ended",
        "error",
        "noted",
        "refused",
        "shared",
        "talks",
        "users",
        "watch",
        "within",
    )

    def __init__(
        self, action: Action, call: str, caller: Acting, shared: Shared, within: Act | None
    ) -> None:
        self.action: Action = action
        self.call = call
        self.caller = caller
        self.shared = shared
        self.within = within
        self.users: dict[str, None] = {}
        self.talks: dict[str, None] = {}
        self.counts: dict[str, int] = {}
        self.noted = False
        self.ended = False
        self.error: str | None = None
        self.refused = False
        self.watch: Watch | None = None

    @property
    def outermost(self) -> Act:
        """The call that somebody made, within which this one is."""
        act = self
        while act.within is not None:
            act = act.within
        return act

    def about(self, users: Iterable[str]) -> None:
        """Note whose rows it is about."""
        self.outermost.users.update(dict.fromkeys(users))

    def about_talk(self, conversation_id: str) -> None:
        """Note which conversation it is about."""
        self.outermost.talks[conversation_id] = None

    def gave(self, result: Any) -> None:
        """Count what the method gives out."""
        for kind, count in counted(result).items():
            self.counts[kind] = self.counts.get(kind, 0) + count


_ACT: ContextVar[Act | None] = ContextVar("bruno_memory_act", default=None)


def current_act() -> Act | None:
    """The call that this is part of; None in the background, also of work that a call has begun."""
    act = _ACT.get()
    return None if act is None or act.ended or act.outermost.ended else act


def current_watch() -> Watch | None:
    """What observes the call that this is part of; None where nobody does, or in the background."""
    act = current_act()
    return None if act is None else act.outermost.watch


def current_action() -> Action | None:
    """What the innermost public method does; None outside of any."""
    act = _ACT.get()
    return None if act is None else act.action


def acts(action: Action) -> Callable[[F], F]:
    """Declare what a public method does; ``self._handle`` says whose call it is.

    Raises (the method that it decorates):
        NotPermittedError: the caller has no grant for that. Nothing was done.
        WrongArgumentError: the method has no such argument. Nothing was done.
    """

    def declare(method: F) -> F:
        name = method.__name__
        wrapped: Any
        if inspect.isasyncgenfunction(method):

            @functools.wraps(method)
            async def wrapped(self: Called, *args: Any, **kwargs: Any) -> Any:
                # Each step in the caller's context, so the act is set around each step only.
                act = _begun(self, action, name)
                given = _called(method, self, args, kwargs)
                if act.within is None and act.shared.observer is not None:
                    # What takes time is mostly the caller's own work between two results.
                    operation = _operation(self, name)
                    act.watch = act.shared.observer.begin(operation, act, timed=False)
                watch = act.watch
                if watch is not None:
                    watch.pause()
                try:
                    with _within(act):
                        act.caller.permit(action, name)
                    # It may go on for days, so its beginning is noted, too.
                    _record(act)
                    while True:
                        with _within(act):
                            if watch is not None:
                                watch.resume()
                            try:
                                one = await given.__anext__()
                            except StopAsyncIteration:
                                return
                            finally:
                                if watch is not None:
                                    watch.pause()
                        act.gave([one])
                        yield one
                except Exception as error:
                    _failed(act, error)
                    raise
                finally:
                    try:
                        await given.aclose()
                        _end(act)
                    finally:
                        if watch is not None:
                            watch.end()

        elif inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def wrapped(self: Called, *args: Any, **kwargs: Any) -> Any:
                if _is_part_of(_ACT.get(), self, action):
                    return await method(self, *args, **kwargs)
                act = _begun(self, action, name)
                observer = act.shared.observer
                if observer is not None and act.within is None:
                    return await _observed(observer, act, method, self, args, kwargs)
                token = _ACT.set(act)
                try:
                    act.caller.permit(action, name)
                    found = await method(self, *args, **kwargs)
                    if act.within is None and act.shared.trail is not None:
                        act.gave(found)
                    return found
                except BaseException as error:
                    wrong = wrong_call(method, (self, *args), kwargs, error)
                    _failed(act, wrong or error)
                    if wrong is not None:
                        raise wrong from None
                    raise
                finally:
                    _ACT.reset(token)
                    _end(act)

        else:

            @functools.wraps(method)
            def wrapped(self: Called, *args: Any, **kwargs: Any) -> Any:
                self._handle.caller.permit(action, name)
                return _called(method, self, args, kwargs)

        wrapped.__acts__ = action
        return wrapped  # type: ignore[no-any-return]

    return declare


def declared(method: Any) -> Action | None:
    """What a method declares to do; None where it declares nothing."""
    if isinstance(method, property):
        method = method.fget
    found: Action | None = getattr(method, "__acts__", None)
    return found


def _called(method: Any, owner: Called, args: Any, kwargs: Any) -> Any:
    """What a plain function gives, or a generator's."""
    try:
        return method(owner, *args, **kwargs)
    except TypeError as error:
        wrong = wrong_call(method, (owner, *args), kwargs, error)
        if wrong is not None:
            raise wrong from None
        raise


async def _observed(
    observer: Observer, act: Act, method: Any, owner: Called, args: Any, kwargs: Any
) -> Any:
    """Call a method that nothing else is around, with somebody who observes."""
    watch = act.watch = observer.begin(_operation(owner, act.call), act)
    cancelled = False
    token = _ACT.set(act)
    try:
        act.caller.permit(act.action, act.call)
        found = await method(owner, *args, **kwargs)
        act.gave(found)
        return found
    except BaseException as error:
        cancelled = isinstance(error, CancelledError)
        wrong = wrong_call(method, (owner, *args), kwargs, error)
        _failed(act, wrong or error)
        if wrong is not None:
            raise wrong from None
        raise
    finally:
        _ACT.reset(token)
        try:
            _end(act)
        except Exception as error:
            _failed(act, error)  # what could not be noted in the trail
            raise
        finally:
            if watch is not None:
                watch.end(cancelled=cancelled)


def _operation(owner: Called, name: str) -> str:
    """A method as its caller writes it: "recall", "conversations.list"."""
    part: str | None = getattr(owner, "_part_of_memory", None)
    if part is None:
        part = type(owner).__name__.removesuffix("Manager").lower()
    return f"{part}.{name}" if part else name


def _is_part_of(outer: Act | None, self: Called, action: Action) -> bool:
    """Whether a call does no more than the call under way, of the same caller, which is noted."""
    if outer is None or outer.action != action or outer.ended:
        return False
    handle = self._handle
    same = outer.caller is handle.caller and outer.shared is handle.lazy
    return same and not outer.outermost.ended


def _begun(self: Called, action: Action, name: str) -> Act:
    handle = self._handle
    outer = _ACT.get()
    # Work that goes on after its call has returned is nobody's; another store has its own trail.
    if outer is not None and (outer.outermost.ended or outer.shared is not handle.lazy):
        outer = None
    return Act(action, name, handle.caller, handle.lazy, outer)


class _NoStore:
    trail: Trail | None = None
    observer: Observer | None = None


_NO_STORE = _NoStore()


def _end(act: Act) -> None:
    act.ended = True
    try:
        _record(act)
    finally:
        # Work in the background has the act for as long as it goes on, and must not keep open a
        # store that everybody else has forgotten.
        act.shared = _NO_STORE


def _record(act: Act) -> None:
    trail = act.shared.trail
    if trail is not None and act.within is None and act.action != "open":
        trail.record(act)


def _failed(act: Act, error: BaseException) -> None:
    act.error = type(error).__name__
    act.refused = act.error in ("ForeignUserError", "NotPermittedError", "ReadOnlyError")


@contextmanager
def _within(act: Act) -> Any:
    token = _ACT.set(act)
    try:
        yield
    finally:
        _ACT.reset(token)


def counted(result: Any) -> Mapping[str, int]:
    """How many rows of each kind a result has: messages, memories, and others."""
    if result is None or isinstance(result, (str, bool, int, float)):
        return {}
    messages = getattr(result, "messages", None)  # a context
    if isinstance(messages, Sequence):
        result = messages
    if not isinstance(result, Sequence):
        return {"other": 1}
    found: dict[str, int] = {}
    for one in result:
        kind = _kind_of(one)
        found[kind] = found.get(kind, 0) + 1
    return found


# By class, the kind of its objects; None where each has its own. A pydantic model takes
# microseconds to say that it has no such attribute, and a context has twenty messages.
_KIND_OF_CLASS: dict[type, str | None] = {}


def _kind_of(one: Any) -> str:
    kind = _KIND_OF_CLASS.get(type(one), "")
    if kind is None:
        kind = one.kind
    if kind:
        return kind if isinstance(kind, str) else "other"
    if hasattr(one, "kind"):
        known = None
    elif hasattr(one, "role") or hasattr(one, "message"):
        known = "message"
    else:
        known = "memory" if hasattr(one, "memory_type") else "other"
    _KIND_OF_CLASS[type(one)] = known
    return known or _kind_of(one)
