"""``tollad fit --method``: a method of the tables from a file to its answers, and what it does not do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import done, refused, refused_in, rows_of, tollad
from PIL import Image

from tollad.methods import MethodDetector

OF_DATA = ("--label", "kind", "--normal", "fine", "--normal", "good", "--drop", "id")
FEW = ("--set", "epochs=5", "--set", "pretrain_epochs=5")


@pytest.fixture(scope="module")
def model(fitted: Path) -> Path:
    path = fitted / "svdd.tollad"
    done("fit", fitted / "data.csv", "-o", path, "--method", "DeepSVDD", "--false-alarm-rate", "0.1", *OF_DATA, *FEW)
    return path


def test_a_method_is_fitted_shown_scored_and_measured(fitted: Path, model: Path, tmp_path: Path) -> None:
    shown = json.loads(done("info", model, "--json").stdout)
    assert (shown["method"], shown["n_calibration_rows"]) == ("DeepSVDD", 12)
    assert shown["parameters"]["epochs"] == 5
    assert (
        "DeepSVDD, recipe of arrhythmia, published budget, but for epochs, pretrain_epochs"
        in done("info", model).stdout
    )
    rows = rows_of(done("score", model, fitted / "data.csv", "--id", "id", "--fdr", "0.2").stdout)
    assert len(rows) == 80
    assert {"score", "p_value", "verdict"} <= set(rows[0])
    assert MethodDetector.load(model).method_.epochs == 5
    measured = json.loads(done("evaluate", model, fitted / "data.csv", "--label", "kind", "--normal", "fine",
                               "--normal", "good", "--json").stdout)  # fmt: skip
    assert measured["auroc"] > 0.9
    done("calibrate", model, fitted / "data.csv", "-o", tmp_path / "c", "--label", "kind", "--normal", "broken",
         "--false-alarm-rate", "0.2")  # fmt: skip
    assert json.loads(done("info", tmp_path / "c", "--json").stdout)["n_calibration_rows"] == 20


def test_the_same_command_makes_the_same_model(fitted: Path, tmp_path: Path) -> None:
    for name in "ab":
        done("fit", fitted / "data.csv", "-o", tmp_path / name, "--method", "GOAD", "--set", "epochs=2", *OF_DATA)
    first, second = (done("score", tmp_path / name, fitted / "data.csv").stdout for name in "ab")
    assert first == second


def test_a_folder_of_images_is_fitted_by_the_recipe_of_images_like_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(24):
        path = tmp_path / "photos" / ("bad" if number >= 20 else "good") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 80, (28, 28)) + (150 if number >= 20 else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    good = ("--label", "folder", "--normal", "good")
    result = json.loads(
        done("fit", tmp_path / "photos", "-o", tmp_path / "m", "--method", "KDE", *good, "--json").stdout
    )
    assert (result["recipe"], result["shape"]) == ("of mnist, published budget", [1, 28, 28])
    assert json.loads(done("evaluate", tmp_path / "m", tmp_path / "photos", *good, "--json").stdout)["auroc"] == 1
    said = tollad("score", tmp_path / "m", tmp_path / "photos", "-o", tmp_path / "s.csv", "--maps", tmp_path / "maps")
    assert said.exit_code == 2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--method", "deepsvd"), "there is no method 'deepsvd'; did you mean DeepSVDD"),
        (("--method", "KDE", "--set", "width=3"), "KDE has no 'width'; it has scale, seed, bandwidth, bandwidths"),
        (("--method", "KDE", "--set", "bandwidth=wide"), "bandwidth must be one of likelihood, mean"),
        (("--method", "GeoTrans"), "GeoTrans takes images of 28 x 28 or 32 x 32, not rows of shape (3,)"),
        (("--method", "KDE", "--false-alarm-rate", "0.001"), "needs 999 calibration rows"),
    ],
)
def test_what_a_method_cannot_be_fitted_to_is_one_sentence(fitted, tmp_path, more, said) -> None:
    assert said in refused_in(tmp_path, "fit", fitted / "data.csv", "-o", tmp_path / "m", *OF_DATA, *more)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--set", "epochs=3"), "--set and --budget are of --method"),
        (("--budget", "reduced"), "--set and --budget are of --method"),
        (("--method", "KDE", "--set", "epochs"), "give a field of the method and its value, such as epochs=50"),
        (("--method", "KDE", "--set", "seed=1", "--set", "seed=2"), "--set gives seed twice"),
        (("--method", "KDE", "--steps", "9"), "--steps is of the detector, not of --method"),
        (("--method", "KDE", "--window", "5"), "--method is for tables and images"),
        (("--method", "KDE", "--representation", "pixels"), "--method sees the pixels of images"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(fitted, tmp_path, more, said) -> None:
    result = tollad("fit", fitted / "data.csv", "-o", tmp_path / "m", *OF_DATA, *more)
    assert result.exit_code == 2
    assert said in result.stderr


def test_what_a_method_does_not_do_is_one_sentence(fitted: Path, model: Path, tmp_path: Path) -> None:
    assert "has no ONNX graph" in refused("export", model, "-o", tmp_path / "m.onnx")
    assert "has no model card in Markdown" in refused("info", model, "--card", tmp_path / "c.md")
    assert "a MethodDetector cannot be served" in refused("serve", model)
    said = tollad("score", model, fitted / "data.csv", "--explain", "2")
    assert said.exit_code == 2
    assert "a model of fit --method gives none" in said.stderr


def test_several_values_of_a_field(fitted: Path, tmp_path: Path) -> None:
    done("fit", fitted / "data.csv", "-o", tmp_path / "m", "--method", "DAGMM", *OF_DATA, "--set", "hidden=4,3",
         "--set", "estimation=5", "--set", "epochs=2")  # fmt: skip
    parameters = json.loads(done("info", tmp_path / "m", "--json").stdout)["parameters"]
    assert (parameters["hidden"], parameters["estimation"]) == ([4, 3], [5])


def test_a_model_that_runs_on_the_cpu_refuses_another_device(fitted: Path, model: Path) -> None:
    said = refused("score", model, fitted / "data.csv", "--device", "cuda")
    assert "runs on the CPU; leave out --device cuda" in said
    done("score", model, fitted / "data.csv", "--device", "cpu")
