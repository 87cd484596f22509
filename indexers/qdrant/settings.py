"""How a Qdrant store is reached and laid out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: The location of a local store that is not kept.
IN_MEMORY = ":memory:"


@dataclass(frozen=True, slots=True)
class QdrantSettings:
    """One store on a Qdrant server, or in the client's local mode.

    What lays a collection out (``shards`` to ``exact``, ``average_length``) counts when it is made;
    the other settings count at each opening.

    Attributes:
        collection: the store's name: the alias of its collection.
        shown: the URL, as errors and ``health()`` name it; it holds no secret.
        address: ``http://host:port`` or ``https://host:port``; None in local mode.
        path: a folder, or :data:`IN_MEMORY`, of the local mode; None for a server.
        prefix: the path in front of the server's own, behind a proxy.
        api_key: the server's key.
        grpc: speak gRPC rather than REST.
        grpc_port: the port for that.
        timeout: seconds for one request. A request that failed in a way that may pass is sent
            again, for at most three times as long.
        shards: number of shards; None: the server's default.
        replicas: copies of each shard; None: the server's default.
        write_consistency: how many copies have to take a write; None: the server's default.
        on_disk: keep vectors and their index on disk, and the larger payload indexes too.
        quantization: "scalar" (int8, a quarter of the memory) or "binary" (a bit a value, for
            vectors of 1,024 values and more); None: none. The whole vectors are kept as well.
        oversampling: how many times as many candidates are taken from quantised vectors and
            compared again by their whole vectors.
        exact: a search of a scope and filter of at most so many rows compares all of them.
        average_length: the average number of words of a row, by which BM25 judges lengths.
        consistency: how many copies a read asks: "majority", "quorum", "all" or a number; None:
            one.
        ordering: of writes: "weak", "medium" or "strong"; None: weak. Weak suffices for rows that
            replace each other, as the larger ``seq`` stays in whatever order they arrive.
    """

    collection: str
    shown: str
    address: str | None = None
    path: str | None = None
    prefix: str = ""
    api_key: str | None = field(default=None, repr=False)
    grpc: bool = False
    grpc_port: int = 6334
    timeout: int = 10
    shards: int | None = None
    replicas: int | None = None
    write_consistency: int | None = None
    on_disk: bool = False
    quantization: Literal["scalar", "binary"] | None = None
    oversampling: float = 2.0
    exact: int = 20_000
    average_length: float = 40.0
    consistency: int | Literal["majority", "quorum", "all"] | None = None
    ordering: Literal["weak", "medium", "strong"] | None = None

    @property
    def is_local(self) -> bool:
        """Whether it is the client's local mode, in this process."""
        return self.path is not None
