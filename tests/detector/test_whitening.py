"""Few rows of many columns of one unit are whitened: by their shrunk covariance, and back."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf as Reference

from tollad import TollDetector
from tollad.detector.preparation import Preparation
from tollad.detector.whitening import Whitening
from tollad.method.networks import traits_of

GENERATOR = np.random.default_rng(0)
# Rows of 40 columns that vary in a few directions, as embeddings do.
ROWS = GENERATOR.normal(size=(120, 6)) @ GENERATOR.normal(size=(6, 40)) + GENERATOR.normal(size=(120, 40)) / 4 + 3


def learnt(rows, preprocess="auto", n_channels=None) -> Preparation:
    return Preparation.learn(
        rows,
        preprocess=preprocess,
        names=[f"x{column}" for column in range(rows.shape[1])],
        encoding=None,
        traits=traits_of("mlp"),
        n_members=2,
        arcsinh=True,
        n_channels=n_channels,
    )


@pytest.mark.parametrize("n", [5, 80])
def test_whitening_with_fewer_rows_than_numbers(n):
    rows = np.random.default_rng(2).normal(size=(n, 20))
    whitening = Whitening.fit(rows)
    reference = Reference().fit(rows)
    np.testing.assert_allclose(np.square(whitening(rows)).sum(1) * 20, reference.mahalanobis(rows), rtol=1e-5)
    np.testing.assert_allclose((rows - rows.mean(0)) @ whitening.matrix(), whitening(rows), atol=1e-9)


@pytest.mark.parametrize("rows", [ROWS, ROWS[:30], np.eye(3)[:, :2]], ids=["more rows", "fewer rows", "alike"])
def test_what_was_whitened_comes_back(rows):
    whitening = Whitening.fit(rows).scaled(3.0)
    np.testing.assert_allclose(whitening.inverse(whitening(rows)), rows, atol=1e-5)


def test_few_rows_of_many_columns_of_one_unit_have_one_view():
    preparation = learnt(ROWS)
    (view,) = preparation.views(ROWS)
    # The covariance is shrunk, so directions of much variance have less than 1, and others more.
    distances = np.square(view).sum(1)
    np.testing.assert_allclose(distances, Reference().fit(ROWS).mahalanobis(ROWS), rtol=1e-5)
    np.testing.assert_allclose(preparation.reconstructed(np.stack([view, view]), ROWS), ROWS, atol=1e-5)


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (np.tile(ROWS, (2, 1)), {}),
        (ROWS[:, :31], {}),
        (ROWS * np.append(1000, np.ones(39)), {}),
        ((ROWS > 3).astype(float), {}),
        (ROWS, {"preprocess": "standard"}),
        (ROWS, {"preprocess": None}),
        (ROWS, {"n_channels": 2}),
    ],
    ids=["five rows a column", "few columns", "another unit", "truths", "standard", "as they are", "windows"],
)
def test_others_are_not_whitened(rows, options):
    assert learnt(rows, **options).whitening is None


def test_columns_of_truths_flags_and_constants_stay_in_sight():
    rows = np.column_stack([ROWS, np.full(120, 2.0), np.arange(120) % 2])
    rows[::40, 1] = np.nan
    with pytest.warns(UserWarning, match="constant"):
        preparation = learnt(rows)
    assert preparation.whitening is not None
    usual = np.linalg.norm(preparation.views(rows)[0], axis=1).max()
    for column, value in ((40, 4.0), (41, 9.0)):
        other = rows[:1].copy()
        other[0, column] = value
        assert np.linalg.norm(preparation.views(other)) > usual


def test_scores_do_not_depend_on_company_and_come_back_from_a_file(tmp_path):
    detector = TollDetector(steps=20, random_state=0).fit(ROWS)
    other = ROWS + GENERATOR.normal(size=ROWS.shape)
    scores = detector.anomaly_score(other)
    for some in (slice(7, 8), slice(3, 70), slice(None, None, -1)):
        assert (detector.anomaly_score(other[some]) == scores[some]).all()
    explained = detector.explain(other)
    np.testing.assert_allclose(explained.parts.sum(1) + explained.latent, scores, rtol=1e-12)
    detector.save(tmp_path / "m.tollad")
    assert (TollDetector.load(tmp_path / "m.tollad").anomaly_score(other) == scores).all()


def test_scoring_does_not_import_what_only_a_fit_needs():
    code = "import sys, tollad.detector.estimator; assert 'sklearn.covariance' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
