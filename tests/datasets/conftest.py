"""A server of data sets, and a small set that it offers."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from datasets.served import Server, content

from tollad.datasets.catalogue import CATALOGUE


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.blocked.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def small(monkeypatch, server, home):
    """A set "mnist" of one file of its own, offered at two addresses, and of one in an archive."""

    def offer(downloads, **files):
        known = {name.replace("__", "."): content(data) for name, data in files.items()}
        addresses = tuple(tuple(map(server.url, group)) for group in downloads)
        monkeypatch.setitem(CATALOGUE, "mnist", replace(CATALOGUE["mnist"], downloads=addresses, files=known))
        return home / "mnist"

    return offer
