"""Metrics for Prometheus, and a line of JSON in the log for each request, without data."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Mapping
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LONGEST_IDENTITY = 64


class Metrics:
    """The metrics for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("tollad_requests", "Requests.", ["path", "status"], registry=self.registry)
        self.seconds = Histogram("tollad_request_seconds", "Time of a request.", ["path"], registry=self.registry)
        self.rows = Counter("tollad_rows", "Rows scored.", ["model"], registry=self.registry)
        self.anomalies = Counter("tollad_anomalies", "Rows called anomalous.", ["model"], registry=self.registry)
        self.batches = Counter("tollad_batches", "Times that rows were scored together.", registry=self.registry)
        self.drift = Gauge(
            "tollad_drift",
            "1 once rows differ from the calibration rows.",
            ["model"],
            registry=self.registry,
            multiprocess_mode="max",
        )

    def text(self) -> bytes:
        """Return the metrics of all processes in the format of Prometheus."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        of_all = CollectorRegistry()
        MultiProcessCollector(of_all)
        return generate_latest(of_all)


def log(record: Mapping[str, Any]) -> None:
    """Write one line of JSON to standard error: no data of any row."""
    sys.stderr.write(orjson.dumps(dict(record)).decode() + "\n")
    sys.stderr.flush()


class Requests:
    """Counts, times and logs requests. Each answer has an identity: the client's own, or a new one."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: Mapping[Any, str]) -> None:
        self._app, self._metrics, self._paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; `paths` has the path of each endpoint, with the names of its parts."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        identity = given[:_LONGEST_IDENTITY] or secrets.token_hex(8).encode()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", identity))
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            path, seconds = self._paths.get(scope.get("endpoint"), "other"), time.perf_counter() - began
            self._metrics.requests.labels(path, status).inc()
            self._metrics.seconds.labels(path).observe(seconds)
            request = {"method": scope["method"], "path": path, "status": status, "ms": round(seconds * 1e3, 2)}
            log({"request": identity.decode("latin-1"), **request})
