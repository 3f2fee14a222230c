"""The web service: rows come in by HTTP, and scores go back."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tollad import __version__
from tollad.detector.estimator import TollDetector
from tollad.serve.answers import answers
from tollad.serve.bodies import TYPES, rows_of, wanted_names
from tollad.serve.page import page
from tollad.serve.served import Served, all_served

try:
    import orjson
    from fastapi import FastAPI, Request, Response
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import ClientDisconnect
except ImportError as error:
    raise ImportError("a server needs further packages: pip install 'tollad[serve]'") from error


@dataclass(frozen=True)
class Limits:
    """What one request may ask for.

    Attributes
    ----------
    n_bytes : int
        Of a body.
    n_rows : int
    seconds : float
        Until a body is whole.
    n_waiting : int
        Requests at work at once; more are turned away.
    """

    n_bytes: int = 64 << 20
    n_rows: int = 1_000_000
    seconds: float = 30.0
    n_waiting: int = 64


class RefusedError(Exception):
    """A request that is not answered: its status, and the sentence that says why."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.headers = status, dict(headers or {})


class Metrics:
    """What Prometheus is told."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("tollad_requests", "Requests.", ["path", "status"], registry=self.registry)
        self.seconds = Histogram("tollad_request_seconds", "Time of a request.", ["path"], registry=self.registry)
        self.rows = Counter("tollad_rows", "Rows scored.", ["model"], registry=self.registry)
        self.anomalies = Counter("tollad_anomalies", "Rows called anomalous.", ["model"], registry=self.registry)
        self.drift = Gauge(
            "tollad_drift", "1 once rows differ from the calibration rows.", ["model"], registry=self.registry
        )


def log(record: Mapping[str, Any]) -> None:
    """Write one line of JSON to standard error: no data of any row."""
    sys.stderr.write(orjson.dumps(dict(record)).decode() + "\n")
    sys.stderr.flush()


def make_app(paths: Sequence[str], *, token: str | None = None, limits: Limits | None = None) -> FastAPI:
    """Return the service of some model files.

    Parameters
    ----------
    paths : sequence of str
        Model files of tables. Each is served by the name of its file without the ending.
    token : str, optional
        What clients must send as ``Authorization: Bearer TOKEN``, but for ``/`` (the page), ``/health`` and ``/ready``.
    limits : Limits, optional

    Raises
    ------
    ImportError
        Without the extra ``serve``.
    ValueError, OSError
        For a file that is no model of a table or cannot be read, and for two files of one name.
    """
    bounds = limits or Limits()
    models, metrics = all_served(paths, log), Metrics()
    document, its_headers = page()
    # The pages that FastAPI offers load scripts from a foreign address.
    app = FastAPI(title="tollad", version=__version__, docs_url=None, redoc_url=None)
    app.state.models = models
    at_work = 0

    @app.middleware("http")
    async def around(request: Request, call_next: Any) -> Response:
        began, identity = time.perf_counter(), request.headers.get("x-request-id", "")[:64] or secrets.token_hex(8)
        try:
            _check_token(request, token)
            response = await call_next(request)
        except RefusedError as refused:
            response = _as_json({"error": str(refused)}, refused.status, refused.headers)
        route = request.scope.get("route")
        path = getattr(route, "path", "other")
        seconds = time.perf_counter() - began
        metrics.requests.labels(path, response.status_code).inc()
        metrics.seconds.labels(path).observe(seconds)
        response.headers["x-request-id"] = identity
        log(
            {
                "request": identity,
                "method": request.method,
                "path": path,
                "status": response.status_code,
                "ms": round(seconds * 1e3, 2),
            }
        )
        return response

    @app.exception_handler(RefusedError)
    async def refuse(_: Request, refused: RefusedError) -> Response:
        return _as_json({"error": str(refused)}, refused.status, refused.headers)

    async def answer(request: Request, name: str | None, n_reasons: int) -> Response:
        nonlocal at_work
        model = _found(models, name)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in TYPES:
            raise RefusedError(415, f"the content type must be one of {', '.join(TYPES)}")
        body = await _body(request, bounds)
        if at_work >= bounds.n_waiting:
            raise RefusedError(503, "too many requests are waiting; try again", {"retry-after": "1"})
        at_work += 1
        try:
            detector, monitor = await run_in_threadpool(model.current)
            said = await run_in_threadpool(_judged, detector, kind, body, bounds.n_rows, n_reasons)
        except (ValueError, TypeError, NotImplementedError, OverflowError) as error:
            raise RefusedError(422, str(error)) from None
        finally:
            at_work -= 1
        metrics.rows.labels(model.name).inc(len(said["anomaly_score"]))
        metrics.anomalies.labels(model.name).inc(int(np.sum(said["anomaly"])))
        if monitor is not None:
            monitor.update(said["anomaly_score"])
            metrics.drift.labels(model.name).set(monitor.drift is not None)
        return _as_json(said)

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return Response(document, headers=its_headers, media_type="text/html")

    @app.post("/score")
    async def score(request: Request) -> Response:
        """Score rows by the only model."""
        return await answer(request, None, 0)

    @app.post("/models/{name}/score")
    async def score_by(request: Request, name: str) -> Response:
        """Score rows by one of several models."""
        return await answer(request, name, 0)

    @app.post("/explain")
    async def explain(request: Request, reasons: int = 3) -> Response:
        """Score rows by the only model, and say why."""
        return await answer(request, None, max(1, reasons))

    @app.post("/models/{name}/explain")
    async def explain_by(request: Request, name: str, reasons: int = 3) -> Response:
        """Score rows by one of several models, and say why."""
        return await answer(request, name, max(1, reasons))

    @app.get("/info")
    async def info() -> Response:
        """Say which models there are, and what rows they take."""
        return _as_json(
            {"tollad": __version__, "models": {name: _described(m.current()[0]) for name, m in models.items()}}
        )

    @app.get("/health")
    @app.get("/ready")
    async def health() -> Response:
        """Say that the service runs; it does not before all models are loaded."""
        return _as_json({"status": "ok"})

    @app.get("/metrics")
    async def tell_metrics() -> Response:
        """Tell Prometheus."""
        return Response(generate_latest(metrics.registry), media_type="text/plain; version=0.0.4")

    return app


# What is answered without a token: the page, which holds no data and asks for the token, and what watches the service.
_OPEN = ("/", "/health", "/ready")


def _check_token(request: Request, token: str | None) -> None:
    if token is None or request.url.path in _OPEN:
        return
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode("latin-1"), f"Bearer {token}".encode()):
        raise RefusedError(401, "send the token as: Authorization: Bearer TOKEN", {"www-authenticate": "Bearer"})


def _found(models: Mapping[str, Served], name: str | None) -> Served:
    if name is None:
        if len(models) == 1:
            return next(iter(models.values()))
        raise RefusedError(404, f"there are several models: use /models/NAME/score with one of {', '.join(models)}")
    if name not in models:
        raise RefusedError(404, f"there is no model of this name; there is {', '.join(models)}")
    return models[name]


async def _body(request: Request, limits: Limits) -> bytes:
    """Return the body, refused as soon as it is known to be too large."""
    too_large = RefusedError(413, f"the body is larger than {limits.n_bytes:,} bytes; send fewer rows at once")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limits.n_bytes:
        raise too_large
    parts, size = [], 0
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                size += len(part)
                if size > limits.n_bytes:
                    raise too_large
                parts.append(part)
    except ClientDisconnect:
        raise RefusedError(400, "the client left before the body was whole") from None
    except TimeoutError:
        raise RefusedError(408, f"the body was not whole after {limits.seconds:g} s") from None
    return b"".join(parts)


def _judged(detector: TollDetector, kind: str, body: bytes, most: int, n_reasons: int) -> dict[str, Any]:
    rows = rows_of(detector, kind, body, _read_json)
    if len(rows) > most:
        raise RefusedError(413, f"the body has {len(rows):,} rows, and {most:,} are the most; send fewer at once")
    said: dict[str, Any] = dict(answers(detector, rows))
    if n_reasons:
        explanation = detector.explain(rows)
        n_reasons = min(n_reasons, detector.n_features_in_)
        said["reasons"] = [explanation.reasons(row, n_reasons) for row in range(len(rows))]
    said["threshold"] = -detector.offset_
    return said


def _read_json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the body is no JSON: {error}") from None


def _described(detector: TollDetector) -> dict[str, Any]:
    kinds = {column.name: column.kind for column in getattr(detector, "columns_", [])}
    columns = [{"name": name, "kind": kinds.get(name, "number")} for name in wanted_names(detector)]
    return {
        "columns": columns,
        "threshold": -detector.offset_,
        "threshold_rule": list(detector.threshold_rule_),
        "p_values": detector.decision_.calibration_scores is not None,
    }


def _as_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status, dict(headers or {}), "application/json")
