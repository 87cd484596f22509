"""Text that came from somewhere, as one line that a prompt can quote.

A model is told who speaks by tokens and marks in its prompt. A quoted text has none of them left:

- Hidden characters go first (``hidden_characters``), so that they cannot take a token apart.
  Letters in other forms (fullwidth, mathematical, circled) become plain ones.
- Every ``<``, and what a normaliser makes one of, becomes ``‹``. That breaks whatever is written
  as a tag: ``<|im_start|>``, ``<s>``, ``<<SYS>>``, ``<start_of_turn>``, ``<tool_call>``, our marks.
  What stood between ``<|`` and ``|>`` is left in parentheses.
- Words in square brackets that are capitals or name a role (``[INST]``, ``[gMASK]``, ``[system]``,
  ``[|user|]``), and dates and marks (``[m1]``) in them, as our own notes have them, are left in
  parentheses; so is what stands between brackets that do not match (``]~b]``, ``[e~[``).
- The name of a role with a colon, in capitals or where a line begins (``Human:``), is left in
  parentheses, without the colon.
- Line breaks become spaces, ``"`` becomes ``'``, and of a run of back-quotes or tildes one is left:
  a quotation ends with its line and with its mark, and no fence begins.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from bruno_memory_vec.prompts.hidden_characters import without_hidden

# With the characters that normalisers (NFKC, NFKD) make these of.
_LESS = "<＜﹤≮"
_QUOTE = '"＂'
_OPEN, _CLOSE = r"\[［﹇", r"\]］﹈"
_COLON = ":：﹕︓"
_TICKS = "`｀\u1fef"
# With those that look like them: a token needs the real ones, a reader does not.
_LIKE_LESS = f"{_LESS}‹«《〈⟨❮❬˂ᐸ≪⧼"
_LIKE_MORE = ">＞﹥≯›»》〉⟩❯❭˃ᐳ≫⧽"
_LIKE_PIPE = "|｜∣ǀ│┃❘❙❚¦￨‖ǁ∥"

_OTHER_LETTERS = re.compile(
    "[\u2100-\u214f\u24b6-\u24e9\uff21-\uff5a\U0001d400-\U0001d7cb\U0001f130-\U0001f149]"
)
# Bounded, and each begun once, so that a long run of one character takes no time.
_BEGINS = f"(?<![{_LIKE_LESS}])[{_LIKE_LESS}]+ ?[{_LIKE_PIPE}]{{1,8}}"
_TOKEN = re.compile(
    f"{_BEGINS}([^{_LIKE_LESS}{_LIKE_MORE}{_LIKE_PIPE}]{{0,80}})"
    f"[{_LIKE_PIPE}]{{1,8}} ?[{_LIKE_MORE}]+"
)
_HALF_TOKEN = re.compile(_BEGINS)
_BRACKETED = re.compile(f"[{_OPEN}]([^{_OPEN}{_CLOSE}()]+)[{_CLOSE}]")
# MiniMax's: ]~b] begins a turn, [e~[ ends it, ]~!b[ begins a text.
_TILDES = "~～"
_UNMATCHED = re.compile(f"[{_OPEN}{_CLOSE}]([{_TILDES}][!！﹗]?b|e[{_TILDES}])[{_OPEN}{_CLOSE}]")
_DATE = r"\s*\d{2,4}\s*[-./年]\s*\d"
_DATED = re.compile(_DATE)
_IS_MARK = re.compile(r"\s*[mM]\s*\d+\s*")
_OPENS_DATE = re.compile(f"[{_OPEN}](?={_DATE})")
_NAMES = (
    "system user assistant human ai bot model developer tool function instruction instructions "
    "response inst sys gmask smask"
).split()
_ROLE = rf"(?:{'|'.join(_NAMES)})(?: (?:prompt|message|result|call|response)s?)?"
_IS_ROLE = re.compile(_ROLE, re.IGNORECASE)
_SPEAKS_FIRST = re.compile(rf"([\s#*>_-]*)({_ROLE})[\s*_]*[{_COLON}]", re.IGNORECASE)
_CAPITALS = "|".join(form for name in _NAMES for form in (name.capitalize(), name.upper()))
# In the part of a line before a colon, so that only lines with one are searched.
_SPEAKER = re.compile(rf"({_CAPITALS})[ *_]*\Z")
_LONGEST_SPEAKER = 24
_COLONS = re.compile(f"[{_COLON}]")
_PIPES = re.compile(f"[{_LIKE_PIPE}]")
_BRACKETS = re.compile(f"[{_OPEN}]")
_LINES = re.compile("[\n\x0b\x0c\r\x1c-\x1e\x85\u2028\u2029]+")
_RUN_OF_TICKS = re.compile(f"[{_TICKS}]{{2,}}|~{{2,}}")
# Printable ASCII without " < [ ] ` | ~
_HARMLESS = re.compile(r"[ !#-;=-Z\\^_a-z{}]*")
_KNOWN_CHARACTERS = 1_000
_MARKS = re.compile(f"[{_LESS}{_QUOTE}]")


_PLAIN_NAME = re.compile(r"[\w-]+(?:'\w+)?(?: [\w-]+(?:'\w+)?)*")
#: A name that stands in a prompt without quotation marks has at most so many characters.
LONGEST_NAME = 40


def is_plain_name(text: str) -> bool:
    """Whether a name is a few plain words, so that it may stand in a prompt unquoted."""
    return len(text) <= LONGEST_NAME and _PLAIN_NAME.fullmatch(text) is not None


def quotable(text: str) -> str:
    """The text as one line without any of the marks above; it may become empty.

    It changes nothing the second time. The time it takes grows with the length of the text.
    """
    return _known(text) if len(text) <= _KNOWN_CHARACTERS else _quotable(text)


def _quotable(text: str) -> str:
    # Most texts have nothing to be broken but the name of a role before a colon.
    broken = _named if _HARMLESS.fullmatch(text) else _broken
    while True:
        once = broken(text)
        # What was broken may stand together in a new way, so until nothing changes any more.
        if once == text:
            return once
        text = once


#: The same texts are quoted again and again. When full, 8 MB at most.
_known = lru_cache(maxsize=4_096)(_quotable)


def _named(text: str) -> str:
    """As :func:`_broken`, of a text in which only roles can stand."""
    line = " ".join(_first_speaker_named(text).split())
    if ":" in line:
        line = _speakers_named(_first_speaker_named(line))
    return " ".join(line.split())


def _broken(text: str) -> str:
    lines = [_plain_letters(without_hidden(line)) for line in _LINES.split(text)]
    line = " ".join(" ".join(map(_first_speaker_named, lines)).split())
    if _COLONS.search(line):
        line = _speakers_named(_first_speaker_named(line))
    if _PIPES.search(line):
        line = _HALF_TOKEN.sub("(", _TOKEN.sub(r"(\1)", line))
    if _BRACKETS.search(line):
        line = _OPENS_DATE.sub("(", _BRACKETED.sub(_unbracketed, line))
    line = _UNMATCHED.sub(r"(\1)", line)
    line = _RUN_OF_TICKS.sub(lambda run: run[0][0], line)
    line = _MARKS.sub(lambda mark: "'" if mark[0] in _QUOTE else "‹", line)
    return " ".join(line.split())


def _speakers_named(line: str) -> str:
    """The line with the capital names of roles in parentheses, without the colon behind them."""
    parts, place = [], 0
    for colon in _COLONS.finditer(line):
        before = line[max(place, colon.start() - _LONGEST_SPEAKER) : colon.start()]
        found = _SPEAKER.search(before)
        # Within a word it is no name ("superuser"); behind a digit it is.
        if found is not None and not before[: found.start()][-1:].isalpha():
            parts += [line[place : colon.start() - len(found[0])], f"({found[1]}) "]
            place = colon.end()
    return "".join([*parts, line[place:]]) if parts else line


def _first_speaker_named(line: str) -> str:
    found = _SPEAKS_FIRST.match(line)
    return line if found is None else f"{found[1]}({found[2]}) {line[found.end() :]}"


def _unbracketed(found: re.Match[str]) -> str:
    inner = found[1]
    piped = _PIPES.match(inner) is not None
    capitals = inner.upper() == inner and sum(map(str.isalpha, inner)) > 1
    role = _IS_ROLE.fullmatch(inner.replace("_", " ").replace("/", " ").strip()) is not None
    ours = _DATED.match(inner) is not None or _IS_MARK.fullmatch(inner) is not None
    return f"({inner})" if capitals or role or piped or ours else found[0]


def _plain_letters(text: str) -> str:
    return text if text.isascii() else _OTHER_LETTERS.sub(_plain_letter, text)


def _plain_letter(found: re.Match[str]) -> str:
    plain = unicodedata.normalize("NFKC", found[0])
    return plain if len(plain) == 1 and plain.isascii() and plain.isalpha() else found[0]
