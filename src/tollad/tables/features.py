"""Features: the preprocessing from rows to inputs of a network, fitted on the training rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.tables.large import Rows, in_blocks
from tollad.warn import listed, warn

Preprocess: TypeAlias = Literal["auto", "standard"] | None

# Standardised values are clipped to this size, so that every score is finite.
CLIP = 50.0
# The scale of a constant column is this share of its size.
CONSTANT_UNIT = 1e-6
NONE = np.empty(0)


@dataclass(frozen=True)
class Features:
    """Constants that turn rows into network inputs.

    A table (2-d) keeps its columns, with missing values replaced by the training median. After them comes a flag, 0 or
    1, for each column of `flagged`: whether the value was missing. Columns and flags are then standardised. A row
    without any value is at the limit in all columns, if every column without a flag was always known. Images and series
    (3-d and 4-d) are standardised by channel.

    The columns of a wide table may be half standardised: divided by the square root of their standard deviation times
    its mean over these columns, but their standard deviation becomes no less than 0.2. So columns that hardly vary,
    mostly noise where all share a unit, count less. Or all may be divided by one number, see `fit_features`.

    There may be a second view of a table: the arcsinh of the standardised columns, standardised again, which
    shortens long tails. Members of a stack take the views in turn.

    Attributes
    ----------
    fill : ndarray of float64, (d,)
        The value that replaces missing ones of each column; empty for images and series.
    flagged : ndarray of int64, (k,)
        Numbers of the columns that had missing values among the training rows.
    mean, scale : ndarray of float64
        ``(x - mean) / scale``; (d + k,) for tables, (C, 1, ...) otherwise. Empty when values are taken as they are.
        The scale is the standard deviation, but that of a constant column is a millionth of its size, and that of a
        half standardised one as above.
    arcsinh_mean, arcsinh_scale : ndarray of float64, (d + k,)
        The same for the second view; empty when there is none.
    limit : ndarray of float64, (d + k,)
        Standardised values of a table are clipped to [-limit, limit]: 3 for flags, 10 for constant columns, 1,000 for
        windows of a series, else 50. Empty for images and series, and in older models, which clip at 50.

    Examples
    --------
    >>> from tollad.tables.fit_features import fit_features
    >>> features = fit_features(np.array([[1.0, 2.0], [3.0, np.nan], [5.0, 4.0]]), "standard", ["a", "b"])
    >>> features.flagged, features.transform(np.array([[3.0, np.nan]])).round(2)
    (array([1]), array([[[0.  , 0.  , 1.41]]]))
    """

    fill: NDArray[np.float64]
    flagged: NDArray[np.int64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    arcsinh_mean: NDArray[np.float64]
    arcsinh_scale: NDArray[np.float64]
    limit: NDArray[np.float64] = field(default_factory=lambda: NONE)

    @property
    def n_views(self) -> int:
        """Number of views of the rows: 2 with the arcsinh of a table, else 1."""
        return 2 if len(self.arcsinh_mean) else 1

    @property
    def most_arcsinh(self) -> NDArray[np.float64]:
        """Size to which reconstructions in the second view are clipped, lest sinh overflow: (d + k,) or a scalar."""
        return np.arcsinh(np.maximum(self.limit, CLIP) if len(self.limit) else np.array(CLIP))

    @property
    def truths(self) -> NDArray[np.bool_]:
        """Which columns of a table may have held only 0 and 1 among the training rows: (d,); all if nothing tells.

        Of images and series, which channels: (C,); none, (0,), if nothing tells.
        """
        n_columns = len(self.fill)
        if not len(self.mean):
            return np.ones(n_columns, dtype=np.bool_)
        if not n_columns:
            mean, scale = self.mean.ravel(), self.scale.ravel()
            # The scale of a constant channel is 1.
            return np.isclose(scale**2, mean * (1 - mean), rtol=1e-9, atol=0) | (np.isin(mean, (0, 1)) & (scale == 1))
        mean, scale = self.mean[:n_columns], self.scale[:n_columns]
        # What only 0 and 1 have is this variance. Missing values count as the median, which may be a half.
        binary = np.isclose(scale**2, mean * (1 - mean), rtol=1e-9, atol=0)
        binary[self.flagged] |= (self.fill == 0.5)[self.flagged] & (mean == 0.5)[self.flagged]
        return binary | (np.isin(mean, (0, 1)) & (scale <= CONSTANT_UNIT))

    @cached_property
    def _within(self) -> NDArray[np.float64] | None:
        """Size to which the second view is clipped; None if it is not. Standardising flags again changes nothing."""
        limit = self.limit
        return np.where(limit < CLIP, limit, np.inf) if (limit < CLIP).any() else None

    def transform(self, X: NDArray[Any]) -> NDArray[np.float64]:
        """Return the inputs for rows `X`, always finite: (n_views, n, d + k) for a table (n, d), else (1, *X.shape)."""
        values = np.asarray(X, dtype=np.float64)
        missing: Any = np.isnan(values)
        any_missing = len(self.fill) > 0 and missing.any()
        if len(self.fill):
            if any_missing:
                values = np.where(missing, self.fill, values)
            if len(self.flagged):
                values = np.hstack([values, missing[:, self.flagged]])
        if not len(self.mean):
            return np.array(values)[None]
        limit = self.limit if len(self.limit) else np.float64(CLIP)
        with np.errstate(over="ignore"):
            # np.clip is slower for one row.
            scaled: NDArray[np.float64] = np.minimum(np.maximum((values - self.mean) / self.scale, -limit), limit)
        if any_missing and len(self.flagged) < len(self.fill) and len(self.limit):
            scaled = np.where(missing.all(1)[:, None], limit, scaled)
        if self.n_views == 1:
            return scaled[None]
        # np.stack and np.where are slower for one row.
        views = np.empty((2, *scaled.shape))
        views[0] = scaled
        np.divide(np.arcsinh(scaled) - self.arcsinh_mean, self.arcsinh_scale, out=views[1])
        if self._within is not None:
            np.minimum(np.maximum(views[1], -self._within), self._within, out=views[1])
        return views

    def inverse(self, inputs: NDArray[np.float64], view: int) -> NDArray[np.float64]:
        """Return `inputs` of a network in a `view`, or reconstructions, in the units of the rows, without flags."""
        values = inputs
        if view == 1:
            most = self.most_arcsinh
            values = np.sinh(np.clip(inputs * self.arcsinh_scale + self.arcsinh_mean, -most, most))
        if len(self.mean):
            values = values * self.scale + self.mean
        return values[:, : len(self.fill)] if len(self.fill) else values

    def warn_unflagged(self, X: Rows, names: Sequence[str]) -> None:
        """Warn of missing values of rows `X` in columns, named `names`, that had none among the training rows."""
        if not len(self.fill):
            return
        missing = np.any([np.isnan(block).any(0) for block in in_blocks(X)], axis=0)
        missing[self.flagged] = False
        if missing.any():
            noun, verb = ("column", "has") if missing.sum() == 1 else ("columns", "have")
            warn(
                f"{noun} {listed(where(names, missing))} {verb} missing values but had none in training; "
                "they are replaced by the training median, and nothing marks them unless a row has no value at all"
            )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the constants by name, for a file."""
        return asdict(self)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the constants from what `arrays` returned, or from a file whose names are those of version 1."""
        return cls(**{name.replace("bent_", "arcsinh_"): array for name, array in arrays.items()})


def column_names(feature_names: NDArray[Any] | None, n_columns: int) -> Sequence[str]:
    """Return the names of the columns, x1 to xd where the rows had none."""
    return [f"x{i + 1}" for i in range(n_columns)] if feature_names is None else [str(name) for name in feature_names]


def names_of(estimator: Any) -> Sequence[str]:
    """Return the names of the columns of the rows as text, x1 to xd where they had none."""
    if hasattr(estimator, "columns_"):
        return [column.name for column in estimator.columns_]
    if hasattr(estimator, "_numbered_names"):
        return estimator._numbered_names
    return column_names(getattr(estimator, "feature_names_in_", None), estimator.n_features_in_)


def where(names: Sequence[str], chosen: NDArray[np.bool_]) -> list[str]:
    """Return the names of the chosen columns."""
    return [name for name, there in zip(names, chosen, strict=True) if there]
