"""Which memory a call gets: by its token, never by what its body says.

A user's token gets that user's view, in which other users do not exist. Who may act for others is
an administrator's token, and whoever calls from this machine where the server has no tokens; they
name the user in the query, ``?user_id=ana``, and then get a view of that user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPBearer

from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.surfaces.http.guard import token_text
from bruno_memory_vec.surfaces.http.problems import ForeignUserRefused, NotAuthenticatedError
from bruno_memory_vec.surfaces.http.settings import ServerSettings
from bruno_memory_vec.surfaces.http.tokens import SPACE, Token


@dataclass(frozen=True, slots=True)
class Called:
    """A call's memory.

    Attributes:
        memory: a view, or the whole memory.
        token: whose; None where the server has no tokens.
        user_id: whose rows the call is about; None where nothing says it.
        may_choose: whether the call may name any user.
    """

    memory: VectorMemory
    token: Token | None
    user_id: str | None
    may_choose: bool

    @property
    def user(self) -> str:
        """Whose rows the call is about.

        Raises:
            InvalidInputError: nothing says it.
        """
        if self.user_id is None:
            raise InvalidInputError(
                "user_id", "is missing, so that it is not clear whose rows", fix="Add ?user_id=..."
            )
        return self.user_id


def token_of(request: Request) -> Token | None:
    """The bearer token of a request; None where the server has no tokens.

    Raises:
        NotAuthenticatedError: there is none that counts.
    """
    if request.app.state.tokens is None:
        return None
    token: Token | None = request.state.token
    if token is None:
        raise NotAuthenticatedError.of(token_text(request))
    return token


def still_counts(request: Request) -> bool:
    """Whether the token of a request counts as it did when the request came.

    What goes on for long has to ask: a token may be revoked, expire, or be changed meanwhile.
    """
    tokens = request.app.state.tokens
    return tokens is None or tokens.check(token_text(request) or "") == request.state.token


def caller_memory(
    request: Request, user_id: str | None = None, token: Token | None = None
) -> Called:
    """The memory of a call.

    Args:
        request: the call.
        user_id: the user that it names.
        token: its token, where that is known; else that of the request.

    Raises:
        NotAuthenticatedError: it has no token that counts.
        ForeignUserRefused: it names another user than its token's.
        InvalidInputError: what it names is no user.
    """
    token = token_of(request) if token is None else token
    memory: VectorMemory = request.app.state.memory
    settings: ServerSettings = request.app.state.settings
    if token is None:
        chosen = settings.user_id if user_id is None else user_id
        if chosen is not None and not chosen.startswith(SPACE):
            memory = memory.for_user(chosen, caller="http")
        return Called(memory, None, chosen, True)
    if token.role == "admin":
        whose = token.user_id if user_id is None else user_id
        if user_id is None or whose.startswith(SPACE):
            view = memory.for_user(token.user_id, role="admin", caller=token.name)
        else:
            view = memory.for_user(whose, caller=token.name)
        return Called(view, token, whose, True)
    view = memory.for_user(token.user_id, role=token.role, spaces=token.spaces, caller=token.name)
    if user_id is not None and user_id != token.user_id:
        granted = user_id.startswith(SPACE) and user_id.removeprefix(SPACE) in token.spaces
        if not granted:
            raise ForeignUserRefused
    return Called(view, token, user_id or token.user_id, False)


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token that `bruno-memory-vec token` has made. It says whose the calls are.",
)


def _called(
    request: Request,
    _: Annotated[Any, Security(_bearer)],
    user_id: Annotated[
        str | None,
        Query(
            description="Whose rows the call is about. A user's token has one user, and may name a "
            "space that it was granted, as `space:NAME`; an administrator's may name anybody.",
            examples=["ana"],
        ),
    ] = None,
) -> Called:
    return caller_memory(request, user_id)


def _whole(request: Request, _: Annotated[Any, Security(_bearer)]) -> VectorMemory:
    """The memory for what is about the whole store: an administrator's view, or the memory itself.

    Any other caller gets its own view, which refuses that.
    """
    if token_of(request) is None:
        memory: VectorMemory = request.app.state.memory
        return memory
    return caller_memory(request).memory


#: What an operation declares to get its memory.
Caller = Annotated[Called, Depends(_called)]
#: The same, for what is about the whole store.
Whole = Annotated[VectorMemory, Depends(_whole)]
