"""The steps between formats, oldest first, one a module."""

from __future__ import annotations

from bruno_memory_vec.upkeep.migrations.steps import (
    to_2_cues,
    to_3_log_and_keys,
    to_4_metadata_pairs,
    to_5_checksums,
    to_6_origins,
)
from bruno_memory_vec.upkeep.migrations.steps.step import Step

#: By the older format of each.
STEPS: dict[int, Step] = {
    step.BELOW: step
    for step in (
        to_2_cues,
        to_3_log_and_keys,
        to_4_metadata_pairs,
        to_5_checksums,
        to_6_origins,
    )
}


def steps_between(before: int, after: int) -> list[Step]:
    """The steps from one format to another, in the order in which they are done."""
    if before <= after:
        return [STEPS[below] for below in range(before, after)]
    return [STEPS[below] for below in range(before - 1, after - 1, -1)]
