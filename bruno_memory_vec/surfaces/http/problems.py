"""Errors as RFC 9457 problem details, ``application/problem+json``.

A problem says what happened and what to do about it. It repeats nothing of a request's body, and
of another user's rows not that they exist.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from bruno_core.utils.exceptions import BrunoError
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from bruno_memory_vec.config import masked
from bruno_memory_vec.errors import (
    ForeignUserError,
    InvalidInputError,
    LLMFailed,
    NotFoundError,
    NotPermittedError,
    ReadOnlyError,
    StoreLockedError,
    problem_and_fix,
)
from bruno_memory_vec.logs import get_logger

_log = get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
#: What the problems of an operation may be, for its description.
STATUSES: Final = (400, 401, 403, 404, 409, 413, 422, 429, 500, 503)

# The first class that an error is of counts.
_STATUS_OF: Final[tuple[tuple[type[BrunoError], int], ...]] = (
    (InvalidInputError, 422),
    (NotFoundError, 404),
    (NotPermittedError, 403),
    (ForeignUserError, 404),
    (ReadOnlyError, 403),
    (StoreLockedError, 503),
    (LLMFailed, 503),
)
_RETRY_AFTER_S: Final = 5


class Refused(Exception):
    """A call is refused by the server, before the memory is asked.

    Args:
        status: of the answer.
        kind: the problem's name, in its ``type``.
        problem: what is wrong.
        fix: what to do.
        headers: more of the answer.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        problem: str,
        fix: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem)
        self.status, self.kind, self.problem, self.fix = status, kind, problem, fix
        self.headers = dict(headers or {})


class NotAuthenticatedError(Refused):
    """The server has tokens, and the call has none that counts."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            401,
            "not-authenticated",
            problem,
            "Send the header Authorization: Bearer TOKEN; `bruno-memory-vec token` makes tokens.",
            {"WWW-Authenticate": "Bearer"},
        )

    @classmethod
    def of(cls, text: str | None) -> NotAuthenticatedError:
        """The refusal of a call.

        Args:
            text: the token that it has; None for none.
        """
        given = "the token is not known, or has expired"
        return cls("the call has no token" if text is None else given)


class ForeignUserRefused(Refused):
    """The token serves one user, and the call names another."""

    def __init__(self) -> None:
        super().__init__(
            403,
            "foreign-user",
            "user_id: the token serves one user, who is not the one named",
            "Leave user_id out, or use an administrator's token.",
        )


class Conflict(Refused):
    """What is asked does not go with how things are."""

    def __init__(self, problem: str, fix: str) -> None:
        super().__init__(409, "conflict", problem, fix)


class FieldProblem(BaseModel):
    """A field that was refused."""

    field: str = Field(description="Where it is: body, query or path, and the field's name.")
    problem: str = Field(description="Why it was refused.")


class Problem(BaseModel):
    """What went wrong, and what to do about it (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:bruno-memory-vec:problem:not-found",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "there is no memory '8f3f0b8c-3f5e-4a53-8a50-1d1f4f1c3f0a'",
                    "fix": "Use the id of a stored MemoryEntry.",
                }
            ]
        }
    )

    type: str = Field(description="The kind of problem, a URN that stays the same.")
    title: str = Field(description="The status in words.")
    status: int = Field(description="The status of the answer.")
    detail: str = Field(description="What happened.")
    fix: str = Field(default="", description="What to do about it.")
    field: str | None = Field(default=None, description="The parameter or field at fault.")
    errors: list[FieldProblem] | None = Field(default=None, description="Each field at fault.")


def answer(
    status: int,
    kind: str,
    problem: str,
    fix: str = "",
    *,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """A problem as the answer of a call.

    Args:
        status: of the answer.
        kind: the problem's name, in its ``type``.
        problem: what happened.
        fix: what to do.
        headers: more of the answer.
        more: further fields of :class:`Problem`.
    """
    body = {
        "type": f"urn:bruno-memory-vec:problem:{kind}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": problem,
        "fix": fix,
        **more,
    }
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


def of(error: Exception) -> JSONResponse:
    """The answer for an error, whatever it is."""
    if isinstance(error, Refused):
        return answer(error.status, error.kind, error.problem, error.fix, headers=error.headers)
    if isinstance(error, RequestValidationError):
        return _invalid(error.errors())
    if isinstance(error, HTTPException):
        return _plain(error)
    if isinstance(error, BrunoError):
        return _ours(error)
    # Its message may hold what somebody has written, so it is told nowhere: only where it was.
    where = traceback.extract_tb(error.__traceback__)[-1:]
    place = f"{where[0].filename}:{where[0].lineno}" if where else ""
    _log.error("request_failed", error=type(error).__name__, at=place)
    return answer(
        500, "internal-error", "the server failed", "Look into its log, and report it as a bug."
    )


def install(app: FastAPI) -> None:
    """Answer every error of an application so."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        return of(error)

    for kind in (Refused, RequestValidationError, HTTPException, BrunoError):
        app.add_exception_handler(kind, handle)


def _ours(error: BrunoError) -> JSONResponse:
    status = next((code for kind, code in _STATUS_OF if isinstance(error, kind)), 503)
    if isinstance(error, ForeignUserError) and status == 404:
        # Whether another user has something of this name is not said.
        return answer(
            404,
            "not-found",
            "there is no such conversation or session of this user",
            "Use an id of the user's own, or another one for something new.",
        )
    # Errors hide secrets themselves; another package's engine may not.
    problem, fix = map(masked, problem_and_fix(error))
    if isinstance(error, NotPermittedError) and ("for_user" in fix or "whole memory" in fix):
        fix = "Use a token that may: bruno-memory-vec token --role, or --space."
    more = {"field": error.field} if isinstance(error, InvalidInputError) else {}
    retry = {"Retry-After": str(_RETRY_AFTER_S)} if status == 503 else {}
    return answer(status, _kebab(type(error).__name__), problem, fix, headers=retry, **more)


def _plain(error: HTTPException) -> JSONResponse:
    phrase = HTTPStatus(error.status_code).phrase
    told = {
        400: ("the body cannot be read", "Send JSON, in UTF-8, without NaN or Infinity."),
        404: ("there is no such address", "The addresses are in /openapi.json."),
        413: (str(error.detail), "Send less at once."),
        405: ("the address has other methods", "The header Allow names them."),
    }.get(error.status_code, (str(error.detail), ""))
    headers = dict(error.headers or {})
    return answer(error.status_code, phrase.lower().replace(" ", "-"), *told, headers=headers)


def _invalid(errors: Sequence[Any]) -> JSONResponse:
    if any(one["type"] == "json_invalid" for one in errors):
        return answer(
            400, "bad-request", "the body is no JSON", "Send JSON, with its Content-Type."
        )
    # What was sent is left out: it may be somebody's text.
    found = [
        {"field": ".".join(str(part) for part in one["loc"]), "problem": str(one["msg"])}
        for one in errors[:20]
    ]
    first = found[0]
    name = first["field"].partition(".")[2] or first["field"]
    return answer(
        422,
        "invalid-input",
        f"{name}: {first['problem']}",
        "Mend the fields that errors names; /openapi.json says what each may be.",
        field=name,
        errors=found,
    )


def _kebab(name: str) -> str:
    words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)
    return words.strip("-").removesuffix("-error").replace("l-l-m", "llm")
