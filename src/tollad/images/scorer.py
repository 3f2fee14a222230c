"""The scorer of an image detector: scores and anomaly maps from the levels of a representation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from tollad.images.heads import Floats, Head
from tollad.images.levels import Positions, Whole, enlarged, fit_whole, highest
from tollad.images.positions import NearestPositions, fit_positions
from tollad.images.representations import ImageFeatures, Representation
from tollad.images.selection import used_levels

POSITIONS = "positions"
_TINY = 1e-12
# The unit of maps of parts is learnt from at most this many images.
_OF_UNIT = 64


@dataclass(frozen=True)
class ImageScorer:
    """The levels, fitted to good images.

    Attributes
    ----------
    representation : Representation
    size : tuple of int, (H, W)
        Size of images and of maps.
    wholes : tuple of Whole
        Levels of the whole image.
    positions : Positions, NearestPositions or None
        The level of positions, for maps, and for scores if `judges_positions`.
    judges_positions : bool
    map_unit : float
        Unit of the maps, or of the scores by positions.
    """

    representation: Representation
    size: tuple[int, int]
    wholes: tuple[Whole, ...]
    positions: Positions | NearestPositions | None
    judges_positions: bool
    map_unit: float

    @classmethod
    def fit(
        cls,
        representation: Representation,
        size: tuple[int, int],
        seen: ImageFeatures,
        with_positions: NDArray[np.bool_],
        *,
        levels: str,
        head: str,
        fit: Callable[[NDArray[Any]], Head],
    ) -> tuple[Self, Floats]:
        """Fit to good images.

        Parameters
        ----------
        representation, size
            As the attributes.
        seen : ImageFeatures
            Features of n images, and of the positions in some of them.
        with_positions : ndarray of bool, (n,)
            The images with positions.
        levels : {"auto", "both", "image", "positions"}
        head : str
            Head of the levels of the whole image, a name in `tollad.images.heads.HEADS`.
        fit : callable
            Fits such a head to rows.

        Returns
        -------
        scorer : ImageScorer
        scores : ndarray of float64, (n,) or (with_positions.sum(),)
            Scores of the images by levels that were not fitted on them. If positions are scored, only for images with
            them.
        """
        scorer, scores, whole = cls(representation, size, (), None, False, 1.0), [], seen.whole
        if seen.positions:
            positions, unit, of_positions = fit_positions(seen.positions)
            scorer = replace(scorer, positions=positions, judges_positions=levels != "image", map_unit=unit)
            whole = {name: seen.whole[name] for name in used_levels(seen, positions, levels)}
            scores = [of_positions] if scorer.judges_positions else []
        for name, rows in whole.items():
            level, of_whole = fit_whole(name, head, rows, fit)
            scorer = replace(scorer, wholes=(*scorer.wholes, level))
            scores.append(of_whole[with_positions] if scorer.judges_positions else of_whole)
        if not seen.positions and scorer.has_maps:
            first = ImageFeatures({name: rows[:_OF_UNIT] for name, rows in whole.items()}, {})
            scorer = replace(scorer, map_unit=max(_TINY, float(scorer.maps(first).mean())))
        return scorer, joined(np.stack(scores, 1))

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the levels whose geometric mean is the score."""
        return (*(level.name for level in self.wholes), *([POSITIONS] if self.judges_positions else []))

    @property
    def has_maps(self) -> bool:
        return (
            self.positions is not None or self.representation.cells is not None or self.representation.name == "pixels"
        )

    def by_level(self, seen: ImageFeatures) -> Floats:
        """Return the scores by level, each divided by its unit: (n, n_levels)."""
        return self._by_level(seen, self._distances(seen) if self.judges_positions else None)

    def maps(self, seen: ImageFeatures) -> Floats:
        """Return anomaly maps: (n, H, W), >= 0."""
        return self._maps(seen, self._distances(seen))

    def explained(self, seen: ImageFeatures) -> tuple[Floats, Floats | None]:
        """Return the results of `by_level` and, if there are maps, of `maps`, from one pass."""
        distances = self._distances(seen)
        return self._by_level(seen, distances), self._maps(seen, distances) if self.has_maps else None

    def _distances(self, seen: ImageFeatures) -> Floats | None:
        return None if self.positions is None else self.positions(seen.positions)

    def _by_level(self, seen: ImageFeatures, distances: Floats | None) -> Floats:
        columns = [level.score(seen.whole[level.name]) for level in self.wholes]
        if distances is not None and self.judges_positions:
            columns.append(highest(distances) / self.map_unit)
        return np.stack(columns, 1)

    def _maps(self, seen: ImageFeatures, distances: Floats | None) -> Floats:
        if distances is not None:
            return enlarged(distances, self.size)
        (level,) = self.wholes
        parts = level.split(seen.whole[level.name])
        if self.representation.cells is not None:
            return enlarged(parts.reshape(len(parts), *self.representation.cells).sum(3), self.size) / self.map_unit
        return parts.sum(1) / self.map_unit


def joined(by_level: Floats) -> Floats:
    """Return the geometric mean over the levels: (n, n_levels) -> (n,)."""
    mean: Floats = np.exp(np.log(np.maximum(by_level, _TINY)).mean(1))
    return mean


def gathered(blocks: list[ImageFeatures]) -> ImageFeatures:
    """Concatenate the features of blocks of images."""
    first = blocks[0]
    return ImageFeatures(
        {name: np.concatenate([block.whole[name] for block in blocks]) for name in first.whole},
        {name: np.concatenate([block.positions[name] for block in blocks]) for name in first.positions},
    )
