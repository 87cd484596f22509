"""Roles of docstrings, such as :class:`~package.Name`, as links of the site.

The docstrings are read in editors and by ``help()``, too, where a role is the customary form. On
the site it is a link where the site has that name, and else the name as code.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(
    r":(?:class|meth|func|data|mod|attr|exc|obj):"
    r"`(?:(?P<title>[^`<]+) <)?(?P<short>~?)(?P<target>[^`<>]+)>?`"
)
TABLE = re.compile(r"^(=+ +=+[= ]*)\n(?P<rows>(?:.*\n)*?)\1$", re.MULTILINE)
LITERAL = re.compile(r"::\n\n(?P<code>(?:(?:    .*)?\n?)+)")


class Roles(griffe.Extension):
    """Turns the reStructuredText of docstrings into Markdown, before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """A docstring's roles, tables and literal blocks as Markdown."""
    text = TABLE.sub(_table, text)
    text = LITERAL.sub(_literal, text)
    text = ROLE.sub(_role, text)
    return re.sub(r"``([^`\n]+)``", r"`\1`", text)


def _role(found: re.Match[str]) -> str:
    target = found["target"].lstrip(".")
    short = target.rpartition(".")[2]
    name = short if found["short"] or found["target"].startswith(".") else target
    name = found["title"] or name
    return f'<autoref identifier="{target}" optional><code>{name}</code></autoref>'


def _table(found: re.Match[str]) -> str:
    starts = [one.start() for one in re.finditer(r"=+", found[1])]
    ends = [*starts[1:], None]
    lines = [line for line in found["rows"].splitlines() if line.strip()]
    head = any(set(line.strip()) <= set("= ") for line in lines)
    rows = [
        [line[start:end].strip() for start, end in zip(starts, ends, strict=True)]
        for line in lines
        if not set(line.strip()) <= set("= ")
    ]
    if not head:
        rows.insert(0, [""] * len(starts))
    rule = ["---"] * len(starts)
    return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], rule, *rows[1:]])


def _literal(found: re.Match[str]) -> str:
    code = "\n".join(line[4:] for line in found["code"].rstrip().splitlines())
    language = "python" if re.search(r"\b(await|async|import|def|class) ", code) else "text"
    return f"\n\n```{language}\n{code}\n```\n\n"
