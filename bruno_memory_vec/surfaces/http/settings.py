"""What a server allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.rows.checks import shown

#: Names of this machine, from which nobody else is reached.
LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The limits of a server.

    Attributes:
        hosts: what a ``Host`` header may name beside this machine's own names; ``("*",)`` for any.
            A page of another site, whose name was made to lead here, is refused by it.
        body_bytes: the largest body of a request.
        upload_bytes: the largest body of an upload (``POST /v1/ingest``).
        concurrent: how many calls of one token are answered at once; the next gets 429.
        per_minute: how many calls of one token are answered in a minute; 0 for any number.
        timeout_s: how long a call may take until its answer begins.
        long_timeout_s: the same for what takes long: uploads, exports, upkeep, erasures.
        user_id: whose rows a call is about that names no user, where no token says it.
    """

    hosts: tuple[str, ...] = ()
    body_bytes: int = 8 * MIB
    upload_bytes: int = 1024 * MIB
    concurrent: int = 32
    per_minute: int = 0
    timeout_s: float = 60.0
    long_timeout_s: float = 3600.0
    user_id: str | None = None

    def __post_init__(self) -> None:
        for name, least in (
            ("body_bytes", 1),
            ("upload_bytes", 1),
            ("concurrent", 1),
            ("per_minute", 0),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidInputError(
                    name, f"is {shown(value)}", fix=f"Give a whole number from {least} on."
                )
        for name in ("timeout_s", "long_timeout_s"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not 0 < value < float("inf"):
                raise InvalidInputError(name, f"is {shown(value)}", fix="Give seconds above 0.")
