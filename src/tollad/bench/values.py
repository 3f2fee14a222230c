"""Values: the base of the kinds of work in `tollad.bench.spec`, and helpers for their fields."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self


class Values:
    """The base of `Run`, `Baseline` and `Trial`, which are frozen dataclasses of plain values."""

    protocol: str
    dataset: str
    normal: int | None
    split_seed: int

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """Return an object from a mapping, such as that of ``dataclasses.asdict`` or of a table's TOML.

        Raises
        ------
        ValueError
            If a name is unknown or one is missing.
        """
        fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
        if unknown := sorted(values.keys() - fields.keys()):
            raise ValueError(f"a {cls.__name__.lower()} has no {unknown[0]!r}; it has {', '.join(fields)}")
        required = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
        if absent := sorted(required - values.keys()):
            raise ValueError(f"the {cls.__name__.lower()} lacks {absent[0]!r}")
        return cls(**values)

    @property
    def task_name(self) -> str:
        """Protocol, data set, normal class and split, for messages."""
        normal = "" if self.normal is None else f" {self.normal}"
        split = f" split {self.split_seed}" if self.split_seed else ""
        return f"{self.protocol} {self.dataset}{normal}{split}"

    def need(self, holds: bool, name: str, wanted: str) -> None:
        """Raise ValueError unless a condition on a field holds; the message says the wanted values."""
        if not holds:
            raise ValueError(f"{name} of a {type(self).__name__.lower()} must be {wanted}, not {getattr(self, name)!r}")


def task_of(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a task among the values of a cell."""
    return {name: cell[name] for name in ("protocol", "dataset", "normal", "split_seed") if name in cell}


def frozen_pairs(given: Iterable[tuple[str, Any]]) -> tuple[tuple[str, Any], ...]:
    """Return (name, value) pairs sorted by name, with lists as tuples."""
    return tuple(sorted((name, _frozen(value)) for name, value in given))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, list | tuple) else value


def digest(values: Any) -> str:
    """Return 16 hex digits of the SHA-256 of values as canonical JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
