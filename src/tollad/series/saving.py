"""Saving a fitted `SeriesDetector` to a file, and loading it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from tollad.detector.parameters import check_parameters
from tollad.io import artifact
from tollad.io.source import Source
from tollad.series import storage
from tollad.series.model import SeriesModel
from tollad.series.parameters import SERIES_NAMES, SERIES_PARAMETERS, WINDOW_NAMES

if TYPE_CHECKING:
    import torch


class SeriesSaving(BaseEstimator):
    """The methods `save`, `load` and `to_onnx` of a detector of series."""

    model_: SeriesModel
    n_features_in_: int

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        notes: Mapping[str, Any] | None = None,
        overwrite: bool = True,
        source: Source | None = None,
    ) -> None:
        """Write the fitted detector as one safe file: safetensors, nothing that runs code.

        Parameters
        ----------
        path, notes, overwrite, source
            As in `TollDetector.save`.

        Raises
        ------
        ValueError, TypeError, OSError
            As `TollDetector.save`.
        """
        check_is_fitted(self)
        parameters = {name: getattr(self, name) for name in SERIES_NAMES}
        kept = self.model_.notes if notes is None else notes
        storage.save(path, self.model_, parameters, kept, source or self.model_.source, overwrite=overwrite)

    def to_onnx(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the fitted detector as one ONNX graph. Its label marks all steps above the threshold, without trimming.

        Parameters and errors as in `tollad.TollDetector.to_onnx`; a model with an adaptive threshold has no graph.
        """
        check_is_fitted(self)
        # Imported by name, since `serve` imports `series` and only this method needs the reverse.
        importlib.import_module("tollad.serve.onnx_series").write_series(self.model_, path, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, device: str | torch.device | None = None) -> Self:
        """Read a detector written by `save`, or by the command line of the first version.

        Parameters
        ----------
        path : path
        device : str or torch.device, optional
            As in `TollDetector.load`.

        Raises
        ------
        ValueError
            If the file is no model of a series, or is damaged or altered.
        OSError
            If the file cannot be read.
        """
        fitted, parameters = storage.load(path, device)
        own = {name: value for name, value in fitted.detector.get_params().items() if name in WINDOW_NAMES}
        with artifact.understood(path):
            self = cls(**own | parameters)
            check_parameters(self.get_params(deep=False), SERIES_PARAMETERS)
        self.model_, self.n_features_in_ = fitted, len(fitted.columns)
        return self
