"""Reading trails: entries by filters, of all trails of a folder, and whether their chains hold."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from bruno_memory_vec.errors import BackendUnavailable, InvalidInputError
from bruno_memory_vec.store.trail.entry import NOTHING, AuditEntry, Chain, entry_of, parts_of
from bruno_memory_vec.store.trail.files import (
    Head,
    files_of,
    has_head,
    lines_of,
    read_head,
    trails_in,
)
from bruno_memory_vec.wording import counted

# A line that is being written may be seen in part; it is whole a moment later.
_LOOK_AGAIN: Final = 0.05
_MOST_PROBLEMS: Final = 100


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries. None means any.

    Attributes:
        user: about this user's rows; entries about all users are among them where ``strict`` is
            False.
        caller: who called.
        action: what was done.
        since: at this time or later.
        until: before this time.
        strict: only entries that name the user, and of these the user alone.
    """

    user: str | None = None
    caller: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    strict: bool = False

    def matches(self, entry: AuditEntry, chain: Chain) -> bool:
        """Whether an entry is one of them."""
        if self.user is not None:
            wanted = {self.user, chain.named(self.user)}
            if not self.strict:
                wanted.add("*")
            if not wanted.intersection(entry.users):
                return False
        return (
            (self.caller is None or entry.caller == self.caller)
            and (self.action is None or entry.action == self.action)
            and (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
        )

    def shown(self, entry: AuditEntry, chain: Chain) -> AuditEntry:
        """The entry as it may be shown: of a strict filter, without other users."""
        if not self.strict or self.user is None:
            return entry
        own = (self.user, chain.named(self.user))
        users = tuple(one for one in entry.users if one in own)
        counts = entry.counts if users == entry.users else {}
        view = entry.view if entry.view in own else None
        talks = entry.conversations if users == entry.users else ()
        return replace(entry, users=users, conversations=talks, counts=counts, view=view)


def entries_in(folder: Path, where: AuditFilter, chain: Chain, limit: int) -> list[AuditEntry]:
    """The newest entries of all trails of a folder that match, the newest first.

    Raises:
        BackendUnavailable: a file cannot be read.
    """

    def found() -> Iterator[AuditEntry]:
        for trail in trails_in(folder):
            for path in files_of(folder, trail):
                for line in lines_of(path):
                    parts = parts_of(line)
                    if parts is None:
                        continue  # verify() tells
                    entry = _read(trail, parts[1])
                    if entry is not None and where.matches(entry, chain):
                        yield where.shown(entry, chain)

    try:
        return heapq.nlargest(limit, found(), key=lambda one: (one.at, one.trail, one.number))
    except OSError as error:
        raise _unreadable(folder, error) from error


def heads_in(folder: Path) -> dict[str, dict[str, Any]]:
    """By trail, how many entries it has, and the hash of the last one."""
    return {trail: read_head(folder, trail).told() for trail in trails_in(folder)}


@dataclass(frozen=True, slots=True)
class AuditProblem:
    """Something that is wrong with a trail.

    Attributes:
        trail: which.
        number: at which entry; None for the trail as a whole.
        found: what is wrong.
    """

    trail: str
    number: int | None
    found: str

    def __str__(self) -> str:
        where = self.trail if self.number is None else f"{self.trail}, entry {self.number}"
        return f"{where}: {self.found}"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What verifying the trails has found.

    Attributes:
        entries: by trail, how many entries were read.
        problems: what is wrong; empty is sound.
        heads: by trail, its end as it is now: ``count`` and ``hash``.
        keyed: whether the hashes were made with a key.
    """

    entries: Mapping[str, int]
    problems: tuple[AuditProblem, ...]
    heads: Mapping[str, Mapping[str, Any]]
    keyed: bool

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """The fields and ``ok`` as plain values that JSON can hold."""
        problems = [
            {"trail": one.trail, "number": one.number, "found": one.found} for one in self.problems
        ]
        return {
            "ok": self.ok,
            "entries": dict(self.entries),
            "problems": problems,
            "heads": {name: dict(head) for name, head in self.heads.items()},
            "keyed": self.keyed,
        }

    def __str__(self) -> str:
        total = sum(self.entries.values())
        trails = counted(len(self.entries), "trail")
        said = "the chain holds" if self.ok else "the chain does not hold"
        lines = [f"{counted(total, 'entry')} in {trails}: {said}"]
        lines.extend(f"PROBLEM in {one}" for one in self.problems)
        return "\n".join(lines)


def verify_trails(
    folder: Path, chain: Chain, handed_out: Mapping[str, Mapping[str, Any]] | None = None
) -> AuditReport:
    """Whether each trail is as it was written.

    Args:
        folder: where the trails are.
        chain: makes the hashes.
        handed_out: heads that were kept elsewhere, as :func:`heads_in` gave them out.

    Raises:
        InvalidInputError: a head is not usable.
        BackendUnavailable: a file cannot be read.
    """
    kept = _heads(handed_out)
    entries: dict[str, int] = {}
    problems: list[AuditProblem] = []
    heads: dict[str, Mapping[str, Any]] = {}
    for trail in sorted({*trails_in(folder), *kept}):
        try:
            one = _Verified(folder, trail, chain, kept.get(trail))
        except OSError as error:
            raise _unreadable(folder, error) from error
        entries[trail], heads[trail] = one.count, one.last.told()
        problems += one.problems
    return AuditReport(entries, tuple(problems), heads, chain.keyed)


class _Verified:
    """One trail, read from its beginning."""

    def __init__(self, folder: Path, trail: str, chain: Chain, kept: Head | None) -> None:
        self.trail, self._chain = trail, chain
        self.problems: list[AuditProblem] = []
        self.count = 0
        self.last = Head()
        self._kept, self._met_kept = kept, kept is None or kept.number == 0
        # Before the files: what is written meanwhile is no missing tail.
        head, headed = read_head(folder, trail), has_head(folder, trail)
        files, number = files_of(folder, trail), 0
        for path in files:
            number += 1
            named = int(path.name.split(".")[1])
            if named != number:
                self._wrong(None, f"the file {number:06d} is missing")
                number = named
            self._read(path, last=path == files[-1])
        if not headed and (files or self.count):
            self._wrong(None, f"its head is missing: {trail}.head")
        if head.number > self.last.number:
            missing = head.number - self.last.number
            self._wrong(
                None, f"the end is cut off: {counted(missing, 'entry is', 'entries are')} missing"
            )
        elif head.number and head.number == self.last.number and head.hash != self.last.hash:
            self._wrong(head.number, "its hash is not that of the head")
        if not self._met_kept and kept is not None:
            self._wrong(kept.number, "it is missing, and a head that was handed out knows it")

    def _wrong(self, number: int | None, found: str) -> None:
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(AuditProblem(self.trail, number, found))

    def _read(self, path: Path, *, last: bool) -> None:
        seen = 0
        for at, line in enumerate(lines_of(path), 1):
            seen += len(line)
            if not line.endswith(b"\n"):
                if last:
                    time.sleep(_LOOK_AGAIN)
                    with open(path, "rb") as file:
                        file.seek(seen - len(line))
                        line = file.readline()
                if not line.endswith(b"\n"):
                    self._wrong(None, f"the last line of {path.name} is cut short")
                    return
            found = parts_of(line)
            if found is None:
                self._wrong(None, f"line {at} of {path.name} is no entry: it was changed")
                continue
            self._entry(*found)

    def _entry(self, said: bytes, read: Mapping[str, Any]) -> None:
        number, before, made = read["n"], read["prev"], read["hash"]
        expected = self.last.number + 1
        if number < expected:
            self._wrong(number, "it stands behind a later one: inserted or reordered")
        elif number > expected:
            lost = f"entry {expected}" if number == expected + 1 else f"{expected} to {number - 1}"
            self._wrong(number, f"what stood before it is missing: {lost}")
        elif before != (self.last.hash if self.count else NOTHING):
            self._wrong(number, "it does not follow the one before: changed, removed or inserted")
        if self._chain.hash(before, said) != made:
            self._wrong(number, "it was changed: its hash is another one")
        about = read.get("about")
        if isinstance(about, dict) and about.get("head_missing"):
            self._wrong(number, "the head was missing here: what stood before may be cut off")
        kept = self._kept
        if kept is not None and number == kept.number:
            self._met_kept = True
            if made != kept.hash:
                self._wrong(number, "it is another one than when its head was handed out")
        self.count += 1
        self.last = Head(max(number, self.last.number), made)


def _read(trail: str, read: Mapping[str, Any]) -> AuditEntry | None:
    try:
        return entry_of(trail, read)
    except (KeyError, ValueError, TypeError):
        return None


def _heads(given: Mapping[str, Mapping[str, Any]] | None) -> dict[str, Head]:
    try:
        return {
            str(trail): Head(int(head["count"]), str(head["hash"]))
            for trail, head in ({} if given is None else given).items()
        }
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidInputError(
            "heads", "are not as audit_head() gives them out", fix="Give these.", cause=error
        ) from error


def _unreadable(folder: Path, error: OSError) -> BackendUnavailable:
    return BackendUnavailable(
        "audit",
        "read its trail",
        f"{folder}: {error}",
        fix="Check the rights of its files.",
        cause=error,
    )
