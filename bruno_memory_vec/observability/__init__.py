"""Sight in production: metrics, traces and one log line an operation, each off unless asked for.

``recorder`` keeps the numbers of one memory, ``prometheus`` gives them to a scrape, ``tracing``
makes OpenTelemetry spans, ``operation_log`` writes lines, and ``observer`` is the one thing that
the rest of the library knows: None where nothing was asked for.
"""

from bruno_memory_vec.observability.latency import Latency
from bruno_memory_vec.observability.prometheus import metrics_app, serve_metrics
from bruno_memory_vec.observability.recorder import OperationFigures, Recorder

__all__ = ["Latency", "OperationFigures", "Recorder", "metrics_app", "serve_metrics"]
