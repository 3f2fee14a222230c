"""``tollad fit``: its options are the parameters of the detector, and it says what it did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
import torch
from commands import COLUMNS, CSV, QUICK, SMALL, done, refused_in, tollad, write_csv

from tollad import TollDetector
from tollad.cli.options import DETECTOR_OPTIONS
from tollad.io.rows import with_names
from tollad.io.source import Source


def test_the_options_of_fit_are_the_parameters_of_the_detector() -> None:
    parameters = TollDetector().get_params()
    assert {option.name for option in DETECTOR_OPTIONS} == set(parameters)
    defaults = click.Command("fit", params=list(DETECTOR_OPTIONS)).make_context("fit", []).params
    assert defaults == {**parameters, "random_state": 0, "verbose": True}


@pytest.mark.parametrize(
    ("given", "parameter", "value"),
    [
        ("--beta=0.5", "beta", 0.5),
        ("--latent-dim=16", "latent_dim", 16),
        ("--hidden=256,128", "hidden", (256, 128)),
        ("--hidden=auto", "hidden", "auto"),
        ("--preprocess=none", "preprocess", None),
        ("--corruption=none", "corruption", None),
        ("--early-stopping", "early_stopping", True),
        ("--contamination=0.2", "contamination", 0.2),
        ("--quiet", "verbose", False),
    ],
)
def test_options_become_what_the_detector_takes(given: str, parameter: str, value: object) -> None:
    parsed = click.Command("fit", params=list(DETECTOR_OPTIONS)).make_context("fit", [given]).params
    assert parsed[parameter] == value
    assert type(parsed[parameter]) is type(value)


def test_one_thread_unless_asked(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", calls.append)
    done("score", fitted / "m.tollad", fitted / "data.csv")
    done("score", fitted / "m.tollad", fitted / "data.csv", "--threads", "3")
    assert calls == [1, 3]


def test_kinds_of_columns(fitted: Path, tmp_path: Path) -> None:
    """A code of digits is a category when the user says so, and scores of the file are those of the model."""
    lines = [f"{i % 3},{i / 60}" for i in range(60)]
    (tmp_path / "codes.csv").write_text("\n".join(["code,size", *lines]))
    done("fit", tmp_path / "codes.csv", "-o", tmp_path / "codes.tollad", "--column", "code=category", "--steps", "3")
    model = TollDetector.load(tmp_path / "codes.tollad")
    assert [column.kind for column in model.columns_] == ["category", "number"]
    assert done("score", tmp_path / "codes.tollad", tmp_path / "codes.csv").stdout.count("\n") == 61


@pytest.mark.parametrize(
    ("kinds", "words"), [(["category"], "zip=category"), (["a=category", "a=number"], "the kind of a column twice")]
)
def test_kinds_that_say_nothing_are_usage_errors(fitted: Path, tmp_path: Path, kinds: list[str], words: str) -> None:
    result = tollad("fit", fitted / "data.csv", "-o", tmp_path / "m", *(f"--column={kind}" for kind in kinds))
    assert result.exit_code == 2
    assert words in result.stderr


def test_fit_is_the_detector_on_the_normal_rows(fitted: Path, data: np.ndarray[Any, Any]) -> None:
    model = TollDetector.load(fitted / "m.tollad")
    expected = TollDetector(
        network="mlp", hidden=(8,), latent_dim=2, n_members=1, corruption=None, steps=15, random_state=0
    ).fit(with_names(data[:60], COLUMNS))
    assert model.feature_names_in_.tolist() == list(COLUMNS)
    assert model.offset_ == expected.offset_
    assert (model.training_scores_ == expected.training_scores_).all()
    assert model.source_ == Source("data.csv", 80, 60, True, "kind", ("fine", "good"), ("id",))


def test_fit_sums_up_what_it_did(fitted: Path, tmp_path: Path) -> None:
    arguments = ("fit", fitted / "data.csv", "--label=-1", "--normal", "good", "--drop", "id", *QUICK)
    text = done(*arguments, "-o", tmp_path / "m").stdout
    result = json.loads(done(*arguments, "-o", tmp_path / "m", "--force", "--json").stdout)
    model = TollDetector.load(tmp_path / "m")
    assert result == {
        "model": str(tmp_path / "m"),
        "rows_read": 80,
        "rows_used": 20,
        "shape": [3],
        "kinds": {},
        "steps": 15,
        "initial_loss": model.history_.initial_loss[0],
        "loss": model.history_.loss[-1][0],
        "threshold": -model.offset_,
    }
    for words in ("20 of 80 (kind is good)", "3: a, b, c", f"{-model.offset_:.4g}", str(tmp_path / "m")):
        assert words in text


def test_progress_goes_to_standard_error_unless_quiet(fitted: Path, tmp_path: Path) -> None:
    shown = done("fit", fitted / "images.npy", "-o", tmp_path / "m", *SMALL, "--steps", "30")
    assert "step 30/30  loss" in shown.stderr
    assert "step" not in done("fit", fitted / "images.npy", "-o", tmp_path / "m", "--force", *QUICK).stderr


def test_a_warning_is_one_line(tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", {"a": [1.0, 2.5, 4.0], "b": [7, 7, 7]})
    shown = done("fit", train, "-o", tmp_path / "m", *QUICK).stderr.splitlines()
    assert [line for line in shown if "constant" in line] == [
        "Warning: these columns are constant among the training rows: 'b'; they tell nothing until a row differs "
        "from them by more than rounding"
    ]
    assert all(line.startswith("Warning: ") for line in shown)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--label", "sort", "--normal", "fine"), ("no column 'sort'", "'kind'")),
        (
            ("--label", "kind", "--normal", "best", "--drop", "id"),
            ("column 'kind'", "'best'", "'fine', 'good', 'broken'"),
        ),
        (("--drop", "x"), ("no column 'x'",)),
        (("--drop=id", "--drop=a", "--drop=b", "--drop=c", "--drop=kind"), ("no column is left",)),
        (("--key", "x"), ("key 'x'",)),
    ],
)
def test_columns_and_labels_that_are_not_there_are_refused(
    fitted: Path, tmp_path: Path, options: tuple[str, ...], words: tuple[str, ...]
) -> None:
    message = refused_in(tmp_path, "fit", fitted / "data.csv", "-o", tmp_path / "m", *options)
    for word in ("data.csv", *words):
        assert word in message


@pytest.mark.parametrize("large", [False, True])
def test_a_label_that_no_row_has_is_warned_of(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    monkeypatch.setattr("tollad.tables.large.IN_MEMORY_BYTES", 0 if large else 1 << 30)
    data, normal = fitted / "data.csv", ("--label", "kind", "--normal", "fine", "--normal", "god", "--normal", "good")
    warning = f"Warning: {data}, column 'kind': no row is labelled 'god'; the labels are 'fine', 'good', 'broken'\n"
    fresh = write_csv(tmp_path / "x.csv", {name: np.arange(9) / 9 for name in COLUMNS} | {"kind": ["fine"] * 9})
    assert warning in done("fit", data, "-o", tmp_path / "m", "--drop", "id", *normal, *QUICK).stderr
    assert done("evaluate", fitted / "m.tollad", data, *normal).stderr.startswith(warning)
    missed = done("calibrate", fitted / "m.tollad", fresh, "-o", tmp_path / "c", *normal).stderr
    assert "no row is labelled 'god', 'good'; the labels are 'fine'" in missed


def test_at_most_ten_labels_are_listed(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "x.csv", {"a": range(30), "b": [f"k{i}" for i in range(30)]})
    message = refused_in(tmp_path, "fit", path, "-o", tmp_path / "m", "--label", "b", "--normal", "k")
    assert "'k0', 'k1', " in message
    assert "'k9', ...\n" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--beta", "-1"), "beta must be a finite number >= 0"),
        (("--beta", "nan"), "beta must be a finite number >= 0"),
        (("--latent-dim", "0"), "latent_dim must be an integer >= 1"),
        (("--contamination", "0"), "contamination must be a share"),
        (("--contamination", "0.7"), "contamination must be a share"),
        (("--contamination", "auto"), "give --false-alarm-rate 0.05 where the share of anomalies is unknown"),
        (("--norm", "l3"), "the known ones are 'l1', 'l2', 'linf'"),
        (("--network", "mpl"), "the known ones are auto, "),
        (("--random-state", "-1"), "random_state must be"),
        (("--network", "mlp", "--hidden", "8192,8192", "--n-members", "1000"), "of memory"),
        pytest.param(
            ("--device", "cuda"),
            "device 'cuda' is not on this machine",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
        ),
    ],
)
def test_parameters_out_of_range_are_refused(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    (tmp_path / "x.csv").write_text(CSV)
    assert words in refused_in(tmp_path, "fit", tmp_path / "x.csv", "-o", tmp_path / "m", *options)


def test_widths_that_are_none_are_refused_with_some_that_are(tmp_path: Path) -> None:
    said = tollad("fit", tmp_path / "x.csv", "-o", tmp_path / "m", "--hidden", "64;32").stderr
    assert "'64;32' is no list of integers; give some such as 64,32." in said


def test_a_checkpoint_that_cannot_be_written_is_refused_before_any_work(fitted: Path, tmp_path: Path) -> None:
    run = ("fit", fitted / "none.csv", "-o", tmp_path / "m", "--checkpoint", tmp_path / "nowhere" / "c")
    assert f"there is no folder {tmp_path / 'nowhere'}" in refused_in(tmp_path, *run)


def test_a_checkpoint_is_not_the_model(fitted: Path, tmp_path: Path) -> None:
    run = ("fit", fitted / "data.csv", "-o", tmp_path / "m", "--checkpoint", tmp_path / "m")
    assert f"two outputs would be one file, {tmp_path / 'm'}; give each a name of its own" in refused_in(tmp_path, *run)
