"""``python -m benchmarks.anonymise``: precision and recall on labelled texts, as JSON."""

from __future__ import annotations

import argparse
from datetime import datetime, timezone
from importlib.util import find_spec
from typing import Any

from benchmarks.anonymise.labelled import Labelled, read
from benchmarks.anonymise.measuring import Counts
from benchmarks.environment import describe, quiet_logs, write_json
from bruno_memory_vec.privacy.anonymise.anonymiser import Anonymiser

#: When the texts are taken to be written, for dates without a year.
WRITTEN = datetime(2024, 6, 1, tzinfo=timezone.utc)


def main() -> None:
    """Measure one half, in two ways, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.anonymise", description=__doc__)
    parser.add_argument("--half", choices=("development", "held-out"), default="held-out")
    parser.add_argument("--json", default="-", metavar="FILE", help="where to; - prints it")
    parser.add_argument("--errors", action="store_true", help="show each miss and each false find")
    asked = parser.parse_args()
    quiet_logs()
    texts = read(asked.half)
    alone, together = measure(texts, together=False), measure(texts, together=True)
    result: dict[str, Any] = {
        **describe(),
        "half": asked.half,
        "texts": len(texts),
        "phonenumbers": find_spec("phonenumbers") is not None,
        "each_text_alone": alone.figures(),
        "as_one_store": together.figures(),
    }
    if asked.errors:
        result["errors"] = {"missed": together.missed, "wrong": together.wrong}
    write_json(result, asked.json)


def measure(texts: list[Labelled], *, together: bool) -> Counts:
    """Count what is found in texts.

    Args:
        texts: the labelled ones.
        together: names that one text introduces are known in all others, as in a store.
    """
    counts = Counts()
    shared = Anonymiser()
    if together:
        for one in texts:
            shared.learn_text(one.text)
    for one in texts:
        counts.add(one, (shared if together else Anonymiser()).find(one.text, WRITTEN))
    return counts


if __name__ == "__main__":
    main()
