"""Makes the list of given names of the anonymiser: those of Faker (MIT) and some by hand.

    pip install faker && python scripts/given_names.py

Left out is what is another word as well: English words (those of prompts/one_token_words.txt in
small letters), towns, countries and states that Faker knows, what is in the anonymiser's own lists
of words, and names of fewer than four letters. scripts/given_names_by_hand.txt is taken as it is.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import faker

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "bruno_memory_vec" / "privacy" / "anonymise"
LOCALES = (
    "en_US en_GB en_IN en_NG en_KE en_PK en_IE ga_IE de_DE de_AT de_CH fr_FR fr_CA fr_BE fr_CH "
    "es_ES es_MX es_CO es_AR es_CL it_IT pt_PT pt_BR nl_NL nl_BE pl_PL cs_CZ sk_SK sl_SI hr_HR "
    "hu_HU ro_RO sv_SE no_NO da_DK et_EE lt_LT lv_LV ru_RU uk_UA bg_BG el_GR yo_NG ig_NG ha_NG "
    "tw_GH zu_ZA az_AZ uz_UZ tr_TR"
).split()
PLACES = frozenset(
    "city cities country countries state states province provinces region regions town "
    "towns".split()
)
WIDTH = 100


def main() -> None:
    """Write the list."""
    by_hand = set(words(ROOT / "scripts" / "given_names_by_hand.txt"))
    found = {name for locale in LOCALES for name in names(locale)}
    found -= {place for locale in LOCALES for place in places(locale)}
    found -= set(words(HERE / "not_names.txt")) | set(words(HERE / "ambiguous_names.txt"))
    english = (ROOT / "bruno_memory_vec" / "prompts" / "one_token_words.txt").read_text("utf-8")
    found -= {word for word in english.split() if word.islower()}
    listed = sorted(by_hand | found)
    lines = [
        "# Given names that are hardly ever another word, by scripts/given_names.py from Faker "
        f"{faker.VERSION}",
        "# (Copyright (c) 2012 Daniele Faraglia, MIT License, see NOTICE) and by hand.",
    ]
    line = ""
    for name in listed:
        if len(line) + len(name) >= WIDTH:
            lines.append(line.strip())
            line = ""
        line += f"{name} "
    (HERE / "given_names.txt").write_text("\n".join([*lines, line.strip()]) + "\n", "utf-8")
    print(f"{len(listed):,} names, {len(by_hand):,} of them by hand")


def names(locale: str) -> Iterator[str]:
    """The given names of a locale, in lower case."""
    try:
        provider = importlib.import_module(f"faker.providers.person.{locale}").Provider
    except ModuleNotFoundError:
        return
    for what in vars(provider):
        if what.startswith("first_names"):
            for name in flat(getattr(provider, what)):
                # A name of several words counts by none of them alone.
                if re.fullmatch(r"[^\W\d_]{4,}(?:-[^\W\d_]{3,})?", name):
                    yield name.lower()


def places(locale: str) -> Iterator[str]:
    """The places of a locale, and each word of their names, in lower case."""
    try:
        provider = importlib.import_module(f"faker.providers.address.{locale}").Provider
    except ModuleNotFoundError:
        return
    for what in dir(provider):
        if what in PLACES:
            for name in flat(getattr(provider, what)):
                yield name.lower()


def flat(values: object) -> Iterator[str]:
    """The texts of a list, a dict or lists of lists."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, Iterable):
        for value in values:
            yield from flat(value)


def words(path: Path) -> list[str]:
    """The words of a list."""
    lines = path.read_text("utf-8").splitlines()
    return [word for line in lines if not line.startswith("#") for word in line.split()]


if __name__ == "__main__":
    main()
