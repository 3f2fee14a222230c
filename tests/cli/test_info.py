"""``tollad info``, and files that are no models."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from commands import COLUMNS, CSV, done, refused_in, scores_of, tollad

from tollad import TollDetector
from tollad.io import packed


def test_info_says_what_the_model_is(fitted: Path) -> None:
    model = TollDetector.load(fitted / "m.tollad")
    card = json.loads(done("info", fitted / "m.tollad", "--json").stdout)
    assert card["notes"] == model.notes_ == {}
    assert card["source"]["name"] == model.source_.name == "data.csv"
    assert card["feature_names"] == list(COLUMNS)
    assert card["threshold"] == -model.offset_
    assert card["share_above_threshold"] == (model.training_scores_ > -model.offset_).mean() == 0.1
    assert card["history"]["loss"] == model.history_.loss
    assert card["settings"]["steps"] == 15
    assert set(card["versions"]) == {"tollad", "torch", "numpy", "scikit-learn", "python"}
    lines = dict(
        line.split(maxsplit=1) for line in done("info", fitted / "m.tollad").stdout.splitlines() if line[0] > " "
    )
    assert lines["data"] == "data.csv"
    assert lines["rows"] == "60 of 80 (kind is fine or good)"
    assert lines["columns"] == "3: a, b, c"
    assert lines["left"].split() == ["out", "id"]
    meaning = "10.0% of the training rows score higher, and more of new normal rows"
    assert lines["threshold"] == f"{-model.offset_:.4g}; {meaning}"
    assert lines["calibration"] == "none"
    assert (lines["beta"], lines["hidden"], lines["preprocess"]) == ("1.0", "8", "auto")


def test_info_says_that_rows_are_whitened(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 40))
    TollDetector(steps=40, hidden=(4,), random_state=0).fit(rows).save(tmp_path / "m.tollad")
    shown = done("info", tmp_path / "m.tollad").stdout
    assert "auto, which whitened the rows" in shown


def test_info_counts_the_rows_that_predict_calls_anomalous(fitted: Path, tmp_path: Path) -> None:
    """A row exactly at the threshold is none."""
    model = TollDetector.load(fitted / "m.tollad")
    model.set_threshold(anomaly_score=np.sort(model.training_scores_)[-3]).save(tmp_path / "m")
    assert json.loads(done("info", tmp_path / "m", "--json").stdout)["share_above_threshold"] == 2 / 60


def test_info_knows_models_that_were_not_made_on_the_command_line(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 2))
    small = TollDetector(network="mlp", hidden=(4,), n_members=1, corruption=None, steps=100, random_state=0)
    small.fit(rows).save(tmp_path / "m")
    shown = done("info", tmp_path / "m").stdout
    assert "unknown" in shown
    assert "2 without names" in shown
    np.save(tmp_path / "x.npy", rows)
    assert scores_of(done("score", tmp_path / "m", tmp_path / "x.npy").stdout) == small.training_scores_.tolist()


def _bad_models(model: bytes) -> dict[str, tuple[bytes, str]]:
    altered = bytearray(model)
    altered[-3] ^= 1
    return {
        "truncated": (model[:-100], "is truncated"),
        "altered": (bytes(altered), "was altered"),
        "foreign": (safetensors.numpy.save({"x": np.zeros(3)}), "not one that tollad wrote"),
        "pickled": (pickle.dumps({"x": 1}), "never unpickles"),
        "text": (CSV.encode(), "looks like text"),
        "empty": (b"", "is empty"),
    }


@pytest.mark.parametrize("kind", ["truncated", "altered", "foreign", "pickled", "text", "empty"])
def test_files_that_are_no_models_are_refused(fitted: Path, tmp_path: Path, kind: str) -> None:
    content, words = _bad_models((fitted / "m.tollad").read_bytes())[kind]
    (tmp_path / "m.tollad").write_bytes(content)
    for run in (("info", tmp_path / "m.tollad"), ("score", tmp_path / "m.tollad", fitted / "data.csv")):
        message = refused_in(tmp_path, *run)
        assert "m.tollad" in message
        assert words in message


@pytest.mark.parametrize("key", ["parameters", "offset", "notes", "history", "n_steps", "columns", "versions"])
@pytest.mark.parametrize("value", [None, "text", ["text"]])
def test_a_model_of_another_make_is_named(fitted: Path, tmp_path: Path, key: str, value: object) -> None:
    """Its digest is right: another tollad, or another tool, wrote it."""
    metadata, tensors = packed.unpack((fitted / "m.tollad").read_bytes(), name="m.tollad")
    (tmp_path / "m.tollad").write_bytes(packed.pack({**metadata, key: value}, tensors))
    for command in (("info",), ("score", fitted / "data.csv")):
        result = tollad(command[0], tmp_path / "m.tollad", *command[1:])
        assert result.exit_code in (0, 1)
        refusals = ("m.tollad: is no model that this tollad knows", "m.tollad does not say which versions wrote it")
        assert result.exit_code == 0 or any(refusal in result.stderr for refusal in refusals)
