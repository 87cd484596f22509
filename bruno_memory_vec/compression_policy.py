"""What is compressed, when, and how much detail stays: one frozen value, also a setting."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bruno_memory_vec.config_words import why
from bruno_memory_vec.errors import InvalidInputError

_YEARS = timedelta(days=36_525)

#: Which conversations: every one, those in which nothing was said for a while, or whose session
#: has ended.
Which = Literal["all", "idle", "ended"]
#: Who writes the summaries. See :class:`CompressionPolicy`.
Method = Literal["auto", "llm", "extractive"]
#: How long a period is, of which one summary is made over all conversations of a user.
Period = Literal["day", "week", "month"]


class CompressionPolicy(BaseModel):
    """What is compressed, when, and how much detail stays.

    A turn is compressed where **all** of what the policy says holds of it. What is pinned, system
    messages, the newest messages of a user that nobody has answered yet, and calls of tools whose
    results are not all compressed with them are never compressed.

    Attributes:
        keep_newest: so many of the newest turns of each conversation stay as they are.
        older_than: only turns that are older than this. None: of any age.
        conversations: "all"; only "idle" ones, whose newest turn is older than ``idle_after``; or
            only those that have "ended", by ``end_session`` or as the conversation's note says.
        idle_after: how long nothing was said in an idle conversation.
        below_importance: only turns whose importance is less, 0..1. None: of any importance.
        min_turns: a conversation is compressed where at least so many of its turns may be.
        min_tokens: and where these have at least so many tokens.
        ratio: the most tokens of a block's summary, as a share of its turns' tokens.
        max_tokens: the most tokens of one summary, of any level.
        quotes: so many of the most telling sentences that a model's summary has left out are added
            to it, word by word. 0: none.
        block_turns: at most so many turns make one block, which gets one summary. Of few turns a
            recall finds it better; of very few it has no room for what was said.
        block_tokens: and at most so many tokens, or one turn.
        gap: a pause of this length begins a new block, where the block before it is not tiny.
        sessions: also a summary of each conversation with two or more summaries of blocks.
        period: also a summary of each past day, week or month, over all conversations of a user.
        method: "auto": the model that the memory was given, if any, and where it fails or its
            summary does not stand the checks, sentences chosen from the turns; "extractive": these
            alone; "llm": the model alone, and what it fails on stays uncompressed.
        timeout: how long a model may take for one summary, in seconds.
        background: compress by itself while the memory is open. Only of the setting
            ``compression``.
        every: how long the background rests between two looks.

    Raises:
        InvalidInputError: a value is not usable; the error names its field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_newest: int = Field(default=20, ge=0, le=1_000_000)
    older_than: timedelta | None = Field(default=None, ge=timedelta(0), le=_YEARS)
    conversations: Which = "all"
    idle_after: timedelta = Field(default=timedelta(days=1), ge=timedelta(0), le=_YEARS)
    below_importance: float | None = Field(default=None, ge=0, le=1)
    min_turns: int = Field(default=10, ge=2, le=1_000_000)
    min_tokens: int = Field(default=0, ge=0)
    ratio: float = Field(default=0.4, gt=0, lt=1)
    max_tokens: int = Field(default=800, ge=20, le=1_000_000)
    quotes: int = Field(default=3, ge=0, le=100)
    block_turns: int = Field(default=12, ge=2, le=1000)
    block_tokens: int = Field(default=6000, ge=50, le=10_000_000)
    gap: timedelta = Field(default=timedelta(hours=2), gt=timedelta(0), le=_YEARS)
    sessions: bool = True
    period: Period | None = None
    method: Method = "auto"
    timeout: float = Field(default=60.0, gt=0, le=86_400)
    background: bool = False
    every: timedelta = Field(default=timedelta(minutes=10), gt=timedelta(0), le=_YEARS)

    if not TYPE_CHECKING:  # a type checker knows the fields without it

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise _refused(error) from error


def _refused(error: ValidationError) -> InvalidInputError:
    first = error.errors()[0]
    name, problem = ".".join(["policy", *map(str, first["loc"][:1])]), why(first)
    fix = "Give another value."
    if first["type"] == "extra_forbidden":
        problem = "there is no such field"
        fix = f"The fields are {', '.join(CompressionPolicy.model_fields)}."
    elif name == "policy.timeout" and isinstance(first["input"], timedelta):
        problem = "is a timedelta, and it is a number of seconds"
    return InvalidInputError(name, problem, fix=fix, cause=error)


def policy_of(given: Any) -> CompressionPolicy:
    """The policy that a call was given: a policy, a dict of its fields, or None for the defaults.

    Raises:
        InvalidInputError: it is something else, or a field is not usable.
    """
    if given is None:
        return CompressionPolicy()
    if isinstance(given, CompressionPolicy):
        return given
    if isinstance(given, dict) and all(isinstance(key, str) for key in given):
        return CompressionPolicy(**given)
    raise InvalidInputError(
        "policy",
        f"is a {type(given).__name__}",
        fix="Give a CompressionPolicy, or a dict of its fields.",
    )
