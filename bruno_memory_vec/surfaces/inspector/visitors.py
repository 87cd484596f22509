"""Who looks at the pages: whose rows they may see, and whether they may change some."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bruno_memory_vec.surfaces.http.tokens import SPACE

if TYPE_CHECKING:
    from bruno_memory_vec.memory import VectorMemory
    from bruno_memory_vec.surfaces.http.tokens import Token, Tokens

#: How long a login lasts, in seconds.
LOGIN_S: Final = 12 * 3600
_MOST_LOGINS: Final = 1_000
# So many wrong tokens in a minute from one address, and the form waits.
_MOST_FAILURES, _FAILURES_S = 20, 60.0
_MOST_ADDRESSES: Final = 1_000
_NAME_BYTES: Final = 32


def cookie_name(port: int | None) -> str:
    """The cookie of a visit. It holds a random name and no token, and goes to the pages alone.

    A browser tells no ports of a host apart, so each server on a machine has a name of its own.
    """
    return "bruno_inspector" if port is None else f"bruno_inspector_{port}"


@dataclass(frozen=True, slots=True)
class Visitor:
    """What somebody may see and do.

    Attributes:
        memory: a view of the token's user, or the whole memory.
        name: of the token; None where the server has none.
        user_id: the token's user; None where nothing says one.
        may_choose: whether they may look at any user.
        spaces: the shared spaces that a user's token grants, as user ids, each with its access.
        may_write: whether the token, and the store, let rows be changed.
        token: theirs; None where the server has none.
    """

    memory: VectorMemory
    name: str | None
    user_id: str | None
    may_choose: bool
    spaces: tuple[tuple[str, str], ...] = ()
    may_write: bool = True
    token: Token | None = None

    def sees(self, user_id: str) -> bool:
        """Whether this user's rows exist for them."""
        return self.may_choose or user_id == self.user_id or user_id in dict(self.spaces)

    def memory_of(self, user_id: str) -> VectorMemory:
        """The memory to ask about a user: where any may be chosen, a view that has only theirs.

        A space has no view; it is asked of the memory itself, which is told ``user_id``.
        """
        if not self.may_choose or user_id.startswith(SPACE):
            return self.memory
        return self.memory.for_user(user_id, role="member" if self.may_write else "reader")

    def may_change(self, user_id: str) -> bool:
        """Whether rows of a user may be changed."""
        return self.may_write and dict(self.spaces).get(user_id, "write") == "write"


class Visits:
    """The logins of browsers, held in memory: a restart ends them, and so does a revoked token.

    Args:
        memory: the whole memory.
        tokens: who may look. None: anybody who reaches the server.
        user_id: the user that is shown first where a visitor may choose.
    """

    def __init__(
        self, memory: VectorMemory, tokens: Tokens | None, user_id: str | None = None
    ) -> None:
        self._memory, self._tokens, self._first = memory, tokens, user_id
        self._logins: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._secret = secrets.token_bytes(_NAME_BYTES)
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    @property
    def needs_token(self) -> bool:
        """Whether somebody has to log in."""
        return self._tokens is not None

    def visitor(self, visit: str | None) -> Visitor | None:
        """Who a visit is by its name; None where they have to log in."""
        writes = not self._memory.config.read_only
        if self._tokens is None:
            return Visitor(self._memory, None, self._first, True, may_write=writes)
        text, ends = self._logins.get(visit or "", ("", 0.0))
        token = self._tokens.check(text) if text and time.monotonic() < ends else None
        if token is None:
            self._logins.pop(visit or "", None)
            return None
        return self._visitor(token, writes)

    def _visitor(self, token: Token, writes: bool) -> Visitor:
        spaces = tuple((f"{SPACE}{name}", access) for name, access in token.spaces.items())
        view = self._memory.for_user(
            token.user_id, role=token.role, spaces=token.spaces, caller=token.name
        )
        return Visitor(
            view,
            token.name,
            token.user_id,
            token.role == "admin",
            spaces,
            writes and token.role != "reader",
            token,
        )

    def login(self, text: str, address: str = "") -> str | None:
        """Begin the visit of a token; its name for the cookie, None where it is no token.

        Args:
            text: what was typed.
            address: where from.
        """
        if self._tokens is None or self._tokens.check(text) is None:
            self._failures.setdefault(address, []).append(time.monotonic())
            while len(self._failures) > _MOST_ADDRESSES:
                self._failures.popitem(last=False)
            return None
        name = self.new_name()
        self._logins[name] = (text, time.monotonic() + LOGIN_S)
        while len(self._logins) > _MOST_LOGINS:
            self._logins.popitem(last=False)
        return name

    def logout(self, visit: str | None) -> None:
        """End a visit."""
        self._logins.pop(visit or "", None)

    def waits(self, address: str) -> bool:
        """Whether so many wrong tokens came from an address that it is told to wait.

        A right one is let in all the same: nobody guesses 256 bits, and behind a proxy everybody
        has one address, so that a stranger would lock out all the others.
        """
        since = time.monotonic() - _FAILURES_S
        recent = [at for at in self._failures.pop(address, []) if at > since][-_MOST_FAILURES:]
        if recent:
            self._failures[address] = recent
        return len(recent) >= _MOST_FAILURES

    @staticmethod
    def new_name() -> str:
        """A name of a visit that nobody can guess."""
        return secrets.token_urlsafe(_NAME_BYTES)

    def form_key(self, visit: str) -> str:
        """What a form of this visit carries, and a page of another site cannot know."""
        return hmac.new(self._secret, visit.encode(), hashlib.sha256).hexdigest()

    def is_form_key(self, visit: str | None, given: str) -> bool:
        """Whether a form came from a page of this visit."""
        return visit is not None and hmac.compare_digest(
            self.form_key(visit).encode(), given.encode("utf-8", "replace")
        )
