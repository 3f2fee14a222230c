"""The web service, asked in process; and once as a process of its own."""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import subprocess
import urllib.request

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import COMMAND, done, refused
from detectors import FEW_STEPS, people, table, train
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import client_of, limits

from tollad import TollDetector
from tollad.detector.results import expected_by

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi.testclient")

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)
COLUMNS = ["a", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("served")
    train("table", false_alarm_rate=0.2).save(path / "numbers.tollad")
    TollDetector(steps=12, hidden=(8,), random_state=0).fit(people()).save(path / "people.tollad")
    named = pd.DataFrame(table(), columns=COLUMNS)
    TollDetector(steps=12, hidden=(8,), random_state=0).fit(named).save(path / "named.tollad")
    return path


@pytest.fixture(scope="module")
def numbers(folder):
    return client_of(folder / "numbers.tollad")


@pytest.fixture(scope="module")
def of_people(folder):
    return client_of(folder / "people.tollad")


def as_csv(frame: pd.DataFrame) -> bytes:
    return frame.to_csv(index=False).encode()


def as_arrow(frame: pd.DataFrame) -> bytes:
    found, sink = pa.Table.from_pandas(frame, preserve_index=False), io.BytesIO()
    with pa.ipc.new_stream(sink, found.schema) as stream:
        stream.write_table(found)
    return sink.getvalue()


def as_parquet(frame: pd.DataFrame) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink)
    return sink.getvalue()


class TestScore:
    def test_answers_are_those_of_the_detector(self, folder, numbers):
        detector, rows = TollDetector.load(folder / "numbers.tollad"), table(40, seed=5)
        said = numbers.post("/score", json={"rows": rows.tolist()}).json()
        np.testing.assert_allclose(said["anomaly_score"], detector.anomaly_score(rows), rtol=1e-6)
        np.testing.assert_array_equal(said["anomaly"], detector.predict(rows) == -1)
        np.testing.assert_array_equal(said["p_value"], detector.p_value(rows))
        assert said["threshold"] == -detector.offset_

    def test_every_form_of_rows_gives_the_same(self, folder):
        client, frame = client_of(folder / "named.tollad"), pd.DataFrame(table(8, seed=3), columns=COLUMNS)
        wanted = client.post("/score", json={"rows": frame.to_numpy().tolist()}).json()["anomaly_score"]
        objects = frame[COLUMNS[::-1]].to_dict("records")
        for body in ({"rows": objects}, {"columns": frame.to_dict("list")}):
            assert client.post("/score", json=body).json()["anomaly_score"] == wanted
        for kind, body in (
            ("text/csv; charset=utf-8", as_csv(frame)),
            ("application/vnd.apache.arrow.stream", as_arrow(frame)),
            ("application/vnd.apache.parquet", as_parquet(frame)),
        ):
            response = client.post("/score", content=body, headers={"content-type": kind})
            np.testing.assert_allclose(response.json()["anomaly_score"], wanted, rtol=1e-12)

    def test_mixed_columns_with_reasons(self, folder, of_people):
        frame = people(5, seed=2)
        detector = TollDetector.load(folder / "people.tollad")
        arrow = {"content-type": "application/vnd.apache.arrow.stream"}
        said = of_people.post("/explain?reasons=2", content=as_arrow(frame), headers=arrow).json()
        np.testing.assert_array_equal(said["anomaly_score"], detector.anomaly_score(frame))
        explanation = detector.explain(frame)
        assert said["reasons"] == [explanation.reasons(row, 2) for row in range(5)]

    def test_columns_that_are_named_by_numbers(self, tmp_path):
        frame = pd.DataFrame(table())
        detector = TollDetector(steps=12, hidden=(8,), random_state=0).fit(frame)
        detector.save(tmp_path / "m.tollad")
        client = client_of(tmp_path / "m.tollad")
        described = client.get("/info").json()["models"]["m"]["columns"]
        assert [column["name"] for column in described] == ["0", "1", "2", "3", "4"]
        said = client.post("/score", json={"columns": frame.rename(columns=str).to_dict("list")}).json()
        np.testing.assert_allclose(said["anomaly_score"], detector.anomaly_score(frame), rtol=1e-6)
        assert expected_by(detector).names == ["0", "1", "2", "3", "4"]

    def test_null_is_a_missing_value(self, folder, of_people):
        row = {"age": None, "city": "Bonn", "seen": "2024-03-01", "member": True}
        assert of_people.post("/score", json={"rows": [row]}).status_code == 200

    def test_several_models_by_name(self, folder):
        client = client_of(folder / "numbers.tollad", folder / "named.tollad")
        body = {"rows": table(2).tolist()}
        assert client.post("/models/named/score", json=body).status_code == 200
        assert client.post("/score", json=body).status_code == 404
        response = client.post("/models/none/score", json=body)
        assert response.json() == {"error": "there is no model of this name; there is numbers, named"}

    def test_info_names_the_columns(self, of_people):
        described = of_people.get("/info").json()["models"]["people"]
        assert described["engine"] in ("torch", "onnxruntime")
        assert described["columns"][1] == {"name": "city", "kind": "category"}
        assert described["threshold_rule"] == ["contamination", 0.1]

    def test_metrics_count_rows(self, folder):
        client = client_of(folder / "numbers.tollad")
        client.post("/score", json={"rows": table(7).tolist()})
        told = client.get("/metrics").text
        assert 'tollad_rows_total{model="numbers"} 7.0' in told
        assert 'tollad_requests_total{path="/score",status="200"} 1.0' in told

    def test_schema_and_health(self, numbers):
        assert "/score" in numbers.get("/openapi.json").json()["paths"]
        assert numbers.get("/health").json() == numbers.get("/ready").json() == {"status": "ok"}


class TestRefused:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "the body is no JSON"),
            (b"[]", 'the body must be {"rows"'),
            (b'{"rows": []}', "at least one row"),
            (b'{"rows": 3}', "must be a list"),
            (b'{"rows": [[1, 2]]}', "row 0: a row is a list of 5 values"),
            (b'{"rows": [[1, 2, 3, 4, "x"]]}', "row 0, value 4: 'x' is no number"),
            (b'{"rows": [[1, 2, 3, 4, [5]]]}', "is no number"),
            (b'{"rows": [[1, 2, 3, 4, 1e999]]}', "the body is no JSON"),
            (b'{"rows": [[1, 2, 3, 4, NaN]]}', "JSON has no NaN, and a missing value is null"),
            (b'{"rows": [[1, 2, 3, 4, -Infinity]]}', "JSON has no Infinity"),
            (b'{"columns": {"x1": [1]}}', "the columns must be x1, x2"),
            (b'{"columns": {"x1": [1], "x2": [1, 2]}}', "as many values"),
        ],
    )
    def test_a_body_of_another_form(self, numbers, body, words):
        response = numbers.post("/score", content=body, headers={"content-type": "application/json"})
        assert response.status_code == 422
        assert words in response.json()["error"]

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({"age": 3}, "lacks columns that the model was fitted on"),
            (
                {"age": "old", "city": "Bonn", "seen": "2024-03-01", "member": True},
                "column 'age': 'old' is not a number",
            ),
            ({"age": 1, "city": "Bonn", "seen": "2024-03-01", "member": True, "x": 1}, "has columns that the model"),
        ],
    )
    def test_rows_of_other_columns(self, of_people, row, words):
        response = of_people.post("/score", json={"rows": [row]})
        assert response.status_code == 422
        assert words in response.json()["error"]

    @pytest.mark.parametrize("row", [{"x1": 1, "x2": 2, "x3": 3, "x4": 4, "z": 5}, {"x1": 1}])
    def test_numbers_of_other_columns(self, row, folder):
        response = client_of(folder / "named.tollad").post("/score", json={"rows": [row]})
        assert response.status_code == 422
        assert response.json()["error"].startswith("the columns must be ")
        assert "\n" not in response.json()["error"]

    def test_a_file_names_the_line_and_no_folder(self, of_people):
        body = b"age,city,seen,member\n31,Bonn,2024-01-01,true\nold,Bonn,2024-01-01,true\n"
        response = of_people.post("/score", content=body, headers={"content-type": "text/csv"})
        assert response.status_code == 422
        assert response.json()["error"].startswith("body.csv, line 3, column 'age'")

    @pytest.mark.parametrize(
        "kind", ["text/csv", "application/vnd.apache.arrow.stream", "application/vnd.apache.parquet"]
    )
    def test_bytes_of_another_kind(self, of_people, kind):
        response = of_people.post("/score", content=b"\x00\xff nothing", headers={"content-type": kind})
        assert response.status_code == 422
        assert len(response.json()["error"]) > 20

    def test_another_type_of_content(self, numbers):
        assert numbers.post("/score", content=b"x", headers={"content-type": "text/html"}).status_code == 415

    def test_packed_rows_are_counted_before_they_are_unpacked(self, folder, monkeypatch):
        client, frame = (
            client_of(folder / "named.tollad", limits=limits(n_rows=7)),
            pd.DataFrame(table(8), columns=COLUMNS),
        )
        monkeypatch.setattr("tollad.serve.bodies.row_blocks", lambda *_, **__: pytest.fail("it was unpacked"))
        for kind, body in (("parquet", as_parquet(frame)), ("arrow.stream", as_arrow(frame))):
            response = client.post("/score", content=body, headers={"content-type": f"application/vnd.apache.{kind}"})
            assert response.status_code == 413
            assert response.json()["error"] == "the body has 8 rows, and 7 are the most; send fewer at once"
        monkeypatch.setattr("tollad.serve.bodies._UNPACKED", 100)
        client = client_of(folder / "named.tollad")
        response = client.post(
            "/score", content=as_parquet(frame), headers={"content-type": "application/vnd.apache.parquet"}
        )
        assert "unpacks to more than" in response.json()["error"]

    def test_a_body_that_is_too_large(self, folder):
        client = client_of(folder / "numbers.tollad", limits=limits(n_bytes=100, n_rows=3))
        assert client.post("/score", json={"rows": table(50).tolist()}).status_code == 413

        def parts():
            for _ in range(50):
                yield b"[1, 2, 3], "

        assert client.post("/score", content=parts(), headers={"content-type": "application/json"}).status_code == 413

    def test_too_many_rows(self, folder):
        client = client_of(folder / "numbers.tollad", limits=limits(n_rows=3))
        assert client.post("/score", json={"rows": table(4).tolist()}).status_code == 413
        assert client.post("/score", json={"rows": table(3).tolist()}).status_code == 200

    def test_too_many_requests(self, folder):
        client = client_of(folder / "numbers.tollad", limits=limits(n_waiting=0))
        response = client.post("/score", json={"rows": table(3).tolist()})
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")

    def test_without_the_token(self, folder):
        client = client_of(folder / "numbers.tollad", token="secret")
        body = {"rows": table(3).tolist()}
        assert client.post("/score", json=body).status_code == 401
        assert client.post("/score", json=body, headers={"authorization": "Bearer other"}).status_code == 401
        assert client.post("/score", json=body, headers={"authorization": "Bearer secret"}).status_code == 200
        assert client.get("/health").status_code == 200

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        body=st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=5)
                | st.dictionaries(st.sampled_from(["rows", "columns", "age", "city", "x1"]), inner, max_size=5)
            ),
            max_leaves=20,
        ),
        raw=st.binary(max_size=30),
        kind=st.sampled_from(["application/json", "text/csv", "application/vnd.apache.parquet"]),
    )
    def test_nothing_ends_in_an_error_of_the_server(self, numbers, of_people, body, raw, kind):
        for client in (numbers, of_people):
            for content in (json.dumps(body).encode(), raw):
                response = client.post("/score", content=content, headers={"content-type": kind})
                assert response.status_code in (200, 413, 415, 422), response.text


class TestReload:
    def test_a_new_file_is_taken_and_a_broken_one_is_not(self, tmp_path, capsys):
        path = tmp_path / "m.tollad"
        first, second = train("mlp"), train("mlp", random_state=1)
        first.save(path)
        client = client_of(path)
        rows = table(3, seed=4)

        def scores():
            client.app.state.models["m"].reload_if_changed()
            return client.post("/score", json={"rows": rows.tolist()}).json()["anomaly_score"]

        np.testing.assert_allclose(scores(), first.anomaly_score(rows), rtol=1e-6)
        second.save(path)
        np.testing.assert_allclose(scores(), second.anomaly_score(rows), rtol=1e-6)
        path.write_bytes(b"no model")
        np.testing.assert_allclose(scores(), second.anomaly_score(rows), rtol=1e-6)
        path.unlink()
        for _ in range(3):  # looked at every second, told once
            np.testing.assert_allclose(scores(), second.anomaly_score(rows), rtol=1e-6)
        said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert [line["event"] for line in said if "event" in line] == ["reloaded", *["kept the old model"] * 2]
        assert "there is no such file" in next(line["reason"] for line in reversed(said) if "reason" in line)

    def test_logs_hold_no_data(self, folder, capsys):
        client = client_of(folder / "numbers.tollad")
        client.post("/score", json={"rows": [[123.456] * 5]}, headers={"x-request-id": "mine"})
        said = capsys.readouterr().err
        assert "123.456" not in said
        assert json.loads(said)["request"] == "mine"


class TestCommand:
    def test_other_machines_need_a_token(self, folder, tmp_path):
        assert "give --token-file" in refused("serve", folder / "numbers.tollad", "--host", "0.0.0.0")
        (tmp_path / "token").write_text("\n")
        assert "holds no token" in refused("serve", folder / "numbers.tollad", "--token-file", tmp_path / "token")
        (tmp_path / "token").write_bytes(b"\xff\xfe\xfd")
        for name in ("token", "missing"):
            said = refused("serve", folder / "numbers.tollad", "--token-file", tmp_path / name)
            assert f"cannot read the token file {tmp_path / name}: " in said
        assert f"cannot read {tmp_path / 'm'}: there is no such file" in refused("serve", tmp_path / "m")
        assert "another model called" in refused("serve", folder / "numbers.tollad", folder / "numbers.tollad")

    def test_a_detector_of_rows_that_are_images_is_refused(self, tmp_path):
        train("grey images").save(tmp_path / "m.tollad")
        assert "cannot be served; a TollDetector of tables, SeriesDetector" in refused("serve", tmp_path / "m.tollad")

    def test_what_is_loaded_is_never_searched_for_garbage(self, folder, monkeypatch):
        frozen = []
        monkeypatch.setattr("tollad.cli.serve._answer", lambda *_: frozen.append(gc.get_freeze_count()))
        try:
            done("serve", folder / "numbers.tollad", "--port", "0")
        finally:
            gc.unfreeze()
        assert frozen[0] > 100_000

    @pytest.mark.slow
    def test_a_process_answers_and_stops(self, folder):
        command = [*COMMAND, "serve", str(folder / "numbers.tollad"), "--port", "0"]
        with subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": ""}
        ) as process:
            try:
                assert process.stderr is not None
                address = process.stderr.readline().removeprefix("Listening on ").strip()
                body = json.dumps({"rows": table(2).tolist()}).encode()
                request = urllib.request.Request(f"{address}/score", body, {"content-type": "application/json"})
                with urllib.request.urlopen(request, timeout=60) as response:
                    assert len(json.load(response)["anomaly_score"]) == 2
                said = refused("serve", folder / "numbers.tollad", "--port", address.rpartition(":")[2])
                assert "choose another --port" in said
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 128 + signal.SIGTERM
            finally:
                process.kill()
