"""A run's file: its form, how it is written, and whether it is still good.

``docs/benchmarks.md`` describes the form. Questions are kept as columns, with the ranks of their
gold in place of figures, so that a file of two thousand questions stays under a hundred kilobytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.environment import describe
from benchmarks.retrieval.datasets.base import Dataset
from bruno_memory_vec.errors import InvalidInputError

FORMAT = 1
_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("bruno_memory_vec", "indexers", "rankers", "benchmarks")
_NO_CODE = {"__pycache__", "results", "samples"}
# A list without text and without lists, over several lines.
_SHORT_LIST = re.compile(r"\[[^\[\]{}\"]*\n[^\[\]{}\"]*\]")
_ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:[^\s/=]+/)*([^\s/=]+)/?")


@dataclass(frozen=True, slots=True)
class Questions:
    """What was asked, and where the gold was found; one entry a question in each.

    Attributes:
        ids: of the questions.
        categories: their kinds.
        groups: the units of the bootstrap.
        gold: ranks of the gold by turn; none where gold is given by session only.
        sessions: ranks of the gold by session; none where gold is given by turn only.
        older: ranks of the turns that no longer hold; none where there are none.
    """

    ids: Sequence[str]
    categories: Sequence[str]
    groups: Sequence[str]
    gold: Sequence[Sequence[int]]
    sessions: Sequence[Sequence[int]]
    older: Sequence[Sequence[int]]

    def to_json(self) -> dict[str, Any]:
        """Columns; categories and groups as places in a list of names."""
        columns: dict[str, Any] = {"ids": list(self.ids)}
        for name, values in (("category", self.categories), ("group", self.groups)):
            names = list(dict.fromkeys(values))
            places = {one: place for place, one in enumerate(names)}
            columns[f"{name}_names"] = names
            columns[name] = [places[value] for value in values]
        for name in ("gold", "sessions", "older"):
            if any(ranks := getattr(self, name)):
                columns[name] = [list(found) for found in ranks]
        return columns

    @classmethod
    def from_json(cls, columns: Any) -> Questions:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, IndexError, ValueError: the columns are not of this form.
        """
        ids = [str(one) for one in columns["ids"]]
        named = [
            [columns[f"{name}_names"][place] for place in columns[name]]
            for name in ("category", "group")
        ]
        none: list[list[int]] = [[] for _ in ids]
        ranks = [
            [[int(rank) for rank in found] for found in columns.get(name, none)]
            for name in ("gold", "sessions", "older")
        ]
        if any(len(column) != len(ids) for column in (*named, *ranks)):
            raise ValueError("its columns differ in length")
        return cls(ids, *named, *ranks)


def origin() -> dict[str, Any]:
    """What is the same for all runs of one command: commit, code, versions, machine.

    ``code`` is a hash of the files that decide the figures, since a commit says nothing of what
    was changed after it. Folders outside the project are cut to their last part.
    """
    about = describe()
    about["os"] = about.pop("system")  # in a report, the system is what was measured
    about["command"] = _ABSOLUTE.sub(r"…/\1", about["command"])
    return {"format": FORMAT, **about, "code": _code()}


def digest(data: Dataset) -> str:
    """A hash of every text and question with its gold: whether two runs asked the same."""
    found = hashlib.sha256()
    for item in (*data.turns, *data.questions):
        found.update(repr(item).encode("utf-8"))
    return found.hexdigest()[:12]


def same_run(report: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a report answers what a new run would: same form, code, data and settings."""
    keys = ("format", "commit", "code", "system", "settings")
    return all(report.get(key) == _plain(wanted.get(key)) for key in keys) and (
        report.get("data", {}).get("digest") == wanted["data"]["digest"]
    )


def file_name(data: str, split: str, system: str, embedder: str | None) -> str:
    """``locomo-dev-balanced-static-minilm-l6.json``."""
    parts = [data, split, system, *([embedder] if embedder else [])]
    return "-".join(re.sub(r"[^\w.]+", "-", part).strip("-") for part in parts) + ".json"


def dumps(report: dict[str, Any]) -> str:
    """JSON with an indent, but lists of numbers and the questions' columns on one line each."""
    plain = {key: value for key, value in report.items() if key != "questions"}
    text = json.dumps(plain, indent=2, ensure_ascii=False)
    text = _SHORT_LIST.sub(lambda found: "[" + " ".join(found[0].strip("[]").split()) + "]", text)
    if "questions" not in report:
        return text + "\n"
    columns = ",\n".join(
        f"    {json.dumps(name)}: {json.dumps(values, separators=(',', ':'), ensure_ascii=False)}"
        for name, values in report["questions"].items()
    )
    return text.removesuffix("\n}") + ',\n  "questions": {\n' + columns + "\n  }\n}\n"


def write(report: dict[str, Any], path: Path) -> None:
    """Write a report, whole or not at all: a run that was broken off leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    draft.write_text(dumps(report), encoding="utf-8")
    draft.replace(path)


def read(path: Path) -> dict[str, Any]:
    """A report from its file.

    Raises:
        InvalidInputError: there is none, or it is of another form.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            "report", f"{path} cannot be read: {error}", fix="Give a file of benchmarks.retrieval."
        ) from error
    if not isinstance(report, dict) or report.get("format") != FORMAT:
        raise InvalidInputError(
            "report",
            f"{path} is not of the form {FORMAT}",
            fix="Measure again with benchmarks.retrieval --out.",
        )
    return report


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _code() -> str:
    found = hashlib.sha256()
    for folder in _CODE:
        for path in sorted((_ROOT / folder).rglob("*")):
            parts = path.relative_to(_ROOT).parts
            if path.is_file() and not _NO_CODE.intersection(parts) and path.suffix != ".pyc":
                found.update("/".join(parts).encode("utf-8") + b"\0")
                found.update(path.read_bytes())
    return found.hexdigest()[:12]
