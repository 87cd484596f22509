"""A user's profile as lines of a prompt: bounded, and every stored text quoted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from bruno_memory_vec.context.known_line import KnownLine
from bruno_memory_vec.knowledge.users.profile import KnownValue, UserProfile
from bruno_memory_vec.prompts.notes import PROFILE_HEAD
from bruno_memory_vec.prompts.quoting import is_plain_name, quotable
from bruno_memory_vec.prompts.token_bound import Counter, most_tokens

HEAD: Final = PROFILE_HEAD
#: How many lines there are at most, and how long one is, in characters.
MOST_LINES, LONGEST_LINE = 24, 240
_LONGEST_KEY, _LONGEST_VALUE, _MOST_OTHERS = 58, 160, 3
# Fewer messages say little about how somebody writes.
_LEAST_MESSAGES = 10


def lines_of(profile: UserProfile) -> list[str]:
    """The lines of a profile, the most important first: name, preferences, profile, facts, style.

    Each begins with ``- `` and holds neither a line break nor a mark by which a model tells who
    speaks (``prompts.quoting``).
    """
    return [line.text for line in known_lines(profile)]


def known_lines(profile: UserProfile) -> list[KnownLine]:
    """The same lines, each with where it is from."""
    return list(islice(_lines(profile), MOST_LINES))


def text_of(profile: UserProfile, budget: int, count: Counter = most_tokens) -> str:
    """The lines that fit into a budget of tokens, under a head that says what they are.

    Empty where nothing is known or fits.
    """
    chosen: list[str] = []
    for line in lines_of(profile):
        if count("\n".join([HEAD, *chosen, line])) > budget:
            break
        chosen.append(line)
    return "\n".join([HEAD, *chosen]) if chosen else ""


def _lines(profile: UserProfile) -> Iterator[KnownLine]:
    if profile.name is not None and (name := _quoted(profile.name)):
        learned = profile.profile.get("name")
        if learned is None or learned.value != profile.name:
            yield KnownLine(f"- name: {name}", (name[1:-1],))
        else:
            yield _known(f"- name: {name}", (name,), learned)
    for heading, values in (("preference", profile.preferences), ("profile", profile.profile)):
        # What somebody has set comes first.
        for value in sorted(values.values(), key=lambda one: one.origin != "edited"):
            if heading == "profile" and value.key == "name":
                continue
            line = _value_line(heading, value)
            if line is not None:
                yield line
    for fact in profile.facts:
        if text := _quoted(fact.text):
            yield KnownLine(f"- fact: {text}", (text[1:-1],), (fact.id,), fact.turns)
    if profile.style is not None and profile.style.messages >= _LEAST_MESSAGES:
        yield KnownLine(f"- {profile.style}")


def _value_line(heading: str, value: KnownValue) -> KnownLine | None:
    key = quotable(value.key[:_LONGEST_KEY]).strip("'\"")
    told = _quoted(value.value)
    if not key or not told:
        return None
    if not is_plain_name(key):
        key = f'"{key}"'
    line, joint, values = f"- {heading}, {key}: {told}", "; also", [told]
    for other in filter(None, map(_quoted, value.others[:_MOST_OTHERS])):
        if len(line) + len(joint) + len(other) < LONGEST_LINE:
            line, joint = f"{line}{joint} {other}", ","
            values.append(other)
    return _known(line, values, value)


def _known(line: str, quoted: Sequence[str], value: KnownValue) -> KnownLine:
    return KnownLine(line, tuple(one[1:-1] for one in quoted), value.sources, value.turns)


def _quoted(value: Any) -> str:
    """A value as a quotation; empty where nothing of it can be shown."""
    text = quotable(str(value)[: 2 * _LONGEST_VALUE])
    if not text:
        return ""
    cut = text[:_LONGEST_VALUE].rstrip()
    return f'"{cut}…"' if len(text) > len(cut) else f'"{text}"'
