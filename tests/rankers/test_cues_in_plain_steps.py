"""The cues, which skip what a text cannot have, are those that a plain reading of it finds."""

from __future__ import annotations

import random
import re

from bruno_memory_vec.rankers import cues, read_cues
from bruno_memory_vec.surfaces import demo

_DATE = re.compile(
    r"\b(?:(?:19|20)\d\d|\d{1,2}[:h]\d\d|\d{1,2} ?[ap]\.?m"
    r"|\d{1,2}(?:st|nd|rd|th)?(?: of)? may|may \d{1,4}(?:st|nd|rd|th)?)\b"
)
_IN_MAY = re.compile(
    r"\b(?:in|of|by|since|until|during|before|after|early|late|last|next|mid) may\b"
)
_PARTS = (
    *sorted(cues._NOTABLE),
    *"york longer more to days of up out all with week month here on now this last".split(),
    *("now on", "2024", "1999", "20", "a1999", "12:30", "7pm", "7 p.m", "3rd", "21st of", "٣:٣٤"),
    *("é", "İ", "?", "？", "!", ":", "Ana:", "Note:", "_", "-", ".", "Zoë", "May", "\n"),
)


def test_the_same_as_all_patterns_over_the_whole_text() -> None:
    chance = random.Random(5)
    texts = [
        "".join(chance.choice(_PARTS) + chance.choice((" ", " ", "", "_")) for _ in range(length))
        for length in range(1, 12)
        for _ in range(700)
    ]
    texts += [turn.message.content for turn in demo.turns()]
    told = 0
    for text in texts:
        found = read_cues(text)
        named = cues._SPEAKER.match(text)
        if named and named[1].lower().rstrip(".") in cues._HEADINGS:
            named = None
        assert found.speaker == (named[1] if named else None), text
        lower = text[named.end() if named else 0 :].lower()
        words = cues._WORD.findall(lower)
        times = any(word in cues._TIME_WORDS for word in words)
        times = times or bool(_IN_MAY.search(lower) or _DATE.search(lower))
        assert found.names_time == times, text
        changes = any(word in cues._CHANGE_WORDS for word in words)
        begun = any(word in cues._CHANGE_BEGINS for word in words)
        changes = changes or (begun and cues._CHANGE.search(lower) is not None)
        assert found.tells_change == changes, text
        told += times + changes
    assert len(texts) < told < 2 * len(texts)


def test_each_change_phrase_begins_as_it_is_looked_for() -> None:
    phrases = (
        "new job|no longer|any more|used to|these days|from now on|from here on|as of|end up"
        "|ends up|ended up|turns out|turned out|after all|went up|up to|down to|back to"
        "|at last|done with|over to|went with|going with|last week|last month|this week"
        "|this month|today|yesterday"
    )
    for phrase in phrases.split("|"):
        assert read_cues(f"So {phrase}, so it is").tells_change, phrase
