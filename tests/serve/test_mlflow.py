"""Models in MLflow: the same scores from what was logged, and no pickle."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from detectors import FEW_STEPS, own_network, table

from tollad import ImageDetector, SeriesDetector, TollDetector

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of MLflow about its own types
    import mlflow.pyfunc
    import tollad.mlflow

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tracking store in files, and nothing told to anybody."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())
    return tmp_path / "runs"


def logged(model: Any, **options: Any) -> Any:
    with mlflow.start_run():
        return tollad.mlflow.log_model(model, **options)


def mixed(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    gaps = np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n))
    return pd.DataFrame(
        {
            "number": gaps,
            "count": rng.integers(0, 9, n),
            "kind": np.where(rng.random(n) < 0.1, None, rng.choice(["x", "y"], n)),
            "when": pd.date_range("2020-01-01", periods=n),
        }
    )


def small(**parameters: Any) -> TollDetector:
    return TollDetector(steps=10, hidden=(8,), random_state=0, **parameters)


def test_pyfunc_says_what_the_detector_says(store: Path) -> None:
    rows, new = mixed(), mixed(seed=1)
    detector = small(false_alarm_rate=0.1).fit(rows)
    loaded = mlflow.pyfunc.load_model(logged(detector).model_uri)
    said = loaded.predict(new.assign(other=1)[["when", "other", "kind", "count", "number"]])
    assert list(said) == ["anomaly_score", "anomaly", "p_value"]
    np.testing.assert_array_equal(said["anomaly_score"], detector.anomaly_score(new))
    np.testing.assert_array_equal(said["anomaly"], detector.predict(new) == -1)
    np.testing.assert_array_equal(said["p_value"], detector.p_value(new))
    # Integers where there were numbers, and dates as text, which types in the signature would refuse.
    other = new.assign(number=range(60), when=new["when"].astype(str))
    np.testing.assert_array_equal(loaded.predict(other)["anomaly_score"], detector.anomaly_score(other))


def test_the_file_is_stored_as_it_is_and_nothing_is_pickled(store: Path, tmp_path: Path) -> None:
    small().fit(table()).save(tmp_path / "m.tollad")
    info = logged(tmp_path / "m.tollad", name="pumps")
    stored = [path for path in store.rglob("*") if path.is_file()]
    assert not [path for path in stored if path.suffix in (".pkl", ".pickle", ".joblib", ".pt")]
    (model,) = [path for path in stored if path.suffix == ".tollad"]
    assert model.read_bytes() == (tmp_path / "m.tollad").read_bytes()
    assert all(path.read_bytes()[:1] != b"\x80" for path in stored if path != model)
    assert "tollad[mlflow]==" in (model.parents[1] / "requirements.txt").read_text()
    assert len(info.metadata["tollad_sha256"]) == 64


@pytest.mark.parametrize("kind", ["table", "images", "series", "named series"])
def test_every_kind_of_model(kind: str, store: Path) -> None:
    rng = np.random.default_rng(0)
    detector, rows = {
        "table": (small(), table()),
        "images": (ImageDetector("gradients", random_state=0), rng.random((20, 1, 16, 16), dtype=np.float32)),
        "series": (SeriesDetector(window=8, steps=10, random_state=0), rng.normal(size=(200, 2))),
        "named series": (
            SeriesDetector(window=8, steps=10, time="at", random_state=0),
            pd.DataFrame({"at": pd.date_range("2020-01-01", periods=200, freq="h"), "a": rng.normal(size=200)}),
        ),
    }[kind]
    detector.fit(rows)
    info = logged(detector)
    said = mlflow.pyfunc.load_model(info.model_uri).predict(rows)
    np.testing.assert_array_equal(said["anomaly_score"], detector.anomaly_score(rows))
    np.testing.assert_array_equal(said["anomaly"], detector.predict(rows) == -1)
    native = tollad.mlflow.load_model(info.model_uri)
    assert type(native) is type(detector)
    np.testing.assert_array_equal(native.anomaly_score(rows), detector.anomaly_score(rows))


def test_saved_as_a_folder(tmp_path: Path) -> None:
    detector = small().fit(table())
    tollad.mlflow.save_model(detector, tmp_path / "saved", metadata={"who": "me"})
    said = mlflow.pyfunc.load_model(str(tmp_path / "saved")).predict(table(seed=1))
    np.testing.assert_array_equal(said["anomaly_score"], detector.anomaly_score(table(seed=1)))


def test_a_column_that_is_missing_is_named(store: Path) -> None:
    loaded = mlflow.pyfunc.load_model(logged(small().fit(mixed())).model_uri)
    with pytest.raises(mlflow.MlflowException, match="missing inputs \\['kind'\\]"):
        loaded.predict(mixed().drop(columns="kind"))


def test_what_cannot_be_stored_is_refused_before_anything_is(store: Path, tmp_path: Path) -> None:
    own = TollDetector(network=own_network(), steps=5, random_state=0).fit(table())
    (tmp_path / "text").write_text("a,b\n1,2\n")
    for model, words in ((own, "modules of your own"), (tmp_path / "text", "looks like text")):
        with mlflow.start_run(), pytest.raises(ValueError, match=words):
            tollad.mlflow.log_model(model)
    assert not [*store.rglob("MLmodel")]


def test_a_model_of_others_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no model that tollad"):
        tollad.mlflow.load_model(str(tmp_path))


@pytest.mark.slow
def test_missing_extra_is_named() -> None:
    code = "import sys\nsys.modules['mlflow'] = None\nimport tollad.mlflow"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'tollad[mlflow]'" in done.stderr.splitlines()[-1]
