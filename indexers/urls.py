"""URLs as they may be shown: in an error, a log, ``health()`` or on a screen, without secrets."""

from __future__ import annotations

import re
from urllib.parse import unquote

#: What stands in place of a secret.
HIDDEN = "***"

# A password with a space, which some clients take. It ends before a "/", and the whole text is one
# URL, so that a sentence about URLs is left alone.
_SPACED = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#@]*)@")
# The value goes on to the next "&" or space, whatever else it holds. The look-behind keeps the
# search linear in the length of the text.
_SETTING = re.compile(
    r"""(?<![\w%.\-])([\w%.\-]+)(\s?=\s?)('(?:[^'\\]|\\.)*'|[^&\s]+?(?=['"]?(?:[&\s]|$)))"""
)
# "Give key=..., or ...": what somebody has to write, and no value.
_TO_FILL_IN = re.compile(r"\.{3,4}[,;:)]*")
_WORD = re.compile(r"\S+")
_SECRET = re.compile(
    r"(^|[_\-.])(api_?key|key|token|secret|pass|password|passwd|passphrase|pwd|"
    r"credentials?|auth|authorization|sig|signature|sas)($|[_\-.])|apikey|accesskey|secretkey|"
    r"password",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret: a password, a key or a token."""
    return _SECRET.search(unquote(name)) is not None


def masked(url: str) -> str:
    """A URL, or a text that holds some, with ``***`` in place of each secret.

    Hidden are the password before the host (of a login without a password the whole login, because
    many servers take a key there), and the values of settings whose name says that they are secret
    (:func:`is_secret`), written as ``api_key=...`` anywhere in the text. What is hidden cannot be
    read back from the length of the result.
    """
    spaced = _SPACED.match(url)
    if spaced is not None and " " in spaced[1]:
        url = url[: spaced.start(1)] + _hidden(spaced[1]) + url[spaced.end(1) :]
    return _SETTING.sub(_without_value, _WORD.sub(_without_password, url))


def _without_password(found: re.Match[str]) -> str:
    # Up to the last "@", because a password may hold "@", "/", "?" or "#" that nobody has encoded:
    # where a path holds an "@", too much is hidden, and never too little.
    before, separator, rest = found[0].partition("://")
    login, at, host = rest.rpartition("@")
    return f"{before}{separator}{_hidden(login)}{at}{host}" if at else found[0]


def _hidden(login: str) -> str:
    user, colon, _ = login.partition("@")[0].partition(":")
    return f"{user}:{HIDDEN}" if colon else HIDDEN


def _without_value(found: re.Match[str]) -> str:
    if not is_secret(found[1]) or _TO_FILL_IN.fullmatch(found[3]):
        return found[0]
    return f"{found[1]}{found[2]}{HIDDEN}"
