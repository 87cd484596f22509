"""``memory.users``: what is known of a user, and how it is edited."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from bruno_core.models.context import UserContext

from bruno_memory_vec.acts import acts
from bruno_memory_vec.context.known_line import KnownLine
from bruno_memory_vec.conversations.conversations import check_dicts
from bruno_memory_vec.errors import InvalidInputError
from bruno_memory_vec.indexers.query import RowFilter, Scope
from bruno_memory_vec.indexers.schema import MEMORY
from bruno_memory_vec.knowledge.users.aggregation import zone_of
from bruno_memory_vec.knowledge.users.learning import Learning
from bruno_memory_vec.knowledge.users.profile import Part, UserProfile
from bruno_memory_vec.knowledge.users.record import (
    KEY,
    PARTS,
    Learned,
    joined,
    learned_of,
    parted,
    profile_of,
    with_learned,
)
from bruno_memory_vec.knowledge.users.refreshing import refresh
from bruno_memory_vec.knowledge.users.rendering import known_lines, text_of
from bruno_memory_vec.knowledge.users.saving import change_user
from bruno_memory_vec.prompts.hidden_characters import without_hidden
from bruno_memory_vec.prompts.token_bound import counter
from bruno_memory_vec.rows import checks
from bruno_memory_vec.store.handle import Handle


class UserManager:
    """What is known of users: preferences, profile, facts, and how they write.

    It is learned from rows (memories of the categories "preference" and "fact", and the user's own
    messages) and kept up to date in the background; what somebody has set wins over what was
    learned. In a view, ``user_id`` need not be given.

    Args:
        handle: the memory or view.
        learning: keeps what is learned up to date with the rows.
    """

    #: As what an observed operation of it is named.
    _part_of_memory: ClassVar = "users"

    def __init__(self, handle: Handle, learning: Learning) -> None:
        self._handle = handle
        self._learning = learning

    # Reading

    @acts("read")
    async def profile(self, user_id: str | None = None) -> UserProfile:
        """What is known of a user, each value with where it is from.

        It is brought up to date first where rows have changed since.

        Raises:
            InvalidInputError: nothing says whose.
            ForeignUserError: the view is another user's.
        """
        user = self._user(user_id)
        saved = await self._saved(user)
        learned = learned_of(saved)
        store = await self._handle.store()
        if store.writer is not None and (
            learned.behind or learned.expired or not learned.refreshed_at
        ):
            saved = await refresh(store, user, self._learning.turns)
        return profile_of(saved)

    @acts("read")
    async def profile_lines(self, user_id: str | None = None) -> list[str]:
        """The profile as lines of a prompt: bounded, each stored text quoted, no line without one.

        It reads what is saved, and counts nothing anew.

        Raises: as :meth:`profile`.
        """
        return [line.text for line in await self.known_lines(user_id)]

    @acts("read")
    async def known_lines(self, user_id: str | None = None) -> list[KnownLine]:
        """As :meth:`profile_lines`, each line with the memories and messages that it is from."""
        return known_lines(profile_of(await self._saved(self._user(user_id))))

    @acts("read")
    async def profile_text(self, user_id: str | None = None, *, budget: int = 200) -> str:
        """The same as one text of at most ``budget`` tokens, with a head; empty without a line.

        Tokens are counted with the setting ``count_tokens``, else at their most.

        Raises: as :meth:`profile`.
        """
        budget = checks.limit("budget", budget, largest=1_000_000)
        profile = profile_of(await self._saved(self._user(user_id)))
        return text_of(profile, budget, counter(self._handle.config.count_tokens))

    # Learning

    @acts("write")
    async def refresh(self, user_id: str | None = None) -> UserProfile:
        """Take everything that is learned from the rows anew, now.

        Raises:
            ReadOnlyError: the store was opened read-only.
            EngineError: the rows cannot be read, or the result not be saved.
        """
        user = self._user(user_id)
        await self._handle.writer()
        return profile_of(await refresh(await self._handle.store(), user, self._learning.turns))

    @acts("delete")
    async def forget(self, user_id: str | None = None) -> None:
        """Forget everything that was learned, and nothing that was set; it may be learned again.

        The memories it is from stay: delete them to have it not learned again.
        """
        await self._change(
            self._user(user_id),
            lambda user: with_learned(user, Learned(removed=learned_of(user).removed)),
        )

    # Editing

    @acts("write")
    async def set_preference(self, key: str, value: Any, *, user_id: str | None = None) -> None:
        """Set a preference. It wins over what is learned under this key.

        Raises:
            InvalidInputError: the key is no name, or the value cannot be kept.
            ReadOnlyError: the store was opened read-only.
        """
        await self._set("preferences", key, value, user_id)

    @acts("write")
    async def set_profile(self, key: str, value: Any, *, user_id: str | None = None) -> None:
        """Set a value of the profile, such as "home" or "timezone". As :meth:`set_preference`.

        A "timezone" has to be the name of one, such as "Europe/Berlin".
        """
        await self._set("profile", key, value, user_id)

    @acts("write")
    async def set_name(self, name: str | None, *, user_id: str | None = None) -> None:
        """Set the user's name; with None, the learned one counts again."""
        if name is not None:
            checks.storable_text("name", name)
        await self._change(self._user(user_id), lambda user: user.model_copy(update={"name": name}))

    @acts("write")
    async def remove(
        self,
        key: str,
        *,
        part: Literal["preferences", "profile", "facts"] = "preferences",
        delete_memories: bool = False,
        user_id: str | None = None,
    ) -> bool:
        """Take something out of what is known of a user. It is not learned again.

        Args:
            key: the key of a preference or of a value of the profile, or the id of a fact.
            part: where it is.
            delete_memories: delete the memories that say it as well; else a recall still finds
                them.
            user_id: whose.

        Returns:
            Whether it was there.

        Raises:
            InvalidInputError: an argument is not usable.
            ReadOnlyError: the store was opened read-only.
        """
        user, key = self._user(user_id), checks.label("key", key)
        (part,) = checks.names("part", part, (*PARTS, "facts"))  # type: ignore[assignment]
        delete_memories = checks.flag("delete_memories", delete_memories)
        memories: set[str] = set()
        found = False

        def without(saved: UserContext) -> UserContext:
            nonlocal found
            learned = learned_of(saved)
            if part == "facts":
                here = {one.memory_id for one in learned.facts if one.memory_id == key}
            else:
                here = {one.memory_id for one in getattr(learned, part) if one.key == key}
            edited = {} if part == "facts" else getattr(saved, part)
            found = key in edited or (bool(here) and key not in learned.removed.get(part, ()))
            memories.update(here)
            if not found and not here:
                return saved
            kept = {name: value for name, value in edited.items() if name != key}
            changed = saved if part == "facts" else saved.model_copy(update={part: kept})
            return with_learned(changed, learned.with_removed(part, [key]))

        await self._change(user, without)
        if delete_memories and memories:
            writer = await self._handle.writer()
            where = RowFilter(kinds=(MEMORY,), ids=tuple(sorted(memories)))
            await writer.delete(Scope.user(user), where)
        return found

    @acts("write")
    async def reset(
        self, key: str, *, part: Part = "preferences", user_id: str | None = None
    ) -> None:
        """Undo what was set or removed under a key: what is learned counts again."""
        user, key = self._user(user_id), checks.label("key", key)
        (part,) = checks.names("part", part, PARTS)  # type: ignore[assignment]

        def without_edit(saved: UserContext) -> UserContext:
            kept = {name: value for name, value in getattr(saved, part).items() if name != key}
            learned = learned_of(saved).with_removed(part, [key], gone=False)
            return with_learned(saved.model_copy(update={part: kept}), learned)

        await self._change(user, without_edit)

    @acts("write")
    async def save(self, user: UserContext) -> None:
        """Save a whole ``UserContext``: what is in it is set, what was learned in it is not.

        A learned value that a context showed, and that was taken out of it, is removed.

        Raises:
            InvalidInputError: something in it cannot be kept, or is too large.
            ForeignUserError: the view is another user's.
        """
        if not isinstance(user, UserContext):
            raise InvalidInputError("user", "expected a UserContext", fix="Make a UserContext.")
        self._handle.caller.acting_for_named(user.user_id)
        await self._handle.writer()
        await self._check(user)
        await self._change(user.user_id, lambda saved: parted(user, saved), check=False)

    @acts("write")
    async def save_given(
        self,
        user_id: str,
        given: Callable[[UserContext], UserContext | None],
        *,
        dry_run: bool = False,
    ) -> None:
        """Save what a function makes of what is saved, as :meth:`save`.

        Args:
            user_id: whose.
            given: makes it; None for no change.
            dry_run: only refuse what cannot be saved.

        Raises: as :meth:`save`.
        """
        self._handle.caller.acting_for_named(user_id)

        def change(saved: UserContext) -> UserContext:
            made = given(saved)
            after = saved if made is None else parted(made, saved)
            return saved if after == saved else after

        if dry_run:
            await self._check(change(await self._saved(user_id)))
        else:
            await self._change(user_id, change)

    @acts("read")
    async def context(self, user_id: str | None = None) -> UserContext:
        """What is set and what is learned, as bruno-core's ``UserContext``.

        Raises: as :meth:`profile`.
        """
        return joined(await self._saved(self._user(user_id)))

    # How it is done

    def _user(self, user_id: str | None) -> str:
        user = self._handle.caller.acting_for(user_id)
        if user is None:
            raise InvalidInputError(
                "user_id",
                "is missing, so that it is not clear whose profile is meant",
                fix="Give user_id=..., or use for_user().",
            )
        return user

    async def _saved(self, user_id: str) -> UserContext:
        sessions = (await self._handle.store()).sessions
        return await sessions.user(user_id) or UserContext(user_id=user_id)

    async def _set(self, part: Part, key: str, value: Any, user_id: str | None) -> None:
        user, key = self._user(user_id), checks.label("key", key)
        if not without_hidden(key).strip():
            raise InvalidInputError("key", "is blank", fix="Name what is set.")
        if (part, key) == ("profile", "timezone") and zone_of({key: value}) is None:
            raise InvalidInputError(
                "timezone",
                f"{checks.shown(value)} is no time zone",
                fix='Give a name such as "Europe/Berlin".',
            )

        def with_value(saved: UserContext) -> UserContext:
            values = {**getattr(saved, part), key: value}
            learned = learned_of(saved).with_removed(part, [key], gone=False)
            return with_learned(saved.model_copy(update={part: values}), learned)

        await self._change(user, with_value)

    async def _change(
        self, user_id: str, change: Callable[[UserContext], UserContext], *, check: bool = True
    ) -> None:
        await self._handle.writer()
        sessions = (await self._handle.store()).sessions
        if check:
            # What it makes of what is saved now: refused before anything is written.
            await self._check(change(await self._saved(user_id)))
        await change_user(sessions, self._learning.turns, user_id, change)

    async def _check(self, user: UserContext) -> None:
        """Refuse what somebody sets, where it cannot be kept; what was learned is bounded."""
        metadata = user.metadata
        if isinstance(metadata, dict) and KEY in metadata:
            metadata = {key: value for key, value in metadata.items() if key != KEY}
        given = {
            "user.preferences": user.preferences,
            "user.profile": user.profile,
            "user.metadata": metadata,
        }
        await check_dicts(given, self._handle.config.bounds)
        if user.name is not None:
            checks.storable_text("user.name", user.name, blank=True)
