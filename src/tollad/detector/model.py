"""Model: a fitted detector as plain parts, and the one file that holds them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from tollad.calibration import Decision, ThresholdRule
from tollad.detector import validation
from tollad.detector.fitting import objective_of, untrained_stack
from tollad.detector.nearest import Nearest
from tollad.detector.preparation import Preparation
from tollad.detector.scorer import Scorer
from tollad.detector.settings import Settings
from tollad.detector.whitening import Whitening
from tollad.io import artifact
from tollad.io.artifact import under_prefix
from tollad.io.source import Source, notes_and_source
from tollad.method.networks import traits_of
from tollad.method.traits import Builder
from tollad.tables.features import Features, column_names
from tollad.tables.schema import Column, encoding
from tollad.training.build import Modules, find_device, find_saved_device
from tollad.training.scoring import scoring_precision
from tollad.training.session import History
from tollad.training.stack import Stack
from tollad.warn import printable


@dataclass(frozen=True, eq=False)
class Record:
    """The facts of a fit that are kept besides the parts that score.

    Attributes
    ----------
    parameters : dict
        Constructor parameters as JSON values. The network is ``"custom"`` if it was given as modules; ``random_state``
        is the seed that was drawn.
    settings, history
        The attributes of `tollad.TollDetector` with these names and an underscore; so are `input_shape` and `n_steps`.
    input_shape : tuple of int
    feature_names : list of str or None
    named_by_numbers : bool
        Whether the features were named by numbers, as pandas does by default.
    columns : list of Column or None
    n_steps : int
    notes : dict of JSON values
        Notes of the user. They have no effect.
    source : Source or None
        How the file of the fit was read.
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
    """A fitted detector: rows become network inputs, inputs become scores, scores become labels and p-values.

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
        if self.preparation.whitening is not None:
            tensors |= {f"whitening.{name}": array for name, array in self.preparation.whitening.arrays().items()}
        tensors |= {"training_scores": decision.training_scores, "member_means": scorer.member_means}
        if decision.calibration_scores is not None:
            tensors["calibration_scores"] = decision.calibration_scores
        if scorer.center is not None:
            tensors["center"] = scorer.center.cpu().numpy()
        if scorer.nearest is not None:
            metadata["n_seen"] = scorer.nearest.n_seen
            tensors |= {
                f"nearest.{name}": getattr(scorer.nearest, name) for name in ("rows", "means", "factors", "reaches")
            }
        if record.settings.network != "custom":  # modules of the user may score at random
            rows = validation.rows_to_check(self.preparation, record.input_shape)
            scores = validation.scores_in_double(scorer, self.preparation, rows)
            tensors |= {"check.rows": rows if rows.ndim == 2 else rows.astype(np.float32), "check.scores": scores}
        sealed = {**metadata, "seal": artifact.seal(metadata, tensors)}
        artifact.save(path, "model", sealed, tensors, overwrite=overwrite)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        network: Builder | Modules | None = None,
        sha256: str | None = None,
    ) -> Self:
        """Read a model file: the way back from `save`.

        Parameters
        ----------
        path : path
        device : str or torch.device, optional
            Where to run; by default the parameter `device` of the record.
        network : builder or modules, optional
            For a network that was given as modules, of which the file has only the weights.
        sha256 : str, optional
            Expected digest of the file, see `tollad.io.packed.read_packed`.

        Raises
        ------
        ValueError
            If the file is no tollad model, is damaged or altered, lacks an entry, has an unknown one, or needs
            `network`.
        OSError
            If the file cannot be read.
        """
        metadata, arrays = artifact.load(path, "model", sha256=sha256)
        if "method" in metadata:
            method = printable(str(metadata["method"]))
            raise ValueError(f"{os.fspath(path)} holds a method; load it with tollad.methods.{method}.load")
        with artifact.understood(path):
            # Older files have no seal.
            if metadata.pop("seal", None) not in (None, artifact.seal(metadata, arrays)):
                raise ValueError("parts that do not belong together")
            known = metadata["parameters"]["network"]
            if not isinstance(known, str):
                raise TypeError("a network without a name")
        if known == "custom" and network is None:
            raise ValueError(f"{os.fspath(path)} holds weights of modules of your own; pass network=(encoder, decoder)")
        if known != "custom" and network is not None:
            raise ValueError(f"{os.fspath(path)} holds network {known!r:.40}; load it without network=")
        if device is not None:
            find_device(device)  # outside the block below, which would blame the file
        with artifact.understood(path):
            return cls._of(path, metadata, arrays, known if network is None else network, device)

    @classmethod
    def _of(
        cls,
        path: str | os.PathLike[str],
        metadata: Mapping[str, Any],
        arrays: dict[str, NDArray[Any]],
        network: str | Builder | Modules,
        device: str | torch.device | None,
    ) -> Self:
        """Return the model of the content of a file; ValueError or TypeError if any of it is not valid."""
        record, means = _record(metadata), arrays["member_means"]
        if not isinstance(record.notes, dict) or type(record.n_steps) is not int:
            raise TypeError("notes or a number of steps of another kind")
        settings, shape = record.settings, record.input_shape
        weights, center = under_prefix(arrays, "stack."), arrays.get("center")
        validation.check_row_shape(shape, None if settings.network == "custom" else weights)
        decision = Decision(
            metadata["offset"], _threshold_rule(metadata), arrays["training_scores"], arrays.get("calibration_scores")
        )
        decision.check()
        preparation = _preparation(record, arrays, network)
        validation.check_weights(weights, means, center, settings, preparation.input_shape(shape))
        named = find_saved_device(path, record.parameters["device"]) if device is None else device
        record, place = replace(record, parameters=record.parameters | {"device": named}), find_device(named)
        # Nothing is trained here, so the estimate of memory needs no batch.
        small = replace(settings, batch_size=1)
        stack, _ = untrained_stack(network, small, preparation, shape, record.parameters["random_state"], place)
        stack.eval().load_state({name: torch.from_numpy(array) for name, array in weights.items()})
        # Large weights should not be in memory twice.
        for name in weights:
            del arrays[f"stack.{name}"]
        del weights
        at = None if center is None else torch.from_numpy(center).to(place)
        nearest = None
        if settings.neighbors:
            nearest = _nearest(record, metadata["n_seen"], arrays, preparation, scoring_precision(stack))
        if "check.rows" in arrays:
            # Checked before the scorer makes another copy of the weights.
            _check_together(arrays, preparation, stack, settings, at, means, nearest)
        return cls(preparation, Scorer(stack, objective_of(settings), at, means, nearest), decision, record)


def _preparation(record: Record, arrays: Mapping[str, NDArray[Any]], network: str | Builder | Modules) -> Preparation:
    """Return the preparation of the content of a file; ValueError or TypeError if it is not valid."""
    shape, settings = record.input_shape, record.settings
    if record.feature_names is not None:
        validation.check_names(record.feature_names, shape[0])
    if record.columns is not None:
        validation.check_kept_columns(record.columns, shape[0])
    columns = None if record.columns is None else encoding(record.columns)
    features = Features.from_arrays(under_prefix(arrays, "features."))
    validation.check_features(features, shape, shape[0] if columns is None else len(columns.names))
    whitening = None
    if constants := under_prefix(arrays, "whitening."):
        validation.check_whitening(constants, features)
        whitening = Whitening.from_arrays(constants)
    n_axes = traits_of(network if settings.network == "custom" else settings.network).n_axes
    return Preparation(features, tuple(_names(record)), columns, n_axes, settings.n_members, whitening)


def _nearest(
    record: Record,
    n_seen: Any,
    arrays: Mapping[str, NDArray[Any]],
    preparation: Preparation,
    precision: torch.dtype,
) -> Nearest:
    """Return the kept training rows of the content of a file; ValueError if they are not valid."""
    kept, columns = under_prefix(arrays, "nearest."), preparation.encoding
    shape = record.input_shape if columns is None else (len(columns.names),)
    validation.check_nearest(kept, n_seen, shape, preparation.features.n_views)
    learnt = (kept["means"], kept["factors"], kept["reaches"])
    return Nearest.of(kept["rows"], n_seen, record.settings, preparation, precision, learnt)


def _check_together(
    arrays: Mapping[str, NDArray[Any]],
    preparation: Preparation,
    stack: Stack,
    settings: Settings,
    center: torch.Tensor | None,
    means: NDArray[np.float64],
    nearest: Nearest | None,
) -> None:
    """Raise ValueError unless the parts give the scores that the file notes, in double precision on the CPU."""
    plain = stack if stack.device.type == "cpu" else stack.to(device="cpu")
    center = None if center is None else center.cpu().double()
    scorer = Scorer(plain.eval(), objective_of(settings), center, means, nearest, doubled=True)
    rows = arrays["check.rows"].astype(np.float64)
    validation.check_scores(scorer.scores(rows, preparation), arrays["check.scores"])


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


def _threshold_rule(metadata: Mapping[str, Any]) -> tuple[ThresholdRule, float]:
    parameters = metadata["parameters"]
    by = "contamination" if parameters["false_alarm_rate"] is None else "false_alarm_rate"
    # The first files do not name the rule. There were only these two.
    rule, value = metadata.get("threshold_rule", (by, parameters[by]))
    return rule, value
