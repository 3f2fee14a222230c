"""The web service: rows come in by HTTP, and scores go back."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from tollad import __version__

try:
    import orjson
    import prometheus_client  # noqa: F401 - imported here so that the error below names the extra
    from fastapi import FastAPI, Request, Response
    from starlette.exceptions import HTTPException
    from starlette.routing import Route
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tollad.serve.bodies import check_packed, content_type_of, files_of
    from tollad.serve.inference import SERVER, Inference, tensors_of
    from tollad.serve.limits import Gate, Limits, RefusedError
    from tollad.serve.models import Loaded, Served, TableAnswers, Watch, load_models
    from tollad.serve.one_file import ImageAnswers
    from tollad.serve.page import page
    from tollad.serve.schema import with_models
    from tollad.serve.telemetry import Metrics, Requests, log
    from tollad.serve.worker import Answer, Worker
except ImportError as error:
    raise ImportError("a server needs further packages: pip install 'tollad[serve]'") from error

# Paths that need no token: the page, which holds no data and asks for the token, and the checks of health.
_OPEN = ("/", "/health", "/ready", "/v2/health/live", "/v2/health/ready")


def make_app(paths: Sequence[str], *, token: str | None = None, limits: Limits | None = None) -> FastAPI:
    """Return the service of some model files.

    Parameters
    ----------
    paths : sequence of str
        Model files of tables, series or images. Each is served by the name of its file without the ending.
    token : str, optional
        Clients must send ``Authorization: Bearer TOKEN``, except to ``/`` (the page), ``/health`` and ``/ready``.
    limits : Limits, optional

    Raises
    ------
    ImportError
        Without the extra ``serve``.
    ValueError, OSError
        For a file that is no model to serve or cannot be read, and for two files of one name.
    """
    # Faults in a form are reported to its client, not to the log.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    models, metrics, gate = load_models(paths, log), Metrics(), Gate(limits or Limits(), token)
    worker, watch, document = Worker(metrics.batches.inc), Watch(models), page()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        for model in models.values():  # a process that replaces another was forked with the models of the start
            model.reload_if_changed()
        watch.start()
        yield
        watch.stop()

    # FastAPI's own pages would load scripts from a foreign address.
    app = FastAPI(title="tollad", version=__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.models, app.state.watch = models, watch

    async def answered(request: Request, *, explained: bool) -> Response:
        model = _found(models, request.path_params.get("name"))
        header = request.headers.get("content-type", "")
        _check_content_type(model.loaded, content_type_of(header))
        n_reasons = _n_reasons(request) if explained else 0
        gate.check_room()
        body = await gate.body(request)
        with gate.inside():
            answer = await worker.answer(model, partial(_read, header, body, gate.limits.n_rows, n_reasons), n_reasons)
        _count(metrics, model.name, answer)
        return json_response({**answer.values, "threshold": answer.loaded.threshold})

    # Not as routes of FastAPI, which spends more time on a request than scoring its row takes.
    for at, (name, explained) in product(("", "/models/{name}"), (("score", False), ("explain", True))):
        app.add_route(f"{at}/{name}", partial(answered, explained=explained), methods=["POST"])

    async def infer(request: Request) -> Response:
        """Score tensors by the Open Inference Protocol, in which a request that cannot be read is answered by 400."""
        model = _found(models, request.path_params["name"])
        gate.check_room()
        asked = Inference(await gate.body(request))
        try:
            with gate.inside():
                answer = await worker.answer(model, lambda loaded: asked.rows(loaded, gate.limits.n_rows))
        except RefusedError as refused:
            raise RefusedError(
                400 if refused.status == 422 else refused.status, str(refused), refused.headers
            ) from None
        _count(metrics, model.name, answer)
        return json_response(asked.answer(model.name, answer.values, answer.loaded.threshold))

    app.add_route("/v2/models/{name}/infer", infer, methods=["POST"])

    @app.get("/v2")
    async def server() -> Response:
        """Describe the server by the Open Inference Protocol."""
        return json_response(SERVER)

    @app.get("/v2/health/live")
    async def live() -> Response:
        """Say that the service runs, by the Open Inference Protocol."""
        return json_response({"live": True})

    @app.get("/v2/health/ready")
    async def ready() -> Response:
        """Say that all models are loaded, by the Open Inference Protocol."""
        return json_response({"ready": True})

    @app.get("/v2/models/{name}")
    async def metadata(name: str) -> Response:
        """Describe the input and output tensors of a model by the Open Inference Protocol."""
        return json_response(tensors_of(name, _found(models, name).loaded))

    @app.get("/v2/models/{name}/ready")
    async def model_ready(name: str) -> Response:
        """Say that a model is loaded, by the Open Inference Protocol."""
        return json_response({"name": _found(models, name).name, "ready": True})

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        text, headers = document
        return Response(text, headers=headers, media_type="text/html")

    @app.get("/info")
    async def info() -> Response:
        """List the models and the rows that they take."""
        described = {name: _described(model.loaded) for name, model in models.items()}
        return json_response({"tollad": __version__, "models": described})

    @app.get("/health")
    @app.get("/ready")
    async def health() -> Response:
        """Say that the service runs, which it does only once all models are loaded."""
        return json_response({"status": "ok"})

    @app.get("/metrics")
    async def tell_metrics() -> Response:
        """Tell Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.exception_handler(RefusedError)
    async def refuse(_: Request, refused: RefusedError) -> Response:
        return json_response({"error": str(refused)}, refused.status, refused.headers)

    @app.exception_handler(HTTPException)
    async def no_such(_: Request, found: HTTPException) -> Response:
        reason = "there is nothing here for this method and address; /openapi.json names all there is"
        return json_response({"error": reason}, found.status_code, found.headers)

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        return json_response({"error": "the server failed at this request; its log says where"}, 500)

    described = app.openapi

    def openapi() -> dict[str, Any]:
        return with_models(described(), models)

    app.openapi = openapi  # type: ignore[method-assign]
    app.add_middleware(Guard, gate=gate)
    paths_of = {route.endpoint: route.path for route in app.routes if isinstance(route, Route)}
    app.add_middleware(Requests, metrics=metrics, paths=paths_of)
    return app


class Guard:
    """Refuses requests without the token."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        self._app, self._gate = app, gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and scope["path"] not in _OPEN:
            try:
                self._gate.check_token(Request(scope))
            except RefusedError as refused:
                await json_response({"error": str(refused)}, refused.status, refused.headers)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _found(models: Mapping[str, Served], name: str | None) -> Served:
    if name is None:
        if len(models) == 1:
            return next(iter(models.values()))
        raise RefusedError(404, f"there are several models: use /models/NAME/score with one of {', '.join(models)}")
    if name not in models:
        raise RefusedError(404, f"there is no model of this name; there is {', '.join(models)}")
    return models[name]


def _n_reasons(request: Request) -> int:
    wanted = request.query_params.get("reasons", "3")
    if not re.fullmatch("[1-9][0-9]{0,5}", wanted):
        raise RefusedError(422, "reasons must be a number of reasons for each row, such as 3")
    return int(wanted)


def _check_content_type(loaded: Loaded, content_type: str) -> None:
    if content_type not in loaded.answers.types:
        raise RefusedError(415, f"the content type must be one of {', '.join(loaded.answers.types)}")


def _read(header: str, body: bytes, most: int, n_reasons: int, loaded: Loaded) -> Any:
    """Return the rows of a body; for a model of series or images, their answer."""
    content_type = content_type_of(header)
    _check_content_type(loaded, content_type)
    check_packed(content_type, body, most)
    if isinstance(loaded.answers, TableAnswers):
        return loaded.answers.reader.rows(content_type, body, most)
    return Answer(loaded.answers.of_files(files_of(header, body, most), most, n_reasons), loaded)


def _count(metrics: Metrics, name: str, answer: Answer) -> None:
    """Count the answer of a request in the metrics."""
    monitor = answer.loaded.monitor
    metrics.rows.labels(name).inc(len(answer.values["anomaly_score"]))
    metrics.anomalies.labels(name).inc(int(np.sum(answer.values["anomaly"])))
    if monitor is not None:
        metrics.drift.labels(name).set(monitor.drift is not None)


def _described(loaded: Loaded) -> dict[str, Any]:
    answers = loaded.answers
    described: dict[str, Any] = {
        "kind": answers.kind,
        "types": list(answers.types),
        "columns": answers.columns(),
        "threshold": loaded.threshold,
        "threshold_rule": list(loaded.detector.decision_.rule),
        "p_values": loaded.detector.decision_.calibration_scores is not None,
    }
    if isinstance(answers, (TableAnswers, ImageAnswers)):
        described["engine"] = answers.engine.name
    return described


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return values, which may be NumPy's, as a response."""
    data = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status, dict(headers or {}), "application/json")
