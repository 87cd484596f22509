"""Makes ``fixtures/``: a small store of each format, written by a version that wrote it.

    python tests/migrations/make_fixtures.py [FORMAT ...]

Each is written by the last commit of its format, checked out beside this repository, with the
engines that are installed here. It is copied while it is open, as a kill would leave it, so that
from format 3 on the newest row is only in the log. The fixture of the present format is written by
the checkout itself. Ids, times and texts are fixed; files' names, and the ids of sessions, are not.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: The last commit of each earlier format.
COMMITS = {
    1: "c47f695fd94d843411448006e9b51c48a46ba401",
    2: "fe03e77888d92a57660001bdbe08c6653e912a46",
    3: "4a79b4c633fd0538f82ca75305eaab8c1ad79cdf",
    4: "53f2c2483312b1ec9f28c67d7fdd1406d25d9bc5",
    5: "1fb2c851a8736b4b78b085ebcba47c461cc91c56",
}
NOW = 6


def main() -> None:
    for number in map(int, sys.argv[1:] or [*COMMITS, NOW]):
        with tempfile.TemporaryDirectory() as folder:
            make(number, Path(folder))


def make(number: int, folder: Path) -> None:
    source = ROOT
    if number != NOW:
        source = folder / "source"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "-q", "--detach", str(source), COMMITS[number]], check=True)
    try:
        subprocess.run(
            [sys.executable, HERE / "write_fixture.py", folder / "open", folder / "killed"],
            check=True,
            env={**os.environ, "PYTHONPATH": str(source)},
        )
    finally:
        if number != NOW:
            subprocess.run([*git, "remove", "--force", str(source)], check=True)
    pack(folder / "killed", HERE / "fixtures" / f"format-{number}.tar.gz")


def pack(store: Path, target: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=9) as archive:
        for path in sorted(store.rglob("*")):
            # Names of processes, and what SQLite makes anew.
            if path.name.startswith("writer.") or path.name.endswith("-shm"):
                continue
            info = archive.gettarinfo(path, str(path.relative_to(store)))
            info.uid = info.gid = 0
            info.uname = info.gname = ""
            if path.is_file():
                with path.open("rb") as file:
                    archive.addfile(info, file)
            else:
                archive.addfile(info)
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(packed.getvalue())


if __name__ == "__main__":
    main()
