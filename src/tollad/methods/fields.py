"""Check the fields of a recipe by their types when a method is made."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

# Fields that count things of which a method needs at least one. Other counts may be 0.
_AT_LEAST_ONE = frozenset(
    {"batch_size", "critic_width", "latent_dim", "map_dim", "n", "n_components", "n_fit", "n_maps", "n_rows"}
    | {"n_slots", "n_starts", "n_trees", "n_units", "side", "steps", "widen", "width"}
)
# Numbers that not every value suits.
_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "bandwidth": ("above 0", lambda value: value > 0),
    "decay": ("from 0 to below 1", lambda value: value < 1),
    "feature_weight": ("from 0 to 1", lambda value: value <= 1),
    "seed": ("below 2**32", lambda value: value < 2**32),
    "nu": ("above 0 and at most 1", lambda value: 0 < value <= 1),
}


def check(method: Any) -> None:
    """Raise ValueError for the first field of a method that has another type or is out of range.

    Numbers are finite and not negative, shares at most 1; counts of networks and batches are 1 or more. Numbers of
    NumPy become those of Python, which files hold.
    """
    kind: type = type(method)
    for name, kinds, least in _declared(kind):
        value = _of_python(getattr(method, name))
        setattr(method, name, value)
        if not any(_is(value, each, least) for each in kinds):
            wanted = " or ".join(_described(each, least) for each in kinds)
            raise ValueError(f"{name} must be {wanted}, not {value!r:.60}")
        if name in _RANGES and not isinstance(value, str):
            wanted, suits = _RANGES[name]
            if not suits(value):
                raise ValueError(f"{name} must be {wanted}, not {value!r:.60}")


def _of_python(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(map(_of_python, value))
    return value.item() if isinstance(value, np.generic) else value


def holds_several(method: type, name: str) -> bool:
    """Return whether a field of a class of method is a tuple."""
    return any(get_origin(kind) is tuple for field, kinds, _ in _declared(method) if field == name for kind in kinds)


@functools.cache  # A table makes thousands of methods of one class.
def _declared(method: type) -> Sequence[tuple[str, Sequence[Any], int]]:
    """Return of each field its name, its types and the least integer that it may be."""
    hints = get_type_hints(method)
    return [(field.name, _kinds(hints[field.name]), int(field.name in _AT_LEAST_ONE)) for field in fields(method)]


def _kinds(hint: Any) -> Sequence[Any]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _is(value: Any, kind: Any, least: int) -> bool:
    origin = get_origin(kind)
    if origin is Literal:
        return value in get_args(kind)
    if origin is tuple:
        (each, _) = get_args(kind)
        return isinstance(value, tuple | list) and all(_is(part, each, 1 if each is int else 0) for part in value)
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value) and value >= 0
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least
    return isinstance(value, kind)


def _described(kind: Any, least: int) -> str:
    origin = get_origin(kind)
    if origin is Literal:
        return "one of " + ", ".join(get_args(kind))
    if origin is tuple:
        each = get_args(kind)[0]
        return f"a tuple of {_NAMES.get(each, 'values')}"
    if kind is int:
        return f"an integer from {least} up"
    return _NAMES.get(kind, str(kind))


_NAMES = {
    bool: "True or False",
    float: "finite and not negative",
    int: "integers from 1 up",
    str: "text",
    type(None): "None",
}
