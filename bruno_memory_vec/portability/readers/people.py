"""Chats between people, as messengers export them: who is the user among those who speak.

A memory has a user and an assistant. Where it is known who of the people the user is (the caller's
``user_id`` is the name or id of one; the export says whose it is), what this one says has the role
"user", and what all others say "assistant", as the other side of the talk. Where it is not known,
all people have the role "user", and bots "assistant". Either way each text begins with the name of
who says it, and ``metadata["speaker"]`` has it, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bruno_core.models.message import MessageRole

from bruno_memory_vec.portability.readers.content import Content
from bruno_memory_vec.portability.readers.talk import Talk
from bruno_memory_vec.portability.records import Defaults, Turn


@dataclass(frozen=True, slots=True)
class People:
    """Who speaks in a chat.

    Attributes:
        owner: the names and ids of the user, in lower case; empty where nobody knows.
    """

    owner: frozenset[str] = frozenset()

    @classmethod
    def among(cls, defaults: Defaults, names: Iterable[Any], known: Iterable[Any] = ()) -> People:
        """Find the user among the names and ids of those who speak.

        Args:
            defaults: of the reading.
            names: of all who speak.
            known: names and ids that the export says are the user's.
        """
        found = {str(name).strip().lower() for name in known if name not in (None, "")}
        wanted = (defaults.user_id or "").strip().lower()
        if wanted and wanted in {str(name).strip().lower() for name in names}:
            found.add(wanted)
        return cls(frozenset(found))

    def role(self, *names: Any, bot: bool = False) -> MessageRole:
        """The role of who has these names and ids."""
        own = any(str(name).strip().lower() in self.owner for name in names if name)
        if own:
            return MessageRole.USER
        return MessageRole.ASSISTANT if self.owner or bot else MessageRole.USER


def said(
    talk: Talk,
    role: MessageRole,
    speaker: str,
    content: Content,
    *,
    time: datetime | None,
    source_id: str | None,
    about: dict[str, Any] | None = None,
    line: int | None = None,
) -> Iterator[Turn]:
    """What somebody says, as a turn that begins with the name."""
    yield from talk.say_content(
        role,
        content,
        time=time,
        source_id=source_id,
        about={"speaker": speaker, **(about or {})},
        line=line,
        begin=f"{speaker}: ",
    )
