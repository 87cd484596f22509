"""One conversation while it is read: whose it is, its name, and how its messages become turns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from bruno_core.models.message import MessageRole, MessageType

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.portability import records, roles, times
from bruno_memory_vec.portability.readers.content import Content, Piece, read_content, type_of_note
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

REASONING = "reasoning"
EMPTY_RESULTS = "empty tool results"
EMPTY = "empty messages"
LONG = "long calls and results of tools, cut"
UNSTORABLE = "characters that cannot be stored"


@dataclass(slots=True)
class Talk:
    """A conversation.

    Attributes:
        defaults: of the reading.
        conversation: its id.
        user: whose it is.
        line: the line of the input it is on; None in a document.
        about: what each of its messages has in its metadata, such as the title.
        since: when it began, as far as the source says.
        strict: whether a text with characters that cannot be stored is bad. Else they are taken
            out: output of programs has them, and an export is not refused for that.
    """

    defaults: Defaults
    conversation: str
    user: str | None = None
    line: int | None = None
    about: dict[str, Any] = field(default_factory=dict)
    since: datetime | None = None
    strict: bool = False

    def say(
        self,
        role: MessageRole,
        text: str,
        *,
        time: datetime | None = None,
        source_id: str | None = None,
        about: dict[str, Any] | None = None,
        kind: MessageType = MessageType.TEXT,
        line: int | None = None,
        holds: records.Kind = "message",
        where: str = "content",
    ) -> Turn:
        """One message as a turn.

        Raises:
            BadFieldError: it cannot be stored.
        """
        position = self.defaults.position(self.user, self.conversation)
        extra: Any = {**self.about, **(about or {})}
        if not self.strict:
            text, extra = self._storable(text), self._storable(extra)
        return records.make_turn(
            self.defaults,
            conversation_id=self.conversation,
            user_id=self.user,
            position=position,
            role=role,
            content=records.check_text(text, where),
            timestamp=time,
            line=self.line if line is None else line,
            metadata=records.check_metadata(extra),
            message_id=uuid_of(source_id),
            message_type=kind,
            source_id=source_id,
            kind=holds,
            since=self.since,
        )

    def _storable(self, value: Any, depth: int = 0) -> Any:
        """A value without characters that cannot be stored; what is too deep is told later."""
        if isinstance(value, str):
            clean = records.storable(value)
            self.leave_out(UNSTORABLE, int(clean != value))
            return clean
        if depth > records.MAX_DEPTH:
            return value
        if isinstance(value, list):
            return [self._storable(one, depth + 1) for one in value]
        if isinstance(value, dict):
            return {
                self._storable(key): self._storable(one, depth + 1) for key, one in value.items()
            }
        return value

    def skip(self) -> None:
        """A message that is not used: what comes after it keeps its position."""
        self.defaults.position(self.user, self.conversation)

    def leave_out(self, what: str, count: int = 1) -> None:
        """Count what is left out on purpose."""
        if count:
            self.defaults.left_out[what] += count

    def say_content(
        self,
        role: MessageRole,
        content: Any,
        *,
        time: datetime | None = None,
        source_id: str | None = None,
        about: dict[str, Any] | None = None,
        line: int | None = None,
        where: str = "content",
        begin: str = "",
    ) -> Iterator[Turn]:
        """A message with parts as turns: its text, its calls of tools and their results.

        Text that is not interrupted is one turn. A call is an ACTION message of the assistant, a
        result a message of the tool. Reasoning and empty results are left out. A picture, a sound
        or a file is noted in the metadata of the text beside it, and is a turn where there is none.
        What is said first begins with ``begin``, such as a name.

        Raises:
            BadFieldError: it cannot be used.
        """
        parts = content if isinstance(content, Content) else read_content(content, where)
        self.leave_out(REASONING, parts.reasoning)
        extra = dict(about or {})
        if parts.others:
            extra["parts_left_out"] = parts.others
        count = 0
        for run in _runs(parts, role):
            name = source_id if not count or source_id is None else f"{source_id}#{count + 1}"
            if run.kind == "result" and not run.text.strip():
                self.leave_out(EMPTY_RESULTS)
                continue
            if run.kind in ("call", "result") and run.text.endswith("characters more]"):
                self.leave_out(LONG)
            yield self.say(
                MessageRole.TOOL if run.kind == "result" else run.role,
                run.text if count else f"{begin}{run.text}",
                time=time,
                source_id=name,
                about={**extra, **run.about},
                kind=run.type,
                line=line,
                where=where,
            )
            count += 1
        if not count and not any(piece.kind == "result" for piece in parts.pieces):
            empty = EMPTY_RESULTS if role is MessageRole.TOOL else EMPTY
            self.leave_out(empty, int(not parts.reasoning))


@dataclass(slots=True)
class _Run:
    kind: str
    role: MessageRole
    text: str
    about: dict[str, Any]
    type: MessageType = MessageType.TEXT


def _runs(parts: Content, role: MessageRole) -> Iterator[_Run]:
    notes: list[Piece] = []
    texts: list[str] = []

    def said() -> Iterator[_Run]:
        if not texts and not notes:
            return
        about: dict[str, Any] = {}
        if notes:
            about["noted"] = [note.text.strip("[]") for note in notes]
        if texts:
            yield _Run("text", role, "\n".join(texts), about)
        else:
            shown = " ".join(note.text for note in notes)
            yield _Run("note", role, shown, about, type_of_note(notes))
        texts.clear()
        notes.clear()

    for piece in parts.pieces:
        if piece.kind == "text":
            texts.append(piece.text)
        elif piece.kind == "note":
            notes.append(piece)
        else:
            yield from said()
            call = piece.kind == "call"
            kind = MessageType.ACTION if call else MessageType.TEXT
            yield _Run(
                piece.kind,
                MessageRole.ASSISTANT if call else MessageRole.TOOL,
                piece.text,
                piece.about,
                kind,
            )
    yield from said()


def uuid_of(value: Any) -> UUID | None:
    """The UUID that a text is; None where it is none, as the ids of most APIs."""
    try:
        return records.check_uuid(value, "id")
    except BadFieldError:
        return None


def time_in(message: dict[str, Any], defaults: Defaults, key: str | None = None) -> datetime | None:
    """The time of a message, by the first key of a time that holds something.

    Raises:
        BadFieldError: it is no time.
    """
    key = key or times.first_of(message)
    return None if key is None else records.check_time(message.get(key), key, defaults.days)


def lenient_time(value: Any, defaults: Defaults) -> datetime | None:
    """A time that is not needed: None where it is none, or where it may be two."""
    try:
        return records.check_time(value, "time", defaults.days)
    except (BadFieldError, InvalidInputError):
        return None


def before(messages: list[Any], defaults: Defaults) -> datetime | None:
    """A time just before the first message that has one, for those before that; None: none has."""
    for count, message in enumerate(messages):
        if isinstance(message, dict) and (key := times.first_of(message)) is not None:
            found = lenient_time(message[key], defaults)
            if found is not None and found.year > 1:
                return found - timedelta(microseconds=count + 2)
    return None


def role_in(value: Any, where: str = "role") -> MessageRole:
    """The role of a name.

    Raises:
        BadFieldError: it is none.
    """
    found = roles.role_of(value)
    if found is None:
        got = ascii(value[:40]) if isinstance(value, str) else records.json_type(value)
        raise BadFieldError(where, f"{roles.expected()}; got {got}")
    return found


def titled(title: Any) -> dict[str, Any]:
    """A title for the metadata."""
    return {"title": title.strip()} if isinstance(title, str) and title.strip() else {}


def told(error: BadFieldError, line: int | None, path: str) -> BadLine:
    """The bad line of an error within the object at ``path``."""
    return error.at(line, f"{path}." if path else "")
