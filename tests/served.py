"""A web service as tests use it: asked in process, or listening on a port of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def app_of(*paths: Path, **how: Any) -> Any:
    from tollad.serve.app import make_app

    return make_app([str(path) for path in paths], **how)


def client_of(*paths: Path, **how: Any) -> Any:
    from fastapi.testclient import TestClient

    return TestClient(app_of(*paths, **how), raise_server_exceptions=True)


def limits(**changes: Any) -> Any:
    from tollad.serve.limits import Limits

    return Limits(**changes)


@contextmanager
def listening(app: Any) -> Iterator[int]:
    """Serve an app for as long as the block runs; gives the port."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(60)
