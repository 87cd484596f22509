"""What several processes did to one store, in one order, and what each may therefore see.

Every process appends a line to one file before an operation and one after it was acknowledged. An
append is atomic, so the lines are in an order that all of them agree on, and the number of a line
is a time: what was acknowledged before a look began has to be seen by it, and what was deleted
before it began must not be.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Removal:
    """A deletion: when it began and, if it was acknowledged, when it ended."""

    begun: int
    ended: int | None = None


@dataclass(slots=True)
class Item:
    """One message or memory: what it says, where it is, and when it was stored.

    Attributes:
        begun: when its storing began.
        acknowledged: when that returned, None where it has not.
        removals: of a message those of its conversation, of a memory its own.
    """

    id: str
    user: str
    place: str | None
    text: str
    begun: int
    acknowledged: int | None
    removals: list[Removal] = field(default_factory=list)

    def is_there(self, since: int, until: int) -> bool:
        """Whether every look that began at ``since`` and ended at ``until`` has to see it."""
        return (
            self.acknowledged is not None
            and self.acknowledged < since
            and all(
                removal.begun >= until or (removal.ended is not None and removal.ended < self.begun)
                for removal in self.removals
            )
        )

    def is_gone(self, since: int) -> bool:
        """Whether no look that began at ``since`` may see it."""
        return self.acknowledged is not None and any(
            removal.begun > self.acknowledged
            and removal.ended is not None
            and removal.ended < since
            for removal in self.removals
        )


class History:
    """Writes to the common file, and reads what all have written."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._read = 0
        self._rest = b""
        self._lines = 0
        self._operations: dict[str, dict[str, Any]] = {}
        self._begun: dict[str, int] = {}
        self.items: dict[str, Item] = {}
        self._places: dict[str, list[Removal]] = {}
        self._removals: dict[str, Removal] = {}

    def begin(self, operation: str, **what: Any) -> None:
        """Note that an operation begins; ``operation`` is its id."""
        self._write({"begin": operation, **what})

    def end(self, operation: str, **what: Any) -> None:
        """Note that an operation was acknowledged, or was refused."""
        self._write({"end": operation, **what})

    def now(self) -> int:
        """The time: how many lines there are. Reads the new ones."""
        size = os.fstat(self._file).st_size
        self._rest += os.pread(self._file, size - self._read, self._read)
        self._read = size
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._take(json.loads(line), self._lines)
            self._lines += 1
        return self._lines

    def of(self, place: str) -> Iterator[Item]:
        """The messages of a conversation, as of the last :meth:`now`."""
        return (item for item in list(self.items.values()) if item.place == place)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def _take(self, line: dict[str, Any], at: int) -> None:
        if "begin" in line:
            operation = line["begin"]
            self._operations[operation] = line
            if line["do"] == "store":
                # The list is the conversation's: it also holds the removals that come later.
                removals = self._places.setdefault(line["place"], []) if line["place"] else None
                for id_, text in zip(line["ids"], line["texts"], strict=True):
                    its = [] if removals is None else removals
                    self.items[id_] = Item(id_, line["user"], line["place"], text, at, None, its)
            elif line["do"] == "clear":
                removal = self._removals[operation] = Removal(at)
                self._places.setdefault(line["place"], []).append(removal)
            elif line["do"] == "delete":
                removal = self._removals[operation] = Removal(at)
                self.items[line["id"]].removals.append(removal)
            return
        begun = self._operations.pop(line["end"])
        if line.get("refused"):
            return
        if begun["do"] == "store":
            for id_ in begun["ids"]:
                self.items[id_].acknowledged = at
        else:
            self._removals[line["end"]].ended = at


def wrong_in_context(
    history: History, place: str, seen: Sequence[str], told: Sequence[str], since: int, until: int
) -> list[str]:
    """What is wrong with a context.

    Args:
        history: as of ``until``.
        place: the conversation.
        seen: the ids in the context, oldest first.
        told: the ids of the conversation by turn, read from the rows after the context.
        since: when the context was asked for.
        until: when the rows had been read.
    """
    wrong = []
    position = {id_: number for number, id_ in enumerate(told)}
    newest = [position[id_] for id_ in seen if id_ in position]
    if newest != sorted(newest):
        wrong.append(f"the context of {place} is not in the order of the turns")
    oldest = min(newest, default=-1)
    for item in history.of(place):
        if item.is_gone(since) and item.id in seen:
            wrong.append(f"the context of {place} shows {item.text!r}, which was deleted")
        if not item.is_there(since, until):
            continue
        if item.id not in position:
            wrong.append(f"{item.text!r} is not among the rows of {place}")
        elif position[item.id] > oldest and item.id not in seen:
            wrong.append(f"the context of {place} lacks {item.text!r}, which was acknowledged")
    return wrong
