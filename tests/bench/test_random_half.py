"""The protocol `random_half`: which rows of a table of ADBench train and test, and which files are refused."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from bench.synthetic import adbench_table
from hypothesis import given, settings
from hypothesis import strategies as st

from tollad.bench.protocols import make_task


@given(n_normal=st.integers(2, 40), n_anomalies=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_rows(tmp_path, n_normal, n_anomalies, seed):
    task = make_task("random_half", adbench_table(tmp_path / "a.npz", n_normal, n_anomalies), seed=seed)
    train, test = task.train[:, 0] / 2, task.test[:, 0] / 2
    assert sorted([*train, *test]) == list(range(n_normal + n_anomalies))
    assert len(train) == n_normal // 2
    assert max(train) < n_normal
    assert np.array_equal(task.test_labels, test >= n_normal)
    assert task.name == f"random_half/a/{seed}"
    assert (task.metric, task.cut, task.validation) == ("auroc", None, None)


def test_at_most_ten_thousand_train(tmp_path):
    task = make_task("random_half", adbench_table(tmp_path / "a.npz", 20_010))
    assert (len(task.train), len(task.test)) == (10_000, 10_015)


def test_seeds_differ(tmp_path):
    path = adbench_table(tmp_path / "a.npz")
    halves = {tuple(make_task("random_half", path, seed=seed).train[:, 0]) for seed in range(5)}
    assert len(halves) == 5


def test_constant_columns_stay_finite(tmp_path):
    task = make_task("random_half", adbench_table(tmp_path / "a.npz", X=np.full((35, 2), 3.0)))
    assert not task.preprocessing(task.test).any()


def test_labels_may_be_a_column(tmp_path):
    labels = np.r_[np.zeros(30), np.ones(5)][:, None]
    assert make_task("random_half", adbench_table(tmp_path / "a.npz", y=labels)).test_labels.sum() == 5


@pytest.mark.parametrize(
    "changed",
    [
        {"y": np.zeros(34)},
        {"y": np.full(35, 2)},
        {"X": np.zeros(35)},
        {"X": np.full((35, 2), "a")},
        {"X": np.array([None] * 35)},
        {"X": np.full((35, 2), 1j)},
        {"X": np.zeros((35, 0))},
    ],
)
def test_no_such_table(tmp_path, changed):
    path = adbench_table(tmp_path / "a.npz", **changed)
    with pytest.raises(ValueError, match=r"a\.npz is not an NPZ file with arrays X, real numbers \(n, d\), and y"):
        make_task("random_half", path)


def test_no_npz(tmp_path):
    path = tmp_path / "a.npz"
    for content in (b"", b"PK\x03\x04", b"text"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not an NPZ file"):
            make_task("random_half", str(path))
    np.savez(path, X=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="is not an NPZ file"):
        make_task("random_half", str(path))
    with pytest.raises(FileNotFoundError, match=r"there is no file .*absent; give the path of an NPZ file"):
        make_task("random_half", str(tmp_path / "absent"))


@settings(max_examples=300)
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_damaged_npz(tmp_path_factory, place, byte):
    """Read as it is or refused, whatever part of the archive is hit."""
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    np.savez_compressed(path, X=np.arange(70.0).reshape(35, 2), y=np.arange(35) > 30)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] = byte
    path.write_bytes(content)
    with contextlib.suppress(ValueError):
        assert make_task("random_half", str(path)).test.shape[1] == 2


def test_missing_values(tmp_path):
    path = adbench_table(tmp_path / "a.npz", X=np.full((35, 2), np.nan))
    with pytest.raises(ValueError, match="missing or infinite"):
        make_task("random_half", path)


def test_too_small(tmp_path):
    for sizes, words in (((1, 5), "1 normal rows and 5 anomalies"), ((5, 0), "5 normal rows and 0 anomalies")):
        with pytest.raises(ValueError, match=words):
            make_task("random_half", adbench_table(tmp_path / "a.npz", *sizes))
