"""Reports as Markdown, CSV or HTML."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Sequence
from pathlib import Path

from tollad.bench.report import SELECTIONS, Line, Report
from tollad.bench.tables import Table

_WHAT = {
    **SELECTIONS,
    "difference": "difference: best validation - published",
    "difference_last": "difference: last step - published",
}

# Wide tables scroll on their own, while the column of the method stays in view.
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; color: #222; margin: 2em }
div { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap }
td:nth-child(2) { white-space: normal; min-width: 24em }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #ddd }
thead th { border-bottom: 2px solid #222 }
tbody th, td:nth-child(2), thead th:nth-child(-n + 2) { text-align: left }
tbody th { font-weight: normal; position: sticky; left: 0; background: #fff }
.measured th, .measured td { background: #e8f1fa }
li { max-width: 60em }
"""

# The beginning of the page of all tables.
_PREFACE = Path(__file__).parent / "preface.md"


def to_markdown(reports: Sequence[Report]) -> str:
    """Return reports as Markdown, with a section for each."""
    return "\n".join(_section(report) for report in reports)


def to_page(reports: Sequence[Report]) -> str:
    """Return reports as a page of Markdown that explains itself: `docs/reproduction.md`."""
    return f"{_PREFACE.read_text(encoding='utf-8')}\n{to_markdown(reports)}"


def _section(report: Report) -> str:
    head = ["method", "", "seeds", *report.columns]
    body = [[_bold(line), *_cells(line, report)] for line in report.lines]
    table = [head, ["---", "---", *["---:"] * (len(head) - 2)], *body]
    text = "\n".join(f"| {' | '.join(map(_in_cell, row))} |" for row in table)
    notes = [f"- {_in_markdown(note)}" for note in (*_notes(report.table), *report.remarks)]
    return f"## {_in_markdown(report.table.title)}\n\n{text}\n\n" + "".join(f"{note}\n" for note in notes)


def _in_markdown(text: str) -> str:
    """Return text on one line, with HTML escaped: names and errors may come from the user."""
    return html.escape(" ".join(text.split()), quote=False)


def _in_cell(text: str) -> str:
    return _in_markdown(text).replace("|", "\\|")


def to_html(reports: Sequence[Report]) -> str:
    """Return reports as one page of HTML."""
    parts = []
    for report in reports:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("method", "", "seeds", *report.columns))
        body = "".join(
            f"<tr{' class=measured' if line.what != 'published' else ''}><th>{html.escape(line.method)}</th>"
            + "".join(f"<td>{html.escape(text)}</td>" for text in _cells(line, report))
            + "</tr>\n"
            for line in report.lines
        )
        items = "".join(f"<li>{html.escape(note)}</li>\n" for note in (*_notes(report.table), *report.remarks))
        title = html.escape(report.table.title)
        table = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>"
        parts.append(f"<h2>{title}</h2>\n<div>{table}</div>\n<ul>\n{items}</ul>\n")
    head = f"<title>The paper, reproduced</title>\n<style>{_STYLE}</style>"
    note = "Shaded rows were measured here, the others are printed in the paper. Values are in %."
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{head}</head>\n<body>\n<p>{note}</p>\n'
        f"{''.join(parts)}</body></html>\n"
    )


def to_csv(reports: Sequence[Report]) -> str:
    """Return reports as CSV, with a line for each value."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "method", "what", "recipe", "cell", "mean", "std", "n"])
    for report in reports:
        for line in report.lines:
            for cell, value in line.values.items():
                std = "" if value.std is None else round(value.std, 4)
                numbers = [round(value.mean, 4), std, "" if value.n is None else value.n]
                writer.writerow([report.table.name, line.method, line.what, line.recipe, cell, *numbers])
    return text.getvalue()


def _notes(table: Table) -> list[str]:
    return [*table.notes, *(f"{method.name}: {method.note}" for method in table.methods if method.note)]


def _bold(line: Line) -> str:
    return f"**{line.method}**" if line.recipe else line.method


def _cells(line: Line, report: Report) -> list[str]:
    """Return the texts of a line after the method's name."""
    what = _WHAT.get(line.what, line.what)
    counts = sorted({value.n for value in line.values.values() if value.n is not None})
    seeds = "" if not counts else str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    texts = [", ".join(part for part in (what, line.recipe) if part), seeds]
    digits = _digits(report.table)
    for cell in report.columns:
        value = line.values.get(cell)
        if value is None:
            texts.append("")
        elif line.what.startswith("difference"):
            texts.append(f"{value.mean:+z.{digits}f}{' (!)' if cell in line.far else ''}")
        else:
            spread = "" if value.std is None or value.n == 1 else f" ± {value.std:.{digits}f}"
            texts.append(f"{value.mean:.{digits}f}{spread}")
    return texts


def _digits(table: Table) -> int:
    """Return the number of digits that the paper prints after the point."""
    printed = [p.mean for method in table.methods for p in method.published.values()]
    return max((len(repr(mean).partition(".")[2]) for mean in printed), default=1)
