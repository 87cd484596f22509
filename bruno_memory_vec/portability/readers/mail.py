"""A mailbox (mbox), or one mail (eml): each mail is a message, a thread of mails a conversation.

The thread is found by the first of ``References``, else by ``In-Reply-To``, else it begins. The
text is that of the plain parts, else of the HTML parts; what is attached, also a mail that was
passed on, is noted. Whose address or name the caller's ``user_id`` is has the role "user".
"""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from datetime import timezone
from email.message import EmailMessage, Message
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import PurePath
from typing import Any

from bruno_memory_vec.portability.detect import Head, Line, Lines
from bruno_memory_vec.portability.readers.content import Content, Piece
from bruno_memory_vec.portability.readers.markup import plain
from bruno_memory_vec.portability.readers.people import People, said
from bruno_memory_vec.portability.readers.reader import Reader
from bruno_memory_vec.portability.readers.talk import Talk
from bruno_memory_vec.portability.records import MAX_DEPTH, BadFieldError, BadLine, Defaults, Turn

#: A larger mail is told and passed over; what it has is attachments.
MOST_BYTES = 64 * 1024 * 1024
_BEGIN = re.compile(rb"From \S+.*\d{4}")
_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9-]{0,60}):(?: |$)")
# Notes may begin with lines such as From: and Date:, too.
_OF_MAILS = {
    "from", "to", "date", "subject", "message-id", "received", "mime-version", "content-type",
    "return-path", "delivered-to",
}  # fmt: skip
_QUOTED = re.compile(rb">+From ")


def recognises(head: Head) -> bool:
    """A first line that begins a mail of a mailbox, or the headers of a mail."""
    first = head.text.split("\n", 1)[0]
    if _BEGIN.match(first.encode("utf-8", "replace")) is not None:
        return True
    if PurePath(head.name).suffix == ".eml":
        return _HEADER.match(first) is not None
    named = set()
    for line in head.text.split("\n"):
        if line[:1] in (" ", "\t"):
            continue
        header = _HEADER.match(line)
        if header is None:
            break
        named.add(header[1].lower())
    return {"from", "date"} <= named and len(named & _OF_MAILS) > 2


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
        began = began or line.number  # one mail, not in a mailbox
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
        else:
            content.pieces.insert(0, Piece("text", subject))
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
    texts: list[str] = []
    _parts(mail, texts, content, 0)
    text = "\n\n".join(one for one in texts if one)
    if text:
        content.pieces.insert(0, Piece("text", text.replace("\r\n", "\n").replace("\0", "")))
    return content


def _parts(part: Message, texts: list[str], content: Content, depth: int) -> None:
    """Add the texts of a part in their order, and notes of what is attached."""
    kind = part.get_content_type()
    file = part.get_filename()
    inner = _inner(part)
    if inner and kind != "message/rfc822" and depth < MAX_DEPTH:
        said = inner
        if kind == "multipart/alternative":
            # The plain one; else the last, which is the fullest. Of the others what is attached.
            plain_one = [one for one in inner if one.get_content_type() == "text/plain"][:1]
            fuller = [one for one in inner if one.get_content_maintype() in ("text", "multipart")]
            said = [one for one in plain_one if _text(one)] or fuller[-1:]
        for one in inner:
            _parts(one, texts if one in said else [], content, depth + 1)
    elif kind in ("text/plain", "text/html") and not (file or _is_attached(part)):
        texts.append(_text(part))
    else:
        if kind == "message/rfc822" and inner and not file:
            file = str(inner[0].get("Subject") or "").strip()  # a mail that was passed on
        what = next((w for w in ("image", "audio", "video") if kind.startswith(w)), "file")
        content.pieces.append(Piece("note", f"[{what}: {file}]" if file else f"[{what}]", {}, what))


def _inner(part: Message) -> list[Message]:
    payload: Any = part.get_payload() if part.is_multipart() else None
    return [one for one in payload if isinstance(one, Message)] if payload else []


def _is_attached(part: Message) -> bool:
    return part.get_content_disposition() == "attachment"


def _text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    try:
        text = data.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:
        text = data.decode("utf-8", "replace")
    return (plain(text) if part.get_content_type() == "text/html" else text).strip()


READER = Reader("mbox", "a mailbox or a mail", (), recognises, turns)
