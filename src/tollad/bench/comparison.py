"""The page `docs/comparison.md`: the methods that the paper quotes, measured under one protocol, and conclusions.

Every conclusion is computed from cells of the tables and names them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tollad.bench import report as reports
from tollad.bench.recipes import BUDGETS, Recipe, read_recipe
from tollad.bench.rendering import to_markdown
from tollad.bench.report import Line, Report, Value
from tollad.bench.results import Row
from tollad.bench.spec import role_of, work_of
from tollad.bench.tables import AVERAGE, Table, TableMethod

_PREFACE = Path(__file__).parent / "comparison.md"
_EXPLANATIONS = Path(__file__).parent / "explanations.md"
# A cell counts as reproduced if it differs by at most this many published standard deviations plus this many points.
_DEVIATIONS, _POINTS = 2.0, 1.0
# A cell of random splits counts only with at least this many splits.
_LEAST_SPLITS = 10


def to_page(tables: Iterable[Table], rows: Sequence[Row]) -> str:
    """Return the page in Markdown, with a section for each table that has a measured method other than the paper's."""
    shown = [
        reports.collect(table, rows) for table in tables if any(method.role == "compared" for method in table.methods)
    ]
    sections = [_section(report, rows) for report in shown]
    written, explained = (path.read_text(encoding="utf-8") for path in (_PREFACE, _EXPLANATIONS))
    parts = [written, _extent(shown), _columns(shown), explained, *sections]
    return "\n".join(part for part in parts if part)


def _extent(shown: Iterable[Report]) -> str:
    """Say how many cells are measured: one is a method other than the paper's in a column of a table."""
    cells = {
        (report.table.name, line.method, cell)
        for report in shown
        for line in report.lines
        if line.what == "last" and _compared(report.table, line.method)
        for cell in line.values
        if cell != AVERAGE
    }
    budgets = "by the published budget, the reduced one or both"
    return (
        f"**Measured so far:** {len(cells)} cells, each a method in a column of a table, {budgets}.\n" if cells else ""
    )


def _columns(shown: Iterable[Report]) -> str:
    """Return a table of the published columns: how many cells are measured and reproduced, and what explains others."""
    lines = []
    for report in shown:
        for method in report.table.methods:
            judged = _judged(report, method.name)
            if method.role == "compared" and judged:
                near = [cell for cell, (value, printed) in judged.items() if _is_close(value, printed)]
                why = "" if len(near) == len(judged) else method.why
                lines.append(f"| {report.table.title} | {method.name} | {len(judged)} | {len(near)} | {why} |\n")
    if not lines:
        return ""
    return (
        "## Column by column\n\nA cell counts by its published budget if that was run, and by the reduced one "
        "otherwise; by the last step.\n\n| table | published column | cells measured | reproduced | what explains the "
        "others |\n| --- | --- | ---: | ---: | --- |\n" + "".join(lines)
    )


def _judged(report: Report, name: str) -> dict[str, tuple[Value, Value]]:
    """Return what was measured at the last step, and what was printed, of the cells of a method that have both."""
    printed: dict[str, Value] = {}
    found: dict[str, Value] = {}
    for line in report.lines:
        if line.method == name and line.what == "published":
            printed = dict(line.values)
        elif line.method == name and line.what == "last":
            found = dict(line.values) | found if line.recipe.startswith("reduced") else found | dict(line.values)
    return {
        cell: (value, printed[cell])
        for cell, value in found.items()
        if cell != AVERAGE and cell in printed and _suffices(report.table, cell, value.n)
    }


def _is_close(value: Value, printed: Value) -> bool:
    return abs(value.mean - printed.mean) <= _DEVIATIONS * (printed.std or 0) + _POINTS


def _section(report: Report, rows: Sequence[Row]) -> str:
    table = report.table
    measured = {line.method for line in report.lines if line.recipe and _compared(table, line.method)}
    if not measured:
        return ""
    quoted_only = {method.name for method in table.methods if not method.is_measured}
    lines = tuple(line for line in report.lines if line.method in measured or _is_line(table, line))
    remarks = tuple(remark for remark in report.remarks if remark.startswith("Not run yet"))
    shown = dataclasses.replace(report, lines=lines, remarks=remarks)
    parts = [to_markdown([shown])]
    if quoted_only:
        parts.append(f"Quoted only, not run here: {', '.join(sorted(quoted_only))}.\n")
    parts.append("### Protocols and cost\n\n" + "".join(_protocols(table, measured, rows)))
    if found := conclusions(report):
        parts.append("### What the comparison shows\n\n" + "".join(f"- {text}\n" for text in found))
    return "\n".join(parts)


def _compared(table: Table, name: str) -> TableMethod | None:
    return next((method for method in table.methods if method.name == name and method.role == "compared"), None)


def _is_line(table: Table, line: Line) -> bool:
    """Whether a line is of the paper's own method or a reference line."""
    method = next(method for method in table.methods if method.name == line.method)
    return method.role in ("own", "reference")


def _protocols(table: Table, measured: set[str], rows: Sequence[Row]) -> Iterable[str]:
    cost = _seconds(rows)
    for method in table.methods:
        if method.name not in measured or method.role != "compared":
            continue
        recipe: Recipe = read_recipe(method.own["recipe"])
        dataset = table.run["dataset"]
        notes = [recipe.note, recipe.sets[dataset].get("note", "")]
        seconds = {
            budget: [
                cost[item.identity]
                for cell in table.cells
                for seed in range(table.cells[cell].seeds)
                if (item := table.repetition(method, cell, seed, budget=budget)).identity in cost
            ]
            for budget in (BUDGETS if "reduced" in recipe.sets[dataset] else BUDGETS[:1])
        }
        spent = ", ".join(
            f"{np.median(found):.2g} s of a processor a fit ({budget} budget)"
            for budget, found in seconds.items()
            if found
        )
        yield f"- {method.name}: {' '.join(part for part in (recipe.protocol, *notes) if part)} Here: {spent}.\n"


def _seconds(rows: Iterable[Row]) -> Mapping[str, float]:
    measured = (row for row in rows if role_of(row) == "compared" and row["error"] is None)
    return {work_of(row).identity: row["seconds"]["cpu"] for row in measured}


def conclusions(report: Report) -> list[str]:
    """Return sentences on which published cells are reproduced, and which do not beat a line that costs seconds."""
    found: list[str] = []
    published = {line.method: line.values for line in report.lines if line.what == "published"}
    references = [
        line
        for line in report.lines
        if line.what == "last"
        and any(method.name == line.method and method.role == "reference" for method in report.table.methods)
    ]
    for line in report.lines:
        method = _compared(report.table, line.method)
        if line.what != "last" or method is None:
            continue
        name = f"{line.method} ({line.recipe}, last step)"
        near: list[str] = []
        far: list[str] = []
        beaten: list[str] = []
        for cell, value in line.values.items():
            if cell == AVERAGE or not _suffices(report.table, cell, value.n):
                continue
            said = f"{cell} {value.mean:.1f} ({value.n} seed{'s' * (value.n != 1)})"
            printed = published.get(line.method, {}).get(cell)
            if printed is not None:
                (near if _is_close(value, printed) else far).append(f"{said} for {printed.mean:.1f}")
            known = [(ref.values[cell].mean, ref.method) for ref in references if cell in ref.values]
            highest, reference = max(known, default=(-np.inf, ""))
            if highest >= value.mean:
                beaten.append(f"{said}, {reference} {highest:.1f}")
        if near:
            found.append(f"{name} reproduces the published value: {'; '.join(near)}.")
        if far:
            short = ", and its budget is not made for that" if line.recipe.startswith("reduced") else ""
            why = f" {method.why}" if method.why else ""
            found.append(f"{name} does not reproduce the published value{short}: {'; '.join(far)}.{why}")
        if beaten:
            found.append(f"{name} does not beat a line that costs seconds: {'; '.join(beaten)}.")
    return found


def _suffices(table: Table, cell: str, n: int | None) -> bool:
    """Whether `n` repetitions are enough for a conclusion. For F1 on random splits with few anomalies, one is not."""
    return "split_seed" not in table.cells[cell].vary or (n or 0) >= _LEAST_SPLITS
