"""What ``doctor --repair`` does."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bruno_memory_vec import manifest
from bruno_memory_vec.cli.diagnosis import SESSIONS
from bruno_memory_vec.cli.opening import bars
from bruno_memory_vec.cli.running import Out
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.factory import open_memory
from bruno_memory_vec.following import mend_turns
from bruno_memory_vec.locking import WriterLock
from bruno_memory_vec.sessions.stale import mark_all_stale


@dataclass(frozen=True, slots=True)
class SteppedBack:
    """Versions of the rows that could not be read, and were put aside.

    Attributes:
        put_aside: their numbers, the newest first.
        kept_in: the folder that keeps their bytes.
        version: the version that is the newest now.
        rows: how many rows it has.
    """

    put_aside: tuple[int, ...]
    kept_in: str
    version: int
    rows: int

    def __str__(self) -> str:
        """What a person should know of it."""
        one = len(self.put_aside) == 1
        numbers = ", ".join(str(number) for number in reversed(self.put_aside))
        return (
            f"stepped back: {'version' if one else 'versions'} {numbers} of the rows could not be "
            f"read and {'is' if one else 'are'} put aside, kept in {self.kept_in}. The store now "
            f"has version {self.version}, with {self.rows:,} rows. With fsync=True, nothing of "
            "what was put aside after a power cut had ever been acknowledged; without it, some "
            "of it may have been."
        )


async def repair(out: Out, config: MemoryConfig, done: dict[str, Any]) -> None:
    """Step back from torn rows, open the store, which mends what is derived, and maintain it.

    Args:
        out: where a progress bar goes.
        config: the settings of the store.
        done: is told what was done, also where a later step fails.

    Raises:
        StoreError, EngineError: the store cannot be repaired.
    """
    folder = manifest.folder_of(config.url)
    if folder is not None:
        stepped = await _step_back(folder)
        if stepped is not None:
            done["stepped_back"] = {**asdict(stepped), "note": str(stepped)}
    with bars(out) as progress:
        async with open_memory(config=config, progress=progress) as memory:
            store = await memory._door.store()
            assert store.writer is not None
            async with store.writer.exclusive:
                given = await mend_turns(store.rows, store.lexical, store.sessions)
            if given:
                done["turns_given"] = given
            report = await memory.maintain(progress)
    done.update(rows=report.after.rows, words=report.after.words)


async def _step_back(folder: Path) -> SteppedBack | None:
    """Put versions of the rows aside that cannot be read; None where the newest one is whole."""
    from bruno_memory_vec.indexers.lance_recovery import newest_whole, step_back

    lock = await asyncio.to_thread(WriterLock, folder)
    try:
        # Again, under the lock: a move to another embedder may have ended just now.
        found = await asyncio.to_thread(manifest.read, folder)
        rows = None if found is None else folder / found.rows
        if rows is None or not await asyncio.to_thread((rows / "rows.lance" / "_versions").is_dir):
            return None
        whole = await newest_whole(rows)
        if whole is None or not whole.rows or not whole.unreadable:
            return None
        # Before the step: killed behind it, nothing would say that the hot contexts are untrue.
        await mark_all_stale(folder / SESSIONS)
        aside = await asyncio.to_thread(step_back, rows, whole)
        return SteppedBack(whole.torn, str(aside), whole.version, whole.rows)
    finally:
        await asyncio.to_thread(lock.release)
