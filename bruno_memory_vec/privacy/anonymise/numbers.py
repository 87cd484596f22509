"""Numbers and addresses of the net that tell who somebody is, found by their form.

Where a number carries check digits, they decide: of cards Luhn's, of an IBAN modulo 97 (ISO 7064),
of national numbers their own. A number that only its keyword makes personal ("order number ...") is
found by the keyword before it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final

from bruno_memory_vec.privacy.anonymise.span import Kind, Span

# ASCII alone, so that it begins where another script ends; and the few other letters of Europe.
_LOCAL: Final = r"[A-Za-z0-9_.+%\u00c0-\u024f-]"
_EMAIL: Final = re.compile(
    rf"(?<!{_LOCAL}){_LOCAL}{{1,64}}@(?:[A-Za-z0-9\u00c0-\u024f][A-Za-z0-9\u00c0-\u024f-]{{0,62}}\.)+[A-Za-z]{{2,24}}(?![A-Za-z0-9_@])"
)
# "ana (at) example (dot) org", as people write who do not want it to be found.
_EMAIL_SPOKEN: Final = re.compile(
    r"\b[\w.+-]{2,64}\s?[\[(]\s?at\s?[\])]\s?[\w-]+(?:\s?(?:\.|[\[(]\s?dot\s?[\])])\s?[\w-]+)+",
    re.IGNORECASE,
)
_SPOKEN_AT: Final = re.compile(r"[\[(]\s?at\s?[\])]", re.IGNORECASE)
_URL: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:https?|ftp|ssh|git|postgres(?:ql)?|mysql|redis|mongodb)(?:\+\w+)?://[^\s<>\"'`\u3000-\u9fff\uff00-\uffef]+",
    re.I,
)
_BARE_URL: Final = re.compile(
    r"(?<![\w@./])(?:www\.)?(?:github|gitlab|twitter|x|instagram|facebook|linkedin|reddit|tiktok|"
    r"youtube|medium|t|mastodon|threads|bsky|paypal|venmo)\.(?:com|me|social|app|net|org)/[^\s<>\"'`)\u3000-\u9fff\uff00-\uffef]+",
    re.I,
)
# Sites whose path begins with somebody's name.
_PROFILES: Final = re.compile(
    r"(?:^|\.)(?:github|gitlab|twitter|x|instagram|facebook|linkedin|reddit|tiktok|medium|t|mastodon|"
    r"threads|bsky|paypal|venmo|youtube|stackoverflow|keybase|soundcloud|flickr|vk|pinterest)"
    r"\.(?:com|me|social|app|net|org|io|tv)$|^(?:me|about)\.|(?:^|\.)(?:substack|wordpress|tumblr|blogspot)\.com$",
    re.I,
)
# Of such a site, pages that are nobody's.
_NOBODYS: Final = frozenset(
    "about explore features pricing login signup search help settings topics trending docs blog "
    "orgs marketplace sponsors watch questions tags jobs privacy terms home hashtag i r company "
    "feed results playlist".split()
)
_USER_IN_URL: Final = re.compile(
    r"(?:[?&#;](?:user(?:_?(?:id|name))?|uid|account|member|customer|client|email|e?mail|name|login|"
    r"profile|token|key|sig|session|auth|access_token|api_key)=)|(?:/(?:users?|u|profiles?|members?|"
    r"accounts?|people|customers?|author|home|in)/[^/?#\s]+)|/(?:@|~)[\w.-]+|://[^/@\s]+@",
    re.I,
)
_UUID: Final = re.compile(
    r"(?<![0-9a-fA-F-])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9a-fA-F-])",
    re.ASCII,
)
_SECRET: Final = re.compile(
    r"\b(?:sk-(?:[a-z]+-)?[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|"
    r"xox[abprs]-[A-Za-z0-9-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|glpat-[\w-]{16,}|"
    r"hf_[A-Za-z0-9]{20,}|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}|(?:pk|sk|rk)_(?:live|test)_\w{16,})",
    re.ASCII,
)
_PASSWORD: Final = re.compile(
    r"\b(?:password|passwort|passwd|pwd|contraseña|mot de passe|senha|wachtwoord|hasło|пароль|pin(?: code)?)"
    r"\s*(?:is|ist|es|est|é|:|=|lautet)\s*[\"'“`]?(?P<it>\S{4,64}?)[\"'”`]?(?=[.,;!?]?(?:\s|$))",
    re.I,
)
_BEHIND_COLON: Final = re.compile(r"[:=]\s*[\"'“`]?$")
_IBAN: Final = re.compile(
    r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,4})?\b", re.ASCII
)
_CARD: Final = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)", re.ASCII)
# The first digits of Visa, Mastercard, American Express, Discover, JCB, Diners Club and UnionPay.
_ISSUED: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}|"
    r"(?:6011|64[4-9]\d|65\d\d)\d{12,15}|35\d{14}|3(?:0[0-5]|[689]\d)\d{11}|62\d{14,17}"
)
_MAC: Final = re.compile(
    r"(?<![0-9A-Fa-f:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:-])", re.ASCII
)
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", re.ASCII)
_IPV6: Final = re.compile(
    r"(?<![\w:.])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{4,39}(?![\w:])", re.ASCII
)
_VERSION: Final = re.compile(
    r"\b(?:version|release|v|build|firmware|section|chapter|upgrade)\b[^\n]{0,24}$", re.I
)
_COORDINATES: Final = re.compile(
    r"(?<![\w.])[-+]?\d{1,2}\.\d{4,}°?\s?[NSns]?\s?[,;/ ]\s?[-+]?\d{1,3}\.\d{4,}°?\s?[EWew]?(?![\w.]\d)"
)
_US_SSN: Final = re.compile(
    r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])", re.ASCII
)
_DNI: Final = re.compile(r"\b[XYZ]?\d{7,8}[- ]?[A-Z]\b", re.ASCII)
_NIR: Final = re.compile(
    r"(?<!\d)[12][ .]?\d{2}[ .]?\d{2}[ .]?\d[\dAB][ .]?\d{3}[ .]?\d{3}[ .]?\d{2}(?!\d)", re.ASCII
)
_FISCALE: Final = re.compile(r"\b[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]\b", re.I)
_NINO: Final = re.compile(
    r"\b(?![DFIQUV])[A-Z](?![DFIQUVO])[A-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]\b", re.ASCII
)
_CPF: Final = re.compile(r"(?<!\d)\d{3}\.\d{3}\.\d{3}-\d{2}(?!\d)", re.ASCII)
_ZH_ID: Final = re.compile(r"(?<!\d)[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])\d{5}[\dXx](?!\d)")
_PESEL: Final = re.compile(r"(?<!\d)\d{11}(?!\d)")

_LINK: Final = (
    r"\s*(?:(?:number|no|nr|n[uú]mero|num(?:éro|ero)?|id|code|ref(?:erence)?|nummer|n[°º]|kod|номер)\b\.?\s*)*"
    r"(?:(?:is|was|ist|lautet|es|est|è|é|jest|:|=|#|\(|-|–|is:)\s*)*[\"'“]?"
)
_VALUE: Final = (
    r"(?P<it>(?=[A-Za-z0-9/_.-]*\d)[A-Za-z0-9](?:[A-Za-z0-9/_-]|(?:[ .](?=\d))){2,28}[A-Za-z0-9])"
)
_NATIONAL_WORDS: Final = (
    r"ssn|social security|sozialversicherungs\w*|rentenversicherungs\w*|steuer-?id\w*|steueridentifikations\w*|tax id|tin|"
    r"passport|reisepass\w*|pasaporte|passeport|passaporto|paspoort|driver'?s? licen[cs]e|führerschein\w*|"
    r"carnet de conducir|permis de conduire|national id|id card|personalausweis\w*|ausweis\w*|bsn|aadhaar|cpf|nif|dni|nie|"
    r"nhs|medicare|health insurance|krankenversicherten\w*|krankenversicherung\w*|pesel|curp|sécurité sociale|"
    r"seguridad social|codice fiscale|burgerservicenummer|insurance|паспорт|снилс|инн|身份证|护照|マイナンバー"
)
_ACCOUNT_WORDS: Final = (
    r"account|acct|konto(?:nummer)?|cuenta|compte|conto|conta|rekening|customer|kunden\w*|client[ei]?|klant\w*|"
    r"member(?:ship)?|mitglieds\w*|order|bestell\w*|auftrags\w*|pedido|commande|ordine|encomenda|"
    r"invoice|rechnungs\w*|factura|facture|fattura|fatura|booking|buchungs\w*|reserva(?:tion|ción)?|réservation|"
    r"prenotazione|confirmation|tracking|sendungs\w*|shipment|case|ticket|vorgangs\w*|policy|policen\w*|"
    r"versicherungs\w*|contract|vertrags\w*|contrato|contrat|employee|personal(?:nummer)|student|matrikel\w*|patient (?:id|no|nr|number)|licen[cs]e plate|"
    r"kennzeichen|loyalty|miles|frequent flyer|serial|imei|zamówieni\w+|заказ\w*|счет\w*|订单号?|账号|帐号|注文番号|user id|userid"
)


def _keyword(words: str, *, number_needed: bool) -> re.Pattern[str]:
    between = _LINK
    return re.compile(rf"(?<!\w)(?:{words}){between}{_VALUE}(?![\w])", re.I)


_NATIONAL: Final = _keyword(_NATIONAL_WORDS, number_needed=False)
_ACCOUNT: Final = _keyword(_ACCOUNT_WORDS, number_needed=True)
_HASHED_ORDER: Final = re.compile(r"(?<![\w/&])#(?P<it>\d{5,}|[A-Z]{1,4}-?\d{4,})\b")
_HANDLE: Final = re.compile(r"(?<![\w@/.])@(?P<it>[A-Za-z_][\w.]{1,30}\w)(?!\w|@|\.\w)")
_PATH: Final = re.compile(r"(?:/(?:home|Users)/|[A-Za-z]:\\Users\\)(?P<it>[^/\\\s:\"']+)")
# Handles that are parts of programs, or everybody.
_NOT_HANDLES: Final = frozenset(
    "property staticmethod classmethod dataclass override app pytest media import everyone channel here all "
    "param return returns deprecated test author todo see link component injectable entity autowired "
    "types".split()
)
_NOT_PEOPLE: Final = frozenset("shared public default guest root user runner ubuntu admin".split())

_PHONE_WORDS: Final = re.compile(
    r"(?:phone|tel|mobile|cell|call|ring|text|sms|whatsapp|signal|fax|reach\w* (?:me|us|him|her)|number|handy|telefon\w*|"
    r"mobil\w*|festnetz|anruf\w*|ruf\w*|nummer|teléfono|móvil|celular|llám\w+|número|téléphone|portable|appel\w*|"
    r"joindre|numéro|telefono|cellulare|chiam\w+|numero|telefone|telemóvel|ligue|telefoon|bel\w*|numer|zadzwoń|komórk\w+|"
    r"тел|телефон\w*|звони\w*|电话|手机|電話|携帯|전화|☎|📞)[^\d+\n]{0,28}$",
    re.I,
)
_PHONE: Final = re.compile(
    r"(?<![\w.,/+-])(?:\+|00)?\(?\d(?:[ \u00a0./()-]{0,2}\d){5,14}(?![\w]|[.,]\d|-\d)", re.ASCII
)
_PHONE_FORMS: Final = (
    re.compile(r"(?:\+|00)[1-9]\d[\d .()/\u00a0-]{5,}\d"),
    re.compile(r"(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}"),
    re.compile(r"\(?0\d{1,5}\)?[ /-]\d{2,4}(?:[ -]?\d{2,4}){1,4}"),
    re.compile(r"0[1-9](?:[ .]\d{2}){4}"),
    re.compile(r"1[3-9]\d{9}"),
    re.compile(r"0\d{2,3}-\d{3,4}-\d{4}"),
)
# From one number to another, two years, or a number with decimals.
_NO_PHONE: Final = re.compile(
    r"^(?:19|20)\d\d-(?:19|20)?\d\d$|^\d{1,3}-\d{1,3}$|\d\.\d+ ?\(|^\d+\.\d{1,2}$", re.ASCII
)
_FEWEST_DIGITS, _MOST_DIGITS = 6, 15


def numbers(text: str, region: str | None) -> Iterator[Span]:
    """What is found but phone numbers, which are to be looked for after dates and places.

    The first given counts where two overlap.
    """
    for match in _SECRET.finditer(text):
        yield Span(*match.span(), "secret", match.group())
    for match in _PASSWORD.finditer(text):
        # "The pin is posted": what has only small letters is a word, but behind a colon.
        word = match.group("it").islower() and match.group("it").isalpha()
        if word and not _BEHIND_COLON.search(text[: match.start("it")]):
            continue
        yield Span(*match.span("it"), "secret", match.group("it"))
    if "://" in text:
        for match in _URL.finditer(text):
            yield from _url(match)
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Span(*match.span(), "email", match.group().lower())
    if _SPOKEN_AT.search(text):
        for match in _EMAIL_SPOKEN.finditer(text):
            yield Span(*match.span(), "email", _spoken(match.group()))
    if "/" in text or "\\" in text:
        for match in _BARE_URL.finditer(text):
            yield from _url(match)
        for match in _PATH.finditer(text):
            if match.group("it").lower() not in _NOT_PEOPLE:
                yield Span(*match.span("it"), "handle", match.group("it").lower())
    if any(map(str.isdigit, text)) or ":" in text:
        yield from _with_digits(text)
    if "@" in text:
        for match in _HANDLE.finditer(text):
            if match.group("it").lower() not in _NOT_HANDLES:
                yield Span(*match.span("it"), "handle", match.group("it").lower())


def _with_digits(text: str) -> Iterator[Span]:
    for match in _UUID.finditer(text):
        yield Span(*match.span(), "uuid", match.group().lower())
    yield from _checked(text)
    found: tuple[tuple[re.Pattern[str], Kind], ...]
    found = ((_NATIONAL, "national_id"), (_ACCOUNT, "account"))
    for pattern, kind in found:
        for match in pattern.finditer(text):
            if _is_number(match.group("it")):
                yield _plain(match, kind)
    for match in _HASHED_ORDER.finditer(text):
        yield _plain(match, "account")
    yield from _net(text)
    for match in _COORDINATES.finditer(text):
        yield Span(*match.span(), "coordinates", match.group())


def phones(text: str, region: str | None) -> Iterator[Span]:
    """Phone numbers: by the package phonenumbers where it is installed, and by their form.

    Args:
        text: where to look.
        region: of numbers without a country code, by its two letters.
    """
    if sum(map(str.isdigit, text)) < _FEWEST_DIGITS:
        return
    package = _phonenumbers()
    if package is not None:
        for place in (None, region) if region else (None,):
            for match in package.PhoneNumberMatcher(text, place):
                form = package.format_number(match.number, package.PhoneNumberFormat.E164)
                if not _in_longer(text, match.start, match.end):
                    yield Span(match.start, match.end, "phone", form)
    for found in _PHONE.finditer(text):
        start, end = found.span()
        said = found.group()
        said = said.rstrip(" .()/-\u00a0")
        end = start + len(said)
        digits = re.sub(r"\D", "", said)
        if not _FEWEST_DIGITS <= len(digits) <= _MOST_DIGITS or _in_longer(text, start, end):
            continue
        if any(form.fullmatch(said) for form in _PHONE_FORMS) or (
            not _NO_PHONE.search(said) and _PHONE_WORDS.search(text[max(0, start - 48) : start])
        ):
            yield Span(start, end, "phone", _e164(said, digits, region))


def luhn(digits: str) -> bool:
    """Whether the last digit is Luhn's check digit of the others (ISO/IEC 7812-1)."""
    total = 0
    for at, digit in enumerate(map(int, reversed(digits))):
        total += digit if at % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def iban(text: str) -> bool:
    """Whether an IBAN's check digits are right (ISO 13616: modulo 97 gives 1)."""
    turned = text[4:] + text[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def _checked(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        # Words in capitals may follow it: as much as is an IBAN, from its beginning.
        end = match.end()
        while end - match.start() >= 15:
            said = re.sub(r"[ -]", "", text[match.start() : end])
            if 15 <= len(said) <= 34 and iban(said):
                yield Span(match.start(), end, "iban", said)
                break
            end -= 1
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match.group())
        if luhn(digits) and _ISSUED.fullmatch(digits):
            yield Span(*match.span(), "card", digits)
    for pattern, holds in _NATIONAL_FORMS:
        for match in pattern.finditer(text):
            said = re.sub(r"[ .-]", "", match.group()).upper()
            if holds(said):
                yield Span(*match.span(), "national_id", said)


def _dni(said: str) -> bool:
    number = said[:-1].translate(str.maketrans("XYZ", "012"))
    return number.isdigit() and "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == said[-1]


def _nir(said: str) -> bool:
    body = said[:-2].replace("2A", "19").replace("2B", "18")
    return body.isdigit() and 97 - int(body) % 97 == int(said[-2:])


def _cpf(said: str) -> bool:
    digits = list(map(int, said))
    for length in (9, 10):
        total = sum(digit * (length + 1 - at) for at, digit in enumerate(digits[:length]))
        if total * 10 % 11 % 10 != digits[length]:
            return False
    return len(set(digits)) > 1


def _zh(said: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(digit) * weight for digit, weight in zip(said[:17], weights, strict=True))
    return "10X98765432"[total % 11] == said[17].upper()


def _pesel(said: str) -> bool:
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
    total = sum(int(digit) * weight for digit, weight in zip(said[:10], weights, strict=True))
    return (
        (10 - total % 10) % 10 == int(said[10])
        and 1 <= int(said[2:4]) % 20 <= 12
        and 1 <= int(said[4:6]) <= 31
    )


_NATIONAL_FORMS: Final = (
    (_US_SSN, bool),
    (_FISCALE, bool),
    (_NINO, bool),
    (_DNI, _dni),
    (_NIR, _nir),
    (_CPF, _cpf),
    (_ZH_ID, _zh),
    (_PESEL, _pesel),
)


def _net(text: str) -> Iterator[Span]:
    for match in _MAC.finditer(text):
        yield Span(*match.span(), "mac", match.group().lower().replace("-", ":"))
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            try:
                address = ipaddress.ip_address(match.group())
            except ValueError:
                continue
            # Everybody's: they tell of nobody.
            if (
                address.is_loopback
                or address.is_unspecified
                or _VERSION.search(text[: match.start()])
            ):
                continue
            yield Span(*match.span(), "ip", str(address))


def _url(match: re.Match[str]) -> Iterator[Span]:
    said = match.group().rstrip(".,;:!?)]}")
    rest = re.sub(r"^[\w+]+://", "", said)
    host, _, path = re.sub(r"^[^/@]*@", "", rest).partition("/")
    first = re.split(r"[/?#]", path)[0].lower()
    own = bool(_PROFILES.search(host)) and bool(first) and first not in _NOBODYS
    if own or _USER_IN_URL.search(said) or "~" in path:
        yield Span(match.start(), match.start() + len(said), "url", said)


def _plain(match: re.Match[str], kind: Kind) -> Span:
    return Span(*match.span("it"), kind, re.sub(r"[\s./-]", "", match.group("it")).upper())


def _is_number(said: str) -> bool:
    digits = sum(map(str.isdigit, said))
    # "order 66 pizzas", "case 3", "account 2024-05-01": too short, or a date.
    if re.fullmatch(r"(?:19|20)\d\d(?:[-./]\d{1,2}){0,2}|\d{1,2}[./-]\d{1,2}[./-]\d{2,4}", said):
        return False
    if re.fullmatch(r"\d+\.\d+|\d{1,3}-\d{1,3}|(?:19|20)\d\d-(?:19|20)?\d\d", said):
        return False  # a number, or from one to another
    return digits >= 4 or (digits >= 2 and len(said) >= 6 and said.upper() == said)


# Digits with what stands between them in phone numbers.
_DIGITS = re.compile(r"(?<![\w+])[+(]{0,2}\d(?:[ .()/\u00a0-]{0,2}\d){6,16}(?!\w)", re.ASCII)
#: Digits of a country's code, and of what some countries put between it and the number.
_LONGEST_CODE = 4


class PhoneBook:
    """Phone numbers that were found somewhere, and where else they stand, however they are written.

    ``(0351)912345678`` and ``912-345-678`` are no phone numbers by their form, but those of
    somebody whose number stands elsewhere as ``+351 912 345 678``.
    """

    def __init__(self) -> None:
        # By the last digits, which all ways to write one have in common; the longest form first.
        self._known: dict[str, list[str]] = {}

    def learn(self, text: str, region: str | None) -> None:
        """Learn the phone numbers of a text."""
        for span in phones(text, region):
            digits = re.sub(r"\D", "", span.original).lstrip("0")
            if len(digits) < _FEWEST_DIGITS:
                continue
            held = self._known.setdefault(digits[-_FEWEST_DIGITS:], [])
            if span.original not in held:
                held.append(span.original)
                held.sort(key=len, reverse=True)

    def find(self, text: str) -> Iterator[Span]:
        """Where they stand in a text."""
        if not self._known or sum(map(str.isdigit, text)) < _FEWEST_DIGITS:
            return
        for match in _DIGITS.finditer(text):
            digits = re.sub(r"\D", "", match.group()).lstrip("0")
            for known in self._known.get(digits[-_FEWEST_DIGITS:], ()):
                whole = known.lstrip("+0")
                if whole.endswith(digits) and len(whole) - len(digits) <= _LONGEST_CODE:
                    yield Span(match.start(), match.end(), "phone", known)
                    break


def _in_longer(text: str, start: int, end: int) -> bool:
    """Whether a number is a part of one with more digits."""
    return bool(re.match(r"[ -]?\d", text[end:]) or re.search(r"\d[ -]?$", text[:start]))


def _spoken(said: str) -> str:
    at = re.sub(r"\s?[\[(]\s?at\s?[\])]\s?", "@", said, flags=re.I)
    return re.sub(r"\s?[\[(]\s?dot\s?[\])]\s?", ".", at, flags=re.I).replace(" ", "").lower()


def _e164(said: str, digits: str, region: str | None) -> str:
    package = _phonenumbers()
    if package is not None:
        try:
            number = package.parse(said, region)
            if package.is_possible_number(number):
                return str(package.format_number(number, package.PhoneNumberFormat.E164))
        except package.NumberParseException:
            # Not a number of any plan that is known: its digits tell it from others.
            return digits
    if said.startswith("+"):
        return "+" + digits
    return "+" + digits[2:] if said.startswith("00") else digits


@lru_cache(maxsize=1)
def _phonenumbers() -> Any:
    if find_spec("phonenumbers") is None:
        return None
    import phonenumbers

    return phonenumbers
