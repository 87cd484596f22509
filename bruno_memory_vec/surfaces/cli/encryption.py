"""``encrypt``, ``decrypt`` and ``rotate-key``: a store at rest."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bruno_memory_vec.surfaces.cli.options import Json, Store
from bruno_memory_vec.surfaces.cli.running import Out, execute


def encrypt(store: Store = None, json: Json = False) -> None:
    """Encrypt a store in its place, with the key in --key-file.

    Rows are sealed under a key a user, sessions by SQLCipher; no index of words stays on the disk.
    Nobody may have the store open. If the command is stopped, the store is as it was, and the same
    command begins again. Snapshots and backups made before are plain: remove them.

    Make a key with: head -c 32 /dev/urandom > memory.key, and keep a copy elsewhere. Who loses it
    loses the store.
    """
    execute(json, lambda out: _convert(out, store, encrypted=True))


def decrypt(store: Store = None, json: Json = False) -> None:
    """Make a plain store of an encrypted one, in its place.

    Nobody may have the store open. If the command is stopped, the store is as it was.
    """
    execute(json, lambda out: _convert(out, store, encrypted=False))


def rotate_key(
    new_key_file: Annotated[
        Path, typer.Option("--new-key-file", metavar="FILE", help="The file with the new key.")
    ],
    store: Store = None,
    json: Json = False,
) -> None:
    """Give an encrypted store another key, also while it is open.

    The keys of its users are wrapped anew, and no row is written. The old key, in --key-file,
    opens the store no more; it still opens snapshots made before.
    """
    execute(json, lambda out: _rotate(out, store, new_key_file))


async def _convert(out: Out, store: str | None, *, encrypted: bool) -> int:
    from bruno_memory_vec.config import masked
    from bruno_memory_vec.surfaces.cli.opening import bars, configuration, existing
    from bruno_memory_vec.upkeep.encrypting.run import decrypt_store, encrypt_store

    config = configuration(store)
    await existing(config)
    work = encrypt_store if encrypted else decrypt_store
    with bars(out) as progress:
        report = await work(config=config, progress=progress)
    out.report(report, store=masked(config.url))
    return 0


async def _rotate(out: Out, store: str | None, new_key_file: Path) -> int:
    from bruno_memory_vec.config import masked
    from bruno_memory_vec.store.keys.master import read_key_file
    from bruno_memory_vec.surfaces.cli.opening import configuration, existing
    from bruno_memory_vec.upkeep.encrypting.run import rotate_key as rotate

    config = configuration(store)
    await existing(config)
    await rotate(config=config, new_key=read_key_file(new_key_file))
    if out.as_json:
        out.result({"store": masked(config.url), "rotated": True})
    else:
        out.lines("the store opens with the new key, and no more with the old one")
    return 0
