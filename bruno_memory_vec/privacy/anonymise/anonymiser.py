"""Replaces what tells who somebody is, in rows, sessions and profiles, the same everywhere."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from bruno_core.models.context import SessionContext, UserContext

from bruno_memory_vec.access import SPACE
from bruno_memory_vec.conversations.groups import GROUP, MEMBERS_OF, groups_of
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.privacy.anonymise.dates import dates, moved
from bruno_memory_vec.privacy.anonymise.invented import SECRET_BYTES, Pseudonyms
from bruno_memory_vec.privacy.anonymise.names import (
    given,
    introduced,
    is_ordinary,
    known,
    not_names,
    surnames_in,
    words_of,
)
from bruno_memory_vec.privacy.anonymise.numbers import PhoneBook, numbers, phones
from bruno_memory_vec.privacy.anonymise.places import places
from bruno_memory_vec.privacy.anonymise.presidio import Finder, presidio
from bruno_memory_vec.privacy.anonymise.report import AnonymiseReport, Tally
from bruno_memory_vec.privacy.anonymise.span import KINDS, Kind, Span, apart
from bruno_memory_vec.rows import tagged_json
from bruno_memory_vec.rows.metadata_pairs import pairs_of
from bruno_memory_vec.rows.models import Row, count_words, cues, utc
from bruno_memory_vec.sessions.protocol import ConversationNote

_TIMES: Final = (
    "created_at",
    "updated_at",
    "last_accessed",
    "expires_at",
    "pinned_at",
    "archived_at",
)
#: Keys of metadata and profiles whose value is of one kind, whatever it looks like.
_KEYED: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        "name full_name fullname first_name firstname last_name lastname surname family_name "
        "given_name nickname display_name displayname user_name username sender sender_name author "
        "author_name from to recipient recipients speaker participant participants contact person "
        "nick owner assignee created_by signed_by spouse wife husband partner mother father son "
        "daughter friend boss manager colleague doctor".split(),
        "person",
    ),
    **dict.fromkeys("email mail e_mail email_address".split(), "email"),
    **dict.fromkeys("phone phone_number tel telephone mobile cell fax whatsapp".split(), "phone"),
    **dict.fromkeys(
        "address street street_address postal_address home_address zip zip_code postcode "
        "postal_code".split(),
        "address",
    ),
    **dict.fromkeys("iban".split(), "iban"),
    **dict.fromkeys("card card_number credit_card".split(), "card"),
    **dict.fromkeys(
        "ssn passport passport_number national_id tax_id social_security_number".split(),
        "national_id",
    ),
    **dict.fromkeys(
        "account account_id account_number customer_id order_id client_id member_id employee_id "
        "patient_id".split(),
        "account",
    ),
    **dict.fromkeys("ip ip_address client_ip remote_addr".split(), "ip"),
    **dict.fromkeys("password secret token api_key access_token auth cookie".split(), "secret"),
    **dict.fromkeys("handle screen_name login".split(), "handle"),
}
_USER_KEYS: Final = frozenset("user_id user userid uid owner_id author_id sender_id".split())
_CONVERSATION_KEYS: Final = frozenset(
    "conversation_id conversation thread_id session_id chat_id channel_id".split()
)
_OF_USERS: Final = re.compile(r"(?:^|_)(?:user|owner|author|member|creator|sender)(?:_?id)?$")
# Of adapters: they are in every store of one kind.
_NOBODYS_IDS: Final = frozenset(["buddy:nobody", "buddy:tables"])
_HASH_KEYS: Final = frozenset(
    "digest hash checksum sha1 sha256 md5 fingerprint content_hash signature etag".split()
)
_TIME_KEYS: Final = re.compile(
    r"(?:^|_)(?:ts|time|timestamp|date|at|when|created|updated|epoch|expires|birthday|born)(?:$|_)",
    re.I,
)
_HEX: Final = re.compile(r"\b(?:[0-9a-f]{32,128}|[0-9A-F]{32,128})\b")
# Seconds since 1970 of the years 1990 to 2100: other numbers are no times.
_FIRST_SECOND, _LAST_SECOND = 631_152_000, 4_102_444_800
_SECONDS_A_DAY: Final = 86_400
_SPEAKS_OFTEN: Final = 3
_OFTEN_SMALL: Final = 3
# No parts of addresses.
_WRITTEN: Final = re.compile(r"(?<![\w@./:=-])[^\W\d_]{3,}(?![\w@/=-])")


class Anonymiser:
    """Replaces names, addresses and numbers, the same in all it is given, by a secret of its own.

    First it is told of everything (:meth:`learn_row`, :meth:`learn_user`), since a name may be said
    in one text that another text introduces. Then it replaces. Texts of a user all have their dates
    moved by the same number of weeks.

    Args:
        secret: 32 bytes or more. Default: random, so two exports cannot be linked. Who gives the
            same one twice gets the same replacements, and so can link them.
        names: more names of people to replace, such as those of colleagues.
        keep: kinds to leave as they are (:data:`~.span.KINDS`).
        region: of phone numbers without a country code, two letters; used where the package
            phonenumbers is installed.
        day_first: that ``5/3/2024`` is the fifth of March.
        presidio_model: ask Microsoft Presidio as well, with this spaCy model.
        presidio_language: that of the model.

    Raises:
        InvalidInputError: a setting is not usable.
        MissingDependencyError: Presidio is asked for and not installed.
    """

    def __init__(
        self,
        secret: bytes | None = None,
        *,
        names: Iterable[str] = (),
        keep: Collection[Kind] = (),
        region: str | None = None,
        day_first: bool = False,
        presidio_model: str | None = None,
        presidio_language: str = "en",
    ) -> None:
        if secret is not None and (not isinstance(secret, bytes) or len(secret) < SECRET_BYTES):
            raise InvalidInputError(
                "secret", "is not 32 bytes or more", fix="Give secrets.token_bytes(32), or nothing."
            )
        if isinstance(names, str) or isinstance(keep, str):
            raise InvalidInputError(
                "names", "is one text", fix="Give lists: names=[...], keep=[...]."
            )
        unknown = set(keep) - set(KINDS)
        if unknown:
            raise InvalidInputError(
                "keep",
                f"{sorted(unknown)[0]!r} is no kind",
                fix=f"Give some of {', '.join(KINDS)}.",
            )
        if region is not None and not re.fullmatch(r"[A-Za-z]{2}", region):
            raise InvalidInputError(
                "region", f"{region!r} is no region", fix='Give two letters, such as "DE".'
            )
        self._keep = frozenset(keep)
        self._region = region.upper() if region else None
        self._phones = PhoneBook()
        self._day_first = day_first
        self._finder: Finder | None = None
        if presidio_model is not None:
            self._finder = presidio(presidio_model, presidio_language)
        # Words of names in lower case: whether each counts without a capital, too.
        self._names: dict[str, bool] = {}
        # Those that somebody has given as names: of profiles, ids, senders.
        self._sure: set[str] = set()
        # By the id under which it is noted in which groups somebody is, who.
        self._in_groups: dict[str, str] = {}
        self._speakers: Counter[str] = Counter()
        # How often words were seen small and with a capital, and behind a given name.
        self._small: Counter[str] = Counter()
        self._capital: Counter[str] = Counter()
        self._behind: Counter[str] = Counter()
        self._settled: tuple[dict[str, bool], set[str]] | None = None
        self._ids: dict[str, tuple[str, str]] = {}
        self._pseudonyms = Pseudonyms(secret or secrets.token_bytes(SECRET_BYTES), self._names)
        self._tally = Tally()
        self._mapping: dict[str, dict[str, str]] = {}
        for name in names:
            self._learn_name(name, sure=True)

    # What it learns

    def learn_row(self, row: Mapping[str, Any]) -> None:
        """Learn the names that a row gives: its user's, its sender's, those its texts introduce."""
        self._learn_user_id(row["user_id"])
        if row["conversation_id"] is not None:
            self._ids.setdefault(row["conversation_id"], ("conversation", row["conversation_id"]))
        speaker = row.get("speaker")
        if speaker and _like_name(speaker):
            # Once it may be a heading of the text, such as "Ingredients: ...".
            self._speakers[speaker] += 1
            if self._speakers[speaker] == _SPEAKS_OFTEN:
                self._learn_name(speaker, sure=False)
        self.learn_text(row["content"])
        if row["metadata"] != "{}":
            self._learn_value(tagged_json.loads(row["metadata"]), "")

    def learn_user(self, user: UserContext) -> None:
        """Learn the names that a profile gives."""
        self._learn_user_id(user.user_id)
        if user.name:
            self._learn_name(user.name, sure=True)
        kept = {key: value for key, value in user.metadata.items() if "learned" not in key}
        for part in (user.preferences, user.profile, kept):
            self._learn_value(part, "")

    def learn_title(self, title: str | None) -> None:
        """Learn the names that a conversation's title introduces."""
        if title:
            self.learn_text(title)

    # What it replaces

    def text(self, text: str, user_id: str = "", written: datetime | None = None) -> str:
        """A text in which what tells who somebody is was replaced.

        Args:
            text: where.
            user_id: whose; by it dates are moved.
            written: when, for dates without a year.
        """
        if not text:
            return text
        parts: list[str] = []
        end = 0
        days = self._days(user_id)
        for start, stop, kind, said in self._found(text, written, days):
            parts += (text[end:start], said)
            end = stop
            self._tally.places[kind] += 1
        return "".join((*parts, text[end:]))

    def find(self, text: str, written: datetime | None = None) -> list[Span]:
        """Where in a text something stands that would be replaced, in the order of the text."""
        return apart(self._spans(text, written))

    def row(self, row: Row) -> Row:
        """A row, with times in microseconds, anonymised. Its vector has to be made anew."""
        user, days = row["user_id"], self._days(row["user_id"])
        written = utc(row["created_at"])
        before = sum(self._tally.places.values())
        content = self.text(row["content"], user, written)
        held = tagged_json.loads(row["metadata"])
        metadata = self._value(held, "", user, written)
        extra = tagged_json.loads(row["extra"]) if row["extra"] else {}
        # A caller's own vector was made of the original, and a UTC offset tells where somebody is.
        extra.pop("embedding", None)
        extra.pop("zones", None)
        if "related" in extra:
            extra["related"] = [self.id(one) for one in extra["related"]]
        made = {
            **row,
            "id": self.id(row["id"]),
            "user_id": self.user_id(user),
            "conversation_id": self.conversation_id(row["conversation_id"]),
            "parent_id": None if row["parent_id"] is None else self.id(row["parent_id"]),
            "content": content,
            "words": count_words(content),
            **cues(content, metadata),
            "metadata": tagged_json.dumps(metadata),
            "metadata_pairs": pairs_of(metadata),
            "extra": _extra(row["kind"], extra),
            "source": self._short(row["source"], user, written),
            "category": self._short(row["category"], user, written),
            "tags": [self._short(tag, user, written) for tag in row["tags"]],
            **{
                name: None if row[name] is None else row[name] - _in_micros(days) for name in _TIMES
            },
        }
        self._tally.rows += 1
        self._tally.changed += sum(self._tally.places.values()) > before
        return made

    def user(self, user: UserContext) -> UserContext:
        """A profile, anonymised, without what was learned of the user: the rows say it again."""
        at = _aware(user.last_active)
        return user.model_copy(
            update={
                "user_id": self.user_id(user.user_id),
                "name": None if user.name is None else self._person(user.name),
                "preferences": self._value(user.preferences, "", user.user_id, at),
                "profile": self._value(user.profile, "", user.user_id, at),
                "metadata": self._value(
                    {key: value for key, value in user.metadata.items() if "learned" not in key},
                    "",
                    user.user_id,
                    at,
                ),
                "created_at": self._moved(user.created_at, user.user_id),
                "last_active": self._moved(user.last_active, user.user_id),
            }
        )

    def session(self, session: SessionContext) -> SessionContext:
        """A session, anonymised."""
        user = session.user_id
        at = _aware(session.started_at)
        changed: dict[str, Any] = {
            "session_id": self._id("session", session.session_id),
            "user_id": self.user_id(user),
            "conversation_id": self.conversation_id(session.conversation_id),
        }
        for name, value in session:
            if isinstance(value, datetime):
                changed[name] = self._moved(value, user)
            elif isinstance(value, (dict, list)):
                changed[name] = self._value(value, "", user, at)
        return session.model_copy(update=changed)

    def note(self, note: ConversationNote) -> ConversationNote:
        """What is kept of a conversation as a whole, with its title, anonymised."""
        user = note.user_id
        moved_times = {
            name: None if getattr(note, name) is None else self._moved(getattr(note, name), user)
            for name in ("created_at", "ended_at", "archived_at")
        }
        return replace(
            note,
            conversation_id=self.conversation_id(note.conversation_id) or "",
            user_id=self.user_id(user),
            title=None if note.title is None else self._short(note.title, user, note.created_at),
            parent_id=self.conversation_id(note.parent_id),
            **moved_times,  # type: ignore[arg-type]  # created_at is never None
        )

    def moment(self, at: datetime, user_id: str) -> datetime:
        """A time of a user, moved as all of that user's are."""
        return self._moved(at, user_id)

    def user_id(self, user_id: str) -> str:
        """What stands for a user's id. That of a shared space or a group stays one of these."""
        if user_id.startswith(MEMBERS_OF):
            return MEMBERS_OF + self.user_id(user_id.removeprefix(MEMBERS_OF))
        member = self._in_groups.get(user_id)
        if member is not None:
            return groups_of(self.user_id(member))
        if user_id.startswith(GROUP):
            return GROUP + self.id(user_id.removeprefix(GROUP))
        if user_id.startswith(SPACE):
            return SPACE + self._id("space", user_id)
        if user_id in _NOBODYS_IDS:
            return user_id
        self._tally.users.add(user_id)
        return self._id("user", user_id)

    def conversation_id(self, conversation_id: str | None) -> str | None:
        """What stands for the id of a conversation."""
        if conversation_id is None:
            return None
        if _is_uuid(conversation_id):
            return self.id(conversation_id)
        return self._id("conversation", conversation_id)

    def id(self, uuid: str) -> str:
        """What stands for a UUID."""
        return self._id("uuid", uuid.lower())

    # What it tells

    @property
    def report(self) -> AnonymiseReport:
        """What was replaced so far: counts, no originals."""
        different = Counter({kind: len(those) for kind, those in self._mapping.items()})
        return self._tally.report(different, len(self._names))

    def write_mapping(self, path: str | Path) -> None:
        """Write which original became what, as JSON, for its owner alone to read (mode 0600).

        Who has this file can undo the replacement. The file must not exist yet.

        Raises:
            InvalidInputError: there is something, or it cannot be written.
        """
        file = Path(path)
        try:
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise _no_mapping(file, error.strerror or str(error)) from error
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(self._mapping, out, ensure_ascii=False, indent=1, sort_keys=True)
            out.write("\n")
            out.flush()
            os.fsync(out.fileno())

    # What is inside

    def _found(
        self, text: str, written: datetime | None, days: int
    ) -> Iterator[tuple[int, int, str, str]]:
        moved_dates = {
            (one.start, one.end): one.write(moved(one.day, days))
            for one in self._dates(text, written)
        }
        for span in apart(self._spans(text, written)):
            original = text[span.start : span.end]
            if span.kind == "date":
                yield span.start, span.end, "date", moved_dates[span.start, span.end]
            else:
                yield span.start, span.end, span.kind, self._instead(span, original)

    def _spans(self, text: str, written: datetime | None) -> Iterator[Span]:
        for span in self._all_spans(text, written):
            if span.kind not in self._keep:
                yield span

    def _all_spans(self, text: str, written: datetime | None) -> Iterator[Span]:
        yield from self._known_ids(text)
        yield from numbers(text, self._region)
        for one in self._dates(text, written):
            yield Span(one.start, one.end, "date", "")
        yield from places(text)
        yield from self._phones.find(text)
        yield from phones(text, self._region)
        yield from self._introduced(text)
        yield from self._known(text)
        if self._finder is not None:
            yield from self._finder(text)

    def _dates(self, text: str, written: datetime | None) -> Iterator[Any]:
        taken: set[int] = set()
        for one in dates(text, written, day_first=self._day_first):
            place = range(one.start, one.end)
            if taken.isdisjoint(place):
                taken.update(place)
                yield one

    def _known(self, text: str) -> Iterator[Span]:
        if self._settled is None:
            names = {name: loose for name, loose in self._names.items() if not self._ordinary(name)}
            surnames = {
                name
                for name, often in self._behind.items()
                # A word that stands elsewhere much oftener stood behind a name by chance.
                if often > 1 and often * 4 >= self._capital[name] and not self._ordinary(name)
            }
            self._settled = names, surnames
        return known(text, *self._settled, self._ordinary)

    def _ordinary(self, word: str) -> bool:
        """Whether a word is written small here so often that it is none of a person's name."""
        if word in self._sure:
            return False
        small = self._small.get(word, 0)
        return small >= _OFTEN_SMALL and small * 4 > self._capital.get(word, 0)

    def _introduced(self, text: str) -> Iterator[Span]:
        for span in introduced(text):
            if self._names.get(span.original) or not self._ordinary(span.original):
                yield span

    def _known_ids(self, text: str) -> Iterator[Span]:
        """The ids of users and conversations of the store, where they are no ordinary words."""
        if not self._ids:
            return
        for match in _TOKEN.finditer(text):
            known_as = self._ids.get(match.group())
            if known_as is not None and known_as[0] == "user":
                yield Span(*match.span(), "handle", "id:" + match.group())
        for match in _HEX.finditer(text):
            yield Span(*match.span(), "secret", "hash:" + match.group().lower())

    def _instead(self, span: Span, original: str) -> str:
        kind = span.kind
        if span.original.startswith("id:"):
            made = self.user_id(original)
        elif span.original.startswith("hash:"):
            made = self._pseudonyms.of("hash", span.original)[: len(original)]
        elif kind == "person":
            return self._person(original)
        elif kind == "uuid":
            made = self._id("uuid", span.original)
        elif kind == "ip":
            made = self._pseudonyms.of("ipv6" if ":" in span.original else "ip", span.original)
        else:
            made = self._pseudonyms.of(kind, span.original)
        self._mapping.setdefault(kind, {})[original] = made
        return made

    def _person(self, name: str) -> str:
        """Each word of a name by its own invented one, so that parts of a name stay parts of it."""
        words = words_of(name)
        if not words:
            return name
        made = []
        for word in words:
            base = self._base(word)
            invented = self._pseudonyms.of("person", base)
            self._mapping.setdefault("person", {})[base] = invented
            made.append(invented)
        said = " ".join(made)
        if name.isupper() and len(name) > 2 and name.upper() != name.lower():
            return said.upper()
        return said.lower() if name.islower() and name != name.upper() else said

    def _base(self, word: str) -> str:
        """A name without the ending that a sentence gave it, where it is known without."""
        if word in self._names or word in given():
            return word
        for length in (1, 2, 3):
            stem = word[:-length]
            if len(stem) < 3:
                break
            for base in (stem, stem + "a", stem + "а", stem + "я"):
                if base in self._names:
                    return base
        return word

    def _id(self, kind: str, original: str) -> str:
        made = self._pseudonyms.of(kind, original)
        self._mapping.setdefault(kind, {})[original] = made
        return made

    def _short(self, text: str | None, user_id: str, written: datetime | None) -> Any:
        """A label, in which a name may stand alone and without a capital."""
        if text is None:
            return None
        said = self.text(text, user_id, written)
        if said == text and text.lower() in self._names:
            self._tally.places["person"] += 1
            return self._person(text)
        return said

    def _value(self, value: Any, key: str, user_id: str, written: datetime | None) -> Any:
        """A value of metadata or a profile, by its key and by what it is."""
        low = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower().replace("-", "_").replace(" ", "_")
        if isinstance(value, str):
            return self._text_value(value, low, user_id, written)
        if isinstance(value, dict):
            return {
                self._short(name, user_id, written) if isinstance(name, str) else name: self._value(
                    inner, name if isinstance(name, str) else "", user_id, written
                )
                for name, inner in value.items()
            }
        if isinstance(value, (list, tuple, set, frozenset)):
            return type(value)(self._value(inner, key, user_id, written) for inner in value)
        if isinstance(value, UUID):
            return UUID(self.id(str(value)))
        if isinstance(value, datetime):
            return self._moved(value, user_id)
        if isinstance(value, date):
            return moved(value, self._days(user_id))
        if isinstance(value, bool):
            return value
        if isinstance(value, (int, float)):
            return self._number(value, low, user_id)
        if isinstance(value, bytes):
            # Nobody can tell what it holds.
            return self._pseudonyms.digest("bytes", value.hex())
        return value

    def _text_value(self, text: str, key: str, user_id: str, written: datetime | None) -> str:
        if not text.strip():
            return text
        if key in _USER_KEYS or text.startswith(SPACE):
            return self.user_id(text)
        if text in self._ids and (_OF_USERS.search(key) or self._ids[text][0] == "conversation"):
            if self._ids[text][0] == "conversation":
                return self.conversation_id(text) or text
            return self.user_id(text)
        if key in _CONVERSATION_KEYS:
            return self.conversation_id(text) or text
        if key in _HASH_KEYS:
            return self._pseudonyms.of("hash", text)[: max(len(text), 16)]
        kind = _KEYED.get(key)
        said = self.text(text, user_id, written)
        if kind is None or kind in self._keep:
            if said == text and text.lower() in self._names:
                return str(self._short(text, user_id, written))
            return said
        if said != text and kind != "person":
            return said
        self._tally.places[kind] += 1
        if kind == "person":
            return self._person(text) if _like_name(text) else said
        return self._instead(Span(0, len(text), kind, text), text)

    def _number(self, value: float, key: str, user_id: str) -> float:
        if _KEYED.get(key) in ("phone", "card", "account", "national_id") or key in _USER_KEYS:
            seed = self._pseudonyms.digest("number", str(value))
            digits = len(str(abs(int(value))))
            made: int = int.from_bytes(seed[:8], "big") % 10**digits
            return made
        if not _TIME_KEYS.search(key):
            return value
        for unit in (1, 1_000, 1_000_000):
            if _FIRST_SECOND * unit <= value <= _LAST_SECOND * unit:
                return value - self._days(user_id) * _SECONDS_A_DAY * unit
        return value

    def _days(self, user_id: str) -> int:
        """By how many days this user's dates move; of what is noted of a group, the group's."""
        return self._pseudonyms.weeks(user_id.removeprefix(MEMBERS_OF))

    def _moved(self, at: datetime, user_id: str) -> datetime:
        days = self._days(user_id)
        with suppress(OverflowError):
            return at - timedelta(days=days)
        return datetime.min.replace(tzinfo=at.tzinfo)

    def _learn_user_id(self, user_id: str) -> None:
        self._in_groups.setdefault(groups_of(user_id), user_id)
        if user_id.startswith(SPACE) or user_id in _NOBODYS_IDS:
            return
        if user_id in self._ids:
            return
        alone = user_id.isalpha()
        if not alone and len(user_id) > 3 and not user_id.isdigit():
            self._ids[user_id] = ("user", user_id)
        else:
            self._ids[user_id] = ("name", user_id)
        name = user_id.partition("@")[0]
        parts = re.findall(r"[^\W\d_]+", name)
        for part in parts:
            # "ana", "ana.silva", but not "user-17" or "support".
            if len(part) > 2 and part.lower() not in not_names() | _IDS:
                self._learn_name(part, sure=len(parts) == 1 or part.lower() in given())

    def learn_text(self, text: str) -> None:
        """Learn the names that a text introduces, and its phone numbers."""
        self._settled = None
        self._phones.learn(text, self._region)
        for span in introduced(text):
            self._learn_name(text[span.start : span.end], sure=False)
        for match in _WRITTEN.finditer(text):
            said = match.group()
            (self._small if said.islower() else self._capital)[said.lower()] += 1
        for surname in surnames_in(text, self._names):
            self._behind[surname] += 1
        for match in _TWO_NAMES.finditer(text):
            for part in (match.group(1), match.group(2)):
                if part.lower() not in not_names() and part.lower() not in _IDS:
                    self._names.setdefault(part.lower(), False)

    def _learn_name(self, name: str, *, sure: bool) -> None:
        for word in words_of(name):
            if word in not_names() or len(word) < 2 or any(map(str.isdigit, word)):
                continue
            if sure:
                self._sure.add(word)
            loose = not is_ordinary(word) and (sure or word in given())
            self._names[word] = self._names.get(word, False) or loose
        self._settled = None

    def _learn_value(self, value: Any, key: str) -> None:
        if isinstance(value, str) and key in _USER_KEYS:
            self._learn_user_id(value)
        elif isinstance(value, str):
            low = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower()
            if _KEYED.get(low) == "person" and _like_name(value):
                self._learn_name(value, sure=True)
            else:
                self.learn_text(value)
        elif isinstance(value, dict):
            for name, inner in value.items():
                self._learn_value(inner, name if isinstance(name, str) else "")
        elif isinstance(value, (list, tuple, set, frozenset)):
            for inner in value:
                self._learn_value(inner, key)


def asked_for(anonymise: Anonymiser | bool, **unfit: bool) -> Anonymiser:
    """The anonymiser that a caller asks for: its own, or one with a random secret.

    Args:
        anonymise: what was given.
        unfit: by name, other arguments that were given, and do not go together with it.

    Raises:
        InvalidInputError: one of these was given, or something else than an anonymiser.
    """
    for name, given_too in unfit.items():
        if given_too:
            raise InvalidInputError(
                name, "does not go together with anonymise", fix="Leave one of the two out."
            )
    if isinstance(anonymise, Anonymiser):
        return anonymise
    if anonymise is not True:
        raise InvalidInputError(
            "anonymise",
            f"is a {type(anonymise).__name__}",
            fix="Give True, or an Anonymiser.",
        )
    return Anonymiser()


def check_mapping(path: str | Path) -> None:
    """Refuse a place where :meth:`Anonymiser.write_mapping` could not write.

    Raises:
        InvalidInputError: there is something, or no folder.
    """
    file = Path(path)
    if os.path.lexists(file):
        raise _no_mapping(file, "it is there already")
    if not os.access(file.absolute().parent, os.W_OK):
        raise _no_mapping(file, "its folder is not there, or cannot be written")


def _no_mapping(file: Path, problem: str) -> InvalidInputError:
    return InvalidInputError(
        "mapping",
        f"{file} cannot be made: {problem}",
        fix="Name a file that does not exist, in a folder that does.",
    )


_TOKEN: Final = re.compile(r"(?<![\w@.-])[\w@.+-]*\w")
_TWO_NAMES: Final = re.compile(r"\b([^\W\d_]{3,})[._]([^\W\d_]{3,})\d{0,4}@")
# What ids are called, and mail boxes that are nobody's.
_IDS: Final = frozenset(
    "user users default test tester demo guest client customer member account admin root anonymous "
    "person people bot agent team mail email noreply reply contact office support service billing "
    "sales newsletter hello local".split()
)


def _like_name(text: str) -> bool:
    words = text.split()
    return (
        0 < len(words) <= 5
        and len(text) <= 80
        and not any(map(str.isdigit, text))
        and "@" not in text
        and not (len(words) == 1 and text.lower() in not_names())
    )


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _in_micros(days: int) -> int:
    return days * _SECONDS_A_DAY * 1_000_000


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=timezone.utc)


def _extra(kind: str, extra: dict[str, Any]) -> str | None:
    if not extra:
        return None
    if kind == MESSAGE:
        return json.dumps(extra, separators=(",", ":"))
    return tagged_json.dumps(extra)
