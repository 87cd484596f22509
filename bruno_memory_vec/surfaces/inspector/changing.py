"""Forms that change rows: pin, importance, forget. Each is a POST with the key of its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bruno_memory_vec.errors import InvalidInputError, NotPermittedError, ReadOnlyError
from bruno_memory_vec.rows.checks import shown
from bruno_memory_vec.surfaces.inspector.looking import Look, local
from bruno_memory_vec.surfaces.inspector.pages import HEADERS, page, part
from bruno_memory_vec.surfaces.inspector.rows import importance_of, row_of

if TYPE_CHECKING:
    from bruno_memory_vec.surfaces.inspector.browsing import Users

#: The header by which a script asks for the part of the page that has changed.
PART: Final = "X-Inspector-Part"
_LARGEST_FORM: Final = 64 * 1024
_MOST_FIELDS: Final = 50


class NotFromHere(Exception):
    """A form that did not come from one of these pages."""


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form.

    Raises:
        InvalidInputError: it is too large, or no form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidInputError("form", "is none", fix="Send it from its page.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            raise InvalidInputError("form", "is too large", fix="Send it from its page.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError as error:
        raise InvalidInputError(
            "form", "is none", fix="Send it from its page.", cause=error
        ) from error
    return dict(pairs)


def require_here(look_key: str | None, request: Request, is_key: bool) -> None:
    """Refuse a form that another site may have sent.

    Args:
        look_key: the name of the visit; None where the request has none.
        request: the request.
        is_key: whether the form carries the key of the visit.

    Raises:
        NotFromHere: it may.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    same = origin is None or origin.partition("://")[2] == request.headers.get("host", "")
    if look_key is None or not is_key or not same or site not in ("same-origin", "none"):
        raise NotFromHere


def require_may(look: Look) -> None:
    """Refuse a visitor who may only read.

    Raises:
        NotPermittedError: their token only reads.
        ReadOnlyError: the store only reads.
    """
    if look.may_change:
        return
    if look.visitor.memory.config.read_only:
        raise ReadOnlyError(
            "the server has opened the store to read only", fix="Start it without --read-only."
        )
    raise NotPermittedError("this token reads only", fix="Log in with another one.")


async def pin(look: Look, form: Mapping[str, str]) -> Response:
    """``POST /pin``: pin a row, or let it be pinned no more."""
    require_may(look)
    row_id, wanted = form.get("id", ""), form.get("pin") == "1"
    change = look.memory.pin if wanted else look.memory.unpin
    await change(row_id, user_id=look.user)
    return await _changed(look, form, "pinned" if wanted else "unpinned")


async def importance(look: Look, form: Mapping[str, str]) -> Response:
    """``POST /importance``: set the importance of a row."""
    require_may(look)
    given = form.get("importance", "")
    try:
        value = float(given)
    except ValueError as error:
        raise InvalidInputError(
            "importance", f"is {shown(given)}", fix="Give a number from 0 to 1.", cause=error
        ) from error
    await look.memory.set_importance(form.get("id", ""), value, user_id=look.user)
    return await _changed(look, form, "importance")


async def ask_to_forget(look: Look) -> Response:
    """``/forget``: what is about to be forgotten, and how."""
    require_may(look)
    hit = await row_of(look.memory, look.user, look.word("id"))
    back = local(look.word("back"), look.base)
    return page(look, "forget.html", hit=hit, back=back, user=look.user)


async def forget(look: Look, form: Mapping[str, str], users: Users) -> Response:
    """``POST /forget``: archive a row, or delete it for good."""
    require_may(look)
    how = form.get("how", "")
    if how not in ("archive", "delete"):
        raise InvalidInputError("how", f"is {shown(how)}", fix="Choose one of the two.")
    await look.memory.forget(form.get("id", ""), user_id=look.user, archive=how == "archive")
    users.changed()
    return _back(look, form, "archived" if how == "archive" else "forgotten")


async def _changed(look: Look, form: Mapping[str, str], done: str) -> Response:
    if look.request.headers.get(PART):
        hit = await row_of(look.memory, look.user, form.get("id", ""))
        back = local(form.get("back", ""), look.base)
        return part(look, "macros.html", "actions", hit, importance_of(hit), back)
    return _back(look, form, done)


def _back(look: Look, form: Mapping[str, str], done: str) -> Response:
    target = local(form.get("back", ""), look.base)
    address, _, anchor = target.partition("#")
    joined = "&" if "?" in address else "?"
    anchor = f"#{anchor}" if anchor else ""
    return RedirectResponse(f"{address}{joined}done={done}{anchor}", 303, HEADERS)
