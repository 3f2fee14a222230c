"""The page without a server says why a row is anomalous in the words of the product."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from detectors import FEW_STEPS, NAN, people, table, train

from tollad import TollDetector
from tollad.detector.wording import compared

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tollad.serve.folder import described
from tollad.serve.runtime import Runtime

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)

# JSON has no NaN.
COMPARED = "pairs => pairs.map(pair => compared(...pair.map(value => value === 'NaN' ? NaN : value)))"
ASKED = """([values, parts, expected, score]) =>
  reasonsIn(values.map(value => value === "NaN" ? NaN : value), parts, expected, score, 11)"""


@pytest.fixture
def opened(browser):
    """Opens a page with the scripts of reasons, and what is known of a model."""
    pages = []

    def opening(known):
        page, folder = browser.new_page(), resources.files("tollad.serve") / "web"
        pages.append(page)
        scripts = [folder.joinpath(name).read_text(encoding="utf-8") for name in ("text.js", "values.js", "reasons.js")]
        page.add_script_tag(content="\n".join([f"const KNOWN = {json.dumps(known)};", *scripts]))
        return page

    yield opening
    for page in pages:
        page.close()


def test_numbers_are_written_alike(opened):
    rng = np.random.default_rng(0)
    sizes = rng.choice([-1, 1], 400) * 10 ** rng.uniform(-9, 19, 400)
    halves = rng.integers(-(10**6), 10**6, 200) * 5 / 2 ** rng.integers(0, 6, 200)  # many of them end in a 5
    seen = [*sizes.tolist(), *halves.tolist(), 0.0, -0.0, 0.1, NAN, 12_345.0]
    pairs = [(value, value * (1 + 10.0 ** -(number % 12))) for number, value in enumerate(seen)] + [
        (NAN, 1.0),
        (2.0, NAN),
    ]
    pairs += [(value, value) for value in seen]
    plain = [["NaN" if value != value else value for value in pair] for pair in pairs]
    said = opened({}).evaluate(COMPARED, plain)
    assert said == [compared(*pair) for pair in pairs]


def mixed(n, seed):
    rng = np.random.default_rng(seed)
    frame = people(n, seed)
    frame["at"] = pd.Timestamp("2023-02-03 07:30") + pd.to_timedelta(rng.integers(0, 9000, n), unit="h")
    frame["took"] = pd.to_timedelta(rng.integers(20, 400, n), unit="s")
    frame["open"] = [(pd.Timestamp(0) + pd.Timedelta(hours=hour)).time() for hour in rng.integers(6, 20, n)]
    frame["code"] = [f"K{number}" for number in rng.integers(0, 60, n)]
    frame["rare"] = np.where(rng.random(n) < 0.2, rng.normal(5, 1, n), NAN)
    frame["note"] = np.where(rng.random(n) < 0.2, "x, y", None)
    frame["late"] = frame["at"].where(rng.random(n) < 0.2)
    frame["bit"] = rng.random(n) < 0.1
    return frame


@pytest.mark.parametrize("kind", ["mixed", "numbers", "gaps"])
def test_reasons_are_those_of_the_product(kind, opened, tmp_path):
    if kind == "mixed":
        detector = TollDetector(steps=12, hidden=(8,), random_state=0).fit(mixed(150, 0))
        rows = mixed(40, 3)
        rows.loc[3, "city"], rows.loc[4, "city"], rows.loc[5, "seen"], rows.loc[6, "age"] = (
            "Paris",
            None,
            None,
            12_345.0,
        )
        rows.loc[7, "at"], rows.loc[8, "code"] = (
            pd.Timestamp("2031-07-04 03:15:20.5"),
            "a word of more than forty letters, none seen",
        )
    else:
        detector = train("table with gaps" if kind == "gaps" else "table")
        rows = 3 * table(12, seed=4)
        rows[2, 1] = NAN if kind == "gaps" else 99.0
    detector.to_onnx(tmp_path / "m.onnx")
    runtime = Runtime.load(tmp_path / "m.onnx")
    inputs = runtime.feed(rows)
    outputs = runtime.session.run(["parts", "expected", "anomaly_score"], {**inputs, "explained": np.asarray(True)})
    columns = [inputs[name] for name in runtime.names] if kind == "mixed" else inputs["X"].T
    page, explanation = opened(described(runtime, "m")), detector.explain(rows)
    for row in range(len(rows)):
        values = ["NaN" if column[row] != column[row] else column[row] for column in columns]
        values = [value if isinstance(value, str) else float(value) for value in values]
        said = page.evaluate(ASKED, [values, *(output[row].tolist() for output in outputs)])
        assert said == explanation.reasons(row, most=11)
