"""A ledger that begins anew: the sessions' file was gone or damaged, and with it what it knew.

From then on no row is lost without a word. Of the time before only the lexical index may know: what
it has, and the rows have not, was lost or deleted. So that is written down once, for ``doctor``.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timezone

import numpy as np

from bruno_memory_vec.errors import EngineError
from bruno_memory_vec.indexers.protocols import LexicalIndex, RowIndex
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store.record import NEW_LEDGER, PERHAPS_LOST, UpkeepRecord
from bruno_memory_vec.writing.reconcile import seqs_of

_log = get_logger(__name__)


async def note_new_ledger(
    reason: str, rows: RowIndex, lexical: LexicalIndex | None, record: UpkeepRecord
) -> None:
    """Write down that a ledger begins, unless there is no row that it could have known.

    Call it before the lexical index follows the rows.

    Args:
        reason: what became of the one before.
        rows: the rows, with those of the log.
        lexical: the lexical index, as it was found; None where there is none.
        record: where it is kept.

    Raises:
        EngineError: the rows cannot be read, or the record not be written.
    """
    present = await seqs_of(rows)
    gone = np.empty(0, np.int64)
    if lexical is not None:
        with suppress(EngineError):  # it is damaged, and made anew
            gone = np.setdiff1d(await lexical.seqs(), present)
    if not len(present) and not len(gone):
        return
    at = datetime.now(timezone.utc).isoformat()
    await record.keep_losses({"at": at, NEW_LEDGER: reason, PERHAPS_LOST: gone.tolist()})
    _log.warning("ledger_begins_anew", reason=reason, perhaps_lost=len(gone))
