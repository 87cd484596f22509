"""How long the torture is: short in the ordinary suite, long by ``make torture``; its counts."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TypeVar

import pytest

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Torture:
    """``long`` where ``BRUNO_TORTURE=long`` asks for it."""

    long: bool

    def choose(self, short: T, long: T) -> T:
        """The figure that fits."""
        return long if self.long else short


@pytest.fixture(scope="session")
def torture() -> Torture:
    return Torture(os.environ.get("BRUNO_TORTURE") == "long")


def counts(**figures: float | str) -> None:
    """Print what a test did as one line, so that a reader sees that it did something."""
    shown = [
        f"{name} {figure:.3g}" if isinstance(figure, float) else f"{name} {figure}"
        for name, figure in figures.items()
    ]
    # Standard error, which is that of the terminal also where several processes share the tests.
    print("counts: " + ", ".join(shown).replace("_", " "), file=sys.stderr, flush=True)
