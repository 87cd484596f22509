"""What was learned of a user, as it is saved beside what was edited, and the two joined.

A saved ``UserContext`` holds in ``preferences`` and ``profile`` only what somebody has set. What
was learned is one JSON text in its metadata, under :data:`KEY`. They are joined where a context is
given out, and told apart again where one is saved, so:

- learning never touches what was set, and what was set wins;
- a context that is kept and saved later brings nothing back that was forgotten since.

The text is read once and remembered (``get_context`` does it for each call).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from bruno_core.models.context import UserContext

from bruno_memory_vec.knowledge.users.profile import KnownFact, KnownValue, Part, UserProfile
from bruno_memory_vec.knowledge.users.style import Style
from bruno_memory_vec.rows.models import utc

#: In the metadata of a ``UserContext``: what was learned of the user.
KEY: Final = "bruno_memory_vec.learned"
PARTS: Final[tuple[Part, ...]] = ("preferences", "profile")
#: The key of the profile that is a user's name.
NAME: Final = "name"
_ALL: Final = (*PARTS, "facts")

# What a context holds of it, with what copies it.
_HOLDERS: Final[tuple[tuple[str, Callable[[Any], Any]], ...]] = (
    ("preferences", dict),
    ("profile", dict),
    ("facts", list),
    ("style", dict),
)

_plain = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Entry:
    """What one memory says of a user.

    Attributes:
        key: of a value, its name; empty for a fact.
        value: the value, or the fact's sentence.
        memory_id: the memory that says it.
        turns: ids of the messages that the memory cites.
        at: when the memory was made, microseconds since 1970, UTC.
        confidence: 0..1.
        expires: when the memory expires, microseconds since 1970, UTC; 0 if never.
    """

    key: str
    value: Any
    memory_id: str
    turns: tuple[str, ...]
    at: int
    confidence: float
    expires: int = 0

    def to_list(self) -> list[Any]:
        """The same as plain values, for JSON."""
        plain = [self.key, self.value, self.memory_id, list(self.turns), self.at, self.confidence]
        return [*plain, self.expires] if self.expires else plain

    @classmethod
    def from_list(cls, plain: list[Any]) -> Entry:
        """What :meth:`to_list` was called of."""
        key, value, memory_id, turns, *rest = plain
        return cls(key, value, memory_id, tuple(turns), *rest)


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned of a user, and what the user does not want to be learned.

    Attributes:
        preferences: the newest first.
        profile: the newest first.
        facts: the newest first.
        style: how the user writes.
        rows: how many memories say something of the user.
        refreshed_at: when it was taken from the rows, microseconds since 1970, UTC; 0 if never.
        behind: rows have changed since.
        removed: what was removed by somebody: keys by part, and ids of facts.
    """

    preferences: tuple[Entry, ...] = ()
    profile: tuple[Entry, ...] = ()
    facts: tuple[Entry, ...] = ()
    style: Style | None = None
    rows: int = 0
    refreshed_at: int = 0
    behind: bool = False
    removed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def expired(self) -> bool:
        """Whether a memory of what was learned has expired since."""
        return 0 < self._first_expires <= _now()

    @property
    def _first_expires(self) -> int:
        """When the first of them expires; 0 if none does."""
        each = (one.expires for part in _ALL for one in getattr(self, part) if one.expires)
        return min(each, default=0)

    def entries(self, part: str) -> tuple[Entry, ...]:
        """Those of a part that were not removed by somebody, and have not expired.

        All of a key, the newest first.
        """
        gone = self.removed.get(part, ())
        found: tuple[Entry, ...] = getattr(self, part)
        if any(one.expires for one in found):
            now = _now()
            found = tuple(one for one in found if not 0 < one.expires <= now)
        if part == "facts":
            return tuple(one for one in found if one.memory_id not in gone)
        return tuple(one for one in found if one.key not in gone)

    def newest(self, part: Part) -> dict[str, Entry]:
        """By key, the newest entry of a part."""
        found: dict[str, Entry] = {}
        for entry in self.entries(part):
            found.setdefault(entry.key, entry)
        return found

    def with_removed(self, part: str, names: Iterable[str], *, gone: bool = True) -> Learned:
        """The same with keys (or ids of facts) removed, or not removed any more."""
        before, named = self.removed.get(part, ()), tuple(names)
        if gone:
            after = dict.fromkeys((*before, *named))
        else:
            after = dict.fromkeys(one for one in before if one not in named)
        parts = {**self.removed, part: tuple(after)}
        return replace(self, removed={name: those for name, those in parts.items() if those})

    def without_sources(self, memories: Collection[str], messages: Collection[str]) -> Learned:
        """The same without what these rows said.

        What a memory says goes with it, and with the last of the messages that it cites.
        """

        def left(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
            kept = []
            for entry in entries:
                if entry.memory_id in memories:
                    continue
                if entry.turns and messages:
                    turns = tuple(one for one in entry.turns if one not in messages)
                    if not turns:
                        continue
                    entry = replace(entry, turns=turns)
                kept.append(entry)
            return tuple(kept)

        return self._each(left)

    def without_changed(self, says: Mapping[str, Sequence[tuple[str, Any]]]) -> Learned:
        """The same without what these memories say no more.

        Args:
            says: by memory, what it says now, as (key, value).
        """

        def left(entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
            return tuple(
                entry
                for entry in entries
                if entry.memory_id not in says or (entry.key, entry.value) in says[entry.memory_id]
            )

        return self._each(left)

    def _each(self, left: Callable[[tuple[Entry, ...]], tuple[Entry, ...]]) -> Learned:
        return replace(
            self,
            preferences=left(self.preferences),
            profile=left(self.profile),
            facts=left(self.facts),
        )

    def to_text(self) -> str:
        """The same as JSON."""
        return _plain(
            {
                **{part: [one.to_list() for one in getattr(self, part)] for part in _ALL},
                "style": None if self.style is None else self.style.to_dict(),
                "rows": self.rows,
                "refreshed_at": self.refreshed_at,
                "behind": self.behind,
                "removed": {part: list(names) for part, names in self.removed.items() if names},
            }
        )


NOTHING: Final = Learned()


def learned_of(user: UserContext | None) -> Learned:
    """What a saved user's metadata has of it; nothing where it has none."""
    text = None if user is None else user.metadata.get(KEY)
    return _read(text) if isinstance(text, str) else NOTHING


def _now() -> int:
    return time.time_ns() // 1_000


@lru_cache(maxsize=1_024)
def _read(text: str) -> Learned:
    try:
        plain = json.loads(text)
        parts: Any = {part: tuple(map(Entry.from_list, plain[part])) for part in _ALL}
        style = plain["style"]
        return Learned(
            **parts,
            style=None if style is None else Style.from_dict(style),
            rows=plain["rows"],
            refreshed_at=plain["refreshed_at"],
            behind=plain["behind"],
            removed={part: tuple(names) for part, names in plain["removed"].items()},
        )
    except (ValueError, TypeError, KeyError):
        # Of another version, or somebody's own: it is learned anew from the rows.
        return Learned(behind=True)


def with_learned(user: UserContext, learned: Learned) -> UserContext:
    """A user's context as it is saved: what was set, and what was learned, as one text."""
    metadata = {**user.metadata, KEY: learned.to_text()}
    if learned == NOTHING:
        del metadata[KEY]
    return user.model_copy(update={"metadata": metadata})


def joined(user: UserContext) -> UserContext:
    """A saved user as it is given out: what was set, then what was learned.

    Its metadata says under :data:`KEY` what was learned: "preferences" and "profile" by key,
    "facts", "style", "rows" and "refreshed_at" (ISO 8601, UTC). The caller may change it.
    """
    text = user.metadata.get(KEY)
    if not isinstance(text, str):
        return user
    # The values are texts and numbers, so a copy of what holds them is enough.
    told = dict(_told(text) if not _expires(text) else _told_now(text))
    for name, of in _HOLDERS:
        if told[name] is not None:
            told[name] = of(told[name])
    # Around pydantic's own setter, which takes longer than all the rest.
    held = user.__dict__
    held["preferences"] = {**told["preferences"], **user.preferences}
    held["profile"] = {**told["profile"], **user.profile}
    if user.name is None and isinstance(told["profile"].get(NAME), str):
        held["name"] = told["profile"][NAME]
    user.metadata[KEY] = told
    return user


@lru_cache(maxsize=1_024)
def _told(text: str) -> Mapping[str, Any]:
    """What a context says of what was learned, where nothing of it expires. Callers get copies."""
    return _told_now(text)


@lru_cache(maxsize=1_024)
def _expires(text: str) -> bool:
    """Whether anything of what was learned expires."""
    learned = _read(text)
    return any(one.expires for part in _ALL for one in getattr(learned, part))


def _told_now(text: str) -> Mapping[str, Any]:
    learned = _read(text)
    return {
        **{part: {key: one.value for key, one in learned.newest(part).items()} for part in PARTS},
        "facts": [entry.value for entry in learned.entries("facts")],
        "style": None if learned.style is None else learned.style.to_dict(),
        "rows": learned.rows,
        "refreshed_at": utc(learned.refreshed_at).isoformat() if learned.refreshed_at else None,
    }


def parted(given: UserContext, saved: UserContext | None) -> UserContext:
    """A user that somebody saves, as it is to be saved: without what was learned.

    A value counts as learned where it is what the given context says was learned, or what was
    learned since, and nobody has set it before. A learned one that the given context shows, and
    that somebody took out of it, is removed.
    """
    learned, shown = learned_of(saved), given.metadata.get(KEY)
    values: dict[str, Any] = {}
    for part in PARTS:
        edited = {} if saved is None else getattr(saved, part)
        told = _shown(shown, part)
        known = {key: entry.value for key, entry in learned.newest(part).items()}
        kept = {}
        for key, value in getattr(given, part).items():
            is_told = any(key in one and _same(one[key], value) for one in (told, known))
            if key in edited or not is_told:
                kept[key] = value
        learned = learned.with_removed(
            part, [key for key in told if key not in getattr(given, part)]
        )
        learned = learned.with_removed(part, kept, gone=False)
        values[part] = kept
    names = (_shown(shown, "profile").get(NAME), _value(learned.newest("profile").get(NAME)))
    if given.name is not None and given.name in names and (saved is None or saved.name is None):
        values["name"] = None
    values["metadata"] = {key: value for key, value in given.metadata.items() if key != KEY}
    return with_learned(given.model_copy(update=values), learned)


def profile_of(user: UserContext) -> UserProfile:
    """A saved user with where each value is from."""
    learned = learned_of(user)
    parts: dict[Part, dict[str, KnownValue]] = {}
    for part in PARTS:
        edited = getattr(user, part)
        found = {key: KnownValue(key, value, "edited") for key, value in edited.items()}
        by_key: dict[str, list[Entry]] = {}
        for entry in learned.entries(part):
            by_key.setdefault(entry.key, []).append(entry)
        for key, entries in by_key.items():
            if key not in found:
                found[key] = _known_value(entries)
        parts[part] = found
    named = parts["profile"].get(NAME)
    return UserProfile(
        user_id=user.user_id,
        name=user.name
        if user.name is not None
        else (named.value if named is not None and isinstance(named.value, str) else None),
        preferences=parts["preferences"],
        profile=parts["profile"],
        facts=tuple(
            KnownFact(one.memory_id, one.value, one.turns, utc(one.at), one.confidence)
            for one in learned.entries("facts")
        ),
        style=learned.style,
        rows=learned.rows,
        refreshed_at=utc(learned.refreshed_at) if learned.refreshed_at else None,
    )


def _known_value(entries: list[Entry]) -> KnownValue:
    """Of the entries of one key, the newest first."""
    first, *rest = entries
    others: list[Any] = []
    for entry in rest:
        if not any(_same(entry.value, one) for one in (first.value, *others)):
            others.append(entry.value)
    return KnownValue(
        key=first.key,
        value=first.value,
        origin="learned",
        others=tuple(others),
        sources=tuple(dict.fromkeys(entry.memory_id for entry in entries)),
        turns=tuple(dict.fromkeys(turn for entry in entries for turn in entry.turns)),
        at=utc(first.at),
        confidence=first.confidence,
    )


def _shown(shown: Any, part: str) -> Mapping[str, Any]:
    """What a context that was given out says was learned."""
    found = shown.get(part) if isinstance(shown, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _value(entry: Entry | None) -> Any:
    return None if entry is None else entry.value


def _same(one: Any, other: Any) -> bool:
    """Equal, and of one type: 1 is not True."""
    return type(one) is type(other) and bool(one == other)
