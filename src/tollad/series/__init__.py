"""Series: `SeriesDetector`, its clock, windows and scores of time steps, thresholds in time, events and streams.

It composes a detector of rows, whose rows are windows, and does not subclass it.
"""

from tollad.series.window import check_window, score_steps, step_scores, window_starts, windows

__all__ = ["check_window", "score_steps", "step_scores", "window_starts", "windows"]
