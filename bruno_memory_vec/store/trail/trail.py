"""The audit trail of an open memory: told of calls by ``@acts``, and of commits by the writer.

A commit is noted before it is made, so nothing is stored or deleted without an entry; where it
fails, the call's own entry says so. What is read is noted when the call returns. Each entry is in
its file before the caller is answered, so a kill loses none. Where the trail cannot be written, the
call fails: what is not noted is not done.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bruno_memory_vec.acts import Act, current_act
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.protocols import RowIndex
from bruno_memory_vec.store.manifest import folder_of
from bruno_memory_vec.store.trail.entry import LIBRARY, Chain
from bruno_memory_vec.store.trail.files import TrailFile
from bruno_memory_vec.writing.projections import Change, Problem, Progress, RowFacts, Standing

if TYPE_CHECKING:
    from bruno_memory_vec.config import MemoryConfig

#: The folder of the trails, in that of a store.
FOLDER: Final = "audit"
# Calls that were refused before the store was opened wait for that.
_MOST_WAITING: Final = 1_000
_MIB: Final = 2**20
# Functions that give whole users out, by their module.
_EXPORTS: Final = ("copying", "backup", "snapshots", "exporting", "anonymise")


def trail_folder(config: MemoryConfig) -> Path:
    """Where the trails of a store are.

    Raises:
        InvalidInputError: the store has no folder, and no other one is named.
    """
    if config.audit_folder is not None:
        return config.audit_folder
    folder = folder_of(config.url)
    if folder is None:
        raise InvalidInputError(
            "audit_folder",
            "is missing, and this store has no folder of its own",
            fix="Name a folder for the audit trail.",
        )
    return folder / FOLDER


def chain_of(config: MemoryConfig) -> Chain:
    """The chain of a store's trails, with the key of the settings."""
    key = config.audit_key
    return Chain(None if key is None else key.get_secret_value().encode())


class AuditTrail:
    """Keeps what is done. One for a memory and its views; a projection of the rows, too.

    Args:
        config: the settings.
    """

    name: Final = "audit"

    def __init__(self, config: MemoryConfig) -> None:
        self._chain = chain_of(config)
        self._hashed = config.audit_ids == "hashed"
        self._fsync = config.fsync
        self._largest = config.audit_file_mb * _MIB
        self._file: TrailFile | None = None
        self._waiting: list[dict[str, object]] = []
        self._closed = False
        # What a commit says that no method of a memory has made.
        self._outside = {"call": "in the background", "caller": LIBRARY}

    def open(self, config: MemoryConfig, opener: str | None = None) -> None:
        """Open the trail of this process, before the store is used.

        Args:
            config: the settings, with the URL that was chosen.
            opener: the module of the library that opens the store for a function of its own, such
                as a copy; None for a memory, whose methods note themselves.

        Raises:
            InvalidInputError: nothing says where it is.
            BackendUnavailable: its folder cannot be written.
        """
        if self._file is not None:
            return
        self._closed = False
        file = TrailFile(trail_folder(config), self._chain, self._largest)
        said: dict[str, object] = {
            "at": _now(),
            "act": "trail",
            "call": "open",
            "about": file.about,
        }
        bodies = [said, *self._waiting]
        if opener is not None:
            self._outside = {"call": opener, "caller": LIBRARY}
            action = "export" if opener in _EXPORTS else "administer"
            bodies.append({"at": _now(), "act": action, **self._outside, "users": ["*"]})
        file.append(bodies)
        self._waiting.clear()
        self._file = file

    def record(self, act: Act) -> None:
        """Keep a call, unless its commits have been noted already."""
        if self._closed or (act.noted and act.error is None):
            return
        outcome = "done" if act.error is None else "refused" if act.refused else "failed"
        if not act.ended:
            outcome = "begun"
        body = self._body(act, act.action, act.users, act.talks, act.counts)
        if outcome != "done":
            body["outcome"] = outcome
        if act.error is not None:
            body["error"] = act.error
        if self._file is not None:
            self._file.append([body])
        elif len(self._waiting) < _MOST_WAITING:
            self._waiting.append(body)

    def opened(self, store: object) -> None:
        """As a follower of the store: it is opened by itself, once that is open."""

    async def before(self, change: Change) -> None:
        """Note a commit that is about to be made.

        Raises:
            BackendUnavailable: the trail cannot be written; the commit is not made.
        """
        if self._file is None:
            return
        self._file.append(self._bodies(change))
        if self._fsync:
            await asyncio.to_thread(self._file.sync)

    def _bodies(self, change: Change) -> list[dict[str, object]]:
        if change.gone is not None:
            act = current_act()
            gone = change.gone.select(["kind", "user_id", "conversation_id"]).to_pylist()
            return [self._of_rows(act, "delete", gone)] if gone else []
        if change.requests:
            return [self._of_rows(act, "write", rows) for act, rows in change.requests]
        return [self._of_rows(current_act(), "write", change.rows)] if change.rows else []

    def _of_rows(
        self, act: Act | None, action: str, rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, object]:
        users = dict.fromkeys(row["user_id"] for row in rows)
        talks = dict.fromkeys(talk for row in rows if (talk := row["conversation_id"]) is not None)
        counts = Counter(row["kind"] for row in rows)
        if act is None or act.outermost.ended:
            return {
                "at": _now(),
                "act": action,
                **self._outside,
                "users": self._named(users),
                "talks": self._named(talks),
                "counts": dict(counts),
                "outcome": "begun",
            }
        outer = act.outermost
        outer.noted = True
        named = "erase" if outer.action == "erase" else action
        return {**self._body(outer, named, users, talks, counts), "outcome": "begun"}

    def _body(
        self,
        act: Act,
        action: str,
        users: Iterable[str],
        talks: Iterable[str],
        counts: Mapping[str, int],
    ) -> dict[str, object]:
        caller = act.caller
        view = getattr(caller, "me", None) or caller.user_id
        body: dict[str, object] = {"at": _now(), "act": action, "call": act.call}
        if caller.name is not None:
            body["caller"] = caller.name
        if caller.purpose is not None:
            body["purpose"] = caller.purpose
        if view is not None:
            body["view"] = self._one(view)
        body["users"] = self._named(users)
        if named := self._named(talks):
            body["talks"] = named
        body["counts"] = dict(counts)
        return body

    def _named(self, users: Iterable[str]) -> list[str]:
        return [self._one(user) for user in users]

    def _one(self, user: str) -> str:
        return self._chain.named(user) if self._hashed else user

    # The rest of a projection: it holds no rows, so nothing has to be caught up with

    async def standing(self) -> Standing:
        """It knows of no rows."""
        return Standing(-1)

    async def apply(self, change: Change) -> None:
        """It was noted before."""

    async def settle(self) -> bool:
        """Nothing waits."""
        return False

    async def catch_up(self, rows: RowIndex, progress: Progress | None) -> Sequence[int]:
        """Nothing is missing: what was committed was noted before."""
        return ()

    async def compare(self, facts: RowFacts, stood: Standing) -> Sequence[Problem]:
        """It is verified by :func:`.privacy.audit.reading.verify_trails`."""
        return ()

    async def health(self) -> dict[str, Any]:
        """Which trail this process writes, and how long that is."""
        if self._file is None:
            return {"entries": 0}
        return {"trail": self._file.name, "entries": self._file.head.number}

    async def close(self) -> None:
        """Sync it, and let go of its file."""
        file, self._file, self._closed = self._file, None, True
        if file is not None:
            try:
                await asyncio.to_thread(file.sync)
            finally:
                file.close()


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="microseconds")
