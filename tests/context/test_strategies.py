"""A strategy of one's own: what it may not be is refused, and the field is named."""

from __future__ import annotations

from typing import Any

import pytest

from bruno_memory_vec.context import STRATEGIES, Strategy
from bruno_memory_vec.errors import InvalidInputError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((share, wrong) for share in ("pinned", "recent") for wrong in (-1, 2.0, "lots", None)),
        ("system", float("nan")),
        ("about", True),
        ("summaries", 1.01),
        ("recalled", "magic"),
        ("recalled", ["question"]),
        ("name", ""),
        ("name", None),
        ("description", 5),
        ("profile", "no such profile"),
        ("more_recent", "yes"),
    ],
)
def test_a_field_that_is_not_usable(field: str, value: Any) -> None:
    fields = {"name": "own", "description": "", field: value}
    with pytest.raises(InvalidInputError, match=field):
        Strategy(**fields)


def test_pins_have_half_of_the_room() -> None:
    shares = {name: strategy.pinned for name, strategy in STRATEGIES.items()}
    assert shares == {"hybrid": 0.5, "semantic": 0.5, "importance": 0.5, "sliding_window": 0.0}
    assert Strategy("own", "", recent=1).recent == 1.0
