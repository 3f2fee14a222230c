"""Model: a fitted detector as plain parts, and the one file that holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from tollad.calibration import Decision, ThresholdRule
from tollad.detector import checks
from tollad.detector.fitting import build, objective_of
from tollad.detector.preparation import Preparation
from tollad.detector.scorer import Scorer
from tollad.detector.settings import Settings, check_settings
from tollad.io import artifact
from tollad.io.artifact import group
from tollad.io.source import Source, notes_and_source
from tollad.method.networks import traits_of
from tollad.method.traits import Builder
from tollad.tables.features import Features, column_names
from tollad.tables.schema import Column, encoding
from tollad.training.build import Modules, find_device, find_saved_device
from tollad.training.session import History


@dataclass(frozen=True, eq=False)
class Record:
    """What is kept of a fit besides what scores.

    Attributes
    ----------
    parameters : dict
        Of the constructor, as JSON can hold them: ``"custom"`` is a network of modules, and ``random_state`` the seed
        that was drawn.
    settings, history
        As the attributes of `tollad.TollDetector` of these names, without the underscore; so are the others below.
    input_shape : tuple of int
    feature_names : list of str or None
    named_by_numbers : bool
        Whether the names of the features were numbers, such as those that pandas gives.
    columns : list of Column or None
    n_steps : int
    notes : dict of JSON values
        Of the user: they change nothing.
    source : Source or None
        What the commands know of the file of the fit.
    """

    parameters: dict[str, Any]
    settings: Settings
    input_shape: tuple[int, ...]
    feature_names: list[str] | None
    named_by_numbers: bool
    columns: list[Column] | None
    n_steps: int
    history: History
    notes: dict[str, Any]
    source: Source | None = None


@dataclass(frozen=True, eq=False)
class Model:
    """All that a fitted detector is: rows become inputs, inputs become scores, scores become answers.

    Attributes
    ----------
    preparation : Preparation
    scorer : Scorer
    decision : Decision
    record : Record
    """

    preparation: Preparation
    scorer: Scorer
    decision: Decision
    record: Record

    def save(self, path: str | os.PathLike[str], *, overwrite: bool) -> None:
        """Write a model file: weights and scores as tensors, all else as one JSON text."""
        record, decision, scorer = self.record, self.decision, self.scorer
        metadata = {
            "parameters": record.parameters,
            "settings": asdict(record.settings),
            "input_shape": list(record.input_shape),
            "feature_names": record.feature_names,
            "named_by_numbers": record.named_by_numbers,
            "columns": None if record.columns is None else [column.to_json() for column in record.columns],
            "offset": decision.offset,
            "threshold_rule": list(decision.rule),
            "n_steps": record.n_steps,
            "history": asdict(record.history),
            "notes": record.notes,
            "source": None if record.source is None else record.source.to_json(),
        }
        tensors = {f"stack.{name}": tensor.cpu().numpy() for name, tensor in scorer.stack.state().items()}
        tensors |= {f"features.{name}": array for name, array in self.preparation.features.arrays().items()}
        tensors |= {"training_scores": decision.training_scores, "member_means": scorer.member_means}
        if decision.calibration_scores is not None:
            tensors["calibration_scores"] = decision.calibration_scores
        if scorer.center is not None:
            tensors["center"] = scorer.center.cpu().numpy()
        artifact.save(path, "model", metadata, tensors, overwrite=overwrite)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        network: Builder | Modules | None = None,
    ) -> Self:
        """Read a model file: the way back from `save`.

        Parameters
        ----------
        path : path
        device : str or torch.device, optional
            Where to run; by default the parameter `device` of the record.
        network : builder or modules, optional
            For a network that the file does not know by name.

        Raises
        ------
        ValueError
            If the file is no tollad model, is damaged or altered, holds less or more than this tollad knows, or needs
            `network`.
        OSError
            If the file cannot be read.
        """
        metadata, arrays = artifact.load(path, "model")
        try:
            record = _record(metadata)
            features = Features.from_arrays(group(arrays, "features."))
            rule, value = _threshold_rule(metadata)
            decision = Decision(
                metadata["offset"], (rule, value), arrays["training_scores"], arrays.get("calibration_scores")
            )
            weights, means = group(arrays, "stack."), arrays["member_means"]
            _check(record, features, decision, weights, means)
            known = record.parameters["network"]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise artifact.unknown(path, error) from error
        if known == "custom" and network is None:
            raise ValueError(f"{os.fspath(path)} holds weights of modules of your own; pass network=(encoder, decoder)")
        if known != "custom" and network is not None:
            raise ValueError(f"{os.fspath(path)} holds network {known!r}; load it without network=")
        chosen = known if network is None else network
        named = find_saved_device(path, record.parameters["device"]) if device is None else device
        record, place = replace(record, parameters=record.parameters | {"device": named}), find_device(named)
        settings = record.settings
        preparation = Preparation(
            features,
            tuple(_names(record)),
            None if record.columns is None else encoding(record.columns),
            traits_of(chosen if settings.network == "custom" else settings.network).n_axes,
            settings.n_members,
        )
        stack, _ = build(chosen, settings, preparation, record.input_shape, record.parameters["random_state"], place)
        stack.eval().load_state({name: torch.from_numpy(array) for name, array in weights.items()})
        center = torch.from_numpy(arrays["center"]).to(place) if "center" in arrays else None
        return cls(preparation, Scorer(stack, objective_of(settings), center, means), decision, record)


def _record(metadata: Mapping[str, Any]) -> Record:
    settings, columns = metadata["settings"], metadata["columns"]
    notes, source = notes_and_source(metadata)
    hidden = settings["hidden"]
    return Record(
        parameters=metadata["parameters"],
        settings=Settings(**settings | {"hidden": None if hidden is None else tuple(hidden)}),
        input_shape=tuple(metadata["input_shape"]),
        feature_names=metadata["feature_names"],
        named_by_numbers=metadata.get("named_by_numbers", False),
        columns=None if columns is None else [Column.from_json(column) for column in columns],
        n_steps=metadata["n_steps"],
        history=History(**metadata["history"]),
        notes=notes,
        source=source,
    )


def _names(record: Record) -> Sequence[str]:
    if record.columns is not None:
        return [column.name for column in record.columns]
    names = record.feature_names
    return column_names(None if names is None else np.array(names, dtype=object), record.input_shape[0])


def _check(
    record: Record,
    features: Features,
    decision: Decision,
    weights: Mapping[str, NDArray[Any]],
    member_means: NDArray[np.float64],
) -> None:
    """Raise for values that fit no detector or not each other: NumPy would stretch some of them in silence."""
    check_settings(record.settings)
    shape, n_members = record.input_shape, record.settings.n_members
    if not 1 <= len(shape) <= 3 or not all(isinstance(side, int) and side > 0 for side in shape):
        raise ValueError(f"rows of shape {shape}")
    checks.number()("offset", decision.offset)
    rule, value = decision.rule
    if rule not in get_args(ThresholdRule):
        raise ValueError(f"unknown rule {rule!r} of the threshold")
    checks.number()(rule, value)
    names = (record.feature_names, record.columns)
    if any(part is not None and len(part) != shape[0] for part in names):
        raise ValueError(f"names of other columns than the {shape[0]} of the rows")
    if member_means.shape != (n_members,) or any(len(array) != n_members for array in weights.values()):
        raise ValueError(f"other members than {n_members}")
    if decision.training_scores.ndim != 1 or not isinstance(record.notes, dict):
        raise ValueError("training scores or notes of another kind")
    if len(shape) == 1:
        width = shape[0] if record.columns is None else len(encoding(record.columns).names)
        known: set[tuple[int, ...]] = {(width + len(features.flagged),)}
    else:
        width = 0
        known = {(shape[0], 1, 1)} if len(shape) == 3 else {(1, 1, 1), (shape[0], 1)}  # images, or series
    constants = (features.mean, features.scale, features.arcsinh_mean, features.arcsinh_scale, features.limit)
    if features.fill.shape != (width,) or any(part.shape not in {(0,), *known} for part in constants):
        raise ValueError("constants of other columns than those of the rows")


def _threshold_rule(metadata: Mapping[str, Any]) -> tuple[ThresholdRule, float]:
    parameters = metadata["parameters"]
    by = "contamination" if parameters["false_alarm_rate"] is None else "false_alarm_rate"
    # The first files do not say by which rule, but then these were the only two.
    rule, value = metadata.get("threshold_rule", (by, parameters[by]))
    return rule, value
