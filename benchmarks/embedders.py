"""What embedders cost: ``python -m benchmarks.embedders --model FOLDER --json -``.

Each row is a process of its own, so that its load time is a cold one: imports, model and the
first vector. "cached" is the same embedder behind a cache that another process filled a
moment before; its "missed" row is that process, which found nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.environment import describe, quiet_logs, write_json

_screen = Console(stderr=True)
_WORDS = (
    "hotel train garden piano doctor recipe budget wedding marathon kitten boiler lens market "
    "river bread holiday garage library ticket museum concert bicycle allergy passport neighbour "
    "we they she he bought lost found wrote called visited liked the a of in with after before"
).split()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedders", description=__doc__)
    parser.add_argument("--model", help="a sentence-transformers model, by folder or name")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout")
    parser.add_argument("--one", nargs=2, metavar=("SPEC", "CACHE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    quiet_logs()
    if arguments.one:
        spec, cache = arguments.one
        figures = asyncio.run(_measure(spec, cache or None, arguments))
        sys.stdout.write(json.dumps(figures) + "\n")
        return 0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, spec, cache in _rows(arguments.model, folder):
            _screen.print(f"measuring {name} ...")
            rows.append({"embedder": name, **_in_a_process(spec, cache, arguments)})
    _show(rows)
    settings = {
        "model": arguments.model and Path(arguments.model).name,
        "texts": arguments.texts,
        "queries": arguments.queries,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS"),
    }
    write_json({**describe(), **settings, "figures": rows}, arguments.json)
    return 0


def _rows(model: str | None, folder: str) -> list[tuple[str, str, str]]:
    """(name, embedder, cache folder or "")"""
    rows = [("static", "static", "")]
    if model:
        name = "sentence-transformers"
        spec = f"sentence-transformers:{model}?device=cpu"
        rows += [
            (f"{name}, fp32", f"{spec}&precision=fp32", ""),
            (f"{name}, bf16", f"{spec}&precision=bf16", ""),
            (f"{name}, dim=128", f"{spec}&dim=128", ""),
            (f"{name}, fp32, cache missed", f"{spec}&precision=fp32", folder),
            (f"{name}, fp32, cached", f"{spec}&precision=fp32", folder),
        ]
    return rows


def _in_a_process(spec: str, cache: str, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.embedders", "--one", spec, cache]
    command += ["--texts", str(arguments.texts), "--queries", str(arguments.queries)]
    done = subprocess.run(
        command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stderr)
        raise SystemExit(f"{spec} could not be measured")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


async def _measure(spec: str, cache: str | None, arguments: argparse.Namespace) -> dict[str, Any]:
    chance = random.Random(7)
    texts = [_sentence(chance) for _ in range(arguments.texts)]
    queries = [_sentence(chance, 5, 12) for _ in range(arguments.queries)]
    began = time.perf_counter()
    # Here, so that the imports count.
    from bruno_memory_vec.embedders import CachedEmbedder, embed_texts, resolve_embedder

    embedder = resolve_embedder(spec, cache=cache)
    await embed_texts(embedder, ["to load it"])
    load = time.perf_counter() - began
    began = time.perf_counter()
    await embed_texts(embedder, texts)
    batch = time.perf_counter() - began
    times = []
    for query in queries:
        began = time.perf_counter()
        await embed_texts(embedder, [query], "query")
        times.append(time.perf_counter() - began)
    figures: dict[str, Any] = {
        "dimension": embedder.fingerprint.dimension,
        "load_s": round(load, 2),
        "query_p50_ms": round(1000 * statistics.median(times), 3),
        "texts_per_s": round(len(texts) / batch),
        "batch_s": round(batch, 3),
    }
    if isinstance(embedder, CachedEmbedder):
        health = embedder.health()
        figures["cache"] = {name: health[name] for name in ("hits", "misses", "vectors", "bytes")}
        embedder.close()
    return figures


def _sentence(chance: random.Random, shortest: int = 5, longest: int = 40) -> str:
    return " ".join(chance.choices(_WORDS, k=chance.randint(shortest, longest)))


def _show(rows: list[dict[str, Any]]) -> None:
    table = Table("embedder", "load s", "one query ms", "texts/s", "dimension")
    for row in rows:
        figures = (row["load_s"], row["query_p50_ms"], f"{row['texts_per_s']:,}", row["dimension"])
        table.add_row(row["embedder"], *map(str, figures))
    _screen.print(table)


if __name__ == "__main__":
    sys.exit(main())
