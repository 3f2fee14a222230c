from __future__ import annotations

import pytest
from bench.synthetic import table_run, table_task
from bench.test_report import OURS, PCA, TABLE, result

from tollad.bench.execute import execute, failed_row
from tollad.bench.figures import draw_by_beta, draw_curves, draw_report
from tollad.bench.report import collect

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def rows():
    import torch

    runs = [table_run(seed=seed, beta=beta) for seed in range(2) for beta in (0, 1, 10)]
    return [*execute(runs, [table_task()] * 6, torch.device("cpu")), failed_row(table_run(seed=9), "no memory")]


def is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_a_table_is_drawn(tmp_path):
    report = collect(TABLE, [result("zero", 0), result("one", 1, method=OURS), result("zero", method=PCA)])
    draw_report(report, tmp_path / "table.png")
    assert is_picture(tmp_path / "table.png")


def test_a_table_without_results_is_drawn(tmp_path):
    draw_report(collect(TABLE, []), tmp_path / "table.png")
    assert is_picture(tmp_path / "table.png")


def test_beta_and_curves_are_drawn(rows, tmp_path):
    for draw in (draw_by_beta, draw_curves):
        draw(rows, tmp_path / "picture.png")
        assert is_picture(tmp_path / "picture.png")


@pytest.mark.parametrize("draw", [draw_by_beta, draw_curves])
def test_nothing_to_draw_is_said(draw, tmp_path):
    with pytest.raises(ValueError, match="tollad paper run"):
        draw([failed_row(table_run(), "no memory")], tmp_path / "picture.png")
    assert not list(tmp_path.iterdir())


def test_an_unknown_format_is_refused_before_drawing(tmp_path):
    with pytest.raises(ValueError, match="cannot tell the format from the ending"):
        draw_report(collect(TABLE, []), tmp_path / "table.xyz")
