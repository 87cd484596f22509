"""One line an operation, without content."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bruno_core.models.message import Message, MessageRole
from opentelemetry.sdk.trace import TracerProvider

from bruno_memory_vec import open_memory
from bruno_memory_vec.errors import NotPermittedError
from bruno_memory_vec.observability.operation_log import LOGGER

SECRET = "the harbour of Ystad"
KEY = "a secret of the auditors"


def said(text: str) -> Message:
    return Message(role=MessageRole.USER, content=text)


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What was logged, as a handler of the application writes it."""
    found: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(self.format(record))

    logger, handler = logging.getLogger(LOGGER), Keeping()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(before)


async def test_json_lines(tmp_path: Path, lines: list[str]) -> None:
    async with open_memory(
        tmp_path / "m", embedder="hash", operation_log="json", tracing=TracerProvider()
    ) as memory:
        await memory.store_messages([said(SECRET), said("and a boat")], "c", user_id="ana")
        await memory.recall("harbour", user_id="ana")
        with pytest.raises(NotPermittedError):
            await memory.for_user("ana", role="reader").store_message(said(SECRET), "c")
    read: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert [(one["operation"], one["outcome"]) for one in read] == [
        ("connect", "ok"),
        ("store_messages", "ok"),
        ("recall", "ok"),
        ("store_message", "refused"),
        ("close", "ok"),
    ]
    stored, asked, refused = read[1:4]
    assert (stored["action"], stored["messages"], stored["store"]) == ("write", 2, "m")
    assert asked["messages"] == 2
    assert asked["ms"] > 0
    assert refused["error"] == "NotPermittedError"
    assert all(len(one["trace_id"]) == 32 for one in read)
    everything = "\n".join(lines)
    assert "Ystad" not in everything
    assert "ana" not in everything


async def test_text_lines_that_nobody_can_break(tmp_path: Path, lines: list[str]) -> None:
    hostile = 'a\nx operation=forged "b" \x1b[31m\u2028\u202e'
    async with open_memory(
        tmp_path / "m", embedder="hash", operation_log="text", operation_log_users="given"
    ) as memory:
        await memory.store_message(said(SECRET), "c", user_id=hostile)
        await memory.recall("harbour", user_id=hostile)
    assert len(lines) == 4
    for line in lines:
        assert line.startswith("event=operation operation=")
        assert len(line.splitlines()) == 1
        assert line.isprintable()
        assert "Ystad" not in line
    assert lines[1].count("outcome=ok") == 1


async def test_users_hashed_as_the_audit_trail_does(tmp_path: Path, lines: list[str]) -> None:
    settings: dict[str, Any] = {"audit_ids": "hashed", "audit_key": KEY}
    async with open_memory(
        tmp_path / "m",
        embedder="hash",
        operation_log="json",
        operation_log_users="hashed",
        audit=True,
        **settings,
    ) as memory:
        await memory.store_message(said(SECRET), "c", user_id="ana")
        (entry,) = [one async for one in _entries(memory)]
    told = json.loads(lines[1])
    assert told["user"].startswith("h:")
    assert told["user"] == entry.users[0]
    assert "ana" not in "".join(lines)


async def _entries(memory: Any) -> Any:
    for entry in await memory.audit():
        if entry.call == "store_message":
            yield entry
            return


async def test_nothing_is_written_below_the_level(tmp_path: Path, lines: list[str]) -> None:
    logging.getLogger(LOGGER).setLevel(logging.WARNING)
    async with open_memory(tmp_path / "m", embedder="hash", operation_log="json") as memory:
        await memory.recall("harbour", user_id="ana")
    assert lines == []


async def test_a_handler_that_fails_fails_no_operation(
    tmp_path: Path, lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise OSError("the disk of the log is full")

    handler = Broken()
    logging.getLogger(LOGGER).addHandler(handler)
    try:
        async with open_memory(tmp_path / "m", embedder="hash", operation_log="json") as memory:
            await memory.store_message(said(SECRET), "c", user_id="ana")
            assert len(await memory.recall("harbour", user_id="ana")) == 1
    finally:
        logging.getLogger(LOGGER).removeHandler(handler)
    told = [record for record in caplog.records if "observing_failed" in record.getMessage()]
    assert len(told) == 1, "once, not for each operation"


async def test_off_nothing_is_written(tmp_path: Path, lines: list[str]) -> None:
    async with open_memory(tmp_path / "m", embedder="hash") as memory:
        await memory.recall("harbour", user_id="ana")
    assert lines == []
