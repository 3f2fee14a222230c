"""A fit of rows beyond memory is the fit of the same rows in memory, to the last bit."""

from __future__ import annotations

import os
import tracemalloc
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from detectors import KINDS, NAN, assert_same_bits, make, table

from tollad import TollDetector
from tollad.tables import large as stored
from tollad.tables.fit_features import fit_features
from tollad.tables.large import LargeRows, as_large
from tollad.training import scoring


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(stored, "_BLOCK_VALUES", 50)
    # The last bits of a score depend on the rows that are scored together.
    monkeypatch.setattr(stored, "_MULTIPLE", 5)
    monkeypatch.setattr(scoring, "_DENSE_BLOCK", 5)


@contextmanager
def in_one_block():
    """Read all rows as one block; the results block by block have to be the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored, "_BLOCK_VALUES", 1 << 20)
        yield


def mapped(folder: Path, rows: np.ndarray) -> np.memmap:
    np.save(folder / "rows.npy", rows)
    return np.load(folder / "rows.npy", mmap_mode="r")


@pytest.mark.parametrize("preprocess", ["auto", None])
@pytest.mark.parametrize("arcsinh", [False, True])
def test_constants_of_a_table_have_the_same_bits(preprocess, arcsinh):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(500, 6)) * 10.0 ** np.arange(6)
    rows[rng.random(rows.shape) < 0.1] = NAN
    rows[:, 3] = rng.random(500) < 0.1
    names, indicator = [f"x{i}" for i in range(6)], np.arange(6) == 3
    options = {"indicator": indicator, "arcsinh": arcsinh}
    large = fit_features(LargeRows(rows), preprocess, names, **options)
    with in_one_block():
        small = fit_features(rows, preprocess, names, **options)
    for name, constants in small.arrays().items():
        np.testing.assert_array_equal(large.arrays()[name], constants, err_msg=name)


def test_constants_of_images_are_the_same():
    rows = np.random.default_rng(0).normal(size=(50, 3, 4, 5))
    large = fit_features(LargeRows(rows), "auto", [])
    with in_one_block():
        small = fit_features(rows, "auto", [])
    for name, constants in small.arrays().items():
        np.testing.assert_allclose(large.arrays()[name], constants, rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", ["table", "table with gaps", "paper's loss", "mlp", "raw", "mean", "double"])
def test_a_mapped_table_gives_the_same_detector(kind, tmp_path):
    rows = KINDS[kind][0]
    with in_one_block():
        small = make(kind).fit(rows)
    assert_same_bits(make(kind).fit(mapped(tmp_path, rows)), small, rows)


def test_a_fit_in_memory_takes_few_copies(monkeypatch):
    monkeypatch.setattr(stored, "_BLOCK_VALUES", 1 << 12)
    monkeypatch.setattr(stored, "_MULTIPLE", 64)
    monkeypatch.setattr(scoring, "_DENSE_BLOCK", 64)
    rows = np.random.default_rng(0).normal(size=(8_000, 50))
    tracemalloc.start()
    try:
        make("mlp", n_members=1).fit(rows)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < rows.nbytes


@pytest.mark.parametrize("kind", ["images", "grey images", "series"])
def test_mapped_images_give_the_same_detector(kind, tmp_path):
    """Up to the rounding of the constants."""
    rows = KINDS[kind][0]
    large, small = make(kind).fit(mapped(tmp_path, rows)), make(kind).fit(rows)
    np.testing.assert_allclose(large.training_scores_, small.training_scores_, rtol=1e-4)


@pytest.mark.parametrize(
    "changes", [{"early_stopping": True}, {"false_alarm_rate": 0.1}, {"early_stopping": True, "false_alarm_rate": 0.1}]
)
def test_rows_that_are_held_out_are_the_same(changes, tmp_path):
    rows = table(200)
    large, small = (make("mlp", **changes).fit(X) for X in (mapped(tmp_path, rows), rows))
    assert_same_bits(large, small, rows)
    assert large.offset_ == small.offset_


def test_partial_fit_and_scores_of_a_map(tmp_path):
    first, second = table(80), table(70, seed=1)
    large, small = (make("table").fit(first) for _ in range(2))
    assert_same_bits(large.partial_fit(mapped(tmp_path, second)), small.partial_fit(second), first)
    np.testing.assert_array_equal(large.anomaly_score(mapped(tmp_path, first)), small.anomaly_score(first))


def test_a_checkpoint_of_one_is_that_of_the_other(tmp_path):
    rows = table(80)
    small = make("table").fit(rows, checkpoint=tmp_path / "c")
    large = make("table").fit(mapped(tmp_path, rows), checkpoint=tmp_path / "c")
    assert_same_bits(large, small, rows)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ((70, 2), np.inf, "row 70, column 'x3': the value is infinite"),
        ((slice(None), 1), NAN, "column 'x2' has no value"),
    ],
)
def test_what_is_wrong_is_found_beyond_memory(place, value, words, tmp_path):
    rows = table(90)
    rows[place] = value
    with pytest.raises(ValueError, match=words):
        make("table").fit(mapped(tmp_path, rows))


def test_missing_values_of_later_rows_are_warned_of(tmp_path):
    detector = make("table").fit(table(80))
    rows = table(90)
    rows[60, 1] = NAN
    with pytest.warns(UserWarning, match="'x2' has missing values"):
        detector.anomaly_score(mapped(tmp_path, rows))


def test_the_median_is_exact():
    for n in (1, 2, 7, 8):
        rows = np.random.default_rng(n).normal(size=(n, 2))
        fill = fit_features(LargeRows(rows), None, ["a", "b"]).fill
        np.testing.assert_array_equal(fill, np.median(rows, axis=0))


def test_it_is_a_detector_like_any_other(tmp_path):
    detector = TollDetector(steps=20, n_members=2, random_state=0).fit(mapped(tmp_path, table(100)))
    detector.save(tmp_path / "m")
    assert_same_bits(TollDetector.load(tmp_path / "m"), detector, table(100))


class TestFilesThatChange:
    """The file of a memory-mapped array, of a table or of images, changes while it is used."""

    @pytest.mark.parametrize("change", [lambda path: path.write_bytes(b""), lambda path: os.utime(path, (1, 1))])
    def test_are_refused_beyond_memory(self, change, tmp_path):
        rows = as_large(X := mapped(tmp_path, table(100)), X)
        assert isinstance(rows, LargeRows)
        change(tmp_path / "rows.npy")
        with pytest.raises(ValueError, match=r"rows\.npy: changed while it was read; read it when nothing writes"):
            rows[5:7]

    def test_do_not_matter_in_memory(self, tmp_path, monkeypatch):
        monkeypatch.setattr(stored, "IN_MEMORY_BYTES", 1 << 20)
        images = np.random.default_rng(0).random((20, 6, 6))
        kept = stored.settled(mapped(tmp_path, images))
        (tmp_path / "rows.npy").write_bytes(b"")
        np.testing.assert_array_equal(kept, images)
