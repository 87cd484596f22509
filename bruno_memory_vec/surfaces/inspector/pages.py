"""Pages: templates with stored text escaped, and the headers that every page has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from functools import cache
from http import HTTPStatus
from importlib import resources
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from bruno_memory_vec._version import __version__
from bruno_memory_vec.prompts.hidden_characters import one_line
from bruno_memory_vec.surfaces.inspector import bars, text
from bruno_memory_vec.surfaces.inspector.looking import Look
from bruno_memory_vec.wording import counted

#: Nothing from anywhere else, no script and no style within a page, no page around these.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # `no-referrer` would make a browser send forms with the origin "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_NOT_KEPT: Final = {"Cache-Control": "no-store"}
_STATIC: Final = {
    "inspector.css": "text/css",
    "inspector.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
#: What a page says after a change, by the word in its address.
DONE: Final = {
    "pinned": "Pinned. It comes first in built contexts.",
    "unpinned": "Not pinned any more.",
    "importance": "Its importance is set.",
    "archived": "Archived: it is kept, and recall leaves it out.",
    "forgotten": "Forgotten. It is deleted for good.",
}


def page(look: Look, template: str, code: int = 200, **values: Any) -> Response:
    """A page of a visitor."""
    done = DONE.get(look.word("done"), "")
    made = _templates().get_template(template).render(look=look, done=done, **values)
    return HTMLResponse(made, code, headers={**HEADERS, **_NOT_KEPT})


def bare(template: str, code: int = 200, **values: Any) -> Response:
    """A page for somebody who is not known, such as the login."""
    made = _templates().get_template(template).render(**values)
    return HTMLResponse(made, code, headers={**HEADERS, **_NOT_KEPT})


def part(look: Look, template: str, name: str, *values: Any) -> Response:
    """A part of a page, made by a macro, for a script to put in its place."""
    macro = getattr(_templates().get_template(template).make_module(), name)
    return HTMLResponse(str(macro(look, *values)), headers={**HEADERS, **_NOT_KEPT})


def static(name: str) -> Response:
    """A style sheet, script or picture; 404 where there is none of this name."""
    if name not in _STATIC:
        return Response("there is no such file", HTTPStatus.NOT_FOUND, HEADERS)
    kept = {"Cache-Control": "public, max-age=86400"}
    return Response(_file(name), headers={**HEADERS, **kept}, media_type=_STATIC[name])


@cache
def _file(name: str) -> bytes:
    return (resources.files(__package__) / "static" / name).read_bytes()


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        shown=text.shown,
        line=text.line,
        # Where no markup can stand: in titles and choices.
        plain=one_line,
        folded=text.folded,
        when=_when,
        day=lambda moment: _when(moment, "%Y-%m-%d"),
        number=lambda value: f"{value:,}",
        counted=counted,
        share=lambda value: f"{100 * value:.0f} %",
        size=_size,
    )
    made.globals.update(
        version=__version__,
        with_passage=text.with_passage,
        signal_bars=bars.signal_bars,
        legend=bars.legend,
        share_bar=bars.share_bar,
        pairs=_pairs,
        numbered=_numbered,
    )
    return made


def _pairs(points: Iterable[Any], *names: str) -> list[tuple[str, list[float]]]:
    """For a chart: of each point its label and the values of some of its fields."""
    return [(one.label, [getattr(one, name) for name in names]) for one in points]


def _numbered(values: Sequence[float], labels: Sequence[str] = ()) -> list[tuple[str, list[float]]]:
    """For a chart: values by their labels, else by hours."""
    names = labels or [f"{number:02d}:00" for number in range(len(values))]
    return [(name, [value]) for name, value in zip(names, values, strict=True)]


def _when(moment: datetime | None, form: str = "%Y-%m-%d %H:%M") -> Markup:
    if moment is None:
        return Markup('<span class="none">–</span>')
    at = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    at = at.astimezone(timezone.utc)
    return Markup('<time datetime="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), at.strftime(form)
    )


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1024 or unit == "GB":
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    raise AssertionError
