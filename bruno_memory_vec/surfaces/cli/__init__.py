"""The command line, ``bruno-memory-vec``. Importing this loads none of it."""

from __future__ import annotations

import gc

__all__ = ["main"]


def main() -> None:
    """Run the command line on ``sys.argv`` and end the process with its exit code."""
    # Imports make very many objects that stay: looking through them again and again for some that
    # do not takes a tenth of the time until an answer is there.
    gc.set_threshold(50_000, 20, 20)
    try:
        from bruno_memory_vec.surfaces.cli.app import run

        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
