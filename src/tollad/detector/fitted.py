"""Fitted: what a fitted detector of rows does. It needs no scikit-learn, whose import takes longer than many scores."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from tollad.calibration import Decision
from tollad.detector.decisions import DecisionMixin, check_fitted
from tollad.detector.explain import Explanation, explanation
from tollad.detector.model import Model
from tollad.detector.parameters import check_parameters, with_defaults
from tollad.detector.preparation import Preparation
from tollad.detector.scorer import Scorer
from tollad.detector.settings import Settings
from tollad.io import artifact
from tollad.io.source import Source
from tollad.method.objective import Objective
from tollad.tables.decode import decode
from tollad.tables.features import Features
from tollad.tables.rows import check_rows
from tollad.tables.schema import Column
from tollad.training.session import History
from tollad.training.stack import Stack


class Fitted(DecisionMixin):
    """Scores, explanations and decisions of a detector of rows. Its attributes are those of `tollad.TollDetector`.

    `TollDetector` adds what learns and saves, and the ways of scikit-learn. By itself this class is a model that was
    read from a file to score: ``tollad score`` starts sooner with it.

    Examples
    --------
    >>> import os, tempfile
    >>> from tollad import TollDetector
    >>> rows = np.random.default_rng(0).normal(size=(50, 2))
    >>> detector = TollDetector(steps=20, random_state=0).fit(rows)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     detector.save(path := os.path.join(folder, "model.tollad"))
    ...     fitted = read_fitted(path)
    >>> bool((fitted.anomaly_score(rows) == detector.anomaly_score(rows)).all())
    True
    """

    columns_: list[Column]
    notes_: dict[str, Any]
    source_: Source | None
    settings_: Settings
    history_: History
    n_steps_: int
    input_shape_: tuple[int, ...]
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    decision_: Decision
    _preparation: Preparation
    _scorer: Scorer
    _seed: int
    _numbered_names: list[str] | None

    def _take(self, model: Model) -> Self:
        """Set all fitted attributes from a model."""
        record = model.record
        self._preparation, self._scorer, self.decision_ = model.preparation, model.scorer, model.decision
        self.settings_, self.history_ = record.settings, record.history
        self.notes_, self.source_ = record.notes, record.source
        self.n_steps_, self.input_shape_ = record.n_steps, record.input_shape
        self.n_features_in_ = self.input_shape_[0]
        if record.named_by_numbers:
            self._numbered_names = record.feature_names
        elif record.feature_names is not None:
            self.feature_names_in_ = np.array(record.feature_names, dtype=object)
        if record.columns is not None:
            self.columns_ = record.columns
        self._seed = record.parameters["random_state"]
        return self

    def anomaly_score(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return a(x) of equation (3), in the units of the preprocessed inputs: (n,), high = anomalous.

        `X` has rows shaped as in `fit`. The score of a row does not depend on the other rows.
        """
        check_fitted(self)
        return self._scorer.scores(self._rows(X), self._preparation)

    def reconstruct(self, X: ArrayLike) -> NDArray[Any]:
        """Return the reconstructions in the shape and units of the rows of `X`: the mean over the members.

        For a frame with categories or dates this is an array of objects, see `tollad.tables.decode.decode`.
        """
        check_fitted(self)
        rows = self._rows(X)
        x_hat = self._scorer.reconstructions(rows, self._preparation)
        expected = self._preparation.reconstructed(x_hat, rows)
        return decode(expected, self.columns_) if hasattr(self, "columns_") else expected

    def explain(self, X: ArrayLike) -> Explanation:
        """Split the score of each row exactly into one part for each column, pixel or time step, and a latent part.

        Parameters
        ----------
        X : array-like
            Rows shaped as in `fit`.

        Returns
        -------
        tollad.detector.explain.Explanation
        """
        check_fitted(self)
        rows = self._rows(X)
        passed = self._scorer.explained(rows, self._preparation)
        words = () if self.source_ is None else self.source_.words
        return explanation(passed, X, rows, self._preparation, getattr(self, "columns_", None), words)

    @property
    def features_(self) -> Features:
        return self._preparation.features

    @property
    def truths_(self) -> NDArray[np.bool_] | None:
        """Which columns of a table of numbers take true and false for 1 and 0, (d,); None for other rows."""
        truths = self.features_.truths
        return truths if len(truths) == self.n_features_in_ and len(self.input_shape_) == 1 else None

    @property
    def stack_(self) -> Stack:
        return self._scorer.stack

    @property
    def objective_(self) -> Objective:
        return self._scorer.objective

    def _rows(self, X: ArrayLike) -> NDArray[Any]:
        """Return rows checked against those of the fit; warn of missing values in columns that had none then."""
        rows = check_rows(self, X)
        self._preparation.warn_of_new_gaps(rows, X)
        return rows


def read_fitted(path: str | os.PathLike[str], *, device: str | torch.device | None = None) -> Fitted:
    """Read a detector from the file that `TollDetector.save` wrote, to score and not to fit.

    Parameters, checks and errors are those of `TollDetector.load`; a file with modules of your own is refused.
    """
    model = Model.load(path, device=device)
    with artifact.understood(path):
        parameters = with_defaults(model.record.parameters)
        check_parameters(parameters)
    fitted = Fitted()
    fitted.contamination, fitted.false_alarm_rate = parameters["contamination"], parameters["false_alarm_rate"]
    return fitted._take(model)
