"""Model files and states of series that were changed and sealed anew: refused in one sentence, or finite scores."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutations
import numpy as np
import pytest
from detectors import FEW_STEPS

from tollad import SeriesDetector
from tollad.io import artifact, packed
from tollad.series.model import SeriesModel
from tollad.series.pipeline import Pipeline
from tollad.series.progress import Progress

pytestmark = pytest.mark.filterwarnings(FEW_STEPS)

STEPS = np.sin(np.arange(300)[:, None] / [5.0, 7.0]) + np.random.default_rng(0).normal(scale=0.1, size=(300, 2))
Parts = tuple[dict[str, Any], dict[str, Any]]
CONTEXT = "series.context."


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    path = tmp_path_factory.mktemp("hostile") / "m.tollad"
    SeriesDetector(window=8, hidden=(8,), latent_dim=4, steps=5, random_state=0).fit(STEPS).save(path)
    return artifact.load(path, "model")


@pytest.fixture(scope="module")
def of_groups(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    path = tmp_path_factory.mktemp("hostile") / "m.tollad"
    options: dict[str, Any] = {"window": 8, "hidden": (8,), "latent_dim": 4, "steps": 5, "random_state": 0}
    SeriesDetector(**options, per_group=True).fit(STEPS, group=["m0", "m1"] * 150).save(path)
    return artifact.load(path, "model")


def write(path: Path, metadata: dict[str, Any], tensors: dict[str, Any]) -> None:
    metadata = {name: value for name, value in metadata.items() if name != "seal"}
    metadata["seal"] = artifact.seal(metadata, tensors)
    path.write_bytes(packed.pack({"kind": "model", **metadata}, tensors))


def loaded(path: Path) -> SeriesDetector | None:
    """The detector of a file; None if the file is refused by its name."""
    try:
        return SeriesDetector.load(path)
    except ValueError as error:
        return None if path.name in str(error) else pytest.fail(str(error))


def put(*keys: str, value: Any) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(metadata: dict[str, Any], tensors: dict[str, Any]) -> None:
        record = metadata["series"]
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return change


def array(name: str, change: Callable[[Any], Any]) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def changed(metadata: dict[str, Any], tensors: dict[str, Any]) -> None:
        tensors[name] = change(tensors[name])

    return changed


@pytest.mark.parametrize(
    "change",
    [
        put("context", "stride", value=0),
        put("context", "stride", value=33),
        put("context", "stride", value=True),
        put("context", "window", value=0),
        put("context", "window", value=4),
        put("context", "window", value=10**12),
        put("context", "scale", value=-1),
        put("context", "scale", value=[0] * 1000),
        put("context", "scale", value=10**400),
        put("context", "usual", value="1"),
        put("context", "usual", value=-1.0),
        put("context", "n_seen", value=1),
        put("context", "n_seen", value=None),
        put("context", value=None),
        array(CONTEXT + "features.scale", lambda scale: np.full_like(scale, np.nan)),
        array(CONTEXT + "features.scale", lambda scale: 0 * scale),
        array(CONTEXT + "features.mean", lambda mean: mean[:1]),
        array(CONTEXT + "features.limit", lambda limit: -limit),
        array(CONTEXT + "rows", lambda rows: np.where(rows == rows[0, 0], np.inf, rows)),
        array(CONTEXT + "rows", lambda rows: rows.astype(np.float32)),
        array(CONTEXT + "rows", lambda rows: rows[:, ::2].copy()),
        array(CONTEXT + "rows", lambda rows: rows[:0]),
        put("stride", value=0),
        put("window", value=5),
        put("columns", value=["a", "b", "c"]),
        put("share", value={}),
        put("causal", value=True),
        put("folds", value=[300, 1]),
        put("offset", value=[]),
        put("group", value=1),
        put("groups", value=[1]),
        put("gaps", value="fill"),
        put("time", value={"column": "t", "kind": "number", "usual": -1.0}),
        put("time", value={"column": "t", "kind": "moon"}),
        array("series.training_scores", lambda scores: scores * np.nan),
        array("series.calibration_scores", lambda scores: scores[::-1].copy()),
    ],
)
def test_parts_that_no_fit_writes_are_refused_in_one_sentence(
    parts: Parts, change: Callable[..., None], tmp_path: Path
) -> None:
    metadata, tensors = copy.deepcopy(parts[0]), dict(parts[1])
    change(metadata, tensors)
    write(tmp_path / "m.tollad", metadata, tensors)
    with pytest.raises(ValueError, match=r"m\.tollad: is no model that this tollad knows") as caught:
        SeriesDetector.load(tmp_path / "m.tollad")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        put("own", value=["m0"]),
        put("own", value=["m0", "m0"]),
        put("own", value=["m0", "m9"]),
        put("own", value=["m0", ["m1"]]),
        put("own", value=None),
        put("columns", value=["a", "b"]),
        array("series.own.1", lambda file: file[:-1].copy()),
        array("series.own.1", lambda file: file[:0].copy()),
        array("series.own.1", lambda file: file.astype(np.float64)),
        lambda _, tensors: tensors.pop("series.own.0"),
    ],
)
def test_models_of_groups_that_no_fit_writes_are_refused(
    of_groups: Parts, change: Callable[..., None], tmp_path: Path
) -> None:
    metadata, tensors = copy.deepcopy(of_groups[0]), dict(of_groups[1])
    change(metadata, tensors)
    write(tmp_path / "m.tollad", metadata, tensors)
    with pytest.raises(ValueError, match=r"m\.tollad: is no model that this tollad knows") as caught:
        SeriesDetector.load(tmp_path / "m.tollad")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # huge numbers overflow
@pytest.mark.parametrize("n", [30, pytest.param(1000, marks=pytest.mark.slow)])
def test_every_mutation_that_is_sealed_anew_is_refused_or_gives_scores(parts: Parts, n: int, tmp_path: Path) -> None:
    path, n_refused = tmp_path / "m.tollad", 0
    for seed in range(n):
        rng = np.random.default_rng(seed)
        metadata, tensors = copy.deepcopy(parts[0]), {name: part.copy() for name, part in parts[1].items()}
        record = {"series": metadata.pop("series")}
        own = {name: tensors.pop(name) for name in parts[1] if name.startswith("series.")}
        done = mutations.change(record, own, rng)
        write(path, metadata | record, tensors | own)
        detector = loaded(path)
        if detector is None:
            n_refused += 1
            continue
        scores = detector.anomaly_score(STEPS[:100]) if len(detector.model_.columns) == 2 else np.empty(0)
        assert np.isfinite(scores).all(), done
        assert detector.predict(STEPS[:100]).shape == (100,), done
    assert n_refused > n // 3


@pytest.mark.parametrize("n", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_every_mutation_of_a_state_is_refused_in_one_sentence_or_goes_on(n: int, tmp_path: Path) -> None:
    options = {"window": 8, "hidden": (8,), "latent_dim": 4, "steps": 5, "random_state": 0, "neighbors": 0}
    model = SeriesDetector(**options, causal=True, adapt=True).fit(STEPS).model_
    path, n_refused = tmp_path / "live.state", 0
    progress = Progress(model, path)
    pipeline = progress.pipelines[None] = Pipeline(model)
    pipeline.push(STEPS[:50], np.empty(0), np.arange(50))
    progress.save()
    metadata, tensors = packed.read_packed(path)
    for seed in range(n):
        plain, arrays = copy.deepcopy(metadata), {name: part.copy() for name, part in tensors.items()}
        done = mutations.change(plain, arrays, np.random.default_rng(seed))
        path.write_bytes(packed.pack(plain, arrays))
        progress = resumed(model, path)
        if progress is None:
            n_refused += 1
            continue
        for pipeline in progress.pipelines.values():
            assert len(pipeline.push(STEPS[50:60], np.empty(0), np.arange(10))[1]) == 10, done
        progress.save()
    assert n_refused > n // 3


def resumed(model: SeriesModel, path: Path) -> Progress | None:
    """The progress of a state file; None if the file is refused by its name."""
    try:
        return Progress(model, path)
    except ValueError as error:
        return None if path.name in str(error) else pytest.fail(str(error))
