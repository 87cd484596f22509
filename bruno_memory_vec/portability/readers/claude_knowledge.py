"""What Claude.ai's export has beside the chats: ``memories.json`` and ``projects.json``.

Claude's memory is a text about its user, and one for each project; newer exports have an object a
file (``memories/ACCOUNT.json``, ``projects/PROJECT.json``) in place of a list. Each part of a
memory is a turn of the kind "memory". Of a project the description, the instructions and the
documents are documents; those that Claude.ai has made as an example are left out. Nothing in the
export says which chat is of which project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

from bruno_memory_vec.portability import records, times
from bruno_memory_vec.portability.detect import Head, Lines
from bruno_memory_vec.portability.readers.documents import markdown_parts
from bruno_memory_vec.portability.readers.reader import (
    Element,
    Reader,
    list_of,
    object_of,
    objects,
    text_of,
    word_of,
)
from bruno_memory_vec.portability.readers.talk import Talk, lenient_time, time_in, told
from bruno_memory_vec.portability.records import BadFieldError, BadLine, Defaults, Turn

#: The conversation that a memory is put under while it is read; a memory has none in a store.
CONVERSATION = "claude-memory"
EXAMPLES = "projects that Claude.ai has made as examples"
FILES = "files of Claude's memory"

# A line that is nothing but bold: Claude's memory has these for headings.
_BOLD = re.compile(r"\s*\*\*([^*]{1,120})\*\*:?\s*")


def recognises_memories(head: Head) -> bool:
    """Objects with Claude's memory of all conversations, or of projects."""
    first = head.first
    return isinstance(first.get("conversations_memory"), str) or (
        isinstance(first.get("project_memories"), dict) and "account_uuid" in first
    )


def memories_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield the parts of the memory of every account."""
    names: dict[str, str] | None = None
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        value, element = found
        user = defaults.user(text_of(value.get("account_uuid")), account=True)
        key = times.first_of(value) or ("updated_at" if value.get("updated_at") else None)
        time = None if key is None else lenient_time(value[key], defaults)
        talk = Talk(defaults, CONVERSATION, user, element.line, {"source": "claude"})
        yield from _memory(value.get("conversations_memory"), talk, element, time)
        projects = object_of(value.get("project_memories"))
        if projects and names is None:
            names = _project_names(defaults, list(projects))
        for uuid, text in projects.items():
            about = {"source": "claude", "project": uuid}
            if names and uuid in names:
                about["project_name"] = names[uuid]
            talk = Talk(defaults, CONVERSATION, user, element.line, about)
            yield from _memory(text, talk, element, time)
        for file in list_of(value.get("memory_files")):
            text = text_of(object_of(file).get("content"))
            called = text_of(object_of(file).get("path")) or text_of(object_of(file).get("name"))
            if text is None:
                defaults.left_out[FILES] += 1
                continue
            about = {"source": "claude", **({"file": called} if called else {})}
            talk = Talk(defaults, CONVERSATION, user, element.line, about)
            yield from _memory(text, talk, element, time)


def _memory(
    text: Any, talk: Talk, element: Element, time: datetime | None
) -> Iterator[Turn | BadLine]:
    if text is None or text == "":
        return
    if not isinstance(text, str):
        problem = f"expected text, got {records.json_type(text)}"
        yield BadLine(element.line, element.within("memory"), problem)
        return
    headed = (_BOLD.sub(r"## \1", line) if _BOLD.fullmatch(line) else line for line in _lines(text))
    for item in markdown_parts(talk, ((0, line) for line in headed), time, "memory"):
        yield _without_line(item, element)


def _project_names(defaults: Defaults, wanted: list[str]) -> dict[str, str]:
    """The names of projects, from the files beside the memories."""
    found: dict[str, str] = {}
    files = ["projects.json", *(f"projects/{uuid}.json" for uuid in wanted)]
    for path in files:
        try:
            data = json.loads(defaults.beside(path) or b"null")
        except (ValueError, RecursionError):
            continue  # a broken one is told where it is read itself
        for project in data if isinstance(data, list) else [data]:
            uuid, name = (text_of(object_of(project).get(key)) for key in ("uuid", "name"))
            if uuid is not None and name is not None:
                found[uuid] = name
    return found


def recognises_projects(head: Head) -> bool:
    """Projects with their documents and instructions."""
    first = head.first
    return (
        isinstance(first.get("docs"), list)
        and {"uuid", "name"} <= set(first)
        and bool({"prompt_template", "is_starter_project", "is_private"} & set(first))
    )


def projects_turns(lines: Lines, defaults: Defaults) -> Iterator[Turn | BadLine]:
    """Yield description, instructions and documents of every project."""
    for found in objects(lines):
        if isinstance(found, BadLine):
            yield found
            continue
        project, element = found
        try:
            uuid = records.needed_name(project.get("uuid"), "uuid")
            time = time_in(project, defaults)
        except BadFieldError as error:
            yield told(error, element.line, element.path)
            continue
        if project.get("is_starter_project") is True:
            defaults.left_out[EXAMPLES] += 1
            continue
        user = defaults.user(text_of(object_of(project.get("creator")).get("uuid")), account=True)
        name = f"claude-project/{uuid}"
        title = text_of(project.get("name"))
        about: dict[str, Any] = {} if title is None else {"title": title}
        for key, heading in (("description", "Description"), ("prompt_template", "Instructions")):
            text = word_of(project.get(key))
            talk = Talk(defaults, name, user, element.line, {**about, "part": heading}, time)
            for item in markdown_parts(talk, ((0, line) for line in _lines(text)), time):
                yield _without_line(item, element)
        for index, document in enumerate(list_of(project.get("docs"))):
            yield from _document(document, index, name, user, title, element, defaults)


def _document(
    document: Any,
    index: int,
    name: str,
    user: str | None,
    project: str | None,
    element: Element,
    defaults: Defaults,
) -> Iterator[Turn | BadLine]:
    path = element.within(f"docs[{index}]")
    try:
        if not isinstance(document, dict):
            got = records.json_type(document)
            raise BadFieldError("document", f"expected an object, got {got}")
        uuid = records.check_name(document.get("uuid"), "uuid")
        time = time_in(document, defaults)
        content = document.get("content")
        if content is not None and not isinstance(content, str):
            got = records.json_type(content)
            raise BadFieldError("content", f"expected text, got {got}")
    except BadFieldError as error:
        yield told(error, element.line, path)
        return
    file = text_of(document.get("filename"))
    about = {"title": file or uuid or "", "project_name": project or ""}
    about = {key: value for key, value in about.items() if value}
    talk = Talk(defaults, f"{name}/{uuid or index + 1}", user, element.line, about, time)
    for item in markdown_parts(talk, ((0, line) for line in _lines(content or "")), time):
        yield _without_line(item, element)


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").split("\n")


def _without_line(item: Turn | BadLine, element: Element) -> Turn | BadLine:
    """An item whose line is that of the element; within a text of it there is none."""
    return replace(item, line=element.line)


MEMORIES = Reader(
    "claude-memories",
    "Claude.ai's memory",
    ("conversations_memory", "project_memories", "account_uuid"),
    recognises_memories,
    memories_turns,
)
PROJECTS = Reader(
    "claude-projects",
    "projects of Claude.ai",
    ("uuid", "name", "prompt_template", "docs", "creator"),
    recognises_projects,
    projects_turns,
)
