"""Scores become answers: thresholds that keep a promise, p-values, false discovery rate, and a watch for drift.

It knows scores and nothing else: no detector, no table, no torch.
"""

from tollad.calibration.conformal import ThresholdRule, benjamini_hochberg, overlap, p_values, rows_needed, threshold
from tollad.calibration.decision import Decision
from tollad.calibration.drift import Drift, DriftMonitor
from tollad.calibration.tail import TailFit, fit_tail

__all__ = [
    "Decision",
    "Drift",
    "DriftMonitor",
    "TailFit",
    "ThresholdRule",
    "benjamini_hochberg",
    "fit_tail",
    "overlap",
    "p_values",
    "rows_needed",
    "threshold",
]
