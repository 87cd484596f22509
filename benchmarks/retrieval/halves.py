"""Dev and test side by side, from LoCoMo runs over all ten conversations.

``python -m benchmarks.retrieval.halves benchmarks/results/retrieval/locomo-all-*.json`` prints a
Markdown table. Every figure follows from the ranks in the files, so nothing is run again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval.datasets.locomo import HEADLINE
from benchmarks.retrieval.metrics import figures

#: Weights are chosen on the first five conversations, and checked on the others.
DEV_CONVERSATIONS = 5
_SHOWN = ("recall@5", "recall@10", "ndcg@10")


def halves(run: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The headline figures of a LoCoMo run by part: "all", "dev", "test".

    Args:
        run: a report of `benchmarks.retrieval` over all ten conversations.
    """
    asked = run["questions"]
    headline = {str(category) for category in HEADLINE}
    kept = [
        (asked["group"][place] < DEV_CONVERSATIONS, asked["gold"][place])
        for place, category in enumerate(asked["category"])
        if asked["category_names"][category] in headline
    ]
    parts = {
        "all": [ranks for _, ranks in kept],
        "dev": [ranks for dev, ranks in kept if dev],
        "test": [ranks for dev, ranks in kept if not dev],
    }
    return {
        part: {name: float(np.mean(values)) for name, values in figures(ranks).items()}
        for part, ranks in parts.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit status is 0."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.halves")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE.json")
    heads = [f"{part} {name}" for name in _SHOWN for part in ("all", "dev", "test")]
    lines = []
    for path in parser.parse_args(arguments).files:
        run = json.loads(path.read_text(encoding="utf-8"))
        found = halves(run)
        cells = [f"{found[part][name]:.3f}" for name in _SHOWN for part in ("all", "dev", "test")]
        latency = run["latency"]
        who = (run["system"], run["embedder"] or "-")
        lines.append([*who, *cells, f"{latency['p50_ms']:.1f}", f"{latency['p95_ms']:.1f}"])
    table = [["system", "embedder", *heads, "p50 ms", "p95 ms"], *lines]
    table.insert(1, ["---", "---", *["--:"] * (len(table[0]) - 2)])
    sys.stdout.write("".join(f"| {' | '.join(row)} |\n" for row in table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
