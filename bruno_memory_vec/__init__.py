"""The memory of an AI assistant: vector-native, in a folder, for the Bruno platform.

::

    from bruno_memory_vec import open_memory

    async with open_memory("./memory") as memory:
        await memory.store_message(message, "trip-planning", user_id="ana")
        hits = await memory.recall("where did we stay in Lisbon?", user_id="ana", k=5)

Importing this package loads no engine: each name is fetched when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bruno_memory_vec._version import __version__

if TYPE_CHECKING:
    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.diagnosis import Check, diagnose_store
    from bruno_memory_vec.embedders.protocol import Embedder, Fingerprint
    from bruno_memory_vec.factory import open_memory
    from bruno_memory_vec.following import Progress
    from bruno_memory_vec.hits import Hit, Hits
    from bruno_memory_vec.listing import ConversationSummary, ConversationTurn, Page, UserSummary
    from bruno_memory_vec.maintenance import MaintenanceReport
    from bruno_memory_vec.memory import ALL_USERS, VectorMemory
    from bruno_memory_vec.profiles import list_profiles, load_profile
    from bruno_memory_vec.rankers import Profile
    from bruno_memory_vec.reembedding.run import ReembedReport, reembed
    from bruno_memory_vec.repair import RepairReport, repair_store
    from bruno_memory_vec.rows import check_message

_PLACES = {
    "ALL_USERS": "memory",
    "Check": "diagnosis",
    "ConversationSummary": "listing",
    "ConversationTurn": "listing",
    "Embedder": "embedders.protocol",
    "Fingerprint": "embedders.protocol",
    "Hit": "hits",
    "Hits": "hits",
    "MaintenanceReport": "maintenance",
    "MemoryConfig": "config",
    "Page": "listing",
    "Profile": "rankers",
    "Progress": "following",
    "ReembedReport": "reembedding.run",
    "RepairReport": "repair",
    "UserSummary": "listing",
    "VectorMemory": "memory",
    "check_message": "rows",
    "diagnose_store": "diagnosis",
    "list_profiles": "profiles",
    "load_profile": "profiles",
    "open_memory": "factory",
    "reembed": "reembedding.run",
    "repair_store": "repair",
}

__all__ = [
    "ALL_USERS",
    "Check",
    "ConversationSummary",
    "ConversationTurn",
    "Embedder",
    "Fingerprint",
    "Hit",
    "Hits",
    "MaintenanceReport",
    "MemoryConfig",
    "Page",
    "Profile",
    "Progress",
    "ReembedReport",
    "RepairReport",
    "UserSummary",
    "VectorMemory",
    "__version__",
    "check_message",
    "diagnose_store",
    "list_profiles",
    "load_profile",
    "open_memory",
    "reembed",
    "repair_store",
]


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{place}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
