"""Users: who there is, what is known of one, and how much a store holds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import Field

from bruno_memory_vec.errors import NotFoundError
from bruno_memory_vec.surfaces.http.caller import Caller, Whole
from bruno_memory_vec.surfaces.http.operations import router as made_router
from bruno_memory_vec.surfaces.http.shapes import Given, Moment, Shown, aware, plain

router = made_router("users")

Part = Literal["preferences", "profile"]
Key = Annotated[str, Path(min_length=1, max_length=1024, description="The value's name.")]


class UserSummaryOut(Shown):
    """What a store holds of a user."""

    user_id: str
    messages: int
    memories: int
    conversations: int
    first: Moment | None = None
    last: Moment | None = None


class Me(Shown):
    """Whose the calls of a token are."""

    user_id: str | None = Field(description="None where the server has no tokens.")
    role: Literal["reader", "member", "admin"]
    token: str | None = Field(description="What the token is called.")
    spaces: dict[str, Literal["read", "write"]]
    may_choose_user: bool = Field(description="Whether `?user_id=` may name anybody.")


class KnownValueOut(Shown):
    """One preference, or one value of the profile."""

    key: str
    value: Any
    origin: Literal["edited", "learned"]
    others: list[Any] = Field(description="Other learned values, the newest first.")
    sources: list[str] = Field(description="The memories that say it.")
    turns: list[str] = Field(description="The messages that these cite.")
    at: Moment | None = None
    confidence: float


class KnownFactOut(Shown):
    """A sentence about the user."""

    id: str
    text: str
    turns: list[str]
    at: Moment
    confidence: float


class ProfileOut(Shown):
    """What is known of a user, each value with where it is from."""

    user_id: str
    name: str | None = None
    preferences: dict[str, KnownValueOut]
    profile: dict[str, KnownValueOut]
    facts: list[KnownFactOut]
    rows: int
    refreshed_at: Moment | None = None


class ValueIn(Given):
    """A value to set."""

    value: Any = Field(description="Anything that JSON can hold.", examples=["tea"])


class NameIn(Given):
    """A user's name; null for the learned one."""

    name: str | None = Field(min_length=1, max_length=1024)


class ProfileText(Shown):
    """What is known of a user, for a prompt."""

    text: str
    lines: list[str]


class Statistics(Shown):
    """How much there is of a user."""

    user_id: str
    counts: dict[str, Any]


@router.get("/me")
async def me(caller: Caller) -> Me:
    """Whose the calls are, and what they may do."""
    token = caller.token
    return Me(
        user_id=caller.user_id,
        role="admin" if token is None else token.role,
        token=None if token is None else token.name,
        spaces={} if token is None else dict(token.spaces),
        may_choose_user=caller.may_choose,
    )


@router.get("/users")
async def list_users(memory: Whole) -> list[UserSummaryOut]:
    """Every user with a message or a memory. An administrator's."""
    return [UserSummaryOut.model_validate(one) for one in await memory.list_users()]


@router.get("/statistics")
async def statistics(caller: Caller) -> Statistics:
    """How many messages, conversations and memories a user has, and since when."""
    found = await caller.memory.get_statistics(caller.user)
    return Statistics(user_id=caller.user, counts=plain(found))


@router.get("/profile")
async def profile(caller: Caller) -> ProfileOut:
    """What is known of a user: what was set, and what was learned where nothing was."""
    found = await caller.memory.users.profile(caller.user)
    return ProfileOut(
        user_id=found.user_id,
        name=found.name,
        preferences={key: _value(one) for key, one in found.preferences.items()},
        profile={key: _value(one) for key, one in found.profile.items()},
        facts=[KnownFactOut.model_validate(one) for one in found.facts],
        rows=found.rows,
        refreshed_at=found.refreshed_at,
    )


@router.get("/profile-text")
async def profile_text(
    caller: Caller,
    budget: Annotated[int, Query(ge=1, le=1_000_000, description="The most tokens.")] = 200,
) -> ProfileText:
    """What is known of a user as lines of a prompt, each stored text quoted."""
    users = caller.memory.users
    return ProfileText(
        text=await users.profile_text(caller.user, budget=budget),
        lines=await users.profile_lines(caller.user),
    )


@router.put("/profile-name", status_code=204)
async def set_name(caller: Caller, body: NameIn) -> None:
    """Set the user's name."""
    await caller.memory.users.set_name(body.name, user_id=caller.user)


@router.post("/profile-refresh")
async def refresh_profile(caller: Caller) -> ProfileOut:
    """Take everything that is learned from the rows anew, now."""
    await caller.memory.users.refresh(caller.user)
    return await profile(caller)


@router.delete("/profile-learned", status_code=204)
async def forget_learned(caller: Caller) -> None:
    """Forget everything that was learned of a user, and nothing that was set."""
    await caller.memory.users.forget(caller.user)


@router.put("/profile/{part}/{key:id}", status_code=204)
async def set_value(caller: Caller, part: Part, key: Key, body: ValueIn) -> None:
    """Set a preference or a value of the profile. It wins over what is learned."""
    users = caller.memory.users
    setting = users.set_preference if part == "preferences" else users.set_profile
    await setting(key, body.value, user_id=caller.user)


@router.delete("/profile/{part}/{key:id}", status_code=204)
async def remove_value(
    caller: Caller,
    part: Literal["preferences", "profile", "facts"],
    key: Key,
    delete_memories: Annotated[
        bool, Query(description="Delete the memories that say it, too.")
    ] = False,
) -> None:
    """Take something out of what is known of a user. It is not learned again."""
    if not await caller.memory.users.remove(
        key, part=part, delete_memories=delete_memories, user_id=caller.user
    ):
        raise NotFoundError(
            "there is nothing of this name", fix="Use a name that GET /v1/profile shows."
        )


@router.post("/profile/{part}/{key:id}/reset", status_code=204)
async def reset_value(caller: Caller, part: Part, key: Key) -> None:
    """Undo what was set or removed under a name: what is learned counts again."""
    await caller.memory.users.reset(key, part=part, user_id=caller.user)


def _value(one: Any) -> KnownValueOut:
    return KnownValueOut(
        key=one.key,
        value=plain(one.value),
        origin=one.origin,
        others=[plain(other) for other in one.others],
        sources=list(one.sources),
        turns=list(one.turns),
        at=None if one.at is None else aware(one.at),
        confidence=one.confidence,
    )
