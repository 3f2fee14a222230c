"""Pictures: scores, reasons, images, series, theory and the tables of the paper. No other room imports matplotlib."""

from tollad.plots.images import part_map, part_maps
from tollad.plots.maps import image_maps
from tollad.plots.scores import reason_bars, score_distributions, two_term_map
from tollad.plots.series import scored_series
from tollad.plots.style import picture_format
from tollad.plots.sweep import sweep_criteria

__all__ = [
    "image_maps",
    "part_map",
    "part_maps",
    "picture_format",
    "reason_bars",
    "score_distributions",
    "scored_series",
    "sweep_criteria",
    "two_term_map",
]
