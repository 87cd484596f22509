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
    from bruno_memory_vec.assistant.assistant import MemoryAssistant
    from bruno_memory_vec.assistant.hybrid import HybridMemory
    from bruno_memory_vec.compression.report import CompressionReport, RestoreReport
    from bruno_memory_vec.compression_policy import CompressionPolicy
    from bruno_memory_vec.config import MemoryConfig
    from bruno_memory_vec.context.report import BuiltContext, ContextReport
    from bruno_memory_vec.conversations.listing import (
        ConversationSummary,
        ConversationTurn,
        Page,
        UserSummary,
    )
    from bruno_memory_vec.conversations.overview import ConversationInfo
    from bruno_memory_vec.embedders.protocol import Embedder, Fingerprint
    from bruno_memory_vec.knowledge.priorities.ranking import PrunePolicy, PruneReport, RowPriority
    from bruno_memory_vec.knowledge.priorities.score import PriorityWeights
    from bruno_memory_vec.memory import ALL_USERS, VectorMemory, open_memory
    from bruno_memory_vec.portability.frames import to_arrow, to_pandas, to_polars
    from bruno_memory_vec.privacy.anonymise.anonymiser import Anonymiser
    from bruno_memory_vec.privacy.erasure.receipt import ErasureReceipt
    from bruno_memory_vec.privacy.erasure.remains import RemainsReport
    from bruno_memory_vec.rankers import Profile
    from bruno_memory_vec.recall.hits import Hit, Hits
    from bruno_memory_vec.recall.profiles import list_profiles, load_profile
    from bruno_memory_vec.rows.models import check_message
    from bruno_memory_vec.upkeep.backup.making import backup_store
    from bruno_memory_vec.upkeep.backup.pruning import prune_backup
    from bruno_memory_vec.upkeep.backup.report import BackupCheck, BackupReport, PruneBackupReport
    from bruno_memory_vec.upkeep.backup.restoring import restore_backup
    from bruno_memory_vec.upkeep.backup.verifying import list_backup, verify_backup
    from bruno_memory_vec.upkeep.check import Check
    from bruno_memory_vec.upkeep.copying.report import CopyReport
    from bruno_memory_vec.upkeep.copying.run import copy_store
    from bruno_memory_vec.upkeep.diagnosis import diagnose_store
    from bruno_memory_vec.upkeep.encrypting.report import EncryptionReport
    from bruno_memory_vec.upkeep.encrypting.run import decrypt_store, encrypt_store, rotate_key
    from bruno_memory_vec.upkeep.exporting.report import ExportReport
    from bruno_memory_vec.upkeep.intake.report import IngestReport
    from bruno_memory_vec.upkeep.maintenance import MaintenanceReport
    from bruno_memory_vec.upkeep.migrations.report import MigrationReport
    from bruno_memory_vec.upkeep.migrations.run import migrate
    from bruno_memory_vec.upkeep.reembedding.report import ReembedReport
    from bruno_memory_vec.upkeep.reembedding.run import reembed
    from bruno_memory_vec.upkeep.repair import RepairReport, repair_store
    from bruno_memory_vec.upkeep.retention import RetentionReport
    from bruno_memory_vec.upkeep.snapshots import SnapshotReport, snapshot_store
    from bruno_memory_vec.writing.projections import Progress

_PLACES = {
    "ALL_USERS": "memory",
    "Anonymiser": "privacy.anonymise.anonymiser",
    "BackupCheck": "upkeep.backup.report",
    "BackupReport": "upkeep.backup.report",
    "PruneBackupReport": "upkeep.backup.report",
    "BuiltContext": "context.report",
    "Check": "upkeep.check",
    "CompressionPolicy": "compression_policy",
    "CompressionReport": "compression.report",
    "ContextReport": "context.report",
    "ConversationInfo": "conversations.overview",
    "ConversationSummary": "conversations.listing",
    "ConversationTurn": "conversations.listing",
    "CopyReport": "upkeep.copying.report",
    "Embedder": "embedders.protocol",
    "ExportReport": "upkeep.exporting.report",
    "EncryptionReport": "upkeep.encrypting.report",
    "ErasureReceipt": "privacy.erasure.receipt",
    "Fingerprint": "embedders.protocol",
    "Hit": "recall.hits",
    "Hits": "recall.hits",
    "HybridMemory": "assistant.hybrid",
    "IngestReport": "upkeep.intake.report",
    "MaintenanceReport": "upkeep.maintenance",
    "MemoryAssistant": "assistant.assistant",
    "MemoryConfig": "config",
    "MigrationReport": "upkeep.migrations.report",
    "Page": "conversations.listing",
    "Profile": "rankers",
    "PriorityWeights": "knowledge.priorities.score",
    "PrunePolicy": "knowledge.priorities.ranking",
    "PruneReport": "knowledge.priorities.ranking",
    "RowPriority": "knowledge.priorities.ranking",
    "Progress": "writing.projections",
    "ReembedReport": "upkeep.reembedding.report",
    "RemainsReport": "privacy.erasure.remains",
    "RepairReport": "upkeep.repair",
    "RestoreReport": "compression.report",
    "RetentionReport": "upkeep.retention",
    "SnapshotReport": "upkeep.snapshots",
    "UserSummary": "conversations.listing",
    "VectorMemory": "memory",
    "backup_store": "upkeep.backup.making",
    "restore_backup": "upkeep.backup.restoring",
    "to_arrow": "portability.frames",
    "to_pandas": "portability.frames",
    "to_polars": "portability.frames",
    "verify_backup": "upkeep.backup.verifying",
    "list_backup": "upkeep.backup.verifying",
    "prune_backup": "upkeep.backup.pruning",
    "check_message": "rows.models",
    "copy_store": "upkeep.copying.run",
    "decrypt_store": "upkeep.encrypting.run",
    "diagnose_store": "upkeep.diagnosis",
    "encrypt_store": "upkeep.encrypting.run",
    "list_profiles": "recall.profiles",
    "load_profile": "recall.profiles",
    "migrate": "upkeep.migrations.run",
    "open_memory": "memory",
    "reembed": "upkeep.reembedding.run",
    "repair_store": "upkeep.repair",
    "rotate_key": "upkeep.encrypting.run",
    "snapshot_store": "upkeep.snapshots",
}

__all__ = [
    "ALL_USERS",
    "Anonymiser",
    "BackupCheck",
    "BackupReport",
    "BuiltContext",
    "Check",
    "CompressionPolicy",
    "CompressionReport",
    "ContextReport",
    "ConversationInfo",
    "ConversationSummary",
    "ConversationTurn",
    "CopyReport",
    "Embedder",
    "EncryptionReport",
    "ErasureReceipt",
    "ExportReport",
    "Fingerprint",
    "Hit",
    "Hits",
    "HybridMemory",
    "IngestReport",
    "MaintenanceReport",
    "MemoryAssistant",
    "MemoryConfig",
    "MigrationReport",
    "Page",
    "PriorityWeights",
    "Profile",
    "Progress",
    "PruneBackupReport",
    "PrunePolicy",
    "PruneReport",
    "ReembedReport",
    "RemainsReport",
    "RepairReport",
    "RestoreReport",
    "RetentionReport",
    "RowPriority",
    "SnapshotReport",
    "UserSummary",
    "VectorMemory",
    "__version__",
    "backup_store",
    "check_message",
    "copy_store",
    "decrypt_store",
    "diagnose_store",
    "encrypt_store",
    "list_backup",
    "list_profiles",
    "load_profile",
    "migrate",
    "open_memory",
    "prune_backup",
    "reembed",
    "repair_store",
    "restore_backup",
    "rotate_key",
    "snapshot_store",
    "to_arrow",
    "to_pandas",
    "to_polars",
    "verify_backup",
]


def __getattr__(name: str) -> Any:
    if name == "sync":  # a package of ours that is used by its name, as bruno_memory_vec.sync
        return import_module(f"{__name__}.sync")
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{place}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
