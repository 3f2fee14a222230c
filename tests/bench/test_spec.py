from __future__ import annotations

import dataclasses

import pytest
from bench.synthetic import table_run

from tollad.bench.spec import Baseline, Run
from tollad.bench.values import digest


def baseline(**values):
    return Baseline.from_values({"protocol": "p", "dataset": "d", "method": "pca", "rows": "raw", "n": 2} | values)


def test_identity_is_the_same_in_every_version():
    """Else all results would be computed again. Changed on purpose: raise _RECIPE and this line."""
    assert table_run().identity == "ff7f4f3bcd9a8df6"


OTHER = {
    "protocol": "one_class",
    "dataset": "mnist",
    "network": "mlp_layernorm",
    "latent_dim": 3,
    "beta": 2.0,
    "learning_rate": 0.1,
    "batch_size": 10,
    "steps": 80,
    "validate_every": 8,
    "normal": 1,
    "split_seed": 1,
    "hidden": None,
    "norm": "l1",
    "seed": 1,
    "batch_seed": 1,
    "precision": "bf16",
}


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Run)])
def test_every_value_counts(field):
    assert table_run(**{field: OTHER[field]}).identity != table_run().identity


def test_how_a_value_is_written_does_not_count():
    assert table_run(beta=10, hidden=[8, 4]) == table_run(beta=10.0, hidden=(8, 4))
    assert table_run(beta=10).identity == table_run(beta=10.0).identity


def test_a_run_and_a_baseline_have_different_identities():
    assert baseline().identity != digest(dataclasses.asdict(baseline()))
    assert baseline(n=3).identity != baseline().identity


def test_values_come_back_from_a_row():
    assert Run.from_values(dataclasses.asdict(table_run())) == table_run()
    assert Baseline.from_values(dataclasses.asdict(baseline())) == baseline()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps must be an integer from 1 up, not 0"),
        ({"steps": 42}, "steps of a run must be a multiple of 5"),
        ({"beta": -1}, "beta must be finite and not negative"),
        ({"beta": float("nan")}, "beta must be finite"),
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"seed": -1}, "seed must be an integer from 0 up"),
        ({"network": "vgg"}, "network must be one of conv, conv1d"),
        ({"norm": "l3"}, "norm must be one of l1, l2, linf"),
        ({"precision": "fp8"}, "precision of a run must be one of float32, tf32, bf16"),
        ({"epochs": 3}, "a run has no 'epochs'"),
    ],
)
def test_bad_values_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        table_run(**values)


def test_a_missing_value_is_named():
    with pytest.raises(ValueError, match="the run lacks 'batch_size'"):
        Run.from_values({"protocol": "one_class"})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "svm"}, "method of a baseline must be mean, pca, knn or gradients"),
        ({"rows": "cooked"}, "rows of a baseline must be raw"),
        ({"n": None}, "n of a baseline must be given for pca"),
        ({"method": "mean"}, "n of a baseline must be left out for mean"),
        ({"method": "gradients"}, "n of a baseline must be left out for gradients"),
    ],
)
def test_bad_baselines_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        baseline(**values)


def test_names_say_what_differs():
    assert str(table_run(normal=3, split_seed=7)) == "synthetic table 3 split 7, beta 1, seed 0"
    assert str(baseline()) == "p d, pca-2, raw"
