"""Laws of tollad.plots: a whole picture or none, of any scores, in any known format; sparing matplotlib's state."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tollad.detector.explain import Explanation
from tollad.plots import part_map, picture_format, reason_bars, score_distributions, two_term_map

MAGIC = {"a.png": b"\x89PNG", "a.PDF": b"%PDF", "a.svg": b"<?xml"}


@pytest.mark.parametrize(("name", "magic"), MAGIC.items())
def test_the_ending_decides_the_format(tmp_path: Path, name: str, magic: bytes) -> None:
    score_distributions([1.0, 2.0], [3.0], 2.5, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(magic)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [([1.0], 1.0), ([0.0, 0.0], 0.0), ([0.0, 1e-300, 5.0], -1.0), ([1e-3, 2.0, 1e4], 0.0), ([0.5, 50.0], 1e6)],
)
def test_any_finite_scores_are_drawn(tmp_path: Path, scores: list[float], threshold: float) -> None:
    score_distributions(scores, scores, threshold, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text("utf-8")
    # SVG keeps the texts as comments beside their outlines.
    for words in (f"threshold {threshold:.3g}", f"normal rows ({len(scores)})", "AUROC 0.500", "anomaly score"):
        assert f"<!-- {words} -->" in text


def test_the_axis_is_logarithmic_when_scores_span_decades(tmp_path: Path) -> None:
    score_distributions([0.1, 1.0], [1000.0], 2.0, tmp_path / "wide.svg")
    score_distributions([2.0, 3.0], [10.0], 4.0, tmp_path / "narrow.svg")
    assert "<!-- 1000 -->" in (tmp_path / "wide.svg").read_text("utf-8")
    assert "<!-- 9 -->" in (tmp_path / "narrow.svg").read_text("utf-8")


def explained(parts: np.ndarray, latent: float = 0.5, names: tuple[str, ...] = ()) -> Explanation:
    """An explanation of rows that are all 3 where 41 was expected."""
    n, scores = len(parts), parts.reshape(len(parts), -1).sum(1) + latent
    names = names or tuple(f"x{j + 1}" for j in range(parts.shape[1]))
    return Explanation(names, scores, parts, np.full(n, latent), np.full(parts.shape, 3.0), np.full(parts.shape, 41.0))


def texts(path: Path) -> str:
    """Return the texts of an SVG, which are comments beside their outlines."""
    return "\n".join(re.findall("<!-- (.*) -->", path.read_text("utf-8")))


class TestReasonBars:
    def test_are_the_largest_parts_the_rest_and_the_latent(self, tmp_path: Path) -> None:
        reason_bars(explained(np.array([[0.0, 1, 4, 2, 2.5]])), 0, tmp_path / "a.svg", title="row 7 of x.csv", most=2)
        shown = texts(tmp_path / "a.svg")
        assert "row 7 of x.csv: score 10" in shown
        order = [
            "x3: 3, expected about 41",
            "x5: 3, expected about 41",
            "2 other columns",
            "latent: the row as a whole",
        ]
        assert [line for line in shown.splitlines() if line in order] == order
        for share in ("40 %", "25 %", "30 %", "5 %"):
            assert share in shown
        assert "x4" not in shown

    @pytest.mark.parametrize("parts", [[[0.0, 0.0]], [[1e-300, 1e300]], [[5.0]]])
    def test_any_parts_are_drawn(self, tmp_path: Path, parts: list[list[float]]) -> None:
        reason_bars(explained(np.array(parts), latent=0.0), 0, tmp_path / "a.png")
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")

    def test_names_are_no_formulas_and_leave_room(self, tmp_path: Path) -> None:
        names = ("price in $", "a" * 500, "$\\frac$")
        reason_bars(explained(np.array([[3.0, 2, 1]]), names=names), 0, tmp_path / "a.svg", title="$x$")
        shown = texts(tmp_path / "a.svg")
        assert "price in $: 3, expected about 41" in shown.replace("\\$", "$")
        assert "a" * 77 + "..." in shown

    def test_are_for_tables(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="draw the parts of images and series with part_map"):
            reason_bars(explained(np.ones((1, 2, 3))), 0, tmp_path / "a.png")


class TestPartMap:
    @pytest.mark.parametrize("shape", [(8, 9), (1, 8, 9), (2, 8, 9), (3, 8, 9), (2, 40), (40, 2), (1, 1)])
    def test_images_and_series_of_any_shape(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        parts = np.random.default_rng(0).random((2, *shape))
        part_map(explained(parts), 1, tmp_path / "a.svg", title="row 2 of x.npy")
        shown = texts(tmp_path / "a.svg")
        score = parts[1].sum() + 0.5
        assert f"row 2 of x.npy: score {score:.3g}, of which {50 / score:.0f} % is the latent part" in shown
        for words in ("seen", "expected", "part of the anomaly score"):
            assert words in shown
        assert ("x2" in shown) == (shape == (2, 40))

    def test_is_not_for_tables(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="draw the parts of a row of a table with reason_bars"):
            part_map(explained(np.ones((1, 3))), 0, tmp_path / "a.png")


class TestTwoTermMap:
    @pytest.mark.parametrize(
        ("threshold", "latent", "spread"),
        [(2.0, 0.0, 1.0), (2.0, 0.5, 1e4), (0.0, 0.5, 1.0), (0.0, 0.0, 1e4), (-1.0, 0.5, 1e4), (1e9, 0.5, 1.0)],
    )
    def test_any_rows_and_threshold(self, tmp_path: Path, threshold: float, latent: float, spread: float) -> None:
        parts = np.linspace(1, spread, 30).reshape(10, 3)
        two_term_map(explained(parts, latent), np.arange(10) > 7, threshold, tmp_path / "a.svg")
        shown = texts(tmp_path / "a.svg")
        assert "normal rows (8)" in shown
        assert "anomalies (2)" in shown

    def test_lines_of_equal_score(self, tmp_path: Path) -> None:
        two_term_map(explained(np.linspace(1, 9, 10)[:, None]), np.zeros(10, bool), 3.0, tmp_path / "a.svg")
        shown = texts(tmp_path / "a.svg").splitlines()
        assert "threshold 3" in shown
        assert {"1.5", "6"} <= {*shown}
        assert "24" not in shown

    def test_needs_a_truth_for_each_row(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=r"anomalous has shape \(2,\); it needs one value for each"):
            two_term_map(explained(np.ones((3, 2))), [True, False], 1.0, tmp_path / "a.png")


@pytest.mark.parametrize("name", ["scores", "scores.csv", "scores.png.", "png", "scores.pgf", "scores.jpg"])
def test_unknown_endings_list_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(name)}: .* the known ones are \.png, \.pdf, \.svg$"):
        picture_format(name)


@pytest.mark.parametrize(("normals", "anomalies"), [([], [1.0]), ([1.0], []), ([np.nan], [1.0]), ([1.0], [np.inf])])
def test_without_two_groups_of_finite_scores_nothing_is_drawn(
    tmp_path: Path, normals: list[float], anomalies: list[float]
) -> None:
    with pytest.raises(ValueError, match="finite scores of both"):
        score_distributions(normals, anomalies, 1.0, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_an_existing_picture_is_kept_unless_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"a\.png already exists"):
        score_distributions([1.0], [2.0], 1.5, path, overwrite=False)
    assert path.read_bytes() == b"mine"


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'tollad\[plot\]'"):
        score_distributions([1.0], [2.0], 1.5, tmp_path / "a.png")


@pytest.mark.slow
def test_pyplot_and_its_global_state_are_never_loaded() -> None:
    code = (
        "import sys, tollad.plots as p; assert 'matplotlib' not in sys.modules; p.picture_format('a.png');"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
