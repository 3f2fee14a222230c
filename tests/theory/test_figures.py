"""Figure 2 and the collapse, as numbers and as pictures, and the page that shows them."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from theory.problems import covariance, problem, seeds

from tollad import theory
from tollad.plots import theory as pictures
from tollad.theory import (
    collapse,
    figure2,
    figures,
    power_law,
    weighted_score,
)

pytestmark = pytest.mark.usefixtures("global_random_states_stay")
PAGE = Path(__file__).parents[2] / "docs" / "theory.md"


@pytest.fixture(scope="module")
def result() -> theory.Figure2:
    return figure2(n_starts=3, n_queries=1000)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: weighted_score([[1.0, 1.0]], [[1.0], [1.0]], [1.0, 2.0], 0.5), "X must be a matrix"),
        (lambda: weighted_score([[1.0, 1.0]], [[1.0]], [[1.0], [2.0]], 0.5), r"expected .* X \(m, n\), not"),
        (lambda: weighted_score([[1.0, 1.0]], [[1.0], [1.0]], [[1.0], [2.0]], 2.0), r"beta must be in \[0, 1\]"),
        (lambda: weighted_score(np.ones((2, 1, 1)), [[1.0]], [[1.0]], np.ones(3)), "must broadcast"),
        (lambda: power_law(1.0, 0.0, 1.0), "beta must be positive"),
        (lambda: power_law([1.0, 2.0], [1.0, 2.0, 3.0], 1.0), r"must broadcast, not \(2,\), \(3,\), \(\)"),
        (lambda: collapse(1.0), r"times must be a sequence of at least one number, not of shape \(\)"),
        (lambda: collapse([1.0], []), r"betas must be a sequence of at least one number, not of shape \(0,\)"),
        (lambda: figure2(n_queries=1), "n_queries must be at least 2"),
        (lambda: figure2(n_starts=0), "n_starts at least 1"),
    ],
)
def test_bad_arguments_of_the_rest(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


class TestFigure2:
    def test_scores_are_the_ones_of_the_method(self) -> None:
        x, W1, W2 = np.array([[3.0], [4.0]]), np.array([[1.0, 0.0]]), np.array([[0.5], [0.0]])
        assert weighted_score(W1, W2, x, 0.25) == pytest.approx(0.75 * np.hypot(1.5, 4) + 0.25 * 3)
        assert weighted_score(W1, W2, x, 0.25, squared=True) == pytest.approx(0.75 * (1.5**2 + 16) + 0.25 * 9)

    @given(seed=seeds, scale=st.sampled_from([0.01, 3.0, 100.0]))
    def test_scores_are_proportional_to_the_size_of_a_sample(self, seed: int, scale: float) -> None:
        """So that the spread of the queries is of no account."""
        W1, W2, X = problem(seed)
        scores = weighted_score(W1, W2, X, 0.3)
        np.testing.assert_allclose(weighted_score(W1, W2, scale * X, 0.3), scale * scores, rtol=1e-12)

    def test_shapes(self, result: theory.Figure2) -> None:
        assert result.points.shape == (2, 1000)
        assert result.times.tolist() == [5, 50, 1000]
        assert result.encoders.shape == (3, 3, 50, 1, 2)
        assert result.decoders.shape == (3, 3, 50, 2, 1)
        assert result.correlations.shape == (2, 3, 3, 50)
        assert result.best.shape == (2, 3)

    def test_a_good_beta_recovers_the_density(self, result: theory.Figure2) -> None:
        medians = np.median(result.correlations, axis=2)
        assert np.all(medians.max(axis=-1) > 0.95)
        assert np.all(medians[:, :, 0] < 0.7)

    def test_the_best_beta_grows_with_time(self, result: theory.Figure2) -> None:
        assert np.all(np.diff(result.betas[result.best], axis=-1) > 0.05)

    def test_weights_are_those_of_the_weighted_loss(self, result: theory.Figure2) -> None:
        """Gradient descent on ``(1 - beta) reconstruction + beta norm`` gets there as well."""
        generator = np.random.default_rng(0)
        generator.normal(size=(2, 1000))
        generator.normal(size=(2, 1000))
        A, B = (generator.normal(0, 0.1, (3, *shape))[0] for shape in ((1, 2), (2, 1)))
        beta, S, n_steps = result.betas[20], covariance(result.points), 10_000
        for _ in range(n_steps):
            missing = (1 - beta) * (np.eye(2) - B @ A) @ S
            A, B = A + 5 / n_steps * (B.T @ missing - beta * A @ S), B + 5 / n_steps * missing @ A.T
        np.testing.assert_allclose(result.encoders[0, 0, 20], A, atol=1e-3)
        np.testing.assert_allclose(result.decoders[0, 0, 20], B, atol=1e-3)

    def test_correlations_are_spearmans(self, result: theory.Figure2) -> None:
        from scipy.stats import spearmanr

        scores = np.random.default_rng(0).integers(0, 9, (4, 30)).astype(float)  # with ties
        distances = np.random.default_rng(1).normal(size=30)
        expected = [spearmanr(row, distances).statistic for row in scores]
        np.testing.assert_allclose(figures._rank_correlations(scores, distances), expected, rtol=1e-12)

    def test_is_a_function_of_the_seed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(figures, "_FIGURE2_TIMES", np.array([1.0]))
        one, again, other = (figure2(n_starts=1, n_queries=50, n_points=50, seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(one.correlations, again.correlations)
        assert not np.array_equal(one.correlations, other.correlations)

    def test_is_drawn(self, result: theory.Figure2, tmp_path: Path) -> None:
        pictures.draw_figure2(result, tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
        assert [path.name for path in tmp_path.iterdir()] == ["a.png"]

    def test_says_what_it_shows(self, result: theory.Figure2, tmp_path: Path) -> None:
        pictures.draw_figure2(result, tmp_path / "a.svg")
        text = (tmp_path / "a.svg").read_text("utf-8")
        for words in ("no latent term", "equation (3)", "of 3 starts", "T = 1000"):
            assert f"<!-- {words} -->" in text
        with pytest.raises(FileExistsError, match=r"a\.svg already exists"):
            pictures.draw_figure2(result, tmp_path / "a.svg", overwrite=False)

    def test_without_matplotlib_the_error_names_the_extra(
        self, result: theory.Figure2, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
        with pytest.raises(ImportError, match=r"pip install 'tollad\[plot\]'"):
            pictures.draw_figure2(result, tmp_path / "a.png")
        assert not list(tmp_path.iterdir())


def test_the_collapse_is_drawn(tmp_path: Path) -> None:
    result = collapse(np.geomspace(0.1, 10, 30))
    assert result.encoders.shape == result.decoders.shape == result.errors.shape == result.tilts.shape == (30, 4)
    pictures.draw_collapse(result, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text("utf-8")
    for words in ("encoder", "decoder", "tilt of the decoder", "training time t"):
        assert f"<!-- {words} -->" in text


def test_power_laws_are_drawn_where_they_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For large times: before beta / 16, by the law, more would be lacking than there is."""
    drawn, new = [], pictures.new_figure
    monkeypatch.setattr(pictures, "new_figure", lambda *size: drawn.append(new(*size)) or drawn[-1])
    result = collapse(np.geomspace(0.1, 10, 30), [0.1, 10.0])
    pictures.draw_collapse(result, tmp_path / "a.png")
    norms, errors, _ = ([line for line in axes.lines if line.get_linestyle() == ":"] for axes in drawn[0].axes)
    shown = [result.times[result.times > beta / 16].tolist() for beta in result.betas]
    assert [line.get_xdata().tolist() for line in errors] == shown
    assert [line.get_xdata().tolist() for line in norms[::2]] == [line.get_xdata().tolist() for line in norms[1::2]]
    assert [line.get_xdata().tolist() for line in norms[::2]] == shown
    assert all(line.get_ydata().max() < 1 for line in errors)


def test_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, tollad.theory, tollad.plots.theory; assert not {'torch', 'matplotlib'} & sys.modules.keys();"
        "tollad.theory.encoder_flow([[1.0]], [[1.0]], 1.0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_the_page_runs_and_prints_what_it_says() -> None:
    result = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


def test_the_pictures_of_the_page_are_there() -> None:
    names = re.findall(r"!\[.*?\]\((.*?)\)", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert names
    assert all((PAGE.parent / name).is_file() for name in names)
