"""A request as the pages read it: who looks, at whom, and with what words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.requests import Request

from bruno_memory_vec.errors import InvalidInputError, NotFoundError
from bruno_memory_vec.prompts.hidden_characters import without_hidden
from bruno_memory_vec.rows.checks import identifier, shown
from bruno_memory_vec.surfaces.inspector.visitors import Visitor, Visits, cookie_name

if TYPE_CHECKING:
    from bruno_memory_vec.memory import VectorMemory

#: How long a question on a page may be; more would not fit into an address.
LONGEST_QUESTION: Final = 2_000


class LoginNeeded(Exception):
    """Nobody is logged in, and the server has tokens."""


@dataclass(frozen=True, slots=True)
class Look:
    """One request of a visitor.

    Attributes:
        request: the request.
        visitor: who looks.
        visits: the logins.
        user_id: whose rows are looked at; None where nobody is chosen yet.
        base: where the pages begin, such as ``/inspector``.
        path: the page below it.
    """

    request: Request
    visitor: Visitor
    visits: Visits
    user_id: str | None
    base: str
    path: str

    @property
    def memory(self) -> VectorMemory:
        """The memory of the user that is looked at."""
        return self.visitor.memory_of(self.user) if self.user_id else self.visitor.memory

    @property
    def user(self) -> str:
        """Whose rows are looked at.

        Raises:
            UserNeeded: nobody is chosen.
        """
        if self.user_id is None:
            raise UserNeeded
        return self.user_id

    @property
    def may_change(self) -> bool:
        """Whether the rows that are looked at may be changed."""
        return self.user_id is not None and self.visitor.may_change(self.user_id)

    @property
    def form_key(self) -> str:
        """What every form that changes something carries."""
        return self.visits.form_key(self.request.state.visit)

    @property
    def here(self) -> str:
        """The address of this page, to come back to."""
        query = self.request.url.query
        return f"{self.base}{self.path}{'?' if query else ''}{query}"

    def word(self, name: str, default: str = "") -> str:
        """A value of the query, without white space around it."""
        return self.request.query_params.get(name, default).strip()

    def words(self, name: str) -> list[str]:
        """All values of a name in the query that are not blank."""
        given = (one.strip() for one in self.request.query_params.getlist(name))
        return [one for one in given if one]

    def question(self) -> str:
        """The question ``q``, without characters that nobody sees.

        Raises:
            InvalidInputError: it is too long.
        """
        asked = without_hidden(self.word("q")).strip()
        if len(asked) > LONGEST_QUESTION:
            raise InvalidInputError(
                "q",
                f"has {len(asked):,} characters",
                fix=f"Ask in {LONGEST_QUESTION:,} at most.",
            )
        return asked

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A whole number of the query.

        Raises:
            InvalidInputError: it is none, or out of its bounds.
        """
        given = self.word(name)
        if not given:
            return default
        # Python makes no number of more digits than a few thousand.
        if not given.isdecimal() or len(given) > 15 or not least <= int(given) <= most:
            raise InvalidInputError(
                name, f"is {shown(given)}", fix=f"Give a whole number from {least} to {most}."
            )
        return int(given)

    def choice(self, name: str, known: tuple[str, ...], default: str) -> str:
        """One of some words.

        Raises:
            InvalidInputError: it is none of them.
        """
        given = self.word(name) or default
        if given not in known:
            raise InvalidInputError(
                name, f"is {shown(given)}", fix=f"Give one of {', '.join(known)}."
            )
        return given

    def link(self, path: str, **query: object) -> str:
        """The address of a page, of the same user unless another is given."""
        named: Mapping[str, object] = {"user": self._said_user, **query}
        pairs = [(name, value) for name, value in named.items() if value not in (None, "", False)]
        text = urlencode(pairs, doseq=True)
        return f"{self.base}{path}{'?' if text else ''}{text}"

    def again(self, **query: object) -> str:
        """The address of this page with some values of its query changed."""
        kept: dict[str, object] = {
            name: self.request.query_params.getlist(name) for name in self.request.query_params
        }
        kept.pop("done", None)
        return self.link(self.path, **{**kept, **query})

    @property
    def _said_user(self) -> str | None:
        """The user in addresses; none where a visitor has only one."""
        return None if self.user_id == self.visitor.user_id else self.user_id


class UserNeeded(Exception):
    """The page is about one user, and nobody is chosen."""


def look_of(request: Request, visits: Visits, path: str, user_id: str | None = None) -> Look:
    """Who looks, and at whom.

    Args:
        request: the request.
        visits: the logins.
        path: the page, below where the pages begin.
        user_id: whom a form names; else the query does.

    Raises:
        LoginNeeded: nobody is logged in.
        NotFoundError: the user that is named does not exist for the visitor.
        InvalidInputError: what is named is no user.
    """
    visitor = visits.visitor(visit_of(request))
    if visitor is None:
        raise LoginNeeded
    named = request.query_params.get("user", "") if user_id is None else user_id
    if named:
        identifier("user", named)
        if not visitor.sees(named):
            raise NotFoundError(
                f"there is no user {shown(named)} for this token",
                fix="Leave the user out to see the token's own.",
            )
    base = str(request.scope.get("root_path", ""))
    return Look(request, visitor, visits, named or visitor.user_id, base, path)


def visit_of(request: Request) -> str | None:
    """The name of the visit that a request belongs to; None where it has none."""
    return request.cookies.get(cookie_name(request.url.port))


def local(target: str, base: str) -> str:
    """An address of these pages to go back to; their first page where it is another."""
    inside = target == base or target.startswith((f"{base}/", f"{base}?"))
    plain = target.isprintable() and "\\" not in target and not target.startswith("//")
    return target if inside and plain else f"{base}/"
