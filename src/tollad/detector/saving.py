"""Saving a fitted `TollDetector` to a file, and loading it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any, Self

import torch
from sklearn.base import BaseEstimator

from tollad.detector import checks
from tollad.detector.decisions import check_fitted
from tollad.detector.fitted import Fitted
from tollad.detector.model import Model, Record
from tollad.detector.parameters import check_parameters
from tollad.detector.settings import as_json
from tollad.io import artifact
from tollad.io.source import Source
from tollad.method.traits import Builder
from tollad.training.build import Modules


class Saving(Fitted, BaseEstimator):
    """The methods `save`, `load` and `to_onnx` of a detector, and its fitted attributes as a `Model`."""

    network: str | Builder | Modules

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        notes: Mapping[str, Any] | None = None,
        overwrite: bool = True,
        source: Source | None = None,
    ) -> None:
        """Write the fitted detector as one safe file: safetensors, nothing that runs code.

        Weights, constants and training scores are tensors; parameters, column names, threshold, versions and the
        training curve are one JSON text; a SHA-256 guards every byte. Modules of your own are saved as tensors only:
        `load` then needs the modules again.

        Parameters
        ----------
        path : path
        notes : mapping of JSON values, optional
            Anything worth knowing, such as where the rows came from; `load` returns it as `notes_`. By default the
            notes that the detector was loaded with; ``{}`` for none.
        overwrite : bool, default True
            Whether an existing file may be replaced.
        source : tollad.io.source.Source, optional
            How the file of the fit was read; later files are read in the same way. By default `source_`.

        Raises
        ------
        ValueError, TypeError
            If the notes are not valid JSON (NaN and infinity are not) or take more than about 40 MB; if parameters were
            set after the fit to values out of range, or `network` to modules.
        OSError
            If the file cannot be written, or exists and `overwrite` is False. An existing file is then unchanged.
        """
        self.as_model(notes, source).save(path, overwrite=overwrite)

    def to_onnx(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the fitted detector as one ONNX graph: preprocessing, networks, score, threshold and p-value.

        `tollad.runtime` scores by it without torch; any other ONNX runtime can, too. Needs the extra ``onnx``.

        Parameters
        ----------
        path : path
        overwrite : bool, default True
            Whether an existing file may be replaced.

        Raises
        ------
        ImportError
            Without the package onnx.
        ValueError
            For a detector that cannot be written as a graph: with a layer of your own, or a term that no graph holds.
            Nothing is written then.
        OSError
            If the file cannot be written.
        """
        # Imported by name, since `serve` imports `detector` and only this method needs the reverse.
        importlib.import_module("tollad.serve.onnx").write_onnx(self.as_model(), path, overwrite=overwrite)

    def as_model(self, notes: Mapping[str, Any] | None = None, source: Source | None = None) -> Model:
        """Return the fitted detector as a `Model`; `notes` and `source` are those of `save`."""
        check_fitted(self)
        parameters = self.get_params()
        check_parameters(parameters)  # set_params may have set what `load` would refuse
        if not isinstance(self.network, str) and self.settings_.network != "custom":
            raise ValueError(
                f"network was {self.settings_.network!r} at the fit and is now modules of your own; fit again, or set "
                "network back before saving"
            )
        parameters |= {"random_state": self._seed, "device": str(parameters["device"])}
        if self.settings_.network == "custom":
            parameters["network"] = "custom"
        named_by_numbers = hasattr(self, "_numbered_names")
        names = self._numbered_names if named_by_numbers else getattr(self, "feature_names_in_", None)
        record = Record(
            parameters={name: as_json(value) for name, value in parameters.items()},
            settings=self.settings_,
            input_shape=self.input_shape_,
            feature_names=None if names is None else [str(name) for name in names],
            named_by_numbers=named_by_numbers,
            columns=getattr(self, "columns_", None),
            n_steps=self.n_steps_,
            history=self.history_,
            notes=dict(self.notes_ if notes is None else notes),
            source=self.source_ if source is None else source,
        )
        return Model(self._preparation, self._scorer, self.decision_, record)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        network: Builder | Modules | None = None,
        sha256: str | None = None,
    ) -> Self:
        """Read a detector written by `save`; it gives the same scores to the bit on the same machine.

        The content is checked before memory is allocated for the network. The digest in a file detects accidents. It is
        no signature, since anybody can compute it; to accept one particular file only, give its `sha256`.

        Parameters
        ----------
        path : path
        device : str or torch.device, optional
            Where to run; by default as saved, or on the CPU with a warning if this machine has no such device.
        network : builder, nn.Module or (encoder, decoder), optional
            For a detector with modules of your own: modules of the same architecture. Their weights are replaced.
        sha256 : str, optional
            SHA-256 of the file, as ``sha256sum`` prints it. Any other file is refused.

        Raises
        ------
        ValueError
            If the file is no tollad model, is damaged or altered, or needs `network`.
        TypeError
            If `network` is neither a builder nor modules.
        OSError
            If the file cannot be read.
        """
        if network is not None:
            checks.network("network", network)
            if isinstance(network, str):
                raise TypeError("network must be a builder or torch modules of your own; the file knows the names")
        model = Model.load(path, device=device, network=network, sha256=sha256)
        parameters = dict(model.record.parameters)
        if network is not None:
            parameters["network"] = network
        with artifact.understood(path):
            self = cls(**parameters)
            check_parameters(self.get_params())  # older files lack newer parameters, which now have their defaults
        return self._take(model)
