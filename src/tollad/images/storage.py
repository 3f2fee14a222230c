"""The model file of an image detector: levels as tensors, all else as one JSON text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tollad.calibration import Decision
from tollad.images.heads import HEADS
from tollad.images.levels import Places, Whole
from tollad.images.scorer import ImageScorer
from tollad.io import artifact
from tollad.io.artifact import group

_KIND: artifact.FileKind = "image model"


def save_state(
    path: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    scorer: ImageScorer,
    decision: Decision,
    *,
    overwrite: bool,
) -> None:
    """Write a model file, see `tollad.io.artifact.save`."""
    tensors: dict[str, NDArray[Any]] = {"training_scores": decision.training_scores}
    if decision.calibration_scores is not None:
        tensors["calibration_scores"] = decision.calibration_scores
    wholes, places = scorer.wholes, scorer.places
    for number, whole in enumerate(wholes):
        tensors |= {f"whole.{number}.{name}": array for name, array in whole.head.arrays().items()}
    if places is not None:
        tensors |= {f"places.{name}": array for name, array in places.arrays().items()}
    described = {
        **metadata,
        "wholes": [[level.name, level.kind, level.unit] for level in wholes],
        "places": None if places is None else [list(places.levels), places.unit],
        "map_unit": scorer.map_unit,
        "offset": decision.offset,
        "rule": list(decision.rule),
    }
    artifact.save(path, _KIND, described, tensors, overwrite=overwrite)


@dataclass(frozen=True)
class Saved:
    """What a model file holds of the scorer, and the decision."""

    wholes: tuple[Whole, ...]
    places: Places | None
    map_unit: float
    decision: Decision


def load_state(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Saved]:
    """Read a model file: the way back from `save_state`.

    Raises
    ------
    ValueError
        If the file is no such model, is damaged or altered, or holds less than this tollad knows.
    OSError
        If the file cannot be read.
    """
    metadata, tensors = artifact.load(path, _KIND)
    try:
        wholes = tuple(
            Whole(name, kind, HEADS[kind].from_arrays(group(tensors, f"whole.{number}.")), unit)
            for number, (name, kind, unit) in enumerate(metadata["wholes"])
        )
        places = None
        if metadata["places"] is not None:
            levels, unit = metadata["places"]
            places = Places.from_arrays(tuple(levels), unit, group(tensors, "places."))
        rule, value = metadata["rule"]
        decision = Decision(
            metadata["offset"], (rule, value), tensors["training_scores"], tensors.get("calibration_scores")
        )
        saved = Saved(wholes, places, metadata["map_unit"], decision)
        _ = {name: metadata[name] for name in ("parameters", "head", "choice", "weights", "input_shape", "notes")}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise artifact.unknown(path, error) from error
    return metadata, saved
