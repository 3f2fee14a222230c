"""The page without a server: onnxruntime-web in headless Chromium gives the answers of the product.

Skipped where a browser or the npm package onnxruntime-web is missing. NODE_PATH says where the package is, such as
``npm install --prefix ~/web onnxruntime-web`` and ``NODE_PATH=~/web/node_modules``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browsing import fact, rows, scored
from commands import done, refused_in
from detectors import FEW_STEPS, KINDS, people, train

from tollad import ImageDetector, SeriesDetector, TollDetector
from tollad.io.images import open_images
from tollad.io.pictures import Shaping

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

WEB = Path(os.environ.get("NODE_PATH", "node_modules"), "onnxruntime-web")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(FEW_STEPS, "ignore:the false-alarm rate:UserWarning"),
]
needs_web = pytest.mark.skipif(not WEB.is_dir(), reason="onnxruntime-web is not installed: set NODE_PATH")

PIXELS = "async bytes => Array.from(await pixelsOf(new File([new Uint8Array(bytes)], 'i.png'), KNOWN))"


class Quiet(SimpleHTTPRequestHandler):
    """A server of static files that says nothing."""

    def log_message(self, *about: object) -> None:
        """Say nothing."""


@contextmanager
def shown(detector: object, folder: Path, form: str = "tollad") -> Iterator[str]:
    """Write the page of a detector, and serve its files for as long as the block runs; gives the address."""
    if form == "onnx":
        detector.to_onnx(folder / "m.onnx")
    else:
        detector.save(folder / "m.tollad")
    done("export", folder / f"m.{form}", "--page", folder / "page", "--onnxruntime-web", WEB)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder / "page")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def found_by(page: object) -> dict[str, np.ndarray]:
    """Return what the page was told: its lists by name."""
    said = page.evaluate(
        "() => ({ anomaly_score: data.anomaly_score, p_value: data.p_value ?? [], label: data.label ?? [] })"
    )
    return {name: np.array(values, dtype=float) for name, values in said.items()}


def assert_same(found: dict[str, np.ndarray], detector: TollDetector, samples: object) -> None:
    np.testing.assert_allclose(found["anomaly_score"], detector.anomaly_score(samples), rtol=1e-6)
    np.testing.assert_array_equal(found["label"], detector.predict(samples))
    if len(found["p_value"]):
        np.testing.assert_array_equal(found["p_value"], detector.p_value(samples))


@needs_web
@pytest.mark.parametrize("form", ["tollad", "onnx"])
def test_a_table_of_mixed_columns(form, tmp_path, new_page):
    detector = TollDetector(steps=12, hidden=(8,), false_alarm_rate=0.1, random_state=0).fit(people())
    frame = people(70, seed=4)
    frame.loc[3, "age"], frame.loc[8, "city"], frame.loc[9, "city"] = 400.0, 'a "new", city', " Bonn "
    frame.to_csv(tmp_path / "new.csv", index=False)
    with shown(detector, tmp_path, form) as address:
        page = new_page(address)
        page.wait_for_selector("#start:not([hidden])")
        assert page.locator("#columns").inner_text().endswith("age, city (category), seen (date), member")
        scored(page, tmp_path / "new.csv")
        found = found_by(page)
        assert len(found["p_value"]) == 70
        assert_same(found, detector, frame)
        assert [row for row, _ in rows(page)[:2]] == [4, 9]
        assert fact(page, "Anomalies") == str((detector.predict(frame) == -1).sum())
        for row in [8, 3, 20]:
            told = page.evaluate("row => engine.reasons('m', data.table, row)", row)
            assert told == detector.explain(frame).reasons(row, most=5)
        page.locator("tr.row").first.click()
        page.wait_for_selector(".why meter")
        assert "age: 400, expected about" in page.locator(".why li").nth(1).inner_text()


@needs_web
@pytest.mark.parametrize("kind", ["table with gaps", "paper's loss"])
def test_a_table_of_numbers(kind, tmp_path, new_page):
    detector, values = train(kind, false_alarm_rate=0.2), KINDS[kind][0][:40]
    many = pd.DataFrame(np.tile(values, (60, 1)), columns=[f"x{j}" for j in range(1, 6)])  # two parts of a file
    many.to_csv(tmp_path / "new.csv", index=False)
    with shown(detector, tmp_path) as address:
        page = new_page(address)
        scored(page, tmp_path / "new.csv")
        assert_same(found_by(page), detector, many.to_numpy())
        (tmp_path / "bad.csv").write_text("x1,x2,x3,x4,x5\n1,2,3,4,old\n")
        page.set_input_files("#file", str(tmp_path / "bad.csv"))
        page.wait_for_selector("#error:not([hidden])")
        said = "Bad.csv, line 2, column 'x5': 'old' is not a number like 1234.5, but the column is one of numbers"
        assert page.locator("#error").inner_text().startswith(said)


@needs_web
@pytest.mark.parametrize("causal", [False, True])
def test_a_series_shows_its_events(causal, tmp_path, new_page):
    values = np.sin(np.arange(300) / 4) + 0.1 * np.random.default_rng(0).normal(size=300)
    frame = pd.DataFrame({"a": values})
    detector = SeriesDetector(window=10, stride=3, causal=causal, steps=8, hidden=(8,), random_state=0).fit(frame)
    frame["a"] = np.where(np.arange(300) // 10 == 15, 8.0, values)
    frame.to_csv(tmp_path / "s.csv", index=False)
    with shown(detector, tmp_path) as address:
        page = new_page(address)
        scored(page, tmp_path / "s.csv")
        scores, alarms = detector.anomaly_score(frame), detector.predict(frame) == -1
        np.testing.assert_allclose(found_by(page)["anomaly_score"], scores, rtol=1e-6)
        assert 0 < alarms.sum() < (scores > detector.decision_.threshold).sum()  # they are trimmed
        events = page.evaluate("data.events")
        steps = [step for event in events for step in range(event["begin"], event["end"] + 1)]
        assert steps == np.flatnonzero(alarms).tolist()
        assert page.locator("#events li").count() == len(events) >= 1


@needs_web
@pytest.mark.parametrize(
    ("shape", "aspect"), [((20, 27, 3), "stretch"), ((40, 33, 3), "stretch"), ((20, 27), "pad"), ((31, 20), "crop")]
)
def test_images_are_brought_to_the_size_of_the_fit(shape, aspect, tmp_path, new_page):
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for number in range(24):
        pixels = rng.integers(0, 60, shape).astype(np.uint8)
        pixels[4:16, 8:11] += 120 if number else 190
        (tmp_path / "train").mkdir(exist_ok=True)
        image.fromarray(pixels).save(tmp_path / "train" / f"{number}.png")
    how = ("--size", "20x27", "--aspect", aspect, "--representation", "gradients", "--quiet")
    done("fit", tmp_path / "train", "-o", tmp_path / "i.tollad", *how)
    detector = ImageDetector.load(tmp_path / "i.tollad")
    done("score", tmp_path / "i.tollad", tmp_path / "train", "-o", tmp_path / "scores.csv")
    wanted = pd.read_csv(tmp_path / "scores.csv").set_index("file")["score"]
    with shown(detector, tmp_path) as address:
        page = new_page(address)
        names = ["0.png", "5.png", "7.png"]
        scored(page, *(tmp_path / "train" / name for name in names))
        # Gradients are computed in single precision.
        np.testing.assert_allclose(found_by(page)["anomaly_score"], wanted[names], rtol=1e-5)
        pixels = page.evaluate(PIXELS, [*(tmp_path / "train" / "0.png").read_bytes()])
        shaping = vars(Shaping((20, 27), aspect=aspect))
        np.testing.assert_allclose(
            pixels, open_images(tmp_path / "train", **shaping).take([0]).ravel(), rtol=0, atol=1e-7
        )
        page.locator("tr.row").first.click()
        page.wait_for_selector(".heat canvas")
        assert page.locator(".heat canvas").count() == 2


@needs_web
def test_opened_from_a_disk_it_says_what_to_do(tmp_path, browser):
    with shown(train("mlp"), tmp_path):
        page = browser.new_page()
        page.goto((tmp_path / "page" / "index.html").as_uri())
        page.wait_for_selector("#error:not([hidden])")
        assert "run python -m http.server in this folder" in page.locator("#error").inner_text()
        page.close()


@needs_web
def test_a_folder_that_is_there_is_kept_or_replaced_whole(tmp_path):
    with shown(train("mlp"), tmp_path):
        how = ("export", tmp_path / "m.tollad", "--page", tmp_path / "page", "--onnxruntime-web", WEB)
        assert "already exists; replace it with --force" in refused_in(tmp_path, *how)
        (tmp_path / "page" / "own.txt").write_text("mine")
        done(*how, "--force")
        assert sorted(path.name for path in (tmp_path / "page").iterdir())[:3] == [
            "index.html",
            "model.onnx",
            "ort-wasm-simd-threaded.mjs",
        ]
        assert (tmp_path / "page" / "own.txt").exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["m.tollad", "page"]
