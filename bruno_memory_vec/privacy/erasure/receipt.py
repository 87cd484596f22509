"""The receipt of an erasure: what was erased, how much, when; hashed, signed, and checked again.

It names the user by a salted hash only, so it can be kept and shown when nothing of the user is
left. Who knows the user's id can tell that it is theirs; the hash is slow, so that guessing is.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.wording import counted

#: The format that a receipt names.
FORMAT: Final = "bruno-memory-vec/erasure-receipt/1"

_ALGORITHM: Final = "HMAC-SHA256"
# scrypt with these takes some 30 ms and 16 MiB for each name that somebody tries.
_COST, _BLOCK, _PARALLEL, _LENGTH = 2**14, 8, 1, 32
_SALT = 16
_LARGEST = 4 * 2**20


@dataclass(frozen=True, slots=True)
class NotErased:
    """Something that this process could not erase.

    Attributes:
        what: where it is.
        why: why it stays.
        fix: what to do so that it goes.
    """

    what: str
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Signature:
    """Who vouches for a receipt.

    Attributes:
        algorithm: "HMAC-SHA256".
        key: the name of the key: the beginning of its hash.
        value: the signature of the receipt's hash, in hexadecimal digits.
    """

    algorithm: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class ErasureReceipt:
    """What :meth:`forget_user <bruno_memory_vec.VectorMemory.forget_user>` did.

    Attributes:
        id: the erasure.
        user_hash: scrypt of the user's id with ``salt``, in hexadecimal digits.
        salt: as hexadecimal digits.
        begun_at: when the erasure was asked for, UTC.
        finished_at: when it had ended, UTC.
        dry_run: nothing was erased; the counts say what would be.
        resumed: how often it was broken off, and gone on with.
        counts: how much there was, by name: "messages", "memories", "summaries", "facts",
            "archived", "pinned", "conversations", "sessions", "profiles", "notes", ...
        erased: what was done, in order.
        not_erased: what is out of this process's reach, with what to do about it.
        check: what the look for remains looked at and found; empty in a dry run.
        version: of this package.
        hash: SHA-256 of the canonical form of all of this, in hexadecimal digits.
        signature: of the hash; None in a dry run.
    """

    id: str
    user_hash: str
    salt: str
    begun_at: datetime
    finished_at: datetime
    dry_run: bool
    resumed: int
    counts: Mapping[str, int]
    erased: tuple[str, ...]
    not_erased: tuple[NotErased, ...]
    check: Mapping[str, Any]
    version: str
    hash: str = ""
    signature: Signature | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing was found afterwards, and nothing is left for somebody else to do."""
        return not self.not_erased and not self.check.get("found")

    def is_of(self, user_id: str) -> bool:
        """Whether this receipt is this user's."""
        return hmac.compare_digest(self.user_hash, hash_of(user_id, self.salt))

    def to_dict(self) -> dict[str, Any]:
        """The receipt as plain values that JSON can hold; times in ISO 8601."""
        signature = self.signature
        return {
            **_body(self),
            "hash": self.hash,
            "signature": None
            if signature is None
            else {
                "algorithm": signature.algorithm,
                "key": signature.key,
                "value": signature.value,
            },
        }

    def to_json(self) -> str:
        """The same as one JSON document."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        """A few lines for people."""
        verb = "would be erased" if self.dry_run else "erased"
        erased = [f"{_named(name)}: {count:,}" for name, count in self.counts.items() if count]
        lines = [
            f"{verb}: {', '.join(erased)}"
            if erased
            else "nothing to erase: the user has nothing here"
        ]
        if not self.dry_run:
            lines.append(f"erasure {self.id}, {self.finished_at:%Y-%m-%d %H:%M:%S} UTC")
        if self.resumed:
            lines.append(f"it was broken off, and gone on with, {counted(self.resumed, 'time')}")
        for one in self.not_erased:
            lines.append(f"NOT ERASED: {one.what}: {one.why.rstrip('.')}. {one.fix}")
        found = self.check.get("found") or ()
        for one in found:
            lines.append(f"FOUND: {one['where']}: {one['what']}")
        if self.check and not found:
            lines.append(
                f"checked: nothing of the user in {counted(self.check['files'], 'file')} "
                f"({self.check['bytes']:,} bytes) and {len(self.check['engines'])} engines"
            )
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a receipt is as it was given out.

    Attributes:
        problems: what is wrong with it; empty where nothing is.
    """

    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        return "; ".join(self.problems) if self.problems else "it is as it was given out"


def _named(name: str) -> str:
    return name.replace("_", " ")


def new_salt() -> str:
    """A salt, as hexadecimal digits."""
    return secrets.token_hex(_SALT)


def hash_of(user_id: str, salt: str) -> str:
    """The name of a user in a receipt. It takes some 30 ms."""
    name = user_id.encode("utf-8", "surrogatepass")
    made = hashlib.scrypt(
        name, salt=bytes.fromhex(salt), n=_COST, r=_BLOCK, p=_PARALLEL, dklen=_LENGTH
    )
    return made.hex()


def key_name(key: bytes) -> str:
    """The name of a signing key, which tells nothing of it."""
    return hashlib.sha256(b"bruno-memory-vec receipt key " + key).hexdigest()[:16]


def signed(receipt: ErasureReceipt, key: bytes) -> ErasureReceipt:
    """A receipt with its hash and signature."""
    hashed = replace(receipt, hash=_hash(receipt))
    return replace(hashed, signature=Signature(_ALGORITHM, key_name(key), _sign(hashed.hash, key)))


def hashed(receipt: ErasureReceipt) -> ErasureReceipt:
    """A receipt with its hash, and nobody who vouches for it."""
    return replace(receipt, hash=_hash(receipt))


def verify(
    receipt: ErasureReceipt, keys: Mapping[str, bytes], user_id: str | None = None
) -> Verdict:
    """Whether a receipt is as it was given out.

    Args:
        receipt: the receipt.
        keys: the signing keys by their names (:func:`key_name`).
        user_id: whose it should be; None for anybody's.
    """
    problems = []
    if not hmac.compare_digest(receipt.hash, _hash(receipt)):
        problems.append("its hash does not fit: it was changed")
    signature = receipt.signature
    if signature is None:
        problems.append("it is not signed" + (": it is of a dry run" if receipt.dry_run else ""))
    elif signature.algorithm != _ALGORITHM:
        problems.append(f"its signature is {signature.algorithm!r}, and not {_ALGORITHM}")
    elif signature.key not in keys:
        problems.append("another key has signed it: it is not of this store")
    elif not hmac.compare_digest(signature.value, _sign(receipt.hash, keys[signature.key])):
        problems.append("its signature does not fit: it was changed, or made by somebody else")
    if user_id is not None and not receipt.is_of(user_id):
        problems.append("it is another user's")
    return Verdict(tuple(problems))


def receipt_of(given: Any) -> ErasureReceipt:
    """The receipt that a call was given: one, a dict of it, its JSON, or the file that holds it.

    Raises:
        InvalidInputError: it is no receipt.
    """
    if isinstance(given, ErasureReceipt):
        return given
    if isinstance(given, Path):
        given = _read(given)
    if isinstance(given, (str, bytes)):
        try:
            given = json.loads(given)
        except ValueError as error:
            raise _no_receipt("is no JSON", error) from error
    if not isinstance(given, Mapping):
        raise _no_receipt(f"is a {type(given).__name__}")
    if given.get("format") != FORMAT:
        raise _no_receipt(f"does not say that it is {FORMAT}")
    try:
        return _from_dict(given)
    except (KeyError, TypeError, ValueError) as error:
        raise _no_receipt(f"lacks or garbles a field: {error}", error) from error


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST:
            raise _no_receipt(f"{path} is larger than any receipt")
        return path.read_bytes()
    except OSError as error:
        raise _no_receipt(f"{path} cannot be read: {error.strerror or error}", error) from error


def _no_receipt(problem: str, cause: Exception | None = None) -> InvalidInputError:
    return InvalidInputError(
        "receipt", problem, fix="Give what forget_user returned, or its JSON.", cause=cause
    )


def _from_dict(given: Mapping[str, Any]) -> ErasureReceipt:
    user, signature = given["user"], given["signature"]
    counts, check = given["counts"], given["check"]
    texts = (given["id"], user["hash"], user["salt"], given["hash"], given["version"])
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is none")
    bytes.fromhex(user["salt"])
    if not isinstance(counts, Mapping) or not isinstance(check, Mapping):
        raise ValueError("counts and check are objects")
    return ErasureReceipt(
        id=given["id"],
        user_hash=user["hash"],
        salt=user["salt"],
        begun_at=datetime.fromisoformat(given["begun_at"]),
        finished_at=datetime.fromisoformat(given["finished_at"]),
        dry_run=bool(given["dry_run"]),
        resumed=int(given["resumed"]),
        counts=dict(counts),
        erased=tuple(given["erased"]),
        not_erased=tuple(
            NotErased(one["what"], one["why"], one["fix"]) for one in given["not_erased"]
        ),
        check=dict(check),
        version=given["version"],
        hash=given["hash"],
        signature=None
        if signature is None
        else Signature(*(str(signature[name]) for name in ("algorithm", "key", "value"))),
    )


def _body(receipt: ErasureReceipt) -> dict[str, Any]:
    """All of a receipt but its hash and signature."""
    return {
        "format": FORMAT,
        "id": receipt.id,
        "user": {"hash": receipt.user_hash, "salt": receipt.salt, "by": "scrypt"},
        "begun_at": receipt.begun_at.astimezone(timezone.utc).isoformat(),
        "finished_at": receipt.finished_at.astimezone(timezone.utc).isoformat(),
        "dry_run": receipt.dry_run,
        "resumed": receipt.resumed,
        "counts": dict(receipt.counts),
        "erased": list(receipt.erased),
        "not_erased": [
            {"what": one.what, "why": one.why, "fix": one.fix} for one in receipt.not_erased
        ],
        "check": dict(receipt.check),
        "version": receipt.version,
        "ok": receipt.ok,
    }


def canonical(receipt: ErasureReceipt) -> bytes:
    """The form of a receipt that is hashed: JSON, keys in order, no blanks, UTF-8."""
    body = json.dumps(_body(receipt), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return body.encode("utf-8", "surrogatepass")


def _hash(receipt: ErasureReceipt) -> str:
    return hashlib.sha256(canonical(receipt)).hexdigest()


def _sign(hash_: str, key: bytes) -> str:
    return hmac.new(key, hash_.encode(), hashlib.sha256).hexdigest()
