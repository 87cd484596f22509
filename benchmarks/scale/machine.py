"""Memory of this process, and bytes and files of a folder."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import psutil

_MIB = 2**20


def resident_mib() -> float:
    """Resident memory now, MiB."""
    rss: int = psutil.Process().memory_info().rss
    return round(rss / _MIB, 1)


def peak_mib() -> float:
    """The largest resident memory so far, MiB."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not ru_maxrss: on Linux that begins with the memory of the process that started this one.
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 1024, 1)
    if sys.platform == "win32":
        largest: int = psutil.Process().memory_info().peak_wset
        return round(largest / _MIB, 1)
    import resource

    # Bytes on macOS, kilobytes on other systems.
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MIB, 1)


def disk(folder: Path) -> dict[str, float]:
    """How much a folder holds: files, and MiB of them. Files may go meanwhile."""
    sizes = []
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                sizes.append((Path(place) / name).stat().st_size)
    return {"files": len(sizes), "disk_mib": round(sum(sizes) / _MIB, 2)}
