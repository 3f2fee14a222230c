"""Features: the preprocessing from rows to inputs of a network, fitted on the training rows only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tollad.tables.checks import refuse_missing
from tollad.tables.large import LargeRows, Rows, in_blocks, order_statistics
from tollad.tables.units import deviations
from tollad.warn import listed, warn

Preprocess: TypeAlias = Literal["auto", "standard"] | None

# Standardised values are clipped to this size, so that every score is finite.
_CLIP = 50.0
# Values in windows of series are clipped only beyond this, so that spikes of different size have different scores.
_WINDOW_CLIP = 1000.0
# Flags are clipped to less: a missing value is weaker evidence than an extreme value.
_FLAG_CLIP = 3.0
# A constant column has a standard deviation of 0, so its scale is a millionth of its size. Any other value then lies
# beyond the clip, unless it differs by rounding only, even of a float32. A column of zeros has no size, so its scale is
# a constant.
_CONSTANT_CLIP = 10.0
_CONSTANT_UNIT, _ZERO_UNIT = 1e-6, 1e-12
# Values that differ by at most so many units of their last bit differ by rounding only.
_ROUNDING = 16
_NONE = np.empty(0)


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
    limit: NDArray[np.float64] = field(default_factory=lambda: _NONE)

    @property
    def n_views(self) -> int:
        """Number of views of the rows: 2 with the arcsinh of a table, else 1."""
        return 2 if len(self.arcsinh_mean) else 1

    @property
    def most_arcsinh(self) -> NDArray[np.float64]:
        """Size to which reconstructions in the second view are clipped, lest sinh overflow: (d + k,) or a scalar."""
        return np.arcsinh(np.maximum(self.limit, _CLIP) if len(self.limit) else np.array(_CLIP))

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
        return binary | (np.isin(mean, (0, 1)) & (scale <= _CONSTANT_UNIT))

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
        limit = self.limit if len(self.limit) else np.float64(_CLIP)
        with np.errstate(over="ignore"):
            # np.clip is slower for one row.
            scaled: NDArray[np.float64] = np.minimum(np.maximum((values - self.mean) / self.scale, -limit), limit)
        if any_missing and len(self.flagged) < len(self.fill) and len(self.limit):
            scaled = np.where(missing.all(1)[:, None], limit, scaled)
        if self.n_views == 1:
            return scaled[None]
        short = (np.arcsinh(scaled) - self.arcsinh_mean) / self.arcsinh_scale
        # Standardising flags again would not change them.
        within = np.where(limit < _CLIP, limit, np.inf)
        return np.stack([scaled, np.minimum(np.maximum(short, -within), within)])

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
                f"{noun} {listed(_where(names, missing))} {verb} missing values but had none in training; "
                "they are replaced by the training median, and nothing marks them unless a row has no value at all"
            )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the constants by name, for a file."""
        return asdict(self)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the constants from what `arrays` returned, or from a file whose names are those of version 1."""
        return cls(**{name.replace("bent_", "arcsinh_"): array for name, array in arrays.items()})


def fit_features(
    X: Rows,
    preprocess: Preprocess,
    names: Sequence[str],
    *,
    indicator: NDArray[np.bool_] | None = None,
    arcsinh: bool = False,
    n_channels: int | None = None,
    in_one_unit: bool = False,
) -> Features:
    """Learn the constants from training rows.

    Parameters
    ----------
    X : ndarray, (n, d) or (n, C, ...)
        Finite, but for missing values (NaN) in tables.
    preprocess : {"auto", "standard"} or None
        None takes values as they are, except missing ones; the others standardise. "auto" half standardises 32 columns
        of numbers or more, without those of 0 and 1, if the standard deviation of none is above ten times their
        median.
    names : sequence of str
        Names of the d columns of a table, for messages.
    indicator : ndarray of bool, (d,), optional
        Columns of 0 and 1. Mean and scale are computed with one more 0 and one more 1, so that a category without any
        training row gets a high score and no scale of zero.
    arcsinh : bool, default False
        Whether to learn the second view of a table. With ``preprocess=None`` there is none.
    n_channels : int, optional
        If given, rows are windows of a series with this many channels, one channel after the other. All columns of a
        channel get the same constants, and values are clipped later.
    in_one_unit : bool, default False
        Whether all columns of numbers are divided by the same number, the root of their mean variance, as those are
        that `tollad.tables.units.are_few_in_one_unit` finds. There is no second view then.

    Raises
    ------
    ValueError
        For a column without any value, values too large to standardise, and rows that cannot be windows of `n_channels`
        channels.

    Warns
    -----
    UserWarning
        For columns that are constant up to rounding, and for categories with one level.
    """
    axes = (0, *range(2, X.ndim))
    if n_channels is not None and (X.ndim != 2 or X.shape[1] % n_channels or indicator is not None):
        raise ValueError(
            f"n_channels={n_channels} is for flat windows, rows (n, {n_channels} * w) of numbers; these rows "
            + (f"have shape {tuple(X.shape)}" if indicator is None else "have categories or dates")
        )
    if X.ndim > 2:
        refuse_missing(X)
        names = [f"channel {channel + 1}" for channel in range(X.shape[1])]
    nothing = Features(_NONE, np.empty(0, np.int64), _NONE, _NONE, _NONE, _NONE)
    features = nothing if X.ndim > 2 else _fit_missing(X, names)
    if preprocess is None:
        return features
    names = [*names, *(f"{names[column]} is missing" for column in features.flagged)]
    first = features.transform(X[:1])[0]
    ones, lowest, highest = np.zeros_like(first[0]), first.min(axes), first.max(axes)
    for block in in_blocks(X):
        values = features.transform(block)[0]
        if indicator is not None:
            ones += values.sum(0)
        lowest, highest = np.minimum(lowest, values.min(axes)), np.maximum(highest, values.max(axes))
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = _mean_and_spread(X, lambda block: features.transform(block)[0], axes)
        if n_channels is not None:
            lowest, highest, mean, scale = _alike(n_channels, X.shape[1], lowest, highest, mean, scale)
    constant = lowest == highest
    size = np.maximum(np.abs(lowest), np.abs(highest))
    if X.ndim == 2 and X.dtype.kind == "f":
        constant |= highest / 2 - lowest / 2 <= _ROUNDING / 2 * np.finfo(X.dtype).eps * size
    silent, smoothed = constant.copy(), np.zeros(len(constant), dtype=bool)
    if indicator is not None:
        smoothed[: len(indicator)] = indicator
        share = (ones[smoothed] + 1) / (len(X) + 2)
        mean[smoothed], scale[smoothed] = share, np.sqrt(share * (1 - share))
        # An indicator that is always 0 is a level that no row has; one that is always 1 is a category's only level.
        silent[smoothed] &= first[0, smoothed] == 1
    constant &= ~smoothed
    one = constant.reshape(scale.shape)
    for bad, what in ((~np.isfinite(scale), "are too large"), ((scale == 0) & ~one, "differ too little")):
        if bad.any():
            name = names[int(np.flatnonzero(bad)[0])]
            raise ValueError(f"column {name!r}: the values {what} to standardise; rescale the column")
    if silent.any():
        what = "columns" if X.ndim == 2 else "channels"
        warn(
            f"these {what} are constant among the training rows: {listed(_where(names, silent))}; they tell nothing "
            "until a row differs from them by more than rounding"
        )
    scale, limit = np.where(one, 1.0, scale), _NONE
    if X.ndim == 2:
        mean = np.where(constant, lowest / 2 + highest / 2, mean)
        unit = np.maximum(_CONSTANT_UNIT * size, np.finfo(np.float64).tiny)  # the product may underflow to 0
        scale = np.where(constant, np.where(size > 0, unit, _ZERO_UNIT), scale)
        limit = np.where(constant, _CONSTANT_CLIP, _CLIP if n_channels is None else _WINDOW_CLIP)
        limit[X.shape[1] :] = _FLAG_CLIP
    deviation = np.ones_like(scale)
    if preprocess == "auto" and X.ndim == 2 and n_channels is None and indicator is None:
        standardised = replace(features, mean=mean, scale=scale)
        deviation = deviations(scale, standardised.truths, constant, in_one_unit=in_one_unit)
    features = replace(features, mean=mean, scale=scale / deviation, limit=limit)
    if not arcsinh or X.ndim > 2 or in_one_unit:
        return features
    arcsinh_mean, spread = _mean_and_spread(X, lambda block: np.arcsinh(features.transform(block)[0]), axes)
    if n_channels is not None:
        _, _, arcsinh_mean, spread = _alike(n_channels, X.shape[1], arcsinh_mean, arcsinh_mean, arcsinh_mean, spread)
    spread[smoothed] = np.maximum(spread[smoothed], np.arcsinh(np.sqrt(1 / len(X))))
    return replace(features, arcsinh_mean=arcsinh_mean, arcsinh_scale=np.where(one, 1.0, spread / deviation))


def _alike(
    n_channels: int,
    n_columns: int,
    lowest: NDArray[np.float64],
    highest: NDArray[np.float64],
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> tuple[NDArray[np.float64], ...]:
    """Give all columns of a channel the same constants, (d,) each. Flags after the columns stay as they are."""

    def of_channel(values: NDArray[np.float64], join: Callable[..., NDArray[np.float64]]) -> NDArray[np.float64]:
        by_channel = values[:n_columns].reshape(n_channels, -1)
        joined = np.broadcast_to(join(by_channel, axis=1, keepdims=True), by_channel.shape)
        return np.concatenate([joined.ravel(), values[n_columns:]])

    centre = of_channel(mean, np.mean)
    spread = np.sqrt(of_channel(scale**2 + (mean - centre) ** 2, np.mean))
    return of_channel(lowest, np.min), of_channel(highest, np.max), centre, spread


def mean_of_rows(X: Rows) -> NDArray[np.float64]:
    """Return the mean of the rows of a table: (n, d) -> (d,)."""
    return _total(X, np.asarray, (0,))[0] / len(X)


def _mean_and_spread(
    X: Rows, change: Callable[[NDArray[Any]], NDArray[np.float64]], axes: tuple[int, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Apply `change` to rows and return the mean and the standard deviation over `axes`, without the first axis."""
    n = len(X) * int(np.prod([X.shape[axis] for axis in axes[1:]], dtype=np.int64))
    mean = _total(X, change, axes) / n
    variance = _total(X, lambda block: (change(block) - mean) ** 2, axes) / n
    return mean[0], np.sqrt(variance)[0]


def _total(
    X: Rows, change: Callable[[NDArray[Any]], NDArray[np.float64]], axes: tuple[int, ...]
) -> NDArray[np.float64]:
    """Return the sum over `axes`, which are kept. For tables, its bits do not depend on the blocks."""
    total: NDArray[np.float64] | None = None
    for block in in_blocks(X):
        values = change(block)
        if total is None or X.ndim > 2:
            total = (0.0 if total is None else total) + values.sum(axes, keepdims=True)
        else:
            # NumPy adds the rows of a table one after the other, so the sum so far is put before them.
            total = np.concatenate([total, values]).sum(0, keepdims=True)
    assert total is not None
    return total


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


def _fit_missing(X: Rows, names: Sequence[str]) -> Features:
    n_missing = np.sum([np.isnan(block).sum(0) for block in in_blocks(X)], axis=0)
    empty = n_missing == len(X)
    if empty.any():
        noun, verb, them = ("column", "has", "it") if empty.sum() == 1 else ("columns", "have", "them")
        raise ValueError(f"{noun} {listed(_where(names, empty))} {verb} no value in any training row; drop {them}")
    if isinstance(X, LargeRows):
        n = len(X) - n_missing
        fill = order_statistics(X, np.stack([(n - 1) // 2, n // 2])).mean(0)
    else:
        fill = np.nanmedian(X.astype(np.float64, copy=False), axis=0)
    return Features(fill, np.flatnonzero(n_missing), _NONE, _NONE, _NONE, _NONE)


def _where(names: Sequence[str], chosen: NDArray[np.bool_]) -> list[str]:
    return [name for name, there in zip(names, chosen, strict=True) if there]
