"""The paper's tables as data: one TOML file each, with every published number and the run that reproduces each cell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tollad.bench.recipes import BUDGETS
from tollad.bench.spec import WORK_KINDS, Baseline, Role, Run, Trial, Work

AVERAGE = "Average"
"""The name of the column with the mean over all cells, for which there are no runs."""

_FOLDER = Path(__file__).parent / "tables"
_TABLE_KEYS = {"title", "metric", "seeds", "run", "cells", "methods", "notes"}
_METHOD_KEYS = {"name", "published", "note", "why", *WORK_KINDS}


@dataclass(frozen=True)
class Published:
    """A printed number in %, and its standard deviation where one is printed."""

    mean: float
    std: float | None = None


@dataclass(frozen=True)
class TableMethod:
    """One row of a table.

    Attributes
    ----------
    name : str
    published : mapping of str to Published
        By cell, or `AVERAGE`.
    work : type or None
        The class that measures it: `Run`, `Baseline` or `Trial` of `tollad.bench.spec`; None if it is only quoted.
    own : mapping
        Values that it sets besides those of the table, see `of_cell` there.
    note : str
    why : str
        Why measured values differ from the published ones, if that is known: a sentence for the comparison.
    """

    name: str
    published: Mapping[str, Published]
    work: type[Run] | type[Baseline] | type[Trial] | None = None
    own: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    why: str = ""

    @property
    def role(self) -> Role | None:
        """Its role, see `tollad.bench.spec`; None if it is only quoted."""
        return None if self.work is None else self.work.role

    @property
    def is_measured(self) -> bool:
        """Whether it can be run, and is not only quoted."""
        return self.work is not None

    @property
    def budgets(self) -> tuple[str, ...]:
        """The budgets with which it can be run."""
        return () if self.work is None else self.work.budgets


@dataclass(frozen=True)
class Cell:
    """One column of a table.

    Attributes
    ----------
    values : mapping
        Values that it sets in a run or a baseline.
    seeds : int
        Number of repetitions, numbered from 0.
    vary : tuple of str
        The fields of a run that get the number of the repetition. A baseline has only `split_seed` of them.
    """

    values: Mapping[str, Any]
    seeds: int
    vary: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of the paper, or one of ours to compare with it.

    Attributes
    ----------
    name : str
        Name of its file.
    title : str
    metric : {"auroc", "f1"}
    run : mapping
        Values that all its runs share.
    cells : mapping of str to Cell
    methods : tuple of TableMethod
    notes : tuple of str
        Sentences that a reader must know about the published numbers.
    """

    name: str
    title: str
    metric: str
    run: Mapping[str, Any]
    cells: Mapping[str, Cell]
    methods: tuple[TableMethod, ...]
    notes: tuple[str, ...]

    def work(
        self,
        *,
        normal: Sequence[str] | None = None,
        methods: Sequence[str] | None = None,
        seeds: Iterable[int] | None = None,
        overrides: Mapping[str, Any] | None = None,
        budget: str = BUDGETS[0],
    ) -> list[Work]:
        """Return the work that reproduces the table, ordered by seed, so that all cells fill evenly.

        Parameters
        ----------
        normal : sequence of str, optional
            Cells, by their names or their normal class; by default all.
        methods : sequence of str, optional
            Methods that have a run or a baseline, by their names; by default all.
        seeds : iterable of int, optional
            By default all of each cell.
        overrides : mapping, optional
            Values of a run that replace those of the table. They do not apply to baselines and trials.
        budget : {"published", "reduced"}
            The budget of trials. With "reduced", there are no runs and baselines, unless `methods` names them.

        Raises
        ------
        ValueError
            If there is no such cell, method or seed, or nothing to run.
        """
        chosen = self.find_cells(normal)
        measured = {method.name: method for method in self.methods if method.is_measured}
        if methods is None:
            measured = {name: method for name, method in measured.items() if budget in method.budgets}
        if not measured:
            raise ValueError(f"{self.name} holds published numbers only; there is nothing to run")
        for name in methods or ():
            if name not in measured:
                raise ValueError(f"{self.name} has no method {name!r} to run; it has {'; '.join(measured)}")
        most = max(self.cells[cell].seeds for cell in chosen)
        wanted = range(most) if seeds is None else list(seeds)
        if any(seed not in range(most) for seed in wanted):
            raise ValueError(f"{self.name} has seeds 0 to {most - 1}, not {max(wanted)}")
        found = [
            self.repetition(method, cell, seed, overrides, budget)
            for seed in wanted
            for method in (measured.values() if methods is None else [measured[name] for name in methods])
            for cell in chosen
            if seed in self.repetitions(method, cell)
        ]
        # A baseline without random splits is the same for every seed.
        return list(dict.fromkeys(found))

    def repetitions(self, method: TableMethod, cell: str) -> range:
        """Return the numbers of a method's repetitions of a cell; none if it has no field that the cell varies."""
        column = self.cells[cell]
        unvaried = () if method.work is None else method.work.unvaried
        return range(0 if set(unvaried) & set(column.vary) else column.seeds)

    def repetition(
        self,
        method: TableMethod,
        cell: str,
        seed: int,
        overrides: Mapping[str, Any] | None = None,
        budget: str = BUDGETS[0],
    ) -> Work:
        """Return one repetition of a cell by a measured method. `overrides` apply to runs only."""
        assert method.work is not None
        column = self.cells[cell]
        varied = dict.fromkeys(column.vary, seed)
        changed = (overrides or {}) if method.work.stacks else {}
        own = {name: value for name, value in {**method.own, **changed}.items() if name not in varied}
        return method.work.of_cell({**self.run, **column.values, **varied}, own, budget)

    def find_cells(self, texts: Sequence[str] | None) -> list[str]:
        """Return the cells that are given by their names or normal classes; all for None."""
        if texts is None:
            return list(self.cells)
        return list(dict.fromkeys(cell for text in texts for cell in self._cells_of(text)))

    def _cells_of(self, text: str) -> list[str]:
        """Return the cell of this name, else all cells of this normal class: in Figure 4 all cells have one class."""
        if text in self.cells:
            return [text]
        classes = {cell: {**self.run, **column.values}.get("normal") for cell, column in self.cells.items()}
        if found := [cell for cell, normal in classes.items() if normal is not None and str(normal) == text]:
            return found
        raise ValueError(f"{self.name} has no cell {text!r}; its cells are {', '.join(self.cells)}")


def names() -> list[str]:
    """Return the names of all tables, then those of figures."""
    return sorted((path.stem for path in _FOLDER.glob("*.toml")), key=lambda name: (name.startswith("figure"), name))


def read_table(name: str) -> Table:
    """Return a table by its name.

    Raises
    ------
    ValueError
        If there is no such table, or its file is malformed: the message names the key.
    """
    if name not in names():
        raise ValueError(f"there is no table {name!r}; there are {', '.join(names())}")
    return parse_table(name, (_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def parse_table(name: str, text: str) -> Table:
    """Return the table of a TOML text; for errors see `read_table`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{name}.toml: {error}") from error
    _check_keys(name, values, _TABLE_KEYS, {"title", "metric", "cells", "methods"})
    cells = {}
    for cell, settings in values["cells"].items():
        repeated = {"seeds": values.get("seeds", 1), "vary": ["seed"], **settings}
        cells[cell] = Cell(
            values={key: value for key, value in settings.items() if key not in ("seeds", "vary")},
            seeds=repeated["seeds"],
            vary=tuple(repeated["vary"]),
        )
    methods = []
    for entry in values["methods"]:
        where = f"{name}, method {entry.get('name', '?')!r}"
        _check_keys(where, entry, _METHOD_KEYS, {"name"})
        published = {cell: Published(*numbers) for cell, numbers in entry.get("published", {}).items()}
        if unknown := published.keys() - cells.keys() - {AVERAGE}:
            raise ValueError(f"{where}: there is no cell {min(unknown)!r}")
        methods.append(_method(where, entry, published))
    table = Table(
        name=name,
        title=values["title"],
        metric=values["metric"],
        run=values.get("run", {}),
        cells=cells,
        methods=tuple(methods),
        notes=tuple(values.get("notes", ())),
    )
    for method in methods:
        for cell in cells if method.is_measured else ():
            try:
                table.repetition(method, cell, 0)
            except ValueError as error:
                raise ValueError(f"{name}, method {method.name!r}, cell {cell!r}: {error}") from error
    return table


def _method(where: str, entry: Mapping[str, Any], published: Mapping[str, Published]) -> TableMethod:
    found = [kind for kind in WORK_KINDS if kind in entry]
    if len(found) > 1:
        raise ValueError(f"{where}: has {' and '.join(found)}; give one of them")
    work, own = (WORK_KINDS[found[0]], entry[found[0]]) if found else (None, {})
    return TableMethod(entry["name"], published, work, own, entry.get("note", ""), entry.get("why", ""))


def _check_keys(where: str, values: Mapping[str, Any], known: set[str], required: set[str]) -> None:
    if unknown := sorted(values.keys() - known):
        raise ValueError(f"{where}: unknown key {unknown[0]!r}; the known ones are {', '.join(sorted(known))}")
    if absent := sorted(required - values.keys()):
        raise ValueError(f"{where}: the key {absent[0]!r} is missing")
