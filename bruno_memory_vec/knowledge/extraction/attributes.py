"""What can be known of somebody: the attributes, how each is told, and which values exclude others.

A fact is a subject, an attribute and a value. Attributes are texts, and any may be used; those here
are the ones that the patterns and the prompt name, and the rest follow the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

#: Who a fact is about, where nobody else is named: the user whose turn said it.
USER: Final = "user"

Category = Literal["fact", "preference"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """How an attribute behaves.

    Attributes:
        name: as it is stored.
        told: the sentence, with ``{subject}`` and ``{value}``.
        single: whether it holds one value at a time, so that another value replaces the first.
        opposite: an attribute that the same value cannot have at the same time.
        category: of the rows.
    """

    name: str
    told: str
    single: bool = False
    opposite: str | None = None
    category: Category = "fact"


_KNOWN: Final = {
    one.name: one
    for one in (
        Attribute("name", "{subject}'s name is {value}.", single=True),
        Attribute("nickname", "{subject} is called {value}.", single=True),
        Attribute("home", "{subject} lives in {value}.", single=True),
        Attribute("origin", "{subject} comes from {value}.", single=True),
        Attribute("birthday", "{subject}'s birthday is {value}.", single=True),
        Attribute("job", "{subject} works as {value}.", single=True),
        Attribute("employer", "{subject} works at {value}.", single=True),
        Attribute("diet", "{subject} is {value}.", single=True),
        Attribute("marital status", "{subject} is {value}.", single=True),
        Attribute("allergy", "{subject} is allergic to {value}.", opposite="no allergy"),
        Attribute("no allergy", "{subject} is not allergic to {value}.", opposite="allergy"),
        Attribute("language", "{subject} speaks {value}."),
        Attribute("pet", "{subject} has {value}."),
        Attribute("hobby", "{subject}'s hobby is {value}.", category="preference"),
        Attribute("likes", "{subject} likes {value}.", opposite="dislikes", category="preference"),
        Attribute(
            "dislikes", "{subject} does not like {value}.", opposite="likes", category="preference"
        ),
        Attribute("prefers", "{subject} prefers {value}.", category="preference"),
        Attribute("avoids", "{subject} does not eat or drink {value}.", category="preference"),
    )
}
#: The names of the known attributes.
KNOWN: Final = tuple(_KNOWN)
_FAVOURITE: Final = "favourite "
_CALLED: Final = "'s name"
# A sister may be another sister.
_ONE_AT_A_TIME: Final = (
    "wife",
    "husband",
    "partner",
    "girlfriend",
    "boyfriend",
    "mother",
    "mum",
    "father",
    "dad",
    "boss",
    "manager",
    "supervisor",
    "dentist",
    "doctor",
    "therapist",
    "landlord",
    "landlady",
)


def attribute(name: str) -> Attribute:
    """The attribute of a name; one that is not known may hold several values at a time.

    ``favourite …`` holds one, and so does ``…'s name`` of whom there is only one at a time.
    """
    known = _KNOWN.get(name)
    if known is not None:
        return known
    if name.startswith(_FAVOURITE):
        told = f"{{subject}}'s {name} is {{value}}."
        return Attribute(name, told, single=True, category="preference")
    told = f"The {name} of {{subject}} is {{value}}."
    if name.endswith(_CALLED):
        single = name.removesuffix(_CALLED) in _ONE_AT_A_TIME
        return Attribute(name, f"{{subject}}'s {name} is {{value}}.", single=single)
    return Attribute(name, told)


def sentence(subject: str, name: str, value: str) -> str:
    """A fact as a sentence."""
    # Not str.format: what a user says may hold braces.
    told = attribute(name).told.replace("{subject}", "The user" if subject == USER else subject)
    return told.replace("{value}", value)


_ROLES: Final = frozenset(
    "system assistant user human admin administrator root superuser developer tool function"
    " model bot ai".split()
)
_NAMES: Final = ("name", "nickname")


def of_a_name(name: str) -> bool:
    """Whether an attribute's values are names of people."""
    return name in _NAMES or name.endswith(_CALLED)


def is_role(value: str) -> bool:
    """Whether a value is no name: nothing but words for a role ("SYSTEM", "Root admin")."""
    words = same_value(value).split()
    return bool(words) and all(word in _ROLES for word in words)


def same_value(value: str) -> str:
    """A value as it is compared with others: without case, articles, marks and double spaces."""
    words = "".join(c if c.isalnum() else " " for c in value.casefold()).split()
    return " ".join(word for word in words if word not in ("a", "an", "the"))
