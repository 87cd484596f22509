"""Server processes of the tests: started on loopback, ended with the process that started them."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

LOOPBACK = "127.0.0.1"
STARTS_WITHIN = 20.0  # seconds; only a hang reaches it

# Outside the range from which systems take the ports of outgoing connections, so that a server that
# is restarted finds its port free; and low enough for a cluster node's bus, 10,000 above.
_PORTS = range(12_000, 30_000)
_BUS = 10_000

# The kernel signals the server when the thread that started it ends, however that comes about: a
# test run that is killed leaves no server behind. Set in a process of its own, since what runs
# between fork and exec must not be Python where there are threads; and after the user is changed,
# which would undo it.
_PR_SET_PDEATHSIG = 1
_LAUNCHER = f"""
import ctypes, os, sys
parent, number, user = map(int, sys.argv[1:4])
if user:
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, number)
if os.getppid() != parent:
    sys.exit("the test run has ended")
os.execv(sys.argv[4], sys.argv[4:])
"""


def free_port() -> int:
    """A TCP port of loopback that is free, as is the one that a cluster node would add to it."""
    # Not the seeded generator: processes of pytest-xdist would look in the same order.
    numbers = random.SystemRandom()
    for _ in range(1000):
        port = numbers.choice(_PORTS)
        if _is_free(port) and _is_free(port + _BUS):
            return port
    raise RuntimeError("no free port on loopback")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def launch(
    command: Sequence[str | Path],
    log: Path,
    *,
    user: int = 0,
    at_the_end: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a server that ends with the calling thread.

    Args:
        command: an absolute path and its arguments.
        log: where its output goes. Its folder is the server's working folder.
        user: run it as the user with this number; 0 for the one that runs the tests.
        at_the_end: the signal that it gets when the calling thread ends.
    """
    about = [os.getpid(), int(at_the_end), user]
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, about), *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
        )


def wait_until(ready: Callable[[], bool], what: str, log: Path | None = None) -> None:
    """Wait until ``ready()``; raise with the end of ``log`` where it takes too long."""
    end = time.monotonic() + STARTS_WITHIN
    while not ready():
        if time.monotonic() > end:
            said = log.read_text(errors="replace")[-2000:] if log and log.exists() else ""
            raise TimeoutError(f"{what}: not within {STARTS_WITHIN:g} s\n{said}")
        time.sleep(0.005)
