"""Reports: the values of tables as measured here, beside the published ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from tollad.bench.results import Row, counts
from tollad.bench.spec import RECIPE, Work, work_of
from tollad.bench.tables import AVERAGE, Table, TableMethod

SELECTIONS = {
    "best_validation": "best validation (uses labelled anomalies)",
    "last": "last step (label-free)",
}
"""The ways to select a checkpoint, with their names for readers."""

_DIFFERENCES = {"best_validation": "difference", "last": "difference_last"}
_Recipe: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True)
class Value:
    """A mean in %, its standard deviation (ddof 0) if there is one, and the number of results."""

    mean: float
    std: float | None = None
    n: int | None = None


@dataclass(frozen=True)
class Line:
    """One row of a report.

    Attributes
    ----------
    method : str
    what : str
        "published", a selection of `SELECTIONS`, or a difference: "difference" for the best validation, the paper's own
        selection, and "difference_last" for the last step, for other methods.
    recipe : str
        How it was measured, such as "float32" or "200 of 2000 steps, bf16"; empty for published values.
    values : mapping of str to Value
        By cell or `AVERAGE`; a cell without a value is absent.
    far : set of str
        Cells whose difference exceeds two published standard deviations + 0.3 points.
    """

    method: str
    what: str
    recipe: str
    values: Mapping[str, Value]
    far: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Report:
    """A table with its lines, and sentences about how they were measured and what is missing."""

    table: Table
    lines: tuple[Line, ...]
    remarks: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The cells, and `AVERAGE` if some line has it."""
        averaged = any(AVERAGE in line.values for line in self.lines)
        return [*self.table.cells, *([AVERAGE] if averaged else [])]


def collect(table: Table, rows: Iterable[Row]) -> Report:
    """Put the results that belong to a table beside the published values.

    A result belongs to a method if it agrees with it in all but steps, batch size, validations and precision. If these
    differ, the result gets lines of its own, which say so: no average is taken over two recipes.

    Parameters
    ----------
    table : Table
    rows : iterable of rows
        All results. `tollad.bench.results.counts` says which of two results of the same work counts.
    """
    found = _by_key(rows)
    lines: list[Line] = []
    remarks: list[str] = []
    absent: list[str] = []
    for method in table.methods:
        published = {cell: Value(p.mean, p.std) for cell, p in method.published.items()}
        if published:
            lines.append(Line(method.name, "published", "", published))
        if not method.is_measured:
            continue
        measured = _measured(table, method, found)
        for recipe, by_cell in measured.items():
            lines += _measured_lines(table, method, recipe, by_cell, published)
            remarks.append(_remark(table, method, recipe, by_cell))
        if not measured:
            absent.append(method.name)
    if absent:
        remarks.append(f"Not run yet: {'; '.join(absent)}.")
    return Report(table, tuple(lines), tuple(remarks))


@dataclass(frozen=True)
class Group:
    """The results without error of one method in one cell by one recipe, by seed."""

    method: str
    cell: str
    recipe: str
    rows: tuple[Row, ...]


def groups(table: Table, rows: Iterable[Row]) -> list[Group]:
    """Return the results that belong to a table, see `collect`, in groups that differ in the seed only."""
    found = _by_key(rows)
    sorted_out = [
        Group(
            method.name, cell, _recipe_name(table, method, recipe), tuple(r for r in by_seed.values() if not r["error"])
        )
        for method in table.methods
        if method.is_measured
        for recipe, by_cell in _measured(table, method, found).items()
        for cell, by_seed in by_cell.items()
    ]
    return [group for group in sorted_out if group.rows]


def _by_key(rows: Iterable[Row]) -> dict[_Recipe, dict[_Recipe, Row]]:
    """Return rows by the values that must agree with the table, and then by recipe."""
    found: dict[_Recipe, dict[_Recipe, Row]] = {}
    for row in rows:
        item = work_of(row)
        known = found.setdefault(_key(item), {})
        recipe = item.recipe
        if recipe not in known or counts(row, known[recipe]):
            known[recipe] = row
    return found


def _key(item: Work) -> _Recipe:
    names = (field.name for field in dataclasses.fields(item) if field.name not in RECIPE)
    return (item.kind, *(getattr(item, name) for name in names))


_Found: TypeAlias = dict[str, dict[int, Row]]


def _measured(
    table: Table, method: TableMethod, found: Mapping[_Recipe, Mapping[_Recipe, Row]]
) -> dict[_Recipe, _Found]:
    """Return the rows of a method by recipe, cell and seed. The table's own recipe comes first."""
    measured: dict[_Recipe, _Found] = {}
    for cell in table.cells if found else ():
        for seed in _seeds(table, method, cell):
            items = {budget: table.repetition(method, cell, seed, budget=budget) for budget in method.budgets}
            # If two budgets are equal, a result counts for the published one.
            for item, budget in {item: budget for budget, item in reversed(items.items())}.items():
                for recipe, row in found.get(_key(item), {}).items():
                    name = recipe if len(method.budgets) == 1 else (budget,)
                    measured.setdefault(name, {}).setdefault(cell, {})[seed] = row
    own = _own_recipe(table, method)
    return dict(sorted(measured.items(), key=lambda entry: (entry[0] != own, str(entry[0]))))


def _measured_lines(
    table: Table, method: TableMethod, recipe: _Recipe, by_cell: _Found, published: Mapping[str, Value]
) -> list[Line]:
    lines = []
    name = _recipe_name(table, method, recipe)
    for selection in SELECTIONS:
        values: dict[str, Value] = {}
        for cell, rows in by_cell.items():
            found = [value_of(row, selection, table.metric) for row in rows.values()]
            tested = [100 * value for value in found if value is not None]
            if tested:
                values[cell] = Value(float(np.mean(tested)), float(np.std(tested)), len(tested))
        if not values:
            continue
        if len(table.cells) > 1 and values.keys() == table.cells.keys() and AVERAGE in _all_published(table):
            values[AVERAGE] = Value(float(np.mean([value.mean for value in values.values()])))
        lines.append(Line(method.name, selection, name, values))
        difference = {cell: Value(v.mean - published[cell].mean) for cell, v in values.items() if cell in published}
        if difference and method.work is not None and selection == method.work.judged_by:
            far = [c for c, v in difference.items() if _is_far(v.mean, published[c].std)]
            lines.append(Line(method.name, _DIFFERENCES[selection], name, difference, frozenset(far)))
    return lines


def value_of(row: Row, selection: str, metric: str) -> float | None:
    """Return the value of a result on the test rows by a selection; None if that metric was not measured."""
    if row[selection] is None:
        return None
    if metric == row.get("metric", metric):
        return float(row[selection]["test"])
    value: float | None = row.get("metrics", {}).get(selection, {}).get(metric)
    return value


def _is_far(difference: float, std: float | None) -> bool:
    return std is not None and abs(difference) > 2 * std + 0.3


def _all_published(table: Table) -> set[str]:
    return {cell for method in table.methods for cell in method.published}


def _recipe_name(table: Table, method: TableMethod, recipe: _Recipe) -> str:
    """Name a recipe by its precision and its differences from the table's own; empty for a baseline."""
    if not recipe:
        return ""
    if len(method.budgets) > 1:
        return f"{recipe[0]} budget"
    own = _own_recipe(table, method)
    units = {"steps": "steps", "batch_size": "rows a step", "validate_every": "steps between validations"}
    changed = [
        f"{value} {units[name]} for {before}"
        for name, value, before in zip(RECIPE, recipe, own, strict=True)
        if name in units and value != before
    ]
    return ", ".join([*changed, recipe[RECIPE.index("precision")]])


def _remark(table: Table, method: TableMethod, recipe: _Recipe, by_cell: _Found) -> str:
    """Say on which device a method was measured, how long it took, what is missing and what failed."""
    rows = [row for found in by_cell.values() for row in found.values()]
    name = ", ".join(part for part in (method.name, _recipe_name(table, method, recipe)) if part)
    on = "; ".join(sorted({_machine(row) for row in rows if "device" in row}))
    # The seconds in a row are those of the whole stack.
    hours = sum(row["seconds"]["wall"] / row.get("members", 1) for row in rows if "seconds" in row) / 3600
    spent = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes"
    remark = f"{name}: on {on}, {spent}{_speed(rows)}." if on else f"{name}: no result."
    if recipe == _own_recipe(table, method):
        absent = _missing(table, method, by_cell)
        remark += f" Missing: {absent}." if absent else ""
    failures = [
        f"{cell}, seed {seed}: {' '.join(r['error'].split())}"
        for cell, f in by_cell.items()
        for seed, r in f.items()
        if r["error"]
    ]
    return remark + "".join(f" Failed: {failure}." for failure in failures)


def _speed(rows: Sequence[Row]) -> str:
    """Compare the speed of training with the fastest product of the device; "" if unknown, or if devices differ."""
    flops = [row["flops"] for row in rows if "flops" in row]
    if not flops or len({_machine(row) for row in rows if "device" in row}) > 1:
        return ""
    speed, peak = (float(np.median([entry[name] for entry in flops])) for name in ("per_second", "peak_per_second"))
    unit, name = (1e12, "TFLOP/s") if speed >= 1e12 else (1e9, "GFLOP/s")
    share = f"{100 * speed / peak:.0f} % of the {peak / unit:.3g} of its fastest product"
    return f", training at {speed / unit:.3g} {name} ({share})"


def _missing(table: Table, method: TableMethod, by_cell: _Found) -> str:
    """Name the cells and seeds without a result. Cells that lack the same seeds are named together."""
    cells: dict[str, list[str]] = {}
    for cell in table.cells:
        seeds = [seed for seed in _seeds(table, method, cell) if seed not in by_cell.get(cell, {})]
        if seeds:
            cells.setdefault(ranges(seeds), []).append(cell)
    return "; ".join(f"seeds {seeds} of {', '.join(names)}" for seeds, names in cells.items())


def _seeds(table: Table, method: TableMethod, cell: str) -> list[int]:
    """Return the repetitions of a cell that differ: a baseline without random splits is the same for every seed."""
    seeds: dict[Work, int] = {}
    for seed in table.repetitions(method, cell):
        seeds.setdefault(table.repetition(method, cell, seed), seed)
    return list(seeds.values())


def _own_recipe(table: Table, method: TableMethod) -> _Recipe:
    """Return the recipe of the table itself, in which its cells agree."""
    if len(method.budgets) > 1:
        return method.budgets[:1]
    return table.repetition(method, next(iter(table.cells)), 0).recipe


def ranges(numbers: Sequence[int]) -> str:
    """Return sorted numbers as a short text with ranges.

    Examples
    --------
    >>> ranges([0, 1, 2, 5, 7, 8])
    '0-2, 5, 7-8'
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _machine(row: Row) -> str:
    threads = row.get("threads")
    return row["device"] if threads is None else f"{row['device']}, {threads} thread{'s' * (threads > 1)}"
