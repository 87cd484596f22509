"""Which memory a call gets: by its token, never by what its body says.

A user's token gets that user's view, in which other users do not exist. Who may act for others is
an administrator's token, and whoever calls from this machine where the server has no tokens; they
name the user in the query, ``?user_id=ana``, and then get a view of that user.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Query, Request

from bruno_memory_vec.errors import ForeignUserError, InvalidInputError
from bruno_memory_vec.memory import VectorMemory
from bruno_memory_vec.surfaces.http.settings import ServerSettings
from bruno_memory_vec.surfaces.http.tokens import SPACE, Token, Tokens

#: The cookie in which a browser keeps a token; the pages set it after a login.
COOKIE: Final = "bruno_memory_token"


class NotAuthenticatedError(Exception):
    """The server has tokens, and the call has none that counts.

    Args:
        problem: what is wrong.
    """


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
    """The token of a request: its bearer token, else the browser's cookie; None where the server
    has no tokens.

    Raises:
        NotAuthenticatedError: there is none that counts.
    """
    tokens: Tokens | None = request.app.state.tokens
    if tokens is None:
        return None
    header = request.headers.get("authorization")
    if header is not None:
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "bearer":
            raise NotAuthenticatedError("the Authorization header is no bearer token")
    else:
        text = request.cookies.get(COOKIE, "")
    if not text.strip():
        raise NotAuthenticatedError("the call has no token")
    token = tokens.check(text.strip())
    if token is None:
        raise NotAuthenticatedError("the token is not known, or it has expired")
    return token


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
        ForeignUserError: it names another user than its token's.
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
            raise ForeignUserError(
                "user_id: the token serves one user, who is not the one named",
                fix="Leave user_id out, or use an administrator's token.",
            )
    return Called(view, token, user_id or token.user_id, False)


def _called(
    request: Request,
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


#: What an operation declares to get its memory.
Caller = Annotated[Called, Depends(_called)]
