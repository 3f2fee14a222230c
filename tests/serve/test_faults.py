"""The web service when clients are slow, leave, or are too many, and when a model is replaced meanwhile."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from commands import refused
from detectors import FEW_STEPS, table, train
from served import app_of, limits, listening

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

from tollad.cli.serve import _listening

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)
BODY = json.dumps({"rows": table(3).tolist()}).encode()
HEAD = (
    b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    + str(len(BODY)).encode()
    + b"\r\n\r\n"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("faults") / "m.tollad"
    train("table").save(path)
    return path


def scored(port: int) -> httpx.Response:
    return httpx.post(f"http://127.0.0.1:{port}/score", content=BODY, headers={"content-type": "application/json"})


def begun(port: int, n_bytes: int) -> socket.socket:
    """Return a connection on which a part of a request was sent."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall((HEAD + BODY)[:n_bytes])
    return connection


def test_a_slow_client_ends_in_408_and_hinders_no_other(path):
    with listening(app_of(path, limits=limits(seconds=0.5, n_waiting=1))) as port, begun(port, len(HEAD) + 5) as slow:
        assert scored(port).status_code == 200
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("n_bytes", [10, len(HEAD), len(HEAD) + 5, len(HEAD) + len(BODY)])
def test_clients_that_leave_in_the_middle(path, n_bytes):
    app = app_of(path, limits=limits(n_waiting=2))
    with listening(app) as port:
        for _ in range(20):
            begun(port, n_bytes).close()
        deadline = time.monotonic() + 20
        while scored(port).status_code == 503 and time.monotonic() < deadline:  # those whose bodies were whole
            time.sleep(0.02)
        assert scored(port).status_code == 200


def test_too_many_requests_are_turned_away_and_the_others_answered(path, monkeypatch):
    app = app_of(path, limits=limits(n_waiting=3))
    model, go = app.state.models["m"], threading.Event()
    engine, rows = model.loaded.table.engine, table(3)
    wanted = engine.answers(engine.feed(rows))["anomaly_score"].tolist()
    right = type(engine).answers
    monkeypatch.setattr(type(engine), "answers", lambda engine, inputs: (go.wait(30), right(engine, inputs))[1])
    with listening(app) as port, ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(scored, port) for _ in range(8)]
        while sum(one.done() for one in asked) < 5:
            time.sleep(0.01)
        go.set()
        found = [one.result() for one in asked]
    assert sorted(one.status_code for one in found) == [200] * 3 + [503] * 5
    assert {one.headers.get("retry-after") for one in found if one.status_code == 503} == {"1"}
    assert all(one.json()["anomaly_score"] == wanted for one in found if one.status_code == 200)


def test_a_model_that_is_replaced_while_requests_run(path, tmp_path):
    """Each answer is that of one model or of the other, and a file that is half written changes nothing."""
    first, second = train("mlp"), train("mlp", random_state=1)
    served, other, rows = tmp_path / "m.tollad", tmp_path / "other", table(3)
    first.save(served)
    second.save(other)
    app = app_of(served)
    wanted = [one.anomaly_score(rows) for one in (first, second)]
    thresholds = [-one.offset_ for one in (first, second)]
    found, ended = [], threading.Event()

    def ask(port: int) -> None:
        while not ended.is_set():
            found.append(scored(port).json())

    with listening(app) as port, ThreadPoolExecutor(3) as pool:
        asking = [pool.submit(ask, port) for _ in range(3)]
        whole, model = other.read_bytes(), app.state.models["m"]
        for data in (whole[: len(whole) // 2], whole, first_bytes := served.read_bytes(), whole):
            served.write_bytes(data)
            model.reload_if_changed()
            time.sleep(0.1)
        ended.set()
        for one in asking:
            one.result()
        last = scored(port).json()
    assert first_bytes != whole
    for answer in [*found, last]:
        which = thresholds.index(answer["threshold"])
        np.testing.assert_allclose(answer["anomaly_score"], wanted[which], rtol=1e-6)
    assert last["threshold"] == thresholds[1]


def test_the_end_of_an_answer_does_not_wait_for_its_beginning_to_be_acknowledged():
    """Clients acknowledge the head of an answer after 40 ms, unless its body comes at once."""
    found = []

    def accepted(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async def ask(bound: socket.socket) -> None:
        async with await asyncio.start_server(accepted, sock=bound.dup()):
            reader, writer = await asyncio.open_connection(*bound.getsockname())
            await reader.read()
            writer.close()

    with _listening("127.0.0.1", 0) as bound:
        asyncio.run(ask(bound))
    assert found == [1]


def test_an_address_that_is_not_of_this_machine(path, tmp_path):
    (tmp_path / "token").write_text("secret")
    how = ("serve", path, "--host", "192.0.2.1", "--token-file", tmp_path / "token")
    assert "cannot listen on 192.0.2.1:8000: " in (said := refused(*how))
    assert said.endswith("; choose another --host\n")
