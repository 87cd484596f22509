"""Questions to a folder of notes (.md and .txt), answered with the places that say so.

    python examples/ask_notes.py [FOLDER] [--ask QUESTION] [--llm ollama:llama3.2]

Each paragraph of a note is a memory with its file, heading and line. When the program is started
again, what has changed in the folder is stored, and what has gone is deleted; the rest stays. An
answer cites the notes by numbers, [1], and the files behind the numbers are printed below it.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid5

import llm
from bruno_core.interfaces.llm import LLMInterface
from bruno_core.models.memory import MemoryEntry, MemoryMetadata, MemoryType
from bruno_core.models.message import Message, MessageRole
from bruno_core.utils.exceptions import BrunoError
from terminal import lines, show

from bruno_memory_vec import VectorMemory
from bruno_memory_vec.context import ContextItem, ContextReport

USER = "me"
RULES = Message(
    role=MessageRole.SYSTEM,
    content="Answer from the quoted notes alone, in one or two sentences, and cite each note that "
    "you use by its mark, as [m1]. Where the notes do not say it, answer that they do not.",
)
# Ids follow from what a note says, so that one that is unchanged is the same memory.
_IDS = UUID("7d9f3d0e-93a5-4c0e-8d0b-6a3c5a1f2b90")
_MARK = re.compile(r"\[(m\d+)\]")


def paragraphs(folder: Path) -> Iterator[MemoryEntry]:
    """Each paragraph of each note in a folder, as a memory that knows where it stands."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".md", ".txt")):
        name, headings, line = str(path.relative_to(folder)), {}, 1
        for block in re.split(r"(\n\s*\n)", path.read_text(encoding="utf-8")):
            text = block.strip()
            if text.startswith("#"):
                level = len(text) - len(text.lstrip("#"))
                title, _, text = text.lstrip("# ").partition("\n")
                headings = {at: one for at, one in headings.items() if at < level}
                headings[level] = title
            if text.strip():
                yield paragraph(name, " > ".join(headings.values()), line, text)
            line += block.count("\n")


def paragraph(name: str, heading: str, line: int, text: str) -> MemoryEntry:
    """One paragraph as a memory; its heading often says what it is about, so it is in the text."""
    said = " ".join(text.split())
    content = f"{heading}: {said}" if heading else said
    return MemoryEntry(
        id=uuid5(_IDS, f"{name}\n{line}\n{content}"),
        content=content,
        memory_type=MemoryType.SEMANTIC,
        user_id=USER,
        metadata=MemoryMetadata(
            source=name, category="note", custom_fields={"line": line, "heading": heading}
        ),
    )


async def follow(folder: Path, memory: VectorMemory) -> str:
    """Make the memory hold what the folder holds; says what that took."""
    there = {entry.id: entry for entry in paragraphs(folder)}
    known = {entry.id for entry in await memory.list_memories(USER, categories="note", limit=None)}
    for gone in known - there.keys():
        await memory.delete_memory(str(gone))
    new = [entry for id_, entry in there.items() if id_ not in known]
    if new:
        await memory.store_memories(new)
    files = {entry.metadata.source for entry in there.values()}
    return (
        f"{len(there)} paragraphs of {len(files)} notes: "
        f"{len(new)} new, {len(known - there.keys())} gone."
    )


async def answer(question: str, memory: VectorMemory, model: LLMInterface) -> None:
    """Answer a question, and print what its numbers stand for."""
    built = await memory.build_context(question, user_id=USER, budget=800)
    text = await model.generate([RULES, *built.messages])
    text, sources = numbered(text, built.report)
    show(text, indent="  ")
    for number, item in enumerate(sources, 1):
        entry = await memory.get_memory(item.id or "", user_id=USER)
        if entry is not None:
            place = entry.metadata.custom_fields
            where = f"{entry.metadata.source}:{place['line']}"
            show(f"[{number}] {where}  {place['heading']}".rstrip(), indent="  ")


def numbered(text: str, report: ContextReport) -> tuple[str, list[ContextItem]]:
    """The text with numbers for marks, and what they stand for. Marks that nothing has are gone."""
    sources: list[ContextItem] = []

    def number(found: re.Match[str]) -> str:
        item = report.cited(found[1])
        if item is None or item.kind != "memory":
            return ""
        if item not in sources:
            sources.append(item)
        return f"[{sources.index(item) + 1}]"

    return _MARK.sub(number, text), sources


def options(arguments: list[str]) -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description="Questions to a folder of notes.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "notes")
    parser.add_argument("--store", default="./notes-memory", help="where the memory is")
    parser.add_argument("--ask", help="one question; without it they are read line by line")
    llm.add_option(parser)
    return parser.parse_args(arguments)


async def run(chosen: argparse.Namespace) -> None:
    """Store the notes, and answer."""
    if not chosen.folder.is_dir():
        raise SystemExit(f"{chosen.folder} is no folder.")
    model = await llm.choose(chosen.llm)
    async with VectorMemory(chosen.store) as memory:
        show(await follow(chosen.folder, memory))
        if chosen.ask is not None:
            await answer(chosen.ask, memory, model)
            return
        async for question in lines("ask> "):
            try:
                await answer(question, memory, model)
            except Exception as error:  # a model that is away ends nothing
                show(f"! {error}")


def main(arguments: list[str]) -> int:
    """Run it; 0 where it ended by itself."""
    llm.quiet()
    try:
        asyncio.run(run(options(arguments)))
    except KeyboardInterrupt:
        print()
    except BrunoError as error:
        print(f"ask_notes: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
