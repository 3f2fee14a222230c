"""Laws of tollad.plots: a whole picture or none, of any scores, in any known format; sparing matplotlib's state."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tollad.plots import picture_format, score_distributions

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


@pytest.mark.parametrize("name", ["scores", "scores.csv", "scores.png.", "png"])
def test_unknown_endings_list_the_known_ones(name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(name)}: .* the known ones are .*pdf, .*png, .*svg"):
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


def test_pyplot_and_its_global_state_are_never_loaded() -> None:
    code = (
        "import sys, tollad.plots as p; assert 'matplotlib' not in sys.modules; p.picture_format('a.png');"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
