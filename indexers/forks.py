"""Engines in a forked child: their copies there are left alone, not even finalized.

A child has the objects of its parent, but not the threads that belong to them. Finalizing a copy
could wait for such a thread for ever, or remove files that the parent uses. So what is named by
:func:`spare_in_children` lives in a child until its process ends.
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from typing import Any, Final

_spared: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
_kept: Final[list[Any]] = []


def spare_in_children(thing: Any) -> None:
    """Do not finalize an object in processes that are forked from this one."""
    _spared.add(thing)


def never_finalize(thing: Any) -> None:
    """Let an object live until the process ends, and not be finalized then either."""
    _kept.append(thing)
    # The list is emptied when the interpreter ends; this reference is never given back.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def free_in_children(lock: threading.Lock) -> None:
    """Free a lock of a module in a child, where the thread that held it may not exist."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lock._at_fork_reinit)  # type: ignore[attr-defined]


def _after_fork_in_child() -> None:
    for thing in list(_spared):
        never_finalize(thing)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
