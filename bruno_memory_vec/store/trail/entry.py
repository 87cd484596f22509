"""An entry of the audit trail, and the chain that it is in."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from bruno_memory_vec.acts import ACTIONS

#: How a call ended. "begun" is noted before a commit, so that nothing is changed without an entry.
Outcome = Literal["begun", "done", "refused", "failed"]

#: The chain before the first entry.
NOTHING: Final = "0" * 64
#: What an entry says was done; "trail" is what the trail says of itself.
AUDITED: Final = (*ACTIONS, "trail")
#: The caller of what the library does by itself: upkeep, extraction, what expires.
LIBRARY: Final = "library"
_HASHED: Final = "h:"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that was done.

    Attributes:
        trail: in whose trail it is; each process that is open at the same time has its own.
        number: its place there, from 1.
        at: when (timezone-aware, UTC).
        action: "read", "write", "delete", "export", "erase", "administer"; "trail" for what the
            trail says of itself: that it was opened, and what it had lost.
        call: the method.
        caller: who called, as ``for_user(caller=...)`` says; "library" for what was done in the
            background; None where nobody was named.
        purpose: what for, as ``for_user(purpose=...)`` says.
        view: the user of the view that was used; None for the whole memory.
        users: whose rows it was about; "*" for all. Keyed hashes where the settings say so.
        conversations: which, where the call names any; hashed as users are.
        counts: how many, by kind: "message", "memory", "other".
        outcome: "begun" for a commit, noted before it; "done", "refused" or "failed".
        error: the name of the error.
        about: what a "trail" entry says.
        hash: of this entry and the one before.
    """

    trail: str
    number: int
    at: datetime
    action: str
    call: str
    caller: str | None = None
    purpose: str | None = None
    view: str | None = None
    users: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    outcome: str = "done"
    error: str | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values that JSON can hold."""
        return {
            "trail": self.trail,
            "number": self.number,
            "at": self.at.isoformat(),
            "action": self.action,
            "call": self.call,
            "caller": self.caller,
            "purpose": self.purpose,
            "view": self.view,
            "users": list(self.users),
            "conversations": list(self.conversations),
            "counts": dict(self.counts),
            "outcome": self.outcome,
            "error": self.error,
            "about": dict(self.about),
            "hash": self.hash,
        }

    def __str__(self) -> str:
        """One line for people; ids as they were given, so mark them before a terminal shows it."""
        whose = ", ".join(self.users) or "-"
        many = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        parts = [
            f"{self.at:%Y-%m-%d %H:%M:%S}",
            self.action,
            self.call,
            f"of {whose}",
            many,
            f"by {self.caller}" if self.caller else "",
            f"for {self.purpose}" if self.purpose else "",
            "" if self.outcome in ("done", "begun") else f"{self.outcome}: {self.error}",
        ]
        return "  ".join(part for part in parts if part)


class Chain:
    """Makes the hashes of a chain: each of an entry and of the hash before it.

    Args:
        key: with one, the hashes are HMACs, so that who can write the files cannot make them; and
            ids can be hashed. Without one, they are SHA-256.
    """

    def __init__(self, key: bytes | None) -> None:
        self._key = None if key is None else hashlib.sha256(b"chain" + key).digest()
        self._names = None if key is None else hashlib.sha256(b"names" + key).digest()

    @property
    def keyed(self) -> bool:
        """Whether it has a key."""
        return self._key is not None

    def hash(self, before: str, body: bytes) -> str:
        """The hash of an entry (hex), given the one before it."""
        said = before.encode() + body
        if self._key is None:
            return hashlib.sha256(said).hexdigest()
        return hmac.new(self._key, said, hashlib.sha256).hexdigest()

    def named(self, name: str) -> str:
        """A keyed hash in place of an id; "*" stays."""
        if self._names is None or name == "*":
            return name
        return _HASHED + hmac.new(self._names, name.encode(), hashlib.sha256).hexdigest()[:32]


def line_of(number: int, body: Mapping[str, Any], before: str, chain: Chain) -> tuple[bytes, str]:
    """An entry as a line of a trail, and its hash.

    The line is JSON: the number, what was done, then the hash before and its own.
    """
    said = json.dumps({"n": number, **body}, ensure_ascii=False, separators=(",", ":")).encode()
    made = chain.hash(before, said)
    return said[:-1] + f',"prev":"{before}","hash":"{made}"}}\n'.encode(), made


# What stands behind what is hashed: ,"prev":"64 digits","hash":"64 digits"}
_TAIL: Final = len(',"prev":"","hash":""}') + 128


def parts_of(line: bytes) -> tuple[bytes, dict[str, Any]] | None:
    """What a line's hash is of, and the line read; None where it is no whole entry."""
    text = line.rstrip(b"\n")
    if len(text) <= _TAIL:
        return None
    try:
        read = json.loads(text)
        if not isinstance(read, dict) or not isinstance(read["n"], int):
            return None
        before, made = read["prev"], read["hash"]
    except (ValueError, KeyError, RecursionError):
        return None
    if text[-_TAIL:] != f',"prev":"{before}","hash":"{made}"}}'.encode():
        return None
    return text[:-_TAIL] + b"}", read


def entry_of(trail: str, read: Mapping[str, Any]) -> AuditEntry:
    """A line that was read (:func:`parts_of`) as an entry."""
    return AuditEntry(
        trail=trail,
        number=read["n"],
        at=datetime.fromisoformat(str(read["at"])),
        action=str(read["act"]),
        call=str(read.get("call", "")),
        caller=read.get("caller"),
        purpose=read.get("purpose"),
        view=read.get("view"),
        users=tuple(read.get("users", ())),
        conversations=tuple(read.get("talks", ())),
        counts=dict(read.get("counts", {})),
        outcome=str(read.get("outcome", "done")),
        error=read.get("error"),
        about=dict(read.get("about", {})),
        hash=str(read["hash"]),
    )
