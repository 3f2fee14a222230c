"""Carry out calls on a Ray cluster: submit them, gather results as they end, and repeat calls that were lost."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from tollad.calls import Each

T = TypeVar("T")

_MOST_AT_ONCE = 256
"""Calls submitted to the cluster at a time. Checking for results takes time in proportion to it."""
_SECONDS = 5.0
_N_RETRIES = 3
# The first bytes of an HTTP/2 connection, which Ray's head speaks, and the type of frame that answers them.
_PREFACE, _SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]), 4


@contextmanager
def cluster(address: str) -> Iterator[Each]:
    """Connect to a cluster for as long as the block runs. Output printed within the block goes to standard error.

    Parameters
    ----------
    address : str
        "local" starts a cluster on this machine, which ends with the block. "auto" finds the cluster that this machine
        belongs to. ``HOST:PORT`` is the head of a cluster. A process that is already connected stays connected.

    Yields
    ------
    Each
        Carries out calls on the workers of the cluster, which need the installed package and nothing else. A call whose
        worker is lost is repeated up to three times.

    Raises
    ------
    ImportError
        Without the extra ``ray``.
    ValueError
        For an address of another form.
    OSError
        If no cluster answers within seconds.
    """
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ImportError("a Ray cluster needs further packages: pip install 'tollad[ray]'") from error
    was_connected = ray.is_initialized()
    if not was_connected:
        _connect(ray, address)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Ray prints there that workers were lost
            yield partial(_each, ray)
    finally:
        if not was_connected:
            ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        # No usage statistics are sent, and nothing listens on the network.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        how |= {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    elif address != "auto":
        _check_answers(address)
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, **how)
    except ConnectionError as error:
        reason = "no Ray cluster runs on this machine" if address == "auto" else _line(error)
        raise ConnectionError(f"Ray address {address}: {reason}; start one, or give its HOST:PORT") from None
    finally:
        if in_main:  # Ray installs a handler of its own
            signal.signal(signal.SIGTERM, before)


def _check_answers(address: str) -> None:
    """Raise an error at once if nothing answers: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 1 << 16) or "/" in host:
        raise ValueError(f"Ray address {address!r}: give local, auto or HOST:PORT")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS) as connection:
            connection.sendall(_PREFACE)
            frame = connection.recv(9)
    except OSError as error:
        raise ConnectionError(f"Ray address {address} does not answer ({_line(error)}); is the cluster up?") from None
    if len(frame) < 4 or frame[3] != _SETTINGS:
        raise ConnectionError(f"Ray address {address} answers, but not as a Ray cluster does; is it that of its head?")


def _each(ray: Any, function: Callable[..., T], calls: Iterable[tuple[Any, ...]]) -> Iterator[tuple[int, T]]:
    """As `tollad.calls.Each`."""
    # Stored once for all calls, since it may hold rows or a model.
    stored = ray.put(function)
    remote = ray.remote(max_retries=_N_RETRIES)(_called)
    left, waiting = iter(enumerate(calls)), dict[Any, int]()
    try:
        while True:
            while len(waiting) < _MOST_AT_ONCE and (following := next(left, None)) is not None:
                number, arguments = following
                waiting[remote.remote(stored, *arguments)] = number
            if not waiting:
                return
            (ended,), _ = ray.wait([*waiting], num_returns=1)
            yield waiting.pop(ended), _result(ray, ended)
    finally:
        for unfinished in waiting:
            ray.cancel(unfinished, force=True)


def _called(function: Callable[..., T], *arguments: Any) -> T:
    return function(*arguments)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise OSError(
            f"a worker of the Ray cluster was lost {_N_RETRIES + 1} times over the same work ({_line(error):.200}); "
            "give the workers more memory, and see Ray's logs"
        ) from None


def _line(error: Exception) -> str:
    return " ".join(str(getattr(error, "strerror", None) or error).split())
