"""``python -m benchmarks.conversations --locomo FOLDER``: which seams are found."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.conversations.boundaries import DEFAULT_TOPIC, DEFAULT_WINDOW, table


def main(arguments: list[str] | None = None) -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.conversations", description=__doc__)
    parser.add_argument("--locomo", type=Path, required=True, help="the folder with locomo10.json")
    parser.add_argument("--split", choices=("dev", "test", "all"), default="test")
    parser.add_argument("--count", type=int, default=100, help="joined conversations of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--topic", type=float, default=DEFAULT_TOPIC)
    parser.add_argument("--window", type=int, default=DEFAULT_WINDOW)
    given = parser.parse_args(arguments)
    command = " ".join(sys.argv[1:] if arguments is None else arguments)
    sys.stdout.write(f"python -m benchmarks.conversations {command}\n\n")
    sys.stdout.write(
        table(
            given.locomo,
            given.split,
            count=given.count,
            seed=given.seed,
            topic=given.topic,
            window=given.window,
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
