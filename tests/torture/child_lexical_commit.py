"""Makes images of a lexical folder, killed at each call to the system inside a commit.

FOLDER IMAGES: the folder is copied for each; the library that kills is preloaded and counts the
calls from ``arm(n)`` on (``test_lexical_kills.py``). A commit is of a row that is
new and of one that is gone.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import sys
from pathlib import Path

from bruno_memory_vec.indexers.schema import LEXICAL_COLUMNS
from bruno_memory_vec.indexers.tantivy.index import TantivyIndex
from bruno_memory_vec.indexers.text.analysis import analyser
from bruno_memory_vec.testing import rows

_MORE_THAN_THERE_ARE = 400


async def commit(folder: Path, point: int) -> None:
    index = TantivyIndex(folder, analyser("english"))
    seqs = sorted((await index.seqs()).tolist())
    index.remove(seqs[:1])
    fresh = rows.table([rows.message(seqs[-1] + 1)], 8)
    index.add(fresh.select(list(LEXICAL_COLUMNS)))
    ctypes.CDLL(None).arm(point)
    await index.commit()


def main(folder: Path, images: Path) -> None:
    for point in range(1, _MORE_THAN_THERE_ARE):
        image = Path(shutil.copytree(folder, images / f"{point:03}"))
        child = os.fork()
        if child == 0:
            asyncio.run(commit(image, point))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == 0:
            print(f"killed {point - 1} times", flush=True)
            return
        assert os.waitstatus_to_exitcode(status) == -9, status


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
