"""What a store keeps of its erasures: one that is under way, the receipts, and the signing key.

In a folder these are files of ``erasure/``, for their owner only; beside rows on a server the
folder of the SQLite sessions has them, or Redis; a store in memory has them as long as it is open.
The note of an erasure that is under way has the user's id, the counts that the receipt will have,
and nothing else; it goes when the erasure has ended.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.durable import sync_folder
from bruno_memory_vec.indexers.forwarding import capability
from bruno_memory_vec.indexers.private import make_private_folder
from bruno_memory_vec.indexers.sealed.index import SealedIndex
from bruno_memory_vec.privacy.erasure.receipt import ErasureReceipt, receipt_of
from bruno_memory_vec.sessions.protocol import KeepsTexts
from bruno_memory_vec.store.files import replace_file
from bruno_memory_vec.store.keys.keyring import Keyring
from bruno_memory_vec.store.manifest import folder_of, unwritable
from bruno_memory_vec.store.record import (
    ERASURE,
    RECEIPTS,
    RECEIPTS_KEY,
    UNDER_WAY,
    opened_text,
    sealed_text,
)
from bruno_memory_vec.store.store import Store

_KEY_BYTES = 32
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UnderWay:
    """An erasure that has begun and not ended.

    Attributes:
        id: of the receipt that it will have.
        user_id: who is to be forgotten.
        begun_at: when it was asked for, ISO 8601.
        counts: how much there was.
        resumed: how often it was broken off.
    """

    id: str
    user_id: str
    begun_at: str
    counts: dict[str, int] = field(default_factory=dict)
    resumed: int = 0


class Kept(Protocol):
    """Where small texts of a store are kept by their names."""

    async def read(self, name: str) -> str | None:
        """The text of a name; None for none.

        Raises:
            EngineError: it cannot be read.
        """
        ...

    async def write(self, name: str, text: str | None) -> None:
        """Keep a text in place of the last one; None removes it. It is on the disk then.

        Raises:
            EngineError: it cannot be written.
        """
        ...


class Files:
    """Texts as files of a folder, each for its owner only, written whole.

    Args:
        folder: made when the first text is kept.
        check: raises where the folder is not the store's any more.
        keys: seal the texts; None for a plain store.
    """

    def __init__(
        self,
        folder: Path,
        check: Callable[[], None] = lambda: None,
        keys: Keyring | None = None,
    ) -> None:
        self.folder = folder
        self.keys = keys
        self._check = check

    async def read(self, name: str) -> str | None:
        """As of :class:`Kept`."""
        text = await asyncio.to_thread(self._read, name)
        return None if text is None else _parsed(name, text, partial(opened_text, keys=self.keys))

    async def write(self, name: str, text: str | None) -> None:
        """As of :class:`Kept`."""
        self._check()
        sealed = None if text is None else sealed_text(text, self.keys)
        await asyncio.to_thread(self._write, name, sealed)

    def _read(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text(encoding="utf-8", errors="surrogatepass")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _write(self, name: str, text: str | None) -> None:
        try:
            if text is None:
                (self.folder / name).unlink(missing_ok=True)
            else:
                make_private_folder(self.folder)
                replace_file(self.folder / name, text.encode("utf-8", "surrogatepass"))
            if self.folder.is_dir():
                sync_folder(self.folder)
        except OSError as error:
            raise unwritable(self.folder, error) from error


class OnServer:
    """Texts that a server of sessions keeps.

    Args:
        sessions: the session store.
    """

    def __init__(self, sessions: KeepsTexts) -> None:
        self._sessions = sessions

    async def read(self, name: str) -> str | None:
        """As of :class:`Kept`."""
        return await self._sessions.kept_text(f"{ERASURE}/{name}")

    async def write(self, name: str, text: str | None) -> None:
        """As of :class:`Kept`."""
        await self._sessions.keep_text(f"{ERASURE}/{name}", text)


class InMemory:
    """Texts of a store that is not kept.

    Args:
        texts: where they are.
    """

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts

    async def read(self, name: str) -> str | None:
        """As of :class:`Kept`."""
        return self._texts.get(name)

    async def write(self, name: str, text: str | None) -> None:
        """As of :class:`Kept`."""
        if text is None:
            self._texts.pop(name, None)
        else:
            self._texts[name] = text


def kept(store: Store) -> Kept:
    """Where a store keeps what is to be kept of its erasures."""
    folder = folder_of(store.config.url)
    if folder is None:
        file = getattr(store.sessions, "file", None)
        folder = file.parent if isinstance(file, Path) else None
    if folder is not None:
        return Files(folder / ERASURE, store.check, keys_in(store))
    if isinstance(store.sessions, KeepsTexts):
        return OnServer(store.sessions)
    return InMemory(store.texts)


def keys_in(store: Store) -> Keyring | None:
    """The keys of an encrypted store; None of a plain one."""
    sealing = capability(store.rows, SealedIndex)
    keys = None if sealing is None else sealing.keys
    return keys if isinstance(keys, Keyring) else None


async def under_way(where: Kept) -> list[UnderWay]:
    """The erasures that have begun and not ended, the oldest first.

    Raises:
        EngineError: it cannot be read, or is damaged.
    """
    text = await where.read(UNDER_WAY)
    if text is None:
        return []
    return _parsed(UNDER_WAY, text, lambda found: [UnderWay(**one) for one in json.loads(found)])


async def note(where: Kept, erasure: UnderWay) -> None:
    """Note that an erasure is under way; one with the same id is replaced.

    Raises:
        EngineError: it cannot be written. Nothing was erased.
    """
    others = [one for one in await under_way(where) if one.id != erasure.id]
    await _write_under_way(where, [*others, erasure])


async def ended(where: Kept, erasure: UnderWay) -> None:
    """Forget that an erasure is under way.

    Raises:
        EngineError: it cannot be written.
    """
    await _write_under_way(where, [one for one in await under_way(where) if one.id != erasure.id])


async def _write_under_way(where: Kept, erasures: list[UnderWay]) -> None:
    # ensure_ascii, so that a lone surrogate in an id can be written.
    text = json.dumps([asdict(one) for one in erasures]) if erasures else None
    await where.write(UNDER_WAY, text)


async def receipts(where: Kept) -> list[ErasureReceipt]:
    """The receipts of all erasures that have ended, the oldest first.

    Raises:
        EngineError: they cannot be read, or are damaged.
    """
    text = await where.read(RECEIPTS)
    if text is None:
        return []
    return _parsed(RECEIPTS, text, lambda found: [receipt_of(one) for one in found.splitlines()])


async def keep_receipt(where: Kept, receipt: ErasureReceipt) -> None:
    """Keep a receipt; one that is kept already is not kept twice.

    Raises:
        EngineError: it cannot be written.
    """
    before = [one for one in await receipts(where) if one.id != receipt.id]
    lines = [json.dumps(one.to_dict(), ensure_ascii=False) for one in (*before, receipt)]
    await where.write(RECEIPTS, "".join(f"{line}\n" for line in lines))


async def signing_key(where: Kept) -> bytes:
    """The key that signs receipts, made at its first use; of an encrypted store one of its keys.

    Raises:
        EngineError: it cannot be read or written, or is damaged.
    """
    if isinstance(where, Files) and where.keys is not None:
        return where.keys.receipts_key
    known = await known_keys(where)
    if known:
        return known[-1]
    key = secrets.token_bytes(_KEY_BYTES)
    await where.write(RECEIPTS_KEY, f"{key.hex()}\n")
    return key


async def known_keys(where: Kept) -> list[bytes]:
    """The keys that have signed receipts, also before the store was encrypted or decrypted.

    Raises:
        EngineError: they cannot be read, or are damaged.
    """
    text = await where.read(RECEIPTS_KEY)
    known = [] if text is None else _parsed(RECEIPTS_KEY, text, _keys)
    if isinstance(where, Files) and where.keys is not None:
        known.append(where.keys.receipts_key)
    return known


def _keys(text: str) -> list[bytes]:
    keys = [bytes.fromhex(line) for line in text.split()]
    if not keys or any(len(key) != _KEY_BYTES for key in keys):
        raise ValueError(f"it has no keys of {_KEY_BYTES} bytes")
    return keys


def _parsed(name: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except Exception as error:  # whatever is there in place of it
        raise EngineError(
            "erasure",
            f"read {name}",
            str(error),
            fix=f"It is damaged. Restore {ERASURE}/{name} from a backup, or delete it: then an "
            "erasure has to be asked for again, and older receipts cannot be verified.",
            cause=error,
        ) from error


def plain(erasure: UnderWay) -> dict[str, Any]:
    """An erasure as plain values, for a log: without the user."""
    return {"erasure": erasure.id, "begun_at": erasure.begun_at, "resumed": erasure.resumed}
