"""Addresses that lead to no cluster, each in one sentence; no Ray is started."""

from __future__ import annotations

import importlib
import socket
import threading
from contextlib import contextmanager

import pytest

from tollad.scale.cluster import cluster


@contextmanager
def answering(text: bytes):
    """A port that sends some bytes to whoever connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                connection.sendall(text)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(20)


def refused(address: str) -> str:
    with pytest.raises((ValueError, OSError)) as caught, cluster(address):
        pass
    return str(caught.value)


def test_the_extra_is_missing(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(ImportError, match=r"pip install 'tollad\[ray\]'"), cluster("local"):
        pass


class TestAddress:
    @pytest.fixture(autouse=True)
    def _needs_ray(self):
        pytest.importorskip("ray")

    @pytest.mark.parametrize("address", ["nowhere", "host:port", ":1", "ray://host:1", "host:99999"])
    def test_another_form(self, address):
        assert "give local, auto or HOST:PORT" in refused(address)

    def test_nothing_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        assert refused(f"127.0.0.1:{port}").startswith(f"Ray address 127.0.0.1:{port} does not answer")

    def test_something_else_listens(self):
        with answering(b"HTTP/1.0 400 Bad request\r\n\r\n") as port:
            assert "answers, but not as a Ray cluster does" in refused(f"127.0.0.1:{port}")

    def test_no_cluster_here(self, monkeypatch):
        import ray

        def init(*_, **__):
            raise ConnectionError("could not find any running instance")

        monkeypatch.setattr(ray, "init", init)
        assert "no Ray cluster runs on this machine" in refused("auto")
