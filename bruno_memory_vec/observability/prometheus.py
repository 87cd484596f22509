"""The metrics of open memories, for a scrape by Prometheus or by an OpenTelemetry collector.

One collector a registry gives those of all memories that are open, so that a process may have any
number of them; closing a memory takes its own out. In a child that was forked, it gives nothing:
the memory is the parent's.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from bruno_memory_vec.errors import MissingDependencyError
from bruno_memory_vec.observability.latency import Histogram
from bruno_memory_vec.observability.metrics import (
    METRICS,
    STORE,
    Metric,
    Sample,
    full_name,
    samples,
)

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric as Family

    from bruno_memory_vec.observability.observer import Observer

_collectors: dict[int, Collector] = {}
_lock = Lock()


def exposing(registry: CollectorRegistry | None) -> Callable[[Observer], Callable[[], None]]:
    """What gives a memory's metrics to a registry; of a memory that is open, called by its store.

    Args:
        registry: None for the default one of ``prometheus_client``.

    Raises:
        MissingDependencyError: ``prometheus_client`` is not installed.
    """
    chosen: Any = _client().REGISTRY if registry is None else registry
    return lambda observer: expose(observer, chosen)


def expose(observer: Observer, registry: CollectorRegistry) -> Callable[[], None]:
    """Let a registry give a memory's metrics; returns what takes them out again."""
    with _lock:
        collector = _collectors.get(id(registry))
        if collector is None:
            collector = Collector(registry)
            registry.register(collector)
            _collectors[id(registry)] = collector
        collector.add(observer)
    return lambda: _withdraw(collector, observer)


def _withdraw(collector: Collector, observer: Observer) -> None:
    with _lock:
        collector.remove(observer)
        if not collector.memories and _collectors.get(id(collector.registry)) is collector:
            del _collectors[id(collector.registry)]
            collector.registry.unregister(collector)


class Collector:
    """Gives the metrics of several memories to one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        #: Held, so that no other registry has its ``id`` meanwhile.
        self.registry = registry
        # By what names each of them. A memory that nobody has closed may be gone.
        self._known: dict[str, weakref.ref[Observer]] = {}

    @property
    def memories(self) -> dict[str, Observer]:
        """Those that are open, by the value of their label."""
        found = {name: known() for name, known in self._known.copy().items()}
        return {name: one for name, one in found.items() if one is not None}

    def add(self, observer: Observer) -> None:
        """Give this one, too; a second one of the same name is "name (2)"."""
        taken, name, number = self.memories, observer.name, 2
        while name in taken:
            name, number = f"{observer.name} ({number})", number + 1
        self._known[name] = weakref.ref(observer)

    def remove(self, observer: Observer) -> None:
        """Give this one no more, nor those that are gone."""
        self._known = {
            name: known
            for name, known in self._known.items()
            if known() is not observer and known() is not None
        }

    def describe(self) -> Iterator[Family]:
        """All families, empty: a registry asks for their names."""
        for metric in METRICS:
            yield _family(metric)

    def collect(self) -> Iterator[Family]:
        """All families, with what the memories of this process say now."""
        families = {metric.name: _family(metric) for metric in METRICS}
        for store, observer in self.memories.items():
            if not observer.is_here:
                continue
            try:
                for one in samples(observer):
                    _add(families[one.metric], store, one)
            except Exception as error:
                # Another memory's figures, and the program's own, are scraped all the same.
                observer.failed("answer a scrape", error)
        yield from families.values()


def _family(metric: Metric) -> Any:
    from prometheus_client import core

    kinds = {
        "counter": core.CounterMetricFamily,
        "gauge": core.GaugeMetricFamily,
        "histogram": core.HistogramMetricFamily,
    }
    return kinds[metric.kind](full_name(metric), metric.help, labels=(STORE, *metric.labels))


_BOUNDS: Final = {metric.name: metric.bounds for metric in METRICS}


def _add(family: Any, store: str, sample: Sample) -> None:
    labels = (store, *sample.labels)
    if not isinstance(sample.value, Histogram):
        family.add_metric(labels, sample.value)
        return
    bounds = _BOUNDS[sample.metric]
    counts = sample.value.cumulative(bounds)
    buckets = [(_shown(bound), count) for bound, count in zip(bounds, counts, strict=True)]
    buckets.append(("+Inf", sample.value.count))
    family.add_metric(labels, buckets, sample.value.total)


def _shown(bound: float) -> str:
    return f"{bound:.10g}" if bound != int(bound) else f"{bound:.1f}"


def exposition(registry: CollectorRegistry | None, accept: str) -> tuple[bytes, str]:
    """What a scrape is answered with, and its content type.

    Args:
        registry: None for the default one of ``prometheus_client``.
        accept: the formats that the asker reads, as its ``Accept`` header has them.

    Raises:
        MissingDependencyError: ``prometheus_client`` is not installed.
    """
    client = _client()
    from prometheus_client.exposition import choose_encoder

    encode, content_type = choose_encoder(accept)
    return encode(client.REGISTRY if registry is None else registry), content_type


def metrics_app(registry: CollectorRegistry | None = None) -> Any:
    """An ASGI application that answers a scrape, to be mounted at ``/metrics``.

    Args:
        registry: None for the default one of ``prometheus_client``.

    Raises:
        MissingDependencyError: ``prometheus_client`` is not installed.
    """
    client = _client()
    return client.make_asgi_app(client.REGISTRY if registry is None else registry)


def serve_metrics(
    port: int = 9464, host: str = "127.0.0.1", registry: CollectorRegistry | None = None
) -> Callable[[], None]:
    """Answer scrapes on a port of its own, in a thread; returns what ends that.

    It asks for no token: keep it to the loopback, or behind what does.

    Args:
        port: 0 for any free one. 9464 is the one of OpenTelemetry's Prometheus exporters.
        host: where it listens.
        registry: None for the default one of ``prometheus_client``.

    Raises:
        MissingDependencyError: ``prometheus_client`` is not installed.
        OSError: the port is taken.
    """
    client = _client()
    server, thread = client.start_http_server(
        port, addr=host, registry=client.REGISTRY if registry is None else registry
    )

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def _client() -> Any:
    try:
        import prometheus_client
    except ImportError as error:
        raise MissingDependencyError("prometheus-client", "metrics", cause=error) from error
    return prometheus_client
