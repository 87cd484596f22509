"""Postal addresses: a street with a house number, and the code and town behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from bruno_memory_vec.privacy.anonymise.span import Span

_CAP: Final = r"(?:[^\W\d_a-zß-öø-ÿ][\w'’.-]*)"  # a word that begins with a capital
_TOWN_WORD: Final = r"(?:[^\W\d_a-zß-öø-ÿ][^\W\d_]*(?:['’.-][^\W\d_]+)*)(?!\w)"
_NUMBER: Final = r"\d{1,5}(?:\s?[-–/]\s?\d{1,4})?\s?[A-Za-z]?(?![\w])"
_EN_TYPES: Final = (
    r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|Terrace|Way|"
    r"Close|Crescent|Gardens|Grove|Hill|Parkway|Pkwy|Highway|Hwy|Circle|Cir|Trail|Row|Mews|Walk|Quay)\b\.?"
)
_UNIT: Final = r"(?:,?\s*(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|#)\.?\s?[\w-]{1,6})?"
_US_TOWN: Final = rf"(?:,\s*{_TOWN_WORD}(?:\s{_TOWN_WORD}){{0,2}})?(?:,?\s+[A-Z]{{2}}\b)?(?:,?\s+\d{{5}}(?:-\d{{4}})?\b)?"
_UK_CODE: Final = r"\b[A-Z]{1,2}\d[A-Z\d]?\s\d[A-Z]{2}\b"
_TOWN: Final = rf"(?:(?:,|\s+in|\n)?\s*(?:[A-Z]{{1,2}}-)?(?:\d{{4,5}}(?:-\d{{3}})?|\d\d-\d{{3}}|\d{{3}} \d\d)(?:\s?[A-Z]{{2}}\b)?,?\s+{_TOWN_WORD}(?:[ -]{_TOWN_WORD}){{0,2}}|,\s*{_TOWN_WORD}(?:\s{_TOWN_WORD})?)?"

_FORMS: Final = (
    # 12 Baker Street, Flat 3, London NW1 6XE; 1600 Elm Ave Apt 4, Springfield, IL 62704
    re.compile(
        rf"(?<![\w.])\d{{1,5}}[A-Za-z]?\s+(?:[NSEW]\.?\s|North\s|South\s|East\s|West\s)?"
        rf"(?:(?:{_CAP}|\d{{1,3}}(?:st|nd|rd|th))\s+){{1,3}}{_EN_TYPES}{_UNIT}{_US_TOWN}(?:,?\s*{_UK_CODE})?"
    ),
    re.compile(rf"(?:(?:,\s*)?{_CAP}\s)?{_UK_CODE}"),
    re.compile(r"\b[Pp]\.?\s?[Oo]\.?\s?[Bb]ox\s+\d+" + _US_TOWN),
    # Hauptstraße 12, 10115 Berlin; Am Markt 3
    re.compile(
        rf"\b(?:(?:{_CAP}[ -]){{0,3}}(?:{_CAP}(?:straße|strasse|str\.|weg|allee|platz|gasse|ufer|damm|chaussee)|(?:Straße|Strasse|Str\.|Weg|Allee|Platz|Gasse|Ring|Ufer|Damm|"
        rf"Chaussee))|(?:Am|An der|Auf dem|Im|Zum|Zur)\s{_CAP})\s{_NUMBER}{_TOWN}"
    ),
    # Keizersgracht 123, 1015 CJ Amsterdam; Storgatan 5, 111 23 Stockholm
    re.compile(
        rf"\b{_CAP}(?:straat|gracht|laan|weg|plein|kade|dijk|gatan|vägen|gade|vej|gata|veien|katu|tie)\s{_NUMBER}{_TOWN}"
    ),
    # 12 rue de la Paix, 75002 Paris
    re.compile(
        rf"\b\d{{1,4}}(?:\s?(?:bis|ter))?,?\s+(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Bb]d|[Pp]lace|[Aa]llée|[Cc]hemin|[Qq]uai|"
        rf"[Ii]mpasse|[Rr]oute|[Cc]ours)\s(?:(?:de|du|des|la|le|les|l'|d'|d’|l’|{_CAP})\s?){{1,6}}{_TOWN}"
    ),
    # Calle Mayor 5, 28013 Madrid; Via Roma 10, 00184 Roma; Rua Augusta, 100; ul. Długa 5
    re.compile(
        rf"\b(?:[Cc]alle|[Cc]/|[Aa]venida|[Aa]vda\.?|[Pp]aseo|[Pp]laza|[Cc]arrer|Via|[Vv]iale|[Pp]iazza|[Cc]orso|[Rr]ua|"
        rf"[Aa]v\.|[Tt]ravessa|[Ll]argo|ul\.|ulica|ulicy|al\.|улица|ул\.|проспект|пр\.)\s"
        rf"(?:(?:de|del|de la|de los|las|los|la|el|da|do|das|dos|della|dei|delle|dello|{_CAP})\s?){{1,5}},?\s?"
        rf"(?:n[º°.]\s?|nº\s?|д\.\s?)?{_NUMBER}{_TOWN}"
    ),
    # 北京市朝阳区建国路88号; 東京都渋谷区神南1-2-3
    re.compile(
        r"(?:[\u4e00-\u9fff]{2,3}[省市]){0,2}[\u4e00-\u9fff]{2,3}[区县市][\u4e00-\u9fff\d]{1,12}?(?:[路街道巷弄]\d+号(?:\d+[室楼层号栋])*)"
    ),
    re.compile(
        r"[\u4e00-\u9fff]{2,4}[都道府県][\u4e00-\u9fff]{1,8}[市区町村][\u3040-\u30ff\u4e00-\u9fff]{0,10}\d{1,3}(?:[-−丁目番地号]+\d{0,3}){0,3}"
    ),
    re.compile(r"〒\d{3}-\d{4}"),
)


def places(text: str) -> Iterator[Span]:
    """The postal addresses of a text."""
    if not any(map(str.isdigit, text)):
        return
    for form in _FORMS:
        for match in form.finditer(text):
            said = match.group().rstrip(" ,.\n")
            start = match.start() + len(said) - len(said.lstrip(" ,"))
            yield Span(start, match.start() + len(said), "address", " ".join(said.lower().split()))
