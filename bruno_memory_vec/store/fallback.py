"""The first store of several that can be opened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from bruno_memory_vec.config import MemoryConfig
from bruno_memory_vec.errors import BackendUnavailable, MissingDependencyError, problem_and_fix
from bruno_memory_vec.indexers.urls import masked
from bruno_memory_vec.logs import get_logger
from bruno_memory_vec.store.deployment import deployment_of

_log = get_logger(__name__)
Opened = TypeVar("Opened")

#: What leads to the next URL. Every other error is of a store that is there, and is raised: a
#: typing error, another embedder's vectors or a folder in use would else be passed over in silence,
#: and rows be written where nobody looks for them.
AWAY = (BackendUnavailable, MissingDependencyError)


@dataclass(frozen=True, slots=True)
class Refused:
    """A URL that was not used, and why. Both are without secrets."""

    url: str
    why: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """The URL that is used, without secrets, and those before it."""

    url: str
    refused: tuple[Refused, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for ``health()``."""
        return {
            "url": self.url,
            "refused": [{"url": one.url, "why": one.why} for one in self.refused],
        }


async def first_that_opens(
    config: MemoryConfig, open_one: Callable[[MemoryConfig], Awaitable[Opened]]
) -> tuple[Opened, Chosen]:
    """Open the first of ``config.urls`` that can be reached, one after the other.

    Args:
        config: the settings; ``urls`` is not empty.
        open_one: opens what ``url`` of its argument names, and leaves nothing open if it fails.

    Raises:
        BackendUnavailable: none can be reached; it names each, and why.
        InvalidInputError: one of the URLs has an unknown scheme; nothing was opened.
        BrunoError: one can be reached, and cannot be used.
    """
    for url in config.urls:
        deployment_of(url)
    refused: list[Refused] = []
    for url in config.urls:
        try:
            opened = await open_one(config.model_copy(update={"url": url}))
        except AWAY as error:
            refused.append(Refused(masked(url), masked(problem_and_fix(error)[0])))
            last = error
            continue
        chosen = Chosen(masked(url), tuple(refused))
        if refused:
            _log.warning("fell_back", **chosen.to_dict())
        else:
            _log.info("chose_url", url=chosen.url)
        return opened, chosen
    tried = "; ".join(f"{one.url}: {one.why}" for one in refused)
    raise BackendUnavailable(
        "store",
        "open",
        f"none of the {len(refused)} urls can be reached: {tried}",
        fix=masked(problem_and_fix(last)[1]),
        cause=last,
    )
