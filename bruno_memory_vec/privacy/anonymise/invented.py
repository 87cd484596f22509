"""What stands in place of what was found: the same for the same original, by a secret of the run.

Nothing of the original is in it but its kind. Without the secret nobody can compute a replacement
of a guessed original, nor tell that two exports replace the same one.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection
from hashlib import sha256
from typing import Final
from uuid import UUID

#: Of a secret, in bytes: as many as its hash has.
SECRET_BYTES: Final = 32

# Syllables that make a name which can be spoken, and hardly ever a real one.
_BEGINNINGS = (
    "Bel Bor Cal Cor Dal Der Dor Fal Fen Gal Gor Hal Hes Jor Kel Kor Lam Lor Mel Mor Nal Nor Pel "
    "Por Quen Ral Rom Sel Sor Tal Tor Ul Val Ver Vor Wen Wil Yel Yor Zan"
).split()
_MIDDLES = (
    "a e i o u ba de di do fe ga gi ka la le li lo ma me mi mo na ne ni pa ra re ri ro".split()
)
_ENDINGS = "bin dan den dor fin gan kan len lin lor man min mon nel nor ran rel ren rin ron".split()
_PRIVATE_NETWORK = int(ipaddress.IPv4Address("198.18.0.0"))  # RFC 2544: of no host anywhere
_DOCUMENTATION = int(ipaddress.IPv6Address("2001:db8::"))  # RFC 3849
_DAYS_A_WEEK = 7
# Half a year to five years back: never into the future, and never so little that it tells nothing.
_FEWEST_WEEKS, _MOST_WEEKS = 26, 260


class Pseudonyms:
    """Replacements under one secret, each made once.

    Args:
        secret: at least 32 bytes.
        taken: names that are real ones here, in lower case, and so are never invented.
    """

    def __init__(self, secret: bytes, taken: Collection[str] = ()) -> None:
        self._secret = secret
        self._taken = taken
        self._made: dict[tuple[str, str], str] = {}
        self._used: set[tuple[str, str]] = set()

    def of(self, kind: str, original: str) -> str:
        """What stands for an original, given in one form for all ways to write it."""
        known = self._made.get((kind, original))
        if known is not None:
            return known
        for attempt in range(1_000_000):
            made = self._make(kind, self.digest(kind, original, str(attempt)))
            real = kind == "person" and made.lower() in self._taken
            if (kind, made) not in self._used and not real and made != original:
                break
        self._used.add((kind, made))
        self._made[kind, original] = made
        return made

    def weeks(self, user_id: str) -> int:
        """By how many days a user's dates move back: whole weeks, so weekdays stay."""
        number = int.from_bytes(self.digest("dates", user_id)[:8], "big")
        return _DAYS_A_WEEK * (_FEWEST_WEEKS + number % (_MOST_WEEKS - _FEWEST_WEEKS + 1))

    def digest(self, *texts: str) -> bytes:
        """A keyed hash of some texts, 32 bytes."""
        said = b"".join(len(text.encode()).to_bytes(8, "big") + text.encode() for text in texts)
        return hmac.new(self._secret, said, sha256).digest()

    def _make(self, kind: str, seed: bytes) -> str:
        if kind == "person":
            return _name(seed)
        short = seed[:4].hex()
        if kind == "email":
            return f"person-{short}@example.org"
        if kind == "ip":
            return str(
                ipaddress.IPv4Address(_PRIVATE_NETWORK + int.from_bytes(seed[:4], "big") % 2**17)
            )
        if kind == "ipv6":
            return str(ipaddress.IPv6Address(_DOCUMENTATION + int.from_bytes(seed[:12], "big")))
        if kind == "mac":
            # The second digit says that no maker has given it.
            return ":".join(f"{byte:02x}" for byte in (0x02, *seed[:5]))
        if kind == "uuid":
            return str(UUID(bytes=seed[:16], version=4))
        if kind == "user":
            return f"user-{seed[:6].hex()}"
        if kind == "space":
            return f"space-{seed[:6].hex()}"
        if kind == "conversation":
            return f"conversation-{seed[:8].hex()}"
        if kind == "session":
            return f"session-{seed[:8].hex()}"
        if kind == "handle":
            return f"person_{short}"
        if kind == "hash":
            return seed.hex()
        return f"[{kind.upper().replace('_', '-')}-{short}]"


def _name(seed: bytes) -> str:
    number = int.from_bytes(seed[:16], "big")
    number, first = divmod(number, len(_BEGINNINGS))
    number, second = divmod(number, len(_MIDDLES))
    return _BEGINNINGS[first] + _MIDDLES[second] + _ENDINGS[number % len(_ENDINGS)]
