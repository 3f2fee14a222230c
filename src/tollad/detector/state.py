"""What a fitted detector is, as plain values, and the model file that holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from types import FunctionType
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from torch import nn

from tollad.calibration import ThresholdRule
from tollad.detector.settings import Settings, check_real, check_settings
from tollad.io import artifact
from tollad.tables.features import Features
from tollad.tables.schema import Column, encoding
from tollad.training.session import History


@dataclass(frozen=True)
class State:
    """All that a fitted detector needs to score, to go on training and to tell of itself.

    Attributes
    ----------
    parameters : dict
        Of the constructor, as JSON can hold them: ``"custom"`` is a network of modules, and ``random_state`` the seed
        that was drawn.
    settings, history, features
        As the attributes of `tollad.TollDetector` of these names, without the underscore; so are the others below.
    input_shape : tuple of int
    feature_names : list of str or None
    named_by_numbers : bool
        Whether the names of the features were numbers, such as those that pandas gives.
    columns : list of Column or None
    offset : float
    threshold_rule : (str, float)
    n_steps : int
    notes : dict of JSON values
    weights : dict of str to ndarray
        The state of the stack.
    member_means, training_scores : ndarray of float64, (M,) and (n,)
    calibration_scores : ndarray of float64 or None
    center : ndarray, (M, latent_dim), or None
        Where latents are to lie when that is no fixed point.
    """

    parameters: dict[str, Any]
    settings: Settings
    input_shape: tuple[int, ...]
    feature_names: list[str] | None
    named_by_numbers: bool
    columns: list[Column] | None
    offset: float
    threshold_rule: tuple[ThresholdRule, float]
    n_steps: int
    history: History
    notes: dict[str, Any]
    features: Features
    weights: dict[str, NDArray[Any]]
    member_means: NDArray[np.float64]
    training_scores: NDArray[np.float64]
    calibration_scores: NDArray[np.float64] | None
    center: NDArray[Any] | None


def save_state(path: str | os.PathLike[str], state: State, *, overwrite: bool) -> None:
    """Write a model file, see `tollad.io.artifact.save`: weights and scores as tensors, all else as one JSON text."""
    metadata = {
        "parameters": state.parameters,
        "settings": asdict(state.settings),
        "input_shape": list(state.input_shape),
        "feature_names": state.feature_names,
        "named_by_numbers": state.named_by_numbers,
        "columns": None if state.columns is None else [column.to_json() for column in state.columns],
        "offset": state.offset,
        "threshold_rule": list(state.threshold_rule),
        "n_steps": state.n_steps,
        "history": asdict(state.history),
        "notes": state.notes,
    }
    tensors = {f"stack.{name}": array for name, array in state.weights.items()}
    tensors |= {f"features.{name}": array for name, array in state.features.arrays().items()}
    tensors |= {"training_scores": state.training_scores, "member_means": state.member_means}
    if state.calibration_scores is not None:
        tensors["calibration_scores"] = state.calibration_scores
    if state.center is not None:
        tensors["center"] = state.center
    artifact.save(path, "model", metadata, tensors, overwrite=overwrite)


def load_state(path: str | os.PathLike[str]) -> State:
    """Read a model file: the way back from `save_state`.

    Raises
    ------
    ValueError
        If the file is no tollad model, is damaged or altered, or holds less or more than this tollad knows.
    OSError
        If the file cannot be read.
    """
    metadata, arrays = artifact.load(path, "model")
    try:
        settings, columns = metadata["settings"], metadata["columns"]
        hidden = settings["hidden"]
        state = State(
            parameters=metadata["parameters"],
            settings=Settings(**settings | {"hidden": None if hidden is None else tuple(hidden)}),
            input_shape=tuple(metadata["input_shape"]),
            feature_names=metadata["feature_names"],
            named_by_numbers=metadata.get("named_by_numbers", False),
            columns=None if columns is None else [Column.from_json(column) for column in columns],
            offset=metadata["offset"],
            threshold_rule=_threshold_rule(metadata),
            n_steps=metadata["n_steps"],
            history=History(**metadata["history"]),
            notes=metadata["notes"],
            features=Features.from_arrays(_group(arrays, "features.")),
            weights=_group(arrays, "stack."),
            member_means=arrays["member_means"],
            training_scores=arrays["training_scores"],
            calibration_scores=arrays.get("calibration_scores"),
            center=arrays.get("center"),
        )
        _check(state)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise artifact.unknown(path, error) from error
    return state


def _check(state: State) -> None:
    """Raise for values that fit no detector or not each other: NumPy would stretch some of them in silence."""
    check_settings(state.settings)
    shape, n_members = state.input_shape, state.settings.n_members
    if not 1 <= len(shape) <= 3 or not all(isinstance(side, int) and side > 0 for side in shape):
        raise ValueError(f"rows of shape {shape}")
    check_real(vars(state), "offset")
    rule, value = state.threshold_rule
    if rule not in get_args(ThresholdRule):
        raise ValueError(f"unknown rule {rule!r} of the threshold")
    check_real({rule: value}, rule)
    names = (state.feature_names, state.columns)
    if any(part is not None and len(part) != shape[0] for part in names):
        raise ValueError(f"names of other columns than the {shape[0]} of the rows")
    if state.member_means.shape != (n_members,) or any(len(array) != n_members for array in state.weights.values()):
        raise ValueError(f"other members than {n_members}")
    if state.training_scores.ndim != 1 or not isinstance(state.notes, dict):
        raise ValueError("training scores or notes of another kind")
    features = state.features
    if len(shape) == 1:
        width = shape[0] if state.columns is None else len(encoding(state.columns).names)
        known: set[tuple[int, ...]] = {(width + len(features.flagged),)}
    else:
        width = 0
        known = {(shape[0], 1, 1)} if len(shape) == 3 else {(1, 1, 1), (shape[0], 1)}  # images, or series
    constants = (features.mean, features.scale, features.arcsinh_mean, features.arcsinh_scale, features.limit)
    if features.fill.shape != (width,) or any(part.shape not in {(0,), *known} for part in constants):
        raise ValueError("constants of other columns than those of the rows")


def as_json(value: Any) -> Any:
    """Return a parameter of a detector as JSON can hold it; what it cannot hold becomes text."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)) and not any(isinstance(part, nn.Module) for part in value):
        return [as_json(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): as_json(part) for name, part in value.items()}
    if isinstance(value, (str, bool, type(None))):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, FunctionType):  # a builder of a network, whose text would name a place in memory
        return f"{value.__module__}.{value.__qualname__}"
    return float(value) if isinstance(value, Real) else str(value)


def _threshold_rule(metadata: Mapping[str, Any]) -> tuple[ThresholdRule, float]:
    parameters = metadata["parameters"]
    by = "contamination" if parameters["false_alarm_rate"] is None else "false_alarm_rate"
    # The first files do not say by which rule, but then these were the only two.
    rule, value = metadata.get("threshold_rule", (by, parameters[by]))
    return rule, value


def _group(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
