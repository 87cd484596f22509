"""What the fault tests share: a child that does as it is told, a small disk, the doctor."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from bruno_memory_vec.surfaces.cli.app import app
from tests.durability.support import ROOT, Child

_PACKAGE_ERRORS = {"BackendUnavailable", "EngineError", "IndexDamaged", "NotAStoreError"}


class Failed(Exception):
    """The child's call raised an error of the package."""

    def __init__(self, answer: dict[str, Any]) -> None:
        super().__init__(f"{answer['error']}: {answer['text']}")
        self.error: str = answer["error"]
        self.text: str = answer["text"]
        self.fix: str = answer["fix"]


class Hand:
    """A process that does as it is told to one store after another: importing takes long."""

    def __init__(self) -> None:
        self._child: Child | None = None

    def order(self, what: str, **how: Any) -> dict[str, Any]:
        if self._child is None:
            self._child = Child(ROOT / "tests" / "torture" / "child_faulty.py")
            assert self._child.hear() == "ready"
        self._child.say(json.dumps({"do": what, **how}))
        answer: dict[str, Any] = json.loads(self._child.hear(120))
        return answer

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


class Subject:
    """A store in another process, and which texts were acknowledged."""

    def __init__(self, hand: Hand, folder: Path) -> None:
        self.hand = hand
        self.folder = folder
        self.acknowledged: list[str] = []
        self._number = 0

    def do(self, what: str, **how: Any) -> Any:
        """What a call gives.

        Raises:
            Failed: it raised an error of the package, which names a fix.
        """
        answer = self.hand.order(what, **how)
        if "error" in answer:
            assert answer["error"] in _PACKAGE_ERRORS, answer["text"]
            assert answer["fix"]
            assert answer["text"].endswith(answer["fix"])
            assert "Traceback" not in answer["text"]
            raise Failed(answer)
        return answer["gave"]

    def open(self, **settings: Any) -> None:
        self.do("open", folder=str(self.folder), **settings)

    def store(self, count: int = 1, size: int = 40) -> None:
        """Store new texts, each of so many characters, as one call."""
        numbers = range(self._number, self._number + count)
        self._number += count
        texts = [f"text{number} {'lorem ipsum ' * (size // 12)}".strip() for number in numbers]
        self.do("store", texts=texts)
        self.acknowledged += texts

    def store_until_it_fails(self, size: int, most: int = 4000) -> Failed:
        """Store one message after the other; the first failure."""
        for _ in range(most):
            try:
                self.store(size=size)
            except Failed as failed:
                return failed
        raise AssertionError(f"{most} messages of {size} characters went in")

    def check(self) -> None:
        """Every acknowledged row is there once, nothing else, found by word; writing goes on."""
        assert self.do("rows") == sorted(self.acknowledged)
        for text in {*self.acknowledged[:1], *self.acknowledged[-1:]}:
            assert self.do("recall", question=text.split()[0])[0] == text
        self.store()
        assert self.do("recall", question=self.acknowledged[-1])[0] == self.acknowledged[-1]
        assert self.do("context")[-1] == self.acknowledged[-1]

    def check_anew(self) -> None:
        """The same, after closing and opening."""
        self.do("close")
        self.open()
        self.check()
        assert self.do("health") == {}


def doctor(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Run ``doctor --json``: its exit code and its document. An error of ours is no exception."""
    command = ["doctor", "--json", *options, "--store", str(folder), "--embedder", "hash"]
    before = structlog.get_config()
    try:
        done = CliRunner().invoke(app, command)
    finally:
        structlog.configure(**before)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    if "Traceback" in done.output:  # not asserted: pytest would compare the two for minutes
        raise AssertionError(done.output[-4000:])
    return done.exit_code, json.loads(done.stdout)


def states(report: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["state"] for check in report["checks"]}


def said(report: dict[str, Any], name: str) -> str:
    """What the doctor says of a part, and what to do about it."""
    return " ".join(
        f"{check['found']} {check['fix']}" for check in report["checks"] if check["name"] == name
    )


class SmallDisk:
    """A tmpfs of some MiB, mounted at a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, mebibytes: int) -> None:
        options = f"size={mebibytes}m"
        _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder))

    def remount(self, options: str) -> None:
        _run("mount", "-o", f"remount,{options}", str(self.folder))

    def fill(self, leave: int = 0) -> None:
        """Leave so many bytes free."""
        free = os.statvfs(self.folder)
        try:
            with (self.folder / "ballast").open("wb") as file:
                file.write(b"x" * max(0, free.f_bavail * free.f_frsize - leave))
        except OSError as error:
            # What is written meanwhile in the background may take more than was left.
            if error.errno != errno.ENOSPC:
                raise

    def empty(self) -> None:
        (self.folder / "ballast").unlink()

    def unmount(self) -> None:
        # Lazily: a process that was killed may still be going.
        _run("umount", "-l", str(self.folder))


@contextmanager
def small_disk(folder: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """A small file system; skips where none may be mounted."""
    folder.mkdir()
    disk = SmallDisk(folder)
    try:
        disk.mount(mebibytes)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system may be mounted here: {error}")
    try:
        yield disk
    finally:
        disk.unmount()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
