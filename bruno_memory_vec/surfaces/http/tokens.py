"""Bearer tokens: whose a call is, and what it may do.

A file of tokens is JSON, readable by its owner alone. It holds no token, only the SHA-256 of each:
a token has 256 random bits, so a slow hash would add nothing. A token is shown once, when it is
made. The file is read again when it changes, so a revoked token ends at once. It is changed by one
process at a time, so no change is lost; who only reads it waits for nobody.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from bruno_memory_vec.errors import InvalidInputError, NotFoundError
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.rows.checks import identifier, shown
from bruno_memory_vec.store.file_lock import FileLock

#: What a token may do, as of ``for_user``.
Role = Literal["reader", "member", "admin"]
#: What it may do with a space.
Access = Literal["read", "write"]
#: User ids that begin so are those of spaces.
SPACE: Final = "space:"

_log = get_logger(__name__)

_PREFIX: Final = "bmv_"
_FORMAT: Final = 1
# A change takes milliseconds.
_WAITS_S: Final = 10.0
_BETWEEN_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token.

    Attributes:
        name: what it is called; the audit trail has it as the caller.
        user_id: whose rows it is for.
        role: "reader", "member" or "admin", as of ``for_user``.
        sha256: the token's hash, in hex.
        spaces: shared spaces that it may use, each with "read" or "write".
        created_at: when it was made, UTC.
        expires_at: from when on it counts no more; None for never.
    """

    name: str
    user_id: str
    role: Role
    sha256: str = field(repr=False)
    created_at: datetime
    spaces: Mapping[str, Access] = field(default_factory=dict)
    expires_at: datetime | None = None

    @property
    def is_valid(self) -> bool:
        """Whether it still counts."""
        return self.expires_at is None or datetime.now(timezone.utc) < self.expires_at

    def to_dict(self) -> dict[str, Any]:
        """As in the file."""
        return {
            "name": self.name,
            "user_id": self.user_id,
            "role": self.role,
            "spaces": dict(self.spaces),
            "sha256": self.sha256,
            "created_at": self.created_at.isoformat(),
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
        }


class Tokens:
    """The tokens of a file.

    Args:
        path: the file; it may be made later, and then nobody is let in until it is.

    Raises:
        InvalidInputError: the file cannot be read as one of tokens, or others may write it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._read_at: tuple[int, ...] | None = None
        self._by_hash: dict[str, Token] = {}
        self._problem = ""
        self._refresh()

    def check(self, text: str) -> Token | None:
        """The token that a text is; None where it is none, or counts no more.

        While the file cannot be read, nobody is let in: it may say who is no longer. The log says
        why, and a stranger is not told where the file is.
        """
        try:
            self._refresh()
        except (InvalidInputError, OSError) as error:
            problem = str(error)
            if problem != self._problem:
                _log.error("tokens_unreadable", problem=problem)
                self._problem = problem
            return None
        token = self._by_hash.get(_hashed(text))
        return token if token is not None and token.is_valid else None

    def known(self) -> list[Token]:
        """All of the file, by name."""
        self._refresh()
        return sorted(self._by_hash.values(), key=lambda token: token.name)

    def create(
        self,
        user_id: str,
        *,
        role: Role = "member",
        name: str | None = None,
        spaces: Mapping[str, Access] | None = None,
        days: float | None = None,
    ) -> tuple[str, Token]:
        """Make a token and write it into the file.

        Args:
            user_id: whose rows it is for.
            role: "reader", "member" or "admin".
            name: what it is called, such as the program that has it. Default: the user's id and a
                number.
            spaces: shared spaces that it may use, each with "read" or "write".
            days: for how long it counts; None for ever.

        Returns: the token, which cannot be read again, and what is kept of it.

        Raises:
            InvalidInputError: an argument is not usable, the name is taken, or another process
                changes the file and does not come to an end.
        """
        user, role, granted = _user(user_id), _role(role), _spaces(spaces)
        asked = None if name is None else identifier("name", name)
        number = isinstance(days, (int, float)) and not isinstance(days, bool)
        if days is not None and not (number and 0 < days <= 36_500):
            raise InvalidInputError("days", f"is {shown(days)}", fix="Give days above 0.")
        text = _PREFIX + secrets.token_urlsafe(32)
        now = datetime.now(timezone.utc)
        expires = None if days is None else now + timedelta(days=days)
        with self._changing():
            tokens = self.known()
            taken = {token.name for token in tokens}
            called = _free_name(user_id, taken) if asked is None else asked
            if called in taken:
                raise InvalidInputError(
                    "name", f"is {shown(called)}, which there is", fix="Give another, or revoke it."
                )
            token = Token(called, user, role, _hashed(text), now, granted, expires)
            self._write([*tokens, token])
        return text, token

    def revoke(self, name: str) -> Token:
        """Take a token out of the file; it ends at once.

        Raises:
            NotFoundError: there is none of this name.
            InvalidInputError: another process changes the file, and does not come to an end.
        """
        if not self.path.exists():
            raise NotFoundError(f"there is no token {name!r}", fix="The file has none.")
        with self._changing():
            tokens = self.known()
            found = next((token for token in tokens if token.name == name), None)
            if found is None:
                known = ", ".join(repr(token.name) for token in tokens) or "none"
                raise NotFoundError(f"there is no token {name!r}", fix=f"The file has {known}.")
            self._write([token for token in tokens if token is not found])
        return found

    @property
    def is_readable_by_others(self) -> bool:
        """Whether other users of this machine may read who has tokens; the tokens they cannot."""
        if os.name != "posix":  # the mode of a file on Windows says nothing of that
            return False
        try:
            return bool(self.path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
        except FileNotFoundError:
            return False

    # The file

    def _refresh(self) -> None:
        try:
            state = self.path.stat()
        except FileNotFoundError:
            self._read_at, self._by_hash = None, {}
            return
        if os.name == "posix" and state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            self._read_at = None
            raise InvalidInputError(
                "tokens",
                f"{self.path} may be written by other users, who could let themselves in",
                fix=f"Keep it to its owner: chmod 600 {shlex.quote(str(self.path))}",
            )
        now = (state.st_ino, state.st_mtime_ns, state.st_size)
        if now != self._read_at:
            self._by_hash = {token.sha256: token for token in _read(self.path)}
            self._read_at, self._problem = now, ""

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else changes the file meanwhile: what is written follows from what was read."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self.path.with_name(f".{self.path.name}.lock")
        until = time.monotonic() + _WAITS_S
        while (lock := FileLock.taken(path)) is None:
            if time.monotonic() > until:
                raise InvalidInputError(
                    "tokens",
                    f"another process changes {self.path}, and does not come to an end",
                    fix="Try again when it has ended.",
                )
            time.sleep(_BETWEEN_S)
        try:
            yield
        finally:
            # Who waits for a file that is gone makes another one. Windows keeps an open one.
            with suppress(OSError):
                path.unlink()
            lock.release()

    def _write(self, tokens: list[Token]) -> None:
        document = {"format": _FORMAT, "tokens": [token.to_dict() for token in tokens]}
        # Only its owner may read what mkstemp makes, and a renamed file is whole or not there.
        handle, beside = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2, ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, self.path)
        except BaseException:
            os.unlink(beside)
            raise
        self._refresh()


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _free_name(user_id: str, taken: set[str]) -> str:
    number = 1
    while f"{user_id} {number}" in taken:
        number += 1
    return f"{user_id} {number}"


def _read(path: Path) -> list[Token]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != _FORMAT:
            raise ValueError(f"its format is {shown(document['format'])}")
        return [_token(given) for given in document["tokens"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            "tokens",
            f"{path} cannot be read as a file of tokens ({type(error).__name__}: {error})",
            fix="Make one with: bruno-memory-vec token --tokens FILE --user USER",
            cause=error,
        ) from error


def _token(given: Mapping[str, Any]) -> Token:
    # The same checks as when it was made: somebody may have written the file by hand.
    expires = given.get("expires_at")
    sha256 = str(given["sha256"])
    if len(bytes.fromhex(sha256)) != 32:
        raise ValueError("a hash has another length")
    return Token(
        identifier("name", given["name"]),
        _user(given["user_id"]),
        _role(given["role"]),
        sha256.lower(),
        _moment(given["created_at"]),
        _spaces(given.get("spaces")),
        None if expires is None else _moment(expires),
    )


def _user(given: Any) -> str:
    user: str = identifier("user_id", given)
    if user.startswith(SPACE):
        raise InvalidInputError(
            "user_id",
            f"is {shown(user)}, and what begins with {SPACE!r} is a space, not a user",
            fix="Give the user, and the space in spaces.",
        )
    return user


def _role(given: Any) -> Role:
    known = get_args(Role)
    if given not in known:
        raise InvalidInputError(
            "role", f"is {shown(given)}", fix=f"Give one of {', '.join(map(repr, known))}."
        )
    return cast(Role, given)


def _spaces(given: Any) -> dict[str, Access]:
    granted: dict[str, Access] = {}
    if given is not None and not isinstance(given, Mapping):
        raise InvalidInputError("spaces", f"is {shown(given)}", fix='Give {"name": "read"}.')
    for name, access in (given or {}).items():
        space = identifier("spaces", name).removeprefix(SPACE)
        # Those of groups are the library's own: who is in a group is kept with its conversation.
        if not space.strip() or space.startswith(("group:", "groups of:", "members of:")):
            raise InvalidInputError(
                "spaces", f"names {shown(name)}, which is none to be given", fix="Give another."
            )
        if access not in get_args(Access):
            raise InvalidInputError(
                "spaces", f"grants {shown(access)}", fix='Grant "read" or "write".'
            )
        granted[space] = access
    return granted


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
