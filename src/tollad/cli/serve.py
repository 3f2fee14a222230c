"""``tollad serve``."""

from __future__ import annotations

import contextlib
import errno
import gc
import ipaddress
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from tollad.cli.numbers import Integer, Number
from tollad.cli.shared import threads_option


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where to listen.")
@click.option("--port", type=Integer(0, 65535), default=8000, show_default=True, help="0 takes a free port.")
@click.option("--token-file", metavar="FILE", help="Holds the token that clients must send.")
@click.option(
    "--max-mib",
    type=Number(0, min_open=True),
    default=64,
    show_default=True,
    help="The largest body of a request, in MiB.",
)
@click.option("--max-rows", type=Integer(1), default=1_000_000, show_default=True, help="The most rows of a request.")
@click.option(
    "--workers", type=Integer(1, 256), default=1, show_default=True, metavar="N", help="Processes that answer."
)
@threads_option
def serve(
    models: tuple[str, ...],
    host: str,
    port: int,
    token_file: str | None,
    max_mib: float,
    max_rows: int,
    workers: int,
) -> None:
    """Answer requests for scores by HTTP with MODEL, or several, of tables, series or images.

    POST /score takes JSON, CSV, Arrow and Parquet, or images; /openapi.json describes all, and / is a page. A model
    file that is replaced is loaded anew within a second, or at once after SIGHUP. Addresses of other machines are
    served only with a token.
    """
    from tollad.serve import workers as processes

    token = None if token_file is None else _token(token_file)
    if token is None and not _is_loopback(host):
        raise ValueError(f"other machines reach {host}: give --token-file FILE, or listen on 127.0.0.1")
    with contextlib.ExitStack() as stack:
        if workers > 1:
            stack.enter_context(processes.counting_together())
        from tollad.serve.app import make_app
        from tollad.serve.limits import Limits

        app = make_app(models, token=token, limits=Limits(n_bytes=int(max_mib * (1 << 20)), n_rows=max_rows))
        # What lives as long as the server is never searched for garbage: that would hold up requests for 0.2 s.
        gc.collect()
        gc.freeze()
        listening = stack.enter_context(_listening(host, port))
        click.echo(f"Listening on http://{host}:{listening.getsockname()[1]}", err=True)
        answer = partial(_answer, app, listening)
        if workers == 1:
            answer()
        else:
            processes.run(workers, answer)


def _answer(app: Any, listening: socket.socket) -> None:
    """Answer on a socket until a signal ends it."""
    import uvicorn

    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: app.state.watch.check_now())
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=30)
    uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    # asyncio sends each write at once only if the socket names its protocol. Else the end of an answer may wait 40 ms
    # for the client to acknowledge its beginning.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
            listening.listen()
        except OSError as error:
            other = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
            raise OSError(f"cannot listen on {host}:{port}: {error.strerror}; choose another {other}") from None
        yield listening


def _token(path: str) -> str:
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ValueError(
            f"cannot read the token file {path}: {reason}; give a text file that holds the token"
        ) from None
    if not token:
        raise ValueError(f"{path}: holds no token; write one into it")
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
