"""The handle on an open memory that its managers work with: the store, and whose calls they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bruno_memory_vec.access import Caller, about_talk
from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.events import Events
from bruno_memory_vec.sessions.owners import Owners
from bruno_memory_vec.store.store import LazyStore, Store
from bruno_memory_vec.writing.throttle import Throttle
from bruno_memory_vec.writing.writer import Writer

if TYPE_CHECKING:
    from bruno_core.interfaces.llm import LLMInterface

    from bruno_memory_vec.rankers import Profile


@dataclass(frozen=True, slots=True)
class Handle:
    """What a manager needs of a memory or a view. It opens the store at first use.

    Attributes:
        lazy: the store, opened at first use.
        caller: whose calls these are: of a view its user, else of the whole memory.
        profile: how the memory recalls where a call names no profile.
        throttle: lets callers that write take turns.
        llm: the model that the memory was given; None without one.
        events: tells the bus that the memory was given what happens; without one, nobody.
    """

    lazy: LazyStore
    caller: Caller
    profile: Profile
    throttle: Throttle
    llm: LLMInterface | None = None
    events: Events = field(default_factory=Events)

    @property
    def config(self) -> MemoryConfig:
        """The settings in force."""
        return self.lazy.config

    async def store(self) -> Store:
        """The open store. Raises as :meth:`.LazyStore.get`."""
        return await self.lazy.get()

    async def writer(self) -> Writer:
        """The writer of the open store.

        Raises:
            ReadOnlyError: the store was opened read-only.
        """
        return await self.lazy.writer()

    async def owners(self) -> Owners:
        """Who owns which conversation."""
        return (await self.lazy.get()).owners

    async def find(self, conversation_id: str) -> str:
        """A conversation that may be named by the id of a session that the caller may see."""
        found = await (await self.owners()).find(conversation_id, self.caller.user_id)
        return about_talk(found)
