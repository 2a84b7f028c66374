"""What Prometheus may ask of a server."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "resgraph_requests", "Requests to classify.", ["status"], registry=registry
        )
        self.errors = Counter(
            "resgraph_errors", "Requests refused, by kind.", ["kind"], registry=registry
        )
        self.images = Counter(
            "resgraph_images", "Images classified.", registry=registry
        )
        self.latency = Histogram(
            "resgraph_request_seconds",
            "From a request's head to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.batches = Histogram(
            "resgraph_batch_images",
            "Images computed together.",
            buckets=_BATCHES,
            registry=registry,
        )
        self._waiting = Gauge(
            "resgraph_queue_images", "Images that wait.", registry=registry
        )

        self._connections = Gauge(
            "resgraph_waiting_connections",
            "Connections that keep the server waiting.",
            registry=registry,
        )

    def watch(self, queue: Callable[[], int], connections: Callable[[], int]) -> None:
        """Take the lengths from there."""
        self._waiting.set_function(queue)
        self._connections.set_function(connections)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
