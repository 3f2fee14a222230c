"""What a person does on the page, and sees there."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def scored(page: Any, *paths: Path) -> None:
    page.wait_for_selector("#start:not([hidden])")
    page.set_input_files("#file", [str(path) for path in paths])
    page.wait_for_selector("#found:not([hidden])")


def rows(page: Any) -> list[tuple[int, float]]:
    """Return the numbers of the rows that are shown, from 1, and their scores."""
    cells = page.eval_on_selector_all(
        "tr.row", "rows => rows.map(row => [row.cells[0].innerText, row.cells[1].innerText])"
    )
    return [(int(row.strip(" ▸▾")), float(score)) for row, score in cells]


def fact(page: Any, name: str) -> str:
    return page.locator("#counts div", has_text=name).locator("dd").inner_text()
