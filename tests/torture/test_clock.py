"""A clock that jumps, by seconds and by decades, both ways: nothing is lost, and order is kept.

The jumps are made below Python and Rust alike: a library that is loaded before the C library's
``clock_gettime`` adds an offset to the time of day, and none to the monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from bruno_memory_vec import open_memory
from tests.durability.on_disk import found
from tests.durability.support import ROOT, environment, rows_of, turns_of
from tests.torture.conftest import Torture, counts
from tests.torture.faults import doctor

HERE = Path(__file__).resolve().parent
# Far beyond what a busy machine needs: what has not ended by then hangs.
_HANGS = 1800

_SHIM = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t offset(void) {
    static volatile int64_t *shared;
    if (!shared) {
        int fd = open(getenv("CLOCK_OFFSET"), O_RDONLY | O_CLOEXEC);
        void *found = fd < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, fd, 0);
        if (found == MAP_FAILED) abort();
        shared = found;
    }
    return *shared;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    int failed = syscall(SYS_clock_gettime, id, at);
    if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += offset();
    return failed;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not sys.platform.startswith("linux") or shutil.which("cc") is None:
        pytest.skip("the clock is moved by a library for Linux, and there is no C compiler here")
    folder = tmp_path_factory.mktemp("clock")
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(_SHIM, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


@pytest.mark.slow
async def test_the_clock_jumps(shim: Path, tmp_path: Path, torture: Torture) -> None:
    folder, offset = tmp_path / "store", tmp_path / "offset"
    offset.write_bytes(struct.pack("=q", 0))
    jumps = torture.choose(4, 60)
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, str(HERE / "child_clock.py"), folder, offset, "1", str(jumps)],
        env=environment() | {"LD_PRELOAD": str(shim), "CLOCK_OFFSET": str(offset)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_HANGS,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["wrong"] == []
    # Years of rows' times lie between them, and the turns follow each other all the same.
    async with open_memory(str(folder), embedder="hash") as memory:
        for talk, said in told["told"].items():
            assert [text for _, text in await turns_of(memory, talk)] == said
        held = sorted(row["content"] for row in await rows_of(memory))
        assert held == sorted(
            [*told["memories"], *(one for t in told["told"].values() for one in t)]
        )
        assert (await memory.maintain()).ok
    # What was cleared is gone from every file, whatever time those say they are of.
    assert await found(folder, [text.split()[0] for text in told["gone"]]) == {}
    # The command has an event loop of its own.
    assert (await asyncio.to_thread(doctor, folder))[0] == 0
    counts(jumps=jumps, acknowledged=len(held), lost=0, doubled=0)
