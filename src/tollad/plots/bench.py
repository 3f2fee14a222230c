"""Pictures of benchmark results. matplotlib, the extra `plot`, is imported when the first is drawn."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tollad.bench.report import SELECTIONS, Group, Line, Report, groups, value_of
from tollad.bench.results import Row
from tollad.bench.spec import role_of
from tollad.bench.tables import Table, TableMethod
from tollad.plots.style import COLOURS, INK, new_figure, picture_format, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GREY, _PALE, _BAND = "#767676", "#BBBBBB", "#F4F4F4"
_SELECTED = {"best_validation": "o", "last": "s"}
_BASELINES = ("v", "^", "<", ">", "X", "P")
_STYLES = ("-", "--", ":")
# Inches that each name of the legend, and each of its lines, adds to the height.
_WIDTH, _HEIGHT = 8.0, 4.3
_NAME, _LINE = 0.06, 0.14
_LEGEND_CHARACTERS = 110  # characters that fit in a line of the legend
_METRICS = {"auroc": "AUROC (%)", "f1": "F1 (%)"}

# Markers of means: another one for each round through the colours.
_MEANS = "s^v"


def draw_report(report: Report, path: str | os.PathLike[str]) -> None:
    """Draw a table cell by cell: published and measured values of each method.

    In each cell, methods that are only quoted are grey ticks at the top, measured methods are in the middle, with bars
    of a standard deviation, and baselines are at the bottom.

    Parameters
    ----------
    report : Report
    path : path
        The picture; its ending determines the format.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the format is unknown.
    OSError
        If the file cannot be written.
    """
    cells, table = report.columns, report.table
    measured = {method.name for method in table.methods if method.is_measured}
    trained = {method.name for method in table.methods if method.role == "own"}
    quoted = [line for line in report.lines if line.method not in measured]
    shown = [line for line in report.lines if line.method in trained and line.what != "difference"]
    baselines = [line for line in report.lines if line.method in measured - trained]
    n_rows = bool(quoted) + len(shown) + bool(baselines)
    figure, axes = _new_figure(path, 1.2 + len(cells) * (0.25 + 0.07 * n_rows))
    for cell in range(0, len(cells), 2):
        axes.axhspan(cell - 0.5, cell + 0.5, color=_BAND, zorder=0)
    # Vertical position within a cell: quoted methods at the top, baselines at the bottom, others between.
    offsets = iter(np.linspace(-0.45, 0.45, 2 * n_rows + 1)[1::2].tolist())

    def draw(line: Line, offset: float, label: str | None, *, spread: bool = False, **style: Any) -> None:
        values = line.values.values()
        x, y = [value.mean for value in values], [cells.index(cell) + offset for cell in line.values]
        if spread:
            axes.errorbar(x, y, xerr=[value.std or 0.0 for value in values], linestyle="none", color=style["color"])
        axes.plot(x, y, linestyle="none", label=label, **style)

    if quoted:
        offset = next(offsets)
        for number, line in enumerate(quoted):
            draw(line, offset, None if number else "quoted methods", color=_PALE, marker="|", markersize=8)
    for line, style in zip(shown, _markers(shown), strict=True):
        parts = (line.method, SELECTIONS.get(line.what, line.what), line.recipe)
        draw(line, next(offsets), ", ".join(filter(None, parts)), spread=True, markersize=5, **style)
    if baselines:
        offset = next(offsets)
        for line, marker in zip(baselines, cycle(_BASELINES), strict=False):
            draw(line, offset, f"{line.method} (label-free)", color=_GREY, marker=marker, markersize=5, mew=0)
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_yticks(range(len(cells)), cells)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(_METRICS.get(table.metric, table.metric))
    _save(figure, axes, table.title, path)


def _markers(lines: Sequence[Line]) -> Iterator[dict[str, str]]:
    """Marker and colour of each line. Published values have the colour of the first recipe of their method."""
    names = list(dict.fromkeys((line.method, line.recipe) for line in lines if line.recipe))
    methods = list(dict.fromkeys(line.method for line in lines))
    names += [(method, "") for method in methods if method not in {name for name, _ in names}]
    colours = dict(zip(names, cycle(COLOURS), strict=False))
    for line in lines:
        if line.what == "published":
            first = next(colour for (method, _), colour in colours.items() if method == line.method)
            yield {"color": first if len(methods) > 1 else INK, "marker": "D"}
        else:
            colour = colours[line.method, line.recipe]
            face = colour if line.what == "best_validation" else "white"
            yield {"color": colour, "marker": _SELECTED[line.what], "markerfacecolor": face}


def draw_by_beta(
    table: Table, rows: Iterable[Row], path: str | os.PathLike[str], normal: Sequence[str] | None = None
) -> None:
    """Draw Figure 4: the metric against beta, by both selections; means and standard deviations over the seeds.

    Parameters
    ----------
    table : Table
        Its cells differ in beta. Each method and recipe has a line of its own.
    rows : iterable of rows
    path : path
    normal : sequence of str, optional
        Cells, by their names or normal class; by default all.

    Raises
    ------
    ImportError, ValueError, OSError
        As in `draw_report`; ValueError also if there is no result or no such cell.
    """
    if len({cell.values.get("beta") for cell in table.cells.values()}) < 2:
        raise ValueError(f"{table.name} has no two betas to draw a curve over; choose a table like figure4")
    found = _found(table, rows, normal)
    figure, axes = _new_figure(path, _HEIGHT)
    betas: set[float] = set()
    names = list(dict.fromkeys((group.method, group.recipe) for group in found))
    for name, colour in zip(names, cycle(COLOURS), strict=False):
        own = sorted((g for g in found if (g.method, g.recipe) == name), key=_beta_of)
        betas |= set(map(_beta_of, own))
        for selection, explained in SELECTIONS.items():
            if own[0].rows[0][selection] is None:
                continue
            values = [[100 * row[selection]["test"] for row in group.rows] for group in own]
            filled = selection == "best_validation"
            axes.errorbar(
                list(map(_beta_of, own)),
                [float(np.mean(v)) for v in values],
                [float(np.std(v)) for v in values],
                marker=_SELECTED[selection],
                markerfacecolor=colour if filled else "white",
                linestyle="-" if filled else "--",
                color=colour,
                capsize=3,
                label=", ".join([*name, explained, f"seeds: {_counts(own)}"]),
            )
    # The axis is linear below the smallest positive beta, so that beta = 0 can be shown.
    smallest = min((beta for beta in betas if beta > 0), default=1.0)
    axes.set_xscale("symlog", linthresh=smallest, linscale=0.5)
    axes.set_xticks(sorted(betas), [f"{beta:g}" for beta in sorted(betas)])
    axes.minorticks_off()
    axes.set_xlabel("$\\beta$")
    axes.set_ylabel(_METRICS.get(table.metric, table.metric))
    _save(figure, axes, table.title, path)


def draw_curves(
    table: Table, rows: Iterable[Row], path: str | os.PathLike[str], normal: Sequence[str] | None = None
) -> None:
    """Draw the validation metric against the step, and a dot where the best one was chosen.

    Runs that differ only in the seed share a colour: a thin line for each, and a thick one for their mean.

    Parameters
    ----------
    table, rows, path, normal
        As in `draw_by_beta`.

    Raises
    ------
    ImportError, ValueError, OSError
        As in `draw_by_beta`; ValueError also if no result has a curve.
    """
    found = [group for group in _found(table, rows, normal) if _curves(group).size]
    if not found:
        raise ValueError(f"there is no validation curve of {table.name}: its protocol has no validation rows")
    figure, axes = _new_figure(path, _HEIGHT)
    styles = ((colour, style) for style in cycle(_STYLES) for colour in COLOURS)
    for group, (colour, style) in zip(found, styles, strict=False):
        steps, curves = group.rows[0]["curve"]["step"], _curves(group)
        seeds = f"{len(curves)} seed{'s' * (len(curves) > 1)}"
        name = ", ".join((group.method, group.cell, group.recipe, seeds))
        if len(curves) > 1:
            axes.plot(steps, curves.T, color=colour, linewidth=0.6, alpha=0.35)
        axes.plot(steps, curves.mean(0), style, color=colour, linewidth=1.6, label=name)
        best = [row["best_validation"] for row in group.rows]
        x, y = [b["step"] for b in best], [100 * b["validation"] for b in best]
        axes.plot(x, y, "o", color=colour, markersize=5, alpha=0.8, markeredgewidth=0)
    axes.plot([], "o", color=INK, markersize=5, label="the earliest best of a seed, which is chosen")
    axes.set_xlim(0, 1.01 * axes.dataLim.x1)
    axes.set_xlabel("step")
    axes.set_ylabel(f"{_METRICS.get(table.metric, table.metric)} of the validation rows")
    _save(figure, axes, table.title, path)


def draw_collapse_effect(tables: Iterable[Table], rows: Iterable[Row], path: str | os.PathLike[str]) -> None:
    """Draw what the collapse term changes in the losses of other methods, a panel for each cell of the tables.

    The vertical axis is the change of the metric at the last step against beta = 0: small dots are seeds, large ones
    their means with standard errors. No label was used to stop, and no beta was selected.

    Parameters
    ----------
    tables : iterable of Table
        Trials that do not vary `collapse` are left out.
    rows : iterable of rows
    path : path

    Raises
    ------
    ImportError, ValueError, OSError
        As in `draw_report`; ValueError also if nothing is measured with and without the term.
    """
    rows = list(rows)
    panels = [(table, cell, lines) for table in tables for cell, lines in _collapse_lines(table, rows).items()]
    if not panels:
        raise ValueError(
            "no method is measured with and without the collapse term; run a table such as table4_collapse"
        )
    picture = picture_format(path)
    figure = new_figure(1.0 + 3.3 * len(panels), 3.8)
    names = list(dict.fromkeys(name for _, _, lines in panels for name in lines))
    betas = sorted({beta for _, _, lines in panels for line in lines.values() for beta in line})
    for axes, (table, cell, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        axes.axhline(0, color=_GREY, linewidth=0.8)
        for number, (name, line) in enumerate(lines.items()):
            shift = (number - (len(lines) - 1) / 2) * 0.5 / len(lines)
            again, of_colour = divmod(names.index(name), len(COLOURS))
            colour, marker = COLOURS[of_colour], _MEANS[again % len(_MEANS)]
            places = [betas.index(beta) + shift for beta in line]
            for place, gains in zip(places, line.values(), strict=True):
                axes.plot([place] * len(gains), gains, "o", color=colour, markersize=3, alpha=0.35, mew=0)
            means = [float(np.mean(gains)) for gains in line.values()]
            errors = [float(np.std(gains, ddof=1) / np.sqrt(len(gains))) for gains in line.values()]
            axes.errorbar(
                places,
                means,
                errors,
                marker=marker,
                markersize=5,
                linestyle="none",
                color=colour,
                capsize=3,
                label=name,
            )
        axes.set_xticks(range(len(betas)), [f"{beta:g}" for beta in betas])
        axes.set_xlim(-0.6, len(betas) - 0.4)
        axes.set_xlabel("$\\beta$")
        (dataset,) = {str({**table.run, **table.cells[cell].values}["dataset"])}
        axes.set_title(f"{dataset}, {cell}", fontsize="medium")
        axes.set_ylabel(f"change of {_METRICS[table.metric]}".replace("(%)", "(points)"))
    figure.suptitle("The collapse term in other methods: change of the last step by it", x=0.01, ha="left")
    handles = {label: h for axes in figure.axes for h, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, frameon=False, fontsize="small")
    save_figure(figure, path, picture, overwrite=True)


def _collapse_lines(table: Table, rows: Sequence[Row]) -> dict[str, dict[str, dict[float, list[float]]]]:
    """Differences to beta = 0 in percentage points, by cell, method and beta, of the seeds that have both."""
    bare = {_without_collapse(method): method.name for method in table.methods if "collapse" not in method.own}
    of_method = {method.name: method for method in table.methods}
    measured = {
        (group.cell, group.recipe, group.method): {
            (row["run"]["seed"], row["run"]["split_seed"]): value_of(row, "last", table.metric) for row in group.rows
        }
        for group in groups(table, rows)
        if role_of(group.rows[0]) == "compared"
    }
    found: dict[str, dict[str, dict[float, list[float]]]] = {}
    for (cell, recipe, name), values in measured.items():
        method = of_method[name]
        base = bare.get(_without_collapse(method))
        if base is None or "collapse" not in method.own:
            continue
        without = measured.get((cell, recipe, base), {})
        both = [(value, without[seed]) for seed, value in values.items() if seed in without]
        gains = [100 * (value - other) for value, other in both if value is not None and other is not None]
        if len(gains) > 1:
            found.setdefault(cell, {}).setdefault(base, {})[float(method.own["collapse"])] = gains
    return found


def _without_collapse(method: TableMethod) -> str:
    return repr(sorted((name, value) for name, value in method.own.items() if name != "collapse"))


def _found(table: Table, rows: Iterable[Row], normal: Sequence[str] | None) -> list[Group]:
    """The results of runs in the wanted cells."""
    if all(method.role != "own" for method in table.methods):
        raise ValueError(f"{table.name} holds no runs of ours; there is nothing to draw")
    cells = table.find_cells(normal)
    found = [group for group in groups(table, rows) if group.cell in cells and role_of(group.rows[0]) == "own"]
    if not found:
        raise ValueError(f"there is no result to draw; run the table first: tollad paper run {table.name}")
    return found


def _beta_of(group: Group) -> float:
    return float(group.rows[0]["run"]["beta"])


def _counts(found: Sequence[Group]) -> str:
    """How many seeds there are, such as "3" or "1 to 3"."""
    counts = sorted({len(group.rows) for group in found})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _curves(group: Group) -> NDArray[np.float64]:
    """Validation metrics in %, (seeds, validations); empty without validation rows."""
    return 100 * np.array([row["curve"]["validation"] or [] for row in group.rows], dtype=np.float64)


def _new_figure(path: str | os.PathLike[str], height: float) -> tuple[Figure, Axes]:
    picture_format(path)  # checked before the work, not after it
    figure = new_figure(_WIDTH, height)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, axes: Axes, title: str, path: str | os.PathLike[str]) -> None:
    # Names of cells may be as long as the picture is wide.
    figure.suptitle(title, x=0.01, ha="left", fontsize="large")
    lines, labels = axes.get_legend_handles_labels()
    if lines:
        wrapped = [textwrap.fill(label, _LEGEND_CHARACTERS) for label in labels]
        n_lines = sum(label.count("\n") + 1 for label in wrapped)
        figure.set_figheight(figure.get_figheight() + _NAME * len(wrapped) + _LINE * n_lines)
        figure.legend(lines, wrapped, loc="outside lower center", ncols=1, frameon=False, fontsize="small")
    save_figure(figure, path, picture_format(path), overwrite=True)
