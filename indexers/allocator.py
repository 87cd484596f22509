"""Returns freed memory to the operating system."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from typing import Any

import pyarrow as pa


def give_back() -> None:
    """Return freed memory to the operating system, where the allocators support that.

    Reading rows allocates and frees much memory in many threads, and glibc keeps the freed memory
    for each thread: hundreds of MiB. This takes some tens of milliseconds and blocks; call it in a
    thread.
    """
    pa.default_memory_pool().release_unused()
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


@cache
def _malloc_trim() -> Any:
    """glibc's ``malloc_trim``; None where the C library is another one."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)
