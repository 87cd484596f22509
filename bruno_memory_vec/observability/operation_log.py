"""One line an operation, into the standard library's logging, without content.

The logger is ``bruno_memory_vec.operations`` and the level INFO, so nothing is written until the
application lets that through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import structlog

#: Its logger.
LOGGER: Final = "bruno_memory_vec.operations"
#: What the settings may say.
Form = Literal["off", "text", "json"]
Users = Literal["none", "hashed", "given"]
# A call may be about thousands of users; a line names the first of them and says how many.
_MOST_NAMED: Final = 5


class OperationLog:
    """Writes the lines.

    Args:
        form: "text" (``operation=recall outcome=ok ...``) or "json", one object a line.
        name: how a user's id is written; None leaves users out.
        store: what names the store.
    """

    def __init__(
        self, form: Literal["text", "json"], name: Callable[[str], str] | None, store: str
    ) -> None:
        last = (
            structlog.processors.JSONRenderer(ensure_ascii=False)
            if form == "json"
            else structlog.processors.LogfmtRenderer(key_order=["event", "operation", "outcome"])
        )
        processors: list[Any] = [structlog.processors.TimeStamper(fmt="iso", utc=True), last]
        self._logger = logging.getLogger(LOGGER)
        self._lines = structlog.wrap_logger(
            self._logger,
            processors=processors,
            wrapper_class=structlog.stdlib.BoundLogger,
            context_class=dict,
            cache_logger_on_first_use=True,
        )
        self._name = name
        self._store = store

    @property
    def writes(self) -> bool:
        """Whether a line would be written."""
        return self._logger.isEnabledFor(logging.INFO)

    def write(
        self,
        operation: str,
        action: str,
        outcome: str,
        seconds: float,
        *,
        error: str | None,
        counts: Mapping[str, int],
        users: Iterable[str],
        trace: str | None,
    ) -> None:
        """Write the line of one operation that has ended."""
        line: dict[str, Any] = {
            "operation": operation,
            "action": action,
            "outcome": outcome,
            "ms": round(seconds * 1000, 3),
            "store": self._store,
        }
        if error is not None:
            line["error"] = error
        for kind, count in counts.items():
            line[_PLURALS.get(kind, kind)] = count
        if self._name is not None:
            named = list(users)
            if named:
                shown = [self._name(user) for user in named[:_MOST_NAMED]]
                line["user"] = shown[0] if len(named) == 1 else " ".join(shown)
            if len(named) > 1:
                line["users"] = len(named)
        if trace is not None:
            line["trace_id"] = trace
        self._lines.info("operation", **line)


_PLURALS: Final = {"message": "messages", "memory": "memories", "other": "others"}
