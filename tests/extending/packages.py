"""The plug-ins in ``examples/plugins``, each installed by pip as its users do."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bruno_memory_vec import plugins

EXAMPLES = Path(__file__).parents[2] / "examples" / "plugins"


@contextmanager
def installed(name: str, folder: Path) -> Iterator[Path]:
    """Install a plug-in into a folder, and let Python find it and its entry points there.

    Args:
        name: its folder in ``examples/plugins``.
        folder: an empty one of the test.
    """
    # A copy: building leaves files beside the sources.
    sources = shutil.copytree(EXAMPLES / name, folder / "sources")
    site = folder / "site"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--no-build-isolation", "--no-index", "--target", site, sources),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    plugins.forget_loaded()
    try:
        yield site
    finally:
        sys.path.remove(str(site))
        plugins.forget_loaded()
