"""What the loaders share: files, ids, roles and times, and the collecting of a data set."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.retrieval.datasets.base import Dataset, Question, Turn
from bruno_memory_vec.errors import InvalidInputError

SPLITS = ("dev", "test", "all")
_ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
}
_TIMES = (
    "%Y/%m/%d (%a) %H:%M",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d (%a)",
    "%Y/%m/%d",
    "%B-%d-%Y",
    "%b-%d-%Y",
    "%B %d, %Y",
    "%d %B %Y",
    "%d %B, %Y",
)


class NoSplitError(InvalidInputError):
    """The data set has no such part. A run over several data sets leaves it out, and says so."""

    def __init__(self, path: Path, split: str, known: str) -> None:
        super().__init__("split", f"{path} has no part {split!r}", fix=f"Use {known}.")


def whole_only(path: Path, split: str) -> None:
    """For data without parts: nothing was tuned on it, so "test" is the whole of it.

    Raises:
        NoSplitError: "dev" was asked for.
    """
    if split == "dev":
        raise NoSplitError(path, split, "test or all: the data set has no parts")


def refused(path: Path, place: str, problem: str, fix: str) -> InvalidInputError:
    """The error for malformed data: file, place in it, and what to do."""
    where = f"{path}, {place}" if place else str(path)
    return InvalidInputError("data", f"{where}: {problem}", fix=fix)


def existing(path: Path, what: str) -> Path:
    """The path.

    Raises:
        InvalidInputError: nothing is there.
    """
    if not path.exists():
        raise refused(path, "", "is not there", f"Give {what}.")
    return path


def read_json(path: Path) -> Any:
    """A JSON file as plain values.

    Raises:
        InvalidInputError: it cannot be read, or is no JSON; the message has the line.
    """
    return _parse(path, _text(path), 0)


def read_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a JSON Lines file, each with its place ("line 3"); blank lines are none.

    Raises:
        InvalidInputError: a line is no JSON object.
    """
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield (
                        f"line {number}",
                        mapping(path, f"line {number}", _parse(path, line, number)),
                    )
    except (OSError, UnicodeDecodeError) as error:
        raise refused(path, "", f"cannot be read: {error}", "Give a UTF-8 file.") from error


def read_table(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The rows of a tab-separated file, each with its place; blank lines are none.

    Raises:
        InvalidInputError: it cannot be read.
    """
    rows = csv.reader(_text(path).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, row in enumerate(rows, start=1):
        if any(cell.strip() for cell in row):
            yield f"line {number}", [cell.strip() for cell in row]


def mapping(path: Path, place: str, value: Any) -> dict[str, Any]:
    """The value.

    Raises:
        InvalidInputError: it is no JSON object.
    """
    if not isinstance(value, dict):
        raise refused(path, place, f"expected an object, got {kind_of(value)}", "Mend the data.")
    return value


def sequence(path: Path, place: str, value: Any) -> list[Any]:
    """The value; None is an empty list.

    Raises:
        InvalidInputError: it is no JSON list.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise refused(path, place, f"expected a list, got {kind_of(value)}", "Mend the data.")
    return value


def text_of(path: Path, place: str, value: Any) -> str:
    """A text as it can be stored: None is empty, half of a surrogate pair becomes "?".

    Raises:
        InvalidInputError: it is neither text nor None.
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise refused(path, place, f"expected text, got {kind_of(value)}", "Mend the data.")
    return value.encode("utf-8", "replace").decode("utf-8").strip()


def id_of(path: Path, place: str, value: Any) -> str:
    """An id as text; data sets have them as texts or as numbers.

    Raises:
        InvalidInputError: it is neither, or is empty.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value).strip():
        got = "empty text" if isinstance(value, str) else kind_of(value)
        raise refused(path, place, f"expected an id, got {got}", "Give it a text or a number.")
    return text_of(path, place, str(value))


def role_of(value: Any) -> str:
    """The role by any of its usual names; a name that is none of them is a person's: "user"."""
    return _ROLES.get(str(value).strip().lower(), "user")


def time_of(value: Any) -> datetime | None:
    """A time, UTC where it names no zone; None for what is missing or written otherwise.

    Understood are ISO 8601, "2023/05/30 (Tue) 23:40" and "March-15-2024", with some variants.
    """
    if not isinstance(value, str):
        return None
    text = value.strip()
    for written in (_iso, *(_strptime(form) for form in _TIMES)):
        try:
            found = written(text)
            return (
                found.replace(tzinfo=timezone.utc)
                if found.tzinfo is None
                else found.astimezone(timezone.utc)
            )
        except (ValueError, OverflowError):
            continue
    return None


def kind_of(value: Any) -> str:
    """What a JSON value is, in JSON's words."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text"}
    names |= {dict: "an object", list: "a list", type(None): "nothing"}
    return names.get(type(value), type(value).__name__)


class Builder:
    """Collects a data set. What cannot be used is left out and counted in ``about``.

    Args:
        path: the file or folder, for errors.
        name: the data set's name.
        lenient: gold that names no text is left out and counted; else it is refused.
    """

    def __init__(self, path: Path, name: str, *, lenient: bool = True) -> None:
        self._path = path
        self._name = name
        self._lenient = lenient
        self._turns: list[Turn] = []
        self._questions: list[Question] = []
        self._ids: dict[str, set[str]] = {}
        self._ambiguous: set[tuple[str, str]] = set()
        self.left_out: Counter[str] = Counter()

    def turn(self, place: str, turn: Turn) -> None:
        """Add a text. One without a visible character is left out.

        Raises:
            InvalidInputError: the user has another text of this id, and the data is taken strictly.
        """
        if not turn.content.strip():
            self.left_out["empty texts"] += 1
            return
        known = self._ids.setdefault(turn.user_id, set())
        if turn.id in known:
            if not self._lenient:
                raise refused(
                    self._path,
                    place,
                    f"the id {turn.id!r} stands twice for {turn.user_id!r}",
                    "Give each of a user's turns its own id.",
                )
            # What gold of this id would mean cannot be told.
            self.left_out["texts of an id that stood before"] += 1
            self._ambiguous.add((turn.user_id, turn.id))
            return
        known.add(turn.id)
        self._turns.append(turn)

    def question(self, place: str, question: Question, *, sessions: Iterable[str] = ()) -> None:
        """Add a question. One without text, or without gold that is there, is left out.

        Args:
            place: where it stands, for errors.
            question: its gold may name texts that are not there.
            sessions: the conversations that are there, where gold is given by conversation.

        Raises:
            InvalidInputError: gold names no text of the user, and the data is taken strictly.
        """
        if not question.text:
            self.left_out["questions without text"] += 1
            return
        there = set(sessions)
        gold_sessions = tuple(one for one in question.gold_sessions if one in there)
        self.left_out["unknown gold sessions"] += len(question.gold_sessions) - len(gold_sessions)
        kept = Question(
            id=question.id,
            user_id=question.user_id,
            text=question.text,
            category=question.category,
            gold=self._known(place, "gold", question.user_id, question.gold),
            group=question.group,
            gold_sessions=gold_sessions,
            older=self._known(place, "older", question.user_id, question.older),
            second_gold=self._known(place, "second gold", question.user_id, question.second_gold),
            asked_at=question.asked_at,
        )
        if kept.gold or kept.gold_sessions:
            self._questions.append(kept)
        else:
            self.left_out["questions without gold"] += 1

    def build(
        self,
        *,
        headline: Iterable[str] | None = None,
        apart: Iterable[str] = (),
        about: Mapping[str, str] | None = None,
    ) -> Dataset:
        """The data set. Without `headline`, all categories but those apart.

        Raises:
            InvalidInputError: it has no text, or no question with gold.
        """
        for what, found in (("text", self._turns), ("question with gold", self._questions)):
            if not found:
                raise refused(self._path, "", f"has no {what}", "Check the path and the file.")
        present = frozenset(question.category for question in self._questions)
        aside = present & frozenset(apart)
        left_out = {f"left out: {what}": str(n) for what, n in self.left_out.items() if n}
        return Dataset(
            name=self._name,
            turns=tuple(self._turns),
            questions=tuple(self._questions),
            headline=present - aside if headline is None else present & frozenset(headline),
            apart=aside,
            about={**(about or {}), **left_out},
        )

    def _known(self, place: str, what: str, user: str, ids: Iterable[str]) -> tuple[str, ...]:
        wanted = tuple(dict.fromkeys(ids))
        there = self._ids.get(user, set())
        found = tuple(i for i in wanted if i in there and (user, i) not in self._ambiguous)
        if len(found) < len(wanted):
            if not self._lenient:
                missing = next(i for i in wanted if i not in found)
                raise refused(
                    self._path,
                    place,
                    f"{what} names {missing!r}, which is no turn of {user!r}",
                    "Name ids of that user's turns.",
                )
            self.left_out[f"unknown {what} ids"] += len(wanted) - len(found)
        return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise refused(path, "", f"cannot be read: {error}", "Give a UTF-8 file.") from error


def _parse(path: Path, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        at = line or getattr(error, "lineno", 0)
        problem = getattr(error, "msg", str(error))
        raise refused(path, f"line {at}", f"is no JSON: {problem}", "Mend the file.") from error


def _iso(text: str) -> datetime:
    # Python 3.10 knows no "Z".
    return datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "Zz" else text)


def _strptime(form: str) -> Callable[[str], datetime]:
    return lambda text: datetime.strptime(text, form)  # noqa: DTZ007 - the caller sets UTC
