"""The parameters of `SeriesDetector`, declared once: default, meaning, check, and option of the command line.

Neither torch nor NumPy is imported, so that the command line can build its help from this table.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tollad.detector import checks
from tollad.detector.declared import Parameter
from tollad.detector.parameters import PARAMETERS

OF_SERIES = (
    Parameter(
        name="window",
        default="auto",
        values='int >= 1 or "auto"',
        meaning="""
        Steps in a window. "auto" is 64, or a multiple of the period near 64 if the series has a clear period of 16 to
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
        Steps from one window to the next. "auto" is a sixteenth of a window, or more if that gives over 20,000
        windows.""",
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
        Time zone, such as "Europe/Berlin", of time stamps in local time. Of the hour that occurs twice in autumn, the
        order of the rows decides which one is meant. The hour that is skipped in spring is no gap.""",
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
        What to do where steps or values are missing. There is a gap between two steps if they are more than 1.5 times
        the usual time apart. "split": no window spans a gap. "interpolate": up to 16 missing steps in a row are
        interpolated linearly, longer gaps split the series, and a warning says how much was missing. "fail" raises an
        error. None takes rows as successive steps, warns of the first gap, and refuses missing values.""",
        check=checks.choice(("split", "interpolate", "fail", None)),
        option="text",
        metavar="NAME",
        help="Where steps or values are missing: split, interpolate (up to 16 in a row), fail, or none: warn of gaps.",
    ),
    Parameter(
        name="per_group",
        default=False,
        values="bool",
        meaning="""
        Whether each group of the fit has a model and a threshold of its own. A model of all groups judges those that
        are new, or too short to hold steps out for a threshold.""",
        check=checks.flag,
        option="flag",
        help="Learn a model for each group, beside one of all for groups that are new or short.",
    ),
    Parameter(
        name="causal",
        default=False,
        values="bool",
        meaning="""
        Whether the score of a step is that of the window which ends with it, so that it is known at once and never
        changes. Steps before the end of the first window have no score (NaN). Otherwise scores are known a window
        later, and rank steps better.""",
        check=checks.flag,
        option="flag",
        help="Score a time step by the window that it ends: at once, and never changed.",
    ),
    Parameter(
        name="adapt",
        default=False,
        values="bool",
        meaning="""
        Whether the threshold follows the series: it is a quantile of the last 2,000 scores, with a level that recent
        alarms correct, see `tollad.series.thresholds.AdaptiveThreshold`. The share of alarms stays near `contamination`
        even if the series drifts; but a lasting change stops raising alarms.""",
        check=checks.flag,
        option="flag",
        help="Let the threshold follow the series: few false alarms under drift, but what lasts stops to raise alarms.",
    ),
)
"""Parameters that `TollDetector` lacks."""

_OTHERWISE: dict[str, dict[str, Any]] = {
    "contamination": {
        "default": 0.01,
        "meaning": """
        Share of future steps above the threshold, if the series does not change. The threshold is the median, over
        three contiguous folds, of the quantile of the held-out scores. It is an estimate without a guarantee, since
        neighbouring steps depend on each other and a series may drift.""",
    },
    "false_alarm_rate": {
        "values": "float in (0, 1) or str",
        "meaning": """
        The largest share of new normal steps above the threshold, by the held-out scores of all folds; or a number of
        false alarms, such as "2 per day" (if time stamps are dates) or "1 per 1000 steps". If given, `contamination`
        has no effect.""",
        "check": checks.unchecked,
    },
    "steps": {
        "meaning": """
        Updates of the training. "auto" is 100 with denoising collapse (flat windows), since more steps memorise few
        windows.""",
    },
    "network": {
        "meaning": """
        As in `TollDetector`; "auto" is "mlp_layernorm", which takes flat windows and trains by denoising collapse.
        "conv1d" takes windows of shape (channels, steps).""",
    },
    "neighbors": {
        "meaning": """
        As in `TollDetector`, for windows; "auto" is 2,000, or as many as take 16 MB, and 0 for "conv1d". The distance
        is not divided by the density of windows. Unless `causal` or `adapt`, as many long windows are kept: of
        four windows, at most a sixth of the series. Their distance is a part of a step's score.""",
    },
    "neighbor_weight": {"default": 0.5},
}

OF_WINDOWS = tuple(parameter for parameter in PARAMETERS if parameter.name not in ("columns", "n_channels"))
"""Parameters of the detector of windows that a user may set."""

SERIES_PARAMETERS = (
    *OF_SERIES,
    *(replace(parameter, **_OTHERWISE.get(parameter.name, {})) for parameter in OF_WINDOWS),
)
"""All parameters of `SeriesDetector`, in the order of the documentation."""

SERIES_NAMES = (*(parameter.name for parameter in OF_SERIES), "contamination", "false_alarm_rate")
WINDOW_NAMES = frozenset(parameter.name for parameter in OF_WINDOWS) - {"contamination", "false_alarm_rate", "verbose"}
"""Names of the parameters of the series itself, and of the detector of its windows."""
