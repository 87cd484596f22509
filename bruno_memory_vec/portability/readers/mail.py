"""A mailbox (mbox): each mail is a message, and a thread of mails a conversation.

The thread is found by the first of ``References``, else by ``In-Reply-To``, else it begins. The
text is that of the plain part, else of the HTML part; attachments are noted. Whose address or name
the caller's ``user_id`` is has the role "user".
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from datetime import timezone
from email.message import EmailMessage, Message
from email.utils import getaddresses, parsedate_to_datetime
from typing import Any

from bruno_memory_vec.portability.detect import Head, Line, Lines
from bruno_memory_vec.portability.readers.content import Content, Piece
from bruno_memory_vec.portability.readers.markup import plain
from bruno_memory_vec.portability.readers.people import People, said
from bruno_memory_vec.portability.readers.reader import Reader
from bruno_memory_vec.portability.readers.talk import Talk
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

#: A larger mail is told and passed over; what it has is attachments.
MOST_BYTES = 64 * 1024 * 1024
_BEGIN = re.compile(rb"From \S+.*\d{4}")
_QUOTED = re.compile(rb">+From ")


def recognises(head: Head) -> bool:
    """A first line that begins a mail of a mailbox."""
    first = head.text.split("\n", 1)[0]
    return _BEGIN.match(first.encode("utf-8", "replace")) is not None


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield every mail. One is in memory at a time."""
    threads: dict[str, str] = {}
    for number, size, data in _mails(lines):
        try:
            if size > MOST_BYTES:
                raise BadFieldError("mail", f"is larger than {MOST_BYTES // 2**20} MiB")
            mail = email.message_from_bytes(data, policy=email.policy.default)
            yield from _mail(mail, number, threads, defaults)
        except BadFieldError as error:
            yield error.at(number)
        except (ValueError, LookupError, TypeError, IndexError, AttributeError) as error:
            # What the standard library raises for headers that break the rules.
            yield BadLine(number, "mail", f"cannot be read: {error}")


def _mails(lines: Lines) -> Iterator[tuple[int, int, bytes]]:
    """Each mail with its first line and its size; one that is too large is empty."""
    parts: list[bytes] = []
    size, began, after = 0, 0, 0
    for line in lines:
        # Blank lines are not given, but what number the next one has.
        gap = line.number - after - 1
        after = line.number
        if _BEGIN.match(line.data) and (gap or not began):
            if began:
                yield began, size, b"".join(parts)
            parts, size, began = [], 0, line.number
            continue
        data = _unquoted(line)
        size += len(data) + gap
        if size <= MOST_BYTES:
            parts += (b"\n" * gap, data)
        else:
            parts = []  # told as too large
    if began:
        yield began, size, b"".join(parts)


def _unquoted(line: Line) -> bytes:
    return line.data[1:] if _QUOTED.match(line.data) else line.data


def _mail(
    mail: Message | EmailMessage, number: int, threads: dict[str, str], defaults: Defaults
) -> Iterator[Turn]:
    subject = str(mail.get("Subject") or "").strip()
    own = str(mail.get("Message-ID") or "").strip()
    before = " ".join(str(mail.get(key) or "") for key in ("References", "In-Reply-To")).split()
    root = next((threads[one] for one in before if one in threads), None)
    root = root or (before[0] if before else own) or f"mail {number}"
    if own:
        threads[own] = root
    senders = getaddresses([str(mail.get("From") or "")])
    name, address = senders[0] if senders else ("", "")
    receivers = getaddresses([str(value) for value in mail.get_all("To") or []])
    everyone = [part for pair in (*senders, *receivers) for part in pair if part]
    people = People.among(defaults, everyone)
    content = _content(mail)
    about: dict[str, Any] = {"from": address or name}
    if receivers:
        about["to"] = [address or name for name, address in receivers[:50]]
    if subject:
        about["title"] = subject
        for piece in content.pieces:
            if piece.kind == "text":
                piece.text = f"{subject}\n\n{piece.text}"
                break
    talk = Talk(defaults, f"mail/{root.strip('<>')}"[:1000], defaults.user(None), number)
    yield from said(
        talk,
        people.role(name, address),
        name or address or "somebody",
        content,
        time=_time(mail),
        source_id=own.strip("<>") or None,
        about=about,
    )


def _time(mail: Message) -> Any:
    value = mail.get("Date")
    if value is None:
        return None
    try:
        found = parsedate_to_datetime(str(value))
    except (TypeError, ValueError, IndexError):
        return None  # of a mail the text counts; it is then one without a time
    aware = found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
    return aware.astimezone(timezone.utc).replace(tzinfo=None)


def _content(mail: Message | EmailMessage) -> Content:
    content = Content()
    texts: dict[str, str] = {}
    for part in mail.walk():
        if part.is_multipart():
            continue
        kind = part.get_content_type()
        file = part.get_filename()
        if file or kind not in ("text/plain", "text/html"):
            what = next((w for w in ("image", "audio", "video") if kind.startswith(w)), "file")
            shown = f"[{what}: {file}]" if file else f"[{what}]"
            content.pieces.append(Piece("note", shown, {}, what))
        elif kind not in texts:
            payload = part.get_payload(decode=True)
            data = payload if isinstance(payload, bytes) else b""
            charset = part.get_content_charset() or "utf-8"
            try:
                texts[kind] = data.decode(charset, "replace")
            except LookupError:
                texts[kind] = data.decode("utf-8", "replace")
    text = texts.get("text/plain", "").strip()
    text = text or plain(texts.get("text/html", ""))
    if text:
        content.pieces.insert(0, Piece("text", text.replace("\r\n", "\n").replace("\0", "")))
    return content


READER = Reader("mbox", "a mailbox", (), recognises, turns)
