"""Whether a text says that its speaker does not know: "I don't have that information."."""

from __future__ import annotations

import re

#: A longer text says something besides.
MOST_WORDS = 40
_MAX_CHARS = 400

_NOT = (
    r"(?:do not|don't|dont|cannot|can't|could not|couldn't|did not|didn't|have not|haven't|have no"
    r"|'ve no|am not|'m not|are not|aren't|am unable to|'m unable to)"
)
_KNOW = (
    r"(?:know|sure|certain|remember|recall|find|have|see|tell|say|information|idea|records?|access"
    r"|memory|aware|details)"
)
_NOTHING = r"(?:information|records?|idea|clue|data|memory|mention|details)"
_UNKNOWN = re.compile(
    rf"\b(?:i|we) ?(?:really |honestly |still )?{_NOT}\b[^.!?]{{0,24}}?\b{_KNOW}\b"
    rf"|\bno {_NOTHING}\b|\b(?:not sure|dunno)\b"
    r"|\byou (?:haven't|have not|never|didn't|did not)(?: yet)? "
    r"(?:told|tell|mention(?:ed)?|said|say|shared?)\b"
    r"|\bwei(?:ß|ss) (?:ich|es)? ?(?:leider )?nicht\b|\bkeine (?:ahnung|information(?:en)?)\b"
    r"|\bje ne (?:sais|me souviens|me rappelle) pas\b|\baucune (?:idée|information)\b"
    r"|\bno (?:lo )?sé\b|\bno tengo (?:esa )?(?:información|idea)\b|\bno recuerdo\b"
    r"|\bnão (?:sei|lembro|me lembro|tenho)\b|\bnon (?:lo )?(?:so|ricordo)\b|\bне (?:знаю|помню)\b"
    r"|不知道|不(?:太)?清楚|不记得|没有(?:相关|这方面的?|任何)?(?:信息|记录)|无法(?:确定|得知|回答)"
    r"|わかりません|分かりません|知りません|覚えていません|모르겠|모릅니다|기억나지",
    re.IGNORECASE,
)


def says_unknown(text: str) -> bool:
    """Whether a short text says that the answer is not known.

    Read in the beginning of a text; English, and the plainest forms of some other languages. A
    text of more than :data:`MOST_WORDS` words says something besides.
    """
    if len(text) > _MAX_CHARS or len(text.split()) > MOST_WORDS:
        return False
    return _UNKNOWN.search(text.replace("’", "'")) is not None
