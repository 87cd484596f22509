"""Users and sessions as the texts that session stores keep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from bruno_core.models.context import SessionContext, UserContext

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rows import tagged_json as jsonable
from bruno_memory_vec.rows.weight import in_thread_if, is_heavy

C = TypeVar("C", UserContext, SessionContext)


async def to_text(model: UserContext | SessionContext) -> str:
    """A user or session as JSON; in a thread if it is large.

    Raises:
        InvalidInputError: it was changed meanwhile.
    """

    def write() -> str:
        fields = {name: getattr(model, name) for name in type(model).model_fields}
        try:
            return jsonable.dumps(fields)
        except ValueError as error:
            raise InvalidInputError(
                type(model).__name__,
                str(error),
                fix="Change it when the call is over.",
                cause=error,
            ) from error

    return await in_thread_if(is_heavy(model), write)


async def from_texts(kind: type[C], texts: Sequence[str]) -> list[C]:
    """The users or sessions that :func:`to_text` was given; in a thread if they are large."""
    return await in_thread_if(
        is_heavy(texts), lambda: [kind.model_construct(**jsonable.loads(text)) for text in texts]
    )
