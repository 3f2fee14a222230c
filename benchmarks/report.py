"""A Markdown table, and a picture, of what `benchmarks/quality.py` measured.

    python benchmarks/report.py FILE... [--metric average_precision] [--against knn5 knn1] [--picture F.png]

One table for each share of anomalies in the training rows; one line a data set, one column a method, the mean over the
seeds in %. The lines at the end are over the data sets that all methods have been run on.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import rankdata

from tollad.io.files import atomic_write

Floats = NDArray[np.float64]

NAMES = {
    "tollad": "tollad",
    "knn1": "kNN, k=1",
    "knn5": "kNN, k=5",
    "lof": "LOF",
    "ocsvm": "OCSVM",
    "isolation_forest": "Isolation Forest",
    "pyod_autoencoder": "AutoEncoder (PyOD)",
    "pyod_deep_svdd": "DeepSVDD (PyOD)",
    "pyod_lunar": "LUNAR (PyOD)",
    "pyod_ecod": "ECOD (PyOD)",
    "deepod_dif": "Deep IF (DeepOD)",
    "deepod_deep_svdd": "DeepSVDD (DeepOD)",
    "deepod_neutral": "NeuTraL (DeepOD)",
    "deepod_icl": "ICL (DeepOD)",
}
_OURS, _THEIRS = "#0072B2", "#555555"
METRICS = {"auroc": "AUROC", "average_precision": "average precision"}


class Cells:
    """Means over the seeds, (data sets, methods); NaN where nothing was measured."""

    def __init__(self, results: Sequence[dict[str, Any]], metric: str) -> None:
        self.tables = sorted({result["table"] for result in results}, key=_by_number)
        self.methods = list(dict.fromkeys(_name(result) for result in results))
        values, seconds = defaultdict(list), defaultdict(list)
        for result in results:
            cell = self.tables.index(result["table"]), self.methods.index(_name(result))
            values[cell].append(100 * result[metric])
            seconds[cell].append(result["cpu_seconds"])
        self.means, self.seconds = self._grid(values), self._grid(seconds)
        self.n_seeds = sorted({len(found) for found in values.values()})

    def _grid(self, found: dict[tuple[int, int], list[float]]) -> Floats:
        grid = np.full((len(self.tables), len(self.methods)), np.nan)
        for cell, values in found.items():
            grid[cell] = np.mean(values)
        return grid

    @property
    def complete(self) -> NDArray[np.bool_]:
        """Which data sets every method has been run on."""
        return ~np.isnan(self.means).any(1)


def _name(result: dict[str, Any]) -> str:
    """Return the heading of a result's column: the method, and its parameters where they are not the defaults."""
    options = ", ".join(f"{name}={value}" for name, value in result["parameters"].items())
    name = NAMES.get(result["method"], result["method"])
    return f"{name} ({options})" if options else name


def _by_number(table: str) -> tuple[int, str]:
    number = table.partition("_")[0]
    return (int(number) if number.isdigit() else 0, table)


def markdown(cells: Cells, against: Sequence[str]) -> str:
    """Return the table; `against` are the methods that tollad's wins and losses are counted against."""
    rows = [["data set", *cells.methods], ["---", *["---:"] * len(cells.methods)]]
    for table, means in zip(cells.tables, cells.means, strict=True):
        best = np.nanmax(means.round(1))
        rows.append([table, *(_percent(value, best) for value in means)])
    if cells.complete.any():
        means, seconds = cells.means[cells.complete], cells.seconds[cells.complete]
        mean, ranks = means.mean(0), rankdata(-means.round(1), axis=1).mean(0)
        rows.append(["**mean**", *(_percent(value, mean.round(1).max()) for value in mean)])
        rows.append(["mean rank", *(f"{rank:.1f}" for rank in ranks)])
        rows.append(["CPU seconds, fit and score", *(f"{value:.2g}" for value in seconds.mean(0))])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    seeds = " to ".join(dict.fromkeys((str(cells.n_seeds[0]), str(cells.n_seeds[-1]))))
    lines += ["", f"{len(cells.tables)} data sets, {cells.complete.sum()} with all methods; {seeds} seeds."]
    for method in cells.methods:
        for other in against if method.startswith("tollad") else ():
            if other in cells.methods:
                lines.append(_compared(cells, method, other))
    return "\n".join(lines)


def _percent(value: float, best: float) -> str:
    if np.isnan(value):
        return "-"
    return f"**{value:.1f}**" if round(value, 1) == best else f"{value:.1f}"


def _compared(cells: Cells, method: str, other: str) -> str:
    """Say how a method does beside another, data set by data set, in the digits that the table shows."""
    ours, theirs = (cells.means[:, cells.methods.index(name)].round(1) for name in (method, other))
    apart = ours - theirs
    apart = apart[~np.isnan(apart)]
    error = apart.std(ddof=1) / np.sqrt(len(apart)) if len(apart) > 1 else np.nan
    above, below = (
        f"{(sign * apart > 0).sum()} data sets ({(sign * apart > 1).sum()} by more than 1 point)" for sign in (1, -1)
    )
    return (
        f"{method} is above {other} on {above}, below on {below}: {apart.mean():+.1f} on the mean, with a "
        f"standard error of {error:.1f}.\n"
    )


def draw(cells: Cells, label: str, path: Path) -> None:
    """Draw one line of dots a method, a dot a data set, the best mean at the top."""
    means = cells.means[cells.complete]
    order = np.argsort(means.mean(0))
    figure = Figure(figsize=(6.4, 0.9 + 0.38 * len(order)), layout="constrained")
    axes = figure.subplots()
    for height, column in enumerate(order):
        colour = _OURS if cells.methods[column].startswith("tollad") else _THEIRS
        values = np.sort(means[:, column])
        levels = _levels(values, width=0.012 * np.ptp(means))
        axes.scatter(values, height + 0.13 * levels, s=18, color=colour, alpha=0.5, linewidths=0)
        mean = values.mean()
        axes.plot([mean, mean], [height - 0.32, height + 0.32], color=colour, linewidth=2.5, solid_capstyle="butt")
        right = axes.get_yaxis_transform()
        axes.annotate(f"{mean:.1f}", (1.02, height), xycoords=right, va="center", color=colour, weight="bold")
    axes.set_yticks(range(len(order)), [cells.methods[column] for column in order])
    axes.set_ylim(-0.6, len(order) - 0.4)
    axes.set_xlim(right=100.6)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.annotate("mean", (1.02, len(order) - 0.4), xycoords=axes.get_yaxis_transform(), va="center", color=_THEIRS)
    axes.set_xlabel(f"{label} in %: a dot for each of {len(means)} data sets, a bar for the mean")
    with atomic_write(path) as file:
        figure.savefig(file, format=path.suffix.removeprefix("."), dpi=200)


def _levels(values: Floats, width: float) -> Floats:
    """Return how far off the line each of some sorted dots is drawn, so that no two closer than `width` overlap."""
    last = {0: -np.inf, 1: -np.inf, -1: -np.inf}  # the rightmost dot of each level so far
    levels = []
    for value in values:
        # On the line if there is room, else where the last dot is furthest.
        level = next((level for level in last if value - last[level] > width), min(last, key=lambda at: last[at]))
        last[level] = value
        levels.append(level)
    return np.array(levels, dtype=np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--metric", default="auroc", choices=list(METRICS))
    parser.add_argument("--against", nargs="+", default=["knn5", "knn1"], choices=list(NAMES), help="beside tollad")
    parser.add_argument("--picture", type=Path, help="of the smallest share of anomalies in the training rows")
    arguments = parser.parse_args()
    results = [json.loads(line) for file in arguments.files for line in file.read_text().splitlines()]
    shares = sorted({result["contamination"] for result in results})
    for share in shares:
        cells = Cells([result for result in results if result["contamination"] == share], arguments.metric)
        print(f"### {METRICS[arguments.metric]} in %, {100 * share:g} % anomalies among the training rows\n")
        print(markdown(cells, [NAMES[name] for name in arguments.against]), end="\n\n")
        if arguments.picture and share == shares[0]:
            draw(cells, METRICS[arguments.metric], arguments.picture)


if __name__ == "__main__":
    main()
