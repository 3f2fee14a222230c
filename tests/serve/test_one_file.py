"""Series and images by HTTP: the answers of their detectors, with events and maps."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from detectors import FEW_STEPS, table, train
from served import client_of, limits

from tollad import ImageDetector, SeriesDetector
from tollad.io.images import open_images

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi.testclient")
image = pytest.importorskip("PIL.Image")

pytestmark = pytest.mark.filterwarnings(FEW_STEPS, "ignore:the false-alarm rate:UserWarning")


def waves(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    steps = np.sin(np.arange(n)[:, None] / 4 * np.arange(1, 3)) + 0.1 * rng.normal(size=(n, 2))
    times = pd.date_range("2024-01-01", periods=n, freq="h")
    return pd.DataFrame({"when": times.strftime("%Y-%m-%d %H:%M"), "a": steps[:, 0], "b": steps[:, 1]})


def pictures(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 30, (n, 20, 27)).astype(np.uint8)
    for one, place in zip(images, rng.integers(2, 20, n), strict=True):
        one[3:-3, place : place + 3] += 180
    return images


def as_png(pixels: np.ndarray) -> bytes:
    sink = io.BytesIO()
    image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole")
    SeriesDetector(window=10, stride=3, steps=8, hidden=(8,), random_state=0, time="when").fit(waves(300, 0)).save(
        path / "series.tollad"
    )
    ImageDetector("gradients", random_state=0, false_alarm_rate=0.1).fit(pictures(40, 0)).save(path / "images.tollad")
    train("table").save(path / "numbers.tollad")
    return path


@pytest.fixture(scope="module")
def client(folder):
    return client_of(*(folder / f"{name}.tollad" for name in ("series", "images", "numbers")))


def posted(client, name, body, kind, what="score"):
    return client.post(f"/models/{name}/{what}", content=body, headers={"content-type": kind})


class TestSeries:
    def test_answers_are_those_of_the_detector(self, folder, client):
        frame, detector = waves(120, 5), SeriesDetector.load(folder / "series.tollad")
        frame.loc[60:70, "a"] += 5
        said = posted(client, "series", frame.to_csv(index=False).encode(), "text/csv", "explain?reasons=2").json()
        wanted = detector.judge(frame)
        np.testing.assert_allclose(said["anomaly_score"], wanted.scores, rtol=1e-12)
        np.testing.assert_array_equal(said["anomaly"], wanted.alarms)
        assert said["time"][:2] == ["2024-01-01 00:00", "2024-01-01 01:00"]
        events = detector.events(frame, n_reasons=2)
        assert [event["peak"] for event in said["events"]] == [event.peak for event in events]
        assert said["events"][0]["reasons"] == list(events[0].reasons)
        assert said["threshold"] == detector.threshold_

    def test_what_cannot_be_scored(self, client):
        frame = waves(120, 5)
        short = posted(client, "series", frame[:5].to_csv(index=False).encode(), "text/csv")
        assert short.status_code == 422
        assert short.json()["error"].startswith("body.csv")
        assert posted(client, "series", b"{}", "application/json").status_code == 415
        lacking = posted(client, "series", frame[["when", "a"]].to_csv(index=False).encode(), "text/csv")
        assert lacking.status_code == 422

    def test_too_many_steps(self, folder):
        client = client_of(folder / "series.tollad", limits=limits(n_rows=50))
        body = waves(120, 5).to_csv(index=False).encode()
        assert client.post("/score", content=body, headers={"content-type": "text/csv"}).status_code == 413


class TestImages:
    def test_answers_are_those_of_the_detector(self, folder, client, tmp_path):
        detector = ImageDetector.load(folder / "images.tollad")
        strange = pictures(1, 3)[0].T.copy().T
        strange[8:12] = 255
        (tmp_path / "one.png").write_bytes(as_png(strange))
        pixels = open_images(tmp_path).take([0])
        said = posted(client, "images", as_png(strange), "image/png", "explain").json()
        np.testing.assert_allclose(said["anomaly_score"], detector.anomaly_score(pixels), rtol=1e-6)
        np.testing.assert_allclose(said["anomaly_map"], detector.anomaly_map(pixels), atol=1e-4)
        np.testing.assert_array_equal(said["p_value"], detector.p_value(pixels))
        assert "anomaly_map" not in posted(client, "images", as_png(strange), "image/png").json()

    def test_an_image_of_another_size_is_brought_to_that_of_the_fit(self, folder, client, tmp_path):
        large = as_png(np.kron(pictures(1, 3)[0], np.ones((2, 2), np.uint8)))
        (tmp_path / "one.png").write_bytes(large)
        pixels = open_images(tmp_path, size=(20, 27)).take([0])
        wanted = ImageDetector.load(folder / "images.tollad").anomaly_score(pixels)
        np.testing.assert_allclose(posted(client, "images", large, "image/png").json()["anomaly_score"], wanted)

    def test_several_in_one_form(self, folder, client):
        images = [as_png(one) for one in pictures(3, 3)]
        alone = [posted(client, "images", one, "image/png", "explain").json() for one in images]
        files = [(f"f{number}", (f"{number}.png", one, "image/png")) for number, one in enumerate(images)]
        said = client.post("/models/images/explain", files=files).json()
        for name in ("anomaly_score", "anomaly", "p_value", "anomaly_map"):
            assert said[name] == [one[name][0] for one in alone]

    @pytest.mark.parametrize(
        ("files", "status", "words"),
        [
            ([("a", ("a.png", b"nothing", "image/png"))] * 2, 422, "file 000001.png"),
            ([("a", ("a.txt", b"x", "text/plain"))], 415, "the content type of each file"),
            ([("a", (None, b"x"))], 422, "a field that is no file"),
            ([("a", ("a.png", b"x", "image/png"))] * 5, 413, "more than 4 files"),
        ],
    )
    def test_forms_of_something_else(self, folder, files, status, words):
        client = client_of(folder / "images.tollad", limits=limits(n_rows=4))
        response = client.post("/score", files=files)
        assert (response.status_code, words in response.json()["error"]) == (status, True), response.text

    def test_a_form_that_is_cut_short(self, client):
        body = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a.png"\r\n\r\nabc'
        for kind in ("multipart/form-data; boundary=x", "multipart/form-data"):
            response = posted(client, "images", body, kind)
            assert response.status_code == 422
            assert "the form" in response.json()["error"]

    @pytest.mark.parametrize("body", [b"nothing", b"", as_png(pictures(1, 3)[0])[:200]])
    def test_what_cannot_be_scored(self, client, body):
        response = posted(client, "images", body, "image/png")
        assert response.status_code == 422
        assert response.json()["error"].startswith("body.png")


def test_what_is_said_of_them(client):
    models = client.get("/info").json()["models"]
    assert [models[name]["kind"] for name in ("series", "images", "numbers")] == ["series", "images", "table"]
    assert models["series"]["columns"][0] == {"name": "when", "kind": "time"}
    assert "image/png" in models["images"]["types"]
    assert models["images"]["engine"] in ("torch", "onnxruntime")
    paths = client.get("/openapi.json").json()["paths"]
    assert "image/jpeg" in paths["/models/images/score"]["post"]["requestBody"]["content"]
    assert client.get("/v2/models/images").status_code == 400
    assert client.post("/v2/models/series/infer", json={"inputs": []}).status_code == 400
    assert client.post("/models/numbers/score", json={"rows": table(2).tolist()}).status_code == 200
