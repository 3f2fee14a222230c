from __future__ import annotations

import made
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import rankdata, spearmanr
from sklearn.ensemble import IsolationForest as Reference
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import KernelDensity
from sklearn.svm import OneClassSVM

from tollad.methods import KDE, OCSVM, IsolationForest
from tollad.methods.classical import average_path, log_density


def test_oc_svm_is_that_of_scikit_learn():
    rows, others = made.rows(60), made.rows(20, seed=1)

    scores = OCSVM(nu=0.2, gamma=0.03).fit(rows).anomaly_score(others)

    np.testing.assert_allclose(scores, -OneClassSVM(nu=0.2, gamma=0.03).fit(rows).decision_function(others), atol=2e-3)


def test_the_default_gamma_needs_no_label():
    rows = made.rows(60)

    scores = OCSVM().fit(rows).anomaly_score(rows)

    np.testing.assert_allclose(scores, -OneClassSVM(nu=0.1, gamma="scale").fit(rows).decision_function(rows), atol=2e-3)


def test_nu_bounds_the_share_outside():
    rows = made.rows(200)
    method = OCSVM(nu=0.3, gamma=0.05).fit(rows)

    outside = (method.anomaly_score(rows) > 1e-4).mean()

    assert outside <= 0.3 <= len(method.state()["fitted.vectors"]) / 200


def test_with_nu_near_1_oc_svm_ranks_as_the_density():
    """All alpha are 1 / n then: the same kernel sum, with gamma = 1 / (2 h^2). At nu = 1 libsvm finds no rho."""
    rows, others = made.rows(50), made.rows(30, seed=1)

    svm = OCSVM(nu=0.9999, gamma=1 / (2 * 3.0**2)).fit(rows).anomaly_score(others)
    density = KDE(bandwidth=3.0).fit(rows).anomaly_score(others)

    assert (rankdata(svm) == rankdata(density)).all()


def test_the_density_is_that_of_scikit_learn_and_survives_many_dimensions():
    rows, others = made.rows(40), made.rows(20, seed=1)
    reference = KernelDensity(bandwidth=0.7).fit(rows)
    np.testing.assert_allclose(KDE(bandwidth=0.7).fit(rows).anomaly_score(others), -reference.score_samples(others))

    wide = np.random.default_rng(0).normal(size=(30, 784))
    assert np.isfinite(KDE(bandwidth=0.1).fit(wide).anomaly_score(100 * wide)).all()


def test_the_density_integrates_to_one():
    rows, grid = np.array([[-1.0], [0.5], [2.0]]), np.linspace(-9, 9, 4001)[:, None]

    density = np.exp(-KDE(bandwidth=0.4).fit(rows).anomaly_score(grid))

    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1)


def test_a_wide_kernel_ranks_by_the_mean_and_a_narrow_one_by_the_nearest_row():
    rows, others = made.rows(40), made.rows(25, seed=1)
    nearest = np.linalg.norm(others[:, None] - rows, axis=2).min(1)

    assert (rankdata(KDE(bandwidth=1e4).fit(rows).anomaly_score(others)) == rankdata(_to_mean(rows, others))).all()
    assert (rankdata(KDE(bandwidth=1e-2).fit(rows).anomaly_score(others)) == rankdata(nearest)).all()
    np.testing.assert_allclose(KDE(bandwidth="mean").fit(rows).anomaly_score(others), _to_mean(rows, others))


def _to_mean(rows, others):
    return np.linalg.norm(others - rows.mean(0), axis=1)


def test_the_likeliest_bandwidth_is_taken():
    rows = np.random.default_rng(0).normal(size=(100, 2))
    chosen = float(KDE().fit(rows).state()["fitted.bandwidth"])

    def likelihood(width):
        folds = np.array_split(np.arange(100), 5)
        others = [np.delete(rows, fold, 0) for fold in folds]
        return sum(
            log_density(((rows[f][:, None] - o) ** 2).sum(2), width, 2).sum()
            for f, o in zip(folds, others, strict=True)
        )

    assert chosen == max(KDE().bandwidths, key=likelihood)
    with pytest.raises(ValueError, match="needs 5 rows, not 4"):
        KDE().fit(rows[:4])


def test_the_forest_is_that_of_scikit_learn():
    rows, others = made.rows(300), made.rows(50, seed=1)

    scores = IsolationForest(n_trees=20, seed=3).fit(rows).anomaly_score(others)

    reference = Reference(n_estimators=20, max_samples=256, random_state=3).fit(rows)
    np.testing.assert_allclose(scores, -reference.score_samples(others), rtol=1e-12)


def test_a_row_far_away_is_alone_at_once_and_uniform_rows_score_a_half():
    rows = np.random.default_rng(0).uniform(size=(500, 3))
    far = np.vstack([rows, [[50.0, 50.0, 50.0]]])

    method = IsolationForest(n_trees=80, n_rows=501).fit(far)

    assert method.anomaly_score(far)[-1] > 0.85
    assert method.anomaly_score(rows).mean() == pytest.approx(0.5, abs=0.07)
    assert average_path(np.array([1, 2])).tolist() == [0, 1]


def test_oc_svm_is_the_smallest_ball_around_the_rows():
    """Of kernels of one size on the diagonal the duals of OC-SVM and SVDD are one; here SVDD's is solved apart."""
    rows, nu, gamma = made.rows(20), 0.3, 0.05
    kernel = rbf_kernel(rows, gamma=gamma)
    found = minimize(
        lambda a: a @ kernel @ a - a @ kernel.diagonal(),
        np.full(20, 1 / 20),
        jac=lambda a: 2 * kernel @ a - kernel.diagonal(),
        bounds=[(0, 1 / (nu * 20))] * 20,
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    others = made.rows(30, seed=1)
    to_centre = 1 - 2 * rbf_kernel(others, rows, gamma=gamma) @ found.x

    scores = OCSVM(nu=nu, gamma=gamma).fit(rows).anomaly_score(others)

    assert np.corrcoef(scores, to_centre)[0, 1] > 1 - 1e-5


def test_a_wide_kernel_of_oc_svm_at_a_large_nu_ranks_by_the_mean():
    rows, others = made.rows(40), made.rows(25, seed=1)
    distance = np.linalg.norm(others - rows.mean(0), axis=1)

    scores = OCSVM(nu=0.99, gamma=1e-5).fit(rows).anomaly_score(others)

    assert spearmanr(scores, distance).statistic > 0.98
