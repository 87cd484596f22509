"""The LoCoMo benchmark's ``locomo10.json`` (Maharana et al., 2024, arXiv:2402.17753).

Each sample is a user, ``sample_id``, and each of its sessions a conversation,
``"{sample_id}/session_{n}"``. ``speaker_a`` is the user and ``speaker_b`` the assistant. The text
of a turn is ``"{speaker}: {text}"``, and with an image ``"{speaker}: {text} [image: {caption}]"``
from its ``blip_caption``. A turn's time is that of its session, taken as UTC, plus one second for
each turn before it. The metadata holds ``dia_id`` (what the questions' evidence points to) and
``speaker``. Sessions that have a date but no turns are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

from bruno_core.models.message import MessageRole

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import records
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.reader import Reader
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

_SESSION = re.compile(r"session_(\d{1,6})", re.ASCII)
_TIME = re.compile(r"(\d{1,2}):(\d\d) ([ap])m on (\d{1,2}) ([a-z]+),? (\d{4})", re.ASCII)
# Not strptime's %B: that follows the locale of the process.
_MONTHS = (
    "january february march april may june july august september october november december"
).split()


def recognises(head: Head) -> bool:
    """Samples with a ``conversation`` that has two speakers, or any object without messages."""
    talk = head.first.get("conversation")
    return isinstance(talk, dict) and "messages" not in head.first and "mapping" not in head.first


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of every sample, by session and turn. One sample is in memory at a time.

    Raises:
        InvalidInputError: the document is broken, or neither a sample nor a list.
    """
    document = lines.stream()
    if not document.is_list() and not isinstance(document.value(), dict):
        raise InvalidInputError(
            "source",
            f"expected LoCoMo's list of samples, found {records.json_type(document.value())}",
            fix="Give locomo10.json as it was published.",
        )
    samples = document.items() if document.is_list() else [document.value()]
    for index, sample in enumerate(samples):
        path = f"[{index}]"
        try:
            if not isinstance(sample, dict):
                got = records.json_type(sample)
                raise BadFieldError("sample", f"expected an object, got {got}")
            name = records.check_text(sample.get("sample_id"), "sample_id")
            path = f"{name}."
            sessions = sample.get("conversation")
            if not isinstance(sessions, dict):
                got = records.json_type(sessions)
                raise BadFieldError("conversation", f"expected an object, got {got}")
            roles = {
                records.check_text(sessions.get("speaker_a"), "speaker_a"): MessageRole.USER,
                records.check_text(sessions.get("speaker_b"), "speaker_b"): MessageRole.ASSISTANT,
            }
        except BadFieldError as error:
            yield error.at(None, path if path.endswith(".") else f"{path}.")
            continue
        numbers = sorted(int(m[1]) for key in sessions if (m := _SESSION.fullmatch(key)))
        for number in numbers:
            yield from _session(sessions, name, number, roles, defaults)


def parse_time(text: Any) -> datetime:
    """Return a time such as "1:56 pm on 8 May, 2023", naive as in bruno-core.

    Raises:
        BadFieldError: it is written otherwise, or no such time exists.
    """
    match = _TIME.fullmatch(text.strip().lower()) if isinstance(text, str) else None
    if match and match[5] in _MONTHS and 1 <= int(match[1]) <= 12:
        hour = int(match[1]) % 12 + (12 if match[3] == "p" else 0)
        month = _MONTHS.index(match[5]) + 1
        try:
            day = datetime(int(match[6]), month, int(match[4]), tzinfo=timezone.utc)
            return day.replace(hour=hour, minute=int(match[2]), tzinfo=None)
        except ValueError:
            pass
    got = ascii(text[:40]) if isinstance(text, str) else records.json_type(text)
    raise BadFieldError("time", f"expected a time like '1:56 pm on 8 May, 2023', got {got}")


def _session(
    sessions: dict[str, Any],
    sample: str,
    number: int,
    roles: dict[str, MessageRole],
    defaults: Defaults,
) -> Iterator[Turn | BadLine]:
    conversation = f"{sample}/session_{number}"
    rows = sessions.get(f"session_{number}")
    if not isinstance(rows, list):
        problem = f"expected a list of turns, got {records.json_type(rows)}"
        yield BadLine(None, conversation, problem)
        return
    if not rows:
        return
    try:
        start = parse_time(sessions.get(f"session_{number}_date_time"))
    except BadFieldError as error:
        yield BadLine(None, f"{conversation}_date_time", error.problem)
        return
    for position, row in enumerate(rows):
        try:
            yield _turn(row, conversation, sample, position, start, roles, defaults)
        except BadFieldError as error:
            yield error.at(None, f"{conversation}[{position}].")


def _turn(
    row: Any,
    conversation: str,
    sample: str,
    position: int,
    start: datetime,
    roles: dict[str, MessageRole],
    defaults: Defaults,
) -> Turn:
    if not isinstance(row, dict):
        raise BadFieldError("turn", f"expected an object, got {records.json_type(row)}")
    speaker = records.check_text(row.get("speaker"), "speaker")
    if speaker not in roles:
        raise BadFieldError("speaker", f"expected one of {', '.join(roles)}; got {speaker[:40]!r}")
    dia_id = records.check_text(row.get("dia_id"), "dia_id")
    caption = row.get("blip_caption")
    image = f"[image: {records.check_text(caption, 'blip_caption').strip()}]" if caption else ""
    text = row.get("text")
    if text or not image:
        text = records.check_text(text, "text").strip()
    try:
        time = start + timedelta(seconds=position)
    except OverflowError as error:
        raise BadFieldError("time", "is past the year 9999") from error
    return records.make_turn(
        defaults,
        conversation_id=conversation,
        user_id=defaults.user(sample),
        position=position,
        role=roles[speaker],
        content=" ".join(part for part in (f"{speaker}:", text, image) if part),
        timestamp=time,
        line=None,
        metadata={"dia_id": dia_id, "speaker": speaker},
        source_id=dia_id,
    )


READER = Reader(
    "locomo", "LoCoMo's locomo10.json", ("sample_id", "conversation", "qa"), recognises, turns
)
