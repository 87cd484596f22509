"""Names of people: those that are known of the store, and those that a text introduces.

Three ways, of which each is plain: a text says it ("my name is ..."); it is known, from a profile,
a sender, an introduction elsewhere; or it is a common given name. What follows such a name and has
a capital, too, is its surname.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import Final

from bruno_memory_vec.privacy.anonymise.span import Span

_PARTICLES: Final = frozenset(
    "van von der den de da di del della dos das du la le el al bin ibn ter ten zu af mac mc y e".split()
)
# One word of a name. Its inside may have capitals, as McGregor; apostrophes only before a capital.
_WORD: Final = r"[^\W\d_]+(?:['’][^\W\d_a-zß-öø-ÿ][^\W\d_]+|-[^\W\d_]+)*"
_WORDS: Final = re.compile(_WORD)
_CAP: Final = r"(?=[^\W\d_a-zß-öø-ÿа-яёα-ωά-ώ\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3])" + _WORD
_PARTICLE: Final = r"(?:(?:van|von|der|den|de|da|di|del|della|dos|das|du|la|le|al|bin|ibn|ter|zu|af)\s|[ODdLl]['’])"
_INITIAL: Final = r"(?:[A-Z]\.\s?)"
_TITLE: Final = (
    r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Sir|Lady|Lord|Rev|Frau|Herr|Herrn|Señor|Señora|Sra|Sr|Doña|Don|Mme|Mlle|Monsieur|"
    r"Madame|M|Signor|Signora|Sig|Dott|Senhor|Senhora|Dona|Meneer|Mevrouw|Dhr|Mevr|Pan|Pani|Sayın|Господин|Госпожа|señora?|señorita|madame|monsieur|signora?|senhora?|doña|don|pani?|Aunt|Auntie|Uncle|Cousin|Grandma|Grandpa|Granny|Nurse|Officer|Sergeant|Captain|Coach|Tante|Onkel|Oma|Opa|Tía|Tío|Zia|Zio)\b\.?"
)
_FULL: Final = rf"(?P<n>{_CAP}(?:[ \u00a0]{_INITIAL}?(?:{_PARTICLE}){{0,2}}{_CAP}){{0,3}})"
#: Also without a capital, as people write in chats: one or two words.
_LOOSE: Final = rf"(?P<n>{_WORD}(?:[ \u00a0](?:{_PARTICLE}){{0,2}}{_CAP}){{0,3}})"
_I: Final = r"(?i:"

# What introduces a name; the name has a capital.
_BEFORE: Final = (
    # the writer
    r"\b(?i:i['’]m|(?<![^\W_]\s)im|i am|this is|it['’]s|here is|call me|they call me|goes by|known as|named|called|signed|sincerely yours,)\s",
    r"\b(?i:ich bin(?:['’]?s)?,?|hier ist|hier spricht|hier schreibt|nenn(?:t|en sie)? mich)\s(?:(?:die|der)\s)?",
    r"\b(?i:soy|yo soy|habla|aquí|llámame|me dicen)\s",
    r"\b(?i:je suis|moi c['’]est|c['’]est|ici)\s",
    r"\b(?i:sono|qui è|chiamami)\s",
    r"\b(?i:(?:eu )?sou)\s(?:[oa]\s)?",
    r"\b(?i:ik ben|hier is|met)\s",
    r"\b(?i:jestem|tu)\s",
    r"\b(?i:я|это|зовите меня)\s",
    r"\b(?i:ben)\s",
    r"\b(?i:jag är|jeg er|det er)\s",
    # who is spoken to
    r"(?:^|(?<=[.!?\n]\s)|(?<=\n)|(?<=[\"“>]))(?i:hi|hello|hey|dear|hiya|good (?:morning|afternoon|evening)|thanks|thank you|welcome(?: back)?|"
    r"congratulations|congrats|sorry|hallo|liebe[rs]?|moin|servus|danke|guten (?:morgen|tag|abend)|hola|querid[oa]|estimad[oa]|"
    r"gracias|buenos días|bonjour|salut|ch[eè]re?|merci|ciao|car[oa]|gentile|grazie|buongiorno|olá|oi|prezad[oa]|obrigad[oa]|hoi|"
    r"beste|dag|hej|cześć|drog[ia]|hei|merhaba|sevgili|привет|здравствуйте|дорог(?:ой|ая)|уважаем(?:ый|ая)|спасибо),?\s(?:(?:again|back|nochmal|zusammen),?\s)?",
    # who is spoken of
    r"\b(?i:(?:my|his|her|our|your|their)\s(?:\w+\s)?(?:wife|husband|partner|fianc[eé]e?|girlfriend|boyfriend|son|daughter|mother|father|mom|mum|dad|"
    r"brother|sister|aunt|uncle|cousin|niece|nephew|grand(?:mother|father|ma|pa|son|daughter)|friend|best friend|colleague|coworker|"
    r"co-worker|boss|manager|neighbou?r|roommate|flatmate|doctor|dentist|therapist|lawyer|teacher|landlord|landlady|dog-sitter|babysitter|"
    r"nanny|assistant|ex|kid|baby|twins|mate|in-law|supervisor|advisor|coach),?)(?:\s(?:is|was)\s(?:called|named))?\s",
    r"\b(?i:(?:mein(?:e[rnms]?)?|unser(?:e[rnms]?)?|sein(?:e[rnms]?)?|ihr(?:e[rnms]?)?|dein(?:e[rnms]?)?)\s(?:\w+e[rnms]?\s)?(?:frau|mann|freund(?:in)?|sohn|tochter|mutter|vater|bruder|schwester|"
    r"tante|onkel|oma|opa|kolleg(?:e|in|en)|chef(?:in)?|nachbar(?:in|n)?|ärztin|arzt|partner(?:in)?|cousine?|neffe|nichte|mitbewohner(?:in)?))\s",
    r"\b(?i:(?:mi|tu|su|nuestr[oa])\s(?:\w+\s)?(?:esposa|esposo|mujer|marido|novi[oa]|hij[oa]|madre|padre|herman[oa]|tí[oa]|abuel[oa]|prim[oa]|"
    r"amig[oa]|jef[ea]|compañer[oa]|vecin[oa]|sobrin[oa]|doctora?))\s",
    r"\b(?i:(?:ma|mon|ta|ton|sa|son|notre)\s(?:\w+\s)?(?:femme|mari|copain|copine|fils|fille|mère|père|frère|sœur|soeur|tante|oncle|ami|amie|"
    r"collègue|patron|patronne|chef|voisine?|cousine?|neveu|nièce))\s",
    r"\b(?i:(?:mi[oa]|tuo|tua|suo|sua|nostr[oa])\s(?:moglie|marito|figli[oa]|madre|padre|fratello|sorella|zi[oa]|amic[oa]|collega|capo|cugin[oa]|fidanzat[oa]|nipote))\s",
    r"\b(?i:(?:(?:o|a)\s)?(?:meu|minha)\s(?:esposa|esposo|mulher|marido|namorad[oa]|filh[oa]|mãe|pai|irmão|irmã|ti[oa]|amig[oa]|chefe|colega|prim[oa]|vizinh[oa]))\s",
    r"\b(?i:(?:mijn|zijn|haar|onze?)\s(?:vrouw|man|vriend(?:in)?|zoon|dochter|moeder|vader|broer|zus|collega|baas|buurman|buurvrouw))\s",
    r"\b(?i:(?:mój|moja|moją|moim|mojego|mojej)\s(?:żona|żoną|mąż|mężem|syn|córka|matka|ojciec|brat|siostra|przyjaciel|koleg[ai]|szef))\s",
    r"\b(?i:мо(?:я|й|ей|его|им|ю)\s(?:жен[аыуе]|муж(?:а|у|ем)?|сын(?:а|у|ом)?|доч(?:ь|ери)|мам[аыуе]|пап[аыуе]|брат(?:а|у|ом)?|сестр[аыуе]|друг(?:а|у|ом)?|подруг[аиуе]|коллег[аиуе]|начальник))\s",
    r"\b(?i:(?:karım|kocam|oğlum|kızım|annem|babam|kardeşim|arkadaşım|patronum))\s",
    r"\b(?i:sent|written|signed|reported|prepared|approved|submitted|posted|reviewed|referred) by\s",
    r"\b(?i:told|tell|asked?|met|meet|invited?|married|dating|thank|remind|phoned|e-?mailed|texted|hugged|interviewed|befriended)\s",
    r"(?:\b(?:c/o|attn:?|cc:?|z\.\s?Hd\.|To:|From:|Von:|An:|De:|Para:|À:|Da:)\s)",
    rf"(?<!\w){_TITLE}\s(?:{_TITLE}\s)?",
    r"\b(?i:(?:contact|patient|client|customer|tenant|employee|passenger|guest|cardholder|account holder|beneficiary|applicant|name|full name|"
    r"kontakt|kunde|mieter(?:in)?|gast|nombre|nom|nome|naam|cliente|paciente|titular))\s?[:=]\s",
)
# The name may be without a capital, too.
_LOOSELY_BEFORE: Final = (
    r"\b(?i:(?:my|her|his)\s(?:(?:full|first|last|real|middle|user)\s?)?name(?:['’]s|\sis)|name['’]s)\s(?!is\b|not\b)",
    r"\b(?i:ich heiße|ich heisse|mein name ist|er heißt|sie heißt)\s",
    r"\b(?i:me llamo|mi nombre es|se llama)\s",
    r"\b(?i:je m['’]appelle|mon nom est|mon prénom est|(?:il|elle) s['’]appelle)\s",
    r"\b(?i:mi chiamo|il mio nome è|si chiama)\s",
    r"\b(?i:(?:o )?meu nome é|(?:eu )?me chamo|chamo-me|(?:ele|ela) se chama)\s",
    r"\b(?i:ik heet|mijn naam is|(?:hij|zij|ze) heet)\s",
    r"\b(?i:nazywam się|mam na imię|ma na imię)\s",
    r"(?i:меня зовут|(?:его|её) зовут|моё имя)\s",
    r"\b(?i:benim adım|adım)\s",
    r"\b(?i:jag heter|jeg heter|jeg hedder|(?:hon|han) heter)\s",
)
_INTRODUCED: Final = tuple(re.compile(before + _FULL) for before in _BEFORE)
_INTRODUCED_LOOSELY: Final = tuple(re.compile(before + _LOOSE) for before in _LOOSELY_BEFORE)
_CAREFUL: Final = 12  # of _BEFORE, from the first: what may as well say what somebody is
# "Ana here", "Ana wrote:", "Ana: text"
_AFTER: Final = (
    re.compile(rf"(?:^|(?<=\n)|(?<=[.!?]\s)){_FULL}\s(?i:here|speaking|hier|aquí|ici)(?=[,.!\s])"),
    re.compile(
        rf"{_FULL}\s(?i:wrote|writes|schrieb|escribió|a écrit|ha scritto|escreveu|schreef|napisał[a]?)\s?:"
    ),
)
# "casimir is my brother": also without a capital.
_IS_MINE: Final = re.compile(
    r"(?:^|(?<=[.!?,;\n]\s)|(?<=\n)|(?<=\band\s)|(?<=\bthat\s))(?P<n>"
    + _WORD
    + r")\s(?i:is|was)\smy\s(?i:(?:\w+\s)?(?:wife|husband|partner|fianc[eé]e?|girlfriend|boyfriend|son|daughter|mother|father|"
    r"brother|sister|aunt|uncle|cousin|niece|nephew|grand\w+|friend|colleague|coworker|boss|manager|neighbou?r|roommate|flatmate))\b"
)
_SPEAKER: Final = re.compile(
    rf"(?:^|(?<=\n))(?:\[[^\]\n]{{4,30}}\]\s?)?{_FULL}(?:\s\(\w+\))?:\s(?=\S)"
)
_CLOSING: Final = re.compile(
    r"(?:^|(?<=\n)|(?<=[.!?]\s))[^\S\n]*(?i:(?:(?:all the |with )?(?:best|kind|warm|warmest|many)?\s?(?:regards|wishes|thanks)|best|cheers|thanks(?: again)?|thank you|"
    r"sincerely|yours (?:truly|sincerely|faithfully)|love|xoxo|take care|talk soon|see you|(?:mit |viele |liebe |beste |herzliche |freundliche[nm]? |schöne )*"
    r"(?:grüße[n]?|grüssen?|gruß)|lg|vg|mfg|bis bald|(?:un )?(?:saludos?|abrazo|beso)s?(?: cordiales)?|atentamente|(?:bien )?cordialement|"
    r"bien à (?:vous|toi)|bises|amicalement|(?:cordiali |un )?salut[io]|a presto|(?:um )?abraços?|atenciosamente|cumprimentos|"
    r"(?:met vriendelijke )?groet(?:en|jes)?|pozdrawiam|(?:med )?vänliga? hälsningar?|с уважением|saygılarımla))\s?[,!.–-]?\s?\n?[^\S\n]*[-–—]?\s?"
    + _FULL
    + r"[^\S\n]*(?=\n|$|[.!]|,\s?(?i:[a-z ]{2,30})(?:\n|$))"
)
_DASHED: Final = re.compile(rf"(?:\s[-–—~]|\n)\s?{_FULL}[^\S\n]*$")
# Scripts without spaces and capitals.
_HAN: Final = "\u4e00-\u9fff"
_KANA: Final = "\u3040-\u30ff"
_EASTERN: Final = (
    re.compile(
        rf"(?:我叫|我的名字是|我的名字叫|我姓名是|名叫|名字叫)(?P<n>[{_HAN}]{{2,4}}?)(?=[，。、！？,.!?\s]|是|今年|住|在|来自|$)"
    ),
    re.compile(
        rf"(?:我(?:的)?(?:妻子|丈夫|老公|老婆|儿子|女儿|朋友|同事|老板|妈妈|爸爸|哥哥|弟弟|姐姐|妹妹|医生))(?P<n>[{_HAN}]{{2,3}}?)(?=[，。、！？,.!?\s]|是|在|今|明|昨|的|说|和|要|想|喜|会|也|对|住|$)"
    ),
    re.compile(rf"(?P<n>[{_HAN}]{{1,2}})(?=(?:先生|女士|小姐|老师|医生|经理)(?![{_HAN}]?们))"),
    re.compile(
        rf"(?:私の名前は|名前は|わたしは|私は|僕は|こちらは)(?P<n>[{_HAN}{_KANA}]{{2,8}}?)(?=です|と申します|といいます|と言います)"
    ),
    re.compile(rf"(?P<n>[{_HAN}]{{2,4}}|[\u30a0-\u30ff]{{2,8}})(?=さん|様|くん|ちゃん|先生)"),
    re.compile(
        r"(?:제 이름은|저는|이름은)\s?(?P<n>[\uac00-\ud7a3]{2,4}?)(?=입니다|이에요|예요|라고|이라고)"
    ),
    re.compile(r"(?P<n>[\uac00-\ud7a3]{2,4})(?=\s?씨(?![\uac00-\ud7a3])|\s?님(?![\uac00-\ud7a3]))"),
)
# Ends that names take in German, Polish and Russian, and what they had in their place.
_GENITIVE: Final = "s"
_SLAVIC_ENDS: Final = (
    "ą ę y i owi em ie a u om ami ów ej iem owie".split(),
    "а у ом е ы и ой ою ю я ем ей ым ого ому".split(),
)
_SLAVIC_BASES: Final = frozenset("aаяйь")
#: What joins the names of two people.
_BESIDE: Final = frozenset("and und y et e i en och og и ve".split())


def introduced(text: str) -> Iterator[Span]:
    """The names that a text itself says are names, in no particular order; they may overlap."""
    for number, pattern in enumerate(_INTRODUCED):
        for match in pattern.finditer(text):
            careful = number < _CAREFUL
            yield from _checked(match, careful=careful)
    for pattern in _INTRODUCED_LOOSELY:
        for match in pattern.finditer(text):
            yield from _checked(match, careful=False)
    for pattern in (*_AFTER, _IS_MINE, _CLOSING, _DASHED):
        for match in pattern.finditer(text):
            yield from _checked(match, careful=pattern is _DASHED)
    speakers = list(_SPEAKER.finditer(text))
    for match in speakers if len(speakers) > 1 else ():  # one alone is a heading as often
        yield from _checked(match, careful=True)
    if not text.isascii():
        for pattern in _EASTERN:
            for match in pattern.finditer(text):
                yield Span(*match.span("n"), "person", match.group("n"))


def known(text: str, names: Mapping[str, bool]) -> Iterator[Span]:
    """The names of a text that are known, or common given names, with their surnames.

    Args:
        text: where to look.
        names: names in lower case, one word each or a phrase of a script without spaces; whether
            each counts without a capital as well.
    """
    words = list(_WORDS.finditer(text))
    at = 0
    while at < len(words):
        word = words[at]
        end = _end_of_known(word.group(), names)
        if end is None:
            at += 1
            continue
        start, stop = word.start(), word.start() + end
        yield Span(start, stop, "person", word.group()[:end].lower())
        at += 1
        # Surnames behind it, and who is named beside it.
        while at < len(words) and stop == words[at - 1].end():
            more = words[at]
            between = text[words[at - 1].end() : more.start()]
            if between not in (" ", "\u00a0") and not re.fullmatch(r"\s[A-Z]\.\s?", between):
                break
            said = more.group()
            pair = [word.group().lower() for word in words[at : at + 2]]
            if at + 2 < len(words) and _PARTICLES.issuperset(pair):  # "van den"
                at += 1
                more, said = words[at], words[at].group()
            if (
                said.lower() in _PARTICLES
                and at + 1 < len(words)
                and words[at + 1].group()[0].isupper()
            ):
                following = words[at + 1]
                if (
                    following.group().lower() in not_names()
                    or text[more.end() : following.start()] != " "
                ):
                    break
                yield Span(following.start(), following.end(), "person", following.group().lower())
                stop = following.end()
                at += 2
                continue
            if not _like_surname(said):
                break
            bare = said
            yield Span(more.start(), more.start() + len(bare), "person", bare.lower())
            stop = more.end()
            at += 1
    for name in names:
        if not name.isascii() and _without_spaces(name):
            start = text.find(name)
            while start >= 0:
                yield Span(start, start + len(name), "person", name)
                start = text.find(name, start + len(name))


def words_of(name: str) -> list[str]:
    """The words of a name that tell somebody, in lower case: no particles, no titles, no initials."""
    if _without_spaces(name):
        return [name.strip()]
    title = re.compile(_TITLE + r"$")
    return [
        word.lower()
        for word in _WORDS.findall(name)
        if word.lower() not in _PARTICLES and len(word) > 1 and not title.match(word)
    ]


@lru_cache(maxsize=1)
def not_names() -> frozenset[str]:
    """Words that are no names, though they stand like one."""
    return _list("not_names")


@lru_cache(maxsize=1)
def ambiguous() -> frozenset[str]:
    """Given names that are other words as well."""
    return _list("ambiguous_names")


@lru_cache(maxsize=1)
def given() -> frozenset[str]:
    """Common given names that are hardly another word."""
    return _list("given_names") - ambiguous()


def _list(name: str) -> frozenset[str]:
    lines = files(__package__).joinpath(f"{name}.txt").read_text("utf-8").splitlines()
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def _checked(match: re.Match[str], *, careful: bool) -> Iterator[Span]:
    """The words of a match that are a name. The first that is none ends it."""
    start, said = match.start("n"), match.group("n")
    found: list[Span] = []
    for word in _WORDS.finditer(said):
        low = word.group().lower()
        if low in _PARTICLES and found:
            continue
        short = len(word.group()) < 2
        if short or (low in not_names() and not (found and low in ambiguous())):
            break
        if not found and careful and _is_common(low, word.group()):
            break
        bare = re.sub(r"['’]s$", "", word.group())
        found.append(
            Span(start + word.start(), start + word.start() + len(bare), "person", bare.lower())
        )
    yield from found


def _is_common(low: str, said: str) -> bool:
    """Whether a word in capitals, or with an ending of what people are, is hardly a name."""
    if said.isupper() and len(said) > 1:
        return True
    return low not in given() and low not in ambiguous() and low.endswith(_OF_PEOPLE)


_OF_PEOPLE: Final = (
    "ing",
    "ist",
    "ian",
    "ologist",
    "isch",
    "ler",
    "iker",
    "login",
    "ingenieur",
    "ingenieurin",
    "lehrerin",
    "istin",
    "ología",
    "ogue",
)


def _end_of_known(said: str, names: Mapping[str, bool]) -> int | None:
    """How much of a word is a name: of ``Anas`` three letters where Ana is known; None for no name."""
    capital = said[0].isupper()
    low = said.lower()
    if low in names and (capital or names[low]):
        return len(said)
    if capital and low in given() and not (said.isupper() and len(said) < 4):
        return len(said)
    if "-" in low and capital:
        first = low.split("-")[0]
        if first in given() or first in names:
            return len(said)
    if not capital or len(low) < 4:
        return None
    if low.endswith(_GENITIVE) and (low[:-1] in names or low[:-1] in given()):
        return len(said) - 1
    for ends in _SLAVIC_ENDS:
        for length in (3, 2, 1):
            stem, end = low[:-length], low[-length:]
            if len(stem) < 3 or end not in ends:
                continue
            marked = not end.isascii()
            bases = [stem + base for base in ("", *_SLAVIC_BASES)]
            if any(base in names or (marked and base in given()) for base in bases):
                return len(said)
    return None


def _like_surname(said: str) -> bool:
    low = said.lower()
    if not said[0].isupper() or len(said) < 2 or low in not_names():
        return False
    return not (said.isupper() and len(said) < 4)


def _without_spaces(name: str) -> bool:
    return bool(re.fullmatch(r"[\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7a3]+", name.strip()))


def is_ordinary(word: str, extra: Collection[str] = ()) -> bool:
    """Whether a word in lower case is another word as well, so that it needs a capital."""
    return word in ambiguous() or word in not_names() or len(word) < 3 or word in extra
