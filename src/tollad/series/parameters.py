"""The parameters of `SeriesDetector`, declared once: default, meaning, check, and option of the command line.

Neither torch nor NumPy is imported, so that the command line can build its help from this table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tollad.detector import checks
from tollad.detector.parameters import PARAMETERS, Parameter

OF_SERIES = (
    Parameter(
        name="window",
        default="auto",
        values='int >= 1 or "auto"',
        meaning="""
        Steps in a window. "auto" is 64, or near it a multiple of the period where the series has a clear one of 16 to
        128 steps; at most a sixth of the series.""",
        check=checks.integer(1, auto=True),
        option="window",
        metavar="N|auto",
        help="TRAIN is a series, its rows are time steps: learn from windows of N of them; auto is the period, or 64.",
    ),
    Parameter(
        name="stride",
        default="auto",
        values='int >= 1 or "auto"',
        meaning="""
        Steps from one window to the next. "auto" is a sixteenth of a window, and more for more than 20,000 windows.""",
        check=checks.integer(1, auto=True),
        option="window",
        metavar="N|auto",
        help="Steps from one window to the next; auto is a sixteenth of a window.",
    ),
    Parameter(
        name="time",
        default=None,
        values="str",
        meaning="""
        The column of a frame that holds the time stamps, numbers or dates, ascending. It is no feature.""",
        check=checks.unchecked,
        option="text",
        metavar="COL",
        help="Column of the time stamps of a series; they are checked to ascend.",
    ),
    Parameter(
        name="time_zone",
        default=None,
        values="str",
        meaning="""
        Of time stamps in local time without a zone, such as "Europe/Berlin": the hour that occurs twice in autumn is
        told apart by the order of the rows, and that which spring leaves out is no gap.""",
        check=checks.unchecked,
        option="text",
        metavar="ZONE",
        help="Of time stamps in local time, such as Europe/Berlin: an hour that occurs twice or never is no fault.",
    ),
    Parameter(
        name="gaps",
        default=None,
        values='{"split", "interpolate", "fail"} or None',
        meaning="""
        What to do where steps or values are missing; a step more than 1.5 usual times after the one before follows a
        gap. "split": no window reaches over it. "interpolate": up to 16 missing steps in a row are filled in a straight
        line, and longer ones split the series; what was missing is told with counts. "fail" raises. None takes rows for
        steps as they come, warns of the first gap, and refuses missing values.""",
        check=checks.choice(("split", "interpolate", "fail", None)),
        option="text",
        metavar="NAME",
        help="Where steps or values are missing: split, interpolate (up to 16 in a row), fail, or none: warn of gaps.",
    ),
    Parameter(
        name="causal",
        default=False,
        values="bool",
        meaning="""
        Whether a step is scored by the window that it ends, so that its score is known at once and never changes. The
        steps before the first whole window have no score (NaN). Otherwise a step is known a window later, and the
        ranking is better.""",
        check=checks.flag,
        option="flag",
        help="Score a time step by the window that it ends: at once, and never changed.",
    ),
    Parameter(
        name="adapt",
        default=False,
        values="bool",
        meaning="""
        Whether the threshold follows the series: a quantile of the last 2,000 scores whose level is corrected by the
        last alarms, see `tollad.series.thresholds.AdaptiveThreshold`. It keeps the share of alarms near `contamination`
        when the series drifts; in return a change that lasts stops to raise alarms.""",
        check=checks.flag,
        option="flag",
        help="Let the threshold follow the series: few false alarms under drift, but what lasts stops to raise alarms.",
    ),
)
"""Those of the series alone, which a table has no use for."""

_OTHERWISE: dict[str, dict[str, Any]] = {
    "contamination": {
        "default": 0.01,
        "meaning": """
        Share of future steps above the threshold, if the series goes on as it was. The threshold is the geometric mean
        over three contiguous folds of the quantile of the held-out scores: an estimate, no promise, since neighbouring
        steps say nearly the same and a series may drift.""",
    },
    "false_alarm_rate": {
        "values": "float in (0, 1) or str",
        "meaning": """
        Wins over `contamination`: the share of new normal steps above the threshold at most, by the held-out scores of
        all folds; or false stretches, as "2 per day" (of time stamps that are dates) or "1 per 1000 steps".""",
        "check": checks.unchecked,
    },
    "steps": {
        "meaning": """
        Updates of the training. "auto" is 100 with denoising collapse (flat windows): more memorise few windows.""",
    },
    "network": {
        "meaning": """
        As in `TollDetector`; "auto" is "mlp_layernorm", which takes windows flat and trains by denoising collapse.
        "conv1d" takes windows as they are.""",
    },
    "neighbors": {
        "meaning": """
        As in `TollDetector`, of windows; "auto" is 2,000, or as many as take 16 MB, and 0 for "conv1d". The distance
        counts as it is, however dense the windows are.""",
    },
    "neighbor_weight": {"default": 0.5},
}

OF_WINDOWS = tuple(parameter for parameter in PARAMETERS if parameter.name not in ("columns", "n_channels"))
"""Those of the detector of windows that are a user's to choose."""

SERIES_PARAMETERS = (
    *OF_SERIES,
    *(replace(parameter, **_OTHERWISE.get(parameter.name, {})) for parameter in OF_WINDOWS),
)
"""All parameters of `SeriesDetector`, in the order of the documentation."""
