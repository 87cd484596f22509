"""What is kept of messages while an export is compared with a store: some bytes each, no text."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID, uuid5

#: In the metadata of a message that has no time in its export: its time was inferred. So the next
#: ingest neither moves it nor takes it for the source's.
INFERRED: Final = "time_inferred"
#: The time of a message that has none.
NO_TIME: Final = -(2**63)
#: The id of a message that has none of its own.
NO_ID: Final = bytes(16)

_NAMESPACE = UUID("c6f0ad1e-8e0e-5b43-9d2c-0d5a7f1a6f34")


@dataclass(slots=True)
class Outline:
    """The messages of a conversation, in order; of an export, or of a store.

    Attributes:
        ids: 16 bytes each; of an export :data:`NO_ID` where the source gives none.
        digests: of each role and text.
        roles: a small number for each role.
        times: microseconds, UTC; :data:`NO_TIME` where the source gives none.
        inferred: of a store, 1 where the time was inferred.
        imported: of a store, 1 where the message was imported.
        archived: of a store, whether a message of it is archived.
    """

    ids: bytearray = field(default_factory=bytearray)
    digests: array[int] = field(default_factory=lambda: array("Q"))
    roles: bytearray = field(default_factory=bytearray)
    times: array[int] = field(default_factory=lambda: array("q"))
    inferred: bytearray = field(default_factory=bytearray)
    imported: bytearray = field(default_factory=bytearray)
    archived: bool = False

    def __len__(self) -> int:
        return len(self.digests)

    def add(
        self,
        id_: bytes,
        digest: int,
        role: int,
        time: int,
        *,
        inferred: bool = False,
        imported: bool = True,
    ) -> None:
        """Add a message at the end."""
        self.ids += id_
        self.digests.append(digest)
        self.roles.append(role)
        self.times.append(time)
        self.inferred.append(inferred)
        self.imported.append(imported)

    def id(self, at: int) -> bytes:
        """The id of a message."""
        return bytes(self.ids[16 * at : 16 * at + 16])

    def set_id(self, at: int, id_: bytes) -> None:
        """Give a message an id."""
        self.ids[16 * at : 16 * at + 16] = id_

    def is_timed(self, at: int) -> bool:
        """Whether a source gives the message its time."""
        return self.times[at] != NO_TIME and not self.inferred[at]

    def in_order(self, order: Sequence[int]) -> Outline:
        """The same messages in another order."""
        found = Outline(archived=self.archived)
        for at in order:
            found.add(
                self.id(at),
                self.digests[at],
                self.roles[at],
                self.times[at],
                inferred=bool(self.inferred[at]),
                imported=bool(self.imported[at]),
            )
        return found


def digest_of(role: str, content: str) -> int:
    """A number for what was said by whom."""
    said = f"{role}\0{content}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "little")


def id_of_source(conversation_id: str, source_id: str) -> bytes:
    """The id of a message whose source gives it one that is no UUID."""
    return uuid5(_NAMESPACE, f"source\0{conversation_id}\0{source_id}").bytes


def id_again(id_: bytes, count: int) -> bytes:
    """The id of the ``count``-th further message to which the source gives the same id."""
    return uuid5(_NAMESPACE, f"again\0{id_.hex()}\0{count}").bytes


def derived_id(conversation_id: str, digest: int, time: int, count: int) -> bytes:
    """The id of a message whose source gives none: of what was said, when, and how often before.

    Nothing of it depends on where in the file the message stands.
    """
    return uuid5(_NAMESPACE, f"said\0{conversation_id}\0{digest}\0{time}\0{count}").bytes


def is_derived(id_: bytes) -> bool:
    """Whether an id was made from a name (version 5), as ours are and an earlier version's."""
    return id_[6] >> 4 == 5
