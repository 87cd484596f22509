"""Long texts, decoded once and shared by those who read them at about the same time.

A text of a row in Arrow is copied when it becomes a ``str``. Of short texts that costs nothing
worth mentioning. Of texts of megabytes, fifty answers at once would hold fifty copies.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from itertools import count
from threading import Lock

#: Texts of more bytes than this are shared.
LONG = 64 * 1024
# In bytes: how much is kept for the next reader.
_BUDGET = 64 * 2**20


class LongTexts:
    """The texts that were read last, up to a number of bytes. Any thread may use it."""

    def __init__(self, budget: int = _BUDGET) -> None:
        self._budget = budget
        self._texts: OrderedDict[Hashable, str] = OrderedDict()
        self._lock = Lock()
        #: How many bytes are kept.
        self.nbytes = 0

    def get(self, key: Hashable, decode: Callable[[], str]) -> str:
        """The text of a key; ``decode`` makes it where it is not kept."""
        # Under the lock, so that those who ask at the same time wait for one copy.
        with self._lock:
            text = self._texts.get(key)
            if text is not None:
                self._texts.move_to_end(key)
                return text
            text = decode()
            self._texts[key] = text
            self.nbytes += sys.getsizeof(text)
            # The newest stays, however long it is: others may be about to ask for it.
            while self.nbytes > self._budget and len(self._texts) > 1:
                _, gone = self._texts.popitem(last=False)
                self.nbytes -= sys.getsizeof(gone)
            return text

    def shared(self, text: str) -> str:
        """An equal text that is kept, or this one, which is kept now; a short one as it is."""
        if len(text) <= LONG:
            return text
        held = self.get((len(text), hash(text)), lambda: text)
        return held if held == text else text


#: Those of all stores of the process: a key begins with a number of :func:`new_owner`.
long_texts = LongTexts()
_owners = count()


def new_owner() -> int:
    """A number that nobody else in this process has."""
    return next(_owners)
