"""How each method of the tables is fitted.

A TOML file for each method holds the recipe of its source and a reduced one.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "recipes"
_KEYS = {"method", "source", "protocol", "note", "sets"}
_SET_KEYS = {"published", "reduced", "minutes", "note"}
# Keys that a budget may set besides the fields of the method.
_TRIAL = ("grid", "n_watches", "n_validation", "n_test")
# Data sets whose recipe suits other rows of their kind, the most similar first.
_OF_TABLES = ("arrhythmia",)
_OF_GREY = ("mnist", "fashion_mnist", "cifar10", "cifar100")
_OF_COLOUR = ("cifar10", "cifar100", "mnist", "fashion_mnist")
BUDGETS = ("published", "reduced")
"""The budgets, in the order of their cost."""


@dataclass(frozen=True)
class Recipe:
    """How one method is fitted, for each data set.

    Attributes
    ----------
    method : str
        A class of `tollad.methods`.
    source : str
        The source of its constants.
    protocol : str
        The protocol of its source, in words.
    sets : mapping of str to mapping
        By data set: "published", the fields that its source sets (if no source has this data set, `note` says where
        they are from); "reduced", the fields that differ in a fit of minutes on one core; "minutes", by budget.
    """

    method: str
    source: str
    protocol: str
    sets: Mapping[str, Mapping[str, Any]]
    note: str = ""

    def values(self, dataset: str, budget: str) -> dict[str, Any]:
        """Return the fields of a `tollad.bench.spec.Trial`.

        If there is no reduced budget, the published one is cheap enough.

        Raises
        ------
        ValueError
            If there is no such budget, or no recipe for this data set.
        """
        if budget not in BUDGETS:
            raise ValueError(f"there is no budget {budget!r}; there are {', '.join(BUDGETS)}")
        if dataset not in self.sets:
            raise ValueError(f"{self.method} has no recipe for {dataset}; it has some for {', '.join(self.sets)}")
        found = dict(self.sets[dataset]["published"])
        if budget == "reduced":
            found |= self.sets[dataset].get("reduced", {})
        own = {name: found.pop(name) for name in _TRIAL if name in found}
        return {"method": self.method, "settings": found, **own}

    def minutes(self, dataset: str, budget: str) -> float | None:
        """Return the minutes of a fit and its scores on one core; None if they were neither measured nor estimated."""
        known = self.sets.get(dataset, {}).get("minutes", {})
        return known.get(budget, known.get("published") if "reduced" not in self.sets.get(dataset, {}) else None)


def names() -> list[str]:
    """Return the names of all recipes."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


@functools.cache
def read_recipe(name: str) -> Recipe:
    """Return a recipe by its name.

    Raises
    ------
    ValueError
        If there is no such recipe, or its file has an unknown key.
    """
    if name not in names():
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(names())}")
    values = tomllib.loads((_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    for where, known, given in [("", _KEYS, values), *((f", {s}", _SET_KEYS, v) for s, v in values["sets"].items())]:
        if unknown := sorted(given.keys() - known):
            raise ValueError(f"recipe {name}{where}: unknown key {unknown[0]!r}; the known ones are {sorted(known)}")
    return Recipe(**values)


def recipe_for(method: str, shape: Sequence[int], budget: str) -> tuple[str, dict[str, Any]]:
    """Return the recipe for other rows than those of a paper: that of the most similar data set.

    Parameters
    ----------
    method : str
        A class of `tollad.methods`.
    shape : sequence of int
        Shape of a row, (d,), or of an image, (H, W) or (C, H, W).
    budget : str
        One of `BUDGETS`.

    Returns
    -------
    dataset : str
        The data set of the recipe; empty if there is none with such rows.
    fields : dict
        Fields of the method. All others have their defaults.
    """
    is_table, is_grey = len(shape) == 1, len(shape) == 2 or shape[0] == 1
    for dataset in _OF_TABLES if is_table else _OF_GREY if is_grey else _OF_COLOUR:
        for recipe in map(read_recipe, names()):
            if recipe.method == method and dataset in recipe.sets:
                return dataset, dict(recipe.values(dataset, budget)["settings"])
    return "", {"scale": "standardise" if is_table else "unit"}
