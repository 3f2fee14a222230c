"""MethodDetector: what surrounds the score of any method."""

from __future__ import annotations

import contextlib
import warnings

import made
import numpy as np
import pandas as pd
import pytest
from mutations import mutate
from sklearn.base import clone

from tollad import TollDetector, methods
from tollad.io import artifact
from tollad.methods import KDE, DeepSVDD, MethodDetector, NearestNeighbours
from tollad.serve.answers import load

CHEAP = ["DCAE", "DSEBM", "DeepSVDD", "DistanceToMean", "GOAD", "IsolationForest", "KDE", "OCSVM", "TargetedCollapse"]


def frame(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "size": np.where(np.arange(n) % 9 == 4, np.nan, rng.normal(size=n)),
            "shop": rng.choice(["north", "south"], n),
            "day": pd.Timestamp("2024-03-01") + pd.to_timedelta(rng.integers(0, 90, n), "D"),
        }
    )


@pytest.mark.parametrize("name", CHEAP)
def test_a_file_answers_as_what_was_saved(name, tmp_path):
    rows, path = frame(), tmp_path / "m.tollad"
    detector = MethodDetector(made.method(name), false_alarm_rate=0.2).fit(rows)
    detector.save(path, notes={"of": "a shop"})

    loaded = load(path)

    assert type(loaded) is MethodDetector
    assert (loaded.anomaly_score(rows) == detector.anomaly_score(rows)).all()
    assert (loaded.p_value(rows) == detector.p_value(rows)).all()
    assert loaded.threshold_rule_ == detector.threshold_rule_ == ("false_alarm_rate", 0.2)
    assert (loaded.notes_, loaded.method.seed) == ({"of": "a shop"}, detector.method.seed)


def test_the_threshold_is_kept_by_rows_that_the_method_has_not_seen():
    rows = made.rows(4000)
    detector = MethodDetector(NearestNeighbours(), false_alarm_rate=0.1).fit(rows[:400])
    assert len(detector.training_scores_) == 320
    assert len(detector.calibration_scores_) == 80
    assert (detector.predict(rows[400:]) == -1).mean() == pytest.approx(0.1, abs=0.06)
    assert (detector.set_threshold(contamination=0.25).training_scores_ > -detector.offset_).mean() == 0.25


def test_the_method_that_was_given_stays_as_it_is():
    method = KDE(scale="standardise")
    detector = MethodDetector(method).fit(made.rows())
    assert not hasattr(method, "_scaling")
    assert clone(detector).method.scale == "standardise"


def test_a_row_has_one_score_in_any_company():
    rows = frame()
    detector = MethodDetector(made.method("DeepSVDD")).fit(rows)
    scores = detector.anomaly_score(rows)
    assert (detector.anomaly_score(rows.iloc[::-1])[::-1] == scores).all()
    assert detector.anomaly_score(rows.iloc[7:8]) == scores[7]


def test_images_of_bytes_and_of_shares_are_the_same_images():
    images = made.images(20)
    detector = MethodDetector(KDE(scale="unit")).fit(images)
    assert detector.input_shape_ == (1, 28, 28)
    given = (images[:, 0], images / 255, (images / 255).astype(np.float32))
    for form in given:
        assert detector.anomaly_score(form) == pytest.approx(detector.anomaly_score(images), rel=1e-6)


def test_scores_are_finite_whatever_the_rows_hold():
    detector = MethodDetector(made.method("DCAE")).fit(made.rows())
    far = np.full((2, 6), 1e300)
    assert np.isfinite(detector.anomaly_score(far)).all()
    assert (detector.predict(far) == -1).all()


def test_a_fit_that_fails_leaves_the_detector_as_it_was():
    rows = made.rows()
    detector = MethodDetector(NearestNeighbours(n=3)).fit(rows)
    before = detector.anomaly_score(rows)
    with pytest.raises(ValueError, match="n must be below the 2 training rows"):
        detector.fit(rows[:2])
    assert (detector.anomaly_score(rows) == before).all()


def test_an_interrupted_fit_goes_on(tmp_path):
    rows, path = made.rows(), tmp_path / "state"
    method = made.method("DeepSVDD")
    first = MethodDetector(method).fit(rows, checkpoint=path)
    assert path.exists()
    again = MethodDetector(method).fit(rows, checkpoint=path)
    assert (again.anomaly_score(rows) == first.anomaly_score(rows)).all()


@pytest.mark.parametrize(
    ("detector", "rows", "error", "message"),
    [
        (MethodDetector("KDE"), made.rows(), TypeError, r"one of tollad.methods, such as KDE\(\), not 'KDE'"),
        (MethodDetector(KDE, contamination=0.2), made.rows(), TypeError, "such as KDE"),
        (MethodDetector(KDE(), contamination=2), made.rows(), ValueError, "contamination"),
        (MethodDetector(KDE(), false_alarm_rate=0.01), made.rows(), ValueError, "needs 99 calibration rows"),
        (MethodDetector(KDE(), columns={"a": "number"}), made.images(), ValueError, "columns= names columns"),
        (MethodDetector(KDE()), made.images().astype(np.int64), TypeError, "images are uint8, or floats"),
        (MethodDetector(DeepSVDD()), made.images(side=20), ValueError, r"of shape \(1, 28, 28\) or \(3, 32, 32\)"),
        (MethodDetector(methods.make("ADGAN")), made.rows(), ValueError, "ADGAN takes images of 28 x 28 or 32 x 32"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_words(detector, rows, error, message):
    with pytest.raises(error, match=message):
        detector.fit(rows)


def test_rows_beyond_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tollad.tables.large.IN_MEMORY_BYTES", 100)
    np.save(tmp_path / "rows.npy", made.rows(200))
    with pytest.raises(ValueError, match="fitted to rows in memory, and these are too many"):
        MethodDetector(KDE()).fit(np.load(tmp_path / "rows.npy", mmap_mode="r"))


def test_a_method_without_a_threshold_is_told_from_a_detector(tmp_path):
    KDE().fit(made.rows()).save(tmp_path / "kde")
    with pytest.raises(ValueError, match=r"holds a method without a threshold; load it with KDE\.load"):
        load(tmp_path / "kde")


@pytest.mark.parametrize("name", ["DeepSVDD", "KDE"])
def test_no_altered_file_does_more_than_be_refused(name, tmp_path):
    path, rows = tmp_path / "m.tollad", made.rows()
    MethodDetector(made.method(name)).fit(rows).save(path)
    metadata, tensors = artifact.load(path, "method model")
    rng = np.random.default_rng(0)
    for _ in range(60):
        described = {name: value for name, value in metadata.items() if name not in ("seal", "kind")}
        described["seal"] = artifact.seal(described, tensors)
        _, content = mutate({"kind": "method model", **described}, tensors, rng)
        (tmp_path / "x").write_bytes(content)
        with contextlib.suppress(ValueError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert np.isfinite(MethodDetector.load(tmp_path / "x").anomaly_score(rows)).all()


def test_true_is_no_number_like_those_of_the_fit(tmp_path):
    rows = np.column_stack([made.rows(60), np.arange(60) % 2])
    detector = MethodDetector(KDE(scale="standardise"), false_alarm_rate=0.2).fit(rows)
    detector.save(tmp_path / "m.tollad")
    last = rows.shape[1] - 1
    for each in (detector, MethodDetector.load(tmp_path / "m.tollad")):
        assert each.truths_.tolist() == [False] * last + [True]
        row = rows[:1].astype(object)
        row[0, last] = True
        assert each.anomaly_score(row) == each.anomaly_score(np.array([[*rows[0, :last], 1.0]]))
        row[0, 0] = True
        with pytest.raises(ValueError, match="row 0, column 'x1': True is no number like those of the fit"):
            each.anomaly_score(row)


@pytest.mark.parametrize("rate", [None, 0.2])
def test_a_method_that_learnt_nothing_warns(rate):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        MethodDetector(KDE(), false_alarm_rate=rate).fit(np.full((50, 3), 0.5))
    assert "all training rows have the same score: the rows are all alike, or KDE" in " ".join(
        str(w.message) for w in said
    )


def test_the_file_of_a_method_is_refused_as_a_detector(tmp_path):
    KDE(bandwidth=1).fit(made.rows()).save(tmp_path / "m")
    with pytest.raises(ValueError, match=r"holds a method; load it with tollad\.methods\.KDE\.load"):
        TollDetector.load(tmp_path / "m")
