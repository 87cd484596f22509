"""Every relative link of the repository's Markdown leads somewhere, anchors included."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
INLINE = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
REFERENCE = re.compile(r"^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HTML = re.compile(r"(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


def documents() -> list[Path]:
    folders = ("docs", "examples", "benchmarks", "notebooks", "scripts")
    found = list(ROOT.glob("*.md"))
    for folder in folders:
        found += (ROOT / folder).rglob("*.md")
    return sorted(found)


def anchors(document: Path) -> set[str]:
    """The ids that GitHub gives to headings; a repeated heading gets -1, -2, ..."""
    slugs: set[str] = set()
    seen: dict[str, int] = {}
    for heading in HEADING.findall(FENCE.sub("", document.read_text(encoding="utf-8"))):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        slugs.add(f"{slug}-{count}" if count else slug)
    return slugs


def problem(document: Path, link: str) -> str | None:
    name, _, anchor = unquote(link).partition("#")
    target = (document.parent / name).resolve() if name else document
    if not target.is_relative_to(ROOT):
        return "leads out of the repository"
    if not target.exists():
        return "leads nowhere"
    if anchor and target.suffix == ".md" and anchor not in anchors(target):
        return "has no such heading"
    return None


def main() -> int:
    checked, wrong = 0, []
    for document in documents():
        prose = FENCE.sub("", document.read_text(encoding="utf-8"))
        prose = CODE.sub("", prose)
        for link in [*INLINE.findall(prose), *REFERENCE.findall(prose), *HTML.findall(prose)]:
            if ELSEWHERE.match(link):
                continue
            checked += 1
            if trouble := problem(document, link):
                wrong.append(f"{document.relative_to(ROOT)}: {link} {trouble}")
    print("\n".join([*wrong, f"{checked} relative links, {len(wrong)} broken"]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
