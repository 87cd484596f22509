"""Commands on a terminal: what they write at a width, and what is wrong with it.

``python -m tests.cli.terminal 40 recall bread --user ana`` shows one.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

# Colours and other styles; whatever else moves the cursor is none of a result.
_STYLES = re.compile(r"\x1b\[[0-9;]*m")
# Whole, to be copied: a command, and a path that is alone on its line.
_COMMAND = re.compile(
    r"\s*(?:export \w+=|rm -r |--after |\S*bruno-memory-vec |\S+ -m bruno_memory_vec |/\S+$)"
)
# What a progress bar writes to draw itself again, and to be gone when it has ended.
_CURSOR = re.compile(r"\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A")


@dataclass(frozen=True)
class Shown:
    """What a command wrote on a terminal, standard output and standard error together."""

    code: int
    raw: str

    @property
    def lines(self) -> list[str]:
        """What is on the screen in the end, without colours."""
        shown: list[str] = []
        for line in _STYLES.sub("", self.raw).replace("\r\n", "\n").split("\n"):
            up = line.count("\x1b[1A")
            del shown[len(shown) - up :]
            shown.append(_CURSOR.sub("", line).rpartition("\r")[2])
        return shown

    def wrong(self, width: int) -> list[str]:
        """What does not fit a terminal of that width, or should be on none."""
        found = [repr(line) for line in self.lines if re.search(r"[\x00-\x09\x0b-\x1f\x7f]", line)]
        if "Traceback" in self.raw:
            found.append("a traceback")
        for line in self.lines:
            # What is to be copied is one line, and a word that is longer than the terminal is cut.
            if cell_len(line.rstrip()) > width and not _COMMAND.match(line):
                found.append(f"{cell_len(line)} cells: {line}")
        return found


def on_terminal(
    width: int, arguments: Sequence[str], env: Mapping[str, str] | None = None, stdin: str = ""
) -> Shown:
    """Run a command on a terminal of a width, in a process of its own."""
    child, screen = pty.fork()
    if child == 0:
        os.environ.update({"TERM": "xterm-256color", **(env or {})})
        os.environ.pop("COLUMNS", None)
        _resize(0, width)
        os.execv(sys.executable, [sys.executable, "-m", "bruno_memory_vec", *arguments])
    _resize(screen, width)
    written = bytearray()
    if stdin:
        os.write(screen, stdin.encode())
    while True:
        try:
            part = os.read(screen, 65536)
        except OSError as error:
            # Linux says so when the other end has gone.
            if error.errno != errno.EIO:
                raise
            break
        if not part:
            break
        written += part
    os.close(screen)
    _, status = os.waitpid(child, 0)
    return Shown(os.waitstatus_to_exitcode(status), written.decode("utf-8", "replace"))


def _resize(terminal: int, width: int) -> None:
    with contextlib.suppress(OSError):
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))


if __name__ == "__main__":
    shown = on_terminal(int(sys.argv[1]), sys.argv[2:])
    sys.stdout.write(shown.raw)
    for problem in shown.wrong(int(sys.argv[1])):
        sys.stdout.write(f"WRONG: {problem}\n")
