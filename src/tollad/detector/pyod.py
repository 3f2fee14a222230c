"""TollDetector with the interface of PyOD: high scores and label 1 for anomalies. Needs the extra `pyod`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from tollad.detector.estimator import TollDetector

try:
    from pyod.models.base import BaseDetector
except ImportError as error:
    raise ImportError("TollPyOD needs PyOD; install it with: pip install 'tollad[pyod]'") from error

# PyOD places the threshold itself, by its own contamination and the scores of all training rows.
_DEFAULTS = {
    name: value
    for name, value in TollDetector().get_params().items()
    if name not in ("contamination", "false_alarm_rate")
}


class TollPyOD(BaseDetector):
    """Anomaly detection by targeted collapse, for pipelines of PyOD.

    `predict`, `predict_proba`, `predict_confidence`, `fit_predict` and the rest are PyOD's own.

    Parameters
    ----------
    contamination : float in (0, 0.5] or a PyThresh object, default 0.1
        Share of the training rows to be labelled 1.
    **parameters
        Those of `tollad.TollDetector` except `false_alarm_rate`; `fit` checks their values.

    Attributes
    ----------
    decision_scores_ : ndarray of float64, (n,)
        Anomaly scores of the training rows, high = anomalous.
    threshold_ : float
        Rows with a higher score get the label 1.
    labels_ : ndarray of int, (n,)
        0 for normal training rows, 1 for anomalies.
    detector_ : tollad.TollDetector
        The fitted detector; its own threshold is `threshold_`.

    Raises
    ------
    TypeError
        For an unknown parameter, or a contamination that is neither a number nor a PyThresh object.
    ValueError
        For a contamination out of range.

    Examples
    --------
    >>> import numpy as np
    >>> normal = np.random.default_rng(0).normal(size=(500, 4))
    >>> detector = TollPyOD(steps=50, random_state=0).fit(normal)
    >>> detector.predict(np.array([[0.0, 0.0, 0.0, 0.0], [9.0, -9.0, 9.0, -9.0]]))
    array([0, 1])
    """

    def __init__(self, contamination: Any = 0.1, **parameters: Any) -> None:
        unknown = sorted(parameters.keys() - _DEFAULTS.keys())
        if unknown:
            raise TypeError(f"TollPyOD has no parameter {unknown[0]!r}; it has contamination, {', '.join(_DEFAULTS)}")
        if not isinstance(contamination, (int, float)) and not hasattr(contamination, "fit"):
            raise TypeError(f"contamination must be a float in (0, 0.5] or a PyThresh object, not {contamination!r}")
        super().__init__(contamination)
        for name, value in (_DEFAULTS | parameters).items():
            setattr(self, name, value)

    @classmethod
    def _get_param_names(cls) -> list[str]:
        # PyOD and scikit-learn take the names from the signature of __init__, which here has only **parameters.
        return sorted([*_DEFAULTS, "contamination"])

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Learn what is normal.

        Parameters
        ----------
        X : array-like
            Normal rows, as `tollad.TollDetector.fit` takes them.
        y : ignored

        Raises
        ------
        ValueError, TypeError, FloatingPointError
            As `tollad.TollDetector.fit` does.
        """
        self._set_n_classes(None)
        self.detector_ = TollDetector(**{name: getattr(self, name) for name in _DEFAULTS}).fit(X)
        self.decision_scores_ = self.detector_.training_scores_
        self._process_decision_scores()
        self.detector_.set_threshold(anomaly_score=float(self.threshold_))
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return `tollad.TollDetector.anomaly_score`: (n,), high = anomalous."""
        check_is_fitted(self, "detector_")
        return self.detector_.anomaly_score(X)
