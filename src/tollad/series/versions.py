"""Which model files are of a series, and which of the first version. Nothing else is imported for this."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def is_series(metadata: Mapping[str, Any]) -> bool:
    """Return whether metadata are those of a model file of a series."""
    return "series" in metadata or is_first_version(metadata)


def is_first_version(metadata: Mapping[str, Any]) -> bool:
    """Return whether a file is of the first version, which kept the data of the series among the notes of the user."""
    notes = metadata.get("notes")
    old = isinstance(notes, dict) and not {"series", "source"} & metadata.keys()
    record = dict(notes or {}).get("series") if old else None
    return isinstance(record, dict) and set(record) == {"columns", "window", "stride", "time"}
