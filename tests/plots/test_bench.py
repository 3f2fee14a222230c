from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from bench.synthetic import RUN, table_task, table_text
from bench.test_report import OURS, PCA, TABLE, result

from tollad.bench.execute import execute, failed_row
from tollad.bench.report import collect
from tollad.bench.spec import Run
from tollad.bench.tables import parse_table, read_table
from tollad.plots import bench as figures
from tollad.plots.bench import draw_by_beta, draw_collapse_effect, draw_curves, draw_report

pytest.importorskip("matplotlib")

BETAS = parse_table(
    "betas",
    table_text(
        'none = { beta = 0 }\nsome = { beta = 1 }\n"much, of it" = { beta = 10 }',
        '[[methods]]\nname = "Toll"\nrun = {}',
        **RUN | {"steps": 10},
    ),
)


@pytest.fixture(scope="module")
def rows():
    runs = [item for item in BETAS.work() if isinstance(item, Run)]
    done = execute(runs, [table_task()] * len(runs), torch.device("cpu"))
    other = [dataclasses.replace(run, precision="bf16") for run in runs[:3]]
    return [*done, *execute(other, [table_task()] * 3, torch.device("cpu")), failed_row(runs[0], "no memory")]


@pytest.fixture
def drawn(monkeypatch):
    """The axes of the last picture."""
    last = []
    save = figures._save
    monkeypatch.setattr(figures, "_save", lambda figure, axes, *rest: last.append(axes) or save(figure, axes, *rest))
    return last


COLLAPSE = parse_table(
    "collapse",
    """
title = "The term in others"
metric = "f1"
seeds = 3
[run]
protocol = "random_split"
dataset = "arrhythmia"
[cells]
random = { vary = ["seed", "split_seed"] }
[[methods]]
name = "MemAE"
trial = { recipe = "memae" }
[[methods]]
name = "MemAE, beta 1"
trial = { recipe = "memae", collapse = 1.0 }
[[methods]]
name = "Deep SVDD, beta 1"
trial = { recipe = "dsvdd", collapse = 1.0 }
""",
)


def trial_row(name, seed, value):
    method = next(method for method in COLLAPSE.methods if method.name == name)
    item = COLLAPSE.repetition(method, "random", seed)
    values = {"kind": "trial", "identity": item.identity, "run": dataclasses.asdict(item), "error": None}
    return {**values, "last": {"test": value}, "best_validation": None, "metric": "f1"}


def test_the_term_in_other_methods_is_drawn_as_differences_seed_by_seed(tmp_path, monkeypatch):
    figures_drawn = []
    save = figures.save_figure
    monkeypatch.setattr(
        figures, "save_figure", lambda figure, *a, **b: figures_drawn.append(figure) or save(figure, *a, **b)
    )
    without = [trial_row("MemAE", seed, value) for seed, value in ((0, 0.5), (1, 0.6), (2, 0.1))]
    with_it = [trial_row("MemAE, beta 1", seed, value) for seed, value in ((1, 0.7), (0, 0.52))]
    alone = [trial_row("Deep SVDD, beta 1", seed, 0.9) for seed in range(3)]

    draw_collapse_effect([TABLE, COLLAPSE], [*without, *with_it, *alone], tmp_path / "collapse.png")

    assert is_picture(tmp_path / "collapse.png")
    (axes,) = figures_drawn[0].axes
    assert axes.get_title() == "arrhythmia, random"
    assert labels(axes) == ["MemAE"], "Deep SVDD has nothing to compare with"
    dots = next(line for line in axes.get_lines() if line.get_marker() == "o")
    assert sorted(dots.get_ydata()) == pytest.approx([2, 10])
    mean = next(line for line in axes.get_lines() if line.get_marker() == "s")
    assert mean.get_ydata() == pytest.approx([6])
    with pytest.raises(ValueError, match="no method is measured with and without the collapse term"):
        draw_collapse_effect([COLLAPSE], without, tmp_path / "nothing.png")


def labels(axes):
    return axes.get_legend_handles_labels()[1]


def is_picture(path):
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5000


def test_a_table_is_drawn(tmp_path):
    report = collect(TABLE, [result("zero", 0), result("one", 1, method=OURS), result("zero", method=PCA)])
    draw_report(report, tmp_path / "table.png")
    assert is_picture(tmp_path / "table.png")


def test_a_table_without_results_is_drawn(tmp_path):
    draw_report(collect(TABLE, []), tmp_path / "table.png")
    assert is_picture(tmp_path / "table.png")


def test_what_is_drawn_of_a_table(drawn, tmp_path):
    rows = [result("zero", seed, best=best) for seed, best in ((0, 0.8), (1, 0.9))]
    draw_report(collect(TABLE, [*rows, result("zero", method=PCA, last=0.66)]), tmp_path / "table.png")
    (axes,) = drawn
    assert labels(axes) == [
        "quoted methods",
        "Ours, published",
        "Ours, best validation (uses labelled anomalies), float32",
        "Ours, last step (label-free), float32",
        "PCA (label-free)",
    ]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["zero", "one", "Average"]
    values = {line.get_label(): list(line.get_xdata()) for line in axes.get_lines()}
    assert values["Ours, published"] == [80.0, 70.5]
    assert values["Ours, best validation (uses labelled anomalies), float32"] == pytest.approx([85])
    assert values["PCA (label-free)"] == pytest.approx([66])


def test_lines_of_a_table_can_be_told_apart(drawn, tmp_path):
    rows = [result("zero"), result("zero", precision="bf16"), result("zero", method=PCA)]
    draw_report(collect(TABLE, rows), tmp_path / "table.png")
    looks = [
        (line.get_marker(), line.get_color(), line.get_markerfacecolor())
        for line in drawn[0].get_lines()
        if not line.get_label().startswith("_")
    ]
    assert len(looks) == len(set(looks)) == 7


def test_a_table_that_has_not_been_run_shows_what_was_published(drawn, tmp_path):
    draw_report(collect(read_table("table8"), []), tmp_path / "table.png")
    assert labels(drawn[0]) == [f"Toll, {norm}, published" for norm in ("1-norm", "2-norm", "infinity norm")]


def test_beta_is_drawn_with_its_spread_and_recipes_apart(rows, drawn, tmp_path):
    draw_by_beta(BETAS, rows, tmp_path / "picture.png")
    assert is_picture(tmp_path / "picture.png")
    (axes,) = drawn
    assert len(labels(axes)) == 4
    assert labels(axes)[0] == "Toll, float32, best validation (uses labelled anomalies), seeds: 3"
    assert labels(axes)[3] == "Toll, bf16, last step (label-free), seeds: 1"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0", "1", "10"]
    best = axes.containers[0].lines[0].get_ydata()
    expected = [
        np.mean([row["best_validation"]["test"] for row in rows[:9] if row["run"]["beta"] == beta])
        for beta in (0, 1, 10)
    ]
    assert list(best) == pytest.approx([100 * value for value in expected])


def test_long_recipes_stay_inside_the_picture(drawn, tmp_path):
    run = next(item for item in BETAS.work() if isinstance(item, Run))
    other = dataclasses.replace(run, steps=6, batch_size=7, validate_every=3, precision="bf16")
    draw_by_beta(BETAS, execute([other], [table_task()], torch.device("cpu")), tmp_path / "picture.png")
    (label, _), figure = labels(drawn[0]), drawn[0].figure
    assert len(label) > 120
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_many_names_leave_the_axes_their_room(rows, drawn, tmp_path):
    runs = [row for row in rows if row["kind"] == "run"]
    many = [{**row, "run": {**row["run"], "batch_size": size}} for row in runs for size in (5, 6, 7, 8)]
    heights = []
    for shown in (rows, many):
        draw_curves(BETAS, shown, tmp_path / "picture.png")
        drawn[-1].figure.draw_without_rendering()
        heights.append(drawn[-1].get_window_extent().height)
    assert len(labels(drawn[-1])) > len(labels(drawn[0]))
    assert heights[1] == pytest.approx(heights[0], rel=0.1)


def test_curves_are_drawn_with_the_chosen_steps(rows, drawn, tmp_path):
    draw_curves(BETAS, rows, tmp_path / "picture.png", ["some", "much, of it"])
    assert is_picture(tmp_path / "picture.png")
    (axes,) = drawn
    assert labels(axes)[:2] == ["Toll, some, float32, 3 seeds", "Toll, much, of it, float32, 3 seeds"]
    chosen = [row["best_validation"]["step"] for row in rows[:9] if row["run"]["beta"] == 1]
    dots = next(line for line in axes.get_lines() if line.get_marker() == "o")
    assert sorted(dots.get_xdata()) == sorted(chosen)


@pytest.mark.parametrize("draw", [draw_by_beta, draw_curves])
def test_nothing_to_draw_is_said(draw, rows, tmp_path):
    with pytest.raises(ValueError, match="there is no result to draw; run the table first: tollad paper run betas"):
        draw(BETAS, rows[-1:], tmp_path / "picture.png")
    with pytest.raises(ValueError, match="betas has no cell 'nothing'; its cells are none, some"):
        draw(BETAS, rows, tmp_path / "picture.png", ["nothing"])
    assert not list(tmp_path.iterdir())


def test_without_validation_rows_there_is_only_the_last_step(drawn, tmp_path):
    run = next(item for item in BETAS.work() if isinstance(item, Run))
    found = execute([run], [table_task(validates=False)], torch.device("cpu"))
    draw_by_beta(BETAS, found, tmp_path / "picture.png")
    assert labels(drawn[0]) == ["Toll, float32, last step (label-free), seeds: 1"]
    with pytest.raises(ValueError, match="there is no validation curve of betas"):
        draw_curves(BETAS, found, tmp_path / "curves.png")


def test_an_unknown_format_is_refused_before_drawing(tmp_path):
    with pytest.raises(ValueError, match="cannot tell the format from the ending"):
        draw_report(collect(TABLE, []), tmp_path / "table.xyz")
