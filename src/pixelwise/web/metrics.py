"""Counts of the service, for Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixelwise.web.request_queue import RequestQueue

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OTHER = "other"  # all paths that are no routes, since clients invent them


class Metrics:
    """Counts of one service; several in a process do not mix."""

    def __init__(self, routes: frozenset[str], queue: RequestQueue) -> None:
        """`routes` are the paths that are counted by their names."""
        self.routes = routes
        own = self._registry = CollectorRegistry()
        ProcessCollector(registry=own)
        self.requests = Counter("pixelwise_requests", "Requests answered.", ["route", "status"], registry=own)
        self.seconds = Histogram(
            "pixelwise_request_seconds",
            "From a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=own,
        )
        self.megapixels = Counter(
            "pixelwise_megapixels", "Of photos that were done.", ["route"], registry=own
        )
        self.batch_sizes = Histogram(
            "pixelwise_photos_together",
            "Photos that a network ran on at once.",
            buckets=(1, 2, 4, 8),
            registry=own,
        )
        waiting = Gauge("pixelwise_queue_length", "Requests that no thread works on.", registry=own)
        waiting.set_function(lambda: queue.num_waiting)
        running = Gauge("pixelwise_in_flight", "Requests that a thread works on.", registry=own)
        running.set_function(lambda: queue.num_running)

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
            route = scope["path"] if scope["path"] in self.metrics.routes else _OTHER
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - start_s)
