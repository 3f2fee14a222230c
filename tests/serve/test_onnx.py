"""A detector as an ONNX graph: the same answers as the product gives."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from detectors import COLLAPSED, FEW_STEPS, KINDS, NAN, people, pictures, table, train
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from tollad import TollDetector

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from tollad.serve.runtime import TIE, Runtime, is_onnx

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)

TABLES = [kind for kind, (rows, _) in KINDS.items() if rows.ndim == 2 and kind != "own modules"]
ARRAYS = [kind for kind, (rows, _) in KINDS.items() if rows.ndim > 2]
OTHERS = {
    "linf": ("mlp", {"norm": "linf", "error": "l1"}),
    "squared": ("mlp", {"norm": "squared_l2", "error": "squared_l2"}),
    "l1": ("table", {"norm": "l1", "n_members": 2}),
    "rate": ("table", {"false_alarm_rate": 0.2}),
    "one member": ("table", {"n_members": 1}),
}


def exported(detector: TollDetector, folder: Path) -> Runtime:
    detector.to_onnx(folder / "m.onnx")
    return Runtime.load(folder / "m.onnx")


def assert_same_answers(runtime: Runtime, detector: TollDetector, rows: object) -> None:
    answers, scores = runtime.score(rows), detector.anomaly_score(rows)
    np.testing.assert_allclose(answers["anomaly_score"], scores, rtol=TIE, atol=1e-9)
    np.testing.assert_allclose(answers["scores"], detector.decision_function(rows), atol=TIE * scores.max())
    # Scores that lie this near to one that decides are ties.
    clear = ~_near(scores, np.array([detector.decision_.threshold]))
    np.testing.assert_array_equal(answers["label"][clear], detector.predict(rows)[clear])
    calibration = detector.decision_.calibration_scores
    assert ("p_value" in answers) == (calibration is not None)
    if calibration is not None:
        clear = ~_near(scores, calibration)
        np.testing.assert_array_equal(answers["p_value"][clear], detector.p_value(rows)[clear])


def _near(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    apart = np.abs(scores[:, None] - others)
    return ((apart <= 2 * TIE * np.abs(scores[:, None])) & (apart > 0)).any(1)


@pytest.mark.parametrize("kind", [*TABLES, *OTHERS])
def test_every_kind_of_table(kind, tmp_path):
    base, changes = OTHERS.get(kind, (kind, {}))
    detector, rows = train(base, **changes), KINDS[base][0]
    runtime = exported(detector, tmp_path)
    rng = np.random.default_rng(5)
    others = rows[rng.integers(len(rows), size=150)] + rng.normal(size=(150, rows.shape[1]))
    others[::7, 0] = NAN if "gaps" in kind else others[::7, 0]
    assert_same_answers(runtime, detector, others)
    assert_same_answers(runtime, detector, rows)


@pytest.mark.parametrize("kind", ARRAYS)
def test_images_and_windows(kind, tmp_path):
    detector, rows = train(kind, false_alarm_rate=0.2), KINDS[kind][0]
    runtime = exported(detector, tmp_path)
    others = rows + np.random.default_rng(5).normal(size=rows.shape)
    assert_same_answers(runtime, detector, others)
    alone = [runtime.score(row[None])["anomaly_score"][0] for row in others[:5]]
    np.testing.assert_allclose(alone, runtime.score(others)["anomaly_score"][:5], rtol=TIE)
    with pytest.raises(ValueError, match="the model takes"):
        runtime.score(rows[..., 1:])
    with pytest.raises(ValueError, match="row 0: a value is missing"):
        runtime.score(np.full(rows.shape, NAN))


@pytest.mark.filterwarnings(COLLAPSED)
def test_modules_of_known_layers(tmp_path):
    encoder = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Dropout(0.1), nn.LayerNorm(8), nn.Linear(8, 2, bias=False))
    decoder = nn.Sequential(nn.Unflatten(1, (2, 1)), nn.Conv1d(2, 4, 1), nn.Sigmoid(), nn.Flatten(), nn.Linear(4, 5))
    detector = train("own modules", network=(encoder, decoder))
    assert_same_answers(exported(detector, tmp_path), detector, table(60, seed=7))


@pytest.mark.filterwarnings(COLLAPSED)
@pytest.mark.parametrize("name", ["conv28", "conv32"])
def test_networks_of_the_paper(name, tmp_path):
    rows = pictures(*{"conv28": (1, 28, 28), "conv32": (3, 32, 32)}[name], n=6)
    detector = TollDetector(network=name, steps=1, batch_size=2, n_members=1, random_state=0).fit(rows)
    assert_same_answers(exported(detector, tmp_path), detector, rows)


@pytest.mark.parametrize("kind", ["table", "one column", "linear", "nearest of some"])
def test_a_row_has_the_same_bits_in_any_company(kind, tmp_path):
    detector = train(kind)
    runtime = exported(detector, tmp_path)
    rows = table(200, seed=3, d=KINDS[kind][0].shape[1])
    whole = runtime.score(rows)["anomaly_score"]
    many = runtime.score(np.tile(rows, (11, 1))[:2049])["anomaly_score"]  # more than a block
    np.testing.assert_array_equal(many, np.tile(whole, 11)[:2049])
    for start, stop in [(0, 1), (3, 5), (9, 12), (20, 35), (50, 114), (60, 189)]:
        np.testing.assert_array_equal(runtime.score(rows[start:stop])["anomaly_score"], whole[start:stop])


def test_many_kept_rows_are_searched_in_blocks(tmp_path):
    """Their number is no multiple of a block, and some are there twice."""
    rows = np.concatenate([table(701), table(40)])
    detector = TollDetector(steps=5, hidden=(8,), random_state=0).fit(rows)
    runtime = exported(detector, tmp_path)
    some = np.concatenate([table(90, seed=1), rows[:60], 30 * table(9, seed=2)])
    assert_same_answers(runtime, detector, some)
    alone = [runtime.score(row[None])["anomaly_score"][0] for row in some[70:110]]
    np.testing.assert_array_equal(runtime.score(some)["anomaly_score"][70:110], alone)


def test_rows_that_overflow_single_precision_are_still_scored(tmp_path):
    rows = table(700)
    detector = TollDetector(steps=5, hidden=(8,), preprocess=None, random_state=0).fit(rows)
    scores = exported(detector, tmp_path).score(np.concatenate([rows[:3], rows[:9] * 1e200]))["anomaly_score"]
    np.testing.assert_allclose(scores[:3], detector.anomaly_score(rows[:3]), rtol=TIE)
    assert scores[3:].min() > 1e20


def mixed(seed: int, n: int = 120) -> pd.DataFrame:
    """A frame of people with a category of many levels, some of them new, and an hour."""
    rng = np.random.default_rng(seed)
    frame = people(n, seed)
    # One name is written in two forms of Unicode, of which a file has either.
    cities = ["Bonn", " Oslo ", "Rome", "Ulm", "K\u00f6ln", "Ko\u0308ln", "\u2003New York\u00a0", None]
    frame["city"] = rng.choice(cities, n)
    frame["street"] = rng.choice([f"street {i}" for i in range(60 + 20 * (seed > 0))], n)
    frame["seen"] += pd.to_timedelta(rng.integers(0, 24, n), unit="h")
    frame.loc[::11, "seen"] = pd.NaT
    return frame


@pytest.fixture(scope="module")
def of_people():
    return TollDetector(steps=12, hidden=(8,), random_state=0, false_alarm_rate=0.1).fit(mixed(0))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(1, 10**6), n=st.integers(1, 40))
def test_frames_of_mixed_columns(of_people, seed, n, tmp_path):
    assert_same_answers(exported(of_people, tmp_path), of_people, mixed(seed, n))


@pytest.mark.parametrize("as_given", [np.float32, np.int64, np.uint8, list], ids=lambda kind: kind.__name__)
def test_numbers_of_every_type(as_given, tmp_path):
    detector, rows = train("table"), 3 * abs(table(30, seed=6))
    given = rows.tolist() if as_given is list else rows.astype(as_given)
    assert_same_answers(exported(detector, tmp_path), detector, given)


@pytest.mark.parametrize("name", ["mean", "beta"])
def test_frames_of_mixed_columns_with_other_losses(name, tmp_path):
    changes = {"mean": {"target": "mean", "norm": "l1"}, "beta": {"beta": 30.0, "corruption": None, "neighbors": 0}}[
        name
    ]
    detector = TollDetector(steps=8, hidden=(8,), random_state=0, **changes).fit(mixed(0))
    assert_same_answers(exported(detector, tmp_path), detector, mixed(5, 60))


def test_columns_may_stand_in_any_order(of_people, tmp_path):
    frame, runtime = mixed(3), exported(of_people, tmp_path)
    turned = runtime.score(frame[frame.columns[::-1]])
    np.testing.assert_array_equal(turned["anomaly_score"], runtime.score(frame)["anomaly_score"])


@pytest.mark.parametrize("n_kept", [40, 700])
def test_nearest_rows_among_few_and_many(n_kept, tmp_path):
    detector = TollDetector(steps=3, hidden=(4,), neighbors=n_kept, random_state=0).fit(table(700))
    assert_same_answers(exported(detector, tmp_path), detector, np.concatenate([table(700), 2 * table(100, seed=1)]))


def test_another_threshold_needs_no_other_file(tmp_path):
    detector, rows = train("table"), table(50, seed=4)
    scores = detector.anomaly_score(rows)
    middle = float(np.median(scores) + 1e-3)
    labels = exported(detector, tmp_path).score(rows, threshold=middle)["label"]
    np.testing.assert_array_equal(labels, np.where(scores > middle, -1, 1))


class TestRefused:
    def test_a_layer_of_your_own(self, tmp_path):
        with pytest.raises(ValueError, match=r"layer of type Noisy .* cannot be exported"):
            train("own modules").to_onnx(tmp_path / "m.onnx")
        assert not list(tmp_path.iterdir())

    def test_without_the_extra(self, tmp_path, monkeypatch):
        monkeypatch.delitem(sys.modules, "tollad.serve.onnx", raising=False)
        monkeypatch.setitem(sys.modules, "onnx", None)
        with pytest.raises(ImportError, match=r"pip install 'tollad\[onnx\]'"):
            train("mlp").to_onnx(tmp_path / "m.onnx")

    def test_a_file_that_was_altered(self, tmp_path):
        path = tmp_path / "m.onnx"
        train("mlp").to_onnx(path)
        data = bytearray(path.read_bytes())
        for place in np.random.default_rng(0).integers(0, len(data), 30):
            changed = data.copy()
            changed[place] ^= 1
            path.write_bytes(changed)
            with pytest.raises(ValueError, match=r"altered|no ONNX file of tollad"):
                Runtime.load(path)

    @pytest.mark.parametrize("data", [b"", b"PK", b"\x08\x08\x12\x06tollad", b"tollad.sha256"])
    def test_a_file_of_another_kind(self, data, tmp_path):
        path = tmp_path / "m.onnx"
        path.write_bytes(data)
        with pytest.raises(ValueError, match="no ONNX file of tollad"):
            Runtime.load(path)

    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            (np.zeros((3, 4)), "takes \\(n, 5\\)"),
            (np.zeros((0, 5)), "no rows"),
            (np.full((2, 5), np.inf), "row 0, column 'x1': the value is infinite"),
        ],
    )
    def test_rows_of_another_kind(self, rows, words, tmp_path):
        with pytest.raises(ValueError, match=words):
            exported(train("mlp"), tmp_path).score(rows)

    def test_a_frame_of_other_columns(self, of_people, tmp_path):
        runtime = exported(of_people, tmp_path)
        with pytest.raises(ValueError, match="lacks columns that the model was fitted on: 'city'"):
            runtime.score(mixed(0).drop(columns="city"))
        with pytest.raises(ValueError, match="named columns: age, city"):
            runtime.score(np.zeros((2, 5)))


def test_says_who_wrote_it(tmp_path):
    runtime = exported(train("mlp"), tmp_path)
    assert (runtime.metadata["format"], runtime.metadata["threshold_rule"][0]) == (1, "contamination")
    assert runtime.known == runtime.metadata
    data = (tmp_path / "m.onnx").read_bytes()
    digest = runtime.session.get_modelmeta().custom_metadata_map["tollad.sha256"]
    assert hashlib.sha256(data.replace(digest.encode(), b"0" * 64)).hexdigest() == digest
    assert is_onnx(tmp_path / "m.onnx")


def test_threads_change_no_score(tmp_path):
    runtime, rows = exported(train("mlp"), tmp_path), np.random.default_rng(0).normal(size=(500, 5))
    threaded = Runtime.load(tmp_path / "m.onnx", n_threads=2)
    np.testing.assert_array_equal(threaded.anomaly_score(rows), runtime.anomaly_score(rows))


def test_scores_without_torch_and_scikit_learn(tmp_path):
    detector, rows = train("table"), table(3, seed=8)
    detector.to_onnx(tmp_path / "m.onnx")
    code = (
        "import json, sys\n"
        "from tollad.runtime import Runtime\n"
        f"scores = Runtime.load({str(tmp_path / 'm.onnx')!r}).score({rows.tolist()})['anomaly_score']\n"
        "print(json.dumps([scores.tolist(), [name for name in ('torch', 'sklearn') if name in sys.modules]]))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    scores, loaded = json.loads(ended.stdout)
    np.testing.assert_allclose(scores, detector.anomaly_score(rows), rtol=TIE)
    assert loaded == []
