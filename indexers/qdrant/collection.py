"""The collection of a store: its names, how it is made, and what is written in its metadata.

A collection is named after the store and the fingerprint of its embedder, and the store's name is
an alias of it: ``NAME`` means ``NAME__0123456789ab``. A re-embedding makes the next collection
beside it and switches the alias, in one step of the server. Processes that make one store at the
same time make one collection, since its name follows from the store's and the embedder's.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ..errors import EngineError
from .points import DENSE, WORDS
from .server import NAME, PER_USER_WEIGHTS, AlreadyExists, Server
from .settings import QdrantSettings

if TYPE_CHECKING:
    from qdrant_client.http import models

#: The key of a collection's metadata under which a store describes itself.
MANIFEST = "bruno_memory_vec"
#: The key under which the metadata names whose sessions belong to the rows.
SESSIONS = "bruno_memory_vec_sessions"

#: Columns that are filtered or sorted by, and how they are indexed.
KEYWORDS = (
    "user_id",
    "conversation_id",
    "id",
    "kind",
    "role",
    "memory_type",
    "category",
    "tags",
    "metadata_pairs",
    "source",
    "origin",
)
INTEGERS = (
    "seq",
    "turn",
    "created_at",
    "updated_at",
    "expires_at",
    "pinned_at",
    "archived_at",
)
FLOATS = ("importance", "confidence")
_INDEXED = (*KEYWORDS, *INTEGERS, *FLOATS)
#: Columns that the server can sort by.
SORTED = frozenset({*INTEGERS, *FLOATS})
_TENANT = "user_id"
_LARGE_INDEXES = frozenset({"id", "conversation_id", "metadata_pairs"})
# A link for each of so many neighbours, within each user's rows.
_LINKS_OF_A_USER = 16
_VECTOR_VALUE_BYTES, _KIB = 4, 1024
_LOOKS, _BETWEEN_LOOKS = 50, 0.1
# The least that the server takes.
_LEAST_SCAN_KIB = 10


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection that was found or made.

    Attributes:
        name: its own name, which the alias stands for.
        manifest: how the store describes itself; None where it does not.
        sessions: whose sessions belong to its rows; None where it does not say.
        dimension: of its dense vectors; None where it has none of that name.
        has_words: whether it has sparse vectors of the rows' words, weighed by rarity.
    """

    name: str
    manifest: Mapping[str, Any] | None
    sessions: str | None
    dimension: int | None
    has_words: bool


def name_of(store: str, fingerprint: Mapping[str, Any]) -> str:
    """The name of a store's collection for one embedder."""
    text = json.dumps(fingerprint, sort_keys=True)
    return f"{store}__{blake2b(text.encode(), digest_size=6).hexdigest()}"


async def find(server: Server) -> Collection | None:
    """The collection that the store's name stands for; None where there is none.

    Raises:
        EngineError: the name is that of a collection, and no alias; or the server failed.
    """
    store = server.settings.collection
    name = await _behind_alias(server, store)
    if name is not None:
        return await described(server, name)
    if await server.call("open", lambda client: client.collection_exists(store)):
        raise EngineError(
            NAME,
            "open",
            f"{server.settings.shown}: {store!r} is a collection that is not a store of ours",
            fix="Name another collection in the URL.",
        )
    return None


async def described(server: Server, name: str) -> Collection:
    """What a collection says of itself."""
    info = await server.call("open", lambda client: client.get_collection(name))
    metadata = info.config.metadata or {}
    manifest, sessions = metadata.get(MANIFEST), metadata.get(SESSIONS)
    vectors, sparse = info.config.params.vectors, info.config.params.sparse_vectors or {}
    dense = vectors.get(DENSE) if isinstance(vectors, dict) else None
    words = sparse.get(WORDS)
    return Collection(
        name,
        manifest if isinstance(manifest, dict) else None,
        sessions if isinstance(sessions, str) else None,
        None if dense is None else int(dense.size),
        words is not None and words.modifier is not None and words.modifier.value == "idf",
    )


async def make(
    server: Server, fingerprint: Mapping[str, Any], manifest: Mapping[str, Any], dimension: int
) -> Collection:
    """Make the store's collection and its alias, or find those that another process makes.

    Whoever was killed halfway has left a collection without an alias; it is taken on.
    """
    store = server.settings.collection
    name = name_of(store, fingerprint)
    await make_collection(server, name, manifest, dimension)
    other = await _behind_alias(server, store)
    if other is None:
        await point_alias(server, name)
        other = await _behind_alias(server, store)
    return await described(server, other or name)


async def make_collection(
    server: Server, name: str, manifest: Mapping[str, Any], dimension: int
) -> None:
    """Make a collection with its indexes, if there is none of its name."""
    from qdrant_client.http import models

    settings = server.settings
    scanned = settings.exact * dimension * _VECTOR_VALUE_BYTES // _KIB
    vectors = {
        DENSE: models.VectorParams(
            # Vectors have unit length, so this is the cosine; and it is defined for the zero vector
            # of a text without a known word. The server would make anew what it is told is cosine.
            size=dimension,
            distance=models.Distance.DOT,
            on_disk=settings.on_disk or None,
        )
    }
    words = models.SparseVectorParams(
        modifier=models.Modifier.IDF,
        index=models.SparseIndexParams(on_disk=settings.on_disk or None),
    )
    hnsw = models.HnswConfigDiff(
        payload_m=_LINKS_OF_A_USER,
        full_scan_threshold=max(scanned, _LEAST_SCAN_KIB),
        on_disk=settings.on_disk or None,
    )
    # It exists where another process made it, or an earlier try whose answer was lost.
    with suppress(AlreadyExists):
        await server.call(
            "make its collection",
            lambda client: client.create_collection(
                name,
                vectors_config=vectors,
                sparse_vectors_config={WORDS: words},
                metadata={MANIFEST: dict(manifest)},
                shard_number=settings.shards,
                replication_factor=settings.replicas,
                write_consistency_factor=settings.write_consistency,
                hnsw_config=hnsw,
                quantization_config=_quantization(settings),
            ),
        )
    # In a cluster it takes a moment until every node has it.
    for _ in range(_LOOKS):
        if await server.call("open", lambda client: client.collection_exists(name)):
            break
        await asyncio.sleep(_BETWEEN_LOOKS)
    await add_indexes(server, name, fresh=True)


async def add_indexes(server: Server, name: str, *, fresh: bool = False) -> list[str]:
    """Make the payload indexes that a collection lacks, and return the columns.

    Of a ``fresh`` one all are made: a server names an index as soon as one of its segments has it,
    while another process is making them.
    """
    if server.settings.is_local:
        return []  # it has none
    lacking = list(_INDEXED) if fresh else await missing_indexes(server, name)

    async def add(column: str) -> None:
        index = _index(server.settings, column)
        await server.call(
            "make its indexes",
            lambda client: client.create_payload_index(name, column, index, wait=True),
        )

    await asyncio.gather(*map(add, lacking))
    return lacking


async def missing_indexes(server: Server, name: str) -> list[str]:
    """The columns without a payload index that should have one; none in local mode."""
    if server.settings.is_local:
        return []
    info = await server.call("open", lambda client: client.get_collection(name))
    return [column for column in _INDEXED if column not in (info.payload_schema or {})]


async def set_metadata(server: Server, name: str, **values: Any) -> None:
    """Set keys of a collection's metadata; the others stay."""
    await server.call(
        "write its metadata", lambda client: client.update_collection(name, metadata=values)
    )


async def point_alias(server: Server, name: str) -> None:
    """Let the store's name stand for a collection from now on."""
    from qdrant_client.http import models

    store = server.settings.collection
    actions: list[Any] = []
    if await _behind_alias(server, store) is not None:
        delete = models.DeleteAlias(alias_name=store)
        actions.append(models.DeleteAliasOperation(delete_alias=delete))
    create = models.CreateAlias(collection_name=name, alias_name=store)
    actions.append(models.CreateAliasOperation(create_alias=create))
    await server.call(
        "switch its alias",
        lambda client: client.update_collection_aliases(change_aliases_operations=actions),
    )


async def others(server: Server, name: str) -> list[str]:
    """The store's collections but the named one: of other embedders, begun or given up."""
    found = await server.call("open", lambda client: client.get_collections())
    of_store = re.compile(rf"{re.escape(server.settings.collection)}__[0-9a-f]{{12}}")
    return [
        one.name
        for one in found.collections
        if one.name != name and of_store.fullmatch(one.name) is not None
    ]


async def drop(server: Server, name: str) -> None:
    """Delete a collection."""
    await server.call("drop a collection", lambda client: client.delete_collection(name))


async def problems(server: Server, name: str) -> list[tuple[str, str]]:
    """What a server lacks for a store: what it is, and what to do about it."""
    found: list[tuple[str, str]] = []
    settings = server.settings
    if server.version < PER_USER_WEIGHTS:
        found.append(
            (
                f"Qdrant {server.version_text} weighs words by the rows of all users",
                "Upgrade it to 1.19 or later, where they are weighed by those of the user who "
                "asks.",
            )
        )
    left = await others(server, name)
    if left:
        found.append(
            (
                f"{', '.join(left)}: what another re-embedding has begun, or has left",
                "A re-embedding to the same embedder goes on with it, and the next one to end "
                "removes it.",
            )
        )
    if settings.is_local:
        return found
    if settings.api_key is not None and (settings.address or "").startswith("http://"):
        found.append(("its API key is sent without TLS", "Write qdrants:// in place of qdrant://."))
    lacking = await missing_indexes(server, name)
    if lacking:
        found.append(
            (
                f"it has no payload index on {', '.join(lacking)}",
                "Open the store once without read_only, which makes them.",
            )
        )
    info = await server.call("open", lambda client: client.get_collection(name))
    if info.status.value == "red":
        found.append((f"its optimizer failed: {info.optimizer_status}", "See the server's log."))
    strict = info.config.strict_mode_config
    if strict is not None and strict.enabled:
        found.extend(_strictness(strict))
    return found


def _strictness(strict: models.StrictModeConfigOutput) -> list[tuple[str, str]]:
    """What of a strict mode refuses requests of ours."""
    least = {
        "max_query_limit": 10_000,
        "upsert_max_batchsize": 500,
        "condition_max_size": 5_000,
        "filter_max_conditions": 256,
    }
    fix = "Raise it in the collection's strict_mode_config."
    found = []
    for setting, wanted in least.items():
        limit = getattr(strict, setting)
        if limit is not None and limit < wanted:
            found.append((f"its strict mode has {setting} = {limit}, less than {wanted}", fix))
    if strict.unindexed_filtering_retrieve is False:
        found.append(
            (
                "its strict mode refuses filters on columns without an index",
                "It is enough for this library; filters of your own on other columns need "
                "unindexed_filtering_retrieve = true.",
            )
        )
    return found


async def _behind_alias(server: Server, store: str) -> str | None:
    found = await server.call("open", lambda client: client.get_aliases())
    for alias in found.aliases:
        if alias.alias_name == store:
            return str(alias.collection_name)
    return None


def _quantization(settings: QdrantSettings) -> models.QuantizationConfig | None:
    from qdrant_client.http import models

    in_memory = True
    if settings.quantization == "scalar":
        scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=in_memory)
        return models.ScalarQuantization(scalar=scalar)
    if settings.quantization == "binary":
        return models.BinaryQuantization(
            binary=models.BinaryQuantizationConfig(always_ram=in_memory)
        )
    return None


def _index(settings: QdrantSettings, column: str) -> models.PayloadSchemaParams:
    from qdrant_client.http import models

    on_disk = (settings.on_disk and column in _LARGE_INDEXES) or None
    if column in KEYWORDS:
        return models.KeywordIndexParams(
            type=models.KeywordIndexType.KEYWORD,
            is_tenant=True if column == _TENANT else None,
            on_disk=on_disk,
        )
    if column in FLOATS:
        return models.FloatIndexParams(type=models.FloatIndexType.FLOAT)
    return models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=True, range=True)
