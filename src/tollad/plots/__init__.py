"""Pictures: scores, reasons, images, series, theory and the tables of the paper. Only here is matplotlib imported."""

from tollad.plots.pictures import (
    part_map,
    part_maps,
    picture_format,
    reason_bars,
    score_distributions,
    two_term_map,
)
from tollad.plots.series import scored_series

__all__ = [
    "part_map",
    "part_maps",
    "picture_format",
    "reason_bars",
    "score_distributions",
    "scored_series",
    "two_term_map",
]
