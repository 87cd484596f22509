"""Users, sessions and notes as the texts that session stores keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, TypeVar

from bruno_core.models.context import SessionContext, UserContext

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rows import tagged_json as jsonable
from bruno_memory_vec.rows.weight import in_thread_if, is_heavy
from bruno_memory_vec.sessions.protocol import ConversationNote

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


def note_to_text(note: ConversationNote) -> str:
    """A note as JSON; what it has not is left out."""
    return jsonable.dumps({name: held for name, held in asdict(note).items() if held is not None})


def note_from_text(text: str) -> ConversationNote:
    """The note that :func:`note_to_text` was given. What a newer version has added is left out."""
    held: dict[str, Any] = jsonable.loads(text)
    return ConversationNote(**{name: held[name] for name in _OF_A_NOTE if name in held})


_OF_A_NOTE = tuple(field.name for field in fields(ConversationNote))
