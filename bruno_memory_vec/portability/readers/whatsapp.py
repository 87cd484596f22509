"""WhatsApp's export of a chat: a text, in the form of the phone it is from.

::

    [03/10/2025, 18:50:02] Ana: Where did we stay?        (iPhone)
    03/10/2025, 18:50 - Ana: Where did we stay?           (Android)

Its dates may begin with the day or the month. What the dates of the file show decides: a number
over 12, or that only one way keeps the messages in their order; else the caller has to say it.
Times have no offset, and are taken as UTC. What a line does not begin belongs to the message
before it. What WhatsApp reports by itself is left out; a picture or file is noted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePath

from bruno_memory_vec.portability import times
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.content import Content, Piece
from bruno_memory_vec.portability.readers.people import People, said
from bruno_memory_vec.portability.readers.reader import Reader
from bruno_memory_vec.portability.readers.talk import Talk
from bruno_memory_vec.portability.readers.telegram import SERVICE
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn
from bruno_memory_vec.portability.times import Days

_DATE = r"(?P<date>\d{1,4}([./-])\d{1,2}\2\d{1,4})"
_CLOCK = r"(?P<clock>\d{1,2}[:.]\d\d(?:[:.]\d\d)?(?:\s?[AaPp]\.?\s?[Mm]\.?)?)"
# What some languages write between the day and the time.
_AT = r"(?:(?:klo|at|à|às|um|alle|a las|kl\.?|o) )?"
_LINE = re.compile(
    rf"(?:\[{_DATE},?\s+{_AT}{_CLOCK}\]\s|"
    rf"{_DATE.replace('date', 'date2').replace(chr(92) + '2', chr(92) + '5')},?\s+{_AT}"
    rf"{_CLOCK.replace('clock', 'clock2')}\s+[-–]\s)"
    r"(?P<rest>.*)",
    re.DOTALL,
)
# 2025/10/3 下午6:50 - Ana: ..., and in Korean 2025년 10월 3일 오후 6:50, Ana : ...
_EAST_ASIAN = re.compile(
    r"^(?P<begin>\[?)(?P<year>\d{4})(?:/|[년.] ?)(?P<month>\d{1,2})(?:/|[월.] ?)(?P<day>\d{1,2})"
    r"(?:일|\.)?,? (?P<half>凌晨|清晨|早上|上午|中午|下午|晚上|午前|午後|오전|오후) ?"
    r"(?P<clock>\d{1,2}:\d\d(?::\d\d)?)(?P<end>\]|,| -)"
)
# 13. 2. 2025, as in Slovak, 2025. 02. 13., as in Hungarian, 13.02.2025 г., as in Bulgarian.
_SPACED = re.compile(r"^(\[?\d{1,4})\. ?(\d{1,2})\. ?(\d{1,4})(?: ?г)?\.?(?=[ ,])")
_DIGITS = str.maketrans("٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹،", "01234567890123456789,")
_HALF = re.compile(r"(?<=\d) ?([صم])$")
#: Where a line has said when it was: so far it may have another language's digits and marks.
_STAMP = re.compile(r"^.{6,60}?(?=\] | [-–] )", re.DOTALL)
# Years of the Buddhist calendar, which Thai phones write.
_BUDDHIST = re.compile(r"(?<!\d)(25[4-9]\d|26\d\d)(?!\d)")
_LATE = {"下午", "晚上", "午後", "오후"}
_SAYS = re.compile(r"(?P<who>[^:\n]{1,80}?): (?P<text>.*)", re.DOTALL)
#: Marks of direction, which the export puts before names and notes.
_DIRECTIONS = "\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2069\ufeff"
_MARKS = dict.fromkeys(map(ord, _DIRECTIONS))
_MEDIA = re.compile(
    r"<(?:attached|adjunto|anexo|angehängt|Anhang|bijlage|allegato|pièce jointe) ?: "
    r"(?P<file>[^>]{1,300})>|"
    r"(?P<name>\b[\w().-]{1,120}\.\w{2,5}) \((?:file attached|archivo adjunto|Datei angehängt|"
    r"arquivo anexado|file allegato|fichier joint)\)|"
    r"<(?:Media|Multimedia|Medien|Mídia|Arquivo de mídia|Médias?) (?:omitted|omitido|"
    r"ausgeschlossen|oculta|oculto|omessi|omis|weggelaten)>|"
    r"<Без медиафайлов>|<Без медіафайлів>|<Medya dahil edilmedi>|<Media jätettiin pois>|"
    r"<pominięto multimedia>|<メディアは含まれていません>|<미디어 파일을 제외한 대화내용>|"
    r"<省略多媒体文件>|<已忽略多媒體檔>|<تم استبعاد الوسائط>|<המדיה לא נכללה>|"
    r"<Media tidak disertakan>|"
    r"(?P<what>\b(?:image|Bild|imagen|imagem|immagine|afbeelding|audio|áudio|video|vídeo|vidéo|"
    r"sticker|figurinha|GIF|document|Dokument|documento|Contact card|Kontaktkarte|"
    r"Tarjeta de contacto|Fiche contact|contactkaart)) (?:omitted|weggelassen|omitid[oa]|"
    r"ocultad[oa]|omess[oa]|escluso|esclusa|absente?|omise?|retiré|weggelaten)\b",
    re.IGNORECASE,
)
#: What stands behind a text that was changed: <This message was edited>, in any language.
_EDITED = re.compile(r"(?<=\S) ?\u200e<[^<>:\n]{5,60}>\s*$| <This message was edited>\s*$")
#: What stands on Android in place of a message that was deleted, as if it had been said.
_DELETED = {
    "this message was deleted", "you deleted this message", "diese nachricht wurde gelöscht",
    "du hast diese nachricht gelöscht", "se eliminó este mensaje", "eliminaste este mensaje",
    "ce message a été supprimé", "vous avez supprimé ce message", "mensagem apagada",
    "você apagou esta mensagem", "questo messaggio è stato eliminato",
    "hai eliminato questo messaggio", "dit bericht is verwijderd", "u hebt dit bericht verwijderd",
}  # fmt: skip
#: An iPhone's mark stands before polls and places, too, which somebody has sent.
_SENT = re.compile(r"https?://|\n\u200e")
_KINDS = {
    "image": "image", "bild": "image", "imagen": "image", "imagem": "image", "immagine": "image",
    "afbeelding": "image", "sticker": "image", "figurinha": "image", "gif": "image",
    "audio": "audio", "áudio": "audio", "video": "video", "vídeo": "video", "vidéo": "video",
    "jpg": "image", "jpeg": "image", "png": "image", "webp": "image", "opus": "audio",
    "m4a": "audio", "mp3": "audio", "mp4": "video", "mov": "video",
}  # fmt: skip


@dataclass(slots=True)
class _Message:
    line: int
    stamp: str
    rest: str


def recognises(head: Head) -> bool:
    """A first line with a date, a time and what was said."""
    first = head.text.lstrip("\ufeff\u200e\u200f \r\n").split("\n", 1)[0]
    return _begins(first) is not None


def turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the turns of a chat. All of it is in memory, as its last dates say what the first are.

    Raises:
        InvalidInputError: nothing says whether its dates begin with the day or the month.
    """
    messages: list[_Message] = []
    for number, text in lines.texts():
        found = _begins(text)
        if found is not None:
            messages.append(_Message(number, *found))
        elif messages:
            messages[-1].rest += f"\n{text}"
    days = _days(messages, defaults.days)
    speakers = {
        match["who"].translate(_MARKS).strip()
        for one in messages
        if (match := _SAYS.match(one.rest))
    }
    name = _chat_name(defaults)
    talk = Talk(defaults, name, defaults.user(None), None, {"title": name})
    people = People.among(defaults, speakers)
    for message in messages:
        talk.line = message.line
        match = _SAYS.match(message.rest)
        if match is None or match["who"].count('"') % 2:
            # Nobody's name: a name of a group with a colon, which was changed.
            talk.leave_out(SERVICE)
            continue
        try:
            time = times.read_time(message.stamp, days)
            who = match["who"].translate(_MARKS).strip()
            text = _EDITED.sub("", match["text"]).translate(_MARKS).strip()
            content = _content(text)
            reported = match["text"].startswith("\u200e") and _SENT.search(match["text"]) is None
            deleted = text.lower().rstrip(".") in _DELETED
            if deleted or (reported and not content.notes):
                # An iPhone writes what WhatsApp reports as if the other one had said it.
                talk.leave_out(SERVICE)
                continue
            yield from said(talk, people.role(who), who, content, time=time, source_id=None)
        except times.NoTimeError as error:
            talk.skip()
            yield BadLine(message.line, "time", str(error))
        except BadFieldError as error:
            talk.skip()
            yield error.at(message.line)


def _begins(text: str) -> tuple[str, str] | None:
    """The time and the rest of a line that begins a message."""
    text = text.replace("\u202f", " ").replace("\u00a0", " ").lstrip(_DIRECTIONS)
    if stamp := _STAMP.match(text):
        begin = _SPACED.sub(r"\1.\2.\3", stamp[0].translate(_MARKS).translate(_DIGITS))
        begin = _HALF.sub(lambda half: " PM" if half[1] == "م" else " AM", begin.rstrip(" ч."))
        text = f"{begin}{text[stamp.end() :]}"
    match = _LINE.match(_EAST_ASIAN.sub(_as_elsewhere, text, count=1))
    if match is None:
        return None
    date = _BUDDHIST.sub(lambda year: str(int(year[0]) - 543), match["date"] or match["date2"])
    return f"{date} {match['clock'] or match['clock2']}", match["rest"]


def _as_elsewhere(match: re.Match[str]) -> str:
    """A line that has the half of the day before its clock, as other phones write it."""
    hour, half = int(match["clock"].split(":")[0]), match["half"]
    late = half in _LATE or (half == "中午" and hour != 11)
    day = f"{match['year']}/{match['month']}/{match['day']}"
    end = " -" if match["end"] == "," else match["end"]
    return f"{match['begin']}{day} {match['clock']} {'PM' if late else 'AM'}{end}"


def _days(messages: list[_Message], days: Days) -> Days:
    """Whether the dates begin with the day or the month."""
    if days.order is not None:
        return days
    pairs = []
    for message in messages:
        numbers = re.findall(r"\d+", message.stamp)[:3]
        if len(numbers) < 3 or len(numbers[0]) == 4 or "." in message.stamp.split(" ")[0]:
            return days  # the year comes first, or dots: nothing is open
        pairs.append((int(numbers[0]), int(numbers[1]), int(numbers[2])))
    if any(first > 12 for first, _, _ in pairs):
        return Days("day-first")
    if any(second > 12 for _, second, _ in pairs):
        return Days("month-first")
    by_day = _in_order([(year, second, first) for first, second, year in pairs])
    by_month = _in_order([(year, first, second) for first, second, year in pairs])
    if by_day != by_month:
        return Days("day-first" if by_day else "month-first")
    if pairs and all(first == second for first, second, _ in pairs):
        return days
    if pairs:
        raise times.ambiguous(messages[0].stamp.split(" ")[0])
    return days


def _in_order(dates: list[tuple[int, int, int]]) -> bool:
    return all(one <= other for one, other in pairwise(dates))


def _content(text: str) -> Content:
    content = Content()
    match = _MEDIA.search(text)
    if match is None:
        if text:
            content.pieces.append(Piece("text", text))
        return content
    rest = (text[: match.start()] + text[match.end() :]).strip()
    if rest:
        content.pieces.append(Piece("text", rest))
    file = match["file"] or match["name"]
    kind = _KINDS.get((match["what"] or "").lower(), "file")
    if file:
        kind = _KINDS.get(PurePath(file).suffix.lower().removeprefix("."), "file")
    content.pieces.append(Piece("note", f"[{kind}: {file}]" if file else f"[{kind}]", {}, kind))
    return content


def _chat_name(defaults: Defaults) -> str:
    """``WhatsApp Chat with Ben.txt`` is the chat with Ben; ``_chat.txt`` has its folder's name."""
    if defaults.conversation_id is not None:
        return defaults.conversation_id
    parts = defaults.source_name.rsplit("/", 1)
    name = parts[0] if parts[-1] in ("_chat", "chat") and len(parts) > 1 else parts[-1]
    for begin in ("WhatsApp Chat with ", "WhatsApp Chat - ", "WhatsApp Chat mit "):
        name = name.removeprefix(begin)
    return f"whatsapp/{name}"


READER = Reader("whatsapp", "WhatsApp's export of a chat", (), recognises, turns)
