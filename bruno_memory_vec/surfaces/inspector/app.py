"""The ASGI application of the pages: addresses, logins, and errors as pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, cast

from bruno_core.utils.exceptions import BrunoError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bruno_memory_vec.errors import (
    BackendUnavailable,
    ForeignUserError,
    InvalidInputError,
    NotFoundError,
    ReadOnlyError,
    StoreError,
    problem_and_fix,
)
from bruno_memory_vec.surfaces.http.problems import Refused
from bruno_memory_vec.surfaces.inspector import asking, browsing, changing, insight
from bruno_memory_vec.surfaces.inspector.looking import (
    LoginNeeded,
    Look,
    UserNeeded,
    local,
    look_of,
    visit_of,
)
from bruno_memory_vec.surfaces.inspector.pages import HEADERS, bare, page, static
from bruno_memory_vec.surfaces.inspector.visitors import LOGIN_S, Visits, cookie_name

if TYPE_CHECKING:
    from bruno_memory_vec.memory import VectorMemory
    from bruno_memory_vec.surfaces.http.tokens import Tokens

Page = Callable[[Look], Awaitable[Response]]
Change = Callable[[Look, Mapping[str, str]], Awaitable[Response]]

_STATUS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (InvalidInputError, 400),
    (NotFoundError, 404),
    (ReadOnlyError, 403),
    (ForeignUserError, 403),
    (BackendUnavailable, 503),
    (StoreError, 503),
)


def make_inspector(
    memory: VectorMemory, *, tokens: Tokens | None = None, user_id: str | None = None
) -> Starlette:
    """The pages of a memory, to be mounted at an address such as ``/inspector``.

    Args:
        memory: the whole memory. Whoever mounts the pages opens and closes it.
        tokens: who may look; there is a login then. None: whoever reaches the server may do
            everything, so it must listen on this machine only.
        user_id: without tokens, the user that is shown first.
    """
    visits, users = Visits(memory, tokens, user_id), browsing.Users()
    routes: list[Route] = []

    def shows(path: str, view: Page) -> None:
        async def answer(request: Request) -> Response:
            return await _shown(request, visits, path, view)

        routes.append(Route(path, answer, methods=["GET"]))

    def does(path: str, change: Change) -> None:
        async def answer(request: Request) -> Response:
            return await _done(request, visits, path, change)

        routes.append(Route(path, answer, methods=["POST"]))

    async def file(request: Request) -> Response:
        return static(request.path_params["name"])

    async def login(request: Request) -> Response:
        return await _login(request, visits)

    async def logout(request: Request) -> Response:
        return await _logout(request, visits)

    async def forget(look: Look, form: Mapping[str, str]) -> Response:
        return await changing.forget(look, form, users)

    shows("/", lambda look: browsing.home(look, users))
    shows("/users", lambda look: browsing.all_users(look, users))
    shows("/ask", asking.ask)
    shows("/compare", asking.compare)
    shows("/context", asking.context)
    shows("/conversations", browsing.conversations)
    shows("/conversation", browsing.conversation)
    shows("/memories", browsing.memories)
    shows("/facts", browsing.facts)
    shows("/row", browsing.row)
    shows("/insight", insight.insight)
    shows("/health", insight.health)
    shows("/forget", changing.ask_to_forget)
    does("/pin", changing.pin)
    does("/importance", changing.importance)
    does("/forget", forget)
    routes += [
        Route("/login", login, methods=["GET", "POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/static/{name}", file, methods=["GET"]),
    ]
    return Starlette(
        routes=routes, exception_handlers={HTTPException: _no_page, Exception: _failed}
    )


async def _shown(request: Request, visits: Visits, path: str, view: Page) -> Response:
    visit = visit_of(request)
    # Whoever needs no login has the cookie too: it names the visit that forms belong to.
    begins = visit is None and not visits.needs_token
    request.state.visit = visit or visits.new_name()
    response = await _answered(request, visits, path, view)
    if begins:
        _set_cookie(request, response, request.state.visit)
    return response


async def _answered(request: Request, visits: Visits, path: str, view: Page) -> Response:
    look: Look | None = None
    try:
        look = look_of(request, visits, path)
        with _use(look):
            return await view(look)
    except Refused as error:
        return _refused(request, error)
    except LoginNeeded:
        return _to_login(request)
    except UserNeeded:
        assert look is not None
        there = look.here if look.path != "/" else ""
        return RedirectResponse(look.link("/users", then=there), 303, HEADERS)
    except BrunoError as error:
        return _told(request, visits, path, look, error)


async def _done(request: Request, visits: Visits, path: str, change: Change) -> Response:
    visit = visit_of(request)
    request.state.visit = visit or ""
    look: Look | None = None
    try:
        form = await changing.form_of(request)
        key = visits.is_form_key(visit, form.get("key", ""))
        changing.require_here(visit, request, key)
        look = look_of(request, visits, path, form.get("user", ""))
        with _use(look):
            return await change(look, form)
    except Refused as error:
        return _refused(request, error)
    except changing.NotFromHere:
        return _not_from_here(request)
    except LoginNeeded:
        return _to_login(request)
    except UserNeeded:
        return RedirectResponse(f"{_base(request)}/users", 303, HEADERS)
    except BrunoError as error:
        return _told(request, visits, path, look, error)


def _use(look: Look) -> AbstractContextManager[None]:
    """Around the work for a page: it counts as a call of the visitor's token, where calls are."""
    use = getattr(look.request.state, "use", None)
    token = look.visitor.token
    return nullcontext() if use is None or token is None else cast(Any, use(token))


def _refused(request: Request, error: Refused) -> Response:
    base = _base(request)
    made = bare("bare_error.html", error.status, base=base, problem=error.problem, fix=error.fix)
    made.headers.update(error.headers)
    return made


def _told(
    request: Request, visits: Visits, path: str, look: Look | None, error: BrunoError
) -> Response:
    """An error as a page; of a store in trouble with where to look."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 500)
    problem, fix = problem_and_fix(error)
    if status >= 500 and look is not None and not look.visitor.may_choose:
        # It names folders and servers, which are no user's business.
        problem, fix = "The store cannot be used now", "Tell whoever runs the server."
    values: dict[str, Any] = {"problem": problem, "fix": fix, "status": status}
    if look is None:
        return bare("bare_error.html", status, base=_base(request), problem=problem, fix=fix)
    return page(look, "error.html", status, **values)


def _not_from_here(request: Request) -> Response:
    return bare(
        "bare_error.html",
        403,
        base=_base(request),
        problem="The form did not come from one of these pages, or its visit has ended",
        fix="Go back, reload the page, and send it again.",
    )


async def _no_page(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return bare(
        "bare_error.html",
        status,
        base=_base(request),
        problem="There is no such page" if status == 404 else "This page does not answer to that",
        fix="Begin with the first page.",
    )


async def _failed(request: Request, error: Exception) -> Response:
    return bare(
        "bare_error.html",
        500,
        base=_base(request),
        problem=f"The page could not be made ({type(error).__name__})",
        fix="The server's log says more.",
    )


# Logins


async def _login(request: Request, visits: Visits) -> Response:
    base = _base(request)
    if request.method == "GET":
        target = local(request.query_params.get("then", ""), base)
        if visits.visitor(visit_of(request)) is not None:
            return RedirectResponse(target, 303, HEADERS)
        return bare("login.html", base=base, then=target, problem="")
    try:
        form = await changing.form_of(request)
        # There is no visit yet, so no key: another site could only log somebody in, with a token
        # of its own; and a browser says whether it is another site.
        changing.require_here("", request, is_key=True)
    except changing.NotFromHere:
        return _not_from_here(request)
    except InvalidInputError as error:
        problem, fix = problem_and_fix(error)
        return bare("bare_error.html", 400, base=base, problem=problem, fix=fix)
    target = local(form.get("then", ""), base)
    address = "" if request.client is None else request.client.host
    waits = visits.waits(address)
    visit = visits.login(form.get("token", "").strip(), address)
    if visit is None and waits:
        said = "Too many wrong tokens. Wait a minute, then try again."
        return bare("login.html", 429, base=base, then=target, problem=said)
    if visit is None:
        said = "This token is not known, or it has expired."
        return bare("login.html", 401, base=base, then=target, problem=said)
    visits.logout(visit_of(request))  # of whom was logged in here before
    response = RedirectResponse(target, 303, HEADERS)
    _set_cookie(request, response, visit)
    return response


async def _logout(request: Request, visits: Visits) -> Response:
    visit = visit_of(request)
    base = _base(request)
    try:
        form = await changing.form_of(request)
        changing.require_here(visit, request, visits.is_form_key(visit, form.get("key", "")))
    except (changing.NotFromHere, InvalidInputError):
        return _not_from_here(request)
    visits.logout(visit)
    response = RedirectResponse(f"{base}/login", 303, HEADERS)
    name = cookie_name(request.url.port)
    response.delete_cookie(name, path=base or "/", httponly=True, samesite="strict")
    return response


def _to_login(request: Request) -> Response:
    base = _base(request)
    query = f"?{request.url.query}" if request.url.query else ""
    path: str = request.scope["path"]
    there = path if path.startswith(base) else f"{base}{path}"
    look = {"then": f"{there}{query}"} if request.method == "GET" and there != f"{base}/" else {}
    return RedirectResponse(_with(f"{base}/login", look), 303, HEADERS)


def _with(address: str, query: Mapping[str, str]) -> str:
    from urllib.parse import urlencode

    return f"{address}?{urlencode(query)}" if query else address


def _set_cookie(request: Request, response: Response, visit: str) -> None:
    response.set_cookie(
        cookie_name(request.url.port),
        visit,
        max_age=LOGIN_S,
        path=_base(request) or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


def _base(request: Request) -> str:
    return str(request.scope.get("root_path", ""))
