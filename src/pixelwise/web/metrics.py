"""Counts of the service, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OTHER = "other"


class Metrics:
    """Counts of one service; several in a process do not mix."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, routes: frozenset[str]) -> None:
        """`routes` are the paths that are counted by their names."""
        self.routes = routes
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            "pixelwise_requests", "Requests answered.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "pixelwise_request_seconds",
            "From a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._megapixels = Counter(
            "pixelwise_megapixels", "Of photos that were done.", ["route"], registry=self._registry
        )
        self._batch_sizes = Histogram(
            "pixelwise_photos_together",
            "Photos that a network ran on at once.",
            buckets=(1, 2, 4, 8),
            registry=self._registry,
        )

    def watch(self, num_waiting: Callable[[], int], num_running: Callable[[], int]) -> None:
        """Show how many requests wait, and how many are worked on."""
        Gauge(
            "pixelwise_queue_length", "Requests that no thread works on.", registry=self._registry
        ).set_function(num_waiting)
        Gauge(
            "pixelwise_in_flight", "Requests that a thread works on.", registry=self._registry
        ).set_function(num_running)

    def add_megapixels(self, route: str, megapixels: float) -> None:
        """Count a photo that was done."""
        self._megapixels.labels(route).inc(megapixels)

    def add_batch(self, num: int) -> None:
        """Count a batch of `num` photos that a network ran on."""
        self._batch_sizes.observe(num)

    def add_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request; paths that are no routes are one, since clients invent them."""
        route = path if path in self.routes else _OTHER
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return all counts as Prometheus reads them."""
        return generate_latest(self._registry)


class Measured:
    """An application whose requests are counted."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and count."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start_s, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            self.metrics.add_request(scope["path"], status, time.perf_counter() - start_s)
