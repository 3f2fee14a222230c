"""Methods under one protocol: those of the paper's tables, and reference lines, each in its file.

A method is a dataclass with `fit`, `anomaly_score`, `state` and `load_state`, see `tollad.methods.method.Method`; its
fields are its recipe. Nothing lists the methods: `names` looks through the files of this folder. Departures from a
source are marked ``NOTE[DIFF]`` with the reason. `MethodDetector` gives any of them a threshold and a model file.

Examples
--------
>>> import numpy as np
>>> from tollad.methods import DistanceToMean
>>> DistanceToMean().fit(np.zeros((3, 2))).anomaly_score(np.array([[3.0, 4.0]]))
array([5.])
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import pkgutil
from typing import Any


def find(name: str) -> Any:
    """Return the class of a method by its name.

    Raises
    ------
    ValueError
        If there is no such method; the message lists the known ones.
    """
    known = _known(tuple(__path__))
    if name not in known:
        near = difflib.get_close_matches(name.lower(), {known.lower(): known for known in names()}, n=3)
        meant = [known for known in names() if known.lower() in near]
        hint = f"did you mean {' or '.join(meant)}? The" if meant else "the"
        raise ValueError(f"there is no method {name!r}; {hint} known ones are {', '.join(names())}")
    return known[name]


def make(name: str, **recipe: Any) -> Any:
    """Return a method by the name of its class, with these fields of its recipe.

    Raises
    ------
    ValueError
        If there is no such method or field, or the field takes no such value.
    """
    kind = find(name)
    fields = [field.name for field in dataclasses.fields(kind)]
    if unknown := sorted(recipe.keys() - set(fields)):
        raise ValueError(f"{name} has no {unknown[0]!r}; it has {', '.join(fields)}")
    return kind(**recipe)


def names() -> list[str]:
    """Return the names of all methods: those of their classes."""
    return sorted(_known(tuple(__path__)))


@functools.cache
def _known(folders: tuple[str, ...]) -> dict[str, type]:
    """Return each class with a title of its own in the files of these folders, by name."""
    found: dict[str, type] = {}
    for file in sorted(module.name for module in pkgutil.iter_modules(folders)):
        module = importlib.import_module(f"{__name__}.{file}")
        for name, member in vars(module).items():
            own = inspect.isclass(member) and member.__module__ == module.__name__
            if own and "title" in vars(member) and not inspect.isabstract(member):
                found[name] = member
    return found


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return names()
    if name == "MethodDetector":
        return importlib.import_module(f"{__name__}.detector").MethodDetector
    if not name.startswith("_") and name[0].isupper() and name in names():
        return find(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*names(), "MethodDetector", "find", "make", "names"]
