"""Markdown, for people: one file, or a folder with one for each conversation.

What was said stands in quotations, line by line, so that no text is taken for a heading of the
file, or for somebody else's words.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numpy as np
from numpy.typing import NDArray

from bruno_memory_vec.indexers.schema import MESSAGE
from bruno_memory_vec.portability.exported import PROFILE, stored_text
from bruno_memory_vec.portability.writers.writer import About, Files, Folder
from bruno_memory_vec.rows.models import Row, utc

_SUFFIXES = (".md", ".markdown")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 40
# Characters by which a title would be more than the text of its line.
_MARKUP = re.compile(r"([\\`*_\[\]<>#|])")


class MarkdownWriter:
    """A ``Writer`` of Markdown. It is given conversation after conversation, then memories."""

    vectors: ClassVar[bool] = False
    by_conversation: ClassVar[bool] = True
    has_sessions: ClassVar[bool] = False

    def __init__(self, path: Path, about: About, *, overwrite: bool) -> None:
        self._about = about
        self._folder: Folder | None = None
        self._files = Files(overwrite=overwrite)
        self._file: BinaryIO | None = None
        self._section: tuple[str, ...] | None = None
        self._index: list[tuple[str, str]] = []
        if path.suffix.lower() in _SUFFIXES and not path.is_dir():
            self._file = self._files.open(path)
            self._line(f"# Memory, as of {about.exported_at}", "")
        else:
            self._folder = Folder(path)

    def rows(self, rows: Sequence[Row], vectors: NDArray[np.float32] | None) -> None:
        for row in rows:
            said = row["kind"] == MESSAGE
            section = (row["user_id"], row["conversation_id"]) if said else (row["user_id"],)
            if section != self._section:
                self._begin(section, row)
            when = f"{utc(row['created_at']):%Y-%m-%d %H:%M:%S}"
            who = str(row["role"] if said else row["memory_type"])
            marks = [f"#{row['turn']}"] if said else [f"importance {row['importance']:g}"]
            marks += ["pinned"] if row["pinned_at"] is not None else []
            marks += ["archived"] if row["archived_at"] is not None else []
            marks += [f"tags: {_text(', '.join(row['tags']))}"] if row["tags"] else []
            self._line(f"**{who}** · {when} UTC · {' · '.join(marks)}", "")
            self._line(*(f"> {line}".rstrip() for line in _lines(row["content"])), "")

    def person(self, kind: str, held: Mapping[str, Any]) -> None:
        if kind != PROFILE or held["profile"] is None:
            return
        profile = held["profile"]
        if self._section != (kind,):
            self._open((kind,), "profiles", "Profiles")
        self._line(f"- **{_text(held['user_id'])}**")
        named = {} if profile.get("name") is None else {"name": profile["name"]}
        for name, value in {**named, **profile["preferences"], **profile["profile"]}.items():
            said = value if isinstance(value, str) else stored_text(value)
            self._line(f"  - {_text(str(name))}: {_text(said)}")

    def finish(self) -> list[Path]:
        if self._folder is None:
            return self._files.finish()
        if self._file is not None:
            self._file.close()
        self._file = self._folder.open("README.md")
        self._line(f"# Memory, as of {self._about.exported_at}", "")
        self._line(*(f"- [{title}]({name})" for title, name in self._index))
        self._file.close()
        return self._folder.finish()

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._files.discard()
        if self._folder is not None:
            self._folder.discard()

    def _begin(self, section: tuple[str, ...], row: Row) -> None:
        user = row["user_id"]
        if len(section) == 1:
            self._open(section, f"{_name(user)}/memories", f"Memories of {_text(user)}")
            return
        talk = section[1]
        title = self._about.titles.get(talk) or talk
        begun = f"{utc(row['created_at']):%Y-%m-%d}"
        name = f"{_name(user)}/{begun}-{_slug(title)}-{_hash(talk)}"
        self._open(section, name, _text(title))
        self._line(f"{_text(user)}, conversation `{_code(talk)}`", "")

    def _open(self, section: tuple[str, ...], name: str, title: str) -> None:
        self._section = section
        if self._folder is None:
            self._line("", f"## {title}", "")
            return
        if self._file is not None:
            self._file.close()
        self._file = self._folder.open(f"{name}.md")
        self._index.append((title, f"{name}.md"))
        self._line(f"# {title}", "")

    def _line(self, *lines: str) -> None:
        assert self._file is not None
        for line in lines:
            self._file.write(line.encode() + b"\n")


def _lines(text: str) -> list[str]:
    return text.splitlines() or [""]


def _text(text: str) -> str:
    """A text on one line that is no markup."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")


def _name(user: str) -> str:
    return f"{_slug(user)}-{_hash(user)}"


def _slug(text: str) -> str:
    return _NOT_IN_NAMES.sub("-", text.lower()).strip("-")[:_LONGEST_NAME].strip("-") or "untitled"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
