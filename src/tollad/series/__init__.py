"""Series: time steps, the windows of them that a detector takes for rows, and windows' scores as scores of steps.

It uses a detector of rows as it is, and does not subclass it.
"""

from tollad.series.window import check_window, score_steps, step_scores, window_starts, windows

__all__ = ["check_window", "score_steps", "step_scores", "window_starts", "windows"]
