"""The model file of an image detector: levels as tensors, all else as one JSON text."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tollad.calibration import Decision
from tollad.images.checks import check_parameters
from tollad.images.heads import HEADS
from tollad.images.levels import Positions, Whole
from tollad.images.positions import NearestPositions, from_arrays
from tollad.images.scorer import ImageScorer
from tollad.io import artifact
from tollad.io.artifact import under_prefix
from tollad.io.source import notes_and_source

_KIND: artifact.FileKind = "image model"
_MOST_PIXELS = 1 << 16  # in each direction


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
    wholes, positions = scorer.wholes, scorer.positions
    for number, whole in enumerate(wholes):
        tensors |= {f"whole.{number}.{name}": array for name, array in whole.head.arrays().items()}
    if positions is not None:
        tensors |= {f"places.{name}": array for name, array in positions.arrays().items()}
    described = {
        **metadata,
        "wholes": [[level.name, level.kind, level.unit] for level in wholes],
        "places": None if positions is None else [list(positions.names), 1.0],
        "map_unit": scorer.map_unit,
        "offset": decision.offset,
        "rule": list(decision.rule),
    }
    sealed = {**described, "seal": artifact.seal(described, tensors)}
    artifact.save(path, _KIND, sealed, tensors, overwrite=overwrite)


def check_described(metadata: Mapping[str, Any]) -> None:
    """Raise an error of any type if a description is not that of an image detector: a file may hold anything."""
    parameters, shape = metadata["parameters"], metadata["input_shape"]
    # The representation of the user may not be installed here; its name is checked when it is needed.
    check_parameters({**parameters, "representation": "auto"})
    if not (len(shape) == 3 and all(type(side) is int and 0 < side < _MOST_PIXELS for side in shape)):
        raise ValueError(f"images of shape {shape!r:.60}")
    if type(parameters["random_state"]) is not int or type(parameters["representation"]) is not str:
        raise TypeError("parameters of another kind")
    if metadata["head"] not in HEADS or not isinstance(metadata["choice"], str):
        raise ValueError(f"an unknown head {metadata['head']!r:.40}")
    if not isinstance(metadata["weights"], str | None):
        raise TypeError("weights without a digest")
    units = [unit for _, _, unit in metadata["wholes"]] + [metadata["map_unit"]]
    units += [] if metadata["places"] is None else [metadata["places"][1]]
    if not all(type(unit) is float and 0 < unit < math.inf for unit in units):
        raise ValueError("units that are no finite numbers above 0")
    notes_and_source(metadata)


@dataclass(frozen=True)
class Saved:
    """The content of a model file: parts of the scorer, the decision, and whether a seal holds them together."""

    wholes: tuple[Whole, ...]
    positions: Positions | NearestPositions | None
    map_unit: float
    decision: Decision
    is_sealed: bool


def load_state(path: str | os.PathLike[str]) -> tuple[dict[str, Any], Saved]:
    """Read a file of `save_state`.

    Raises
    ------
    ValueError
        If the file is no such model, is damaged or altered, or holds less than this tollad knows.
    OSError
        If the file cannot be read.
    """
    metadata, tensors = artifact.load(path, _KIND)
    with artifact.understood(path):
        # Older files have no seal.
        seal = metadata.pop("seal", None)
        if seal not in (None, artifact.seal(metadata, tensors)):
            raise ValueError("parts that do not belong together")
        check_described(metadata)
        wholes = tuple(
            Whole(name, kind, HEADS[kind].from_arrays(under_prefix(tensors, f"whole.{number}.")), unit)
            for number, (name, kind, unit) in enumerate(metadata["wholes"])
        )
        positions = None
        if metadata["places"] is not None:
            names, unit = metadata["places"]
            positions = from_arrays(tuple(names), unit, under_prefix(tensors, "places."))
        rule, value = metadata["rule"]
        decision = Decision(
            metadata["offset"], (rule, value), tensors["training_scores"], tensors.get("calibration_scores")
        )
        decision.check()
        return metadata, Saved(wholes, positions, metadata["map_unit"], decision, seal is not None)
