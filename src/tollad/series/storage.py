"""The model file of a series."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tollad.calibration import Decision
from tollad.detector.estimator import TollDetector
from tollad.io import artifact
from tollad.io.source import Source
from tollad.series.clock import Clock
from tollad.series.context import Context
from tollad.series.model import SeriesModel
from tollad.series.validation import check_model
from tollad.series.versions import is_first_version
from tollad.tables.large import temporary_space


def save(
    path: str | os.PathLike[str],
    model: SeriesModel,
    parameters: Mapping[str, Any],
    notes: Mapping[str, Any],
    source: Source | None,
    *,
    overwrite: bool,
) -> None:
    """Write a model file.

    Parameters
    ----------
    path, overwrite
        As in `tollad.TollDetector.save`.
    parameters : mapping of JSON values
        Parameters of the series; those of the windows are written with the detector.
    notes : mapping of JSON values
    source : Source or None
    """
    with tempfile.TemporaryDirectory(prefix="tollad-") as folder:
        part = Path(folder, "windows.tollad")
        with temporary_space():
            model.detector.save(part, notes=notes, source=source)
        metadata, tensors = artifact.load(part, "model")
    metadata["series"] = {
        "parameters": dict(parameters),
        "columns": model.columns,
        "time": model.clock.to_json(),
        "window": model.window,
        "stride": model.stride,
        "causal": model.causal,
        "trims": model.trims,
        "share": model.share,
        "n_steps": model.n_time_steps,
        "gaps": model.gaps,
        "group": model.group,
        "groups": model.groups,
        "folds": model.folds,
        "offset": model.decision.offset,
        "threshold_rule": list(model.decision.rule),
    }
    if model.context is not None:
        metadata["series"]["context"], arrays = model.context.saved()
        tensors |= {f"series.context.{name}": array for name, array in arrays.items()}
    tensors["series.training_scores"] = model.decision.training_scores
    if model.decision.calibration_scores is not None:
        tensors["series.calibration_scores"] = model.decision.calibration_scores
    # The model of a group is a file in the file, as it would be by itself.
    metadata["series"]["own"] = [*model.own]
    for number, one in enumerate(model.own.values()):
        with tempfile.TemporaryDirectory(prefix="tollad-") as folder:
            part = Path(folder, "group.tollad")
            with temporary_space():
                save(part, one, parameters, {}, source, overwrite=True)
            tensors[f"series.own.{number}"] = np.frombuffer(part.read_bytes(), np.uint8)
    metadata["seal"] = artifact.seal(metadata, tensors)
    artifact.save(path, "model", metadata, tensors, overwrite=overwrite)


def load(path: str | os.PathLike[str], device: Any = None) -> tuple[SeriesModel, dict[str, Any]]:
    """Read a file of `save`: the model, and the parameters of the series.

    Raises
    ------
    ValueError
        If the file is no model of a series, or is damaged or altered.
    OSError
        If the file cannot be read.
    """
    metadata, tensors = artifact.load(path, "model")
    old = is_first_version(metadata)
    if "series" not in metadata and not old:
        raise ValueError(f"{os.fspath(path)}: is a model of rows, not of a series; load it with TollDetector.load")
    detector = TollDetector.load(path, device=device)
    with artifact.understood(path):
        # Older files have no seal.
        if metadata.pop("seal", None) not in (None, artifact.seal(metadata, tensors)):
            raise ValueError("parts that do not belong together")
        if old:
            model, parameters = _of_first_version(detector, metadata["notes"]["series"])
            check_model(model)
            return model, parameters
        record = metadata["series"]
        rule, value = record["threshold_rule"]
        training, calibration = tensors["series.training_scores"], tensors.get("series.calibration_scores")
        of_context, long = record.get("context"), artifact.under_prefix(tensors, "series.context.")
        if of_context is None and long:
            raise ValueError("long windows without their length")
        model = SeriesModel(
            detector=detector,
            clock=Clock.from_json(record["time"]),
            decision=Decision(record["offset"], (rule, value), training, calibration),
            notes=detector.notes_,
            source=detector.source_,
            n_time_steps=record["n_steps"],
            context=None if of_context is None else Context.of_saved(of_context, long, detector.settings_),
            own=_own(record.get("own", []), artifact.under_prefix(tensors, "series.own."), device),
            **{name: record[name] for name in _PLAIN},
            # The first files of this version lack both.
            **{name: record[name] for name in ("gaps", "group", "groups") if name in record},
        )
        check_model(model)
        return model, record["parameters"]


_PLAIN = ("columns", "window", "stride", "causal", "trims", "share", "folds")


def _own(groups: Any, files: Mapping[str, NDArray[Any]], device: Any) -> dict[str, SeriesModel]:
    """Read the models of single groups, which are files in the file."""
    if (
        not isinstance(groups, list)
        or len({*groups}) < len(groups)
        or {*files} != {str(number) for number in range(len(groups))}
    ):
        raise ValueError("other models of groups than names")
    found = {}
    for number, group in enumerate(groups):
        with tempfile.TemporaryDirectory(prefix="tollad-") as folder:
            part = Path(folder, "group.tollad")
            with temporary_space():
                part.write_bytes(files[str(number)].tobytes())
            try:
                found[group] = load(part, device)[0]
            except ValueError:
                raise ValueError(f"no model of the group {group!r:.40}") from None
    return found


def _of_first_version(detector: TollDetector, record: Mapping[str, Any]) -> tuple[SeriesModel, dict[str, Any]]:
    """Read a file of the first version: its decision is that of time steps, and alarms are not trimmed."""
    scores = detector.training_scores_
    calibration = getattr(detector, "calibration_scores_", None)
    model = SeriesModel(
        detector=detector,
        columns=record["columns"],
        clock=Clock.from_json(record["time"]),
        window=record["window"],
        stride=record["stride"],
        causal=False,
        trims=False,
        share=None,
        decision=Decision(detector.offset_, detector.threshold_rule_, scores, calibration),
        folds=[len(scores)],
        n_time_steps=len(scores),
        notes=detector.notes_,
        source=detector.source_,
    )
    time = None if record["time"] is None else record["time"]["column"]
    asked = {name: getattr(detector, name) for name in ("contamination", "false_alarm_rate")}
    return model, {"window": record["window"], "stride": record["stride"], "time": time, **asked}
