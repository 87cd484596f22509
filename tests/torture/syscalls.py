"""What a child process asks of the system, seen from outside: by strace, or by a library shim."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.durability.support import ROOT, environment


@dataclass(frozen=True, slots=True)
class Event:
    """One call that succeeded, at the moment of its return.

    Attributes:
        kind: "sync" (fsync or fdatasync), "remove" (unlink), or "ack" (a line of the log).
        what: the path, or the acknowledgement's number.
    """

    kind: str
    what: str


def unavailable(observer: str) -> str | None:
    """Why an observer cannot be used here; None where it can."""
    if not sys.platform.startswith("linux"):
        return "written for Linux"
    if observer == "shim":
        return None if shutil.which("cc") else "there is no C compiler"
    if shutil.which("strace") is None:
        return "strace is not installed"
    # Containers often forbid it.
    tried = subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, text=True)
    return None if tried.returncode == 0 else f"strace may not trace: {tried.stderr.strip()}"


def observe(observer: str, child: Path, folder: Path, log: Path) -> list[Event]:
    """Run ``child FOLDER LOG`` under an observer; what it did, in order."""
    trace = folder / f"{observer}.trace"
    command = [sys.executable, str(child), str(folder), str(log)]
    env = environment()
    if observer == "strace":
        calls = "trace=fsync,fdatasync,unlink,unlinkat,write"
        options = ["-f", "-y", "-s", "48", "-e", calls, "-e", "signal=none", "-o", str(trace)]
        command = ["strace", *options, *command]
    else:
        env |= {"LD_PRELOAD": str(_shim(folder)), "SHIM_TRACE": str(trace), "SHIM_LOG": str(log)}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text = trace.read_text(encoding="utf-8", errors="replace")
    return _of_strace(text, log) if observer == "strace" else _of_shim(text)


def _of_shim(text: str) -> list[Event]:
    return [Event(*line.split(" ", 1)) for line in text.splitlines()]


_LINE = re.compile(r"^(\d+) +(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\) += +(-?\d+)")
_ENTERED = re.compile(r"^(\w+\(.*?) *<unfinished \.\.\.>$")
_LEFT = re.compile(r"^<\.\.\. \w+ resumed>(.*)$")


def _of_strace(text: str, log: Path) -> list[Event]:
    events: list[Event] = []
    entered: dict[str, str] = {}
    for line in text.splitlines():
        parts = _LINE.match(line)
        if parts is None:
            continue
        thread, rest = parts.groups()
        # A call that another thread's line interrupts is shown in two; its end is what counts.
        if begun := _ENTERED.match(rest):
            entered[thread] = begun[1]
            continue
        if end := _LEFT.match(rest):
            rest = entered.pop(thread, "") + end[1]
        call = _CALL.match(rest)
        if call is not None and not call[3].startswith("-"):
            event = _event(call[1], call[2], log)
            if event is not None:
                events.append(event)
    return events


def _event(name: str, arguments: str, log: Path) -> Event | None:
    if name.startswith("unlink"):
        named = re.search(r'"(.*?)"', arguments)
        return None if named is None else Event("remove", named[1])
    path = re.match(r"\d+<(.*?)>", arguments)
    if path is None:
        return None
    if name != "write":
        return Event("sync", path[1])
    ack = re.search(r'"ack (\d+)\\n"', arguments)
    return Event("ack", ack[1]) if ack is not None and path[1] == str(log) else None


def _shim(folder: Path) -> Path:
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(_SHIM, encoding="utf-8")
    build = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    built = subprocess.run(build, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return library


# Each call goes on to the C library; one that succeeded is a line of SHIM_TRACE. A line is one
# write to a file opened to append, so lines of several threads stand in the order of their returns.
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say(const char *kind, const char *what) {
    static int trace = -1;
    char line[4400];
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    if (trace < 0) trace = open(getenv("SHIM_TRACE"), flags, 0644);
    int length = snprintf(line, sizeof line, "%s %s\n", kind, what);
    syscall(SYS_write, trace, line, length);
}

static const char *path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    path[length < 0 ? 0 : length] = 0;
    return path;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int fsync(int fd) {
    char path[4096];
    REAL(fsync);
    int result = real(fd);
    if (result == 0) say("sync", path_of(fd, path));
    return result;
}

int fdatasync(int fd) {
    char path[4096];
    REAL(fdatasync);
    int result = real(fd);
    if (result == 0) say("sync", path_of(fd, path));
    return result;
}

int unlink(const char *path) {
    REAL(unlink);
    int result = real(path);
    if (result == 0) say("remove", path);
    return result;
}

ssize_t write(int fd, const void *data, size_t size) {
    char path[4096], number[32];
    REAL(write);
    ssize_t result = real(fd, data, size);
    if (result > 4 && result < 30 && memcmp(data, "ack ", 4) == 0
        && strcmp(path_of(fd, path), getenv("SHIM_LOG")) == 0) {
        memcpy(number, (const char *)data + 4, result - 5);
        number[result - 5] = 0;
        say("ack", number);
    }
    return result;
}
"""
