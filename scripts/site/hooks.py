"""Pages of the site that are made when it is built: the start, results, the changelog.

MkDocs calls the functions whose names begin with ``on_``.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import results  # noqa: E402  # beside this file, which MkDocs loads by its path

LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    made = {
        "index.md": _moved((ROOT / "README.md").read_text(encoding="utf-8"), ".", config),
        "changelog.md": _moved((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), ".", config),
        "results.md": results.page(ROOT / "benchmarks" / "results"),
    }
    for name, content in made.items():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, **_: Any) -> str:
    folder = posixpath.dirname(page.file.src_uri)
    return markdown if page.file.generated_by else _moved(markdown, f"docs/{folder}", config)


def _moved(markdown: str, folder: str, config: MkDocsConfig) -> str:
    """Links of a text that lies in a folder of the repository, as links of the site.

    What is not on the site is linked where the repository is, or named without a link where that
    is not known (``repo_url`` of mkdocs.yml).
    """
    site = "docs"
    at = folder if folder.startswith(site) else site

    def link(found: re.Match[str]) -> str:
        target = found[2]
        if re.match(r"[a-z][a-z+.-]*:", target):
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        page = {"README.md": "docs/index.md", "CHANGELOG.md": "docs/changelog.md"}.get(path, path)
        if page == "benchmarks/results/retrieval/retrieval.md":
            page = "docs/results.md"
        if page.startswith(f"{site}/"):
            return f"{found[1]}{posixpath.relpath(page, at)}{found[3]}"
        if config.repo_url:
            return f"{found[1]}{config.repo_url.rstrip('/')}/blob/main/{path}{found[3]}"
        return f"{found[1]}{posixpath.relpath('docs/index.md', at)}#read-on)"

    parts = re.split(r"(^```.*?^```)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)
