"""The steps of a ranking after its fusion, one in each file, and the order in which they run."""

from __future__ import annotations

from typing import Any, TypeVar

from .answers import Answers
from .asked_before import AskedBefore
from .conversation import ConversationPrior
from .coverage import Coverage
from .cross_encoder import CrossEncoder
from .current import Current
from .day import Day
from .diversity import Diversity
from .duplicates import Duplicates
from .feedback import Feedback
from .importance import Importance
from .learned import Learned
from .length import Length
from .neighbours import Neighbours
from .opening import Opening
from .passages import Passages
from .recency import Recency
from .repeats import Repeats
from .speaker import Speaker
from .statement import Statement
from .step import NEEDS, Ask, CrossScore, Step
from .time_mention import TimeMention
from .time_named import TimeNamed
from .update import Update
from .use import Use

__all__ = [
    "STEPS",
    "Answers",
    "Ask",
    "AskedBefore",
    "ConversationPrior",
    "Coverage",
    "CrossEncoder",
    "CrossScore",
    "Current",
    "Day",
    "Diversity",
    "Duplicates",
    "Feedback",
    "Importance",
    "Learned",
    "Length",
    "Neighbours",
    "Opening",
    "Passages",
    "Recency",
    "Repeats",
    "Speaker",
    "Statement",
    "Step",
    "TimeMention",
    "TimeNamed",
    "Update",
    "Use",
    "register_step",
]

_IN_ORDER: tuple[type[Step], ...] = (
    # Gains from the turns around a row and from its conversation.
    Neighbours,
    Answers,
    ConversationPrior,
    Day,
    Opening,
    Coverage,
    # Gains from the row's own text and cues.
    Passages,
    Speaker,
    Length,
    Statement,
    TimeMention,
    TimeNamed,
    # Weighs all signals before it; the steps after it start from the resulting score.
    Learned,
    Feedback,
    Current,
    # Small, bounded factors.
    Recency,
    Importance,
    Use,
    # These compare the best rows with each other, so the score must be nearly final.
    Update,
    CrossEncoder,
    AskedBefore,
    Repeats,
    Duplicates,
    # Last, because it chooses k rows one by one: a step after it would depend on k.
    Diversity,
)
#: Each step's class by its name, in the order in which the steps run.
STEPS: dict[str, type[Step]] = {step.name: step for step in _IN_ORDER}

# Names that a step must not have: the fusion's signals, and a profile's other tables and keys.
_TAKEN = frozenset(
    {"lexical", "semantic", "period", "description", "candidates", "query", "fusion"}
)

Registered = TypeVar("Registered", bound=Step)


def register_step(step: type[Registered], *, before: str) -> type[Registered]:
    """Register a step of your own, for `RankSettings` and for TOML profiles.

    Call it once, when your module is imported; a second call with the same class changes nothing.

    Args:
        step: a frozen dataclass that is a :class:`Step`.
        before: the name of the step before which it runs. A signal of a step before "learned"
            counts there only if a factor was trained for it.

    Raises:
        ValueError: there is no step ``before``, the class is no step, or its name is taken.
    """
    if before not in STEPS:
        raise ValueError(f"before must be one of {', '.join(STEPS)}, not {before!r}")
    name, needs = getattr(step, "name", None), getattr(step, "needs", None)
    given: Any = step
    made = getattr(given, "__dataclass_params__", None)
    if not isinstance(given, type) or made is None or not made.frozen:
        raise ValueError(f"a step must be a frozen dataclass, not {given!r}")
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"name must be a plain word, not {name!r}")
    if not isinstance(needs, frozenset) or not needs <= NEEDS:
        raise ValueError(f"needs must be a frozenset of {', '.join(sorted(NEEDS))}, not {needs!r}")
    if STEPS.get(name) is step:
        return step
    if name in STEPS or name in _TAKEN:
        raise ValueError(f"name is {name!r}, which is taken: give the step another")
    behind = list(STEPS)[list(STEPS).index(before) :]
    STEPS[name] = step
    for other in behind:
        STEPS[other] = STEPS.pop(other)
    return step
