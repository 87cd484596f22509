"""The process in which LanceDB runs: it does not survive a fork.

Its threads are not copied to the child. lancedb 0.40 begins anew there, and then every second child
that uses it dies of a segmentation fault (12 tries of opening five tables each); one that does
not use it never comes to an end, because its exit waits for a thread that is not there. A child
of a process that had only imported LanceDB is not concerned.
"""

from __future__ import annotations

import atexit
import gc
import os
from types import BuiltinFunctionType
from typing import Any

from ..errors import EngineError

_started_in: int | None = None


def start_lancedb() -> None:
    """Note that LanceDB is used in this process; call it before the first use.

    Raises:
        EngineError: it was used before the process forked, and cannot be used in the child.
    """
    global _started_in
    if _started_in is None:
        _started_in = os.getpid()
        shutdown = _exit_function()
        if shutdown is not None and hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: atexit.unregister(shutdown))
    elif _started_in != os.getpid():
        raise EngineError(
            "lancedb",
            "open",
            f"it was in use in process {_started_in} when this one, {os.getpid()}, was forked "
            "from it, and does not survive a fork",
            fix="Open the memory in the children only, and nothing before the fork; or start "
            "them without a fork: multiprocessing's 'spawn' or 'forkserver', gunicorn without "
            "--preload.",
        )


def _exit_function() -> Any:
    """What lancedb calls at exit, which waits for its threads; None where it has no such function.

    No module has it as an attribute, but whoever calls it at exit refers to it.
    """
    for held in gc.get_objects():
        # Not isinstance, which asks an object what it pretends to be: some of torch's warn then.
        if type(held) is BuiltinFunctionType and held.__name__ == "shutdown_runtime":
            return held
    return None
