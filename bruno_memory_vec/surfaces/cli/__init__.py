"""The command line, ``bruno-memory-vec``. Importing this loads none of it."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the command line on ``sys.argv`` and end the process with its exit code."""
    try:
        from bruno_memory_vec.surfaces.cli.app import run

        run()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
