"""Numbers of every kind at the door: taken, or refused by the name of their field."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bruno_core.models.message import Message

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import InvalidInputError

HUGE = 10**5000


class Unshown:
    """Its ``repr`` fails, and so does its index."""

    def __repr__(self) -> str:
        raise RuntimeError("no")

    def __index__(self) -> int:
        raise RuntimeError("no")


# Kept out of messages of failure, which would show the value.
NO_NUMBERS = [
    HUGE,
    -HUGE,
    Fraction(HUGE, 3),
    10**400,
    float("nan"),
    float("inf"),
    -float("inf"),
    True,
    Decimal("0.5"),
    Decimal("sNaN"),
    np.float64("nan"),
    np.float16("inf"),
    np.bool_(True),
    np.array([1, 2]),
    "1",
    1j,
    [HUGE],
    Unshown(),
]
FRACTIONS = ("min_importance", "min_confidence", "min_similarity", "min_confidence_of_answer")
CHOICES = ("kinds", "roles", "memory_types")


@pytest.mark.parametrize("argument", [*FRACTIONS, *CHOICES, "k"])
async def test_what_recall_cannot_use_is_named(argument: str) -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        for number, wrong in enumerate(NO_NUMBERS):
            with pytest.raises(InvalidInputError) as refused:
                await memory.recall("zebra", user_id="ana", **{argument: wrong})
            assert refused.value.field == argument, number
            assert refused.value.fix.startswith(("Give ", "Choose ")), number
            assert len(str(refused.value)) < 400, number


async def test_a_limit_that_is_none_is_named() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        for wrong in NO_NUMBERS:
            for call in (memory.retrieve_messages, memory.search_messages):
                with pytest.raises(InvalidInputError, match="limit"):
                    await call("talk", limit=wrong)


@pytest.mark.parametrize("field", ["embed_timeout", "recall_k", "max_messages", "recall_cache_mb"])
@pytest.mark.parametrize("bad", [HUGE, float("nan"), float("inf")], ids=["huge", "nan", "inf"])
async def test_a_setting_out_of_range_is_named(field: str, bad: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        await open_memory("memory://", embedder="hash", **{field: bad})
    assert refused.value.field == field


async def test_numbers_of_numpy_are_numbers() -> None:
    async with open_memory("memory://", embedder="hash") as memory:
        for text in ("the zebra", "the zebra again"):
            await memory.store_message(Message(role="user", content=text), "talk", user_id="ana")
        for least in (np.float32(0.5), np.float64(0.5), np.int64(0), Fraction(1, 2)):
            found = await memory.recall("zebra", user_id="ana", k=np.int64(2), min_importance=least)
            assert len(found) == 2
        assert len(await memory.retrieve_messages("talk", limit=np.int64(1))) == 1


async def test_a_profile_with_a_number_of_thousands_of_digits(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(f"[candidates]\nsemantic = {'9' * 5000}\n")
    async with open_memory("memory://", embedder="hash") as memory:
        with pytest.raises(InvalidInputError, match="own is not TOML"):
            await memory.recall("zebra", user_id="ana", profile=str(file))
