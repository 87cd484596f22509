"""The wordings in which users state facts about themselves, and what fits as a value. English."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_DAYS = r"mon|tues|wednes|thurs|fri|satur|sun"
_MONTHS = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sep(?:t(?:ember)?)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_NO_PLACE = re.compile(
    rf"(?:(?:{_DAYS})days?|{_MONTHS}|python|java|rust|go|golang|typescript|javascript|kotlin|swift"
    r"|linux|ubuntu|debian|fedora|windows|mac|macos|postgres\w*|mysql|sqlite|redis|kubernetes"
    r"|docker"
    r"|aws|gcp|azure|github|gitlab|slack|teams|notion|obsidian|android|iphone|ios|chrome"
    r"|firefox|vim"
    r"|neovim|emacs|react|vue|svelte|django|flask|fastapi|spotify|netflix|plan|step|chapter"
    r"|phase|part"
    r"|team|level)\b.{0,12}",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"(?:(?:the |a [\w-]+ (?:called |named )|[\w-]+(?:ern)? (?:of )?)?)"
    r"[A-Z\u00c0-\u00de][\w'\u00c0-\u024f.-]*"
    r"(?:[ ,]+(?:de|da|do|del|la|le|of|the|upon|am|an der|near|in|d'"
    r"|[A-Z\u00c0-\u00de][\w'\u00c0-\u024f.-]*))*"
)
_NAME = re.compile(
    r"[A-Z\u00c0-\u00de][\w'\u00c0-\u024f-]*(?: (?:de|da|van|von|der|den"
    r"|[A-Z\u00c0-\u00de][\w'\u00c0-\u024f.-]*)){0,3}"
)
_NO_NAME = re.compile(
    rf"(?:(?:{_DAYS})day|{_MONTHS}|(?:mr|mrs|ms|dr|prof)$|back|i|not|sorry|so|just|going|from|here|ok|okay|the|a|an|on|in"
    r"|(?:[A-Z][a-z]+(?:ese|ish|ian|ean|can|man|tch|nch)))\b",
    re.IGNORECASE,
)
_JOBS = (
    r"accountant|actor|actress|analyst|architect|artist|attorney|author|baker|barber|barista"
    r"|bartender"
    r"|beekeeper|biologist|bookkeeper|bricklayer|builder|bus driver|butcher|carpenter|cashier|chef"
    r"|chemist|cleaner|coach|consultant|cook|counsell?or|dancer|dentist|designer|developer"
    r"|doctor|driver"
    r"|economist|editor|electrician|engineer|farmer|firefighter|fisherman|florist|freelancer"
    r"|gardener"
    r"|geologist|hairdresser|illustrator|interpreter|janitor|journalist|judge|lawyer|lecturer"
    r"|librarian"
    r"|locksmith|manager|mechanic|midwife|musician|nanny|nurse|optician|painter|paramedic"
    r"|pharmacist"
    r"|photographer|physicist|physio|physiotherapist|pilot|plumber|police officer|potter|principal"
    r"|producer|professor|programmer|psychologist|receptionist|researcher|roofer|sailor|salesman"
    r"|saleswoman|scientist|secretary|social worker|soldier|solicitor|statistician|student|surgeon"
    r"|surveyor|tailor|teacher|technician|therapist|translator|truck driver|tutor|veterinarian|vet"
    r"|waiter|waitress|welder|writer"
)
_A_JOB = re.compile(
    rf"an? (?:[\w-]+ ){{0,4}}(?:{_JOBS})(?: (?:at|for|in|with|on) .+)?", re.IGNORECASE
)
_LANGUAGES = re.compile(
    r"(?:fluent |some |a little |a bit of |basic |good )?(?:English|Portuguese|Spanish|French"
    r"|German"
    r"|Italian|Dutch|Swedish|Norwegian|Danish|Finnish|Polish|Czech|Russian|Ukrainian|Greek|Turkish"
    r"|Arabic|Hebrew|Hindi|Urdu|Bengali|Tamil|Mandarin|Cantonese|Chinese|Japanese|Korean"
    r"|Vietnamese"
    r"|Thai|Welsh|Irish|Gaelic|Catalan|Basque|Romanian|Hungarian|Yoruba|Igbo|Swahili|Esperanto)",
    re.IGNORECASE,
)
_DATE = re.compile(
    rf"(?:.*\b(?:{_MONTHS})\b.*\d.*|.*\d.*\b(?:{_MONTHS})\b.*|(?:in )?(?:{_MONTHS})"
    rf"|\d{{1,4}}[-/.]\d{{1,2}}"
    r"(?:[-/.]\d{1,4})?)",
    re.IGNORECASE,
)
_DIETS = (
    r"(?:mostly |strictly |now |a |an )*(?:vegetarian|vegan|pescatarian|pescetarian|flexitarian"
    r"|halal"
    r"|kosher|gluten[- ]free|lactose[- ]intolerant|gluten[- ]intolerant|coeliac|celiac|diabetic)"
)
_RELATIONS = (
    r"wife|husband|partner|girlfriend|boyfriend|fianc\u00e9e?|fiancee?|son|daughter|sister|brother"
    r"|mother|father|mum|mom|dad|grandmother|grandfather|grandma|grandpa|gran|aunt|uncle|cousin"
    r"|niece|nephew|grandson|granddaughter|son-in-law|daughter-in-law|mother-in-law|father-in-law"
    r"|boss|manager|supervisor|colleague|flatmate|roommate|friend|teacher|coach|dog|cat|puppy|kitten|rabbit|horse|parrot|hamster|dentist|doctor|therapist|landlord|landlady|neighbou?r"
)
# A running partner is none.
_KIND = (
    r"(?:(?:new|old|older|younger|elder|eldest|oldest|youngest|little|big|late|dear|best|close"
    r"|childhood|good|lovely|twin|only) )?"
)
# The name of somebody, as a word with a capital letter in a text where case does not count else.
_CALLED = (
    r"(?P<value>(?-i:(?:(?:Dr|Mr|Mrs|Ms|Prof)\.? )?[A-Z\u00c0-\u00de][\w\u00c0-\u024f'-]*"
    r"(?: [A-Z\u00c0-\u00de][\w\u00c0-\u024f'-]+)?))"
)
# What is liked only in what was just said ("I like that idea"), and turns of phrase.
_NO_LIKING = re.compile(
    r"(?:it|its|it's|that|this|these|those|them|him|her|you|your|how|what|when|where"
    r"|the (?:idea|sound"
    r"|look|way|one|ones|other|first|second|third|last|latter|former|new|part|plan|thought|concept"
    r"|suggestion|option|approach|direction|fact|most)|to (?:say|think|see|be honest|hear|tell|ask"
    r"|admit|break|bother|be that|know|believe|call|sound|start|end|leave|add)|which|my (?:idea"
    r"|plan)"
    r"|our (?:idea|plan|chat|chats|talk)|the|my|our|his|their|one|both|all|some|any|more|most"
    r"|a lot|so"
    r"|too|being (?:a|the)|me|us|everything|nothing|anything|something|option|when)\b|to death",
    re.IGNORECASE,
)
# Of something that was just named, or cut in the middle.
_SITUATION = re.compile(
    r"\b(?:it|them|him|her|that|this|these|those|you|your|yours|too|much|there|here|such|stuck)\b"
    r"|\b(?:of|on|to|like|with|in|at|for|by|from|the|a|an|my|or|not|about|into)$"
    r"|^(?:being able|not)\b",
    re.IGNORECASE,
)
_NO_SUBJECT = re.compile(
    r"(?:he|she|they|we|i|one|here|there|another|who|mine|both|two|so|and|but|yes|no)\b", re.I
)
_MY_THINGS = re.compile(r"(?:my|our) (?:job|work|dog|cat|kids|children|garden|bike|family)\b", re.I)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A wording of a statement.

    Attributes:
        says: what begins the statement; the value follows, or is its group "value".
        attribute: what it tells; a group "of" is put in place of ``{of}``.
        confidence: how many of a hundred are right, as a share.
        fits: whether a value can be one of this attribute.
        listed: whether "a, b and c" are several values.
        holds: False where it says that something does not hold any more.
        anywhere: whether it says so wherever it stands, also amid a clause.
    """

    says: re.Pattern[str]
    attribute: str
    confidence: float
    fits: Callable[[str], bool]
    listed: bool = False
    holds: bool = True
    anywhere: bool = False


def _is(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.fullmatch(value) is not None


def _place(value: str) -> bool:
    return _PLACE.fullmatch(value) is not None and _NO_PLACE.fullmatch(value) is None


def _name(value: str) -> bool:
    return _NAME.fullmatch(value) is not None and _NO_NAME.match(value) is None


_NO_PERSON = re.compile(
    r"(?:this|that|these|those|he|she|it|they|we|you|what|who|where|when|why|how|yes|well|oh|and|but"
    r"|if|my|our|his|her|their|no|one|all|both|just|even|facebook|instagram|whatsapp)\b",
    re.IGNORECASE,
)


def _persons_name(value: str) -> bool:
    plain = re.sub(r"^(?:Dr|Mr|Mrs|Ms|Prof)\.? ", "", value)
    person = len(plain) > 1 and not plain.isupper() and not plain.endswith("'s")
    return person and _name(plain) and _NO_PERSON.match(plain) is None


def _liked(value: str) -> bool:
    if _SITUATION.search(value) is not None:
        return False
    return _NO_LIKING.match(value) is None or _MY_THINGS.match(value) is not None


def _thing(value: str) -> bool:
    return _liked(value) and value[:1].isalpha()


#: What fits only as a whole.
TASTES: Final = (_thing,)


def _named_thing(value: str) -> bool:
    return value[:1].isupper() and _liked(value) and _NO_SUBJECT.match(value) is None


def _anything(value: str) -> bool:
    return any(map(str.isalpha, value))


def _pattern(
    says: str,
    attribute: str,
    confidence: float,
    fits: Callable[[str], bool] = _anything,
    *,
    listed: bool = False,
    holds: bool = True,
    anywhere: bool = False,
) -> Pattern:
    says = says.replace("I AM", r"I(?:'m| am)").replace("I HAVE", r"I(?:'ve| have)?")
    says = says.replace(
        "OFTEN",
        r"(?:(?:really|also|absolutely|just|still|do|truly|both|so|now|always"
        r"|actually|usually|generally|much|currently|mostly|only|even) )*",
    )
    # A small "i" is I, too; names and places are told by their capitals all the same.
    # A pattern that looks ahead ends before the value.
    ends = "" if "(?=" in says else r"(?![\w'])"
    pattern = re.compile(rf"(?<![\w']){says}{ends}", re.IGNORECASE)
    return Pattern(pattern, attribute, confidence, fits, listed, holds, anywhere)


#: Those that are found first take the place.
PATTERNS: Final = (
    _pattern(r"my (?:full |first )?name(?: is|'s)", "name", 0.95, _name),
    _pattern(
        r"(?:hi|hello|hey|good (?:morning|evening|afternoon))\b[^.!?,]{0,20}[,.!]? (?:I AM"
        r"|this is)",
        "name",
        0.8,
        _name,
    ),
    _pattern(
        r"(?:please |you can |just |people |everyone |everybody |friends "
        r"|my friends )*call(?:s)? me",
        "nickname",
        0.9,
        _name,
    ),
    _pattern(r"(?:I|we) OFTENlive in", "home", 0.9, _place),
    _pattern(
        r"(?:I AM|we're|we are) OFTEN(?:living in|based in|based out of)", "home", 0.9, _place
    ),
    _pattern(
        r"(?:I HAVE|we(?:'ve| have)?) (?:just |finally |recently |now )*moved (?:back |over "
        r"|house )?(?:from [A-Z][\w ]{1,24} )?to",
        "home",
        0.8,
        _place,
    ),
    _pattern(
        r"(?:I|we) (?:no longer live|don't live|do not live) in", "home", 0.8, _place, holds=False
    ),
    _pattern(r"I AM OFTEN(?:originally )?from", "origin", 0.8, _place),
    _pattern(r"I (?:come from|was born in|grew up in)", "origin", 0.8, _place),
    _pattern(r"my birthday(?: is|'s)(?: on)?", "birthday", 0.9, _is(_DATE)),
    _pattern(r"I was born on", "birthday", 0.9, _is(_DATE)),
    _pattern(r"I OFTENwork (?:part[- ]time |full[- ]time |nights )?as", "job", 0.9),
    _pattern(r"I AM OFTEN(?:working (?:part[- ]time )?as|employed as)", "job", 0.9),
    _pattern(r"I AM OFTEN(?=an? )", "job", 0.85, _is(_A_JOB)),
    _pattern(r"my job is (?=an? )", "job", 0.85, _is(_A_JOB)),
    _pattern(r"I OFTENwork (?:at|for)", "employer", 0.85, _name),
    _pattern(
        r"I(?:'ve| have)? (?:just |recently )*(?:started (?:working |work |a (?:new )?job "
        r"|my new job )?|got a (?:new )?job |took a job )at",
        "employer",
        0.8,
        _name,
    ),
    _pattern(
        r"I (?:no longer work|don't work|quit(?: my job)?|left my job) (?:at|for)",
        "employer",
        0.75,
        _name,
        holds=False,
    ),
    _pattern(r"I AM OFTENallergic to", "allergy", 0.95, listed=True),
    _pattern(r"I AM not (?:actually )?allergic to", "no allergy", 0.9, listed=True),
    _pattern(rf"I AM OFTEN(?={_DIETS})", "diet", 0.9, _is(re.compile(_DIETS, re.I))),
    _pattern(
        r"I (?:don't|do not|never|can't|cannot) (?:eat or drink|eat|drink)",
        "avoids",
        0.75,
        _thing,
        listed=True,
    ),
    _pattern(
        r"I AM OFTEN(?=(?:happily |recently |newly )?(?:married|engaged|divorced"
        r"|widowed)(?! (?:in|on|by|with|at)\b))",
        "marital status",
        0.75,
    ),
    _pattern(r"I OFTENspeak", "language", 0.9, _is(_LANGUAGES), listed=True),
    _pattern(
        r"my (?P<of>favou?rite [\w' -]{2,40}?)(?: is| are|'s)(?: probably| definitely| still"
        r"| always)?",
        "{of}",
        0.85,
        _liked,
    ),
    _pattern(
        r"(?P<value>\w[^,.:;]{1,40}) (?:is|are) (?:still |definitely "
        r"|probably )?my (?:all[- ]time )?(?P<of>favou?rite [\w-]{2,20}(?: [\w-]{2,20})?)",
        "{of}",
        0.8,
        _named_thing,
    ),
    _pattern(
        rf"my {_KIND}(?P<of>{_RELATIONS})(?: is (?:called|named)|'s name(?: is|'s))",
        "{of}'s name",
        0.9,
        _name,
    ),
    _pattern(
        # Of "my wife, Peg, is here" the name stands between commas; else it follows at once.
        rf"my {_KIND}(?P<of>{_RELATIONS})(?: is | |, (?=[\w. '-]{{2,24}}[,.!])){_CALLED}(?: is)?",
        "{of}'s name",
        0.8,
        _persons_name,
        anywhere=True,
    ),
    _pattern(
        rf"{_CALLED} is my (?:new )?(?P<of>{_RELATIONS})(?: now)?",
        "{of}'s name",
        0.8,
        _persons_name,
    ),
    _pattern(
        r"(?:I|we)(?:'ve| have)?(?: got| have)? (?=an? (?:[\w-]+ ){0,3}(?:dog|cat|puppy|kitten"
        r"|rabbit|horse|parrot|hamster|tortoise)\b)",
        "pet",
        0.8,
    ),
    _pattern(r"I OFTENprefer", "prefers", 0.8, _thing),
    _pattern(r"I OFTEN(?:love|adore|enjoy)", "likes", 0.7, _thing, listed=True),
    _pattern(
        r"I AM OFTEN(?:a (?:big|huge|massive) fan of|crazy about|obsessed with|(?:really )?into"
        r"|fond of)",
        "likes",
        0.75,
        _thing,
        listed=True,
    ),
    _pattern(r"I OFTENlike", "likes", 0.7, _thing, listed=True),
    _pattern(
        r"I OFTEN(?:hate|dislike|detest|loathe|can't stand|cannot stand|can't bear)",
        "dislikes",
        0.75,
        _thing,
        listed=True,
    ),
    _pattern(
        r"I (?:really |still )?(?:don't|do not|never|no longer|didn't ever) (?:really |much "
        r"|particularly )?(?:like|enjoy|care for)",
        "dislikes",
        0.75,
        _thing,
        listed=True,
    ),
    _pattern(
        r"I AM (?:not|no) (?:really |much of )?(?:a (?:big )?fan of|into|fond of)",
        "dislikes",
        0.75,
        _thing,
        listed=True,
    ),
    _pattern(r"my (?:main |biggest |new |favou?rite )?hobby is", "hobby", 0.85, _thing),
)
