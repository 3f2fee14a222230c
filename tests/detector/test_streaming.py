"""Scores block by block are those of all rows at once."""

from __future__ import annotations

import io
import sys
from unittest import mock

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tollad
from tollad import TollDetector, iter_scores
from tollad.detector import streaming


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(500, 3)).round(6)


@pytest.fixture(scope="module")
def detector(rows) -> TollDetector:
    return TollDetector(network="mlp", hidden=(8,), latent_dim=2, steps=30, random_state=0).fit(rows)


@pytest.fixture(scope="module")
def named(rows) -> TollDetector:
    detector = TollDetector(network="mlp", hidden=(8,), latent_dim=2, steps=30, random_state=0)
    return detector.fit(pd.DataFrame(rows, columns=list("abc")))


def test_blocks_from_python(detector, rows):
    blocks = list(iter_scores(detector, (rows[start : start + 70] for start in range(0, 500, 70))))
    assert [len(block) for block in blocks] == [70] * 7 + [10]
    np.testing.assert_allclose(np.concatenate(blocks), detector.anomaly_score(rows), rtol=1e-9)


def test_frames_from_python(named, rows):
    frame = pd.DataFrame(rows, columns=list("abc"))
    scores = np.concatenate(list(iter_scores(named, (frame[:200], frame[200:]))))
    np.testing.assert_allclose(scores, named.anomaly_score(frame), rtol=1e-9)


def test_a_memory_map_is_cut(detector, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("tollad.io.rows._BLOCK_VALUES", 128 * 3)
    np.save(tmp_path / "rows.npy", rows)
    blocks = list(iter_scores(detector, np.load(tmp_path / "rows.npy", mmap_mode="r")))
    assert [len(block) for block in blocks] == [128, 128, 128, 116]
    np.testing.assert_allclose(np.concatenate(blocks), detector.anomaly_score(rows), rtol=1e-9)


def test_a_file_and_standard_input(named, rows, tmp_path, monkeypatch):
    frame = pd.DataFrame(rows, columns=list("abc"))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (scores,) = iter_scores(named, tmp_path / "rows.csv")
    np.testing.assert_allclose(scores, named.anomaly_score(frame), rtol=1e-12)
    content = (tmp_path / "rows.csv").read_bytes()
    monkeypatch.setattr(sys, "stdin", mock.Mock(buffer=io.BytesIO(content)))
    (piped,) = iter_scores(named, "-")
    np.testing.assert_array_equal(piped, scores)


def test_bad_rows_of_a_file(named, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b,c\n1,2,3\n1,2\n1,x,3\n4,5,6\n")
    with pytest.raises(ValueError, match="line 3: expected 3 values, found 2"):
        list(iter_scores(named, tmp_path / "rows.csv"))
    told: list[tuple[int, int | None, str, str]] = []
    (scores,) = iter_scores(named, tmp_path / "rows.csv", reject=lambda *row: told.append(row))
    assert len(scores) == 2
    assert [row[:2] for row in told] == [(1, 3), (2, 4)]


@pytest.mark.parametrize("option", [{"header": True}, {"header": False}, {"key": "a"}, {"reject": print}])
def test_options_of_files_mean_nothing_for_blocks(detector, rows, option):
    with pytest.raises(TypeError, match="leave them out"):
        next(iter_scores(detector, [rows], **option))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, lambda rows: pa.table(dict(rows))])
def test_a_frame_is_cut_like_an_array(named, frame, monkeypatch):
    monkeypatch.setattr(streaming, "rows_in_block", lambda shape: 7)
    rows = {name: np.arange(20.0) for name in "abc"}
    blocks = list(iter_scores(named, frame(rows)))
    assert [len(block) for block in blocks] == [7, 7, 6]
    np.testing.assert_allclose(np.concatenate(blocks), named.anomaly_score(pd.DataFrame(rows)), rtol=1e-9)


def test_rows_one_by_one_are_no_blocks(detector, rows):
    with pytest.raises(TypeError, match="each block must hold rows, and this one is a single row or column"):
        next(iter_scores(detector, rows.tolist()))


def test_it_is_public():
    assert tollad.iter_scores is iter_scores
