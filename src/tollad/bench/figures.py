"""Pictures of results. matplotlib, the extra `plot`, is imported when the first is drawn."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from tollad import files, plots
from tollad.bench.report import SELECTIONS, Report, work_of
from tollad.bench.results import Row
from tollad.bench.spec import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Blue, vermilion, green, purple, orange and sky blue of Okabe and Ito: told apart with any colour vision.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_PUBLISHED, _OTHERS = "#333333", "#BBBBBB"
_SELECTED = {"best_validation": "o", "last": "s"}
_DOTS = 150


def draw_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Draw a table: what was published of each measured method, and what was measured, cell by cell.

    Methods that are only quoted are grey ticks. Bars are standard deviations.

    Parameters
    ----------
    report : Report
    path : path
        The picture; its ending tells the format.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the format is unknown.
    OSError
        If the file cannot be written.
    """
    cells = report.columns
    figure, axes = _new_figure(path, max(6.4, 0.75 * len(cells) + 3))
    ours = list(dict.fromkeys(line.method for line in report.lines if line.what != "published"))
    lines = [line for line in report.lines if line.what != "difference"]
    quoted = [line for line in lines if line.method not in ours]
    shown = [line for line in lines if line.method in ours]
    for number, line in enumerate(quoted):
        x = [cells.index(cell) for cell in line.values]
        y = [value.mean for value in line.values.values()]
        axes.plot(x, y, "_", color=_OTHERS, markersize=14, label="quoted methods" if number == 0 else None)
    for number, line in enumerate(shown):
        offset = 0.5 * ((number + 0.5) / len(shown) - 0.5)
        colour = _PUBLISHED if line.what == "published" else _COLOURS[ours.index(line.method) % len(_COLOURS)]
        axes.errorbar(
            [cells.index(cell) + offset for cell in line.values],
            [value.mean for value in line.values.values()],
            [value.std or 0.0 for value in line.values.values()],
            fmt=_SELECTED.get(line.what, "D"),
            color=colour,
            markerfacecolor="white" if line.what == "last" else colour,
            markersize=5,
            label=", ".join(part for part in (line.method, SELECTIONS.get(line.what, line.what), line.recipe) if part),
        )
    axes.set_xticks(range(len(cells)), cells, rotation=45 if max(map(len, cells)) > 4 else 0, ha="center")
    axes.set_ylabel("AUROC (%)" if report.table.metric == "auroc" else "F1 (%)")
    axes.set_title(report.table.title, loc="left")
    _legend_below(figure, axes)
    _save(figure, path)


def draw_by_beta(rows: Iterable[Row], path: str | os.PathLike[str]) -> None:
    """Draw Figure 4: the metric against beta, by both selections; means and standard deviations over the seeds.

    Parameters
    ----------
    rows : iterable of rows
        Of runs of one recipe that differ in beta and seed.
    path : path

    Raises
    ------
    ImportError, ValueError, OSError
        As of `draw_report`; ValueError also if there is no row.
    """
    found: dict[float, list[Row]] = {}
    for row in rows:
        if row["error"] is None and row["kind"] == "run":
            found.setdefault(row["run"]["beta"], []).append(row)
    if not found:
        raise ValueError("there is no result to draw; run the figure first: tollad paper run figure4")
    figure, axes = _new_figure(path, 6.4)
    betas = sorted(found)
    for (selection, name), colour in zip(SELECTIONS.items(), _COLOURS, strict=False):
        values = [[100 * r[selection]["test"] for r in found[beta] if r[selection] is not None] for beta in betas]
        drawn = [(beta, np.mean(v), np.std(v)) for beta, v in zip(betas, values, strict=True) if v]
        if drawn:
            x, mean, std = zip(*drawn, strict=True)
            axes.errorbar(x, mean, std, marker=_SELECTED[selection], color=colour, capsize=3, label=name)
    # Beta = 0 belongs into the picture, so the axis is linear below the smallest positive value.
    smallest = min((beta for beta in betas if beta > 0), default=1.0)
    axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    axes.set_xticks(betas, [f"{beta:g}" for beta in betas], rotation=45)
    axes.minorticks_off()
    seeds = sorted({len(v) for v in found.values()})
    axes.set_xlabel("beta")
    axes.set_ylabel("AUROC (%)")
    axes.set_title(f"MNIST, digit 8, {'-'.join(map(str, seeds))} seeds", loc="left")
    _legend_below(figure, axes)
    _save(figure, path)


def draw_curves(rows: Iterable[Row], path: str | os.PathLike[str]) -> None:
    """Draw the validation metric of each run against the step, and a mark where the best one was chosen.

    Runs that differ in the seed only have one colour.

    Parameters
    ----------
    rows : iterable of rows
    path : path

    Raises
    ------
    ImportError, ValueError, OSError
        As of `draw_report`; ValueError also if no row has a curve.
    """
    curves = [row for row in rows if row["error"] is None and row.get("curve") and row["curve"]["validation"]]
    if not curves:
        raise ValueError("there is no validation curve to draw; run the table first: tollad paper run TABLE")
    figure, axes = _new_figure(path, 8.0)
    colours: dict[str, str] = {}
    for row in curves:
        run = work_of(row)
        assert isinstance(run, Run)
        name = str(run).rpartition(", seed")[0] + f", {run.precision}"
        label = None if name in colours else name
        colour = colours.setdefault(name, _COLOURS[len(colours) % len(_COLOURS)])
        values = 100 * np.array(row["curve"]["validation"])
        axes.plot(row["curve"]["step"], values, color=colour, linewidth=1, label=label)
        best = row["best_validation"]
        axes.plot(best["step"], 100 * best["validation"], "o", color=colour, markersize=5)
    axes.set_xlabel("step")
    axes.set_ylabel("validation, " + ("AUROC (%)" if curves[0]["metric"] == "auroc" else "F1 (%)"))
    _legend_below(figure, axes)
    _save(figure, path)


def _legend_below(figure: Figure, axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize="small")


def _new_figure(path: str | os.PathLike[str], width: float) -> tuple[Figure, Axes]:
    plots.picture_format(path)  # refuses a name that could not be written in the end, and says if matplotlib is missing
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    picture = plots.picture_format(path)
    with files.atomic_write(path) as file:
        figure.savefig(file, format=picture, dpi=_DOTS)
