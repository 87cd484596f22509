"""A process killed at any call to the system inside a lexical commit: the store opens whole."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bruno_memory_vec import diagnose_store, open_memory
from tests.durability.support import ROOT, environment, message, rows_of
from tests.torture.conftest import Torture, counts
from tests.torture.syscalls import unavailable

_WHY_NOT = unavailable("shim")


@pytest.mark.slow
@pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))
async def test_every_call_inside_a_commit(tmp_path: Path, torture: Torture) -> None:
    """Among the images is one between a ``.del`` file and the ``meta.json`` that names it.

    The short form opens every state with such a file, and some of the others.
    """
    store = tmp_path / "store"
    async with open_memory(str(store), embedder="hash") as memory:
        texts = [message(f"word{number}x at the harbour") for number in range(12)]
        await memory.store_messages(texts, "talk", user_id="ana")
    images = tmp_path / "images"
    images.mkdir()
    kills = await asyncio.to_thread(make_images, store / "lexical", images)
    seen: set[object] = set()
    opened = between = 0
    for number, image in enumerate(sorted(images.iterdir())):
        named = (image / "meta.json").read_text(encoding="utf-8")
        # Segments have names of their own in each run.
        files = sorted((path.suffix, path.stat().st_size) for path in image.iterdir())
        state = (tuple(files), re.sub(r"[0-9a-f-]{36}", "", named))
        unnamed = has_deletions_that_nobody_names(image)
        wanted = (unnamed and between < torture.choose(2, 100)) or not number % torture.choose(
            15, 1
        )
        if state in seen or not wanted:
            continue
        seen.add(state)
        opened, between = opened + 1, between + unnamed
        folder = Path(shutil.copytree(store, tmp_path / "opened"))
        shutil.rmtree(folder / "lexical")
        shutil.copytree(image, folder / "lexical")
        await check(folder)
        shutil.rmtree(folder)
    counts(kills=kills, states_opened=opened, with_deletions_that_nobody_names=between)
    assert between


def has_deletions_that_nobody_names(image: Path) -> bool:
    segments = json.loads((image / "meta.json").read_text(encoding="utf-8"))["segments"]
    named = {
        f"{one['segment_id'].replace('-', '')}.{one['deletes']['opstamp']}.del"
        for one in segments
        if one["deletes"] is not None
    }
    return bool({path.name for path in image.glob("*.del")} - named)


async def check(folder: Path) -> None:
    async with open_memory(str(folder), embedder="hash") as memory:
        assert len(await rows_of(memory)) >= 12
        for number in range(12):
            hits = await memory.recall(f"word{number}x", user_id="ana", k=1)
            assert hits[0].content == f"word{number}x at the harbour"
            assert hits[0].signals["lexical"] > 0
        kept = message("stored afterwards")
        await memory.store_message(kept, "talk", user_id="ana")
        assert (await memory.recall("afterwards", user_id="ana", k=1))[0].signals["lexical"] > 0
        assert await memory.delete_messages(kept.id) == 1
        assert (await memory.health())["problems"] == {}
    checks = await diagnose_store(str(folder), embedder="hash")
    assert all(one.state != "problem" for one in checks)


def make_images(lexical: Path, images: Path) -> int:
    """Make an image for each kill; how many there are."""
    source, library = images.parent / "killer.c", images.parent / "killer.so"
    source.write_text(_KILLER, encoding="utf-8")
    build = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(build, check=True)
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "tests" / "torture" / "child_lexical_commit.py"),
            str(lexical),
            str(images),
        ],
        env={**environment(), "LD_PRELOAD": str(library)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[1])


# Kills the process before the n-th call that could change a folder, counted from arm(n) on.
_KILLER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_long left = 0;

void arm(int point) { left = point; }

static void cross(void) {
    if (left > 0 && atomic_fetch_sub(&left, 1) == 1) kill(getpid(), SIGKILL);
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define OPEN(name, first, ...) \
    int name(first, int flags, ...) { \
        va_list rest; va_start(rest, flags); int mode = va_arg(rest, int); va_end(rest); \
        REAL(name); \
        if (flags & O_CREAT) cross(); \
        return real(__VA_ARGS__, flags, mode); \
    }
#define CALL(kind, name, arguments, ...) \
    kind name arguments { REAL(name); cross(); return real(__VA_ARGS__); }

OPEN(open, const char *path, path)
OPEN(open64, const char *path, path)
CALL(ssize_t, write, (int fd, const void *data, size_t size), fd, data, size)
CALL(int, rename, (const char *from, const char *to), from, to)
CALL(int, renameat, (int a, const char *from, int b, const char *to), a, from, b, to)
CALL(int, unlink, (const char *path), path)
CALL(int, fsync, (int fd), fd)
CALL(int, fdatasync, (int fd), fd)
"""
